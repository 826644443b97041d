"""A real API server takes the Jobs as they are, and their pods in a namespace with the strictest pod security."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from control_plane import ControlPlane
from ecg_cluster.cache import Key
from ecg_operator.manifests import Owner, Round, clean_job, merge_job, plan_job, segment_job
from observations import POLICY, UID, render_job

PLACEMENT = {
    "gpus": 1,
    "nodeSelector": {"gpu": "l4"},
    "tolerations": [{"key": "spot", "operator": "Exists", "effect": "NoSchedule"}],
    "resources": {"requests": {"cpu": "1"}, "limits": {"memory": "4Gi"}},
    "podTemplateOverrides": {
        "metadata": {"labels": {"team": "captions"}},
        "spec": {
            "affinity": {"nodeAffinity": {}},
            "volumes": [{"name": "fonts", "configMap": {"name": "fonts"}}],
            "containers": [
                {
                    "name": "renderer",
                    "env": [{"name": "FONTCONFIG_PATH", "value": "/fonts"}],
                    "volumeMounts": [{"name": "fonts", "mountPath": "/fonts"}],
                }
            ],
        },
    },
}


@pytest.fixture(scope="module")
def strict_namespace(plane: ControlPlane) -> Iterator[str]:
    name = "strict"
    plane.kubectl("create", "namespace", name)
    plane.kubectl("label", "namespace", name, "pod-security.kubernetes.io/enforce=restricted")
    plane.kubectl("wait", "--for=create", "serviceaccount/default", f"--namespace={name}", "--timeout=20s")
    yield name
    plane.kubectl("delete", "namespace", name, "--wait=false")


def jobs_in(namespace: str) -> list[dict[str, Any]]:
    """Return one Job of each kind, with all that a RenderJob and the settings can ask for."""
    policy = replace(
        POLICY,
        worker_secret="storage",
        worker_env={"AWS_REGION": "eu-central-1"},
        service_account="default",
        image_pull_secrets=("registry",),
    )
    job = render_job(placement=PLACEMENT, scenario={"configMapRef": {"name": "scenario", "key": "clip.json"}})
    owner = Owner(Key(namespace, "clip"), UID, {"kueue.x-k8s.io/queue-name": "captions"})
    round_ = Round(2, (0, 1, 5), parallelism=2, on_demand=True)
    return [
        plan_job(owner, job, policy),
        segment_job(owner, job, round_, policy),
        merge_job(owner, job, policy),
        clean_job(owner, policy),
    ]


def test_the_api_server_keeps_every_field_of_every_job(plane: ControlPlane, strict_namespace: str) -> None:
    for manifest in jobs_in(strict_namespace):
        said = plane.kubectl(
            "create", "--dry-run=server", "--validate=strict", "-o", "json", "-f", "-", stdin=json.dumps(manifest)
        )
        assert missing_from(json.loads(said), manifest) == []


def test_pods_pass_restricted_pod_security(plane: ControlPlane, strict_namespace: str) -> None:
    for manifest in jobs_in(strict_namespace):
        template = manifest["spec"]["template"]
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {**template["metadata"], "name": "probe", "namespace": strict_namespace},
            "spec": template["spec"],
        }
        plane.kubectl("create", "--dry-run=server", "--validate=strict", "-f", "-", stdin=json.dumps(pod))


def missing_from(stored: Any, wanted: Any, path: str = "") -> list[str]:
    """Return the paths of what was asked for but is not there, or otherwise."""
    if isinstance(wanted, dict):
        return [
            problem
            for key, value in wanted.items()
            for problem in missing_from(stored.get(key), value, f"{path}.{key}")
        ]
    if isinstance(wanted, list) and isinstance(stored, list) and len(wanted) == len(stored):
        return [
            problem
            for place, (one, other) in enumerate(zip(stored, wanted, strict=True))
            for problem in missing_from(one, other, f"{path}[{place}]")
        ]
    return [] if stored == wanted else [f"{path}: {stored!r} instead of {wanted!r}"]
