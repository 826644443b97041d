"""Where a job stands in the words of clients, and what the service writes on a RenderJob's status. Pure.

| RenderJob                            | told                                                       |
|--------------------------------------|------------------------------------------------------------|
| none yet; Pending, not begun         | queued                                                     |
| Planning                             | processing, 5 %                                            |
| Rendering                            | processing, 10 to 89 %                                     |
| Merging                              | processing, 90 %                                           |
| Succeeded / Failed / Cancelled       | completed / failed / cancelled                             |
| cancelled by a client                | cancelled, although the output may be there in the end     |
| any other with spec.cancel           | cancelled: whoever asked for it hears of no more progress  |

Back on the status goes how far telling the backend has come, for people and `kubectl wait`: a copy of the part of the
relay's record that people ask for, written only when something goes wrong, and at the end; and where the job can be
watched. Each writes its own fields by server-side apply, so that nobody waits for another's version:

| field manager        | fields                                                                        |
|----------------------|-------------------------------------------------------------------------------|
| `ecg-render-service` | `callback`, and of `conditions` the one of type `CallbackDelivered`           |
| `ecg-render-live`    | `live`                                                                        |
| the operator         | all other fields, and all other conditions                                    |
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from ecg_api.conditions import Condition, ConditionStatus, ConditionType, Reason
from ecg_api.renderjob import API_VERSION, KIND
from ecg_api.status import CallbackState, CallbackStatus, LiveStatus, Phase
from ecg_shim.backends.cluster.render_jobs import Job, callback_values
from ecg_shim.backends.cluster.tickets import Stage, Ticket
from ecg_shim.backends.storage import SignedOutput
from ecg_shim.model import JobState, JobStatus, Output, below, live_path, told_under
from ecg_shim.relay.records import CallbackRecord, RecordState

PLANNING, RENDERING, MERGING = 5, 10, 90
BEFORE_ANY, LAST = 0, 2**62
"""Versions of states that no RenderJob has: before its first, after its last."""
WAITING, CANCELLED, COMPLETED = "Waiting for its turn", "Cancelled", "Completed"
_ENDS = {
    Phase.SUCCEEDED: JobStatus.COMPLETED,
    Phase.FAILED: JobStatus.FAILED,
    Phase.CANCELLED: JobStatus.CANCELLED,
}


def state_of(ticket: Ticket | None, job: Job | None, public_url: str = "") -> JobState | None:
    """Return where a job stands; None if there is none.

    Args:
        public_url: of the service; videos are then told by an address of it, and not by one that was signed.
    """
    if ticket is None:
        return None if job is None else of_job(job, public_url)
    if ticket.stage is Stage.TOMBSTONE:
        return None
    if ticket.stage in (Stage.FAILED, Stage.CANCELLED):
        return _ended_early(ticket)
    if job is not None and is_for(job, ticket):
        return of_job(job, public_url)
    return None if ticket.stage is Stage.ENDED else _queued(ticket)


def is_for(job: Job, ticket: Ticket) -> bool:
    """Tell whether a RenderJob was made for this very submission."""
    return job.job_id == ticket.job_id and job.submitted_at == ticket.submitted_at


def of_job(job: Job, public_url: str = "") -> JobState:
    """Return where a RenderJob stands."""
    return JobState(
        job_id=job.job_id,
        version=job.version,
        created_at=job.submitted_at,
        callback_url=job.callback_url,
        payload_hash=job.payload_hash,
        metrics=job.metrics,
        started_at=job.started_at,
        finished_at=job.finished_at,
        live=job.live,
        warnings=job.warnings,
        **_standing(job, public_url),
    )


def _standing(job: Job, public_url: str) -> dict[str, Any]:
    if job.stopped or (job.cancel and not job.finished):
        return {"status": JobStatus.CANCELLED, "progress": _percent(job), "message": CANCELLED}
    if job.finished:
        return _end(job, public_url)
    if _is_queued(job):
        return {"status": JobStatus.QUEUED, "message": job.waits or WAITING}
    return {
        "status": JobStatus.PROCESSING,
        "progress": max(1, _percent(job)),
        "message": job.waits or _doing(job),
        "eta_seconds": job.eta_seconds,
    }


def _end(job: Job, public_url: str) -> dict[str, Any]:
    status = _ENDS[Phase(job.phase)]
    if status is JobStatus.COMPLETED:
        return {"status": status, "progress": 100, "message": COMPLETED, **_results(job, public_url)}
    if status is JobStatus.FAILED:
        message = job.failure.message if job.failure else "Rendering failed."
        said = {"status": status, "progress": _percent(job), "message": message, "failure": job.failure}
        return said | (_results(job, public_url) if job.outputs else {})
    return {"status": status, "progress": _percent(job), "message": CANCELLED}


def _results(job: Job, public_url: str) -> dict[str, Any]:
    outputs = tuple(told_under(public_url, job.job_id, output) for output in job.outputs)
    return {"output": _output(job, public_url), "outputs": outputs}


def _output(job: Job, public_url: str) -> Output | None:
    output = job.output
    return output.told_as(public_url, job.job_id) if isinstance(output, SignedOutput) else output


def _is_queued(job: Job) -> bool:
    # A job that waits for its turn again, after a pause, has been told as processing already.
    return job.phase in (Phase.PENDING, Phase.SUSPENDED) and not job.planned


def _percent(job: Job) -> int:
    if job.phase == Phase.MERGING:
        return MERGING
    if not job.planned:
        return PLANNING if job.phase == Phase.PLANNING else 0
    return RENDERING + (MERGING - RENDERING) * min(job.percent, 99) // 100


def _doing(job: Job) -> str:
    if job.phase == Phase.MERGING:
        return "Merging segments and sound"
    if not job.planned:
        return "Reading video and scenario"
    done, total = job.segments
    return f"Rendering, {done} of {total} segments are done" if total else "Rendering"


def _queued(ticket: Ticket) -> JobState:
    return _of_ticket(ticket, BEFORE_ANY, status=JobStatus.QUEUED, message=WAITING)


def _ended_early(ticket: Ticket) -> JobState:
    if ticket.stage is Stage.CANCELLED:
        return _of_ticket(ticket, LAST, status=JobStatus.CANCELLED, message=CANCELLED, finished_at=ticket.changed_at)
    message = ticket.failure.message if ticket.failure else "The job cannot be rendered."
    return _of_ticket(
        ticket,
        LAST,
        status=JobStatus.FAILED,
        message=message,
        failure=ticket.failure,
        finished_at=ticket.changed_at,
    )


def _of_ticket(ticket: Ticket, version: int, **values: Any) -> JobState:
    return JobState(
        job_id=ticket.job_id,
        version=version,
        created_at=ticket.submitted_at,
        callback_url=ticket.callback_url,
        payload_hash=ticket.payload_hash,
        live=ticket.options.get("live") is True,
        **values,
    )


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


def live_status(job: Job, public_url: str) -> dict[str, Any] | None:
    """Return where a job can be watched, to be applied to its status; None if that says so, or nobody can."""
    url = below(public_url, live_path(job.job_id))
    if not public_url or not job.live_uri or job.finished or job.live_url == url:
        return None
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {"name": job.name, "uid": job.uid},
        "status": {"live": LiveStatus(url=url).model_dump(mode="json")},
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
