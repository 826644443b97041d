"""A RenderJob, reduced to what the service tells about it. Pure.

A status that a newer operator has written stays readable: each part is read on its own, and what is not understood
counts as not there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from ecg_api.conditions import Condition, ConditionType
from ecg_api.failures import RULES, Failure, FailureCode
from ecg_api.status import CallbackStatus, OutputStatus, Phase, Progress, RenderMetrics, SegmentCounts
from ecg_shim.backends.cluster.names import CANCELLED, JOB_ID, PAYLOAD, SUBMITTED, object_name

M = TypeVar("M", bound=BaseModel)

FINISHED = (Phase.SUCCEEDED, Phase.FAILED, Phase.CANCELLED)


@dataclass(frozen=True)
class Job:
    """What matters of a RenderJob.

    Attributes:
        job_id: as the client named it; the RenderJob's own name if a person has made it.
        ours: made by the service.
        submitted_at: of the ticket that it was made for, else its creation.
        stopped: a client has cancelled it before it was finished; that stands, however the operator ended it.
        published: its output's address is public, and lasts.
        planned: there is a plan, so rendering has begun or could begin.
    """

    name: str
    uid: str
    version: int
    job_id: str
    ours: bool
    submitted_at: datetime
    payload_hash: str
    callback_url: str
    cancel: bool
    phase: str
    stopped: bool = False
    published: bool = False
    planned: bool = False
    progress: Progress | None = None
    segments: SegmentCounts | None = None
    output: OutputStatus | None = None
    metrics: RenderMetrics = field(default_factory=RenderMetrics)
    failure: Failure | None = None
    conditions: tuple[Condition, ...] = ()
    callback: CallbackStatus | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None

    @property
    def finished(self) -> bool:
        """Nothing will be rendered for it any more."""
        return self.phase in FINISHED

    def condition(self, kind: ConditionType) -> Condition | None:
        """Return a condition; None if it is not there."""
        return next((condition for condition in self.conditions if condition.type == kind), None)


def read(obj: Mapping[str, Any]) -> Job:
    """Return the RenderJob `obj`."""
    meta, spec, status = obj["metadata"], obj.get("spec") or {}, obj.get("status") or {}
    notes = meta.get("annotations") or {}
    ours = JOB_ID in notes and object_name(notes[JOB_ID]) == meta["name"]
    run = status.get("run") or {}
    phase = status.get("phase") or Phase.PENDING
    return Job(
        name=meta["name"],
        uid=meta["uid"],
        version=int(meta["resourceVersion"]),
        job_id=notes[JOB_ID] if ours else meta["name"],
        ours=ours,
        submitted_at=_time(notes.get(SUBMITTED) if ours else None) or datetime.fromisoformat(meta["creationTimestamp"]),
        payload_hash=notes.get(PAYLOAD, ""),
        callback_url=str((spec.get("callback") or {}).get("url", "")),
        cancel=spec.get("cancel") is True,
        phase=phase,
        stopped=CANCELLED in notes,
        published=bool((spec.get("output") or {}).get("publicBaseUrl")),
        planned="plan" in status,
        progress=_part(Progress, status.get("progress")),
        segments=_part(SegmentCounts, status.get("segments")),
        output=_part(OutputStatus, status.get("output")),
        metrics=_part(RenderMetrics, status.get("metrics")) or RenderMetrics(),
        failure=_failure(status.get("failure")),
        conditions=tuple(filter(None, (_part(Condition, one) for one in status.get("conditions") or ()))),
        callback=_part(CallbackStatus, status.get("callback")),
        started_at=_time(run.get("admittedAt")),
        finished_at=_time(run.get("finishedAt")) if phase in FINISHED else None,
    )


def _part(model: type[M], raw: object) -> M | None:
    try:
        return model.model_validate(raw)
    except ValidationError:
        return None


def _failure(raw: object) -> Failure | None:
    if not isinstance(raw, Mapping):
        return None
    known = _part(Failure, raw)
    if known is not None:
        return known
    code = FailureCode.UNEXPECTED_ERROR
    message = f"{raw.get('code', '')}: {raw.get('message', '')}"
    return Failure(code=code, message=message, hint=str(raw.get("hint", "")), retryable=RULES[code].retryable)


def _time(text: object) -> datetime | None:
    try:
        return datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None
