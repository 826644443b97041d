"""The pod that plans goes on with the only segment of a short video: what is asked for, said, and done if it fails."""

from __future__ import annotations

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
    resources = {"requests": {"cpu": "3", "memory": "2Gi"}, "limits": {"memory": "5Gi"}}
    placement = {"gpus": 0, "resources": resources, "nodeSelector": {"pool": "cpu"}, "priorityClassName": "low"}
    manifest = plan_of(placement=placement)
    pod_spec = pod_of(manifest)
    (container,) = pod_spec["containers"]
    assert container["args"] == ["worker", "plan", "--go-on"]
    assert container["resources"]["requests"].items() >= resources["requests"].items()
    assert container["resources"]["limits"] == resources["limits"]
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
        {"placement": {"gpus": 0, "runtimeClassName": "nvidia"}},
        {"placement": {"gpus": 0, "podTemplateOverrides": {"spec": {"affinity": {}}}}},
        {"placement": {"gpus": 0}, "live": {}},
    ],
    ids=["by default", "a GPU", "a part of a GPU", "a runtime of its own", "a template of its own", "people watch"],
)
def test_where_planning_would_hold_what_it_does_not_need_it_is_done_apart(spec: dict[str, Any]) -> None:
    manifest = plan_of(**spec)
    (container,) = pod_of(manifest)["containers"]
    assert container["args"] == ["worker", "plan"]
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


def test_a_plan_of_several_segments_is_rendered_by_others() -> None:
    start = later(observed(spec=ONE_POD), jobs=(job_view(Role.PLAN, segments=(0,)),))
    decision = decided(ended(start, ended_pod(Role.PLAN, plan_report(3), gpus=0)))
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


def test_out_of_memory_names_the_limit_of_a_segment() -> None:
    killed = ended_pod(Role.PLAN, "", phase="Failed", exit_code=137, ended="OOMKilled", gpus=0)
    found = decided(ended(going_on(spec={"retry": {"perSegment": 0}}), killed)).status.failure
    assert found is not None
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
