"""How far telling the backend has come, on the RenderJob's status, for people and `kubectl wait`. Pure.

The relay works from its record in the ticket; this is a copy of the part that people ask for. It is written only when
something goes wrong, and at the end: never for progress, so that it does not get in the operator's way.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from ecg_api.conditions import ConditionType, Reason, set_condition
from ecg_api.status import CallbackState, CallbackStatus
from ecg_shim.backends.cluster.jobs import Job
from ecg_shim.relay.records import CallbackRecord, RecordState

_REASONS = {
    CallbackState.PENDING: ("False", Reason.DELIVERING, "The backend has not been told the end yet."),
    CallbackState.RETRYING: ("False", Reason.DELIVERING, "The backend was not reached yet; it is tried again."),
    CallbackState.DELIVERED: ("True", Reason.DELIVERED, "The backend knows how the job has ended."),
    CallbackState.DEAD: ("False", Reason.DELIVERY_FAILED, "The backend could not be told how the job has ended."),
}


def summary_patch(record: CallbackRecord | None, job: Job, now: datetime) -> dict[str, Any] | None:
    """Return the merge patch of the status; None if the RenderJob says so already, or there is nothing to say."""
    wanted = summary(record) if record is not None else None
    if wanted is None and job.callback is not None:
        wanted = CallbackStatus(state=CallbackState.PENDING)  # what went wrong goes well again
    if wanted is None or wanted == job.callback:
        return None
    status, reason, message = _REASONS[wanted.state]
    conditions = set_condition(
        job.conditions,
        ConditionType.CALLBACK_DELIVERED,
        "True" if status == "True" else "False",
        reason,
        f"{message} {wanted.last_error}" if wanted.last_error and status == "False" else message,
        now,
    )
    return {
        # Lists are replaced as a whole: of two writers, one has to look again.
        "metadata": {"resourceVersion": str(job.version), "uid": job.uid},
        "status": {
            "callback": {"lastError": None, "lastDelivered": None, **wanted.model_dump(mode="json", exclude_none=True)},
            "conditions": [one.model_dump(mode="json", exclude_none=True) for one in conditions],
        },
    }


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
