"""When a job may have pods: not while it is suspended, and not before admission lets it in."""

from __future__ import annotations

from ecg_api.conditions import ConditionType, Reason
from ecg_api.names import Role
from ecg_api.status import WorkFilesState
from ecg_operator.decide.draft import Draft
from ecg_operator.decide.usage import settle_all
from ecg_operator.model import DeleteChildren

_SOON = 2.0


def suspend(draft: Draft) -> bool:
    """Stop the pods of a suspended job; when it goes on, give it a new round for what is missing.

    A suspended job holds no place: it is admitted anew, and its active deadline then starts from the beginning.
    """
    was_suspended = draft.reason_of(ConditionType.SCHEDULED) == Reason.SUSPENDED
    if not draft.spec.suspend:
        if was_suspended:
            _resume(draft)
        return False
    if not was_suspended:
        settle_all(draft)
        draft.note(admitted_at=None, held_since=None, waiting_since=None, unseen_since=None)
        message = "Stopped, since spec.suspend is true; finished segments are kept."
        draft.condition(ConditionType.SCHEDULED, "False", Reason.SUSPENDED, message)
        draft.condition(ConditionType.SUSPENDED, "True", Reason.SUSPENDED, message)
        draft.tell("Normal", "Suspended", message)
        if draft.run.work_files is not WorkFilesState.NONE:
            # Not only what was seen: a Job may be so new that no watch has told of it.
            draft.act(DeleteChildren())
    elif any(job.owned and not job.deleting and job.role is not Role.CLEAN for job in draft.observation.jobs):
        draft.act(DeleteChildren())
        draft.look_again(_SOON)
    return True


def enqueue(draft: Draft) -> bool:
    """Let the job in if admission says so, else say how long the queue is."""
    if draft.run.admitted_at is not None:
        return False
    verdict = draft.observation.verdict
    if not verdict.admitted:
        message = f"{verdict.reason or 'Waiting for admission'}."
        draft.condition(ConditionType.SCHEDULED, "False", Reason.QUEUED, message)
        return True
    draft.note(admitted_at=draft.now)
    draft.change(start_time=draft.status.start_time or draft.now)
    message = "Admitted; the first pod is about to start."
    draft.condition(ConditionType.SCHEDULED, "False", Reason.NODE_PROVISIONING, message)
    draft.tell("Normal", "Admitted", message)
    return False


def _resume(draft: Draft) -> None:
    if draft.missing:
        draft.note(round=draft.run.round + 1)
    draft.condition(ConditionType.SCHEDULED, "False", Reason.QUEUED, "Goes on, since spec.suspend is false.")
    draft.condition(ConditionType.SUSPENDED, "False", Reason.RESUMED, "Goes on, since spec.suspend is false.")
    kept = f"; {len(draft.completed)} of {draft.total} segments are kept" if draft.total else ""
    draft.tell("Normal", "Resumed", f"Goes on, since spec.suspend is false{kept}.")
