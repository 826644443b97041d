"""Between the browser and FFmpeg: a bounded queue of caption pictures, and the pressure it puts on its producer."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

log = logging.getLogger(__name__)

MEGABYTE = 1024 * 1024

FramePolicy = Literal["block", "drop"]


@dataclass(frozen=True, slots=True)
class CaptionFrame:
    """The caption picture that is shown from output frame `index` of its segment on."""

    index: int
    pixels: bytes


@dataclass(frozen=True)
class QueueStatistics:
    """What went through a queue; memory in MiB, rate as a share of all frames."""

    queue_size: int
    max_size: int
    current_memory_mb: float
    max_memory_mb: float
    peak_memory_mb: float
    processed_frames: int
    dropped_frames: int
    drop_rate: float


class FrameQueue:
    """A first-in-first-out queue, bounded by frames and by bytes.

    When it is full, policy "block" makes the producer wait and loses nothing. Policy "drop" discards the oldest
    waiting picture: the one before it stays on screen until the next, so the video keeps its length, and the newest
    picture always arrives.
    """

    def __init__(self, max_frames: int = 60, max_bytes: int = 500 * MEGABYTE, policy: FramePolicy = "block") -> None:
        self._max_frames = max_frames
        self._max_bytes = max_bytes
        self._policy = policy
        self._frames: deque[CaptionFrame] = deque()
        self._bytes = 0
        self._peak = 0
        self._taken = 0
        self._dropped = 0
        self._closed = False
        self._changed = asyncio.Condition()

    @property
    def fill(self) -> float:
        """How full the queue is, 0 to 1, by frames or bytes, whichever is more."""
        return max(len(self._frames) / self._max_frames, self._bytes / self._max_bytes)

    async def put(self, frame: CaptionFrame) -> None:
        """Add a frame; waits or drops as the policy says. A frame larger than the bound passes alone."""
        async with self._changed:
            if self._policy == "block":
                await self._changed.wait_for(lambda: self._fits(frame))
            else:
                while not self._fits(frame):
                    self._discard_oldest()
            self._frames.append(frame)
            self._bytes += len(frame.pixels)
            self._peak = max(self._peak, self._bytes)
            self._changed.notify_all()

    async def get(self) -> CaptionFrame | None:
        """Take the oldest frame; None when the queue is closed and empty."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._frames or self._closed)
            if not self._frames:
                return None
            frame = self._frames.popleft()
            self._bytes -= len(frame.pixels)
            self._taken += 1
            self._changed.notify_all()
            return frame

    async def close(self) -> None:
        """Say that nothing more will be put."""
        async with self._changed:
            self._closed = True
            self._changed.notify_all()

    def statistics(self) -> QueueStatistics:
        """Return what has happened so far."""
        seen = self._taken + self._dropped
        return QueueStatistics(
            queue_size=len(self._frames),
            max_size=self._max_frames,
            current_memory_mb=self._bytes / MEGABYTE,
            max_memory_mb=self._max_bytes / MEGABYTE,
            peak_memory_mb=self._peak / MEGABYTE,
            processed_frames=self._taken,
            dropped_frames=self._dropped,
            drop_rate=self._dropped / seen if seen else 0.0,
        )

    def _fits(self, frame: CaptionFrame) -> bool:
        if not self._frames:
            return True
        return len(self._frames) < self._max_frames and self._bytes + len(frame.pixels) <= self._max_bytes

    def _discard_oldest(self) -> None:
        frame = self._frames.popleft()
        self._bytes -= len(frame.pixels)
        self._dropped += 1
        if self._dropped == 1:
            log.warning("Memory limit exceeded. Dropping frame %d", frame.index)


@dataclass(frozen=True)
class Load:
    """What the pressure is judged by: queue fill 0 to 1, memory of the process in bytes, CPU of the machine 0 to 1."""

    fill: float
    memory_bytes: int
    cpu: float


class Backpressure:
    """Slows the producer while the encoder cannot follow, step by step, and lets it recover.

    A full CPU alone is no reason to slow down: rendering is meant to use the machine. It counts once the queue is
    half full, which is the sign that the encoder is the one short of it.
    """

    FRAME_SECONDS = 0.033
    FULL = 0.8
    HALF = 0.5
    BUSY_CPU = 0.8
    STEEP, STEEPEST = 1.2, 3.0
    GENTLE, GENTLEST = 1.1, 2.0
    RECOVERY = 0.9

    def __init__(self, memory_threshold: int, load: Callable[[], Load]) -> None:
        self._memory_threshold = memory_threshold
        self._load = load
        self.factor = 1.0
        self.peak_factor = 1.0
        self.waited_seconds = 0.0

    async def pace(self) -> None:
        """Wait as long as the current pressure asks for; not at all while there is none."""
        self._adjust(self._load())
        seconds = (self.factor - 1) * self.FRAME_SECONDS
        if seconds > 0:
            self.waited_seconds += seconds
            await asyncio.sleep(seconds)

    def _adjust(self, load: Load) -> None:
        if load.fill >= self.FULL or load.memory_bytes >= self._memory_threshold:
            self.factor = max(self.factor, min(self.factor * self.STEEP, self.STEEPEST))
        elif load.fill >= self.HALF and load.cpu >= self.BUSY_CPU:
            self.factor = max(self.factor, min(self.factor * self.GENTLE, self.GENTLEST))
        else:
            self.factor = max(1.0, self.factor * self.RECOVERY)
        self.peak_factor = max(self.peak_factor, self.factor)
