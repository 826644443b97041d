"""When a running job has to be given up, and what is said about it.

The reasons, in the order in which they are looked for:

0. plan or pieces gone, or another release's    no failure: a new plan, three times
1. a pod failed in a way that would repeat      at once, whatever the Job controller does
2. a pod failed too often                       retry.perSegment
3. the Job controller gave up                   in words of the pod that failed, or its own
4. too many disruptions                         retry.disruptions; 1 to 4 cost a size alone if they hit no other
5. too late                                     deadlines

Why a pod failed:

pod ─┬─ OOMKilled                      memory limit
     ├─ report in its message          what the worker said
     ├─ exit code of the table         the code, without a report
     ├─ exit code above 128            the signal
     └─ anything else                  what Kubernetes says
"""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Iterable

from ecg_api.conditions import ConditionType, Reason
from ecg_api.failures import FIRST_EXIT_CODE, FIRST_RETRYABLE_EXIT_CODE, RULES, Failure, FailureCode
from ecg_api.names import SIGTERM_EXIT_CODE, Role
from ecg_api.renditions import content_of
from ecg_api.status import RenditionStatus
from ecg_operator.decide.children import (
    failed,
    is_rescue,
    out_of_time,
    reported_failure,
    running,
    segment_of,
    succeeded,
)
from ecg_operator.decide.draft import SOON, Draft, times
from ecg_operator.decide.ending import STAGE_CONDITIONS, fail, failure, stage_of
from ecg_operator.decide.harvest import next_round, settle_all
from ecg_operator.manifests import memory_limit
from ecg_operator.model import DeleteJob, JobView, PodView

Ending = tuple[Failure, Reason]

_MOST_PLANS_AGAIN = 3
_JOBS_OF_A_PLAN = 3
"""About so many, of which one is the plan's own."""


def give_up(draft: Draft) -> bool:
    """Fail the job if something has happened that cannot be mended; tell of tries that are repeated."""
    job = draft.current()
    if job is not None and _pieces_are_gone(draft, job):
        _plan_again(draft)
        return True
    found = _from_children(draft, job) if job is not None else None
    found = found or _disruptions(draft) or _deadlines(draft)
    if found is not None:
        fail(draft, *found)
        return True
    _leave_given_up(draft)
    for pod in draft.newly_failed:
        if segment_of(draft, pod) not in draft.given_up:
            _tell_retry(draft, pod)
    return False


def _pieces_are_gone(draft: Draft, job: JobView) -> bool:
    """Tell whether a pod misses pieces in storage that the plan counts on; not if that happens again and again."""
    each = 1 if job.role is Role.PLAN else _JOBS_OF_A_PLAN  # the plan's own pod only misses pieces if it has gone on
    if len(draft.run.superseded) >= each * _MOST_PLANS_AGAIN:
        return False
    reports = (reported_failure(pod) for pod in _failed_pods(draft, job))
    return any(report is not None and report.plan_again for report in reports)


def _plan_again(draft: Draft) -> None:
    """Begin with a new plan: it finds what is still in storage, and only what is gone is rendered."""
    settle_all(draft)
    jobs = [job for job in draft.observation.jobs if job.owned and job.role is not Role.CLEAN]
    superseded = dict.fromkeys((*draft.run.superseded, *(job.uid for job in jobs)))
    nothing_done = {"completed": "", "frames": 0, "takes": [], "given_up": []}
    nothing_waits = {"unseen_since": None, "waiting_since": None}
    draft.note(superseded=list(superseded), round=draft.run.round + 1, **nothing_done, **nothing_waits)
    draft.change(plan=None, segments=None, outputs=[])
    message = "Plan or finished pieces are gone, or are another release's; the job is planned again."
    for condition, _ in STAGE_CONDITIONS.values():
        draft.condition(condition, "False", Reason.PLANNING, message)
    draft.act(*(DeleteJob(job.name) for job in jobs if not job.deleting))
    draft.tell("Warning", "PlannedAgain", message)
    draft.look_again(SOON)


def _from_children(draft: Draft, job: JobView) -> Ending | None:
    """Return why the job cannot go on; what only renditions of another size need is given up by itself."""
    while (found := _from_pods(draft, job) or _from_job(draft, job)) is not None:
        take = draft.take_of(found[0].segment) if job.role is Role.SEGMENTS else 0
        if not take or take in draft.run.given_up:
            return found
        _give_up_size(draft, take, found[0])
    return None


def _give_up_size(draft: Draft, take: int, found: Failure) -> None:
    """List what is made of a size as failed with `found`; everything else is still made."""
    lost = [one for place, one in enumerate(draft.spec.renditions) if place in draft.run.takes[take].renditions]
    outputs = [RenditionStatus(name=one.title, content=content_of(one), uri=one.uri, failure=found) for one in lost]
    draft.note(given_up=[*draft.run.given_up, take], unseen_since=None)
    draft.change(outputs=[*draft.status.outputs, *outputs])
    if draft.status.segments is not None:
        draft.change(segments=draft.status.segments.model_copy(update={"failed": len(draft.given_up)}))
    names = ", ".join(one.title for one in lost)
    draft.tell("Warning", Reason.RENDITION_FAILED, f"{names} cannot be made, the rest goes on. {found.message}")


def _leave_given_up(draft: Draft) -> None:
    """Go to another round, or none, where pods render for nothing; not while a pod of what is wanted would be stopped.

    Finished pieces are in storage, but the one that a pod is at would be rendered again.
    """
    job = draft.child(Role.SEGMENTS)
    if job is None or not job.owned or job.deleting:
        return
    if not draft.given_up.intersection(job.segments) - _over(draft, job):
        return
    missing = draft.missing
    if not any(running(pod) and segment_of(draft, pod) in missing for pod in draft.pods_of(job)):
        next_round(draft)  # the merge, too, ends the Jobs of others


def _over(draft: Draft, job: JobView) -> set[int]:
    """Return the segments of `job` that get no pod any more: the Job controller says so, or their pods do."""
    pods = draft.pods_of(job)
    tries = Counter(pod.index for pod in _unforced(pod for pod in pods if failed(pod)))
    over = {pod.index for pod in pods if succeeded(pod) or (failed(pod) and never_again(pod))}
    over |= {index for index, count in tries.items() if count >= _tries_allowed(draft)}
    over |= job.failed_indexes | job.completed
    return {segment for index, segment in enumerate(job.segments) if index in over}


def _unforced(pods: Iterable[PodView]) -> list[PodView]:
    # Who was told to stop may have been so by Kueue, which takes no try away; the Job controller knows.
    return [pod for pod in pods if pod.exit_code != SIGTERM_EXIT_CODE]


def _tries_allowed(draft: Draft) -> int:
    return draft.spec.retry.per_segment + 1


def _from_pods(draft: Draft, job: JobView) -> Ending | None:
    pods = _failed_pods(draft, job)
    final = next((pod for pod in pods if never_again(pod)), None)
    if final is not None:
        return failure_of(draft, final), STAGE_CONDITIONS[stage_of(draft)][1]
    unforced = _unforced(pods)
    tries = Counter(pod.index for pod in unforced)
    exhausted = next((pod for pod in unforced if tries[pod.index] >= _tries_allowed(draft)), None)
    return _exhausted(draft, exhausted, tries[exhausted.index]) if exhausted is not None else None


def _from_job(draft: Draft, job: JobView) -> Ending | None:
    lost = {job.segments[index] for index in job.failed_indexes if index < len(job.segments)}
    unexpected = lost.intersection(draft.missing)
    if not (unexpected or (job.failed and not lost)) or out_of_time(job):
        return None
    pods = _failed_pods(draft, job)
    # The Jobs' watch may be ahead of the pods': a pod of another index is not to blame.
    given_up = [pod for pod in pods if pod.index in job.failed_indexes] or ([] if lost else pods)
    if given_up:
        return _exhausted(draft, given_up[0], sum(pod.index == given_up[0].index for pod in pods))
    if draft.run.unseen_since is None:
        draft.note(unseen_since=draft.now)
    if not draft.reached(draft.run.unseen_since, draft.policy.unseen_seconds):
        return None
    first = min(unexpected, default=None)
    message = f"Job {job.name} failed ({job.reason or 'no reason given'}), and no pod of it is left: {job.message}"
    if first is not None:
        message = f"Index {job.segments.index(first)} of Job {job.name} was given up, and no pod of it is left."
    found = failure(FailureCode.UNEXPECTED_ERROR, message)
    return found.model_copy(update={"segment": first}), Reason.RESULT_LOST


def _failed_pods(draft: Draft, job: JobView) -> list[PodView]:
    """Return failed pods of what is not done yet, the latest first."""
    pods = [pod for pod in draft.pods_of(job) if failed(pod)]
    if job.role is Role.SEGMENTS:
        over = draft.completed | draft.given_up
        pods = [pod for pod in pods if segment_of(draft, pod) not in over]
    return sorted(pods, key=lambda pod: (pod.finished_at or pod.created_at, pod.name), reverse=True)


def _exhausted(draft: Draft, pod: PodView, count: int) -> Ending:
    found = failure_of(draft, pod)
    times = "1 try" if count == 1 else f"{count} tries"
    return found.model_copy(update={"message": f"{found.message} Given up after {times}."}), Reason.RETRIES_EXHAUSTED


def _disruptions(draft: Draft) -> Ending | None:
    """Return why the job cannot go on; sizes that lost pods are given up by themselves if the rest was not too often.

    Of a size of which all is there, or nothing is wanted any more, no loss counts.
    """
    limit = draft.spec.retry.disruptions
    wanted = {0, *(draft.take_of(segment) for segment in draft.missing)}
    losses = [lost for lost in draft.run.disrupted if lost.take in wanted]
    count = times(losses)
    if count <= limit:
        return None
    message = (
        f"Kubernetes took pods away {count} times (lost nodes, evictions; {len(losses)} pods); "
        f"spec.retry.disruptions allows {limit}."
    )
    found = failure(FailureCode.SYSTEM_RESOURCE_ERROR, message, "Render on nodes that stay, or allow more.")
    if times(lost for lost in losses if not lost.take) > limit:
        return found, Reason.DISRUPTIONS_EXHAUSTED
    for take in sorted({lost.take for lost in losses if lost.take}):
        _give_up_size(draft, take, found)
    return None


def _deadlines(draft: Draft) -> Ending | None:
    deadlines = draft.spec.deadlines
    if draft.run.held_since is None and draft.reached(draft.run.admitted_at, deadlines.active_seconds):
        message = f"Not finished {deadlines.active_seconds} s after admission (spec.deadlines.activeSeconds)."
        hint = "Allow more time, more segments, or a faster encoder."
        return failure(FailureCode.RENDERING_TIMEOUT, message, hint), Reason.ACTIVE_DEADLINE_EXCEEDED
    job = draft.current()
    if job is not None and is_rescue(draft, job):
        return None  # it goes back to other nodes first
    if not draft.reached(draft.run.waiting_since, deadlines.pending_seconds):
        return None
    scheduled = next(c for c in draft.status.conditions if c.type == ConditionType.SCHEDULED)
    no_gpu = scheduled.reason == Reason.GPU_UNAVAILABLE
    code = FailureCode.GPU_NOT_AVAILABLE if no_gpu else FailureCode.TIMEOUT_ERROR
    message = f"No pod could run for {deadlines.pending_seconds} s (spec.deadlines.pendingSeconds). {scheduled.message}"
    return failure(code, message), Reason.PENDING_DEADLINE_EXCEEDED


def _tell_retry(draft: Draft, pod: PodView) -> None:
    what = "Segment" if pod.role is Role.SEGMENTS else pod.role.capitalize()
    job = draft.child(pod.role)
    if pod.exit_code == SIGTERM_EXIT_CODE and job is not None and job.suspended:
        subject = _subject(pod, segment_of(draft, pod))
        draft.tell(
            "Normal", f"{what}Suspended", f"{subject} was stopped by a queue (Kueue). It begins anew when let in."
        )
        return
    found = failure_of(draft, pod)
    draft.tell("Warning", f"{what}Retried", f"{found.code}: {found.message} It is tried again.")


_OOM = "OOMKilled"
_TAIL_LINES = 10
_TAIL_WIDTH = 300


def failure_of(draft: Draft, pod: PodView) -> Failure:
    """Return why `pod` failed."""
    segment = segment_of(draft, pod)
    report = reported_failure(pod)
    if pod.ended == _OOM:
        return _out_of_memory(draft, pod, segment)
    if report is not None:
        code = report.failure.code
        found = report.failure.segment
        changes = {"retryable": RULES[code].retryable, "segment": segment if found is None else found}
        return report.failure.model_copy(update=changes)
    return Failure(
        code=_code_of(pod.exit_code),
        message=f"{_subject(pod, segment)} {_end_of(pod).rstrip('. ')}.",
        hint="The lines below are the last that it wrote." if _tail(pod) else "",
        retryable=not never_again(pod),
        segment=segment,
        log_tail=_tail(pod),
    )


def never_again(pod: PodView) -> bool:
    """Tell whether another try would fail in the same way; by the exit code, as the Job's own policy does."""
    return pod.exit_code is not None and FIRST_EXIT_CODE <= pod.exit_code < FIRST_RETRYABLE_EXIT_CODE


def _out_of_memory(draft: Draft, pod: PodView, segment: int | None) -> Failure:
    renders = any(job.uid == pod.job_uid and job.segments for job in draft.observation.jobs)
    role = Role.SEGMENTS if renders else pod.role
    limit = memory_limit(role, draft.observation.job, draft.policy)
    ours = f"{role.upper()}_MEMORY_LIMIT of the operator"
    setting = "spec.placement.resources.limits.memory" if role is Role.SEGMENTS else ours
    return Failure(
        code=FailureCode.SYSTEM_RESOURCE_ERROR,
        message=f"{_subject(pod, segment)} was killed ({_OOM}): it needed more memory than its limit"
        f"{f' of {limit}' if limit else ''}.",
        hint=f"Raise the memory limit ({setting}), or render at a smaller size.",
        retryable=True,
        segment=segment,
        log_tail=_tail(pod),
    )


def _subject(pod: PodView, segment: int | None) -> str:
    what = f"segment {segment}" if segment is not None else str(pod.role)
    where = f" on node {pod.node}" if pod.node else ""
    return f"The pod of {what} ({pod.name}{where})"


def _end_of(pod: PodView) -> str:
    code = pod.exit_code
    if code is None:
        return f"ended before its container did: {pod.said or pod.ended or 'Kubernetes gives no reason'}"
    if pod.said:
        return f"ended with exit code {code} and left no report. Kubernetes says: {pod.said}"
    if code == SIGTERM_EXIT_CODE:
        return "was told to stop (SIGTERM)"
    if code > 128 and _signal(code):
        return f"was killed by {_signal(code)} (exit code {code}) and left no report"
    return f"ended with exit code {code} and left no report"


def _signal(code: int) -> str:
    try:
        return signal.Signals(code - 128).name
    except ValueError:
        return ""


def _code_of(exit_code: int | None) -> FailureCode:
    codes = (code for code, rule in RULES.items() if rule.exit_code == exit_code)
    return next(codes, FailureCode.UNEXPECTED_ERROR)


def _tail(pod: PodView) -> list[str]:
    """Return the last lines that the pod wrote: Kubernetes puts them where a report is missing."""
    report = reported_failure(pod)
    if report is not None:
        return report.failure.log_tail
    lines = [line[:_TAIL_WIDTH] for line in pod.message.splitlines() if line.strip()]
    return lines[-_TAIL_LINES:]
