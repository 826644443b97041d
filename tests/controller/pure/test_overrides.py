"""What a user may change about a segment's pod: where and how it runs, never what or as whom."""

from __future__ import annotations

from typing import Any

import pytest

from ecg_operator.manifests import Owner, Round, override_problems, segment_job
from observations import KEY, POLICY, UID, render_job


def renderer(**fields: Any) -> dict[str, Any]:
    return {"spec": {"containers": [{"name": "renderer", **fields}]}}


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"spec": {"hostNetwork": True}}, "spec.hostNetwork: may not be overridden"),
        ({"spec": {"hostPID": True}}, "spec.hostPID"),
        ({"spec": {"securityContext": {"runAsUser": 0}}}, "spec.securityContext"),
        ({"spec": {"serviceAccountName": "admin"}}, "spec.serviceAccountName"),
        ({"spec": {"automountServiceAccountToken": True}}, "spec.automountServiceAccountToken"),
        ({"spec": {"nodeName": "master"}}, "spec.nodeName"),
        ({"spec": {"restartPolicy": "OnFailure"}}, "spec.restartPolicy"),
        ({"spec": {"initContainers": [{"name": "root"}]}}, "spec.initContainers"),
        ({"spec": {"containers": [{"name": "sidecar"}]}}, "'sidecar' cannot be added"),
        ({"spec": {"containers": "renderer"}}, "spec.containers: must be a list"),
        ({"spec": {"containers": ["renderer"]}}, "must be a list of mappings"),
        (renderer(securityContext={"privileged": True}), "containers[renderer].securityContext"),
        (renderer(image="busybox"), "containers[renderer].image"),
        (renderer(resources={"limits": {"nvidia.com/gpu": "1k"}}), "limits.nvidia.com/gpu: GPUs are asked for by"),
        (renderer(command=["sh"]), "containers[renderer].command"),
        (renderer(args=["-c", "id"]), "containers[renderer].args"),
        (renderer(env=[{"name": "ECG_WORK_URI", "value": "s3://other"}]), "ECG_WORK_URI cannot be set here"),
        (renderer(env=[{"name": "PYTHONPATH", "value": "/mnt/x"}]), "PYTHONPATH cannot be set here"),
        (renderer(env=[{"name": "LD_PRELOAD", "value": "/mnt/x.so"}]), "LD_PRELOAD cannot be set here"),
        (renderer(env=[{"name": "AWS_ENDPOINT_URL_STS", "value": "https://x"}]), "AWS_ENDPOINT_URL_STS cannot be set"),
        (renderer(env=[{"name": "TZ", "valueFrom": {"secretKeyRef": {"name": "db"}}}]), "env[TZ].valueFrom"),
        (renderer(volumeMounts=[{"name": "x", "mountPath": "/opt/ecg-render"}]), "mounted at /opt/ecg-render"),
        (renderer(volumeMounts=[{"name": "x", "mountPath": "/mnt/../usr/bin"}]), "mounted at /mnt/../usr/bin"),
        ({"spec": {"volumes": [{"name": "db", "secret": {"secretName": "db"}}]}}, "volumes[db].secret"),
        ({"spec": {"volumes": [{"name": "db", "csi": {"driver": "secrets-store"}}]}}, "volumes[db].csi"),
        ({"spec": {"nodeSelector": None}}, "spec.nodeSelector: must be a mapping"),
        (
            {"metadata": {"annotations": {"container.apparmor.security.beta.kubernetes.io/renderer": "unconfined"}}},
            "is the operator's",
        ),
        (renderer(volumeMounts=[{"name": "x", "mountPath": "/tmp/"}]), "nothing can be mounted at /tmp/"),
        (renderer(volumeMounts=[{"name": "x", "mountPath": "/"}]), "nothing can be mounted at /"),
        ({"spec": {"volumes": [{"name": "host", "hostPath": {"path": "/"}}]}}, "volumes[host].hostPath"),
        ({"spec": {"volumes": [{"name": "t", "projected": {}}]}}, "volumes[t].projected"),
        ({"metadata": {"labels": {"render.ecg.dev/uid": "x"}}}, "labels.render.ecg.dev/uid: is the operator's"),
        ({"metadata": {"labels": {"app.kubernetes.io/name": "x"}}}, "app.kubernetes.io/name: is the operator's"),
        ({"metadata": {"name": "x"}}, "metadata.name"),
        ({"kind": "Pod"}, "kind: may not be overridden"),
        ({"spec": "all"}, "must be mappings"),
    ],
)
def test_what_would_change_rights_or_the_program_is_refused_with_its_path(
    overrides: dict[str, Any], words: str
) -> None:
    problems = override_problems(overrides)
    assert len(problems) == 1
    assert words in problems[0]
    assert problems[0].startswith("spec.placement.podTemplateOverrides")


ALLOWED = {
    "metadata": {"labels": {"team": "captions"}, "annotations": {"note": "x"}},
    "spec": {
        "affinity": {"nodeAffinity": {}},
        "topologySpreadConstraints": [{"maxSkew": 1}],
        "schedulerName": "volcano",
        "nodeSelector": {"zone": "a"},
        "tolerations": [{"key": "spot", "operator": "Exists"}],
        "volumes": [{"name": "fonts", "configMap": {"name": "fonts"}}],
        "containers": [
            {
                "name": "renderer",
                "env": [{"name": "BROWSER_POOL_SIZE", "value": "4"}, {"name": "TZ", "value": "UTC"}],
                "volumeMounts": [{"name": "fonts", "mountPath": "/usr/local/share/fonts/team"}],
                "resources": {"limits": {"memory": "12Gi"}},
            }
        ],
    },
}


def test_what_is_allowed_is_merged_into_the_template_and_nothing_is_lost() -> None:
    assert override_problems(ALLOWED) == ()
    assert override_problems(None) == ()
    owner, round_ = Owner(KEY, UID), Round(0, (0,), 1)
    selector = {"nodeSelector": {"gpu": "l4"}}
    before = segment_job(owner, render_job(placement=selector), round_, POLICY)["spec"]["template"]
    job = render_job(placement={**selector, "podTemplateOverrides": ALLOWED})
    template = segment_job(owner, job, round_, POLICY)["spec"]["template"]

    assert template["metadata"]["labels"] == {**before["metadata"]["labels"], "team": "captions"}
    spec, spec_before = template["spec"], before["spec"]
    assert spec["nodeSelector"] == {"gpu": "l4", "zone": "a"}
    assert [one["key"] for one in spec["tolerations"]] == ["nvidia.com/gpu", "spot"]
    assert [one["name"] for one in spec["volumes"]] == ["scratch", "shm", "fonts"]
    assert spec["securityContext"] == spec_before["securityContext"]
    (container,), (container_before,) = spec["containers"], spec_before["containers"]
    assert container["securityContext"] == container_before["securityContext"]
    assert container["resources"]["limits"] == {"memory": "12Gi", "nvidia.com/gpu": "1"}
    values = {one["name"]: one["value"] for one in container["env"]}
    assert (values["BROWSER_POOL_SIZE"], values["TZ"]) == ("4", "UTC")
    assert len(values) == len(container["env"]) == len(container_before["env"]) + 2
