"""Pods make all results of a job: sizes in segments that follow each other's, and the merge writes every file."""

from __future__ import annotations

import shutil
from pathlib import Path

import av
import pytest

import clips
from ecg_api.pods import MergeReport, PlanReport, SegmentReport
from worker_pods import Json, Pods, job_of

FRAMES = 75
RENDITIONS: list[Json] = [
    {"uri": "out/captions.mov"},
    {"uri": "out/small.mp4", "width": 160, "height": 90},
    {"uri": "out/words.srt"},
]


@pytest.fixture
def pods(folder: Path, captions: Json) -> Pods:
    """The pods of a job with renditions, in one segment for each size."""
    job = job_of(folder, captions)
    spec = {**job["spec"], "renditions": RENDITIONS, "segments": {"max": 1}}
    return Pods(folder, {**job, "spec": spec})


def frames_of(path: Path) -> int:
    with av.open(str(path)) as container:
        return sum(packet.pts is not None for packet in container.demux(container.streams.video[0]))


def test_every_result_is_made_by_pods(pods: Pods, folder: Path) -> None:
    planned = pods.run("plan").report
    assert isinstance(planned, PlanReport)
    assert (planned.segments, planned.plan.frames, planned.plan.frames_to_render) == (2, FRAMES, 2 * FRAMES)

    assert [(take.segments, take.renditions) for take in planned.takes] == [(1, [0]), (1, [1])]

    ends = [pods.segment(index, "0-1") for index in (1, 0)]
    reports = [end.report for end in ends]
    assert all(isinstance(report, SegmentReport) for report in reports), [end.log for end in ends]
    assert [report.segment for report in reports if isinstance(report, SegmentReport)] == [1, 0]

    shutil.copytree(pods.work, folder / "copy")
    left_out = pods.run("merge", ECG_WORK_URI=(folder / "copy").as_uri(), ECG_GIVEN_UP="1").report
    assert isinstance(left_out, MergeReport)
    assert [output.name for output in left_out.outputs] == ["main", "captions.mov", "words.srt"]
    assert not (folder / "out/small.mp4").exists()

    merged = pods.run("merge").report
    assert isinstance(merged, MergeReport)
    assert [output.name for output in merged.outputs] == ["main", "captions.mov", "small.mp4", "words.srt"]
    assert [output.failure for output in merged.outputs] == [None] * 4
    assert merged.outputs[0].sha256 == merged.output.sha256
    assert [frames_of(folder / "out" / name) for name in ("captions.mov", "small.mp4")] == [FRAMES, FRAMES]
    assert (folder / "out/words.srt").read_text().startswith("1\n00:00:00,000 --> ")
    assert clips.frames(folder / "out/small.mp4")[0].shape == (90, 160)
    assert not [path for path in pods.work.rglob("*") if path.is_file()]


def test_a_rendition_that_cannot_be_written_is_said_by_the_plan(pods: Pods, folder: Path) -> None:
    (folder / "out/small.mp4").mkdir(parents=True)
    end = pods.run("plan")
    assert end.code == 69
    assert "spec.renditions[1]: The output" in end.log
