"""What `placement.podTemplateOverrides` may change about a segment's pod, and how it is merged.

Whoever may create a RenderJob need not be somebody who may create pods. So overrides choose where and how a pod
runs, never what it runs, as whom, or with which rights: image, command, security contexts, host access and service
account stay the operator's. What is not listed here is refused, with its path, before anything starts.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from typing import Any

from ecg_api.names import CONTAINER, GPU_RESOURCE
from ecg_api.running import Placement

_PATH = "spec.placement.podTemplateOverrides"
_TEMPLATE = frozenset({"metadata", "spec"})
_METADATA = frozenset({"annotations", "labels"})
_POD: dict[str, type] = {
    "affinity": Mapping, "containers": list, "dnsConfig": Mapping, "dnsPolicy": str, "hostAliases": list,
    "nodeSelector": Mapping, "schedulerName": str, "tolerations": list, "topologySpreadConstraints": list,
    "volumes": list,
}  # fmt: skip
_CONTAINER = frozenset({"env", "name", "resources", "volumeMounts"})
# Neither secrets nor CSI drivers, which hand out secrets: a RenderJob's author may not be somebody who reads them.
_VOLUME = frozenset({"configMap", "emptyDir", "ephemeral", "name", "persistentVolumeClaim"})
# Those of applications, too: budgets and NetworkPolicies of the chart, and of others, tell by them whose a pod is.
_OUR_LABELS = (
    "render.ecg.dev/", "app.kubernetes.io/", "batch.kubernetes.io/", "kueue.x-k8s.io/",
    "container.apparmor.security.beta.kubernetes.io/",
)  # fmt: skip
# Python, the linker, Chromium, FFmpeg and the AWS library run what many other variables name, or ask whom they name.
# A proxy would be an address of the job's choice, which nobody has looked at.
_VARIABLES = frozenset({"BROWSER_POOL_SIZE", "LANG", "LC_ALL", "MEMORY_THRESHOLD_MB", "QUEUE_MAX_SIZE", "TZ"})
_VARIABLE = frozenset({"name", "value"})
_MOUNTS = ("/mnt", "/usr/local/share/fonts")

_WORDS: dict[type, str] = {Mapping: "mapping", list: "list", str: "text"}


def placement_problems(placement: Placement, gpu_resource: str) -> tuple[str, ...]:
    """Return a sentence for each thing that cannot be had; `gpu_resource` is asked for by `placement.gpus` only."""
    given = placement.resources.model_dump() if placement.resources is not None else {}
    problems = _gpu_problems(given, "spec.placement.resources", gpu_resource)
    return (*problems, *override_problems(placement.pod_template_overrides, gpu_resource))


def override_problems(overrides: Mapping[str, Any] | None, gpu_resource: str = GPU_RESOURCE) -> tuple[str, ...]:
    """Return a sentence for each thing in `overrides` that may not be changed; empty if all may."""
    if not overrides:
        return ()
    found = _unknown(overrides, _TEMPLATE, _PATH)
    metadata, spec = overrides.get("metadata") or {}, overrides.get("spec") or {}
    if not isinstance(metadata, Mapping) or not isinstance(spec, Mapping):
        return (*found, f"{_PATH}: metadata and spec must be mappings")
    found += _metadata_problems(metadata)
    found += _unknown(spec, frozenset(_POD), f"{_PATH}.spec")
    found += [
        f"{_PATH}.spec.{name}: must be a {_WORDS[kind]}"
        for name, kind in _POD.items()
        if name in spec and not isinstance(spec[name], kind)
    ]
    if found:
        return tuple(found)
    found += _container_problems(spec.get("containers") or [], gpu_resource)
    found += _volume_problems(spec.get("volumes") or [])
    return tuple(found)


def merged(template: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Return `template` with `overrides` over it.

    Mappings are merged key by key; lists of named items by name (tolerations and the like have none: theirs are
    added); anything else is replaced.
    """
    result = dict(template)
    for key, value in overrides.items():
        result[key] = _merged_value(result.get(key), value)
    return result


def _merged_value(old: Any, new: Any) -> Any:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        return merged(old, new)
    if isinstance(old, list) and isinstance(new, list):
        return _merged_list(old, new)
    return new


def _merged_list(old: list[Any], new: list[Any]) -> list[Any]:
    result = list(old)
    for item in new:
        name = item.get("name") if isinstance(item, Mapping) else None
        place = next((i for i, other in enumerate(result) if name is not None and _name(other) == name), None)
        if place is not None:
            result[place] = merged(result[place], item)
        elif item not in result:
            result.append(item)
    return result


def _name(item: Any) -> Any:
    return item.get("name") if isinstance(item, Mapping) else None


def _unknown(given: Mapping[str, Any], allowed: frozenset[str], path: str) -> list[str]:
    return [
        f"{path}.{key}: may not be overridden; {', '.join(sorted(allowed))} may" for key in given if key not in allowed
    ]


def _metadata_problems(metadata: Mapping[str, Any]) -> list[str]:
    found = _unknown(metadata, _METADATA, f"{_PATH}.metadata")
    for part in sorted(_METADATA & set(metadata)):
        entries = metadata[part]
        if not isinstance(entries, Mapping):
            found.append(f"{_PATH}.metadata.{part}: must be a mapping")
            continue
        found += [
            f"{_PATH}.metadata.{part}.{key}: is the operator's" for key in entries if str(key).startswith(_OUR_LABELS)
        ]
    return found


def _gpu_problems(resources: Any, path: str, gpu_resource: str) -> list[str]:
    """Look for GPUs beside `placement.gpus`: what a pod holds would not be what admission and costs reckon with."""
    parts = resources.items() if isinstance(resources, Mapping) else ()
    return [
        f"{path}.{part}.{gpu_resource}: GPUs are asked for by spec.placement.gpus"
        for part, amounts in parts
        if isinstance(amounts, Mapping) and gpu_resource in amounts
    ]


def _container_problems(containers: Any, gpu_resource: str) -> list[str]:
    path = f"{_PATH}.spec.containers"
    if not _is_list_of_mappings(containers):
        return [f"{path}: must be a list of mappings"]
    found = []
    for container in containers:
        if container.get("name") != CONTAINER:
            found.append(f"{path}: {container.get('name')!r} cannot be added; there is one container, {CONTAINER}")
            continue
        found += _unknown(container, _CONTAINER, f"{path}[{CONTAINER}]")
        found += _gpu_problems(container.get("resources"), f"{path}[{CONTAINER}].resources", gpu_resource)
        variables, mounts = container.get("env") or [], container.get("volumeMounts") or []
        if not _is_list_of_mappings(variables) or not _is_list_of_mappings(mounts):
            found.append(f"{path}[{CONTAINER}]: env and volumeMounts must be lists of mappings")
            continue
        found += _variable_problems(variables, f"{path}[{CONTAINER}].env")
        found += [
            f"{path}[{CONTAINER}].volumeMounts: nothing can be mounted at {mount.get('mountPath')}; "
            f"below {', '.join(_MOUNTS)} it can"
            for mount in mounts
            if not _may_be_mounted(mount.get("mountPath"))
        ]
    return found


def _variable_problems(variables: list[Mapping[str, Any]], path: str) -> list[str]:
    found = []
    for variable in variables:
        found += _unknown(variable, _VARIABLE, f"{path}[{variable.get('name')}]")
        if variable.get("name") not in _VARIABLES:
            allowed = ", ".join(sorted(_VARIABLES))
            found.append(f"{path}: {variable.get('name')} cannot be set here; {allowed} can")
    return found


def _may_be_mounted(place: Any) -> bool:
    whole = posixpath.normpath(str(place))
    return any(whole == allowed or whole.startswith(f"{allowed}/") for allowed in _MOUNTS)


def _volume_problems(volumes: Any) -> list[str]:
    path = f"{_PATH}.spec.volumes"
    if not _is_list_of_mappings(volumes):
        return [f"{path}: must be a list of mappings"]
    return [problem for volume in volumes for problem in _unknown(volume, _VOLUME, f"{path}[{volume.get('name')}]")]


def _is_list_of_mappings(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, Mapping) for item in value)
