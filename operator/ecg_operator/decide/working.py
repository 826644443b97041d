"""The work itself: one Job after the other, plan, segments, merge."""

from __future__ import annotations

from collections.abc import Callable

from ecg_api.conditions import ConditionType, Reason
from ecg_api.failures import FailureCode
from ecg_api.names import Role
from ecg_api.renderjob import RenderJob
from ecg_api.status import WorkFilesState
from ecg_operator.decide.draft import Draft
from ecg_operator.decide.ending import fail, failure
from ecg_operator.decide.jobs import is_gone, out_of_time, pod_is_lost, report_is_lost
from ecg_operator.manifests import Owner, merge_job, plan_job
from ecg_operator.model import CreateJob, DeleteJob, JobView
from ecg_operator.policy import Manifest, Policy

_MOST_REPEATS = 3


def plan(draft: Draft) -> bool:
    """Have the plan made."""
    if draft.stage is not Role.PLAN:
        return False
    draft.condition(ConditionType.PLANNED, "False", Reason.PLANNING, "The plan is being made.")
    draft.note(work_files=WorkFilesState.WRITTEN)
    _run_job(draft, Role.PLAN, plan_job)
    return True


def merge(draft: Draft) -> bool:
    """Have the segments merged."""
    if draft.reason_of(ConditionType.MERGED) != Reason.MERGING:
        rendered = f"All {draft.total} segments are rendered; they are" if draft.total else "All was there; it is"
        draft.tell("Normal", "Merging", f"{rendered} being merged.")
    draft.condition(ConditionType.MERGED, "False", Reason.MERGING, "The segments are being merged.")
    _run_job(draft, Role.MERGE, merge_job)
    return True


def _run_job(draft: Draft, role: Role, build: Callable[[Owner, RenderJob, Policy], Manifest]) -> None:
    """Create the Job if it is not there; run it again if its result or its node is lost."""
    job = draft.child(role)
    if is_gone(draft, job):
        draft.act(CreateJob(build(draft.owner, draft.job, draft.policy)))
    if job is None or job.deleting or not job.owned:
        return
    if job.uid in draft.run.redone or job.uid in draft.run.superseded:
        draft.act(DeleteJob(job.name))
    elif report_is_lost(draft, job) or pod_is_lost(draft, job) or out_of_time(job):
        _repeat(draft, job)


def _repeat(draft: Draft, job: JobView) -> None:
    # A merge that is complete has removed the segments: it cannot be done once more.
    if len(draft.run.redone) >= _MOST_REPEATS or (job.role is Role.MERGE and job.complete):
        message = f"Job {job.name} is over, but what its pod reported was lost."
        hint = f"Look at {draft.spec.output.uri}: it may be there." if job.role is Role.MERGE else ""
        fail(draft, failure(FailureCode.UNEXPECTED_ERROR, message, hint), Reason.RESULT_LOST)
        return
    draft.note(redone=[*draft.run.redone, job.uid], unseen_since=None)
    draft.act(DeleteJob(job.name))
    draft.tell("Warning", "JobRepeated", f"Job {job.name} runs again: what its pod did is lost.")
