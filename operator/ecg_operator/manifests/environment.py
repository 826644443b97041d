"""What a pod's process is told, as environment variables."""

from __future__ import annotations

import json
from typing import Any

from ecg_api.names import (
    CELLS_VARIABLE,
    GIVEN_UP_VARIABLE,
    GO_ON_VARIABLE,
    JOB_VARIABLE,
    MOST_SEGMENTS_VARIABLE,
    PLUGIN_ORIGIN_VARIABLE,
    PLUGIN_ORIGINS_VARIABLE,
    PRIVATE_ADDRESSES_VARIABLE,
    SCENARIO_FILE_VARIABLE,
    SEGMENTS_VARIABLE,
    WORK_VARIABLE,
    Role,
)
from ecg_api.ranges import format_ranges
from ecg_api.renderjob import RenderJob
from ecg_common.profiles import VARIABLE as STORAGE_PROFILES
from ecg_common.profiles import key_references
from ecg_operator.policy import Policy

SCENARIO_FOLDER = "/scenario"
SCENARIO_ENTRY = "scenario"
THE_OPERATORS = frozenset(
    {"callback", "cancel", "deadlines", "managed_by", "placement", "priority", "retry", "suspend", "ttl"}
)
"""The fields of a spec that are none of the pods' business; they are told all others."""
SCRATCH = "/tmp"  # noqa: S108 (a path in the pod, on a volume of its own)


def environment(role: Role, job: RenderJob | None, segments: tuple[int, ...], policy: Policy) -> dict[str, str]:
    """Return the variables of a pod, but for the work URI; ours win over the settings' own.

    `segments` are those of a round, for a merge those that are given up; a plan's pod with any goes on.
    """
    variables = dict(policy.worker_env)
    # The root file system is read-only; Chromium and fontconfig want a home that is not.
    variables |= {"HOME": SCRATCH, "TMPDIR": SCRATCH}
    # S3 is reached as the settings say, wherever that is; this is about addresses that jobs give.
    variables[PRIVATE_ADDRESSES_VARIABLE] = policy.private_addresses
    if policy.storage.root:
        variables[STORAGE_PROFILES] = policy.storage.model_dump_json(by_alias=True, exclude_defaults=True)
    if role is not Role.CLEAN and job is not None:
        variables[JOB_VARIABLE] = _job_json(job, with_scenario=role is Role.PLAN)
        if job.spec.reuse:
            variables[CELLS_VARIABLE] = policy.cells_folder(job.metadata.namespace or "default")
    if role is Role.PLAN and job is not None:
        variables[MOST_SEGMENTS_VARIABLE] = str(policy.most_segments)
        if segments:
            variables[GO_ON_VARIABLE] = "true"  # which an older renderer, pinned, does not know
        origins = {PLUGIN_ORIGIN_VARIABLE: policy.plugin_origin, PLUGIN_ORIGINS_VARIABLE: policy.plugin_origins}
        variables |= {name: value for name, value in origins.items() if value}
        if job.spec.scenario.config_map_ref is not None:
            variables[SCENARIO_FILE_VARIABLE] = f"{SCENARIO_FOLDER}/{SCENARIO_ENTRY}"
    if role is Role.MERGE and segments:
        variables[GIVEN_UP_VARIABLE] = format_ranges(segments)
    if role is Role.SEGMENTS:
        variables[SEGMENTS_VARIABLE] = format_ranges(segments)
        if job is not None and job.spec.placement.gpus:
            # NVENC and NVDEC need `video`; NVIDIA_VISIBLE_DEVICES is the device plugin's to set.
            variables["NVIDIA_DRIVER_CAPABILITIES"] = "compute,video,utility"
    return variables


def variables_of(variables: dict[str, str], work_folder: str, policy: Policy) -> list[dict[str, Any]]:
    """Return `variables`, the work URI and the keys of storage profiles as a container's `env`, in a fixed order."""
    plain = sorted({**variables, WORK_VARIABLE: work_folder}.items())
    return [{"name": name, "value": value} for name, value in plain] + key_references(policy.storage)


def _job_json(job: RenderJob, *, with_scenario: bool) -> str:
    spec: dict[str, Any] = job.spec.model_dump(mode="json", exclude_none=True, exclude=set(THE_OPERATORS))
    if job.spec.scenario.inline is not None and not with_scenario:
        # After the plan the prepared scenario is in storage; the manifest stays readable without it.
        spec["scenario"] = {"inline": {}}
    manifest = {
        "apiVersion": job.api_version,
        "kind": job.kind,
        "metadata": {"name": job.metadata.name, "namespace": job.metadata.namespace},
        "spec": spec,
    }
    return json.dumps(manifest, ensure_ascii=False, separators=(",", ":"))
