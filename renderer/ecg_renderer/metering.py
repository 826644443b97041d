"""How far a render is, for a terminal, a log or a status; and what it took: time, and memory of all its processes.

Imports little: Chromium is started before the rest is loaded.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import time
from collections import deque
from collections.abc import AsyncIterator, Collection, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from ecg_common.children import tree_memory
from ecg_renderer.model import MEGABYTE

if TYPE_CHECKING:
    from ecg_api.rendering import StreamingStatistics
    from ecg_api.status import MemoryTrend
    from ecg_renderer.capture import CaptureChoice
    from ecg_renderer.capture.patches import Capture
    from ecg_renderer.frames import FrameQueue

WINDOW_SECONDS = 10.0


class Stage(StrEnum):
    """What a render is doing."""

    PLANNING = "planning"
    STARTING = "starting"
    RENDERING = "rendering"
    MERGING = "merging"


@dataclass(frozen=True)
class ProgressReport:
    """A moment of a render; frames count over the whole output, seconds are None while unknown.

    `queued_frames` are caption pictures that wait for FFmpeg.
    """

    stage: Stage
    frames_done: int = 0
    frames_total: int = 0
    frames_per_second: float | None = None
    eta_seconds: float | None = None
    encoder: str = ""
    capture: str = ""
    segment: int = 0
    segments: int = 0
    queued_frames: int = 0

    @property
    def percent(self) -> int:
        """Share of frames done, 0 to 100."""
        return 100 * self.frames_done // self.frames_total if self.frames_total else 0


class Observer(Protocol):
    """Is told about progress and about what a person should know; must return quickly."""

    def report(self, progress: ProgressReport) -> None:
        """Take a report; they come a few times a second."""

    def warn(self, text: str) -> None:
        """Take a warning, once each."""


class SilentObserver:
    """Nobody looks."""

    def report(self, progress: ProgressReport) -> None:
        """Ignore the report."""

    def warn(self, text: str) -> None:
        """Ignore the warning."""


class Speedometer:
    """Frames per second over the last seconds, and the time that the rest will take.

    Attributes:
        done: frames, as last noted.
    """

    def __init__(self, total: int) -> None:
        self._total = total
        self._marks: deque[tuple[float, int]] = deque()
        self.done = 0

    def note(self, frames_done: int) -> tuple[float | None, float | None]:
        """Note how many frames are done; return frames per second and seconds to go, None while unknown."""
        now = time.monotonic()
        self.done = frames_done
        self._marks.append((now, frames_done))
        while len(self._marks) > 2 and now - self._marks[0][0] > WINDOW_SECONDS:
            self._marks.popleft()
        then, done_then = self._marks[0]
        if now <= then or frames_done <= done_then:
            return None, None
        speed = (frames_done - done_then) / (now - then)
        return speed, (self._total - frames_done) / speed


class RenderMeter:
    """Is told by `render` what it does, and tells an observer.

    Args:
        observer: is told.
        encoder: what encodes, for people.
        frames: how many there are in all.
        before: how many of them need not be rendered any more.
        segments: how many segments there are.
        began: when all began, on the monotonic clock.
        told: what the observer has been told before.

    Attributes:
        queue: what waits for FFmpeg now, for whoever watches; None before the first.
        distinct_frames: caption pictures that differ from the one before.
        capture: how pictures leave the browser; empty if there is nothing to capture.
        first_frame_seconds: from the start to the first encoded frame; None if none was.
        starting_seconds: what it took until browsers were ready.
        damage: presentation times, in seconds, of the source's pictures that turned out damaged or missing.
        warnings: what a person should know, each once told to the observer.
    """

    def __init__(
        self,
        observer: Observer,
        *,
        encoder: str,
        frames: int,
        before: int,
        segments: int,
        began: float,
        told: Collection[str] = (),
    ) -> None:
        self._observer = observer
        self._encoder = encoder
        self._frames = frames
        self._segments = segments
        self._began = began
        self._told = told
        self._speed = Speedometer(frames)
        self._finished = self._base = before
        self._segment = 0
        self._capture: Capture | None = None
        self._queues: list[FrameQueue] = []
        self.distinct_frames = 0
        self.capture = ""
        self.first_frame_seconds: float | None = None
        self.starting_seconds = 0.0
        self.warnings: list[str] = []
        self.damage: set[float] = set()

    @property
    def queue(self) -> FrameQueue | None:
        """What waits for FFmpeg now; None before the first captions."""
        return self._queues[-1] if self._queues else None

    @queue.setter
    def queue(self, queue: FrameQueue) -> None:
        self._queues.append(queue)

    @contextmanager
    def starting(self) -> Iterator[None]:
        """Time the block: browsers come up."""
        began = time.monotonic()
        try:
            yield
        finally:
            self.starting_seconds += time.monotonic() - began

    def capture_by(self, choice: CaptureChoice) -> None:
        """Take note of how pictures will be captured."""
        self.capture = choice.capture.way
        self._capture = choice.capture
        for note in choice.notes:
            self.warn(note)

    def warn(self, text: str) -> None:
        """Tell a person something, unless that was told."""
        if text not in self._told and text not in self.warnings:
            self.warnings.append(text)
            self._observer.warn(text)

    def distrust(self, frame: int) -> None:
        """Take note that the changed boxes did not add up."""
        self.warn(
            f"At frame {frame} the changed boxes did not add up to the whole picture; "
            "whole boxes are captured from there on."
        )

    def begin(self, segment: int | None = None) -> None:
        """Take note that FFmpeg begins with what is unfinished, of another segment or once more of the same."""
        self._segment = self._segment if segment is None else segment
        self._base = self._finished
        self._report(*self._speed.note(self._base))

    def encoding(self, frames: int) -> None:
        """Take FFmpeg's progress: so many frames since it began."""
        if frames and self.first_frame_seconds is None:
            self.first_frame_seconds = time.monotonic() - self._began
        self._report(*self._speed.note(self._base + frames))

    def finished(self, frames: int) -> None:
        """Take note that so many more frames need not be rendered again."""
        self._finished += frames

    @property
    def capture_milliseconds(self) -> dict[str, float]:
        """Time inside the page by kind of work."""
        return dict(self._capture.statistics.milliseconds) if self._capture else {}

    @property
    def browser_restarts(self) -> int:
        """How often the browser was replaced."""
        return self._capture.statistics.restarts if self._capture else 0

    def streaming(self) -> StreamingStatistics:
        """Return what went through the queues."""
        from ecg_api.rendering import StreamingStatistics  # by now it is there; at the start Chromium would wait for it

        queues = [queue.statistics() for queue in self._queues]
        processed = sum(queue.processed_frames for queue in queues)
        dropped = sum(queue.dropped_frames for queue in queues)
        return StreamingStatistics(
            processed_frames=processed,
            dropped_frames=dropped,
            drop_rate=dropped / (processed + dropped) if processed + dropped else 0.0,
            peak_queue_memory_mb=max((queue.peak_memory_mb for queue in queues), default=0.0),
            waited_seconds=round(sum(queue.waited_seconds for queue in queues), 3),
        )

    def _report(self, speed: float | None, eta: float | None) -> None:
        queue = self.queue.statistics() if self.queue else None
        self._observer.report(
            ProgressReport(
                Stage.RENDERING,
                frames_done=self._speed.done,
                frames_total=self._frames,
                frames_per_second=speed,
                eta_seconds=eta,
                encoder=self._encoder,
                capture=self.capture,
                segment=self._segment,
                segments=self._segments,
                queued_frames=queue.queue_size if queue else 0,
            )
        )


# --- the machine: memory and cores ----------------------------------------------------------------


SAMPLE_SECONDS = 2.0
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of <malloc.h>
TREND_MEGABYTES_PER_SECOND = 1.0


class MemoryMeter:
    """Samples the memory of this process and its descendants while it is entered."""

    def __init__(self) -> None:
        self._samples: list[tuple[float, float]] = []

    @property
    def peak_mb(self) -> float:
        """The largest sample, in MiB."""
        return max((memory for _, memory in self._samples), default=0.0)

    @property
    def latest_mb(self) -> float:
        """The last sample, in MiB; 0 before the first."""
        return self._samples[-1][1] if self._samples else 0.0

    @property
    def trend(self) -> MemoryTrend:
        """The direction of the second half of the samples: increasing, stable, decreasing or unknown."""
        recent = self._samples[len(self._samples) // 2 :]
        if len(recent) < 3:
            return "unknown"
        (then, before), (now, after) = recent[0], recent[-1]
        slope = (after - before) / (now - then)
        if abs(slope) <= TREND_MEGABYTES_PER_SECOND:
            return "stable"
        return "increasing" if slope > 0 else "decreasing"

    @asynccontextmanager
    async def running(self) -> AsyncIterator[MemoryMeter]:
        """Sample every few seconds until the block ends."""
        task = asyncio.create_task(self._sample())
        try:
            yield self
        finally:
            task.cancel()
            await asyncio.wait([task])

    async def _sample(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(SAMPLE_SECONDS)
            # In a thread: walking the process tree takes milliseconds, in which captions would wait.
            memory = await asyncio.to_thread(tree_memory) / MEGABYTE
            self._samples.append((loop.time(), memory))


def keep_freed_memory() -> None:
    """Let the allocator keep large blocks: caption pictures come and go, and each would be fetched page by page.

    glibc only; elsewhere nothing happens.
    """
    library = ctypes.CDLL(None)
    if hasattr(library, "mallopt"):
        library.mallopt(M_MMAP_THRESHOLD, 32 * MEGABYTE)
        library.mallopt(M_TRIM_THRESHOLD, 256 * MEGABYTE)


def cores() -> int:
    """Return how many CPU cores this process may use: those that it is bound to, and that its control group grants."""
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with suppress(OSError, ValueError):
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        bound = min(bound, ceil(int(quota) / int(period)))  # "max" is no number: no limit
    return max(1, bound)
