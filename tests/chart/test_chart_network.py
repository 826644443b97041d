"""Who reaches whom by the chart's NetworkPolicies, decided as Kubernetes defines it.

A policy of a pod allows what one of its rules allows; a pod without policies is open. `reaches` asks the egress of the
one side and the ingress of the other.
"""

from __future__ import annotations

import ipaddress

import pytest

from chart import SERVICE, WORK, Json, helm_template, objects, of_kind
from ecg_renderer.preflight import trial_pod
from network_cases import (
    API_SERVER,
    BACKEND,
    CASES,
    DNS,
    METADATA,
    NODE,
    ON,
    OPERATOR,
    PROMETHEUS,
    S3,
    SHIM,
    STRANGER,
    WORKER,
    Pod,
    labelled,
    pod,
)

NAME = "kubernetes\\.io/metadata\\.name"


@pytest.fixture(scope="module")
def policies() -> list[Json]:
    return of_kind(objects(*SERVICE, *ON), "NetworkPolicy")


@pytest.mark.parametrize(("source", "target", "port", "allowed"), CASES)
def test_who_reaches_whom(policies: list[Json], source: Pod | str, target: Pod | str, port: int, allowed: bool) -> None:
    assert reaches(policies, source, target, port) is allowed


@pytest.mark.parametrize(("target", "port"), [(S3, 443), (METADATA, 80), (NODE, 443), (DNS, 53), (STRANGER, 443)])
def test_the_doctors_pod_reaches_what_those_that_render_reach(
    policies: list[Json], target: Pod | str, port: int
) -> None:
    made = trial_pod({"WORK_URI": "s3://videos/work", "RENDERER_IMAGE": "renderer"}, [])
    tried = labelled("videos", made["metadata"]["labels"])
    assert reaches(policies, tried, target, port) is reaches(policies, WORKER, target, port)


def test_named_api_servers_are_all_that_operator_and_service_reach_there_and_nothing_to_workers() -> None:
    named = ("networkPolicy.apiServer={10.0.0.0/28,3.3.3.3/32}",)
    found = of_kind(objects(*SERVICE, *ON, *named), "NetworkPolicy")
    assert [reaches(found, one, "3.3.3.3", 443) for one in (OPERATOR, SHIM, WORKER)] == [True, True, False]
    assert [reaches(found, OPERATOR, one, 443) for one in ("10.0.0.4", NODE, S3)] == [True, False, False]
    found = of_kind(objects(*SERVICE, *ON, "networkPolicy.apiServer={2600:1f18::/64}"), "NetworkPolicy")
    assert [reaches(found, one, "2600:1f18::1", 443) for one in (OPERATOR, WORKER)] == [True, False]


@pytest.mark.parametrize(
    ("url", "target", "port"),
    [
        ("http://backend.editor.svc:8000", BACKEND, 9000),
        ("http://backend.editor.svc.cluster.local", BACKEND, 8000),
        ("http://backend:8000", pod("render", app="backend"), 80),
        ("http://10.1.2.3:8000/api", "10.1.2.3", 8000),
        ("http://BACKEND.Editor.SVC.cluster.local.:8000", BACKEND, 8000),
        ("http://[fd00::5]:8000", "fd00::5", 8000),
        ("http://render.corp.example.com:8000", NODE, 8000),
        ("http://render.corp.example.com:8000", "fd00::7", 8000),
        ("http://svc.example.com", "93.184.216.34", 80),
    ],
)
def test_the_backend_of_the_callbacks_is_reached_wherever_it_is(url: str, target: Pod | str, port: int) -> None:
    base = (*SERVICE, "networkPolicy.enabled=true")
    assert not reaches(of_kind(objects(*base), "NetworkPolicy"), SHIM, target, port)
    assert reaches(of_kind(objects(*base, f"service.callbackUrl={url}"), "NetworkPolicy"), SHIM, target, port)


@pytest.mark.parametrize("disguise", [OPERATOR, SHIM])
def test_a_pod_that_renders_gets_nowhere_by_the_labels_of_another_part(policies: list[Json], disguise: Pod) -> None:
    plain = labelled("render", dict(WORKER.labels))
    disguised = labelled("render", {**dict(WORKER.labels), **dict(disguise.labels)})
    assert reaches(policies, disguise, API_SERVER, 443)
    for target, port in ((API_SERVER, 443), (NODE, 6443), (BACKEND, 8000), (WORKER, 8091), (S3, 443)):
        assert reaches(policies, disguised, target, port) is reaches(policies, plain, target, port)


def test_no_budget_counts_a_pod_that_renders() -> None:
    # Of pods of a Job nobody can say how many there should be: a budget with one of them would let none be evicted.
    budgets = of_kind(objects(*SERVICE), "PodDisruptionBudget")
    parts = {"ecg-render-operator": OPERATOR, "ecg-render-service": SHIM}
    assert {one["metadata"]["name"] for one in budgets} == parts.keys()
    for one in budgets:
        own = dict(parts[one["metadata"]["name"]].labels)
        assert _selects(one["spec"]["selector"], own)
        assert not _selects(one["spec"]["selector"], {**dict(WORKER.labels), **own})


def test_hosts_that_callbacks_may_go_to_are_reached_where_their_names_tell_it() -> None:
    hosts = "backend.editor.svc,.teams.svc.cluster.local,10.1.2.3,fd00::5,example.com,.example.org"
    found = of_kind(
        objects(*SERVICE, "networkPolicy.enabled=true", f"service.callbackHosts={{{hosts}}}"), "NetworkPolicy"
    )
    for target in (BACKEND, pod("teams", app="x"), "10.1.2.3", "fd00::5"):
        assert reaches(found, SHIM, target, 8000), target
    assert not reaches(found, SHIM, STRANGER, 8000) and not reaches(found, SHIM, "10.1.2.4", 8000)
    assert reaches(found, SHIM, S3, 443) and not reaches(found, SHIM, pod("com", app="x"), 8000)


def test_a_name_that_does_not_tell_where_its_host_is_is_refused_until_that_is_said() -> None:
    asked = (*SERVICE, "networkPolicy.enabled=true", "service.callbackUrl=http://backend.editor:8000")
    done = helm_template(*asked)
    assert done.returncode != 0 and "backend.editor.svc, or say where it is" in done.stderr
    assert helm_template(*asked, "networkPolicy.enabled=false").returncode == 0
    there = "networkPolicy.service.callbacks[0]"
    said = (f"{there}.podSelector.matchLabels.app=backend", f"{there}.namespaceSelector.matchLabels.{NAME}=editor")
    found = of_kind(objects(*asked, *said), "NetworkPolicy")
    assert reaches(found, SHIM, BACKEND, 9000) and not reaches(found, SHIM, pod("editor", app="x"), 9000)
    # A public one needs no more than the way to public addresses.
    public = "service.callbackUrl=https://example.com"
    found = of_kind(objects(*SERVICE, "networkPolicy.enabled=true", public), "NetworkPolicy")
    assert reaches(found, SHIM, S3, 443) and not reaches(found, SHIM, NODE, 8000)
    assert not reaches(found, SHIM, pod("com", app="x"), 8000)


def test_only_named_clients_may_post_and_further_ways_out_can_be_opened() -> None:
    found = of_kind(
        objects(
            *SERVICE, *ON, f"networkPolicy.monitoring[0].namespaceSelector.matchLabels.{NAME}=monitoring",
            "networkPolicy.service.from[0].ipBlock.cidr=203.0.113.0/24",
            "networkPolicy.workers.egress[0].to[0].ipBlock.cidr=10.0.3.0/24",
        ), "NetworkPolicy",
    )  # fmt: skip
    assert [reaches(found, one, SHIM, 8090) for one in (PROMETHEUS, "203.0.113.9", BACKEND)] == [True, True, False]
    assert reaches(found, WORKER, NODE, 9000)


@pytest.mark.parametrize(
    ("closed", "reached"),
    [
        (["monitoring"], {SHIM}),
        (["service.from"], {SHIM, OPERATOR}),  # whoever may read metrics reads the service's, too
        (["monitoring", "service.from"], set()),
    ],
)
def test_an_empty_list_lets_nobody_in(closed: list[str], reached: set[Pod]) -> None:
    found = of_kind(objects(*SERVICE, *ON, *(f"networkPolicy.{name}:=[]" for name in closed)), "NetworkPolicy")
    for source, lets in ((PROMETHEUS, reached), (BACKEND, reached), ("203.0.113.9", set())):
        assert {one for one, port in ((SHIM, 8090), (OPERATOR, 8080)) if reaches(found, source, one, port)} == lets


@pytest.mark.parametrize("part", ["privateRanges", "privateRangesV6"])
@pytest.mark.parametrize("value", ["[]", "null"])
def test_private_ranges_are_never_none(part: str, value: str) -> None:
    done = helm_template(*SERVICE, *ON, f"networkPolicy.{part}:={value}")
    assert done.returncode != 0 and part in done.stderr, done.stderr


def test_the_test_of_helm_reaches_a_service_that_is_open_to_named_clients_only() -> None:
    found = objects(*SERVICE, *ON, "networkPolicy.monitoring:=[]", "networkPolicy.service.from:=[]")
    (test,) = of_kind(found, "Pod")
    tester = labelled(test["metadata"]["namespace"], test["metadata"]["labels"])
    policies = of_kind(found, "NetworkPolicy")
    assert reaches(policies, tester, SHIM, 8090) and not reaches(policies, tester, OPERATOR, 8080)
    assert not reaches(policies, labelled("elsewhere", test["metadata"]["labels"]), SHIM, 8090)


def test_without_being_asked_for_nothing_is_closed() -> None:
    assert of_kind(objects(WORK), "NetworkPolicy") == []


def reaches(policies: list[Json], source: Pod | str, target: Pod | str, port: int) -> bool:
    """Return whether `source` may open a connection to a port of `target`; addresses are outside of the cluster."""
    return _lets(policies, source, target, port, "egress", "to") and _lets(
        policies, target, source, port, "ingress", "from"
    )


def _lets(policies: list[Json], own: Pod | str, other: Pod | str, port: int, way: str, field_: str) -> bool:
    mine = [
        one["spec"]
        for one in policies
        if isinstance(own, Pod)
        and one["metadata"]["namespace"] == own.namespace
        and _selects(one["spec"]["podSelector"], dict(own.labels))
        and way.capitalize() in one["spec"]["policyTypes"]
    ]
    rules = [rule for spec in mine for rule in spec.get(way, [])]
    return not mine or any(
        ("ports" not in rule or any(one["port"] == port for one in rule["ports"]))
        and (not rule.get(field_) or any(_is(peer, other, own) for peer in rule[field_]))
        for rule in rules
    )


def _is(peer: Json, other: Pod | str, own: Pod | str) -> bool:
    if "ipBlock" in peer:
        if isinstance(other, Pod):
            return False  # a pod's address is private
        address = ipaddress.ip_address(other)
        nets = [ipaddress.ip_network(net) for net in (peer["ipBlock"]["cidr"], *peer["ipBlock"].get("except", []))]
        inside = [address.version == net.version and address in net for net in nets]
        return inside[0] and not any(inside[1:])
    if isinstance(other, str):
        return False
    assert isinstance(own, Pod)
    if "namespaceSelector" in peer:
        there = _selects(peer["namespaceSelector"], {"kubernetes.io/metadata.name": other.namespace})
    else:
        there = other.namespace == own.namespace
    return there and _selects(peer.get("podSelector", {}), dict(other.labels))


def _selects(selector: Json, labels: dict[str, str]) -> bool:
    wanted = {"Exists": True, "DoesNotExist": False}
    holds = [(one["key"] in labels) is wanted[one["operator"]] for one in selector.get("matchExpressions", [])]
    return selector.get("matchLabels", {}).items() <= labels.items() and all(holds)
