"""The chart's ValidatingAdmissionPolicy refuses exactly what the operator would refuse, but at once."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from control_plane import ControlPlane
from ecg_operator.manifests import override_problems
from go_tools import tool

CHART = Path(__file__).parents[2] / "helm" / "ecg-render"
Json = dict[str, Any]


def rendered(*settings: str) -> str:
    given = [word for setting in ("work.uri=s3://bucket/work", *settings) for word in ("--set", setting)]
    command = [tool("helm"), "template", "ecg-render", CHART, "--namespace", "default", *given]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def policy(*settings: str) -> list[Json]:
    objects = [one for one in yaml.safe_load_all(rendered("admissionPolicy.enabled=true", *settings)) if one]
    return [one for one in objects if one["kind"].startswith("ValidatingAdmissionPolicy")]


def render_job(overrides: Json, **placement: Any) -> str:
    job = {
        "apiVersion": "render.ecg.dev/v1alpha1",
        "kind": "RenderJob",
        "metadata": {"name": "clip"},
        "spec": {
            "source": {"uri": "s3://in/a.mp4"},
            "scenario": {"uri": "s3://in/a.json"},
            "output": {"uri": "s3://out/a.mp4"},
            "placement": {"podTemplateOverrides": overrides, **placement},
        },
    }
    return json.dumps(job)


def created(plane: ControlPlane, overrides: Json, namespace: str = "default", **placement: Any) -> str:
    command = ("create", "--dry-run=server", f"--namespace={namespace}", "-f", "-")
    return plane.kubectl(*command, stdin=render_job(overrides, **placement), check=False)


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    with ControlPlane(tmp_path_factory.mktemp("plane")) as running:
        running.kubectl("create", "namespace", "elsewhere")
        running.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(policy("namespaces={default}")))
        deadline = time.monotonic() + 30
        while "created" in created(running, {"spec": {"hostNetwork": True}}):
            assert time.monotonic() < deadline, "the policy is not in force"
            time.sleep(0.2)
        yield running


def renderer(**fields: Any) -> Json:
    return {"spec": {"containers": [{"name": "renderer", **fields}]}}


def mounted(place: str) -> Json:
    return renderer(volumeMounts=[{"name": "x", "mountPath": place}])


REFUSED: dict[str, Json] = {
    "host network": {"spec": {"hostNetwork": True}},
    "security context": {"spec": {"securityContext": {"runAsUser": 0}}},
    "service account": {"spec": {"serviceAccountName": "admin"}},
    "init container": {"spec": {"initContainers": [{"name": "root"}]}},
    "another container": {"spec": {"containers": [{"name": "sidecar"}]}},
    "a container without a name": {"spec": {"containers": [{"image": "busybox"}]}},
    "no list of containers": {"spec": {"containers": "renderer"}},
    "no containers in the list": {"spec": {"containers": ["renderer"]}},
    "GPUs past the operator": renderer(resources={"limits": {"nvidia.com/gpu": "1k"}}),
    "another image": renderer(image="busybox"),
    "another command": renderer(command=["sh"]),
    "a variable of ours": renderer(env=[{"name": "ECG_WORK_URI", "value": "s3://other"}]),
    "a proxy": renderer(env=[{"name": "https_proxy", "value": "http://10.0.0.1:3128"}]),
    "a variable of the linker": renderer(env=[{"name": "LD_PRELOAD", "value": "/mnt/x.so"}]),
    "a variable from a Secret": renderer(env=[{"name": "TZ", "valueFrom": {"secretKeyRef": {"name": "db"}}}]),
    "a mount over our code": mounted("/opt/ecg-render"),
    "a mount by a way round": mounted("/mnt/../usr/bin"),
    "a mount of everything": mounted("/"),
    "a mount beside": mounted("/mnt2"),
    "a Secret": {"spec": {"volumes": [{"name": "db", "secret": {"secretName": "db"}}]}},
    "a folder of the node": {"spec": {"volumes": [{"name": "host", "hostPath": {"path": "/"}}]}},
    "a label of ours": {"metadata": {"labels": {"render.ecg.dev/uid": "x"}}},
    "a label of the chart": {"metadata": {"labels": {"app.kubernetes.io/name": "ecg-operator"}}},
    "AppArmor": {"metadata": {"annotations": {"container.apparmor.security.beta.kubernetes.io/renderer": "x"}}},
    "a name": {"metadata": {"name": "x"}},
    "text": {"spec": "all"},
    "text in a map's place": {"spec": {"nodeSelector": "gpu"}},
    "labels that are none": {"metadata": {"labels": ["team"]}},
}
TAKEN: dict[str, Json] = {
    "nothing": {},
    "labels and annotations": {"metadata": {"labels": {"team": "captions"}, "annotations": {"note": "x"}}},
    "where it runs": {
        "spec": {
            "affinity": {"nodeAffinity": {}},
            "topologySpreadConstraints": [{"maxSkew": 1}],
            "schedulerName": "volcano",
            "nodeSelector": {"zone": "a"},
            "tolerations": [{"key": "spot", "operator": "Exists"}],
            "dnsPolicy": "Default",
            "dnsConfig": {"nameservers": ["10.0.0.1"]},
            "hostAliases": [{"ip": "10.0.0.1", "hostnames": ["s3"]}],
        }
    },
    "fonts": {
        "spec": {
            "volumes": [{"name": "fonts", "configMap": {"name": "fonts"}}],
            **mounted("/usr/local/share/fonts/team")["spec"],
        }
    },
    "the place itself": mounted("/mnt"),
    "a hidden folder": mounted("/mnt/.cache"),
    "variables and memory": renderer(
        env=[{"name": "BROWSER_POOL_SIZE", "value": "4"}, {"name": "TZ", "value": "Asia/Seoul"}],
        resources={"limits": {"memory": "12Gi"}},
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_the_operator_would_refuse_later_is_refused_at_once_with_a_sentence(
    plane: ControlPlane, case: str
) -> None:
    assert override_problems(REFUSED[case])
    said = created(plane, REFUSED[case])
    assert "podTemplateOverrides" in said or "placement.gpus" in said
    assert "denied request" in said
    assert "resulted in error" not in said, "a person needs the sentence, not the expression"


@pytest.mark.parametrize("case", TAKEN)
def test_what_the_operator_takes_is_taken(plane: ControlPlane, case: str) -> None:
    assert override_problems(TAKEN[case]) == ()
    assert "created" in created(plane, TAKEN[case])


@pytest.mark.parametrize("part", ["requests", "limits"])
def test_gpus_are_asked_for_in_one_place(plane: ControlPlane, part: str) -> None:
    said = created(plane, {}, resources={part: {"memory": "4Gi", "nvidia.com/gpu": "1k"}})
    assert "GPUs (nvidia.com/gpu) are asked for by placement.gpus" in said
    assert "created" in created(plane, {}, gpus=1, resources={part: {"memory": "4Gi"}})
    share = policy("operator.env.GPU_RESOURCE=nvidia.com/gpu.shared")[0]["spec"]["validations"]
    assert any("'nvidia.com/gpu.shared' in asked" in one["expression"] for one in share)


def test_other_namespaces_than_those_that_are_served_are_not_looked_at(plane: ControlPlane) -> None:
    assert "created" in created(plane, REFUSED["host network"], "elsewhere")


def test_there_is_no_policy_unless_it_is_asked_for() -> None:
    assert "ValidatingAdmissionPolicy" not in rendered()
    assert [one["kind"] for one in policy()] == ["ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"]
    assert "matchResources" not in policy()[1]["spec"]


def test_policies_of_two_releases_of_one_name_do_not_meet() -> None:
    names = [one["metadata"]["name"] for one in policy("nameOverride=green")]
    assert names == ["default-ecg-render-green-renderjobs"] * 2
    assert policy("nameOverride=green")[1]["spec"]["policyName"] == names[0]
