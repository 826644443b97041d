"""What can be said of child Jobs and their pods: ended and how, lost, out of time, which segment."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from ecg_api.conditions import ConditionType, is_true
from ecg_api.names import Role
from ecg_api.pods import FailureReport, decode_report
from ecg_operator.decide.draft import SOON, Draft
from ecg_operator.model import JobView, PodView


def ended(pod: PodView) -> bool:
    """Tell whether the pod is over, whatever came of it."""
    return pod.phase in ("Succeeded", "Failed") or pod.exit_code is not None


def succeeded(pod: PodView) -> bool:
    """Tell whether the pod did its work."""
    return ended(pod) and (pod.exit_code == 0 or (pod.exit_code is None and pod.phase == "Succeeded"))


def failed(pod: PodView) -> bool:
    """Tell whether the pod is over without having done its work, and nobody but itself is to blame."""
    return ended(pod) and not succeeded(pod) and not pod.disrupted


def running(pod: PodView) -> bool:
    """Tell whether the pod computes."""
    return pod.phase == "Running" and not ended(pod)


def lost(pod: PodView, now: datetime, patience: float) -> bool:
    """Tell whether the pod should have ended `patience` seconds ago, as on a node that is gone."""
    overdue = pod.gone_by is not None and now > pod.gone_by + timedelta(seconds=patience)
    return pod.deleting and not ended(pod) and overdue


def idle(job: JobView, pods: Iterable[PodView]) -> datetime | None:
    """Return since when none of the Job's pods works or waits: the last one's end; None while one does."""
    ours = [pod for pod in pods if pod.job_uid == job.uid]
    if not all(ended(pod) for pod in ours):
        return None
    return max((_over(pod) for pod in ours), default=job.created_at)


def _over(pod: PodView) -> datetime:
    # The node's clock may be ahead: what was seen to be over is over.
    return min((at for at in (pod.finished_at, pod.over_since) if at is not None), default=pod.created_at)


def live(pod: PodView, now: datetime, patience: float) -> bool:
    """Tell whether the pod may still write something."""
    return not ended(pod) and not lost(pod, now, patience)


def seconds(pod: PodView, now: datetime) -> float:
    """Return for how long the pod ran until it ended or, if it still runs, until `now`."""
    if pod.started_at is None:
        return 0.0
    if pod.finished_at is not None:  # both by the node's clock, however wrong
        return max((pod.finished_at - pod.started_at).total_seconds(), 0.0)
    return max((now - (pod.runs_since or pod.started_at)).total_seconds(), 0.0)


def reported_failure(pod: PodView) -> FailureReport | None:
    """Return the failure that the pod reported, if it came to that."""
    report = decode_report(pod.message)
    return report if isinstance(report, FailureReport) else None


_OUT_OF_TIME = "DeadlineExceeded"


def out_of_time(job: JobView) -> bool:
    """Tell whether the Job ran into its own deadline: too early, since the RenderJob's was put off meanwhile."""
    return job.failed and job.reason == _OUT_OF_TIME


def is_rescue(draft: Draft, job: JobView) -> bool:
    """Tell whether a Job was moved to nodes that stay; one that was to be there from the start was not."""
    return job.on_demand and draft.spec.retry.on_demand_after > 0


def is_gone(draft: Draft, job: JobView | None) -> bool:
    """Tell whether a Job's name is free; if a Job is on its way out or somebody else's, look again soon."""
    if job is not None and (job.deleting or not job.owned):
        draft.look_again(SOON)
    return job is None


def report_is_lost(draft: Draft, job: JobView) -> bool:
    """Tell whether `job` is over, but what it has to say was not seen for too long."""
    if not (job.complete or job.failed):
        return False
    if draft.run.unseen_since is None:
        draft.note(unseen_since=draft.now)
    return draft.reached(draft.run.unseen_since, draft.policy.unseen_seconds)


def pod_is_lost(draft: Draft, job: JobView) -> bool:
    """Tell whether a pod of `job` hangs on a node that does not answer; Kubernetes would wait for it for ever."""
    patience = draft.policy.lost_pod_seconds
    for pod in draft.pods_of(job):
        if pod.gone_by is not None and lost(pod, draft.observation.now, patience):
            return True
        if pod.deleting:
            draft.reached(pod.gone_by, patience)
    return False


def segment_of(draft: Draft, pod: PodView) -> int | None:
    """Return the segment that `pod` renders; None for other pods and if its Job is gone."""
    if pod.role is Role.PLAN and has_gone_on(draft):
        return 0
    jobs = (job for job in draft.observation.jobs if job.role is Role.SEGMENTS and job.round == pod.round)
    job: JobView | None = next(jobs, None)
    if pod.role is not Role.SEGMENTS or job is None or pod.index is None:
        return None
    return job.segments[pod.index] if pod.index < len(job.segments) else None


def has_gone_on(draft: Draft) -> bool:
    """Tell whether a pod that planned is, or was last, at the only segment: its plan comes with its report."""
    return draft.status.plan is None and is_true(draft.status.conditions, ConditionType.PLANNED)
