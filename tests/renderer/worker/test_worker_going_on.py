"""A plan's pod that goes on with the only segment of a short video: what two pods make, with one start."""

from __future__ import annotations

import asyncio
import hashlib
import signal
import subprocess
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

import clips
from command_line import SECONDS
from ecg_api.failures import RULES, FailureCode
from ecg_api.pods import FailureReport, PlanReport, SegmentReport
from ecg_api.status import PlanSummary
from ecg_renderer.worker.segment import plan_and_render
from worker_pods import Json, PodEnd, Pods, job_of


def one_segment(folder: Path, captions: Json, **spec: Any) -> Pods:
    """Return the pods of a job whose plan has one segment."""
    return Pods(folder, job_of(folder, captions, segments={"max": 1}, **spec))


def reported(end: PodEnd) -> PlanReport:
    assert end.code == 0, end.log
    assert isinstance(end.report, PlanReport)
    return end.report


def test_one_pod_makes_what_two_make(folder: Path, captions: Json) -> None:
    output = folder / "out/captioned.mp4"
    two = one_segment(folder, captions)
    planned, rendered = reported(two.run("plan")), two.segment(0).report
    assert isinstance(rendered, SegmentReport)
    expected = clips.frames(output)
    output.unlink()

    one = one_segment(folder, captions)
    end = one.run("plan", ECG_GO_ON="true")
    report = reported(end)
    assert report.rendered is not None
    assert report.rendered.merged is not None
    assert report.model_copy(update={"rendered": None}) == planned
    told = {"metrics", "merged"}
    assert report.rendered.model_dump(exclude=told) == rendered.model_dump(exclude=told)
    assert report.rendered.metrics.frames_processed == 75
    assert report.rendered.merged.output.sha256 == hashlib.sha256(output.read_bytes()).hexdigest()
    frames = clips.frames(output)
    assert len(frames) == len(expected) == 75
    assert all(np.array_equal(one, other) for one, other in zip(frames, expected, strict=True))
    assert not one.work.exists(), "the work files are gone"
    assert list(one.scratch.iterdir()) == []
    assert end.log.index("Planning clip.") < end.log.index("Segment 0 of 1") < end.log.index("The output is")


def test_a_plan_of_several_segments_leaves_them_to_others(pods: Pods) -> None:
    report = reported(pods.run("plan", ECG_GO_ON="true"))
    assert (report.segments, report.rendered) == (3, None)
    assert (pods.work / "plan.json").exists()
    assert not (pods.folder / "out/captioned.mp4").exists()


@pytest.mark.parametrize(("seconds", "goes_on"), [(60.0, True), (60.1, False)])
def test_a_segment_of_more_than_a_minute_is_left_so_that_its_plan_is_known(seconds: float, goes_on: bool) -> None:
    summary = PlanSummary(width=320, height=180, rate="30", frames=100, estimated_seconds=seconds)
    planned = PlanReport(plan=summary, segments=1)

    class Gone(Exception):
        pass

    class Launcher:
        def warm(self) -> None:
            raise Gone

    async def plan(_: object) -> PlanReport:
        return planned

    nothing = cast(Any, None)
    step = plan_and_render(plan, nothing, nothing, nothing, nothing, cast(Any, Launcher()))
    with pytest.raises(Gone) if goes_on else nullcontext():
        assert asyncio.run(step) is planned


def test_an_only_segment_of_another_size_is_left_to_another_pod(folder: Path, captions: Json) -> None:
    small = {"uri": (folder / "out/small.mp4").as_uri(), "width": 160, "height": 90}
    whole = one_segment(folder, captions)
    whole.environment["ECG_CELLS_URI"] = (folder / "cells").as_uri()
    assert reported(whole.run("plan", ECG_GO_ON="true")).rendered is not None  # its cells stay
    both = one_segment(folder, captions, renditions=[small])
    both.environment |= whole.environment
    report = reported(both.run("plan", ECG_GO_ON="true"))
    assert ([take.segments for take in report.takes], report.rendered) == ([0, 1], None)


def test_what_fails_after_the_plan_is_a_failure_of_the_segment(folder: Path, captions: Json) -> None:
    pods = one_segment(folder, captions)
    end = pods.run("plan", ECG_GO_ON="true", ECG_CHROMIUM="/bin/false")
    assert end.code == RULES[FailureCode.BROWSER_ERROR].exit_code, end.log
    assert isinstance(end.report, FailureReport)
    assert end.report.failure.segment == 0
    assert (pods.work / "plan.json").exists()
    assert reported(pods.run("plan", ECG_GO_ON="true")).rendered is not None


def test_one_that_is_killed_while_it_renders_is_done_over_by_another(folder: Path, captions: Json) -> None:
    pods = one_segment(folder, captions)
    slow = clips.slow_ffmpeg(folder, 0.1)
    with pods.started("plan", ECG_GO_ON="true", ECG_FFMPEG=str(slow)) as pod:
        wait_for(pod, "Rendering segment 0")
        pod.send_signal(signal.SIGKILL)
        pod.communicate(timeout=SECONDS)
    assert not (folder / "plan-message").exists()
    assert not (folder / "out/captioned.mp4").exists()
    assert reported(pods.run("plan", ECG_GO_ON="true")).rendered is not None
    assert len(clips.frames(folder / "out/captioned.mp4")) == 75


def wait_for(pod: subprocess.Popen[str], words: str) -> None:
    """Read the pod's log up to a line with `words`."""
    assert pod.stderr is not None
    deadline = time.monotonic() + SECONDS
    for line in pod.stderr:
        if words in line:
            return
        assert time.monotonic() < deadline
    raise AssertionError(f"it has ended without saying {words!r}")
