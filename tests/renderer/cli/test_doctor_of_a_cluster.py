"""`ecg-render doctor --cluster`: what is found in a cluster, and what is said about it; kubectl is a script of ours."""

from __future__ import annotations

import functools
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from chart import CHART
from command_line import ecg_render
from ecg_api.crd import custom_resource_definition
from ecg_renderer.doctor import Check, State
from ecg_renderer.preflight import Facts, Trial, examine_cluster
from ecg_renderer.preflight.checks import Right, amount, operators_rights

SERVICE = {
    "metadata": {"namespace": "render", "name": "ecg-service"},
    "spec": {"template": {"spec": {"containers": [{"env": [{"name": "S3_BUCKET", "value": "results"}]}]}}},
}
CRD = {**custom_resource_definition(), "status": {"conditions": [{"type": "Established", "status": "True"}]}}
SETTINGS = {
    "WORK_URI": "s3://videos/work",
    "RENDERER_IMAGE": "renderer:1",
    "WORKER_SECRET": "s3",
    "WORKER_ENV": '{"A":"b"}',
    "RUN_AS_USER": "2000",
    "ECG_STORAGE_PROFILES": '[{"name": "seoul", "bucket": "seoul-videos"}]',
}
OPERATOR = {
    "metadata": {"namespace": "render", "name": "ecg-operator", "labels": {"app.kubernetes.io/version": "1.2.3"}},
    "spec": {"replicas": 2, "template": {"spec": {"serviceAccountName": "op", "containers": [
        {"env": [{"name": name, "value": value} for name, value in SETTINGS.items()]}]}}},
    "status": {"readyReplicas": 2},
}  # fmt: skip

NEEDED = operators_rights(SETTINGS, "render", "")
CREATE = Right("create", "jobs.batch", "run pods", namespace="render")
FONT = {"name": "CJK font", "state": "ok", "found": "Noto Sans CJK KR", "meaning": "Letters.", "fix": ""}


def node(cpu: str, memory: str = "30Gi", gpus: str = "0", kind: str = "g6.2xlarge") -> dict[str, Any]:
    allocatable = {"cpu": cpu, "memory": memory, "nvidia.com/gpu": gpus}
    return {"metadata": {"name": "n", "labels": {"node.kubernetes.io/instance-type": kind}},
            "status": {"allocatable": allocatable}}  # fmt: skip


def facts(**changes: Any) -> Facts:
    good: dict[str, Any] = {
        "server": "Kubernetes v1.34.0", "crd": CRD, "operators": [OPERATOR],
        "rights": {"Operator's rights": dict.fromkeys(NEEDED, True)},
        "nodes": [node("7910m", gpus="1")], "callbacks": {"render/ecg-service": ""},
        "trials": [Trial("any node", fonts=[FONT]), Trial("g6.2xlarge", fonts=[FONT], nvenc="")],
    }  # fmt: skip
    return Facts(**{**good, **changes})


def the(name: str, **changes: Any) -> Check:
    (found,) = (check for check in examine_cluster(facts(**changes)).checks if check.name == name)
    return found


def test_a_cluster_that_has_everything_is_said_to_be_well() -> None:
    examination = examine_cluster(facts())
    assert [check for check in examination.checks if check.state is not State.OK] == []
    assert len(examination.checks) == 12


def other_crd(**changes: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(json.dumps(CRD))
    found["spec"]["versions"][0] |= changes
    return found


@pytest.mark.parametrize(
    ("name", "changes", "state", "found"),
    [
        ("CRD", {"crd": None}, State.MISSING, "there is none"),
        ("CRD", {"crd": {**CRD, "status": {}}}, State.MISSING, "does not serve it"),
        ("CRD", {"crd": other_crd(schema={})}, State.NOTE, "another release's"),
        ("CRD", {"crd": other_crd(name="v1")}, State.MISSING, "has v1, and this ecg-render wants v1alpha1"),
        ("Operator", {"operators": []}, State.MISSING, "there is none"),
        ("Operator", {"operators": [{**OPERATOR, "status": {}}]}, State.MISSING, "0 of 2 ready"),
        ("Service's rights", {"rights": {"Service's rights": {CREATE: False}}}, State.MISSING,
         "create jobs.batch (to run pods) in render"),
        ("Operator's rights", {"rights": {"Operator's rights": {CREATE: None}}}, State.NOTE, "may not ask"),
        ("Your rights", {"may_create": False}, State.NOTE, "may not create"),
        ("Nodes", {"nodes": None}, State.NOTE, "may not list"),
        ("Nodes", {"nodes": [node("1900m")]}, State.NOTE, "0 of 1 have room for a segment (2 CPU, 3Gi)"),
        ("GPUs", {"nodes": [node("4")]}, State.NOTE, "no node offers nvidia.com/gpu"),
        ("GPUs", {"nodes": [node("3920m", gpus="1", kind="g6.xlarge")]}, State.NOTE, "g6.xlarge have few CPUs"),
        ("Callbacks", {"callbacks": {"render/s": "timed out"}}, State.NOTE, "timed out"),
        ("Pod on any node", {"trials": [Trial("any node", problem="it has failed")]}, State.MISSING, "it has failed"),
        ("Storage from any node", {"trials": [Trial("any node", {"s3://a": "", "s3://b": "no access"})]}, State.MISSING,
         "s3://b: no access"),
        ("CJK font", {"trials": [Trial("any node", fonts=[{**FONT, "state": "note", "fix": "apt-get"}])]}, State.NOTE,
         "CJK"),
        ("NVENC on g5", {"trials": [Trial("g5", nvenc="driver too old")]}, State.NOTE, "driver too old"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_what_to_do(name: str, changes: dict[str, Any], state: State, found: str) -> None:
    check = the(name, **changes)
    assert check.state is state and found in check.found and check.fix, check


def test_what_to_do_names_values_that_the_chart_has() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    bad = facts(
        rights={"Operator's rights": {CREATE: False}}, callbacks={"render/s": "timed out"}, may_create=False,
        trials=[Trial("any node", {"s3://b": "no access"})], nodes=[node("1900m")],
    )  # fmt: skip
    words = " ".join(check.fix for check in examine_cluster(bad).checks)
    named = [one.split(".") for one in re.findall(r"\b[a-z][A-Za-z]*(?:\.[a-z][A-Za-z]*)+\b", words) if "." in one]
    paths = [path for path in named if path[0] in values]
    assert ["networkPolicy", "service", "egress"] in paths and len(paths) >= 5
    for path in paths:
        assert functools.reduce(lambda found, part: found[part], path, values) is not None, path


def test_quantities() -> None:
    assert [amount(text) for text in ("500m", "2", "3Gi", "1.5", "4M")] == [0.5, 2, 3 * 2**30, 1.5, 4e6]


KUBECTL = """#!/usr/bin/env python3
import json, os, pathlib, sys
words = [word for word in sys.argv[1:] if not word.startswith("--request-timeout")]
log = pathlib.Path(os.environ["KUBECTL_LOG"])
with log.open("a") as file:
    file.write(json.dumps({"words": words, "stdin": sys.stdin.read() if "-f" in words else ""}) + chr(10))
answers = json.loads(pathlib.Path(os.environ["KUBECTL_ANSWERS"]).read_text())
for start, answer in answers.items():
    if " ".join(words).startswith(start):
        print(answer if isinstance(answer, str) else json.dumps(answer))
        sys.exit(0)
print("no answer to", words, file=sys.stderr)
sys.exit(1)
"""


def test_pods_like_those_that_render_are_tried_and_removed(tmp_path: Path) -> None:
    (tmp_path / "kubectl").write_text(KUBECTL)
    (tmp_path / "kubectl").chmod(0o755)
    answers = {
        "version": {"serverVersion": {"gitVersion": "v1.34.0"}},
        "get deployments -A -l app.kubernetes.io/name=ecg-operator": {"items": [OPERATOR]},
        "get deployments -A -l app.kubernetes.io/name=ecg-service": {"items": [SERVICE]},
        "get nodes": {"items": [node("8", gpus="1")]},
        "get crd": CRD,
        "auth can-i": "yes",
        "create -f": "true\n" * len(NEEDED),
        "create": "",
        "get pod": {"status": {"phase": "Succeeded"}},
        "logs": json.dumps({"storage": {"s3://videos/work": ""}, "fonts": [FONT], "nvenc": "no NVENC here"}),
        "delete": "",
    }
    (tmp_path / "answers.json").write_text(json.dumps(answers))
    log = tmp_path / "log"
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "KUBECTL_LOG": str(log),
                   "KUBECTL_ANSWERS": str(tmp_path / "answers.json")}  # fmt: skip
    ended = ecg_render("doctor", "--cluster", "--json", cwd=tmp_path, changes=environment)
    states = {check["name"]: check["state"] for check in ended.json["checks"]}
    assert states["NVENC on g6.2xlarge"] == "note" and states["Storage from g6.2xlarge"] == "ok"
    calls = [json.loads(line) for line in log.read_text().splitlines()]
    pods = [json.loads(call["stdin"]) for call in calls if call["words"][:2] == ["create", "-n"]]
    removed = [call["words"][4] for call in calls if call["words"][0] == "delete"]
    assert [pod["metadata"]["name"] for pod in pods] == removed and len(removed) == 2
    spec = pods[1]["spec"]
    assert spec["nodeSelector"] == {"kubernetes.io/hostname": "n"}
    container = spec["containers"][0]
    assert container["image"] == "renderer:1" and container["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert container["command"][3] == "gpu" and container["command"][4].startswith("s3://videos/work/ecg-doctor-")
    written = [place.rpartition("/")[0] for place in container["command"][5:]]
    assert written == ["s3://seoul-videos/rendered", "s3://results/rendered"]
    assert spec["securityContext"]["runAsUser"] == 2000
    assert container["envFrom"] == [{"secretRef": {"name": "s3"}}] and {"name": "A", "value": "b"} in container["env"]


def test_without_kubectl_it_is_said(tmp_path: Path) -> None:
    ended = ecg_render("doctor", "--cluster", cwd=tmp_path, changes={"PATH": str(tmp_path)})
    assert ended.code != 0 and "There is no kubectl" in ended.err
