"""How far telling the backend has come, on the RenderJob's status, for people and `kubectl wait`. Pure.

The relay works from its record in the ticket; this is a copy of the part that people ask for. It is written only when
something goes wrong, and at the end.

Two write the status, each its own fields by server-side apply, so that neither waits for the other's version:

| field manager        | fields                                                                        |
|----------------------|-------------------------------------------------------------------------------|
| `ecg-render-service` | `callback`, and of `conditions` the one of type `CallbackDelivered`           |
| the operator         | all other fields, and all other conditions                                    |
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from ecg_api.conditions import Condition, ConditionStatus, ConditionType, Reason
from ecg_api.renderjob import API_VERSION, KIND
from ecg_api.status import CallbackState, CallbackStatus
from ecg_shim.backends.cluster.jobs import Job, callback_values
from ecg_shim.relay.records import CallbackRecord, RecordState

_REASONS: dict[CallbackState, tuple[ConditionStatus, Reason, str]] = {
    CallbackState.PENDING: ("False", Reason.DELIVERING, "The backend has not been told the end yet."),
    CallbackState.RETRYING: ("False", Reason.DELIVERING, "The backend was not reached yet; it is tried again."),
    CallbackState.DELIVERED: ("True", Reason.DELIVERED, "The backend knows how the job has ended."),
    CallbackState.DEAD: ("False", Reason.DELIVERY_FAILED, "The backend could not be told how the job has ended."),
}
NOBODY: tuple[ConditionStatus, Reason, str] = (
    "False", Reason.NO_CALLBACK, "spec.callback names no address, so nobody was told how the job has ended."
)  # fmt: skip


def callback_status(record: CallbackRecord | None, job: Job, now: datetime) -> dict[str, Any] | None:
    """Return the service's part of the status, to be applied; None if the RenderJob says so already."""
    wanted = summary(record) if record is not None else None
    if wanted is None and job.told.callback is not None:
        wanted = CallbackStatus(state=CallbackState.PENDING)  # what went wrong goes well again
    if wanted is None:
        return _applied(job, _condition(job, *NOBODY, now)) if _tells_nobody(job) else None
    if callback_values(wanted) == job.told.callback:
        return None
    status, reason, message = _REASONS[wanted.state]
    if wanted.last_error and status == "False":
        message = f"{message} {wanted.last_error}"
    return _applied(job, _condition(job, status, reason, message, now), wanted)


def _tells_nobody(job: Job) -> bool:
    """Tell whether a job has ended of which nobody is told, and that is not yet said."""
    said = job.told.condition
    return job.finished and not job.callback_url and (said is None or said[1] != Reason.NO_CALLBACK)


def _condition(job: Job, status: ConditionStatus, reason: Reason, message: str, now: datetime) -> Condition:
    before = job.told.condition
    since = before[2] if before is not None and before[0] == status else now.replace(microsecond=0)
    kind = ConditionType.CALLBACK_DELIVERED
    return Condition(type=kind, status=status, reason=reason, message=message, last_transition_time=since)


def _applied(job: Job, condition: Condition, callback: CallbackStatus | None = None) -> dict[str, Any]:
    status: dict[str, Any] = {"conditions": [condition.model_dump(mode="json", exclude_none=True)]}
    if callback is not None:
        status["callback"] = callback.model_dump(mode="json", exclude_none=True)
    meta = {"name": job.name, "uid": job.uid}
    return {"apiVersion": API_VERSION, "kind": KIND, "metadata": meta, "status": status}


def summary(record: CallbackRecord) -> CallbackStatus | None:
    """Return what to say about a record; None while there is nothing but progress that arrives."""
    end = record.sending if record.sending is not None and record.sending.terminal else record.terminal
    tried = end.answered + end.unanswered if end is not None else record.failures
    error = end.error if end is not None and end.error else None
    match record.state:
        case RecordState.SETTLED:
            told = end.id if end is not None else None
            return CallbackStatus(state=CallbackState.DELIVERED, last_delivered=told, attempts=tried + 1)
        case RecordState.DEAD:
            return CallbackStatus(state=CallbackState.DEAD, attempts=tried, last_error=error)
        case RecordState.STOPPED:
            said = "The backend does not know the job (404)."
            return CallbackStatus(state=CallbackState.DEAD, attempts=max(1, tried), last_error=said)
    if tried:
        return CallbackStatus(state=CallbackState.RETRYING, attempts=tried, last_error=error)
    return CallbackStatus(state=CallbackState.PENDING) if end is not None else None
