"""How a job ends: succeeded, failed or cancelled. Children are told to stop; finished work is on the status."""

from __future__ import annotations

from ecg_api.conditions import ConditionType, Reason, is_true
from ecg_api.failures import RULES, Failure, FailureCode
from ecg_api.names import Role
from ecg_api.pods import MergeReport, SegmentReport, decode_report
from ecg_api.status import Progress, WorkFilesState
from ecg_operator.decide.draft import Draft
from ecg_operator.decide.pods import ended, succeeded
from ecg_operator.decide.usage import settle_all
from ecg_operator.model import DeleteChildren, PodView

STAGE_CONDITIONS = {
    Role.PLAN: (ConditionType.PLANNED, Reason.PLAN_FAILED),
    Role.SEGMENTS: (ConditionType.RENDERED, Reason.SEGMENT_FAILED),
    Role.MERGE: (ConditionType.MERGED, Reason.MERGE_FAILED),
}
"""The condition of each stage, and its reason when the stage has failed."""


def succeed(draft: Draft) -> bool:
    """End the job if the output is there; even if somebody cancels it at that moment, it is."""
    found = _merged(draft)
    if found is None or draft.status.plan is None:
        return False
    report, pod = found
    frames = draft.status.plan.frames_to_render or draft.status.plan.frames
    speed = draft.status.progress.frames_per_second if draft.status.progress is not None else 0.0
    progress = Progress(frames_done=frames, frames_total=frames, percent=100, frames_per_second=speed)
    draft.change(output=report.output, outputs=report.outputs)
    if succeeded(pod):
        draft.note(work_files=WorkFilesState.REMOVED)
    message = f"The output is at {report.output.uri}."
    missing = next((output for output in report.outputs if output.failure is not None), None)
    # Pods may start and end between two looks; what was said of their waiting would stay for ever.
    draft.condition(ConditionType.SCHEDULED, "True", Reason.PODS_RUNNING, "All pods have run.")
    draft.condition(ConditionType.MERGED, "True", Reason.OUTPUT_WRITTEN, " ".join([message, *report.warnings]))
    if missing is not None and missing.failure is not None:
        said = f"{message} The rendition {missing.name} is missing: {missing.failure.message}"
        fail(draft, missing.failure.model_copy(update={"message": said}), Reason.RENDITION_FAILED)
        return True
    draft.change(progress=progress)
    draft.condition(ConditionType.SUCCEEDED, "True", Reason.COMPLETED, message)
    _finish(draft, Reason.COMPLETED, message)
    _price_the_minute(draft, report.output.duration_seconds)
    draft.tell("Normal", "Succeeded", message)
    return True


def cancel(draft: Draft) -> bool:
    """End the job if a person wants it cancelled."""
    if draft.observation.job is None or not draft.spec.cancel:
        return False
    message = "Cancelled, since spec.cancel is true."
    draft.condition(ConditionType.SUCCEEDED, "False", Reason.CANCELLED, message)
    _finish(draft, Reason.CANCELLED, message)
    draft.tell("Normal", "Cancelled", message)
    return True


def fail(draft: Draft, failure: Failure, reason: Reason) -> None:
    """End the job with `failure`; the condition of the stage that it was in says so, too."""
    draft.change(failure=failure)
    if draft.run.admitted_at is not None:
        condition, stage_reason = STAGE_CONDITIONS[draft.stage]
        draft.condition(condition, "False", stage_reason, failure.message)
    draft.condition(ConditionType.SUCCEEDED, "False", reason, failure.message)
    draft.condition(ConditionType.FAILED, "True", reason, failure.message)
    _finish(draft, reason, failure.message)
    draft.tell("Warning", "Failed", f"{failure.code}: {failure.message}")


def failure(code: FailureCode, message: str, hint: str = "") -> Failure:
    """Return a failure that the operator itself found."""
    return Failure(code=code, message=message, hint=hint, retryable=RULES[code].retryable)


def _finish(draft: Draft, reason: Reason, message: str) -> None:
    settle_all(draft)
    draft.condition(ConditionType.FINISHED, "True", reason, message)
    if is_true(draft.status.conditions, ConditionType.SUSPENDED):
        draft.condition(ConditionType.SUSPENDED, "False", reason, message)
    draft.change(completion_time=draft.now)
    draft.note(finished_at=draft.now, held_since=None, waiting_since=None, unseen_since=None, settled=[])
    status = draft.status
    if status.progress is not None and status.output is None:
        draft.change(progress=status.progress.model_copy(update={"frames_per_second": 0.0, "eta_seconds": None}))
    if status.segments is not None:
        counts = {"active": 0, "succeeded": len(draft.completed), "failed": int(_names_segment(status.failure))}
        draft.change(segments=status.segments.model_copy(update=counts))
    if status.run is not None and status.run.work_files is not WorkFilesState.NONE:
        # In one call, and not only what was seen: a Job may be so new that no watch has told of it.
        grace = draft.policy.stop_grace_seconds
        draft.act(DeleteChildren(keep=frozenset({Role.CLEAN}), grace_seconds=grace))


def _price_the_minute(draft: Draft, video_seconds: float) -> None:
    usage = draft.status.usage
    if usage is not None and usage.cost is not None and video_seconds > 0:
        per_minute = round(usage.cost.total_micros * 60 / video_seconds)
        cost = usage.cost.model_copy(update={"per_minute_micros": per_minute})
        draft.change(usage=usage.model_copy(update={"cost": cost}))


def _names_segment(found: Failure | None) -> bool:
    return found is not None and found.segment is not None


def _merged(draft: Draft) -> tuple[MergeReport, PodView] | None:
    # A pod that was killed after it had reported has written the output all the same. The pod of a job's only segment
    # makes the output, too.
    for pod in draft.observation.pods:
        report = decode_report(pod.message) if pod.role in {Role.MERGE, Role.SEGMENTS} and ended(pod) else None
        merged = report.merged if isinstance(report, SegmentReport) else report
        if isinstance(merged, MergeReport):
            return merged, pod
    return None
