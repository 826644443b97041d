"""The work itself: one Job plans, rounds of Jobs render the segments, one Job merges.

Where `goes_on` says so, the pod that plans renders the only segment of a short video, too, and makes the output: then
there is no other Job, and the job is in the stage of planning, for whoever is to blame and to repeat, to its end.

A round ends early when the job is resumed, when pods were taken away so often that the rest goes to nodes that stay
(a rescue), or when a pod hangs on a dead node. The next round has what is missing then. Two rounds never run together.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from ecg_api.conditions import ConditionType, Reason
from ecg_api.failures import FailureCode
from ecg_api.names import Role
from ecg_api.renderjob import RenderJob
from ecg_api.status import WorkFilesState
from ecg_operator.decide.children import has_gone_on, is_gone, is_rescue, out_of_time, pod_is_lost, report_is_lost
from ecg_operator.decide.draft import SOON, Draft
from ecg_operator.decide.ending import fail, failure
from ecg_operator.decide.harvest import next_round
from ecg_operator.manifests import Owner, Round, goes_on, merge_job, plan_job, segment_job
from ecg_operator.model import CreateJob, DeleteJob, JobView, SetParallelism
from ecg_operator.policy import Manifest, Policy

_MOST_REPEATS = 3


def plan(draft: Draft) -> bool:
    """Have the plan made."""
    if draft.stage is not Role.PLAN:
        return False
    if not has_gone_on(draft):
        draft.condition(ConditionType.PLANNED, "False", Reason.PLANNING, "The plan is being made.")
    draft.note(work_files=WorkFilesState.WRITTEN)
    job = draft.child(Role.PLAN)
    if goes_on(draft.spec) and (job is None or job.segments):
        _consider_rescue(draft)
    if job is not None and job.owned and job.segments and draft.run.on_demand is not job.on_demand:
        draft.act(*([] if job.deleting else [DeleteJob(job.name)]))
        draft.look_again(SOON)
    else:
        _run_job(draft, Role.PLAN, partial(plan_job, on_demand=draft.run.on_demand))
    return True


def merge(draft: Draft) -> bool:
    """Have the segments merged."""
    if draft.reason_of(ConditionType.MERGED) != Reason.MERGING:
        draft.tell("Normal", "Merging", f"{_what_is_there(draft)} What is there is being merged.")
    draft.condition(ConditionType.MERGED, "False", Reason.MERGING, "The segments are being merged.")
    _end_other_rounds(draft)  # of a size that was given up
    _run_job(draft, Role.MERGE, partial(merge_job, given_up=draft.given_up))
    return True


def _what_is_there(draft: Draft) -> str:
    if not draft.total:
        return "All was in storage before."
    if not draft.given_up:
        return f"All {draft.total} segments are in storage."
    return f"{len(draft.completed)} of {draft.total} segments are in storage, the others are given up."


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
    # A merge that is complete has removed the work files: the next one finds no plan, and has the job planned again.
    # What is in storage by then is not rendered once more.
    if len(draft.run.redone) >= _MOST_REPEATS:
        message = f"Job {job.name} is over, but what its pod reported was lost, {_MOST_REPEATS} times before."
        hint = f"Look at {draft.spec.output.uri}: it may be there." if job.role is Role.MERGE or job.segments else ""
        fail(draft, failure(FailureCode.UNEXPECTED_ERROR, message, hint), Reason.RESULT_LOST)
        return
    draft.note(redone=[*draft.run.redone, job.uid], unseen_since=None)
    draft.act(DeleteJob(job.name))
    draft.tell("Warning", "JobRepeated", f"Job {job.name} runs again: what its pod did is lost.")


_KUEUE_LABEL = "kueue.x-k8s.io/queue-name"


def render(draft: Draft) -> bool:
    """Have the missing segments rendered."""
    if not draft.missing:
        draft.condition(ConditionType.RENDERED, "True", Reason.SEGMENTS_RENDERED, _what_is_there(draft))
        return False
    _say_rendering(draft)
    _consider_rescue(draft)
    job = draft.child(Role.SEGMENTS)
    if job is not None and job.owned and not job.deleting:
        _consider_another_round(draft, job)
    if _end_other_rounds(draft):
        draft.look_again(SOON)
        return True
    job = draft.child(Role.SEGMENTS)
    if is_gone(draft, job):
        _start(draft)
    elif job is not None and job.owned and not job.deleting:
        _grow(draft, job)
    return True


def _say_rendering(draft: Draft) -> None:
    if draft.reason_of(ConditionType.RENDERED) != Reason.RENDERING:
        draft.tell("Normal", "SegmentsStarted", f"{len(draft.missing)} of {draft.total} segments are to be rendered.")
    by = f" by {draft.status.encoder}" if draft.status.encoder else ""
    why = f" ({draft.status.encoder_reason})" if draft.status.encoder_reason else ""
    draft.condition(ConditionType.RENDERED, "False", Reason.RENDERING, f"The segments are being rendered{by}{why}.")


def _consider_rescue(draft: Draft) -> None:
    """After many disruptions, leave nodes that may be taken away; go back to them if no other takes the pods."""
    if draft.run.on_demand:
        _consider_return(draft)
        return
    disrupted = draft.disruptions
    due = disrupted >= draft.spec.retry.on_demand_after
    if draft.run.on_demand_in_vain or not due or not draft.policy.on_demand_node_selector:
        return
    draft.note(on_demand=True)
    if disrupted:
        next_round(draft)
        what = f"{len(draft.missing)} segments move" if draft.stage is Role.SEGMENTS else "the job moves"
        message = f"After {disrupted} disruptions, {what} to on-demand nodes."
        draft.tell("Warning", "MovedToOnDemand", message)


def _consider_return(draft: Draft) -> None:
    job, patience = draft.current(), draft.spec.deadlines.pending_seconds / 2
    if job is None or not is_rescue(draft, job) or not draft.reached(draft.run.waiting_since, patience):
        return
    draft.note(on_demand=False, on_demand_in_vain=True)
    next_round(draft)
    message = f"No on-demand node took a pod for {patience:.0f} s: what is missing goes to any node again."
    draft.tell("Warning", "LeftOnDemand", message)


def _consider_another_round(draft: Draft, job: JobView) -> None:
    """Leave a round that cannot be finished, though nothing says that another would fail."""
    if pod_is_lost(draft, job):
        reason = "a pod hangs on a node that does not answer"
    elif out_of_time(job):
        reason = job.message or job.reason
    elif report_is_lost(draft, job):
        reason = f"Job {job.name} is over without them"
    else:
        return
    next_round(draft)
    draft.tell("Warning", "SegmentsMoved", f"{len(draft.missing)} segments go to another Job: {reason}.")


def _end_other_rounds(draft: Draft) -> bool:
    """Delete Jobs of earlier rounds; tell whether one is still there."""
    others = [
        job
        for job in draft.observation.jobs
        if job.role is Role.SEGMENTS and job.round != draft.run.round and job.owned
    ]
    draft.act(*(DeleteJob(job.name) for job in others if not job.deleting))
    return bool(others)


def _start(draft: Draft) -> None:
    missing = draft.missing
    verdict = draft.observation.verdict
    if _KUEUE_LABEL in draft.observation.labels and 0 < verdict.wants < len(missing):
        draft.look_again(SOON)  # decided before there was a plan: with one pod, and a Job of Kueue's never grows
        return
    share = max(verdict.segments, 1)
    may_fail = sum(draft.take_of(segment) > 0 for segment in missing)
    round_ = Round(draft.run.round, missing, min(share, len(missing)), draft.run.on_demand, may_fail)
    draft.act(CreateJob(segment_job(draft.owner, draft.job, round_, draft.policy)))


def _grow(draft: Draft, job: JobView) -> None:
    """Use room that became free. Never shrink: that would kill pods in the middle of their work."""
    if _KUEUE_LABEL in draft.observation.labels:
        return  # Kueue decides, and may have let in fewer
    wanted = min(draft.observation.verdict.segments, len(draft.missing))
    if wanted > job.parallelism:
        draft.act(SetParallelism(job.name, wanted))
