"""How a job ends: succeeded, failed or cancelled; and what is left to do then.

Children are told to stop, and finished work is on the status. Afterwards go the children, the work files, and at last
the RenderJob itself.
"""

from __future__ import annotations

from collections.abc import Collection

from ecg_api.conditions import ConditionType, Reason, is_true
from ecg_api.failures import RULES, Failure, FailureCode
from ecg_api.names import Role
from ecg_api.pods import MergeReport, PlanReport, SegmentReport, decode_report
from ecg_api.status import Progress, RenditionStatus, WorkFilesState
from ecg_operator.decide.children import ended, has_gone_on, live, succeeded
from ecg_operator.decide.draft import SOON, Draft
from ecg_operator.decide.harvest import settle_all
from ecg_operator.manifests import clean_job
from ecg_operator.model import CreateJob, DeleteChildren, DeleteJob, DeleteRenderJob, JobView, PodView

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
    given_up = {output.name for output in draft.status.outputs}
    draft.change(output=report.output, outputs=_in_order(draft, [*report.outputs, *draft.status.outputs]))
    draft.warn(report.warnings)
    if succeeded(pod) and not draft.given_up:  # whose pods may have written since
        draft.note(work_files=WorkFilesState.REMOVED)
    message = f"The output is at {report.output.uri}."
    # Pods may start and end between two looks; what was said of their waiting would stay for ever.
    draft.condition(ConditionType.SCHEDULED, "True", Reason.PODS_RUNNING, "All pods have run.")
    if not draft.missing:  # by the only segment's pod
        draft.condition(ConditionType.RENDERED, "True", Reason.SEGMENTS_RENDERED, "All segments have been rendered.")
    draft.condition(ConditionType.MERGED, "True", Reason.OUTPUT_WRITTEN, " ".join([message, *report.warnings]))
    if _is_incomplete(draft, message, given_up):
        return True
    draft.change(progress=progress)
    draft.condition(ConditionType.SUCCEEDED, "True", Reason.COMPLETED, message)
    _finish(draft, Reason.COMPLETED, message)
    _price_the_minute(draft, report.output.duration_seconds)
    draft.tell("Normal", "Succeeded", message)
    return True


def _is_incomplete(draft: Draft, message: str, given_up: Collection[str]) -> bool:
    """Fail the job if a rendition is missing: with the failure of the first, and the names of the others."""
    failures = {output.name: output.failure for output in draft.status.outputs if output.failure is not None}
    if not failures:
        return False
    first, *others = failures
    said = f"{message} The rendition {first} is missing: {failures[first].message}"
    if others:
        said += f" Also missing: {', '.join(others)}."
    stage = Role.SEGMENTS if first in given_up else Role.MERGE
    fail(draft, failures[first].model_copy(update={"message": said}), Reason.RENDITION_FAILED, stage)
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


def fail(draft: Draft, failure: Failure, reason: Reason, stage: Role | None = None) -> None:
    """End the job with `failure`; the condition of `stage`, by default of the one that it is in, says so, too."""
    if draft.run.admitted_at is not None:
        failure = failure.model_copy(update={"segment": 0}) if has_gone_on(draft) else failure
        condition, stage_reason = STAGE_CONDITIONS[stage or stage_of(draft)]
        draft.condition(condition, "False", stage_reason, failure.message)
    draft.change(failure=failure)
    draft.condition(ConditionType.SUCCEEDED, "False", reason, failure.message)
    draft.condition(ConditionType.FAILED, "True", reason, failure.message)
    _finish(draft, reason, failure.message)
    draft.tell("Warning", "Failed", f"{failure.code}: {failure.message}")


def stage_of(draft: Draft) -> Role:
    """Return the stage that is to blame: a pod that planned may have gone on with the segment."""
    return Role.SEGMENTS if has_gone_on(draft) else draft.stage


def failure(code: FailureCode, message: str, hint: str = "") -> Failure:
    """Return a failure that the operator itself found."""
    return Failure(code=code, message=message, hint=hint, retryable=RULES[code].retryable)


def _finish(draft: Draft, reason: Reason, message: str) -> None:
    settle_all(draft)
    draft.condition(ConditionType.FINISHED, "True", reason, message)
    if is_true(draft.status.conditions, ConditionType.SUSPENDED):
        draft.condition(ConditionType.SUSPENDED, "False", reason, message)
    ended_at = max(draft.now, draft.status.start_time or draft.now)  # a replica whose clock was ahead may have begun it
    draft.change(completion_time=ended_at)
    draft.note(finished_at=ended_at, held_since=None, waiting_since=None, unseen_since=None, settled=[])
    status = draft.status
    if status.progress is not None and status.output is None:
        draft.change(progress=status.progress.model_copy(update={"frames_per_second": 0.0, "eta_seconds": None}))
    if status.segments is not None:
        failed = draft.given_up | _failed_segment(status.failure)
        counts = {"active": 0, "succeeded": len(draft.completed), "failed": len(failed)}
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


def _failed_segment(found: Failure | None) -> frozenset[int]:
    return frozenset() if found is None or found.segment is None else frozenset({found.segment})


def _in_order(draft: Draft, outputs: list[RenditionStatus]) -> list[RenditionStatus]:
    """Return results as the manifest lists them, the video at spec.output first."""
    renditions = draft.spec.renditions if draft.observation.job is not None else []
    places = {rendition.title: place for place, rendition in enumerate(renditions)}
    return sorted(outputs, key=lambda output: places.get(output.name, -1))


def _merged(draft: Draft) -> tuple[MergeReport, PodView] | None:
    # A pod that was killed after it had reported has written the output all the same. The pod of a job's only segment
    # makes the output, too; and that may be the one that planned.
    for pod in draft.observation.pods:
        report = decode_report(pod.message) if pod.role is not Role.CLEAN and ended(pod) else None
        rendered = report.rendered if isinstance(report, PlanReport) else report
        merged = rendered.merged if isinstance(rendered, SegmentReport) else rendered
        if isinstance(merged, MergeReport):
            return merged, pod
    return None


_LATER = 10.0


def leave_deleted_alone(draft: Draft) -> bool:
    """Do nothing to a RenderJob that is being deleted: its Jobs go with it. Only its work files are cared for."""
    if not draft.observation.deleting:
        return False
    if draft.run.work_files is WorkFilesState.WRITTEN:
        _remove_work_files(draft)
    return True


def tidy_up(draft: Draft) -> bool:
    """After the end: delete what is left of the children, remove work files, and delete the RenderJob in time."""
    if not is_true(draft.status.conditions, ConditionType.FINISHED):
        return False
    children = [job for job in draft.observation.jobs if job.owned and job.role is not Role.CLEAN]
    if any(not job.deleting for job in children):
        grace = draft.policy.stop_grace_seconds
        draft.act(DeleteChildren(keep=frozenset({Role.CLEAN}), grace_seconds=grace))
        draft.look_again(_LATER)
    elif draft.run.work_files is WorkFilesState.WRITTEN:
        _remove_work_files(draft)
    _delete_in_time(draft)
    return True


def _remove_work_files(draft: Draft) -> None:
    """Run the clean Job once no pod is left that might write; note what came of it."""
    clean = draft.child(Role.CLEAN)
    patience = draft.policy.lost_pod_seconds
    writers = [pod for pod in draft.observation.pods if pod.role is not Role.CLEAN]
    makers = [job for job in draft.observation.jobs if job.role is not Role.CLEAN and job.owned]
    if clean is not None and clean.owned:
        _note_outcome(draft, complete=clean.complete, failed=clean.failed or _is_stuck(draft, clean))
    elif makers or any(live(pod, draft.observation.now, patience) for pod in writers):
        draft.look_again(SOON)
    elif clean is not None:
        # That of an earlier RenderJob of this name; it goes by its own time to live.
        draft.look_again(_LATER)
    else:
        draft.act(CreateJob(clean_job(draft.owner, draft.policy)))


def _is_stuck(draft: Draft, clean: JobView) -> bool:
    """Delete a clean Job that a queue (Kueue) never lets start; suspended Jobs have no time to live."""
    if not clean.suspended or not draft.reached(clean.created_at, draft.policy.clean_wait_seconds):
        return False
    draft.act(DeleteJob(clean.name))
    return True


def _note_outcome(draft: Draft, *, complete: bool, failed: bool) -> None:
    if draft.observation.deleting:
        return
    if complete:
        draft.note(work_files=WorkFilesState.REMOVED)
    elif failed:
        draft.note(work_files=WorkFilesState.LEFT)
        folder = draft.policy.work_folder(*draft.observation.key, draft.observation.uid)
        draft.tell("Warning", "WorkFilesLeft", f"The work files below {folder} could not be removed; remove them.")


def _delete_in_time(draft: Draft) -> None:
    done, said = is_true(draft.status.conditions, ConditionType.SUCCEEDED), None
    if draft.observation.job is not None:  # who cannot be read has not said anything
        said = draft.spec.ttl.succeeded_seconds if done else draft.spec.ttl.failed_seconds
    seconds = draft.policy.time_to_live(said, succeeded=done)
    if seconds is None or not draft.reached(draft.run.finished_at, seconds):
        return
    clean = draft.child(Role.CLEAN)
    if draft.run.work_files is WorkFilesState.WRITTEN and (clean is None or not clean.owned):
        draft.look_again(SOON)
    else:
        draft.act(DeleteRenderJob())
