"""What is wrong with a RenderJob that the API server could not see: refused before anything runs."""

from __future__ import annotations

import json
from datetime import timedelta

from ecg_api.conditions import ConditionType, Reason
from ecg_api.failures import Failure, FailureCode
from ecg_operator.decide.draft import Draft
from ecg_operator.decide.ending import fail, failure
from ecg_operator.manifests import override_problems

MOST_INLINE_BYTES = 64 * 1024


def refuse_broken(draft: Draft) -> bool:
    """Fail the job if its manifest breaks a rule."""
    observation = draft.observation
    if observation.job is not None:
        return False
    said = "; ".join(observation.problems) or "The RenderJob cannot be read."
    hint = "Correct the manifest and create it again under another name."
    fail(draft, failure(FailureCode.VALIDATION_ERROR, said, hint), Reason.INVALID_INPUT)
    return True


def refuse(draft: Draft) -> bool:
    """Fail the job if its input cannot be used."""
    found = _unusable(draft)
    if found is not None:
        fail(draft, found, Reason.INVALID_INPUT)
        return True
    return _waits_for_scenario(draft)


def _unusable(draft: Draft) -> Failure | None:
    """Look at what only matters before the plan is made, or before a job that was suspended goes on."""
    observation, planned = draft.observation, draft.status.plan is not None
    if planned and draft.run.admitted_at is not None:
        return None
    if observation.scenario_problem and not planned and not _is_young(draft):
        return failure(
            FailureCode.SCENARIO_PARSE_ERROR,
            f"spec.scenario.configMapRef: {observation.scenario_problem}.",
            "Create the ConfigMap before the RenderJob, in the same namespace.",
        )
    if observation.rival:
        return failure(
            FailureCode.JOB_ALREADY_EXISTS,
            f"spec.output.uri: RenderJob {observation.rival} is writing to {draft.spec.output.uri} already.",
            "Wait until it has finished, or choose another output.",
        )
    return None if planned or draft.run.admitted_at else _too_long(draft) or _wrong_overrides(draft)


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


def _wrong_overrides(draft: Draft) -> Failure | None:
    problems = override_problems(draft.spec.placement.pod_template_overrides)
    return failure(FailureCode.VALIDATION_ERROR, "; ".join(problems)) if problems else None


def _waits_for_scenario(draft: Draft) -> bool:
    """Be patient for a moment: `kubectl apply -f folder/` may create the ConfigMap after the RenderJob."""
    problem = draft.observation.scenario_problem
    if not problem or draft.status.plan is not None or draft.run.admitted_at is not None:
        return False
    draft.condition(ConditionType.SCHEDULED, "False", Reason.QUEUED, f"spec.scenario.configMapRef: {problem}.")
    draft.reached(draft.observation.created_at, draft.policy.reference_seconds)
    return True


def _is_young(draft: Draft) -> bool:
    age = draft.observation.now - draft.observation.created_at
    return draft.run.admitted_at is None and age < timedelta(seconds=draft.policy.reference_seconds)
