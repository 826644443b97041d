"""When a running job has to be given up, in the order in which the reasons are looked for.

0. pieces that were in storage are gone         no failure: a new plan, three times
1. a pod failed in a way that would repeat      at once, whatever the Job controller does
2. a pod failed too often                       retry.perSegment
3. the Job controller gave up                   in words of the pod that failed, or its own
4. too many disruptions                         retry.disruptions
5. too late                                     deadlines
"""

from __future__ import annotations

from ecg_api.conditions import ConditionType, Reason
from ecg_api.failures import Failure, FailureCode
from ecg_api.names import SIGTERM_EXIT_CODE, Role
from ecg_operator.decide.draft import Draft
from ecg_operator.decide.ending import STAGE_CONDITIONS, fail, failure
from ecg_operator.decide.failures import failure_of, never_again, segment_of
from ecg_operator.decide.jobs import out_of_time
from ecg_operator.decide.pods import failed, reported_failure
from ecg_operator.decide.usage import settle_all
from ecg_operator.model import DeleteJob, JobView, PodView

Ending = tuple[Failure, Reason]

_MOST_SUPERSEDED = 9
"""Jobs of plans that were given up: a plan has about three."""
_SOON = 2.0


def give_up(draft: Draft) -> bool:
    """Fail the job if something has happened that cannot be mended; tell of tries that are repeated."""
    job = draft.current()
    if job is not None and _pieces_are_gone(draft, job):
        _plan_again(draft)
        return True
    found = (_from_pods(draft, job) or _from_job(draft, job)) if job is not None else None
    found = found or _disruptions(draft) or _deadlines(draft)
    if found is not None:
        fail(draft, *found)
        return True
    for pod in draft.newly_failed:
        _tell_retry(draft, pod)
    return False


def _pieces_are_gone(draft: Draft, job: JobView) -> bool:
    """Tell whether a pod misses pieces in storage that the plan counts on; not if that happens again and again."""
    if len(draft.run.superseded) >= _MOST_SUPERSEDED:
        return False
    reports = (reported_failure(pod) for pod in _failed_pods(draft, job))
    return any(report is not None and report.plan_again for report in reports)


def _plan_again(draft: Draft) -> None:
    """Begin with a new plan: it finds what is still in storage, and only what is gone is rendered."""
    settle_all(draft)
    jobs = [job for job in draft.observation.jobs if job.owned and job.role is not Role.CLEAN]
    superseded = dict.fromkeys((*draft.run.superseded, *(job.uid for job in jobs)))
    nothing_done = {"completed": "", "frames": 0, "unseen_since": None, "waiting_since": None}
    draft.note(superseded=list(superseded), round=draft.run.round + 1, **nothing_done)
    draft.change(plan=None, segments=None)
    message = "Finished pieces that were in storage are gone; the job is planned again."
    for condition, _ in STAGE_CONDITIONS.values():
        draft.condition(condition, "False", Reason.PLANNING, message)
    draft.act(*(DeleteJob(job.name) for job in jobs if not job.deleting))
    draft.tell("Warning", "PlannedAgain", message)
    draft.look_again(_SOON)


def _from_pods(draft: Draft, job: JobView) -> Ending | None:
    pods = _failed_pods(draft, job)
    final = next((pod for pod in pods if never_again(pod)), None)
    if final is not None:
        return failure_of(draft, final), STAGE_CONDITIONS[job.role][1]
    tries = draft.spec.retry.per_segment + 1
    # Who was told to stop may have been so by Kueue, which takes no try away; the Job controller knows.
    unforced = [pod for pod in pods if pod.exit_code != SIGTERM_EXIT_CODE]
    for pod in unforced:
        count = sum(other.index == pod.index for other in unforced)
        if count >= tries:
            return _exhausted(draft, pod, count)
    return None


def _from_job(draft: Draft, job: JobView) -> Ending | None:
    if not (job.failed or job.failed_indexes) or out_of_time(job):
        return None
    pods = _failed_pods(draft, job)
    given_up = [pod for pod in pods if pod.index in job.failed_indexes] or pods
    if given_up:
        return _exhausted(draft, given_up[0], sum(pod.index == given_up[0].index for pod in pods))
    # The Jobs' watch may be ahead of the pods'.
    if draft.run.unseen_since is None:
        draft.note(unseen_since=draft.now)
    if not draft.reached(draft.run.unseen_since, draft.policy.unseen_seconds):
        return None
    message = f"Job {job.name} failed ({job.reason or 'no reason given'}), and no pod of it is left: {job.message}"
    return failure(FailureCode.UNEXPECTED_ERROR, message), Reason.RESULT_LOST


def _failed_pods(draft: Draft, job: JobView) -> list[PodView]:
    """Return failed pods of what is not done yet, the latest first."""
    pods = [pod for pod in draft.pods_of(job) if failed(pod)]
    if job.role is Role.SEGMENTS:
        done = draft.completed
        pods = [pod for pod in pods if segment_of(draft, pod) not in done]
    return sorted(pods, key=lambda pod: (pod.finished_at or pod.created_at, pod.name), reverse=True)


def _exhausted(draft: Draft, pod: PodView, count: int) -> Ending:
    found = failure_of(draft, pod)
    times = "1 try" if count == 1 else f"{count} tries"
    return found.model_copy(update={"message": f"{found.message} Given up after {times}."}), Reason.RETRIES_EXHAUSTED


def _disruptions(draft: Draft) -> Ending | None:
    count, limit = draft.disruptions, draft.spec.retry.disruptions
    if count <= limit:
        return None
    pods = len(draft.run.disrupted)
    message = (
        f"Kubernetes took pods away {count} times (lost nodes, evictions; {pods} pods); "
        f"spec.retry.disruptions allows {limit}."
    )
    hint = "Render on nodes that stay, or allow more."
    return failure(FailureCode.SYSTEM_RESOURCE_ERROR, message, hint), Reason.DISRUPTIONS_EXHAUSTED


def _deadlines(draft: Draft) -> Ending | None:
    deadlines = draft.spec.deadlines
    if draft.run.held_since is None and draft.reached(draft.run.admitted_at, deadlines.active_seconds):
        message = f"Not finished {deadlines.active_seconds} s after admission (spec.deadlines.activeSeconds)."
        hint = "Allow more time, more segments, or a faster encoder."
        return failure(FailureCode.RENDERING_TIMEOUT, message, hint), Reason.ACTIVE_DEADLINE_EXCEEDED
    if not draft.reached(draft.run.waiting_since, deadlines.pending_seconds):
        return None
    scheduled = next(c for c in draft.status.conditions if c.type == ConditionType.SCHEDULED)
    no_gpu = scheduled.reason == Reason.GPU_UNAVAILABLE
    code = FailureCode.GPU_NOT_AVAILABLE if no_gpu else FailureCode.TIMEOUT_ERROR
    message = f"No pod could run for {deadlines.pending_seconds} s (spec.deadlines.pendingSeconds). {scheduled.message}"
    return failure(code, message), Reason.PENDING_DEADLINE_EXCEEDED


def _tell_retry(draft: Draft, pod: PodView) -> None:
    found = failure_of(draft, pod)
    what = "Segment" if pod.role is Role.SEGMENTS else pod.role.capitalize()
    draft.tell("Warning", f"{what}Retried", f"{found.code}: {found.message} It is tried again.")
