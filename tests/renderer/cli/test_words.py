"""What is said to a person: progress, failures, sizes, ranges."""

from __future__ import annotations

import errno

import pytest

from ecg_api.failures import Failure, FailureCode
from ecg_renderer.cli.display import LineDisplay, bar_figures, clock_time, progress_line
from ecg_renderer.cli.ending import failure_of, failure_text
from ecg_renderer.cli.requests import frame_range
from ecg_renderer.cli.words import length, size_words
from ecg_renderer.errors import FfmpegError, OptionsError, RenderError, ScenarioError
from ecg_renderer.metering import ProgressReport, Stage
from ecg_renderer.model import FrameRange


def rendering(done: int, total: int = 900) -> ProgressReport:
    return ProgressReport(Stage.RENDERING, done, total, 104.2, 6.4, "x264", "canvas")


def test_a_progress_line_says_everything_that_is_known() -> None:
    expected = "Rendering: 270 of 900 frames (30 %), 104 frames/s, 0:06 left, x264, canvas"
    assert progress_line(rendering(270)) == expected


def test_a_progress_line_leaves_out_what_is_not_known() -> None:
    assert progress_line(ProgressReport(Stage.RENDERING, 0, 900)) == "Rendering: 0 of 900 frames (0 %)"


def test_the_bar_has_the_same_figures_in_fewer_letters() -> None:
    assert bar_figures(rendering(270)) == "270/900 · 104 fps · 0:06 left · x264 · canvas"
    assert bar_figures(ProgressReport(Stage.RENDERING, 1, 9, 3.14)) == "1/9 · 3.1 fps"


@pytest.mark.parametrize(("seconds", "shown"), [(0, "0:00"), (59.6, "1:00"), (61, "1:01"), (3725, "1:02:05")])
def test_clock_times(seconds: float, shown: str) -> None:
    assert clock_time(seconds) == shown


@pytest.mark.parametrize(("seconds", "shown"), [(5.31, "5.3 s"), (75, "1:15 min"), (3725, "1:02:05 h")])
def test_lengths(seconds: float, shown: str) -> None:
    assert length(seconds) == shown


@pytest.mark.parametrize(
    ("size", "shown"), [(12, "12 bytes"), (12_300, "12.3 kB"), (12_300_000, "12.3 MB"), (7e9, "7.0 GB")]
)
def test_sizes(size: float, shown: str) -> None:
    assert size_words(size) == shown


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def lines_of(frames_per_second: float, total: int) -> list[str]:
    """Return the lines that a log gets of a render at that speed, reported four times a second."""
    clock, lines = Clock(), list[str]()
    display = LineDisplay(lines.append, clock)
    display.report(ProgressReport(Stage.PLANNING))
    while (done := int(clock.now * frames_per_second)) < total:
        display.report(rendering(done, total))
        clock.now += 0.25
    return lines


def test_a_short_render_gets_one_line() -> None:
    assert len(lines_of(frames_per_second=450, total=900)) == 1


def test_a_render_of_a_minute_gets_a_line_for_each_tenth() -> None:
    assert len(lines_of(frames_per_second=15, total=900)) == 10


def test_a_slow_render_gets_two_lines_a_minute() -> None:
    assert len(lines_of(frames_per_second=1, total=1800)) == 60


def failure(**changes: object) -> Failure:
    values = {"code": FailureCode.FFMPEG_ERROR, "message": "FFmpeg failed", "hint": "Try again.", "retryable": True}
    return Failure.model_validate({**values, **changes})


TEXTS = {
    "message and hint are sentences": ({}, "FFMPEG_ERROR: FFmpeg failed. Try again."),
    "no hint": ({"hint": ""}, "FFMPEG_ERROR: FFmpeg failed."),
    "the segment is told": ({"segment": 3, "hint": ""}, "FFMPEG_ERROR: FFmpeg failed (segment 3)."),
    "segment and frame": ({"segment": 3, "frame": 9, "hint": ""}, "FFMPEG_ERROR: FFmpeg failed (segment 3, frame 9)."),
    "a message with its own full stop": (
        {"message": "FFmpeg failed.", "segment": 3, "hint": ""},
        "FFMPEG_ERROR: FFmpeg failed (segment 3).",
    ),
    "a log that says no more": (
        {"code": FailureCode.SYSTEM_RESOURCE_ERROR, "hint": "", "log_tail": ["No space left on device"]},
        "SYSTEM_RESOURCE_ERROR: FFmpeg failed.",
    ),
    "a frame that the message names is not told twice": (
        {"message": "Frame 9 failed.", "frame": 9, "hint": ""},
        "FFMPEG_ERROR: Frame 9 failed.",
    ),
    "log lines follow unless they are in the message": (
        {"message": "FFmpeg failed: Bad data", "hint": "", "log_tail": ["Opening", "Bad data"]},
        "FFMPEG_ERROR: FFmpeg failed: Bad data.\n  | Opening",
    ),
}


@pytest.mark.parametrize(("changes", "text"), TEXTS.values(), ids=TEXTS)
def test_a_failure_is_one_paragraph(changes: dict[str, object], text: str) -> None:
    assert failure_text(failure(**changes), colour=False) == text


def test_a_long_log_is_cut_to_its_last_lines() -> None:
    text = failure_text(failure(log_tail=[f"line {n}" for n in range(20)]), colour=False)
    assert text.splitlines()[1:] == [f"  | line {n}" for n in range(15, 20)]


CODES = [
    (ScenarioError("x", hint="y"), FailureCode.SCENARIO_PARSE_ERROR),
    (FfmpegError("x"), FailureCode.FFMPEG_ERROR),
    (RenderError("x"), FailureCode.RENDER_ERROR),
    (MemoryError(), FailureCode.SYSTEM_RESOURCE_ERROR),
    (OSError(errno.ENOSPC, "No space left on device", "/tmp/x"), FailureCode.SYSTEM_RESOURCE_ERROR),
    (OSError(errno.EIO, "Input/output error"), FailureCode.UNEXPECTED_ERROR),
    (BrokenPipeError(errno.EPIPE, "Broken pipe"), FailureCode.UNEXPECTED_ERROR),
    (ExceptionGroup("x", [KeyError("x"), ScenarioError("x")]), FailureCode.SCENARIO_PARSE_ERROR),
    (KeyError("x"), FailureCode.UNEXPECTED_ERROR),
]


@pytest.mark.parametrize(("error", "code"), CODES)
def test_every_error_has_a_code(error: Exception, code: FailureCode) -> None:
    assert failure_of(error).code is code


def test_what_nobody_foresaw_says_how_to_report_it() -> None:
    unforeseen = failure_of(KeyError("x"))
    assert "KeyError: 'x'" in unforeseen.message
    assert "ECG_DEBUG=1" in unforeseen.hint


RANGES = [(None, 0, 90), (":", 0, 90), ("10:20", 10, 20), ("10:", 10, 90), (":20", 0, 20), ("80:1000", 80, 90)]


@pytest.mark.parametrize(("text", "start", "end"), RANGES)
def test_ranges_of_frames(text: str | None, start: int, end: int) -> None:
    assert frame_range(text, 90) == FrameRange(start, end)


@pytest.mark.parametrize("text", ["10", "a:b", "20:10", "10:10", "90:", "-5:10", "1.5:3"])
def test_a_range_without_a_frame_is_refused(text: str) -> None:
    with pytest.raises(OptionsError, match="--range"):
        frame_range(text, 90)
