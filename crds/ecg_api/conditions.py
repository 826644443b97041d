"""Conditions of a RenderJob: the truth about its progress, in the form that `kubectl wait` understands.

`Finished` becomes true on success, failure and cancel alike, so that waiting for it never hangs.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from enum import StrEnum
from typing import Literal

from pydantic import Field

from ecg_api.base import StoredModel

ConditionStatus = Literal["True", "False", "Unknown"]


class ConditionType(StrEnum):
    """What a condition speaks about, in the order in which a job gets there."""

    PLANNED = "Planned"
    SCHEDULED = "Scheduled"
    RENDERED = "Rendered"
    MERGED = "Merged"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    FINISHED = "Finished"
    SUSPENDED = "Suspended"
    CALLBACK_DELIVERED = "CallbackDelivered"


class Reason(StrEnum):
    """Why a condition is as it is, in one word; the message says more."""

    PLANNING = "Planning"
    PLAN_READY = "PlanReady"
    PLAN_FAILED = "PlanFailed"

    QUEUED = "Queued"
    QUOTA_EXCEEDED = "QuotaExceeded"
    SUSPENDED = "Suspended"
    RESUMED = "Resumed"
    GPU_UNAVAILABLE = "GpuUnavailable"
    NODE_PROVISIONING = "NodeProvisioning"
    IMAGE_PULLING = "ImagePulling"
    IMAGE_PULL_FAILED = "ImagePullFailed"
    UNSCHEDULABLE = "Unschedulable"
    POD_CONFIG_ERROR = "PodConfigError"
    NAME_TAKEN = "NameTaken"
    CREATION_REFUSED = "CreationRefused"
    PODS_RUNNING = "PodsRunning"

    RENDERING = "Rendering"
    SEGMENTS_RENDERED = "SegmentsRendered"
    SEGMENT_FAILED = "SegmentFailed"
    MERGING = "Merging"
    OUTPUT_WRITTEN = "OutputWritten"
    MERGE_FAILED = "MergeFailed"
    RENDITION_FAILED = "RenditionFailed"

    COMPLETED = "Completed"
    INVALID_INPUT = "InvalidInput"
    RESULT_LOST = "ResultLost"
    RETRIES_EXHAUSTED = "RetriesExhausted"
    DISRUPTIONS_EXHAUSTED = "DisruptionsExhausted"
    ACTIVE_DEADLINE_EXCEEDED = "ActiveDeadlineExceeded"
    PENDING_DEADLINE_EXCEEDED = "PendingDeadlineExceeded"
    CANCELLED = "Cancelled"

    NO_CALLBACK = "NoCallback"
    DELIVERING = "Delivering"
    DELIVERED = "Delivered"
    DELIVERY_FAILED = "DeliveryFailed"


LONGEST_MESSAGE = 32_768
"""Kubernetes' limit."""


class Condition(StoredModel):
    """One statement about the job; fields as in every Kubernetes object."""

    # Text rather than the enums above: a status written by a newer version must stay readable.
    type: str = Field(min_length=1, max_length=316, description="What this is about.")
    status: ConditionStatus = Field(description="Whether it is so.")
    reason: str = Field(min_length=1, max_length=1024, description="Why, in one word.")
    message: str = Field(default="", max_length=LONGEST_MESSAGE, description="Why, in a sentence for a person.")
    last_transition_time: datetime = Field(description="When status last changed.")
    observed_generation: int | None = Field(
        default=None, ge=0, description="metadata.generation of the spec that this was said about."
    )


def set_condition(
    conditions: Iterable[Condition],
    condition_type: ConditionType,
    status: ConditionStatus,
    reason: Reason,
    message: str,
    now: datetime,
    observed_generation: int | None = None,
) -> list[Condition]:
    """Return `conditions` with one of them set, at its old place or at the end.

    The transition time becomes `now`, in whole seconds of UTC, only where `status` differs from before. Of a message
    that is too long, as of an API server that repeats what it refuses, the beginning is kept.
    Raises ValueError for a `now` without a time zone.
    """
    if now.tzinfo is None:
        raise ValueError("now needs a time zone")
    changed = list(conditions)
    place = next((i for i, condition in enumerate(changed) if condition.type == condition_type), len(changed))
    old = changed[place] if place < len(changed) else None
    same = old is not None and old.status == status
    changed[place : place + 1] = [
        Condition(
            type=condition_type,
            status=status,
            reason=reason,
            message=message if len(message) <= LONGEST_MESSAGE else f"{message[: LONGEST_MESSAGE - 1]}…",
            last_transition_time=old.last_transition_time if old and same else _whole_seconds(now),
            observed_generation=observed_generation,
        )
    ]
    return changed


def is_true(conditions: Iterable[Condition], condition_type: ConditionType) -> bool:
    """Tell whether the condition is there and true."""
    return any(condition.type == condition_type and condition.status == "True" for condition in conditions)


def _whole_seconds(now: datetime) -> datetime:
    return now.astimezone(UTC).replace(microsecond=0)
