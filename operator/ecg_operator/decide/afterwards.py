"""What is left to do for a job that is over: children, work files, and at last the RenderJob itself."""

from __future__ import annotations

from ecg_api.conditions import ConditionType, is_true
from ecg_api.names import Role
from ecg_api.status import WorkFilesState
from ecg_operator.decide.draft import Draft
from ecg_operator.decide.pods import live
from ecg_operator.manifests import clean_job
from ecg_operator.model import CreateJob, DeleteChildren, DeleteJob, DeleteRenderJob, JobView

_SOON = 2.0
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
        draft.look_again(_SOON)
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
    if draft.observation.job is None:
        return
    ttl = draft.spec.ttl
    done = is_true(draft.status.conditions, ConditionType.SUCCEEDED)
    seconds = draft.policy.time_to_live(ttl.succeeded_seconds if done else ttl.failed_seconds, succeeded=done)
    if seconds is None or not draft.reached(draft.run.finished_at, seconds):
        return
    clean = draft.child(Role.CLEAN)
    if draft.run.work_files is WorkFilesState.WRITTEN and (clean is None or not clean.owned):
        draft.look_again(_SOON)
    else:
        draft.act(DeleteRenderJob())
