"""A job's way from admission to the output, one Job after the other."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ecg_api.failures import Failure, FailureCode
from ecg_api.names import SEGMENTS_ANNOTATION, Role
from ecg_api.pods import FailureReport, MergeReport
from ecg_api.ranges import format_ranges
from ecg_api.status import Phase, Progress, RenditionStatus, StorageStatus, WorkFilesState
from ecg_operator.model import CreateJob, DeleteChildren, DeleteJob, SetParallelism, Verdict
from observations import (
    ADMITTED,
    condition,
    decided,
    ended_pod,
    finished,
    job_view,
    later,
    merge_report,
    merging,
    observed,
    plan_report,
    planning,
    pod,
    reasons,
    render_job,
    rendering,
    segment_report,
    segments_job,
)

WAITING = Verdict(admitted=False, position=3, reason="Position 3 in the queue: 8 jobs are running, which is the limit")


def test_a_job_that_is_not_let_in_says_its_place_in_the_queue_and_has_no_children() -> None:
    decision = decided(observed(verdict=WAITING))
    assert decision.status.phase is Phase.PENDING
    assert decision.status.reason == "Queued"
    assert condition(decision.status, "Scheduled").message == f"{WAITING.reason}."
    assert decision.actions == ()
    assert decision.due is None


def test_a_job_that_was_let_in_stays_in_whatever_admission_says_later() -> None:
    decision = decided(replace(planning(), verdict=WAITING))
    assert decision.status.phase is Phase.PLANNING


def test_an_admitted_job_is_planned_first() -> None:
    decision = decided(observed())
    assert [action.name for action in decision.actions if isinstance(action, CreateJob)] == ["clip-plan"]
    assert decision.status.phase is Phase.PLANNING
    assert decision.status.run is not None
    assert decision.status.run.work_files is WorkFilesState.WRITTEN
    assert reasons(decision.events) == ["Admitted"]


def test_the_plan_is_taken_over_and_all_segments_are_started() -> None:
    plan = plan_report(4, warnings=["cue 7 was too long", "version is missing"]).model_copy(update={"concerns": 1})
    decision = decided(replace(planning(), pods=(ended_pod(Role.PLAN, plan),)))
    assert decision.status.plan == plan.plan
    assert decision.status.phase is Phase.RENDERING
    assert "cue 7 was too long version is missing" in condition(decision.status, "Planned").message
    assert decision.status.warnings == ["cue 7 was too long"]
    (create,) = decision.actions
    assert isinstance(create, CreateJob)
    assert create.name == "clip-seg-0"
    assert create.manifest["metadata"]["annotations"] == {SEGMENTS_ANNOTATION: "0-3"}
    assert create.manifest["spec"]["completions"] == 4
    assert reasons(decision.events) == ["Planned", "SegmentsStarted"]


@pytest.mark.parametrize(("room", "segments", "parallelism"), [(0, 4, 1), (3, 8, 3), (9, 4, 4)])
def test_segments_run_as_many_at_a_time_as_admission_allows(room: int, segments: int, parallelism: int) -> None:
    start = planning(verdict=Verdict(admitted=True, segments=room))
    (create,) = decided(replace(start, pods=(ended_pod(Role.PLAN, plan_report(segments)),))).actions
    assert isinstance(create, CreateJob)
    assert create.manifest["spec"]["parallelism"] == parallelism


@pytest.mark.parametrize(
    ("room", "labels", "wanted"),
    [
        (6, {}, (SetParallelism("clip-seg-0", 6),)),
        (99, {}, (SetParallelism("clip-seg-0", 8),)),
        (2, {}, ()),
        (1, {}, ()),
        (6, {"kueue.x-k8s.io/queue-name": "captions"}, ()),
    ],
)
def test_room_that_becomes_free_is_used_and_never_given_back_while_pods_run(
    room: int, labels: dict[str, str], wanted: tuple[SetParallelism, ...]
) -> None:
    start = rendering(8)
    job = segments_job(8, parallelism=2)
    observation = replace(
        start, jobs=(start.jobs[0], job), verdict=Verdict(admitted=True, segments=room), labels=labels
    )
    assert decided(observation).actions == wanted


@pytest.mark.parametrize(("wants", "parallelism"), [(1, 0), (8, 5), (0, 5)])
def test_a_job_of_kueues_begins_when_its_share_is_that_of_its_plan_since_it_never_grows(
    wants: int, parallelism: int
) -> None:
    labels = {"kueue.x-k8s.io/queue-name": "captions"}
    verdict = Verdict(admitted=True, segments=5, wants=wants)
    planned = rendering(8)
    actions = decided(replace(planned, jobs=planned.jobs[:1], verdict=verdict, labels=labels)).actions
    assert [one.manifest["spec"]["parallelism"] for one in actions if isinstance(one, CreateJob)] == (
        [parallelism] if parallelism else []
    )


def test_finished_segments_are_counted_with_their_frames_metrics_and_encoder() -> None:
    start = rendering()
    done = (ended_pod(Role.SEGMENTS, segment_report(1), 1), ended_pod(Role.SEGMENTS, segment_report(3, reused=True), 3))
    status = decided(later(replace(start, pods=(*start.pods[:1], *done)), 3)).status
    assert status.segments is not None
    assert (status.segments.succeeded, status.segments.reused, status.segments.total) == (2, 1, 4)
    assert status.run is not None
    assert status.run.completed == "1,3"
    assert status.encoder == "h264_nvenc"
    assert status.metrics is not None
    assert (status.metrics.frames_processed, status.metrics.frames_dropped) == (200, 2)
    assert (status.metrics.drop_rate, status.metrics.memory_peak_mb) == (0.01, 503)
    shown = status.progress
    assert shown is not None
    assert (shown.frames_done, shown.frames_total, shown.percent) == (200, 400, 50)


def test_what_segments_and_merge_warn_of_stands_on_the_status_once() -> None:
    said = ["The plugin x@2.0.0, which an origin gave, failed"]
    ended = [ended_pod(Role.SEGMENTS, segment_report(index, warnings=said), index) for index in range(2)]
    assert decided(replace(rendering(), pods=tuple(ended))).status.warnings == said
    end = decided(replace(merging(), pods=(ended_pod(Role.MERGE, merge_report("No subtitles.")),))).status
    assert end.warnings == ["No subtitles."]


def test_a_segment_that_the_job_controller_counts_though_its_pod_is_gone_is_finished() -> None:
    start = rendering()
    job = segments_job(completed=frozenset({0, 2}))
    left = tuple(one for one in start.pods if one.index != 2)  # that of 0 still runs: it will report
    status = decided(later(replace(start, jobs=(start.jobs[0], job), pods=left), 3)).status
    assert status.run is not None
    assert status.run.completed == "2"
    assert status.run.frames == 100


def test_when_all_segments_are_there_they_are_merged() -> None:
    start = rendering()
    done = tuple(ended_pod(Role.SEGMENTS, segment_report(index), index) for index in range(4))
    decision = decided(replace(start, pods=done))
    assert [action.name for action in decision.actions if isinstance(action, CreateJob)] == ["clip-merge"]
    assert decision.status.phase is Phase.MERGING
    assert condition(decision.status, "Rendered").status == "True"
    assert decision.status.progress is not None
    assert decision.status.progress.percent == 99
    assert reasons(decision.events) == ["Merging"]


def test_when_the_output_is_there_the_job_has_succeeded_and_its_children_go() -> None:
    start = merging()
    report = merge_report("The audio was encoded again.")
    decision = decided(replace(start, pods=(*start.pods[:-1], ended_pod(Role.MERGE, report))))
    status = decision.status
    assert (status.phase, status.reason) == (Phase.SUCCEEDED, "Completed")
    assert status.output == report.output
    assert "The audio was encoded again." in condition(status, "Merged").message
    assert condition(status, "Finished").status == "True"
    assert condition(status, "Scheduled").status == "True"
    assert status.progress == Progress(frames_done=400, frames_total=400, percent=100, frames_per_second=40.0)
    assert decision.actions == (DeleteChildren(keep=frozenset({Role.CLEAN}), grace_seconds=2),)
    assert reasons(decision.events) == ["Succeeded"]


def test_a_merge_pod_that_was_killed_after_its_report_has_done_its_work_but_for_the_work_files() -> None:
    start = merging()
    killed = ended_pod(Role.MERGE, merge_report(), phase="Failed", exit_code=137, ended="Error")
    status = decided(replace(start, pods=(*start.pods[:-1], killed))).status
    assert status.phase is Phase.SUCCEEDED
    assert status.run is not None
    assert status.run.work_files is WorkFilesState.WRITTEN


def test_a_finished_job_is_left_alone() -> None:
    over = finished()
    decision = decided(over)
    assert (decision.status, decision.actions, decision.events, decision.due) == (over.status, (), (), None)


def test_a_finished_job_that_is_edited_says_that_it_was_seen() -> None:
    decision = decided(replace(finished(), generation=2))
    assert decision.status.observed_generation == 2
    assert decision.status.phase is Phase.SUCCEEDED


@pytest.mark.parametrize("start", [observed, planning, rendering, merging])
def test_nothing_is_told_or_created_twice(start: Any) -> None:
    again = later(start(), 10)
    decision = decided(again)
    assert decision.events == ()
    if start is not observed:  # there the plan Job is still to be seen
        assert decision.actions == ()


def test_jobs_of_an_earlier_job_of_the_same_name_are_waited_for_and_not_adopted() -> None:
    theirs = job_view(Role.PLAN, owned=False, complete=True)
    start = later(observed(), 1, jobs=(theirs,))
    decision = decided(start)
    assert decision.actions == ()
    assert decision.due == 2.0
    assert decision.status.reason == "NameTaken"
    assert "Job clip-plan is not this RenderJob's" in condition(decision.status, "Scheduled").message
    (create,) = decided(later(start, 2, jobs=())).actions
    assert isinstance(create, CreateJob)


def test_a_child_that_somebody_deleted_is_made_again_with_what_is_missing() -> None:
    start = rendering()
    done = replace(start, pods=(ended_pod(Role.SEGMENTS, segment_report(1), 1),))
    going = later(done, 3, jobs=(start.jobs[0], segments_job(deleting=True)))
    assert decided(going).actions == ()
    (create,) = decided(later(going, 1, jobs=start.jobs[:1])).actions
    assert isinstance(create, CreateJob)
    assert create.manifest["metadata"]["annotations"][SEGMENTS_ANNOTATION] == format_ranges({0, 2, 3})


@pytest.mark.parametrize(
    ("report", "told"),
    [
        ({"encoder": "x264", "encoder_reason": "NVENC is not available: no GPU"}, ["EncoderFallback"]),
        ({"encoder": "vp9", "encoder_reason": "WebM holds no H.264"}, []),
        ({"encoder": "nvenc", "encoder_reason": "a test encode on this GPU worked"}, []),
    ],
)
@pytest.mark.parametrize("gpus", [0, 1])
def test_an_encoder_that_is_not_the_gpus_is_told_once_with_its_reason(
    report: dict[str, str], told: list[str], gpus: int
) -> None:
    start = rendering(spec={"placement": {"gpus": gpus}})
    first = replace(start, pods=(ended_pod(Role.SEGMENTS, segment_report(0, **report), 0), pod(Role.SEGMENTS, 1)))
    decision = decided(first)
    assert reasons(decision.events) == (told if gpus else [])
    assert decision.status.encoder == report["encoder"]
    assert f"by {report['encoder']} ({report['encoder_reason']})" in condition(decision.status, "Rendered").message
    second = later(first, 3, pods=(*first.pods, ended_pod(Role.SEGMENTS, segment_report(2, **report), 2)))
    assert decided(second).events == ()


def test_the_place_of_results_is_settled_when_the_job_is_let_in() -> None:
    near = StorageStatus(profile="near", bucket="near-1")
    waiting = observed(place=near, verdict=Verdict(admitted=False, reason="waits"))
    assert decided(waiting).status.storage is None
    begun = later(replace(waiting, verdict=ADMITTED))
    assert begun.status.storage == near
    other = StorageStatus(profile="far", bucket="far-1")
    of_an_older_operator = replace(begun, status=begun.status.model_copy(update={"storage": None}), place=other)
    assert decided(of_an_older_operator).status.storage == other
    again = later(replace(begun, place=other, job=render_job(suspend=True)))
    assert decided(replace(again, job=render_job())).status.storage == near, "also when it is let in once more"


def test_a_job_whose_place_is_gone_ends_in_the_words_of_that_with_its_pods_and_work_files() -> None:
    lost = replace(rendering(), job=None, problems=("spec.storage.profile: 'near' is not there any more",))
    decision = decided(lost)
    assert decision.status.failure is not None
    assert decision.status.failure.message == "spec.storage.profile: 'near' is not there any more"
    assert decision.status.failure.hint == "", "there is nothing about the manifest to be corrected"
    assert decision.actions == (DeleteChildren(keep=frozenset({Role.CLEAN}), grace_seconds=2),)
    suspended = later(replace(rendering(), job=render_job(suspend=True)))
    assert decided(replace(suspended, job=None, problems=lost.problems)).status.failure == decision.status.failure


def with_outputs(*outputs: RenditionStatus) -> MergeReport:
    return merge_report().model_copy(update={"outputs": list(outputs)})


MAIN = RenditionStatus(name="main", content="video", uri="s3://videos/out.mp4", size_bytes=1, frames=100, sha256="a")


def test_all_results_of_a_job_with_renditions_stand_on_its_status() -> None:
    words = RenditionStatus(name="words.srt", content="subtitles", uri="s3://videos/words.srt", size_bytes=9)
    done = ended_pod(Role.MERGE, report=with_outputs(MAIN, words))
    decision = decided(replace(merging(), pods=(*merging().pods, done)))
    assert decision.status.phase is Phase.SUCCEEDED
    assert [output.name for output in decision.status.outputs] == ["main", "words.srt"]


def test_a_rendition_that_is_missing_fails_the_job_and_loses_nothing() -> None:
    failure = Failure(code=FailureCode.FFMPEG_ERROR, message="It broke.", retryable=True)
    alone = RenditionStatus(name="alone.mov", content="captions", uri="s3://videos/alone.mov", failure=failure)
    done = ended_pod(Role.MERGE, report=with_outputs(MAIN, alone))
    status = decided(replace(merging(), pods=(*merging().pods, done))).status
    assert (status.phase, status.reason) == (Phase.FAILED, "RenditionFailed")
    assert status.output is not None
    assert [output.failure is None for output in status.outputs] == [True, False]
    assert status.failure is not None
    assert "The rendition alone.mov is missing: It broke." in status.failure.message


def test_progress_counts_the_frames_of_all_sizes() -> None:
    report = plan_report(4)
    plan = report.plan.model_copy(update={"frames_to_render": 3 * report.plan.frames})
    done = ended_pod(Role.PLAN, report=report.model_copy(update={"plan": plan}))
    status = decided(replace(planning(), pods=(done,))).status
    assert status.progress is not None
    assert status.progress.frames_total == 3 * report.plan.frames


GONE = FailureReport(
    failure=Failure(code=FailureCode.RENDER_ERROR, message="The pieces 1 of 3 are gone.", retryable=True),
    plan_again=True,
)


@pytest.mark.parametrize("role", [Role.MERGE, Role.SEGMENTS])
def test_pieces_that_vanish_after_the_plan_make_a_new_plan_and_no_failure(role: Role) -> None:
    start = merging() if role is Role.MERGE else rendering(1)
    lost = ended_pod(role, GONE, None if role is Role.MERGE else 0, seconds=30)
    seen = replace(start, pods=(*start.pods[:-1], lost))
    decision = decided(seen)
    assert decision.status.phase is Phase.PLANNING and decision.status.plan is None
    assert set(decision.actions) == {DeleteJob(job.name) for job in seen.jobs}
    assert reasons(decision.events) == ["PlannedAgain"]

    crashed = later(seen, 5)  # nothing of it was done
    assert {DeleteJob(job.name) for job in seen.jobs if job.role is Role.PLAN} <= set(decided(crashed).actions)
    going = later(seen, 5, jobs=(), pods=seen.pods)  # the pods go last
    again = decided(going)
    assert [action.name for action in again.actions if isinstance(action, CreateJob)] == ["clip-plan"]

    plan = job_view(Role.PLAN, uid="uid-of-another", complete=True)
    planned = ended_pod(Role.PLAN, plan_report(1, frames=400, cells=4, cells_reused=3), job_uid=plan.uid, tag="bbbbb")
    replanned = decided(later(going, 9, jobs=(plan,), pods=(*seen.pods, planned)))
    assert replanned.status.segments is not None and replanned.status.segments.total == 1
    assert replanned.status.run is not None and replanned.status.run.completed == ""
    before = decided(seen).status.progress
    assert before is not None and replanned.status.progress is not None
    assert replanned.status.progress.percent >= before.percent
    (made,) = (action for action in replanned.actions if isinstance(action, CreateJob))
    assert made.name != "clip-segments-0" and made.manifest["spec"]["completions"] == 1


def test_a_store_that_loses_pieces_again_and_again_is_a_failure_in_its_words() -> None:
    start = merging()
    run = start.status.run
    assert run is not None
    often = start.status.model_copy(update={"run": run.model_copy(update={"superseded": [str(n) for n in range(9)]})})
    tries = tuple(ended_pod(Role.MERGE, GONE, tag=f"try{n}", seconds=n) for n in range(9))
    status = decided(replace(start, status=often, pods=(*start.pods[:-1], *tries))).status
    assert status.phase is Phase.FAILED and status.failure is not None
    assert "The pieces 1 of 3 are gone." in status.failure.message
