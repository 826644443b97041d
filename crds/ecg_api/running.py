"""How a cluster runs a job: cutting, placement, retries, deadlines. One machine uses `Segments` only."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, JsonValue, WithJsonSchema

from ecg_api.base import ManifestModel
from ecg_api.structural import INT_OR_STRING
from ecg_api.uris import Text

Labels = Annotated[dict[str, str], Field(max_length=64)]

_QUANTITY = r"^[0-9]+(\.[0-9]+)?(m|k|M|G|T|P|Ki|Mi|Gi|Ti|Pi)?$"


def _checked_quantity(value: object) -> object:
    text = str(value) if isinstance(value, int | str) and not isinstance(value, bool) else ""
    if not re.fullmatch(_QUANTITY, text):
        raise ValueError(f"{value!r} is not a whole number or text such as '500m', '1.5' or '4Gi'")
    return value


Quantity = Annotated[
    int | str,
    BeforeValidator(_checked_quantity),
    WithJsonSchema({**INT_OR_STRING, "minimum": 0, "maxLength": 32, "pattern": _QUANTITY}),
]
"""An amount of a resource, as Kubernetes writes it."""
Quantities = Annotated[dict[str, Quantity], Field(max_length=16)]


class Segments(ManifestModel):
    """How far the video may be cut up; the plan chooses within these."""

    max: int | None = Field(
        default=None,
        ge=1,
        le=1000,
        description="At most so many segments. Omitted: as many as there is room for.",
    )
    target_seconds: int | None = Field(
        default=None,
        ge=1,
        le=3600,
        description="Wished length of a segment, in seconds of video; cuts move to where no caption is. "
        "Omitted: chosen from the work.",
    )


class Toleration(ManifestModel):
    """A node taint that segment pods accept; as in a pod's own tolerations."""

    key: Text | None = Field(default=None, description="Taint's key. Omitted: all, with operator Exists.")
    operator: Literal["Exists", "Equal"] = Field("Equal", description="Exists ignores the taint's value.")
    value: Text | None = Field(default=None, description="Taint's value, for operator Equal.")
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = Field(
        default=None, description="Taint's effect. Omitted: all."
    )
    toleration_seconds: int | None = Field(
        default=None, description="How long a NoExecute taint is accepted, in seconds. Omitted: for ever."
    )


class Resources(ManifestModel):
    """What a segment's container asks for and may use at most, as in a pod; GPUs are asked for by `gpus`."""

    requests: Quantities = Field(default_factory=dict, description="What the node must have free, such as cpu: 500m.")
    limits: Quantities = Field(default_factory=dict, description="At most so much, such as memory: 4Gi.")


class Placement(ManifestModel):
    """Where a cluster runs the segments; without meaning on one machine."""

    gpus: int = Field(
        default=1,
        ge=0,
        le=1,
        description="GPUs for each segment's pod, of the resource that the operator is set to (nvidia.com/gpu); 0 "
        "encodes on the CPU.",
    )
    node_selector: Labels = Field(default_factory=dict, description="Labels that the node must have.")
    tolerations: list[Toleration] = Field(
        default_factory=list, max_length=32, description="Taints to accept besides that of NVIDIA GPU nodes."
    )
    runtime_class_name: Text | None = Field(default=None, description="RuntimeClass of the pods, for example nvidia.")
    priority_class_name: Text | None = Field(
        default=None,
        description="PriorityClass of the pods: who gets a node, and who loses it. Which RenderJob comes first is "
        "spec.priority.",
    )
    resources: Resources | None = Field(
        default=None,
        description="Requests and limits of a segment's container, as in a pod. Omitted: the operator's.",
    )
    pod_template_overrides: dict[str, JsonValue] | None = Field(
        default=None,
        description="Merged over the pod template that the operator writes, for what has no field here: affinity, "
        "topology spread, DNS, volumes with fonts. Image, command, rights, accounts and secrets cannot be had by it.",
    )


class Retry(ManifestModel):
    """How often a failed segment is tried again; failures that another try cannot mend are never retried."""

    per_segment: int = Field(
        default=2, ge=0, le=10, description="Further tries after the first, for each segment, the plan and the merge."
    )
    disruptions: int = Field(
        default=6,
        ge=0,
        le=100,
        description="Lost nodes and evictions that a job survives; they do not count as tries, and a node that is "
        "lost with several pods counts once. Too many cost renditions of another size, where these lost pods, before "
        "they end the job.",
    )
    on_demand_after: int = Field(
        default=2,
        ge=0,
        le=100,
        description="So many disruptions move the unfinished segments to on-demand nodes; back, if none takes them for "
        "half of deadlines.pendingSeconds. 0: on-demand nodes from the start, and no others.",
    )


class Deadlines(ManifestModel):
    """After how long a job is given up."""

    active_seconds: int = Field(
        default=1500,
        ge=1,
        le=604_800,
        description="From admission to the result, in seconds; then the job fails. A suspended job is admitted anew.",
    )
    pending_seconds: int = Field(
        default=900,
        ge=1,
        le=604_800,
        description="How long the pods may wait for a node or image, in seconds, but for what other renders hold.",
    )


class Ttl(ManifestModel):
    """How long a finished RenderJob stays before it is deleted; its output stays."""

    succeeded_seconds: int | None = Field(
        default=None, ge=0, le=31_536_000, description="After success, in seconds. Omitted: as the operator is set."
    )
    failed_seconds: int | None = Field(
        default=None,
        ge=0,
        le=31_536_000,
        description="After failure or cancel, in seconds. Omitted: as the operator is set.",
    )
