"""Rounds of segments: which Job renders what is missing, and when another one takes over.

A round ends early when the job is resumed, when pods were taken away so often that the rest goes to nodes that stay
(a rescue), or when a pod hangs on a dead node. The next round has what is missing then. Two rounds never run together.
"""

from __future__ import annotations

from ecg_api.conditions import ConditionType, Reason
from ecg_api.names import Role
from ecg_operator.decide.draft import Draft
from ecg_operator.decide.jobs import is_gone, out_of_time, pod_is_lost, report_is_lost
from ecg_operator.decide.usage import settle_all
from ecg_operator.manifests import Round, segment_job
from ecg_operator.model import CreateJob, DeleteJob, JobView, SetParallelism

_SOON = 2.0
_KUEUE_LABEL = "kueue.x-k8s.io/queue-name"


def render(draft: Draft) -> bool:
    """Have the missing segments rendered."""
    if not draft.missing:
        message = f"All {draft.total} segments are in storage." if draft.total else "All was in storage before."
        draft.condition(ConditionType.RENDERED, "True", Reason.SEGMENTS_RENDERED, message)
        return False
    _say_rendering(draft)
    _consider_rescue(draft)
    job = draft.child(Role.SEGMENTS)
    if job is not None and job.owned and not job.deleting:
        _consider_another_round(draft, job)
    if _end_other_rounds(draft):
        draft.look_again(_SOON)
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
    """After many disruptions, leave nodes that may be taken away."""
    disrupted = draft.disruptions
    due = disrupted >= draft.spec.retry.on_demand_after
    if draft.run.on_demand or not due or not draft.policy.on_demand_node_selector:
        return
    draft.note(on_demand=True)
    if disrupted:
        _next_round(draft)
        message = f"After {disrupted} disruptions, {len(draft.missing)} segments move to on-demand nodes."
        draft.tell("Warning", "MovedToOnDemand", message)


def _consider_another_round(draft: Draft, job: JobView) -> None:
    """Leave a round that cannot be finished, though nothing says that another would fail."""
    if pod_is_lost(draft, job):
        reason = "a pod hangs on a node that does not answer"
    elif out_of_time(job):
        reason = job.message or job.reason
    elif report_is_lost(draft, job):
        reason = f"Job {job.name} is complete without them"
    else:
        return
    _next_round(draft)
    draft.tell("Warning", "SegmentsMoved", f"{len(draft.missing)} segments go to another Job: {reason}.")


def _next_round(draft: Draft) -> None:
    settle_all(draft)
    draft.note(round=draft.run.round + 1, unseen_since=None, waiting_since=None)


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
    share = max(draft.observation.verdict.segments, 1)
    round_ = Round(draft.run.round, missing, min(share, len(missing)), draft.run.on_demand)
    draft.act(CreateJob(segment_job(draft.owner, draft.job, round_, draft.policy)))


def _grow(draft: Draft, job: JobView) -> None:
    """Use room that became free. Never shrink: that would kill pods in the middle of their work."""
    if _KUEUE_LABEL in draft.observation.labels:
        return  # Kueue decides, and may have let in fewer
    wanted = min(draft.observation.verdict.segments, len(draft.missing))
    if wanted > job.parallelism:
        draft.act(SetParallelism(job.name, wanted))
