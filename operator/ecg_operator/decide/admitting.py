"""When a job may have pods: not with unusable input, not while it is suspended, not before admission lets it in."""

from __future__ import annotations

import json
from datetime import datetime, timedelta

from ecg_api.conditions import ConditionType, Reason
from ecg_api.failures import Failure, FailureCode
from ecg_api.names import Role
from ecg_api.status import WorkFilesState
from ecg_operator.decide.draft import SOON, Draft
from ecg_operator.decide.ending import fail, failure
from ecg_operator.decide.harvest import settle_all
from ecg_operator.manifests import goes_on, placement_problems
from ecg_operator.model import DeleteChildren

MOST_INLINE_BYTES = 64 * 1024


def refuse_broken(draft: Draft) -> bool:
    """Fail the job if its manifest breaks a rule."""
    observation = draft.observation
    if observation.job is not None:
        return False
    said = "; ".join(observation.problems) or "The RenderJob cannot be read."
    # What was good when the job was let in is so still: its storage profile is gone, and `said` tells what to do.
    begun = draft.status.start_time is not None  # that it is suspended since makes no difference
    hint = "" if begun else "Correct the manifest and create it again under another name."
    fail(draft, failure(FailureCode.VALIDATION_ERROR, said, hint), Reason.INVALID_INPUT)
    return True


def refuse(draft: Draft) -> bool:
    """Fail the job if its input cannot be used."""
    found = _unusable(draft)
    if found is not None:
        lost = found.code is FailureCode.UNEXPECTED_ERROR
        fail(draft, found, Reason.RESULT_LOST if lost else Reason.INVALID_INPUT)
        return True
    return _waits_for_scenario(draft)


def _unusable(draft: Draft) -> Failure | None:
    """Look at what only matters before the plan is made, or before a job that was suspended goes on."""
    observation, planned = draft.observation, draft.status.plan is not None
    if planned and draft.run.admitted_at is not None:
        return None
    if observation.scenario_problem and not planned and not _is_young(draft):
        return _without_scenario(draft)
    if observation.rival:
        return failure(
            FailureCode.JOB_ALREADY_EXISTS,
            f"{_field_of(draft)}: RenderJob {observation.rival} is writing to {observation.contested} already.",
            "Wait until it has finished, or choose another output.",
        )
    return None if planned or draft.run.admitted_at else _too_long(draft) or _wrong_placement(draft)


def _without_scenario(draft: Draft) -> Failure:
    said = f"spec.scenario.configMapRef: {draft.observation.scenario_problem}."
    if draft.run.superseded or draft.run.redone or draft.run.settled:
        # Nobody has to keep a ConfigMap after the plan; the job needs it once more since something of it was lost.
        message = f"What a pod did was lost, and the job cannot be planned again: {said}"
        # Only a job that had a plan may have been merged, or one whose plan's pod goes on.
        merged = draft.run.superseded or goes_on(draft.spec)
        hint = f"Look at {draft.spec.output.uri}: it may be there." if merged else ""
        return failure(FailureCode.UNEXPECTED_ERROR, message, hint)
    return failure(
        FailureCode.SCENARIO_PARSE_ERROR, said, "Create the ConfigMap before the RenderJob, in the same namespace."
    )


def _field_of(draft: Draft) -> str:
    """Return the field that says the output that another RenderJob has."""
    renditions = [one.uri for one in draft.spec.renditions]
    contested = draft.observation.contested
    return f"spec.renditions[{renditions.index(contested)}].uri" if contested in renditions else "spec.output.uri"


def _too_long(draft: Draft) -> Failure | None:
    inline = draft.spec.scenario.inline
    size = len(json.dumps(inline, ensure_ascii=False, separators=(",", ":")).encode()) if inline else 0
    if size <= MOST_INLINE_BYTES:
        return None
    return failure(
        FailureCode.VALIDATION_ERROR,
        f"spec.scenario.inline: is {size} bytes long; at most {MOST_INLINE_BYTES} are possible.",
        "Put the scenario into storage and give its address (spec.scenario.uri), or into a ConfigMap (configMapRef).",
    )


def _wrong_placement(draft: Draft) -> Failure | None:
    problems = placement_problems(draft.spec.placement, draft.policy.gpu_resource)
    return failure(FailureCode.VALIDATION_ERROR, "; ".join(problems)) if problems else None


def _waits_for_scenario(draft: Draft) -> bool:
    """Be patient for a moment: `kubectl apply -f folder/` may create the ConfigMap after the RenderJob."""
    problem = draft.observation.scenario_problem
    if not problem or draft.status.plan is not None or draft.run.admitted_at is not None:
        return False
    draft.condition(ConditionType.SCHEDULED, "False", Reason.QUEUED, f"spec.scenario.configMapRef: {problem}.")
    draft.reached(_waits_since(draft), draft.policy.reference_seconds)
    return True


def _is_young(draft: Draft) -> bool:
    waited = draft.observation.now - _waits_since(draft)
    return draft.run.admitted_at is None and waited < timedelta(seconds=draft.policy.reference_seconds)


def _waits_since(draft: Draft) -> datetime:
    """Return since when the job is known to wait, by our own clock: the API server stamps its creation by another."""
    conditions = draft.status.conditions
    return next((one.last_transition_time for one in conditions if one.type == ConditionType.SCHEDULED), draft.now)


def suspend(draft: Draft) -> bool:
    """Stop the pods of a suspended job; when it goes on, give it a new round for what is missing.

    A suspended job holds no place: it is admitted anew, and its active deadline then starts from the beginning.
    """
    was_suspended = draft.reason_of(ConditionType.SCHEDULED) == Reason.SUSPENDED
    if not draft.spec.suspend:
        if was_suspended:
            _resume(draft)
        return False
    if not was_suspended:
        settle_all(draft)
        draft.note(admitted_at=None, held_since=None, waiting_since=None, unseen_since=None)
        message = "Stopped, since spec.suspend is true; finished segments are kept."
        draft.condition(ConditionType.SCHEDULED, "False", Reason.SUSPENDED, message)
        draft.condition(ConditionType.SUSPENDED, "True", Reason.SUSPENDED, message)
        draft.tell("Normal", "Suspended", message)
        if draft.run.work_files is not WorkFilesState.NONE:
            # Not only what was seen: a Job may be so new that no watch has told of it.
            draft.act(DeleteChildren())
    elif any(job.owned and not job.deleting and job.role is not Role.CLEAN for job in draft.observation.jobs):
        draft.act(DeleteChildren())
        draft.look_again(SOON)
    return True


def enqueue(draft: Draft) -> bool:
    """Let the job in if admission says so, else say how long the queue is."""
    # What was chosen stays, whatever becomes of the list of profiles while the job runs: its pods write to one place.
    storage = draft.status.storage or draft.observation.place
    if draft.run.admitted_at is not None:
        draft.change(storage=storage)  # an operator before this one may not have noted it
        return False
    verdict = draft.observation.verdict
    if not verdict.admitted:
        message = f"{verdict.reason or 'Waiting for admission'}."
        draft.condition(ConditionType.SCHEDULED, "False", Reason.QUEUED, message)
        return True
    draft.note(admitted_at=draft.now)
    draft.change(start_time=draft.status.start_time or draft.now, storage=storage)
    message = "Admitted; the first pod is about to start."
    draft.condition(ConditionType.SCHEDULED, "False", Reason.NODE_PROVISIONING, message)
    draft.tell("Normal", "Admitted", message)
    return False


def _resume(draft: Draft) -> None:
    if draft.missing:
        draft.note(round=draft.run.round + 1)
    draft.condition(ConditionType.SCHEDULED, "False", Reason.QUEUED, "Goes on, since spec.suspend is false.")
    draft.condition(ConditionType.SUSPENDED, "False", Reason.RESUMED, "Goes on, since spec.suspend is false.")
    kept = f"; {len(draft.completed)} of {draft.total} segments are kept" if draft.total else ""
    draft.tell("Normal", "Resumed", f"Goes on, since spec.suspend is false{kept}.")
