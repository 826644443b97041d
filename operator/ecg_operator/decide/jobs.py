"""What can be said of a child Job, and of its name."""

from __future__ import annotations

from ecg_operator.decide.draft import Draft
from ecg_operator.decide.pods import lost
from ecg_operator.model import JobView

_SOON = 2.0
_OUT_OF_TIME = "DeadlineExceeded"


def out_of_time(job: JobView) -> bool:
    """Tell whether the Job ran into its own deadline: too early, since the RenderJob's was put off meanwhile."""
    return job.failed and job.reason == _OUT_OF_TIME


def is_gone(draft: Draft, job: JobView | None) -> bool:
    """Tell whether a Job's name is free; if a Job is on its way out or somebody else's, look again soon."""
    if job is not None and (job.deleting or not job.owned):
        draft.look_again(_SOON)
    return job is None


def report_is_lost(draft: Draft, job: JobView) -> bool:
    """Tell whether `job` is over, but what it has to say was not seen for too long."""
    if not job.complete:
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
