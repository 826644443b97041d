"""Why a pod failed, in the words of `status.failure`.

pod ─┬─ OOMKilled                      memory limit
     ├─ report in its message          what the worker said
     ├─ exit code of the table         the code, without a report
     ├─ exit code above 128            the signal
     └─ anything else                  what Kubernetes says
"""

from __future__ import annotations

import signal

from ecg_api.failures import FIRST_EXIT_CODE, FIRST_RETRYABLE_EXIT_CODE, RULES, Failure, FailureCode
from ecg_api.names import SIGTERM_EXIT_CODE, Role
from ecg_operator.decide.draft import Draft
from ecg_operator.decide.pods import reported_failure
from ecg_operator.manifests import memory_limit
from ecg_operator.model import JobView, PodView

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


def segment_of(draft: Draft, pod: PodView) -> int | None:
    """Return the segment that `pod` renders; None for other pods and if its Job is gone."""
    jobs = (job for job in draft.observation.jobs if job.role is Role.SEGMENTS and job.round == pod.round)
    job: JobView | None = next(jobs, None)
    if pod.role is not Role.SEGMENTS or job is None or pod.index is None:
        return None
    return job.segments[pod.index] if pod.index < len(job.segments) else None


def _out_of_memory(draft: Draft, pod: PodView, segment: int | None) -> Failure:
    limit = memory_limit(pod.role, draft.observation.job, draft.policy)
    ours = f"{pod.role.upper()}_MEMORY_LIMIT of the operator"
    setting = "spec.placement.resources.limits.memory" if pod.role is Role.SEGMENTS else ours
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
