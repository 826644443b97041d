"""While nothing runs, the condition Scheduled says why; after the pending deadline the job fails with that reason."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ecg_api.conditions import Reason
from ecg_api.failures import FailureCode
from ecg_api.names import Role
from ecg_api.status import Phase
from ecg_operator.model import Observation
from observations import (
    POLICY,
    condition,
    decided,
    ended_pod,
    failure_report,
    job_view,
    later,
    plan_report,
    planning,
    pod,
    render_job,
    rendering,
    segments_job,
)

NO_GPU = "0/3 nodes are available: 3 Insufficient nvidia.com/gpu."
PULL = "failed to resolve image: not found"


def waiting(seconds: float = 0, **fields: Any) -> Observation:
    """Return an observation of a segment Job with one pod that does not run."""
    start = planning()
    planned = replace(start, pods=(ended_pod(Role.PLAN, plan_report(1)),))
    created = later(planned, seconds, jobs=(start.jobs[0], segments_job(1)))
    return replace(created, pods=(pod(Role.SEGMENTS, 0, **{"phase": "Pending", "started_at": None, **fields}),))


@pytest.mark.parametrize(
    ("pod_fields", "reason", "words"),
    [
        ({"unschedulable": NO_GPU}, Reason.GPU_UNAVAILABLE, NO_GPU),
        ({"unschedulable": "0/3 nodes: 3 had taints"}, Reason.UNSCHEDULABLE, "3 had taints"),
        ({"waiting": "ErrImagePull", "waiting_message": PULL}, Reason.IMAGE_PULL_FAILED, PULL),
        ({"waiting": "ImagePullBackOff", "waiting_message": PULL}, Reason.IMAGE_PULL_FAILED, "ecg-renderer:1"),
        (
            {"waiting": "CreateContainerConfigError", "waiting_message": 'secret "storage" not found'},
            Reason.POD_CONFIG_ERROR,
            'secret "storage" not found',
        ),
    ],
)
def test_what_will_not_go_away_is_said_at_the_first_look(
    pod_fields: dict[str, Any], reason: Reason, words: str
) -> None:
    decision = decided(waiting(**pod_fields))
    said = condition(decision.status, "Scheduled")
    assert (said.status, said.reason) == ("False", reason)
    assert words in said.message
    assert (decision.status.phase, decision.status.reason) == (Phase.RENDERING, reason)
    assert decision.status.run is not None
    assert decision.status.run.waiting_since is not None


def test_a_missing_share_of_a_gpu_is_a_missing_gpu() -> None:
    shared = replace(POLICY, gpu_resource="nvidia.com/gpu.shared")
    decision = decided(waiting(unschedulable="0/3 nodes: 3 Insufficient nvidia.com/gpu.shared."), shared)
    said = condition(decision.status, "Scheduled")
    assert said.reason == Reason.GPU_UNAVAILABLE
    assert "No node with a free nvidia.com/gpu.shared" in said.message


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({}, Reason.NODE_PROVISIONING),
        ({"node": "gpu-1", "waiting": "ContainerCreating"}, Reason.IMAGE_PULLING),
    ],
)
def test_a_start_that_takes_its_time_is_said_after_a_few_seconds(fields: dict[str, Any], reason: Reason) -> None:
    first = decided(waiting(6, **fields))
    assert first.status.run is not None
    assert first.status.run.waiting_since is None
    assert first.due == 1.0
    assert condition(decided(waiting(7, **fields)).status, "Scheduled").reason == reason


def test_a_running_pod_ends_the_waiting() -> None:
    stuck = waiting(unschedulable=NO_GPU)
    status = decided(later(stuck, 5, pods=(pod(Role.SEGMENTS, 0),))).status
    assert condition(status, "Scheduled").status == "True"
    assert status.reason == ""
    assert status.run is not None
    assert status.run.waiting_since is None


def test_pods_that_wait_while_others_run_are_no_reason_to_give_up() -> None:
    start = rendering(4)
    pods = (*start.pods[:-1], pod(Role.SEGMENTS, 3, phase="Pending", started_at=None, unschedulable=NO_GPU))
    status = decided(replace(start, pods=pods)).status
    assert condition(status, "Scheduled").status == "True"
    assert status.run is not None
    assert status.run.waiting_since is None


def test_the_gravest_of_several_reasons_is_said() -> None:
    start = waiting(5)
    pods = (
        pod(Role.SEGMENTS, 0, phase="Pending", waiting="ContainerCreating", node="gpu-1"),
        pod(Role.SEGMENTS, 1, phase="Pending", waiting="ErrImagePull", waiting_message=PULL, node="gpu-2"),
        pod(Role.SEGMENTS, 2, phase="Pending", unschedulable=NO_GPU),
    )
    status = decided(replace(start, jobs=(start.jobs[0], segments_job(3)), pods=pods)).status
    assert status.reason == Reason.IMAGE_PULL_FAILED


def test_the_kubelets_changing_words_about_one_failing_pull_are_not_written_again() -> None:
    first = waiting(waiting="ErrImagePull", waiting_message=PULL)
    second = waiting(waiting="ImagePullBackOff", waiting_message="Back-off pulling image")
    again = later(first, 10, pods=second.pods)
    assert decided(again).status == again.status


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"unschedulable": NO_GPU}, FailureCode.GPU_NOT_AVAILABLE),
        ({"waiting": "ErrImagePull", "waiting_message": PULL}, FailureCode.TIMEOUT_ERROR),
    ],
)
def test_waiting_too_long_fails_the_job_and_says_for_what(fields: dict[str, Any], code: FailureCode) -> None:
    stuck = waiting(**fields)
    decision = decided(stuck)
    assert decision.due == 900
    assert decided(later(stuck, 899)).status.failure is None
    status = decided(later(stuck, 900)).status
    assert status.reason == Reason.PENDING_DEADLINE_EXCEEDED
    assert status.failure is not None
    assert status.failure.code is code
    assert fields.get("unschedulable", PULL) in status.failure.message
    assert status.run is not None
    assert status.run.waiting_since is None


@pytest.mark.parametrize(
    ("lacks", "held", "stands"),
    [
        (NO_GPU, {"others_run": True, "others_have_gpus": True}, True),
        (NO_GPU, {"others_run": True}, False),
        (NO_GPU, {}, False),
        ("0/3 nodes are available: 3 Insufficient cpu.", {"others_run": True}, True),
        ("0/3 nodes are available: 3 node(s) didn't match Pod's node affinity/selector.",
         {"others_run": True, "others_have_gpus": True}, False),
    ],
)  # fmt: skip
def test_the_pending_deadline_waits_while_other_renders_hold_what_the_pods_lack(
    lacks: str, held: dict[str, bool], stands: bool
) -> None:
    stuck = replace(waiting(unschedulable=lacks), **held)
    status = decided(later(stuck, 900)).status
    assert (status.failure is None) is stands
    if stands:
        assert (decided(stuck).due or 900) <= 30, "nothing tells when the others are over"
        alone = replace(later(stuck, 900), others_run=False, others_have_gpus=False)
        assert decided(alone).status.failure is None
        assert decided(later(alone, 600)).status.reason == Reason.ACTIVE_DEADLINE_EXCEEDED
        assert decided(later(alone, 500)).status.failure is None


def test_a_rescue_does_not_wait_for_other_renders() -> None:
    start = waiting(unschedulable=NO_GPU)
    rescue = replace(
        start, jobs=(start.jobs[0], segments_job(1, on_demand=True)), others_run=True, others_have_gpus=True
    )
    run = decided(rescue).status.run
    assert run is not None and run.waiting_since is not None, "there are other nodes to go back to"


def test_a_job_that_a_queue_holds_back_waits_without_a_deadline() -> None:
    held = later(planning(), 5, jobs=(job_view(Role.PLAN, suspended=True),))
    status = decided(held).status
    assert (status.reason, condition(status, "Scheduled").status) == (Reason.QUOTA_EXCEEDED, "False")
    assert status.run is not None
    assert status.run.waiting_since is None

    hours = later(held, 10_000)
    assert decided(hours).status.phase is Phase.PLANNING

    released = later(hours, 1, jobs=(job_view(Role.PLAN),), pods=(pod(Role.PLAN),))
    seconds = render_job().spec.deadlines.active_seconds
    assert decided(later(released, seconds - 20)).status.phase is Phase.PLANNING, "what it waited does not count"
    assert decided(later(released, seconds + 20)).status.reason == Reason.ACTIVE_DEADLINE_EXCEEDED


@pytest.mark.parametrize(
    ("refusal", "reason"),
    [
        ('pods "x" is forbidden: exceeded quota: small', Reason.QUOTA_EXCEEDED),
        ("spec.template: Invalid value", Reason.CREATION_REFUSED),
    ],
)
def test_what_the_api_server_refuses_is_said_in_its_words(refusal: str, reason: Reason) -> None:
    refused = later(replace(planning(), jobs=()), 1, refusal=refusal)
    status = decided(refused).status
    assert status.reason == reason
    assert condition(status, "Scheduled").message == refusal


def test_a_job_without_any_pod_says_where_to_look() -> None:
    bare = later(planning(), 8)
    assert "kubectl describe job clip-plan" in condition(decided(bare).status, "Scheduled").message


def test_the_pause_before_a_repeated_try_is_no_waiting() -> None:
    start = rendering(1)
    flaky = ended_pod(Role.SEGMENTS, failure_report(FailureCode.BROWSER_ERROR), 0)
    status = decided(later(replace(start, pods=(flaky,)), 8)).status
    assert condition(status, "Scheduled").status == "True"


QUOTA = "pods is forbidden: exceeded quota: gpus, requested: requests.nvidia.com/gpu=1, used: {used}, limited: 4"
RESTRICTED = 'pods is forbidden: violates PodSecurity "restricted:latest": seccompProfile'


@pytest.mark.parametrize(
    ("said", "reason"), [(QUOTA, Reason.QUOTA_EXCEEDED), (RESTRICTED, Reason.CREATION_REFUSED)], ids=["quota", "policy"]
)
def test_what_refuses_the_pods_of_a_job_is_said_in_its_words(said: str, reason: Reason) -> None:
    start = later(planning(), 8)
    refused = replace(start, obstacles={"clip-plan": said})
    decision = decided(refused)
    shown = condition(decision.status, "Scheduled")
    assert (shown.reason, shown.message) == (reason, said)
    assert decision.due is not None
    assert decision.due <= 30
    failed = decided(later(refused, 901)).status
    assert failed.failure is not None
    assert said in failed.failure.message


def test_a_quota_that_refuses_the_next_try_is_said_though_an_earlier_pod_is_there() -> None:
    start = rendering(1)
    flaky = ended_pod(Role.SEGMENTS, failure_report(FailureCode.BROWSER_ERROR), 0, seconds=1)
    failed = later(replace(start, pods=(*start.pods[:1], flaky)), 20)
    assert condition(decided(failed).status, "Scheduled").status == "True", "a pause between two tries"
    refused = replace(failed, obstacles={"clip-seg-0": QUOTA.format(used=4)})
    shown = condition(decided(refused).status, "Scheduled")
    assert (shown.status, shown.reason) == ("False", Reason.QUOTA_EXCEEDED)
    ended = decided(later(refused, 901)).status
    assert ended.failure is not None and "exceeded quota" in ended.failure.message


def test_other_numbers_of_a_quota_are_no_reason_to_write() -> None:
    refused = replace(later(planning(), 8), obstacles={"clip-plan": QUOTA.format(used=4)})
    again = later(refused, 30, obstacles={"clip-plan": QUOTA.format(used=3)})
    assert decided(again).status == again.status


def test_what_kueue_says_of_a_job_that_it_holds_back_is_repeated() -> None:
    why = "couldn't assign flavors to pod set main: insufficient unused quota for nvidia.com/gpu"
    held = replace(planning(), jobs=(job_view(Role.PLAN, suspended=True),), obstacles={"clip-plan": why})
    shown = condition(decided(held).status, "Scheduled")
    assert shown.reason == Reason.QUOTA_EXCEEDED
    assert shown.message == f"Job clip-plan is suspended; a queue (Kueue) has not let it start yet: {why}."
