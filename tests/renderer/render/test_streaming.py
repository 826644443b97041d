"""Nothing piles up between the browser and FFmpeg, whichever is slower, and nothing is lost unless asked for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from captions import render_job, talk
from clips import Clip, counter, read_counters, slow_ffmpeg
from ecg_api.rendering import RenderResult
from ecg_common.children import tree_memory
from ecg_renderer.metering import ProgressReport, Stage
from ecg_renderer.request import Settings
from renders import SETTINGS, rendered

SECONDS = 4
BUSY = ("cwi-bouncing", "cwi-loud", "elastic", "fadein")


class MemoryObserver:
    """Notes the memory of the whole render at each report of its rendering."""

    def __init__(self) -> None:
        self.samples: list[float] = []

    def report(self, progress: ProgressReport) -> None:
        if progress.stage is Stage.RENDERING and progress.frames_done:
            self.samples.append(tree_memory() / 2**20)

    def warn(self, text: str) -> None:
        raise AssertionError(text)


@pytest.fixture
def slow_encoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Make FFmpeg read its first input at `request.param` times real-time speed, and so encode no faster."""
    program = slow_ffmpeg(tmp_path, request.param)
    monkeypatch.setitem(os.environ, "ECG_FFMPEG", str(program))


def render(tmp_path: Path, settings: Settings, observer: MemoryObserver, **options: object) -> RenderResult:
    source = counter(Clip(frames=SECONDS * 30, width=640, height=360))
    job = render_job(source, talk(SECONDS, plugins=BUSY), tmp_path / "out.mp4", **options)
    return rendered(job, tmp_path, settings=settings, observer=observer)


# So slow that a browser which has only half a processor is faster still.
SLOW = pytest.mark.parametrize("slow_encoder", [0.3], indirect=True)


@SLOW
@pytest.mark.usefixtures("slow_encoder")
def test_a_slow_encoder_makes_the_browser_wait_and_loses_nothing(tmp_path: Path) -> None:
    observer = MemoryObserver()

    result = render(tmp_path, SETTINGS.model_copy(update={"queue_frames": 8}), observer)

    assert result.seconds[Stage.RENDERING] > SECONDS * 0.8, "the encoder was not slow"
    assert result.frames_dropped == 0
    assert result.streaming.waited_seconds > SECONDS * 0.2
    assert result.streaming.peak_queue_memory_mb < 8 * 640 * 360 * 2.5 / 2**20
    settled = observer.samples[len(observer.samples) // 3 :]
    assert max(settled) - settled[0] < 40, observer.samples
    assert [number.source for number in read_counters(Path(result.output))] == list(range(SECONDS * 30))


@SLOW
@pytest.mark.usefixtures("slow_encoder")
def test_pictures_are_dropped_only_when_asked_for_and_the_length_stays_right(tmp_path: Path) -> None:
    result = render(tmp_path, SETTINGS.model_copy(update={"queue_frames": 2}), MemoryObserver(), framePolicy="drop")

    assert result.frames_dropped > 0
    assert result.streaming.drop_rate == pytest.approx(
        result.frames_dropped / (result.frames_dropped + result.streaming.processed_frames)
    )
    assert [number.source for number in read_counters(Path(result.output))] == list(range(SECONDS * 30))


def test_a_fast_encoder_drops_nothing_whatever_the_policy(tmp_path: Path) -> None:
    # An encoder that others keep from working for a moment is fast all the same: nothing waits for it in vain.
    room = SETTINGS.model_copy(update={"queue_frames": SECONDS * 30})
    result = render(tmp_path, room, MemoryObserver(), framePolicy="drop")

    assert (result.frames_dropped, result.streaming.processed_frames) == (0, result.distinct_frames)
