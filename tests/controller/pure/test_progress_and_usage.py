"""How far a job is and what it cost: exact, only growing, and written seldom."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from ecg_api.conditions import Condition
from ecg_api.failures import FailureCode
from ecg_api.names import Role
from ecg_api.status import Phase, Progress
from ecg_operator.decide.status import phase_of
from ecg_operator.model import Observation
from observations import (
    NOW,
    decided,
    ended_pod,
    failure_report,
    later,
    merge_report,
    merging,
    plan_report,
    planning,
    pod,
    progress,
    render_job,
    rendering,
    segment_report,
    segments_job,
    stored,
)


def said(start: Observation, *frames: int, speed: float = 25.0) -> Observation:
    """Return the observation with what the pods of segments 0, 1, ... say."""
    pods = [one for one in start.pods if one.role is Role.SEGMENTS]
    return replace(start, progress={one.name: progress(n, speed) for one, n in zip(pods, frames, strict=False)})


def test_progress_is_the_sum_of_what_is_finished_and_what_the_pods_say() -> None:
    start = rendering()
    done = replace(start, pods=(ended_pod(Role.SEGMENTS, segment_report(0), 0), *start.pods[2:]))
    report = decided(said(later(done, 3), 0, 40, 20, 0)).status.progress
    assert report == Progress(frames_done=160, frames_total=400, percent=40, frames_per_second=75.0, eta_seconds=4)


def test_percent_never_falls_though_a_pod_is_lost_with_its_frames() -> None:
    far = said(rendering(), 90, 90, 90, 90)
    lost = later(far, 5, pods=(pod(Role.SEGMENTS, 0, tag="again"),), progress={})
    report = decided(lost).status.progress
    assert report is not None
    assert (report.frames_done, report.percent) == (360, 90)


def test_a_finished_segment_whose_pod_still_answers_is_not_counted_twice() -> None:
    start = rendering()
    twin = ended_pod(Role.SEGMENTS, segment_report(0), 0, tag="first")
    report = decided(later(said(replace(start, pods=(*start.pods, twin)), 50, 0, 0, 0), 3)).status.progress
    assert report is not None
    assert report.frames_done == 100


def test_segments_that_are_over_before_their_pods_are_asked_have_a_speed_all_the_same() -> None:
    start = rendering()  # its pods run since NOW
    two = tuple(ended_pod(Role.SEGMENTS, segment_report(index), index, seconds=2) for index in range(2))
    half = later(start, 3, pods=(*start.pods[:1], *two, *start.pods[3:]))
    shown = decided(half).status.progress
    assert shown is not None
    assert (shown.frames_per_second, shown.eta_seconds) == (100.0, 2)
    assert decided(later(half, 30)).status.progress == shown, "nothing new, nothing to write"

    merged = decided(replace(merging(), pods=(*merging().pods, ended_pod(Role.MERGE, merge_report(), seconds=60))))
    assert merged.status.progress is not None
    assert merged.status.progress.frames_per_second == 40.0, "400 frames in the 10 s of the segments"


def test_a_job_that_is_cancelled_has_no_speed_any_more() -> None:
    start = said(rendering(), 10, 10)
    status = decided(later(start, 1, job=render_job(cancel=True))).status
    assert status.progress is not None
    assert (status.progress.frames_done, status.progress.frames_per_second) == (20, 0.0)


def test_percent_is_99_until_the_output_is_there() -> None:
    report = decided(said(rendering(), 100, 100, 100, 100)).status.progress
    assert report is not None
    assert (report.percent, report.eta_seconds) == (99, None)


@pytest.mark.parametrize(("seconds", "written"), [(0.5, False), (2.9, False), (3.0, True)])
def test_progress_alone_is_written_three_seconds_after_the_last_write(seconds: float, written: bool) -> None:
    first = said(rendering(), 10)
    second = said(later(first, seconds), 30)
    decision = decided(second)
    assert (decision.status != second.status) is written
    if not written:
        assert decision.due == pytest.approx(3.0 - seconds)


def test_progress_goes_on_after_a_replica_whose_clock_was_ahead() -> None:
    first = said(rendering(), 10)
    written = stored(decided(first).status)
    assert written.run is not None
    ahead = written.run.model_copy(update={"written_at": first.now + timedelta(minutes=10)})
    second = said(replace(first, status=stored(written.model_copy(update={"run": ahead}))), 30)
    status = decided(second).status
    assert status.progress is not None and status.progress.frames_done == 30
    assert status.run is not None and status.run.written_at == second.now
    third = said(later(second, 1), 40)
    assert decided(third).status == third.status, "from then on it is paced again"


def test_what_is_more_than_progress_is_written_at_once() -> None:
    first = said(rendering(), 10)
    flaky = ended_pod(Role.SEGMENTS, failure_report(FailureCode.BROWSER_ERROR), 3)
    second = later(first, 0.5, pods=(*first.pods[:-1], flaky))
    status = decided(second).status
    assert status != second.status
    assert status.attempts == 4


def test_nothing_is_written_when_nothing_has_changed() -> None:
    start = said(rendering(), 10, 10, 10, 10)
    settled = later(start, 30)
    decision = decided(settled)
    assert decision.status == settled.status
    assert not decision.events


def test_frames_that_wait_for_the_plan_do_not_exist() -> None:
    assert decided(planning()).status.progress is None


def test_each_pods_gpu_seconds_are_counted_once_and_those_without_a_result_as_wasted() -> None:
    start = rendering()
    good = ended_pod(Role.SEGMENTS, segment_report(0), 0, seconds=20)
    bad = ended_pod(Role.SEGMENTS, failure_report(FailureCode.BROWSER_ERROR), 1, seconds=7)
    observation = replace(start, pods=(good, bad, *start.pods[3:]))
    for _ in range(3):
        usage = decided(observation).status.usage
        assert usage is not None
        assert (usage.gpu_seconds, usage.wasted_gpu_seconds) == (27.0, 7.0)
        observation = later(observation, 4)


@pytest.mark.parametrize("minutes", [-10, 10])
def test_a_pod_that_is_stopped_is_counted_from_when_it_was_seen_to_run_whatever_its_nodes_clock(minutes: int) -> None:
    start = rendering(2)
    wrong = timedelta(minutes=minutes)
    pods = tuple(replace(one, started_at=NOW + wrong, runs_since=NOW) for one in start.pods[1:])
    usage = decided(replace(start, pods=(start.pods[0], *pods), job=render_job(suspend=True))).status.usage
    assert usage is not None
    assert usage.gpu_seconds == 2 * (start.now - NOW).total_seconds()


@pytest.mark.parametrize("minutes", [-10, 10])
def test_a_pod_that_has_ended_is_counted_by_its_nodes_clock_alone(minutes: int) -> None:
    start = rendering(2)
    began = NOW + timedelta(minutes=minutes)
    seen = {"runs_since": NOW + timedelta(seconds=3), "over_since": NOW + timedelta(seconds=9)}
    good = ended_pod(Role.SEGMENTS, segment_report(0), 0, seconds=60 * minutes + 7, started_at=began, **seen)
    usage = decided(replace(start, pods=(start.pods[0], good, *start.pods[2:]))).status.usage
    assert usage is not None
    assert usage.gpu_seconds == 7


def test_pods_that_are_stopped_are_counted_until_then() -> None:
    start = rendering(2)
    stopped = replace(start, job=render_job(suspend=True))
    usage = decided(stopped).status.usage
    held = 2 * (start.now - NOW).total_seconds()
    assert usage is not None
    assert (usage.gpu_seconds, usage.wasted_gpu_seconds) == (held, held)
    again = decided(later(stopped, 5)).status.usage
    assert again == usage


def test_plan_pods_hold_no_gpu_and_are_no_attempts() -> None:
    status = decided(replace(planning(), pods=(ended_pod(Role.PLAN, plan_report()),))).status
    assert status.usage is None or status.usage.gpu_seconds == 0
    assert status.attempts == 0


def test_cells_that_were_found_are_told_to_the_end_whatever_pods_cost() -> None:
    planned = replace(planning(), pods=(ended_pod(Role.PLAN, plan_report(cells=9, cells_reused=4)),))
    spent = ended_pod(Role.SEGMENTS, segment_report(0), 0, seconds=20)
    usage = decided(later(planned, 30, jobs=(*planned.jobs, segments_job()), pods=(*planned.pods, spent))).status.usage
    assert usage is not None
    assert (usage.cells_total, usage.cells_reused, usage.gpu_seconds) == (9, 4, 20.0)


def conditions(**given: str) -> list[Condition]:
    """Build conditions from `Planned="True PlanReady"`."""
    return [
        Condition.model_validate(
            {"type": kind, "lastTransitionTime": NOW, **dict(zip(("status", "reason"), text.split(), strict=True))}
        )
        for kind, text in given.items()
    ]


@pytest.mark.parametrize(
    ("given", "phase", "reason"),
    [
        ({}, Phase.PENDING, ""),
        ({"Scheduled": "False Queued"}, Phase.PENDING, "Queued"),
        ({"Scheduled": "False NodeProvisioning", "Planned": "False Planning"}, Phase.PLANNING, "NodeProvisioning"),
        ({"Scheduled": "True PodsRunning", "Planned": "False Planning"}, Phase.PLANNING, ""),
        ({"Scheduled": "True PodsRunning", "Planned": "True PlanReady"}, Phase.RENDERING, ""),
        ({"Scheduled": "False GpuUnavailable", "Planned": "True PlanReady"}, Phase.RENDERING, "GpuUnavailable"),
        ({"Scheduled": "False Queued", "Planned": "True PlanReady"}, Phase.PENDING, "Queued"),
        ({"Scheduled": "False Suspended", "Planned": "True PlanReady"}, Phase.SUSPENDED, "Suspended"),
        ({"Planned": "True PlanReady", "Rendered": "True SegmentsRendered"}, Phase.MERGING, ""),
        ({"Succeeded": "True Completed", "Finished": "True Completed"}, Phase.SUCCEEDED, "Completed"),
        ({"Succeeded": "False X", "Finished": "True InvalidInput"}, Phase.FAILED, "InvalidInput"),
        ({"Scheduled": "False Suspended", "Finished": "True Cancelled"}, Phase.CANCELLED, "Cancelled"),
    ],
)
def test_the_phase_follows_from_the_conditions(given: dict[str, str], phase: Phase, reason: str) -> None:
    assert phase_of(conditions(**given)) == (phase, reason)
