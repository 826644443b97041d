"""Cancel, suspend, resume, delete; and what is tidied up afterwards."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from ecg_api.names import Role
from ecg_api.status import Phase, WorkFilesState
from ecg_operator.model import CreateJob, DeleteChildren, DeleteJob, DeleteRenderJob, Observation, Verdict
from observations import (
    NOW,
    POLICY,
    condition,
    decided,
    ended_pod,
    finished,
    job_view,
    later,
    merge_report,
    merging,
    observed,
    planning,
    pod,
    reasons,
    render_job,
    rendering,
    segment_report,
)

Start = Callable[..., Observation]
STARTS = [planning, rendering, merging]
STOP = DeleteChildren(keep=frozenset({Role.CLEAN}), grace_seconds=2)


def patched(start: Observation, **spec: Any) -> Observation:
    return replace(start, job=render_job(**spec), generation=2)


@pytest.mark.parametrize("start", STARTS)
def test_cancel_stops_the_pods_and_ends_the_job(start: Start) -> None:
    decision = decided(patched(start(), cancel=True))
    status = decision.status
    assert (status.phase, status.reason, status.observed_generation) == (Phase.CANCELLED, "Cancelled", 2)
    assert condition(status, "Finished").status == "True"
    assert "Failed" not in {one.type for one in status.conditions if one.status == "True"}
    assert decision.actions == (STOP,)
    assert reasons(decision.events) == ["Cancelled"]


def test_cancel_of_a_job_that_was_never_let_in_leaves_nothing_to_tidy() -> None:
    waiting = observed(verdict=Verdict(admitted=False))
    decision = decided(patched(waiting, cancel=True))
    assert decision.status.phase is Phase.CANCELLED
    assert decision.actions == ()
    assert decided(later(patched(waiting, cancel=True), 1)).actions == ()


def test_a_job_that_succeeds_at_the_moment_of_its_cancel_has_succeeded() -> None:
    start = merging()
    over = replace(start, pods=(*start.pods[:-1], ended_pod(Role.MERGE, merge_report())))
    assert decided(patched(over, cancel=True)).status.phase is Phase.SUCCEEDED


def test_work_files_are_removed_once_no_pod_can_write_any() -> None:
    cancelled = patched(rendering(), cancel=True)
    running = later(cancelled, 1, jobs=())
    assert decided(running).actions == ()
    assert decided(running).due == 2.0

    gone = later(running, 2, pods=())
    (create,) = decided(gone).actions
    assert isinstance(create, CreateJob)
    assert create.name == "clip-clean"
    assert "ownerReferences" not in create.manifest["metadata"]

    made = later(gone, 1, jobs=(job_view(Role.CLEAN),))
    assert decided(made).actions == ()
    cleaned = later(made, 5, jobs=(job_view(Role.CLEAN, complete=True),))
    status = decided(cleaned).status
    assert status.run is not None
    assert status.run.work_files is WorkFilesState.REMOVED
    assert decided(later(cleaned, 400, jobs=())).actions == ()


def test_a_pod_on_a_dead_node_does_not_keep_the_work_files_for_ever() -> None:
    cancelled = later(patched(rendering(1), cancel=True), 1, jobs=())
    hung = pod(Role.SEGMENTS, 0, deleting=True, gone_by=NOW + timedelta(seconds=7))
    assert decided(later(cancelled, 30, pods=(hung,))).actions == ()
    (create,) = decided(later(cancelled, 90, pods=(hung,))).actions
    assert isinstance(create, CreateJob)


def test_work_files_that_cannot_be_removed_are_told_with_their_address() -> None:
    cancelled = later(patched(planning(), cancel=True), 1, jobs=(job_view(Role.CLEAN, failed=True),))
    decision = decided(cancelled)
    assert reasons(decision.events) == ["WorkFilesLeft"]
    assert "s3://work/jobs/render/clip-0f9d2f3c-0000-4000-8000-000000000001" in decision.events[0].message
    assert decided(later(cancelled, 1)).events == ()


def test_children_that_turn_up_after_the_end_are_deleted() -> None:
    late = replace(finished(), jobs=(job_view(Role.MERGE),))
    assert decided(late).actions == (STOP,)
    assert decided(replace(late, jobs=(job_view(Role.MERGE, deleting=True),))).actions == ()


@pytest.mark.parametrize("start", STARTS)
def test_suspend_stops_the_pods_and_keeps_what_is_finished(start: Start) -> None:
    before = start()
    decision = decided(patched(before, suspend=True))
    status = decision.status
    assert (status.phase, status.reason) == (Phase.SUSPENDED, "Suspended")
    assert decision.actions == (DeleteChildren(),)
    assert reasons(decision.events) == ["Suspended"]
    assert status.run is not None
    assert before.status.run is not None
    assert status.run.admitted_at is None
    assert status.run.completed == before.status.run.completed

    still_there = later(patched(before, suspend=True), 1)
    assert decided(still_there).actions == (DeleteChildren(),)
    assert decided(still_there).events == ()
    at_rest = later(later(still_there, 3, jobs=(), pods=()), 3)
    assert decided(at_rest).actions == ()
    assert decided(at_rest).due is None


def test_a_suspended_job_has_no_deadlines() -> None:
    suspended = later(patched(rendering(), suspend=True), 1, jobs=(), pods=())
    assert decided(later(suspended, 1_000_000)).status.phase is Phase.SUSPENDED


def test_a_segment_that_a_stopped_pod_still_finished_is_kept() -> None:
    suspended = later(patched(rendering(), suspend=True), 1, jobs=())
    last = replace(suspended, pods=(ended_pod(Role.SEGMENTS, segment_report(2), 2),))
    status = decided(later(last, 3)).status
    assert status.run is not None
    assert status.run.completed == "2"


def test_a_resumed_job_is_admitted_anew_and_renders_what_is_missing() -> None:
    start = rendering()
    done = replace(start, pods=(*start.pods[:2], ended_pod(Role.SEGMENTS, segment_report(1), 1)))
    suspended = later(patched(done, suspend=True), 5, jobs=(), pods=())
    queued = patched(replace(suspended, verdict=Verdict(admitted=False, reason="Position 1 in the queue")))
    decision = decided(queued)
    assert (decision.status.phase, decision.status.reason) == (Phase.PENDING, "Queued")
    assert reasons(decision.events) == ["Resumed"]
    decision = decided(later(queued, 60, verdict=observed().verdict))
    (create,) = decision.actions
    assert isinstance(create, CreateJob)
    assert create.name == "clip-seg-1"
    assert create.manifest["metadata"]["annotations"]["render.ecg.dev/segments"] == "0,2-3"
    assert reasons(decision.events) == ["Admitted"]
    assert decision.status.run is not None
    assert decision.status.run.admitted_at == queued.now + timedelta(seconds=60)


def test_a_job_resumed_before_its_old_pods_are_deleted_starts_nothing_beside_them() -> None:
    suspended = later(patched(rendering(), suspend=True), 1)
    assert decided(patched(suspended)).actions == (DeleteJob("clip-seg-0"),)


@pytest.mark.parametrize(("start", "child"), [(planning, "clip-plan"), (merging, "clip-merge")])
def test_planning_and_merging_start_again_after_a_resume(start: Start, child: str) -> None:
    suspended = later(patched(start(), suspend=True), 5, jobs=(), pods=())
    (create,) = decided(patched(suspended)).actions
    assert isinstance(create, CreateJob)
    assert create.name == child


@pytest.mark.parametrize("start", [observed, *STARTS, finished])
def test_nothing_is_done_to_a_job_that_is_being_deleted(start: Start) -> None:
    leaving = replace(start(), deleting=True)
    decision = decided(leaving)
    assert (decision.status, decision.actions, decision.events) == (leaving.status, (), ())


@pytest.mark.parametrize("start", STARTS)
def test_a_deleted_jobs_work_files_are_removed_when_its_pods_are_gone(start: Start) -> None:
    before = start()
    alive = replace(before, deleting=True, pods=(pod(Role.PLAN),))
    for still_there in (alive, replace(alive, pods=()), replace(alive, jobs=())):
        assert (decided(still_there).actions, decided(still_there).due) == ((), 2.0)
    (create,) = decided(replace(alive, pods=(), jobs=())).actions
    assert isinstance(create, CreateJob)
    assert create.name == "clip-clean"
    made = replace(alive, pods=(), jobs=(job_view(Role.CLEAN),))
    assert decided(made).actions == ()
    assert decided(made).due is None


@pytest.mark.parametrize(
    ("ttl", "start", "seconds"),
    [
        ({"succeededSeconds": 60}, finished, 60),
        ({"succeededSeconds": 0}, finished, 0),
        ({"failedSeconds": 60}, finished, None),
        ({}, finished, None),
    ],
)
def test_a_finished_job_is_deleted_when_its_time_is_over(
    ttl: dict[str, int], start: Start, seconds: int | None
) -> None:
    over = start(spec={"ttl": ttl})
    assert over.status.run is not None
    ended = over.status.run.finished_at
    assert ended is not None
    if seconds is None:
        assert decided(over).due is None
        return
    at = replace(over, now=ended + timedelta(seconds=seconds))
    assert decided(at).actions == (DeleteRenderJob(),)
    if seconds:
        early = decided(replace(over, now=ended + timedelta(seconds=seconds - 2)))
        assert (early.actions, early.due) == ((), 2.0)


def test_a_clean_job_that_a_queue_never_lets_in_is_given_up_and_said() -> None:
    start = later(patched(planning(), cancel=True), 1, jobs=(job_view(Role.CLEAN, suspended=True),))
    waits = decided(start)
    assert waits.actions == ()
    assert waits.due is not None
    decision = decided(later(start, 3601))
    assert decision.actions == (DeleteJob("clip-clean"),)
    assert reasons(decision.events) == ["WorkFilesLeft"]
    assert decision.status.run is not None
    assert decision.status.run.work_files is WorkFilesState.LEFT


def test_so_it_is_when_the_render_job_is_deleted() -> None:
    start = replace(planning(), deleting=True, jobs=(job_view(Role.CLEAN, suspended=True),))
    waits = decided(start)
    assert waits.actions == ()
    assert waits.due is not None
    assert decided(replace(start, now=start.now + timedelta(seconds=3601))).actions == (DeleteJob("clip-clean"),)


@pytest.mark.parametrize(
    ("ttl", "settings", "seconds"),
    [
        ({}, {"ttl_succeeded_seconds": 60}, 60),
        ({}, {"ttl_succeeded_seconds": 0}, 0),
        ({"succeededSeconds": 5}, {"ttl_succeeded_seconds": 60}, 5),
        ({"succeededSeconds": 0}, {"ttl_succeeded_seconds": 60}, 0),
        ({}, {"ttl_failed_seconds": 60}, None),
    ],
)
def test_who_does_not_say_how_long_it_is_kept_is_kept_as_the_operator_is_set(
    ttl: dict[str, int], settings: dict[str, int], seconds: int | None
) -> None:
    policy = replace(POLICY, **settings)
    over = finished(spec={"ttl": ttl})
    assert over.status.completion_time is not None
    if seconds is None:
        assert decided(over, policy).due is None
        return
    at = replace(over, now=over.status.completion_time + timedelta(seconds=seconds))
    assert decided(at, policy).actions == (DeleteRenderJob(),)


def test_one_that_cannot_be_read_is_deleted_as_the_operator_is_set() -> None:
    policy = replace(POLICY, ttl_failed_seconds=60)
    over = later(observed(job=None, problems=("spec.storage.profile: there is no storage profile 'tokyo'",)))
    assert (over.status.phase, decided(over).due) == (Phase.FAILED, None)
    early = decided(later(over, 58), policy)
    assert (early.actions, early.due) == ((), 2.0)
    assert decided(later(over, 60), policy).actions == (DeleteRenderJob(),)


def test_suspended_is_a_condition_of_its_own_while_the_job_is() -> None:
    start = rendering()
    assert "Suspended" not in {one.type for one in start.status.conditions}
    paused = later(later(patched(start, suspend=True), 1, jobs=(), pods=()), 3)
    assert (condition(paused.status, "Suspended").status, condition(paused.status, "Suspended").reason) == (
        "True",
        "Suspended",
    )

    on = later(patched(paused), 1)
    assert (condition(on.status, "Suspended").status, condition(on.status, "Suspended").reason) == ("False", "Resumed")
    over = decided(patched(paused, suspend=True, cancel=True)).status
    assert (condition(over, "Suspended").status, condition(over, "Suspended").reason) == ("False", "Cancelled")


def test_the_status_says_when_the_job_started_and_when_it_ended() -> None:
    waiting = later(observed(verdict=Verdict(admitted=False)), 5)
    assert (waiting.status.start_time, waiting.status.completion_time) == (None, None)
    started = later(replace(waiting, verdict=Verdict(admitted=True, segments=1)), 5)
    assert started.status.start_time == NOW + timedelta(seconds=5)
    paused = later(patched(started, suspend=True), 5)
    again = later(patched(paused), 5)
    assert again.status.start_time == started.status.start_time
    over = decided(patched(again, cancel=True)).status
    assert over.completion_time == again.now
    behind = decided(patched(replace(again, now=NOW - timedelta(minutes=5)), cancel=True)).status
    assert behind.completion_time == behind.start_time, "another replica, with another clock, has begun it"
