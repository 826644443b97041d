"""Lost nodes and evictions have a budget of their own; after some the rest moves to nodes that stay."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ecg_api.conditions import Reason
from ecg_api.names import ON_DEMAND_ANNOTATION, SEGMENTS_ANNOTATION, Role
from ecg_api.status import LostPod, Phase
from ecg_operator.decide import decide
from ecg_operator.model import CreateJob, DeleteJob, Observation, PodView
from observations import (
    POLICY,
    decided,
    ended_pod,
    going_on,
    job_view,
    later,
    plan_report,
    planning,
    pod,
    reasons,
    rendering,
    segment_report,
    segments_job,
)


def taken(index: int, tag: str = "taken", node: str = "", said: str = "") -> PodView:
    node = node or f"spot-{index}"
    return ended_pod(Role.SEGMENTS, "", index, tag=tag, exit_code=143, disrupted=True, node=node, said=said)


def losing(*pods: PodView, start: Observation | None = None, **retry: int) -> Observation:
    start = start or rendering(spec={"retry": retry})
    lost = {one.index for one in pods}
    return replace(start, pods=(*(one for one in start.pods if one.index not in lost), *pods))


def test_a_disruption_is_counted_once_and_is_no_try() -> None:
    observation = losing(taken(0), perSegment=0)
    decision = decided(observation)
    assert decision.status.phase is Phase.RENDERING
    assert reasons(decision.events) == ["Disrupted"]
    assert decision.status.run is not None
    assert decision.status.run.disrupted == [LostPod(pod=taken(0).name, node="spot-0")]
    again = decided(later(observation, 3))
    assert again.events == ()
    assert again.status.run is not None
    assert again.status.run.disrupted == decision.status.run.disrupted


def test_a_pod_that_finished_its_segment_before_its_node_went_is_no_loss() -> None:
    done = ended_pod(Role.SEGMENTS, segment_report(0), 0, disrupted=True)
    decision = decided(losing(done))
    assert decision.events == ()
    assert decision.status.run is not None
    assert decision.status.run.completed == "0"


def test_a_pod_that_is_being_evicted_counts_before_it_has_ended() -> None:
    evicted = pod(Role.SEGMENTS, 0, disrupted=True, deleting=True)
    assert reasons(decided(losing(evicted)).events) == ["Disrupted"]


def test_after_some_disruptions_the_unfinished_segments_move_to_on_demand_nodes() -> None:
    done = ended_pod(Role.SEGMENTS, segment_report(2), 2)
    observation = losing(taken(0), taken(1), done)
    decision = decided(observation)
    assert decision.actions == (DeleteJob("clip-seg-0"),)
    assert reasons(decision.events) == ["Disrupted", "Disrupted", "MovedToOnDemand"]
    run = decision.status.run
    assert run is not None
    assert (run.round, run.on_demand, run.completed) == (1, True, "2")

    # A crash before the deletion: the old Job is still there, and nothing new is started beside it.
    crashed = later(observation, 1)
    assert decided(crashed).actions == (DeleteJob("clip-seg-0"),)
    leaving = later(crashed, 1, jobs=(crashed.jobs[0], segments_job(deleting=True)))
    assert decided(leaving).actions == ()

    (create,) = decided(later(leaving, 1, jobs=crashed.jobs[:1])).actions
    assert isinstance(create, CreateJob)
    assert create.name == "clip-seg-1"
    assert create.manifest["metadata"]["annotations"] == {SEGMENTS_ANNOTATION: "0-1,3", ON_DEMAND_ANNOTATION: "true"}
    selector = create.manifest["spec"]["template"]["spec"]["nodeSelector"]
    assert selector == {"karpenter.sh/capacity-type": "on-demand"}


@pytest.mark.parametrize("role", [Role.SEGMENTS, Role.PLAN])
def test_a_rescue_that_no_node_takes_goes_back_to_any_node_and_stays_there(role: Role) -> None:
    spec = {"retry": {"onDemandAfter": 1}, "deadlines": {"activeSeconds": 9999}}
    alone = role is Role.PLAN
    start = going_on(spec=spec) if alone else rendering(spec=spec)
    lost = ended_pod(Role.PLAN, "", exit_code=143, disrupted=True, node="spot-0") if alone else taken(0)
    gone = replace(start, pods=(lost,), progress={}) if alone else losing(lost, start=start)
    number, index = (0, None) if alone else (1, 0)
    rescue = job_view(role, number, segments=(0,) if alone else (0, 1, 2, 3), parallelism=4, on_demand=True)
    others = () if alone else start.jobs[:1]
    stuck = pod(role, index, round=number, tag="stuck", phase="Pending", started_at=None, unschedulable="0/5 nodes")
    waiting = later(gone, 1, jobs=(*others, rescue), pods=(stuck,))
    assert decided(waiting).actions == ()

    patient = decided(later(waiting, 449))
    assert patient.actions == () and patient.due is not None and patient.due <= 1
    # However late the look is: nothing has been tried elsewhere.
    for seconds in (450, 2000):
        decision = decided(later(waiting, seconds))
        assert (reasons(decision.events), decision.actions) == (["LeftOnDemand"], (DeleteJob(rescue.name),))

    back = later(later(waiting, 450), 1, jobs=others, pods=())
    (create,) = decided(back).actions
    assert isinstance(create, CreateJob)
    assert ON_DEMAND_ANNOTATION not in create.manifest["metadata"]["annotations"]
    assert "nodeSelector" not in create.manifest["spec"]["template"]["spec"]
    assert reasons(decided(back).events) == []


def test_a_job_may_ask_for_on_demand_nodes_from_the_start() -> None:
    start = planning(spec={"retry": {"onDemandAfter": 0}})
    decision = decided(replace(start, pods=(ended_pod(Role.PLAN, plan_report()),)))
    (create,) = decision.actions
    assert isinstance(create, CreateJob)
    assert create.name == "clip-seg-0"
    assert create.manifest["metadata"]["annotations"][ON_DEMAND_ANNOTATION] == "true"
    assert reasons(decision.events) == ["Planned", "SegmentsStarted"]


def test_without_nodes_that_stay_there_is_no_rescue() -> None:
    policy = replace(POLICY, on_demand_node_selector={})
    assert decide(losing(taken(0), taken(1)), policy).actions == ()


@pytest.mark.parametrize(("allowed", "phase"), [(2, Phase.FAILED), (3, Phase.RENDERING)])
def test_more_disruptions_than_allowed_fail_the_job(allowed: int, phase: Phase) -> None:
    status = decided(losing(taken(0), taken(1), taken(2), disruptions=allowed, onDemandAfter=99)).status
    assert status.phase is phase
    if phase is Phase.FAILED:
        assert status.reason == Reason.DISRUPTIONS_EXHAUSTED
        assert status.failure is not None
        assert "3 times" in status.failure.message


def test_a_node_that_is_lost_with_all_its_pods_counts_once() -> None:
    at_once = losing(*(taken(index, node="gpu-1") for index in range(4)), disruptions=1, onDemandAfter=2)
    decision = decided(at_once)
    assert decision.status.phase is Phase.RENDERING
    assert "MovedToOnDemand" not in reasons(decision.events)

    again = later(at_once, 5, pods=(*at_once.pods, taken(0, tag="again", node="gpu-1")))
    assert decided(again).status.reason == Reason.DISRUPTIONS_EXHAUSTED


def test_why_a_pod_was_taken_is_told() -> None:
    (event,) = decided(losing(taken(0, said="Evicted: The node was low on resource: memory."))).events
    assert "from node spot-0 (Evicted: The node was low on resource: memory.)" in event.message


def test_disruptions_of_a_round_that_is_over_do_not_count() -> None:
    moved = later(losing(taken(0), taken(1)), 1)
    more = replace(moved, pods=(*moved.pods, taken(3, tag="after")))
    assert reasons(decided(more).events) == []
