"""Input that the API server could not refuse is refused by the first look, with a code, the field and the rule."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from ecg_api.failures import FailureCode
from ecg_api.status import Phase
from ecg_operator.model import Observation
from observations import NOW, OUTPUT, condition, decided, later, observed, planning, reasons, render_job, rendering

LONG = {"inline": {"cues": ["x" * 70_000]}}


def refused(**fields: Any) -> Observation:
    return observed(now=NOW + timedelta(seconds=6), **fields)


@pytest.mark.parametrize(
    ("observation", "code", "words"),
    [
        (refused(job=None, problems=("spec.options.colour: unknown",)), FailureCode.VALIDATION_ERROR, "options.colour"),
        (refused(job=None), FailureCode.VALIDATION_ERROR, "cannot be read"),
        (refused(spec={"scenario": LONG}), FailureCode.VALIDATION_ERROR, "spec.scenario.inline: is 70013 bytes long"),
        (
            refused(
                rival="other", contested="s3://videos/clip.srt", spec={"renditions": [{"uri": "s3://videos/clip.srt"}]}
            ),
            FailureCode.JOB_ALREADY_EXISTS,
            "spec.renditions[0].uri: RenderJob other is writing to s3://videos/clip.srt",
        ),
        (
            later(refused(scenario_problem="there is no ConfigMap x"), 5),
            FailureCode.SCENARIO_PARSE_ERROR,
            "no ConfigMap x",
        ),
        (
            refused(spec={"placement": {"podTemplateOverrides": {"spec": {"hostNetwork": True}}}}),
            FailureCode.VALIDATION_ERROR,
            "spec.placement.podTemplateOverrides.spec.hostNetwork: may not be overridden",
        ),
        (
            refused(spec={"placement": {"gpus": 0, "resources": {"limits": {"nvidia.com/gpu": "1k"}}}}),
            FailureCode.VALIDATION_ERROR,
            "spec.placement.resources.limits.nvidia.com/gpu: GPUs are asked for by spec.placement.gpus",
        ),
    ],
)
def test_bad_input_fails_at_once_with_nothing_started(observation: Observation, code: FailureCode, words: str) -> None:
    decision = decided(observation)
    assert decision.status.phase is Phase.FAILED
    assert decision.status.reason == "InvalidInput"
    assert decision.status.failure is not None
    assert decision.status.failure.code is code
    assert words in decision.status.failure.message
    for kind, state in {"Failed": "True", "Finished": "True", "Succeeded": "False"}.items():
        assert condition(decision.status, kind).status == state
        assert words in condition(decision.status, kind).message
    assert reasons(decision.events) == ["Failed"]
    assert decision.actions == ()


@pytest.mark.parametrize(
    "fields",
    [{"scenario_problem": "there is no ConfigMap x"}, {"rival": "other"}, {"spec": {"scenario": LONG}}],
    ids=["a ConfigMap that comes later", "an output that is taken", "too long a scenario"],
)
def test_what_a_suspended_job_lacks_is_looked_at_when_it_goes_on(fields: dict[str, Any]) -> None:
    spec = fields.get("spec", {})
    created = refused(**{**fields, "spec": {**spec, "suspend": True}})
    decision = decided(created)
    assert decision.status.phase is Phase.SUSPENDED
    assert decision.status.failure is None
    goes_on = later(created, 5, job=render_job(**spec))
    assert decided(goes_on).status.phase is Phase.FAILED
    mended = later(created, 1, job=render_job(), scenario_problem="", rival="")
    assert decided(mended).status.phase is Phase.PLANNING


def test_a_job_that_was_suspended_in_the_middle_does_not_go_on_over_another_that_has_begun_meanwhile() -> None:
    paused = later(rendering(), 1, job=render_job(suspend=True))
    goes_on = later(paused, 5, job=render_job(), jobs=(), pods=())
    assert decided(replace(goes_on, rival="other")).status.phase is Phase.FAILED
    assert decided(goes_on).status.phase is Phase.RENDERING


def test_a_config_map_that_comes_a_moment_after_its_job_is_waited_for() -> None:
    # By our own clock: by that of the API server it was created long ago.
    problem = "there is no ConfigMap x in namespace render"
    early = observed(created_at=NOW - timedelta(minutes=5), scenario_problem=problem)
    decision = decided(early)
    assert decision.status.phase is Phase.PENDING
    assert condition(decision.status, "Scheduled").message == (
        "spec.scenario.configMapRef: there is no ConfigMap x in namespace render."
    )
    assert decision.due == 5.0
    assert decided(later(early, 5)).status.phase is Phase.FAILED
    assert decided(later(early, 1, scenario_problem="")).status.phase is Phase.PLANNING


def test_a_config_map_deleted_while_the_plan_is_made_fails_the_job() -> None:
    decision = decided(replace(planning(), scenario_problem="there is no ConfigMap x"))
    assert decision.status.failure is not None
    assert decision.status.failure.code is FailureCode.SCENARIO_PARSE_ERROR
    assert condition(decision.status, "Planned").reason == "PlanFailed"


def test_a_config_map_that_is_gone_when_a_lost_result_is_planned_again_is_not_what_the_job_failed_of() -> None:
    run = planning().status.run
    assert run is not None
    hints = {}
    for lost in ("superseded", "redone"):
        status = planning().status.model_copy(update={"run": run.model_copy(update={lost: ["uid-of-a-job"]})})
        decision = decided(replace(planning(), status=status, scenario_problem="there is no ConfigMap x"))
        failure = decision.status.failure
        assert (decision.status.reason, failure and failure.code) == ("ResultLost", FailureCode.UNEXPECTED_ERROR)
        assert failure is not None and "there is no ConfigMap x" in failure.message
        hints[lost] = failure.hint
    assert hints == {"superseded": f"Look at {OUTPUT}: it may be there.", "redone": ""}


@pytest.mark.parametrize("problem", [{"scenario_problem": "there is no ConfigMap x"}, {"rival": "other"}])
def test_what_only_matters_before_the_plan_does_not_stop_a_job_that_renders(problem: dict[str, Any]) -> None:
    assert decided(replace(rendering(), **problem)).status.phase is Phase.RENDERING
