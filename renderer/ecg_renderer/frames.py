"""Caption pictures on their way from the browser to FFmpeg; and kept, for results of captions alone.

Through a bounded queue they come to a pipe, as NUT: sparse raw video there, in which any rational clock stays exact.

A cell of captions is a ZIP of the pictures in its frames, each by the frame from which it is shown, as planes Y, U, V,
A of an area, packed, without loss; `area` says which. Before its first picture a cell shows nothing. Sparse and
deflated, ten seconds take some hundred kilobytes, and none where nothing is said. Video with alpha and pictures are
made of cells when all are there: however many are asked for, the browser draws once.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import time
import zipfile
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import astuple, dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Literal

import av
import numpy as np
from av.error import FFmpegError as LibavError

from ecg_renderer.errors import StorageError
from ecg_renderer.model import MEGABYTE, Area, Box, Boxes, FrameRange
from ecg_renderer.storage.base import refusal

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


# --- kept in cells of captions --------------------------------------------------------------------


_AREA = "area"
_LEVEL = 1  # the next one takes twice as long, and saves a tenth


@dataclass(frozen=True)
class ShownPicture:
    """What is seen on `frames`: planes Y, U, V, A (4:2:0) of the cell's area, packed; None is nothing."""

    frames: FrameRange
    planes: bytes | None


class CaptionCellWriter:
    """Writes the cells with `ranges`, consecutive frames, from pictures of `area` that come in the order of frames.

    Deflating is done in a thread, one picture behind. Use as an asynchronous context manager; cells that were not
    finished are removed.
    """

    def __init__(self, paths: Sequence[Path], ranges: Sequence[FrameRange], area: Area) -> None:
        self._cells = list(zip(paths, ranges, strict=True))
        self._area = area
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="ecg-captions")
        self._behind: asyncio.Future[None] | None = None
        self._open: zipfile.ZipFile | None = None
        self._shown: bytes | None = None

    async def __aenter__(self) -> CaptionCellWriter:
        """Begin the first cell."""
        return self

    async def __aexit__(self, *failure: object) -> None:
        """Remove the cell that was not finished."""
        self._thread.shutdown(wait=True)
        if self._open:
            self._open.close()
            self._cells[0][0].unlink(missing_ok=True)

    async def put(self, frame: int, planes: bytes) -> int:
        """Show a picture from `frame` on; return how many cells are finished by that."""
        return await self._do(frame, planes)

    async def finish(self) -> int:
        """Finish the rest of the cells; return how many."""
        finished = await self._do(self._cells[-1][1].end, None) if self._cells else 0
        await self._settle()
        return finished

    async def _do(self, frame: int, planes: bytes | None) -> int:
        await self._settle()
        passed = sum(frame >= frames.end for _, frames in self._cells)
        done, self._cells = self._cells[:passed], self._cells[passed:]
        loop = asyncio.get_running_loop()
        if done:
            await loop.run_in_executor(self._thread, self._pass, done)
        if planes is not None:
            self._behind = loop.run_in_executor(self._thread, self._add, frame, planes)
        return passed

    async def _settle(self) -> None:
        if self._behind:
            behind, self._behind = self._behind, None
            await behind

    def _pass(self, cells: list[tuple[Path, FrameRange]]) -> None:
        for path, frames in cells:
            self._begin(path, frames)
            assert self._open
            self._open.close()
            self._open = None

    def _add(self, frame: int, planes: bytes) -> None:
        path, frames = self._cells[0]
        if frame == frames.start:
            self._shown = None  # what stood before is replaced at once
        file = self._begin(path, frames)
        self._write(file, frame, planes)
        self._shown = planes if _is_seen(planes) else None

    def _begin(self, path: Path, frames: FrameRange) -> zipfile.ZipFile:
        if self._open is None:
            try:
                self._open = zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=_LEVEL)
                self._open.writestr(_AREA, json.dumps([astuple(part) for part in self._area.parts]))
            except OSError as error:
                raise refusal(error, "write", path) from error
            if self._shown is not None:
                self._write(self._open, frames.start, self._shown)
        return self._open

    def _write(self, file: zipfile.ZipFile, frame: int, planes: bytes) -> None:
        try:
            file.writestr(zipfile.ZipInfo(str(frame)), planes, zipfile.ZIP_DEFLATED, _LEVEL)
        except OSError as error:
            raise refusal(error, "write", Path(str(file.filename))) from error


def area_of(cell: Path) -> Boxes:
    """Return the area of a cell's pictures; raises StorageError for a damaged cell."""
    with _opened(cell) as file:
        return Boxes(tuple(Box(*part) for part in json.loads(file.read(_AREA))))


def pictures_of(cell: Path, frames: FrameRange) -> Iterator[ShownPicture]:
    """Yield what is seen on `frames`, those of a cell, from the first to the last; raises StorageError."""
    with _opened(cell) as file:
        starts = sorted(int(name) for name in file.namelist() if name != _AREA)
        if not starts or starts[0] > frames.start:
            yield ShownPicture(FrameRange(frames.start, starts[0] if starts else frames.end), None)
        for start, end in pairwise([*starts, frames.end]):
            planes = file.read(str(start))
            yield ShownPicture(FrameRange(start, end), planes if _is_seen(planes) else None)


def _is_seen(planes: bytes) -> bool:
    """Tell whether anything of a picture is not wholly transparent."""
    return bool(np.frombuffer(planes, np.uint8, offset=len(planes) * 3 // 5).any())


def _opened(cell: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(cell)
    except (OSError, zipfile.BadZipFile) as error:
        raise StorageError(
            f"The piece {cell.name} cannot be read: {error}.", hint="Render the job once more."
        ) from error
