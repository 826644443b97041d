"""`ecg-render doctor --cluster` with the real kubectl, asking a real API server with the chart's own rights."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from chart import CHART, SERVICE, WORK, Json, container, objects, of_kind
from command_line import ecg_render
from control_plane import ControlPlane
from ecg_operator.views import read_pod
from ecg_renderer.preflight import trial_pod
from ecg_renderer.preflight.checks import Right, operators_rights, services_rights
from go_tools import tool
from studio import wait_until

ALL = (
    *SERVICE, "prices.enabled=true", "capacity.enabled=true", "worker.serviceAccount.create=true",
    "service.namespace=videos", "namespaces={videos}", "crds.install=false",
)  # fmt: skip
EVERYWHERE = (WORK, "worker.serviceAccount.create=true", "crds.install=false")
PRICES = (CHART / "values-prices-us-east-1.yaml",)
OPERATOR, SERVICES = "Operator's rights", "Service's rights"


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    with ControlPlane(tmp_path_factory.mktemp("plane")) as running:
        for name in ("render", "videos"):
            running.kubectl("create", "namespace", name)
            running.kubectl("label", "namespace", name, "pod-security.kubernetes.io/enforce=restricted")
        yield running


@pytest.fixture(params=[ALL, EVERYWHERE], ids=["named namespaces", "everywhere"])
def installed(plane: ControlPlane, request: pytest.FixtureRequest) -> Iterator[list[Json]]:
    """The chart's objects, applied and its Deployments ready; removed again."""
    made = [one for one in objects(*request.param, values=PRICES) if one["kind"] != "Pod"]
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": made})
    plane.kubectl("apply", "-f", "-", stdin=text)
    for one in of_kind(made, "Deployment"):  # without controllers nobody says so
        status = json.dumps({"status": {"replicas": 2, "readyReplicas": 2, "availableReplicas": 2}})
        name = one["metadata"]["name"]
        plane.kubectl("patch", "deployment", name, "-n", "render", "--subresource=status", "--type=merge", "-p", status)
    yield made
    plane.kubectl("delete", "--ignore-not-found", "-f", "-", stdin=text)


def test_a_good_installation_is_well_and_rights_that_are_taken_away_are_named(
    plane: ControlPlane, installed: list[Json], tmp_path: Path
) -> None:
    titles = [OPERATOR, *([SERVICES] if of_kind(installed, "Deployment", "ecg-render-service") else [])]
    checks = settled(plane, tmp_path, titles)
    assert {title: checks[title]["state"] for title in titles} == dict.fromkeys(titles, "ok"), checks
    assert not [check for check in checks.values() if check["state"] == "missing"], checks

    roles = [one for one in installed if any(bound(installed, one, part) for part in ("operator", "service"))]
    status = [{**role, "rules": [rule for rule in role["rules"] if rule["resources"] != ["renderjobs/status"]]}
              for role in roles]  # fmt: skip
    nothing = [{**role, "rules": []} for role in roles]
    for fewer in (status, nothing):
        lost = [one for role, less in zip(roles, fewer, strict=True) for one in {*given_by(role)} - {*given_by(less)}]
        words = [" ".join(filter(None, one[:3])) for one in lost]
        assert wait_until(lambda fewer=fewer, words=words: complains(plane, tmp_path, fewer, words))


def test_a_namespace_that_is_not_served_is_told(plane: ControlPlane, installed: list[Json], tmp_path: Path) -> None:
    settled(plane, tmp_path, [OPERATOR])
    found = doctor(plane, tmp_path, "--namespace=default")[OPERATOR]
    served = settings(installed).get("OPERATOR_NAMESPACES")
    assert found["state"] == ("missing" if served else "ok"), found
    assert not served or ("create jobs.batch" in found["found"] and "leases" not in found["found"]), found


def test_its_pod_is_let_in_like_those_that_render_and_the_operator_takes_it_for_none(
    plane: ControlPlane, installed: list[Json]
) -> None:
    pod = trial_pod(settings(installed), ["videos"], gpu="nvidia.com/gpu")
    namespace = settings(installed)["OPERATOR_NAMESPACES"] or "render"
    made = plane.kubectl("create", "-n", namespace, "--dry-run=server", "-o", "json", "-f", "-", stdin=json.dumps(pod))
    assert read_pod(json.loads(made), datetime.now(UTC)) is None


def test_the_doctor_knows_exactly_the_rights_of_the_chart() -> None:
    made = objects(*ALL, "service.listNodes=true", values=PRICES)
    needed = {
        "operator": operators_rights(settings(made), "render", "videos"),
        "service": services_rights(settings(made, "service"), "render"),
    }
    # /health tells the GPUs of nodes where it may; that it may not is no fault.
    optional = {"operator": set(), "service": {("list", "nodes", "", "")}}
    for part, rights in needed.items():
        given = {one for role in made if bound(made, role, part) for one in given_by(role)}
        assert {(one.verb, one.resource, one.name, one.namespace) for one in rights} == given - optional[part]
        assert optional[part] <= given


def test_rights_are_asked_for_by_the_operators_own_variables() -> None:
    found = operators_rights({"LEASE_NAMESPACE": "a", "LEASE_NAME": "b"}, "render", "")
    assert Right("get", "leases.coordination.k8s.io", "lead", "b", "a") in found
    assert not [one for one in found if one.resource in ("nodes", "deployments.apps")]


def doctor(plane: ControlPlane, folder: Path, *more: str) -> dict[str, Any]:
    path = f"{Path(tool('kubectl')).parent}{os.pathsep}{os.environ['PATH']}"
    changes = {"KUBECONFIG": str(plane.kubeconfig), "PATH": path}
    ended = ecg_render("doctor", "--cluster", "--no-pods", "--json", *more, cwd=folder, changes=changes)
    return {check["name"]: check for check in ended.json["checks"]}


def settled(plane: ControlPlane, folder: Path, titles: list[str]) -> dict[str, Any]:
    """Return the doctor's checks once the API server goes by the roles that it has taken, or what they were last."""
    deadline = time.monotonic() + 60
    while True:
        checks = doctor(plane, folder)
        if all(checks[title]["state"] == "ok" for title in titles) or time.monotonic() > deadline:
            return checks
        time.sleep(0.2)


def complains(plane: ControlPlane, folder: Path, roles: list[Json], words: list[str]) -> bool:
    """Tell whether the doctor names these rights, and no other, once the roles are as they are."""
    plane.kubectl("replace", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": roles}))
    checks = doctor(plane, folder)
    told = [checks[title] for title in (OPERATOR, SERVICES) if title in checks]
    said = " ".join(check["found"] for check in told if check["state"] == "missing")
    return all(f"{one} (to " in said for one in words) and said.count(" (to ") == len(words) > 0


def settings(made: list[Json], part: str = "operator") -> dict[str, str]:
    return {one["name"]: one.get("value", "") for one in container(made, part)["env"]}


def bound(made: list[Json], role: Json, part: str) -> bool:
    """Tell whether an object is a role that is bound to the account of operator or service."""
    return any(
        one["roleRef"]["kind"] == role["kind"] and one["roleRef"]["name"] == role["metadata"]["name"]
        and one["metadata"].get("namespace") == role["metadata"].get("namespace")
        and one["subjects"][0]["name"].endswith(part)
        for one in made if one["kind"] in ("RoleBinding", "ClusterRoleBinding")
    )  # fmt: skip


def names(rule: Json) -> list[str]:
    """Return the resources of a rule as the doctor writes them."""
    found = []
    for resource in rule["resources"]:
        kind, slash, subresource = resource.partition("/")
        group = f".{rule['apiGroups'][0]}" if rule["apiGroups"][0] else ""
        found.append(f"{kind}{group}{slash}{subresource}")
    return found


def given_by(role: Json) -> Iterator[tuple[str, str, str, str]]:
    for rule in role["rules"]:
        for resource in names(rule):
            for verb in rule["verbs"]:
                for name in rule.get("resourceNames", [""]):
                    yield verb, resource, name, role["metadata"].get("namespace", "")
