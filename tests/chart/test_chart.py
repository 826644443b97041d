"""The Helm chart: what it refuses, and what it asks the cluster for."""

from __future__ import annotations

from typing import Any

import pytest

from chart import CHART, ROOT, SERVICE, WORK, container, helm_template, objects, of_kind, pod
from ecg_operator.settings import read_settings
from ecg_shim.__main__ import environment, parse
from ecg_shim.settings import Settings

Json = dict[str, Any]


def test_the_chart_holds_the_crd_of_this_version() -> None:
    assert (CHART / "files/renderjob.yaml").read_text() == (ROOT / "crds/renderjob.yaml").read_text(), "make manifests"


def test_a_work_uri_is_all_that_it_needs() -> None:
    kinds = {one["kind"] for one in objects(WORK) if "helm.sh/hook" not in one["metadata"].get("annotations", {})}
    assert kinds == {
        "CustomResourceDefinition", "Deployment", "PodDisruptionBudget", "Service", "ServiceAccount",
        "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ([], "work.uri"),
        (["work.uri=gs://bucket"], "/work/uri"),
        (["work.uri=s3://b", "limits.concurrentJobs=0"], "/limits/concurrentJobs"),
        (["work.uri=s3://b", "renderer.image.pullPolicy=Sometimes"], "/renderer/image/pullPolicy"),
        (["work.uri=s3://b", "resources.segment.memory=lots"], "/resources/segment/memory"),
        (["work.uri=s3://b", "worker.doNotDisrupt=soon"], "/worker/doNotDisrupt"),
        (["work.uri=s3://b", "worker.privateAddresses=maybe"], "/worker/privateAddresses"),
        (["work.uri=s3://b", "oprator.replicas=2"], "oprator"),
    ],
)
def test_a_wrong_value_is_refused_by_its_name(settings: list[str], words: str) -> None:
    done = helm_template(*settings)
    assert done.returncode != 0
    assert words in done.stderr, done.stderr


def test_the_operator_understands_all_settings_that_the_chart_gives_it() -> None:
    options = (
        "worker.env.ONE=1",
        "worker.env.TWO=10.0.0.0/8\\,.svc",
        "worker.env.THREE=2000000",
        "namespaces={a,b}",
        "operator.env.WORKERS=8",
        "worker.secret=s3",
        "worker.doNotDisrupt=1h30m",
        "worker.privateAddresses=allow",
    )
    only = container(objects(WORK, "limits.segmentsPerJob=7", "controllerName=example.com/second", *options))

    settings = read_settings({entry["name"]: entry.get("value", "pod-1") for entry in only["env"]})

    assert settings.namespaces == ("a", "b")
    assert settings.workers == 8
    assert settings.controller_name == "example.com/second"
    assert settings.policy.most_segments == 7
    assert settings.policy.worker_env == {"ONE": "1", "TWO": "10.0.0.0/8,.svc", "THREE": "2000000"}
    assert settings.policy.worker_secret == "s3"
    assert (settings.policy.do_not_disrupt, settings.policy.private_addresses) == ("1h30m", "allow")
    assert settings.policy.renderer_image.startswith("localhost/ecg-render-renderer:")


def test_named_namespaces_get_rights_there_and_nowhere_else() -> None:
    found = objects(WORK, "namespaces={a,b}")
    assert not of_kind(found, "ClusterRoleBinding")
    assert {one["metadata"]["namespace"] for one in of_kind(found, "Role")} == {"a", "b", "render"}


def test_the_operator_runs_without_any_privilege() -> None:
    found = objects(WORK)
    spec = next(one for one in found if one["kind"] == "Deployment")["spec"]["template"]["spec"]
    assert (
        spec["securityContext"]["runAsNonRoot"]
        and spec["securityContext"]["seccompProfile"]["type"] == "RuntimeDefault"
    )
    assert container(found)["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_no_rule_is_a_wildcard_or_reads_secrets() -> None:
    rules = [rule for one in objects(WORK) for rule in one.get("rules", [])]
    words = {word for rule in rules for part in ("apiGroups", "resources", "verbs") for word in rule[part]}
    assert "*" not in words and "secrets" not in words
    assert len(rules) >= 7


def test_the_service_is_there_only_when_it_is_asked_for() -> None:
    assert not [one for one in objects(WORK) if "service" in one["metadata"]["name"]]
    kinds = {one["kind"] for one in _of_service(*SERVICE)}
    assert kinds == {"Deployment", "PodDisruptionBudget", "Service", "ServiceAccount", "Role", "RoleBinding"}


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["service.bucket="], "service.bucket"),
        (["service.bucket=s3://videos"], "/service/bucket"),
        (["service.callbackUrl=backend:8000"], "/service/callbackUrl"),
        (["service.type=Ingress"], "/service/type"),
        (["service.env.ECG_PORT=80"], "ECG_PORT"),
        (["service.namespace=b", "namespaces={a}"], 'renders nothing in "b"'),
        (["namespaces={a}"], 'renders nothing in "render"'),
    ],
)
def test_a_wrong_value_of_the_service_is_refused_by_its_name(settings: list[str], words: str) -> None:
    done = helm_template(*SERVICE, *settings)
    assert done.returncode != 0
    assert words in done.stderr, done.stderr


def test_the_service_understands_all_settings_that_the_chart_gives_it() -> None:
    options = (
        "service.namespace=a",
        "namespaces={a,b}",
        "limits.concurrentJobs=7",
        "service.callbackUrl=http://10.0.0.1:8000",
        "service.callbackHosts={.example.com,other.test}",
        "service.secret=s3",
        "service.logLevel=DEBUG",
        "service.env.ECG_KEEP_DAYS=2",
    )
    found = objects(*SERVICE, *options)
    only = container(found, "service")

    variables = {entry["name"]: entry.get("value", "pod-1") for entry in only["env"]}
    given = parse(only["command"][only["command"].index("ecg_shim") + 1 :])
    settings = Settings.from_environment(environment(given, variables))

    assert (settings.mode, settings.host, settings.port) == ("kubernetes", "0.0.0.0", 8090)
    assert (settings.bucket, settings.namespace, settings.cluster_jobs) == ("videos", "a", 7)
    assert settings.backend_callback_url == "http://10.0.0.1:8000"
    assert settings.callback_hosts == (".example.com", "other.test")
    assert (settings.log_level, settings.environment, settings.keep_days) == ("DEBUG", "production", 2)
    assert only["envFrom"] == [{"secretRef": {"name": "s3"}}]
    operator = {entry["name"]: entry.get("value", "") for entry in container(found)["env"]}
    assert settings.operator_lease == f"{operator['LEASE_NAMESPACE']}/{operator['LEASE_NAME']}"


def test_the_service_reaches_its_pods_and_no_others() -> None:
    found = objects(*SERVICE)
    (service,) = (one["spec"] for one in of_kind(found, "Service", "ecg-render-service"))
    pods = {one["metadata"]["name"]: one["spec"]["template"] for one in found if one["kind"] == "Deployment"}
    reached = {name for name, pod in pods.items() if service["selector"].items() <= pod["metadata"]["labels"].items()}
    only = container(found, "service")

    assert reached == {"ecg-render-service"}
    assert service["ports"] == [{"name": "http", "port": 8090, "targetPort": "http"}]
    assert only["ports"] == [{"name": "http", "containerPort": 8090}]
    for probe, path in (("livenessProbe", "/livez"), ("readinessProbe", "/readyz")):
        assert only[probe]["httpGet"] == {"path": path, "port": "http"}


def test_the_service_is_confined_as_the_operator_is() -> None:
    found = objects(*SERVICE)
    operator, service = pod(found, "operator"), pod(found, "service")
    assert service["securityContext"] == operator["securityContext"]
    assert container(found, "service")["securityContext"] == container(found, "operator")["securityContext"]
    assert service["enableServiceLinks"] is False, "a Service called `ecg` would set ECG_PORT"


def test_the_service_has_the_rights_that_it_uses_and_no_more() -> None:
    settings = (*SERVICE, "service.namespace=jobs", "service.listNodes=true")
    roles = {
        (one["kind"], one["metadata"].get("namespace")): _rights(one)
        for one in _of_service(*settings)
        if one["kind"].endswith("Role")
    }

    assert roles == {
        ("Role", "jobs"): {
            "render.ecg.dev/renderjobs": {"get", "list", "watch", "create", "patch", "delete"},
            "render.ecg.dev/renderjobs/status": {"patch"},
            "/configmaps": {"get", "list", "watch", "create", "update", "patch", "delete"},
            "coordination.k8s.io/leases": {"create"},
            "coordination.k8s.io/leases/ecg-relay": {"get", "update", "delete"},
        },
        ("Role", "render"): {"coordination.k8s.io/leases/ecg-render-operator": {"get"}},
        ("ClusterRole", None): {"/nodes": {"list"}},
    }


def test_every_role_of_the_service_is_given_to_its_account() -> None:
    found = _of_service(*SERVICE, "service.namespace=jobs", "service.listNodes=true")

    def place(one: Json) -> str:
        return str(one["metadata"].get("namespace", ""))

    roles = {(one["kind"], one["metadata"]["name"], place(one)) for one in found if one["kind"].endswith("Role")}
    bindings = [one for one in found if one["kind"].endswith("Binding")]
    given = {(one["roleRef"]["kind"], one["roleRef"]["name"], place(one)) for one in bindings}
    account = next(one for one in found if one["kind"] == "ServiceAccount")["metadata"]

    assert given == roles
    for one in bindings:
        assert one["subjects"] == [
            {"kind": "ServiceAccount", "name": account["name"], "namespace": account["namespace"]}
        ]


def _of_service(*settings: str) -> list[Json]:
    return [one for one in objects(*settings) if one["metadata"]["labels"]["app.kubernetes.io/name"] == "ecg-service"]


def _rights(role: Json) -> dict[str, set[str]]:
    """Return verbs by group/resource, with the name where a right is for one object only."""
    return {
        "/".join([group, resource, *([name] if name else [])]): set(rule["verbs"])
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for name in rule.get("resourceNames", [""])
    }
