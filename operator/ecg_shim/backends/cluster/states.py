"""Where a job stands in the words of clients, from its ticket and its RenderJob. Pure.

| RenderJob                            | told                                                       |
|--------------------------------------|------------------------------------------------------------|
| none yet; Pending, not begun         | queued                                                     |
| Planning                             | processing, 5 %                                            |
| Rendering                            | processing, 10 to 89 %                                     |
| Merging                              | processing, 90 %                                           |
| Succeeded / Failed / Cancelled       | completed / failed / cancelled                             |
| cancelled by a client                | cancelled, although the output may be there in the end     |
| any other with spec.cancel           | cancelled: whoever asked for it hears of no more progress  |
"""

from __future__ import annotations

from typing import Any

from ecg_api.status import Phase
from ecg_shim.backends.cluster.jobs import Job
from ecg_shim.backends.cluster.tickets import Stage, Ticket
from ecg_shim.backends.storage import SignedOutput
from ecg_shim.model import JobState, JobStatus, Output

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
        return {"status": status, "progress": 100, "message": COMPLETED, "output": _output(job, public_url)}
    if status is JobStatus.FAILED:
        message = job.failure.message if job.failure else "Rendering failed."
        return {"status": status, "progress": _percent(job), "message": message, "failure": job.failure}
    return {"status": status, "progress": _percent(job), "message": CANCELLED}


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
        **values,
    )
