"""A size of a job that cannot be rendered: what is made of it is missing, and everything else is made."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ecg_api.failures import Failure, FailureCode
from ecg_api.names import Role
from ecg_api.pods import FailureReport, MergeReport
from ecg_api.running import Retry
from ecg_api.status import OutputStatus, Phase, RenderJobStatus, RenditionStatus, TakeNotes, WorkFilesState
from ecg_operator.model import CreateJob, DeleteJob, Observation, PodView
from observations import (
    condition,
    decided,
    ended_pod,
    failure_report,
    job_view,
    later,
    merge_report,
    observed,
    plan_report,
    pod,
    reasons,
    segment_report,
    segments_job,
)

BROKEN = failure_report(
    FailureCode.INVALID_RENDER_OPTIONS, "The picture is too narrow for a caption.", hint="Widen it."
)
FLAKY = failure_report(FailureCode.BROWSER_ERROR, "Chromium went away.")
RENDITIONS = [
    {"uri": "s3://videos/out/tall.mp4", "width": 180, "height": 320},
    {"uri": "s3://videos/out/words.srt"},
    {"uri": "s3://videos/out/tall.mov", "width": 180, "height": 320},
    {"uri": "s3://videos/out/square.mp4", "width": 320, "height": 320},
]
TAKES = [TakeNotes(segments=2), TakeNotes(segments=2, renditions=[0, 2]), TakeNotes(segments=1, renditions=[3])]
"""Segments 0 and 1 are the main video's, 2 and 3 of the tall pictures, 4 of the square ones."""


def rendering(**pods: PodView) -> Observation:
    """All five segments have a running pod, but for those that are given as s0, s1, ..."""
    start = later(observed(spec={"renditions": RENDITIONS}), jobs=(job_view(Role.PLAN),))
    report = plan_report(5).model_copy(update={"takes": TAKES})
    planned = replace(start, pods=(ended_pod(Role.PLAN, report),))
    of_segments = (pods.get(f"s{index}", pod(Role.SEGMENTS, index)) for index in range(5))
    return later(planned, 1, jobs=(*planned.jobs, segments_job(5)), pods=(*planned.pods, *of_segments))


def waiting(index: int) -> PodView:
    return pod(Role.SEGMENTS, index, phase="Pending", started_at=None)


def done(index: int) -> PodView:
    return ended_pod(Role.SEGMENTS, segment_report(index), index)


def failures(status: RenderJobStatus) -> dict[str, str]:
    return {output.name: output.failure.message for output in status.outputs if output.failure}


def test_its_renditions_are_listed_with_the_failure_at_once_and_the_job_goes_on() -> None:
    decision = decided(rendering(s4=ended_pod(Role.SEGMENTS, BROKEN, 4)))
    assert failures(decision.status) == {"square.mp4": "The picture is too narrow for a caption."}
    assert decision.status.outputs[0].uri == "s3://videos/out/square.mp4"
    assert decision.status.phase is Phase.RENDERING
    assert decision.status.failure is None
    assert decision.status.segments is not None
    assert (decision.status.segments.failed, decision.status.segments.total) == (1, 5)
    assert "square.mp4 cannot be made, the rest goes on." in decision.events[-1].message
    assert not decision.actions  # nobody is stopped
    again = decided(later(rendering(s4=ended_pod(Role.SEGMENTS, BROKEN, 4)), 3))
    assert not again.events and not again.actions


def test_pods_of_its_other_segments_are_stopped_once_no_other_pod_is_stopped_with_them() -> None:
    start = rendering(s0=done(0), s2=ended_pod(Role.SEGMENTS, BROKEN, 2), s1=waiting(1))
    going_on = decided(start)
    assert set(failures(going_on.status)) == {"tall.mp4", "tall.mov"}
    assert not going_on.actions, "segment 4 runs"
    failed_once = ended_pod(Role.SEGMENTS, FLAKY, 4)
    alone = later(start, 3, pods=(*start.pods[:-1], failed_once))
    assert decided(alone).actions == (DeleteJob("clip-seg-0"),)
    plan_only = later(alone, 3, jobs=start.jobs[:1], pods=())
    (create,) = decided(plan_only).actions
    assert isinstance(create, CreateJob)
    assert create.manifest["metadata"]["annotations"]["render.ecg.dev/segments"] == "1,4"


def test_the_merge_does_not_wait_for_them() -> None:
    start = rendering(s0=done(0), s1=done(1), s2=ended_pod(Role.SEGMENTS, BROKEN, 2), s4=done(4))
    decision = decided(start)
    assert [type(action) for action in decision.actions] == [DeleteJob, CreateJob]
    assert decision.actions[0] == DeleteJob("clip-seg-0")
    usage = decision.status.usage
    assert usage is not None and usage.wasted_gpu_seconds == 10 + 1, "that of segment 3, which ran for a second"


@pytest.mark.parametrize("never_again", [BROKEN, FLAKY])
def test_nobody_is_stopped_for_segments_that_nobody_tries_again(never_again: FailureReport) -> None:
    """Two sizes, one with two segments, are given up; nothing of what is left would be rendered for nothing."""
    tries = 1 if never_again is BROKEN else 3
    pods = [ended_pod(Role.SEGMENTS, never_again, index, tag=f"t{n}") for index in (2, 3, 4) for n in range(tries)]
    start = rendering(s0=done(0), s1=waiting(1))
    decision = decided(replace(start, pods=(*start.pods[:3], *pods)))
    assert set(failures(decision.status)) == {"tall.mp4", "tall.mov", "square.mp4"}
    assert not decision.actions


@pytest.mark.parametrize("tries", [1, 2, 3])
def test_it_has_the_same_tries_as_any_segment(tries: int) -> None:
    start = rendering(s4=ended_pod(Role.SEGMENTS, FLAKY, 4))
    more = (ended_pod(Role.SEGMENTS, FLAKY, 4, tag=f"try-{number}") for number in range(1, tries))
    status = decided(replace(start, pods=(*start.pods, *more))).status
    assert bool(failures(status)) is (tries == 3)
    assert status.phase is Phase.RENDERING


def taken(segment: int, times: int = 1, node: str = "spot") -> tuple[PodView, ...]:
    """Pods of a segment that Kubernetes took away, each from a node of its own."""
    return tuple(
        ended_pod(Role.SEGMENTS, "", segment, tag=f"t{n}", exit_code=143, disrupted=True, node=f"{node}-{segment}-{n}")
        for n in range(times)
    )


def losing(*lost: PodView, disruptions: int, start: Observation | None = None) -> Observation:
    """With `lost` besides the pods that run, or in place of those of `start`."""
    start = start or rendering()
    assert start.job is not None
    spec = start.job.spec.model_copy(update={"retry": Retry(disruptions=disruptions, on_demand_after=99)})
    return replace(start, job=start.job.model_copy(update={"spec": spec}), pods=(*start.pods, *lost))


TALL, SQUARE = {"tall.mp4", "tall.mov"}, {"square.mp4"}


@pytest.mark.parametrize(
    ("limit", "lost", "missing"),
    [
        (1, taken(4), set()),
        (1, taken(4, 2), SQUARE),
        (3, (*taken(2, 2), *taken(3, 2)), TALL),
        (1, (*taken(2), *taken(4)), TALL | SQUARE),
        (2, (*taken(0, 2), *taken(4)), SQUARE),
        (1, (*taken(0, 2), *taken(4)), None),
        (1, taken(1, 2), None),
        (0, (*taken(4), ended_pod(Role.PLAN, "", tag="lost", exit_code=143, disrupted=True, node="spot")), None),
        (0, (*taken(4), ended_pod(Role.MERGE, "", exit_code=143, disrupted=True, node="spot")), None),
    ],
)
def test_too_many_disruptions_cost_the_sizes_that_they_hit_before_they_end_the_job(
    limit: int, lost: tuple[PodView, ...], missing: set[str] | None
) -> None:
    """The main video's own, those of the plan and of the merge end it; None: they did."""
    decision = decided(losing(*lost, disruptions=limit))
    status = decision.status
    if missing is None:
        assert (status.phase, status.reason) == (Phase.FAILED, "DisruptionsExhausted")
        return
    assert (status.phase, set(failures(status)), status.failure) == (Phase.RENDERING, missing, None)
    for said in failures(status).values():
        assert said.startswith(f"Kubernetes took pods away {len(lost)} times")
    again = decided(later(losing(*lost, disruptions=limit), 3))
    assert (again.events, again.actions) == ((), ())


def test_what_hit_a_size_that_is_all_there_or_given_up_does_not_count_any_more() -> None:
    there = rendering(s4=done(4))
    assert not failures(decided(losing(*taken(4, 9), *taken(2), disruptions=1, start=there)).status)
    given_up = later(losing(*taken(4, 2), disruptions=1), 1)
    more = replace(given_up, pods=(*given_up.pods, *taken(4, 9, "other"), *taken(0)))
    status = decided(more).status
    assert (status.phase, set(failures(status))) == (Phase.RENDERING, SQUARE)


def test_a_disruption_counts_once_it_is_known_which_size_it_hit() -> None:
    start = losing(*taken(4), disruptions=0)
    behind = decided(replace(start, jobs=start.jobs[:1])).status
    assert behind.run is not None and behind.run.disrupted == [] and behind.phase is Phase.RENDERING
    assert set(failures(decided(start).status)) == SQUARE


def test_a_segment_of_the_main_video_still_ends_the_job() -> None:
    status = decided(rendering(s1=ended_pod(Role.SEGMENTS, BROKEN, 1), s4=ended_pod(Role.SEGMENTS, BROKEN, 4))).status
    assert (status.phase, status.reason) == (Phase.FAILED, "SegmentFailed")
    assert status.failure is not None and status.failure.segment == 1
    assert status.segments is not None and status.segments.failed == 2


@pytest.mark.parametrize("renditions", [[], RENDITIONS])
def test_the_job_controller_may_give_up_so_many_segments_as_are_no_part_of_the_main_video(renditions: Any) -> None:
    report = plan_report(5).model_copy(update={"takes": TAKES if renditions else []})
    start = later(observed(spec={"renditions": renditions}), jobs=(job_view(Role.PLAN),))
    (create,) = decided(replace(start, pods=(ended_pod(Role.PLAN, report),))).actions
    assert isinstance(create, CreateJob)
    assert create.manifest["spec"]["maxFailedIndexes"] == (3 if renditions else 0)


def test_what_the_job_controller_gave_up_counts_though_no_pod_of_it_is_left() -> None:
    start = rendering()
    job = replace(start.jobs[1], failed_indexes=frozenset({4}))
    gone = replace(start, jobs=(start.jobs[0], job), pods=start.pods[:-1])
    assert not failures(decided(gone).status)
    said = failures(decided(later(gone, 31)).status)["square.mp4"]
    assert said == "Index 4 of Job clip-seg-0 was given up, and no pod of it is left."


@pytest.mark.parametrize(("flaky", "given_up"), [(1, 4), (4, 1)])
def test_what_the_job_controller_gave_up_is_no_fault_of_another_segments_pod(flaky: int, given_up: int) -> None:
    """The watch of the Jobs is ahead: the last pod of one index is not seen yet, and another has two tries left."""
    start = rendering(**{f"s{flaky}": ended_pod(Role.SEGMENTS, FLAKY, flaky)})
    job = replace(start.jobs[1], failed_indexes=frozenset({given_up}))
    status = decided(replace(start, jobs=(start.jobs[0], job))).status
    assert (status.phase, failures(status)) == (Phase.RENDERING, {})


def test_each_pod_that_is_not_seen_is_waited_for_anew() -> None:
    start = rendering()
    job = replace(start.jobs[1], failed_indexes=frozenset({4}))
    unseen = replace(start, jobs=(start.jobs[0], job), pods=start.pods[:-1])
    seen = later(unseen, 1, pods=(*unseen.pods, ended_pod(Role.SEGMENTS, BROKEN, 4)))
    more = replace(job, failed_indexes=frozenset({1, 4}))
    without = tuple(one for one in seen.pods if one.index != 1)
    assert decided(later(seen, 100, jobs=(start.jobs[0], more), pods=without)).status.phase is Phase.RENDERING


def test_a_job_that_is_over_without_a_report_is_followed_by_another_round() -> None:
    """The Job controller says Failed for good, since an index was given up; nothing may come of it any more."""
    start = rendering(s4=ended_pod(Role.SEGMENTS, BROKEN, 4))
    job = replace(start.jobs[1], failed=True, reason="FailedIndexes", failed_indexes=frozenset({4}))
    lost = later(start, 1, jobs=(start.jobs[0], job), pods=start.pods[:1])
    later_on = later(lost, 31)
    decision = decided(later_on)
    assert decision.actions == (DeleteJob("clip-seg-0"),)
    assert (reasons(decision.events), decision.status.failure) == (["SegmentsMoved"], None)


def merged(report: MergeReport) -> Any:
    """What is decided when all but the square pictures were rendered, and the merge pod says `report`."""
    start = rendering(s4=ended_pod(Role.SEGMENTS, BROKEN, 4), **{f"s{index}": done(index) for index in range(4)})
    merging = later(start, 3, jobs=(*start.jobs, job_view(Role.MERGE)))
    return decided(replace(merging, pods=(*merging.pods, ended_pod(Role.MERGE, report))))


def test_the_merge_is_told_what_to_leave_out() -> None:
    decision = decided(
        rendering(s4=ended_pod(Role.SEGMENTS, BROKEN, 4), **{f"s{index}": done(index) for index in range(4)})
    )
    (create,) = decision.actions
    assert isinstance(create, CreateJob)
    environment = create.manifest["spec"]["template"]["spec"]["containers"][0]["env"]
    assert {"name": "ECG_GIVEN_UP", "value": "4"} in environment
    assert "4 of 5 segments are in storage, the others are given up." in condition(decision.status, "Rendered").message
    assert reasons(decision.events)[-1] == "Merging"


def test_at_the_end_the_job_has_failed_and_what_is_there_is_listed_in_the_order_of_the_manifest() -> None:
    start = rendering(s4=ended_pod(Role.SEGMENTS, BROKEN, 4), **{f"s{index}": done(index) for index in range(4)})
    progress = later(later(start, 3), 3).status.progress
    assert progress is not None
    assert progress.frames_done < progress.frames_total and progress.eta_seconds is None
    there = [RenditionStatus(name=name, uri=name) for name in ("main", "tall.mp4", "words.srt", "tall.mov")]
    report = merge_report().model_copy(update={"outputs": there})
    status = merged(report).status
    assert (status.phase, status.reason) == (Phase.FAILED, "RenditionFailed")
    assert [output.name for output in status.outputs] == ["main", "tall.mp4", "words.srt", "tall.mov", "square.mp4"]
    assert isinstance(status.output, OutputStatus)
    assert status.failure.code is FailureCode.INVALID_RENDER_OPTIONS
    assert status.failure.hint == "Widen it."
    assert "The rendition square.mp4 is missing: The picture is too narrow" in status.failure.message
    assert (condition(status, "Rendered").status, condition(status, "Merged").status) == ("False", "True")
    assert status.segments.failed == 1
    assert status.run.work_files is WorkFilesState.WRITTEN, "a pod of the square pictures may have written since"


def test_whatever_is_missing_is_named_and_the_stage_of_the_first_says_why() -> None:
    denied = Failure(code=FailureCode.S3_UPLOAD_ERROR, message="Access is denied.", retryable=True)
    outputs = [RenditionStatus(name=name, uri=name) for name in ("main", "tall.mp4", "words.srt", "tall.mov")]
    outputs[1] = outputs[1].model_copy(update={"failure": denied})
    status = merged(merge_report().model_copy(update={"outputs": outputs})).status
    said = "The rendition tall.mp4 is missing: Access is denied. Also missing: square.mp4."
    assert status.failure.message.endswith(said)
    assert condition(status, "Merged").message == status.failure.message
    assert "denied" not in condition(status, "Rendered").message


def test_a_new_plan_tries_everything_anew() -> None:
    start = rendering(s4=ended_pod(Role.SEGMENTS, BROKEN, 4))
    gone = failure_report(FailureCode.RENDER_ERROR).model_copy(update={"plan_again": True})
    again = later(start, 1, pods=(*start.pods[:-2], ended_pod(Role.SEGMENTS, gone, 3)))
    status = decided(again).status
    assert status.outputs == []
    assert status.run is not None and (status.run.given_up, status.run.takes) == ([], [])
