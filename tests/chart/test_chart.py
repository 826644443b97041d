"""The Helm chart: what it refuses, and what it asks the cluster for."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from ecg_operator.settings import read_settings
from go_tools import tool

ROOT = Path(__file__).parents[2]
CHART = ROOT / "helm" / "ecg-render"
Json = dict[str, Any]


def test_the_chart_holds_the_crd_of_this_version() -> None:
    assert (CHART / "crds/renderjob.yaml").read_text() == (ROOT / "crds/renderjob.yaml").read_text(), "make manifests"


def test_a_work_uri_is_all_that_it_needs() -> None:
    kinds = {one["kind"] for one in _objects("work.uri=s3://bucket/work")}
    assert {"Deployment", "ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"} == kinds


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ([], "work.uri"),
        (["work.uri=gs://bucket"], "/work/uri"),
        (["work.uri=s3://b", "limits.concurrentJobs=0"], "/limits/concurrentJobs"),
        (["work.uri=s3://b", "renderer.image.pullPolicy=Sometimes"], "/renderer/image/pullPolicy"),
        (["work.uri=s3://b", "resources.segment.memory=lots"], "/resources/segment/memory"),
        (["work.uri=s3://b", "oprator.replicas=2"], "oprator"),
    ],
)
def test_a_wrong_value_is_refused_by_its_name(settings: list[str], words: str) -> None:
    done = _helm(*settings)
    assert done.returncode != 0
    assert words in done.stderr, done.stderr


def test_the_operator_understands_all_settings_that_the_chart_gives_it() -> None:
    options = (
        "worker.env.ONE=1",
        "worker.env.TWO=a b",
        "namespaces={a,b}",
        "operator.env.WORKERS=8",
        "worker.secret=s3",
    )
    container = _container(_objects("work.uri=s3://bucket/work", "limits.segmentsPerJob=7", *options))

    settings = read_settings({entry["name"]: entry.get("value", "pod-1") for entry in container["env"]})

    assert settings.namespaces == ("a", "b")
    assert settings.workers == 8
    assert settings.policy.most_segments == 7
    assert settings.policy.worker_env == {"ONE": "1", "TWO": "a b"}
    assert settings.policy.worker_secret == "s3"
    assert settings.policy.renderer_image.startswith("localhost/ecg-render-renderer:")


def test_named_namespaces_get_rights_there_and_nowhere_else() -> None:
    objects = _objects("work.uri=s3://bucket/work", "namespaces={a,b}")
    assert not [one for one in objects if one["kind"].startswith("ClusterRole")]
    where = {one["metadata"]["namespace"] for one in objects if one["kind"] == "Role"}
    assert where == {"a", "b", "render"}


def test_the_operator_runs_without_any_privilege() -> None:
    objects = _objects("work.uri=s3://bucket/work")
    pod = next(one for one in objects if one["kind"] == "Deployment")["spec"]["template"]["spec"]
    assert (
        pod["securityContext"]["runAsNonRoot"] and pod["securityContext"]["seccompProfile"]["type"] == "RuntimeDefault"
    )
    assert _container(objects)["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_no_rule_is_a_wildcard_or_reads_secrets() -> None:
    rules = [rule for one in _objects("work.uri=s3://bucket/work") for rule in one.get("rules", [])]
    words = {word for rule in rules for part in ("apiGroups", "resources", "verbs") for word in rule[part]}
    assert "*" not in words and "secrets" not in words
    assert len(rules) >= 7


def _helm(*settings: str) -> subprocess.CompletedProcess[str]:
    given = [word for setting in settings for word in ("--set", setting)]
    command = [tool("helm"), "template", "ecg-render", CHART, "--namespace", "render", *given]
    return subprocess.run(command, capture_output=True, text=True)


def _objects(*settings: str) -> list[Json]:
    done = _helm(*settings)
    assert done.returncode == 0, done.stderr
    return [one for one in yaml.safe_load_all(done.stdout) if one]


def _container(objects: list[Json]) -> Json:
    deployment = next(one for one in objects if one["kind"] == "Deployment")
    container: Json = deployment["spec"]["template"]["spec"]["containers"][0]
    return container
