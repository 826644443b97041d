"""Pod templates: one container that may do nothing but compute.

They pass Pod Security `restricted`: a user without rights, no capabilities, a read-only root file system, no
token of a service account. What a process may write is /tmp, and /dev/shm where Chromium runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ecg_api.names import CONTAINER, GPU_RESOURCE, PROGRESS_PORT, Role
from ecg_api.renderjob import ConfigMapRef, Placement, RenderJob
from ecg_operator.manifests.environment import (
    SCENARIO_ENTRY,
    SCENARIO_FOLDER,
    SCRATCH,
    environment,
    variables_of,
)
from ecg_operator.manifests.overrides import merged
from ecg_operator.policy import Manifest, Policy

# The worker ends within 10 s of SIGTERM; the rest is for a slow node.
_GRACE_SECONDS = 20
_RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "privileged": False,
    "readOnlyRootFilesystem": True,
}
_COMMANDS = {Role.PLAN: "plan", Role.SEGMENTS: "segment", Role.MERGE: "merge", Role.CLEAN: "clean"}


def pod_spec(
    role: Role, job: RenderJob | None, work_folder: str, policy: Policy, segments: tuple[int, ...] = ()
) -> Manifest:
    """Return the spec of a pod of `role`; `job` is only needed for pods other than clean's.

    `segments` are what it renders: of a plan's pod, what it goes on with. For a merge they are those given up.
    """
    renders = bool(segments) and role is not Role.MERGE
    volumes = _volumes(role, job, policy, renders=renders)
    container: Manifest = {
        "name": CONTAINER,
        "image": policy.renderer_image,
        "imagePullPolicy": policy.image_pull_policy,
        "args": ["worker", _COMMANDS[role]],
        "env": variables_of(environment(role, job, segments, policy), work_folder, policy),
        "ports": [{"name": "progress", "containerPort": PROGRESS_PORT, "protocol": "TCP"}],
        "resources": _resources(Role.SEGMENTS if renders else role, job, policy),
        "securityContext": _RESTRICTED,
        # A process that is killed writes no report; its last lines are better than nothing.
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [mount for mount, _ in volumes],
    }
    if policy.worker_secret:
        container["envFrom"] = [{"secretRef": {"name": policy.worker_secret}}]
    spec: Manifest = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": _GRACE_SECONDS,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": policy.user_id,
            "runAsGroup": policy.user_id,
            "fsGroup": policy.user_id,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
        "volumes": [volume for _, volume in volumes],
    }
    if policy.image_pull_secrets:
        spec["imagePullSecrets"] = [{"name": name} for name in policy.image_pull_secrets]
    if policy.service_account:
        spec["serviceAccountName"] = policy.service_account
    return spec


def placed(template: Manifest, placement: Placement, on_demand: bool, policy: Policy) -> Manifest:
    """Return the template of a segment's pod where `placement` wants it; on on-demand nodes only if asked."""
    spec = dict(template["spec"])
    tolerations = [item.model_dump(mode="json", exclude_none=True) for item in placement.tolerations]
    if placement.gpus:
        taints = dict.fromkeys((GPU_RESOURCE, policy.gpu_resource))
        tolerations[:0] = [{"key": key, "operator": "Exists", "effect": "NoSchedule"} for key in taints]
    if tolerations:
        spec["tolerations"] = tolerations
    if placement.node_selector:
        spec["nodeSelector"] = dict(placement.node_selector)
    if placement.runtime_class_name:
        spec["runtimeClassName"] = placement.runtime_class_name
    if placement.priority_class_name:
        spec["priorityClassName"] = placement.priority_class_name
    result = merged({**template, "spec": spec}, placement.pod_template_overrides or {})
    if on_demand:
        # Last, so that a selector for spot nodes does not undo the rescue.
        selector = {**result["spec"].get("nodeSelector", {}), **policy.on_demand_node_selector}
        result["spec"] = {**result["spec"], "nodeSelector": selector}
    return result


def memory_limit(role: Role, job: RenderJob | None, policy: Policy) -> str:
    """Return the memory limit of a pod of `role`, a Kubernetes quantity; empty for none."""
    limits = _resources(role, job, policy).get("limits", {})
    return str(limits.get("memory", ""))


def _resources(role: Role, job: RenderJob | None, policy: Policy) -> Manifest:
    ours: dict[Role, Mapping[str, Mapping[str, str]]] = {
        Role.PLAN: policy.plan_resources,
        Role.SEGMENTS: policy.segment_resources,
        Role.MERGE: policy.merge_resources,
        Role.CLEAN: policy.clean_resources,
    }
    resources: Manifest = {part: dict(amounts) for part, amounts in ours[role].items()}
    if role is Role.SEGMENTS and job is not None:
        placement = job.spec.placement
        if placement.resources is not None:
            resources = placement.resources.model_dump(mode="json")
        if placement.gpus:
            resources = merged(resources, {"limits": {policy.gpu_resource: str(placement.gpus)}})
    disk = {"requests": {"ephemeral-storage": policy.scratch_request}} if policy.scratch_request else {}
    return merged(disk, resources)


def _volumes(role: Role, job: RenderJob | None, policy: Policy, *, renders: bool) -> list[tuple[Manifest, Manifest]]:
    """Return each volume's mount and the volume itself."""
    found = [_volume("scratch", SCRATCH, {"emptyDir": {"sizeLimit": policy.scratch_size}})]
    if renders:
        # Memory, and as such counted towards the container's memory limit.
        memory: Manifest = {"emptyDir": {"medium": "Memory", "sizeLimit": policy.shm_size}}
        found.append(_volume("shm", "/dev/shm", memory))  # noqa: S108 (a path in the pod)
    reference = job.spec.scenario.config_map_ref if job is not None else None
    if role is Role.PLAN and reference is not None:
        found.append(_scenario_volume(reference))
    return found


def _volume(name: str, path: str, source: Manifest) -> tuple[Manifest, Manifest]:
    return {"name": name, "mountPath": path}, {"name": name, **source}


def _scenario_volume(reference: ConfigMapRef) -> tuple[Manifest, Manifest]:
    mount: dict[str, Any] = {"name": "scenario", "mountPath": SCENARIO_FOLDER, "readOnly": True}
    entry = {"key": reference.key, "path": SCENARIO_ENTRY}
    return mount, {"name": "scenario", "configMap": {"name": reference.name, "items": [entry]}}
