"""Caption pictures on their way from the browser to FFmpeg: through a bounded queue, then as NUT through a pipe.

In NUT they are sparse raw video, and any rational clock stays exact.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import av
from av.error import FFmpegError as LibavError

from ecg_renderer.model import MEGABYTE, Area

log = logging.getLogger(__name__)

FramePolicy = Literal["block", "drop"]


@dataclass(frozen=True, slots=True)
class CaptionFrame:
    """The caption picture that is shown from output frame `index` of its segment on."""

    index: int
    pixels: bytes


@dataclass(frozen=True)
class QueueStatistics:
    """What went through a queue: memory in MiB, rate as a share of all frames, seconds of waiting for room."""

    queue_size: int
    max_size: int
    current_memory_mb: float
    max_memory_mb: float
    peak_memory_mb: float
    processed_frames: int
    dropped_frames: int
    drop_rate: float
    waited_seconds: float


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
        self._waited = 0.0
        self._closed = False
        self._changed = asyncio.Condition()

    async def put(self, frame: CaptionFrame) -> None:
        """Add a frame; waits or drops as the policy says. A frame larger than the bound passes alone."""
        async with self._changed:
            if self._policy == "block":
                began = time.monotonic()
                await self._changed.wait_for(lambda: self._fits(frame))
                self._waited += time.monotonic() - began
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
            waited_seconds=self._waited,
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


# --- on the way to FFmpeg -------------------------------------------------------------------------


log = logging.getLogger(__name__)


class NutWriter:
    """Muxes pictures as sparse raw video: each has the time from which it is shown, and none is repeated."""

    def __init__(self, pipe: int, area: Area, rate: Fraction) -> None:
        self._pipe = pipe
        self._area = area
        self._rate = rate
        self._container: av.container.OutputContainer | None = None
        self._broken = False

    def write(self, frame: CaptionFrame) -> None:
        """Write one picture; blocks until the reader takes it, does nothing once the reader is gone."""
        if self._broken:
            return
        try:
            container = self._container or self._open()
            stream = container.streams.video[0]
            packet = av.Packet(frame.pixels)
            packet.stream = stream
            packet.pts = packet.dts = frame.index
            packet.time_base = 1 / self._rate
            packet.is_keyframe = True
            container.mux(packet)
        except LibavError as error:
            log.debug("FFmpeg takes no more captions: %s", error)
            self._broken = True

    def close(self) -> None:
        """End the stream and close the pipe."""
        with suppress(LibavError):
            if self._container:
                self._container.close()
        os.close(self._pipe)

    def _open(self) -> av.container.OutputContainer:
        # Flushed packet by packet: a picture that sits in a buffer would hold up FFmpeg.
        self._container = av.open(f"pipe:{self._pipe}", "w", format="nut", options={"flush_packets": "1"})
        stream = self._container.add_stream("rawvideo", rate=self._rate)
        stream.width, stream.height, stream.pix_fmt = self._area.width, self._area.height, "yuva420p"
        stream.time_base = 1 / self._rate
        return self._container
