"""The pod that plans goes on with the only segment of a short video: what is asked for, said, and done if it fails."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from ecg_api.conditions import Reason
from ecg_api.failures import FailureCode
from ecg_api.names import ON_DEMAND_ANNOTATION, SEGMENTS_ANNOTATION, Role
from ecg_api.status import Phase
from ecg_operator.manifests import Owner, plan_job
from ecg_operator.model import CreateJob, DeleteChildren, DeleteJob, Observation, PodView
from observations import (
    FRAMES,
    KEY,
    ONE_POD,
    OUTPUT,
    POLICY,
    UID,
    condition,
    decided,
    ended_pod,
    failure_report,
    going_on,
    job_view,
    later,
    observed,
    plan_report,
    pod,
    progress,
    reasons,
    render_job,
    whole_report,
)


def plan_of(**spec: Any) -> dict[str, Any]:
    return plan_job(Owner(KEY, UID), render_job(**spec), POLICY)


def pod_of(manifest: dict[str, Any]) -> dict[str, Any]:
    spec: dict[str, Any] = manifest["spec"]["template"]["spec"]
    return spec


def ended(start: Observation, *pods: PodView) -> Observation:
    return replace(start, pods=pods, progress={})


def test_without_a_gpu_the_pod_that_plans_is_as_large_and_placed_as_one_that_renders() -> None:
    placement = {"gpus": 0, "nodeSelector": {"pool": "cpu"}, "priorityClassName": "low"}
    manifest = plan_of(placement=placement)
    pod_spec = pod_of(manifest)
    (container,) = pod_spec["containers"]
    assert container["args"] == ["worker", "plan"], "a renderer that is pinned, and older, does not know an option"
    assert {"name": "ECG_GO_ON", "value": "true"} in container["env"]
    assert container["resources"]["requests"].items() >= POLICY.segment_resources["requests"].items()
    assert container["resources"]["limits"] == POLICY.segment_resources["limits"]
    assert "/dev/shm" in {mount["mountPath"] for mount in container["volumeMounts"]}
    assert (pod_spec["nodeSelector"], pod_spec["priorityClassName"]) == ({"pool": "cpu"}, "low")
    assert manifest["metadata"]["annotations"] == {SEGMENTS_ANNOTATION: "0"}
    assert manifest["metadata"]["name"] == "clip-plan"


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"placement": {"gpus": 1}},
        {"placement": {"gpus": 0, "resources": {"limits": {"nvidia.com/mig-1g.5gb": "1"}}}},
        {"placement": {"gpus": 0, "resources": {"requests": {"cpu": "8"}}}},
        {"placement": {"gpus": 0, "runtimeClassName": "nvidia"}},
        {"placement": {"gpus": 0, "podTemplateOverrides": {"spec": {"affinity": {}}}}},
        {"placement": {"gpus": 0}, "live": {}},
    ],
    ids=["by default", "a GPU", "a part of one", "resources", "a runtime", "a template of its own", "people watch"],
)
def test_where_planning_would_hold_what_it_does_not_need_it_is_done_apart(spec: dict[str, Any]) -> None:
    manifest = plan_of(**spec)
    (container,) = pod_of(manifest)["containers"]
    assert "ECG_GO_ON" not in {variable["name"] for variable in container["env"]}
    assert container["resources"]["requests"]["cpu"] == "500m"
    assert "annotations" not in manifest["metadata"]
    assert "runtimeClassName" not in pod_of(manifest)


def test_while_it_renders_the_job_is_told_as_rendering_and_gets_no_other_pod() -> None:
    decision = decided(going_on())
    status = decision.status
    assert (status.phase, status.encoder, status.attempts) == (Phase.RENDERING, "x264", 1)
    assert (condition(status, "Planned").status, condition(status, "Rendered").reason) == ("True", Reason.RENDERING)
    assert status.progress is not None
    assert (status.progress.percent, status.progress.frames_total) == (50, FRAMES)
    assert status.segments is not None
    assert (status.segments.summary, status.segments.active) == ("0/1", 1)
    assert decision.actions == ()


def test_what_it_was_at_is_still_said_in_the_moment_after_its_end() -> None:
    silent = later(replace(going_on(), progress={}), 1)
    assert decided(silent).status.phase is Phase.RENDERING


def test_with_its_end_the_job_has_succeeded() -> None:
    decision = decided(ended(going_on(), ended_pod(Role.PLAN, whole_report(warnings=["a word leaves"]), gpus=0)))
    status = decision.status
    assert (status.phase, status.attempts, status.encoder) == (Phase.SUCCEEDED, 1, "x264")
    assert {
        name: condition(status, name).status for name in ("Planned", "Rendered", "Merged", "Finished")
    } == dict.fromkeys(("Planned", "Rendered", "Merged", "Finished"), "True")
    assert status.plan == plan_report(1).plan
    assert status.warnings == ["a word leaves"]
    assert status.metrics is not None
    assert status.metrics.frames_processed == FRAMES
    assert status.segments is not None
    assert status.segments.summary == "1/1"
    assert [type(action) for action in decision.actions] == [DeleteChildren]
    assert reasons(decision.events) == ["Planned", "Succeeded"]


def test_a_pod_that_was_killed_after_it_had_reported_has_made_the_output() -> None:
    killed = ended_pod(Role.PLAN, whole_report(), phase="Failed", exit_code=137, ended="Error")
    assert decided(ended(going_on(), killed)).status.phase is Phase.SUCCEEDED


@pytest.mark.parametrize("segments", [1, 3], ids=["a long one, or a renderer that does not go on", "several"])
def test_segments_that_the_plans_pod_has_left_are_rendered_by_others(segments: int) -> None:
    start = later(observed(spec=ONE_POD), jobs=(job_view(Role.PLAN, segments=(0,)),))
    decision = decided(ended(start, ended_pod(Role.PLAN, plan_report(segments), gpus=0)))
    assert [action.name for action in decision.actions if isinstance(action, CreateJob)] == ["clip-seg-0"]
    assert decision.status.attempts == 0


def test_a_failure_while_it_renders_is_one_of_the_segment() -> None:
    broken = failure_report(FailureCode.INVALID_VIDEO_FORMAT, segment=0)
    status = decided(ended(going_on(), ended_pod(Role.PLAN, broken, gpus=0))).status
    assert (status.phase, status.reason) == (Phase.FAILED, Reason.SEGMENT_FAILED)
    assert condition(status, "Rendered").reason == Reason.SEGMENT_FAILED
    assert condition(status, "Planned").status == "True"
    assert status.segments is not None
    assert (status.segments.failed, status.attempts) == (1, 1)


def test_a_failure_while_it_plans_is_one_of_the_plan() -> None:
    start = later(observed(spec=ONE_POD), jobs=(job_view(Role.PLAN, segments=(0,)),))
    broken = ended_pod(Role.PLAN, failure_report(FailureCode.INVALID_VIDEO_FORMAT), gpus=0)
    status = decided(ended(start, broken)).status
    assert (status.phase, status.reason) == (Phase.FAILED, Reason.PLAN_FAILED)


def test_the_next_try_plans_again_and_says_so_and_percent_does_not_fall() -> None:
    failed = ended_pod(Role.PLAN, failure_report(FailureCode.BROWSER_ERROR, segment=0), gpus=0)
    again = pod(Role.PLAN, tag="bbbbb", gpus=0)
    start = going_on()
    retried = replace(
        start, pods=(failed, again), progress={again.name: progress(0).model_copy(update={"stage": "planning"})}
    )
    decision = decided(retried)
    assert reasons(decision.events) == ["PlanRetried"]
    status = decision.status
    assert (status.phase, condition(status, "Planned").status) == (Phase.PLANNING, "False")
    assert condition(status, "Rendered").reason == Reason.PLANNING
    assert status.progress is not None
    assert status.progress.percent == 50
    assert status.segments is not None
    assert status.segments.active == 0


def test_a_try_that_was_killed_without_a_word_is_counted() -> None:
    killed = ended_pod(Role.PLAN, "", phase="Failed", exit_code=137, ended="Error", gpus=0)
    start = ended(going_on(), killed)
    again = ended(later(start, 1), killed, ended_pod(Role.PLAN, whole_report(), tag="bbbbb", gpus=0))
    assert (decided(start).status.attempts, decided(again).status.attempts) == (1, 2)


def test_attempts_never_fall() -> None:
    killed = ended_pod(Role.PLAN, "", phase="Failed", exit_code=137, ended="Error", gpus=0)
    again = pod(Role.PLAN, tag="bbbbb", gpus=0)
    second = later(replace(going_on(), pods=(killed, again), progress={again.name: progress(0, segment=0)}), 1)
    assert second.status.attempts == 2
    left = ended_pod(Role.PLAN, plan_report(1), tag="bbbbb", gpus=0)
    assert decided(ended(second, killed, left)).status.attempts == 2


def test_a_try_that_finds_a_part_in_storage_counts_that_part_as_done() -> None:
    killed = ended_pod(Role.PLAN, "", phase="Failed", exit_code=137, ended="Error", gpus=0)
    again = pod(Role.PLAN, tag="bbbbb", gpus=0)
    start = replace(going_on(), pods=(killed, again))
    told = []
    for done in (0, FRAMES // 2):
        said = progress(done, segment=0).model_copy(update={"frames_total": 3 * FRAMES // 4})
        shown = decided(replace(start, progress={again.name: said})).status.progress
        assert shown is not None
        told.append((shown.frames_done, shown.frames_total, shown.percent))
    assert told == [(FRAMES // 2, FRAMES, 50), (3 * FRAMES // 4, FRAMES, 75)]


def test_a_segment_that_fails_before_anybody_has_asked_is_told_as_one() -> None:
    start = later(observed(spec=ONE_POD), jobs=(job_view(Role.PLAN, segments=(0,)),))
    failed = ended_pod(Role.PLAN, failure_report(FailureCode.BROWSER_ERROR, segment=0), gpus=0)
    status = decided(ended(start, failed)).status
    assert (condition(status, "Planned").status, condition(status, "Rendered").reason) == ("True", Reason.RENDERING)
    assert status.segments is not None
    assert (status.segments.summary, status.segments.active, status.attempts) == ("0/1", 0, 1)


def of_memory() -> Observation:
    killed = ended_pod(Role.PLAN, "", phase="Failed", exit_code=137, ended="OOMKilled", gpus=0)
    return ended(going_on(spec={"retry": {"perSegment": 0}}), killed)


def of_time() -> Observation:
    return later(going_on(spec={"deadlines": {"activeSeconds": 60}}), 99)


def of_disruptions() -> Observation:
    lost = ended_pod(Role.PLAN, "", phase="Failed", exit_code=143, disrupted=True, node="spot-1", gpus=0)
    return ended(going_on(spec={"retry": {"disruptions": 0}}), lost)


def of_lost_reports() -> Observation:
    start = going_on()
    run = start.status.run
    assert run is not None
    often = start.status.model_copy(update={"run": run.model_copy(update={"redone": ["1", "2", "3"]})})
    over = replace(ended(start), status=often, jobs=(job_view(Role.PLAN, segments=(0,), complete=True),))
    return later(over, 999)


@pytest.mark.parametrize("died", [of_memory, of_time, of_disruptions, of_lost_reports])
def test_what_ends_a_job_whose_pod_has_gone_on_is_put_down_to_the_segment(died: Callable[[], Observation]) -> None:
    status = decided(died()).status
    assert status.phase is Phase.FAILED
    assert status.failure is not None
    assert status.failure.segment == 0
    assert condition(status, "Planned").status == "True"
    assert (condition(status, "Rendered").status, condition(status, "Rendered").reason) == (
        "False",
        Reason.SEGMENT_FAILED,
    )
    assert status.segments is not None
    assert (status.segments.failed, status.segments.active) == (1, 0)


def test_after_a_result_that_was_lost_again_and_again_it_is_said_where_the_output_may_be() -> None:
    failure = decided(of_lost_reports()).status.failure
    assert failure is not None
    assert failure.hint == f"Look at {OUTPUT}: it may be there."


def test_without_its_scenario_a_lost_pod_cannot_be_replaced_and_the_job_says_so() -> None:
    lost = ended_pod(Role.PLAN, "", phase="Failed", exit_code=143, disrupted=True, node="spot-1", gpus=0)
    waits = pod(Role.PLAN, tag="bbbbb", gpus=0, phase="Pending", started_at=None)
    status = decided(replace(ended(going_on(), lost, waits), scenario_problem="there is no ConfigMap x")).status
    assert (status.phase, status.reason) == (Phase.FAILED, Reason.RESULT_LOST)
    assert status.failure is not None
    assert "cannot be planned again" in status.failure.message
    assert status.failure.hint == f"Look at {OUTPUT}: it may be there."


@pytest.mark.parametrize(("plans_before", "phase"), [(2, Phase.PLANNING), (3, Phase.FAILED)])
def test_pieces_that_are_gone_have_it_planned_anew_three_times(plans_before: int, phase: Phase) -> None:
    start = going_on()
    run = start.status.run
    assert run is not None
    before = run.model_copy(update={"superseded": [str(number) for number in range(plans_before)]})
    gone = failure_report(FailureCode.RENDER_ERROR, segment=0).model_copy(update={"plan_again": True})
    tries = tuple(ended_pod(Role.PLAN, gone, tag=f"try{number}", gpus=0) for number in range(3))
    again = replace(ended(start, *tries), status=start.status.model_copy(update={"run": before}))
    assert decided(again).status.phase is phase


def test_an_older_operators_plan_is_not_moved_to_on_demand_nodes() -> None:
    start = going_on(spec={"retry": {"onDemandAfter": 1}})
    lost = ended_pod(Role.PLAN, "", phase="Failed", exit_code=143, disrupted=True, node="spot-1", gpus=0)
    decision = decided(replace(ended(start, lost), jobs=(job_view(Role.PLAN),)))
    assert reasons(decision.events) == ["Disrupted"]
    assert decision.actions == ()


def test_out_of_memory_names_the_limit_of_a_segment() -> None:
    found = decided(of_memory()).status.failure
    assert found is not None
    assert "The pod of segment 0 " in found.message
    assert "6Gi" in found.message
    assert "spec.placement.resources.limits.memory" in found.hint


def test_after_some_disruptions_it_moves_to_on_demand_nodes() -> None:
    start = going_on(spec={"retry": {"onDemandAfter": 1}})
    lost = ended_pod(Role.PLAN, "", phase="Failed", exit_code=143, disrupted=True, node="spot-1", gpus=0)
    taken = ended(start, lost)
    decision = decided(taken)
    assert reasons(decision.events) == ["Disrupted", "MovedToOnDemand"]
    assert decision.events[-1].message == "After 1 disruptions, the job moves to on-demand nodes."
    assert decision.actions == (DeleteJob("clip-plan"),)
    moved = decided(later(taken, 1, jobs=(), pods=()))
    (create,) = moved.actions
    assert isinstance(create, CreateJob)
    assert create.manifest["metadata"]["annotations"] == {SEGMENTS_ANNOTATION: "0", ON_DEMAND_ANNOTATION: "true"}
    assert pod_of(dict(create.manifest))["nodeSelector"] == dict(POLICY.on_demand_node_selector)
