"""One segment, streamed: capture -> queue -> FFmpeg, all at once, no frame on disk.

    Chromium --patches--> producer --pictures--> FrameQueue --> writer --NUT on a pipe--> FFmpeg -> segment file

The three run in one task group: the first failure cancels the others and is the one reported.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from fractions import Fraction

import psutil

from ecg_renderer.capture.patches import Block, BoxOutgrownError, Capture
from ecg_renderer.colour import Conversion
from ecg_renderer.errors import BrowserError, plain_failures
from ecg_renderer.frames import (
    MEGABYTE,
    Backpressure,
    CaptionFrame,
    FramePolicy,
    FrameQueue,
    Load,
    QueueStatistics,
)
from ecg_renderer.media.arguments import Overlay, SegmentEncode, segment_arguments
from ecg_renderer.media.process import Progress, run_ffmpeg
from ecg_renderer.model import Box
from ecg_renderer.nut import NutWriter
from ecg_renderer.picture import YuvaPicture

log = logging.getLogger(__name__)

BOX_MARGIN = 16
PIPE_BYTES = 1024 * 1024
LOAD_SAMPLE_SECONDS = 1.0


@dataclass(frozen=True)
class PipelineSettings:
    """Bounds of what is held between the browser and FFmpeg."""

    queue_frames: int = 60
    memory_bytes: int = 500 * MEGABYTE
    policy: FramePolicy = "block"


@dataclass(frozen=True)
class SegmentOutcome:
    """What rendering one segment took."""

    distinct_frames: int
    queue: QueueStatistics
    slowdown_peak: float
    slowdown_seconds: float
    box: Box | None
    warnings: tuple[str, ...]


class StreamingPipeline:
    """Renders one segment.

    Args:
        capture: where pictures come from; None for a segment without captions.
        blocks: the stretches of frames in which captions can be alive, ascending.
        encode: what FFmpeg does, without its overlay.
        conversion: the source's colours, the same that `capture` converts to.
        on_progress: told FFmpeg's progress in frames of this segment.

    Attributes:
        queue: what waits for FFmpeg, for whoever watches; None before it runs.
    """

    def __init__(
        self,
        capture: Capture | None,
        blocks: list[Block],
        encode: SegmentEncode,
        conversion: Conversion,
        settings: PipelineSettings,
        on_progress: Callable[[Progress], None],
    ) -> None:
        self._capture = capture
        self._blocks = blocks
        self._encode = encode
        self._conversion = conversion
        self._settings = settings
        self._on_progress = on_progress
        self._warnings: list[str] = []
        self._distinct = 0
        self.queue: FrameQueue | None = None

    async def run(self) -> SegmentOutcome:
        """Render the segment into `encode.output`.

        A caption that reaches out of the measured box starts the segment again, first with a box around both, then
        with the whole picture.
        """
        whole = Box(0, 0, self._encode.width, self._encode.height)
        box = await self._measure(whole)
        grown = False
        while True:
            try:
                return await self._run_with(box)
            except BoxOutgrownError as outgrown:
                if box is None or box == whole:
                    raise BrowserError(
                        f"The captions do not fit the picture: {outgrown}.", frame=outgrown.frame
                    ) from None
                log.info("Captions reach %s at frame %d, out of %s.", outgrown.box, outgrown.frame, box)
                union = _with_margin(box.union(outgrown.box), whole)
                # Grown once already: no more guessing.
                box = whole if grown else union
                grown = True

    async def _measure(self, whole: Box) -> Box | None:
        if self._capture is None or not self._blocks:
            return None
        box = await self._capture.measure(list(sample_frames(self._blocks, self._encode.rate)))
        return _with_margin(box or Box(0, 0, 2, 2), whole)

    async def _run_with(self, box: Box | None) -> SegmentOutcome:
        self._distinct = 0
        queue = FrameQueue(self._settings.queue_frames, self._settings.memory_bytes, self._settings.policy)
        self.queue = queue
        pressure = Backpressure(self._settings.memory_bytes, LoadMeter(queue).read)
        if box is None:
            await self._encode_with(None, None)
        else:
            with plain_failures(BoxOutgrownError):
                async with asyncio.TaskGroup() as tasks:
                    reader, writer = _pipe()
                    tasks.create_task(self._produce(queue, pressure, box))
                    tasks.create_task(self._write(queue, box, writer))
                    tasks.create_task(self._encode_with(box, reader))
        return SegmentOutcome(
            distinct_frames=self._distinct,
            queue=queue.statistics(),
            slowdown_peak=pressure.peak_factor,
            slowdown_seconds=pressure.waited_seconds,
            box=box,
            warnings=tuple(self._warnings),
        )

    async def _produce(self, queue: FrameQueue, pressure: Backpressure, box: Box) -> None:
        """Put pictures together from patches and queue each one at the frame from which it is shown."""
        picture = YuvaPicture(box.width, box.height, self._conversion)
        ends = clear_frames(self._blocks, self._encode.end)

        async def queue_picture(frame: int) -> None:
            self._distinct += 1
            await pressure.pace()
            await queue.put(CaptionFrame(frame - self._encode.start, picture.to_bytes()))

        assert self._capture is not None
        corrected: int | None = None
        async for patch in self._capture.patches(self._blocks, box):
            if corrected is not None and corrected < min([patch.frame, *ends[:1]]):
                await queue_picture(corrected)
            corrected = None
            while ends and ends[0] <= patch.frame:
                picture.clear()
                await queue_picture(ends.pop(0))
            if not patch.proof:
                picture.apply(patch.box, patch.pixels)
                await queue_picture(patch.frame)
            elif not picture.shows(patch.box, patch.pixels):
                await self._distrust_patches(patch.frame)
                picture.apply(patch.box, patch.pixels)
                corrected = patch.frame + 1
        if corrected is not None and corrected < min([self._encode.end, *ends[:1]]):
            await queue_picture(corrected)
        for frame in ends:
            picture.clear()
            await queue_picture(frame)
        await queue.close()

    async def _distrust_patches(self, frame: int) -> None:
        self._warnings.append(
            f"At frame {frame} the changed boxes did not add up to the whole picture; "
            "whole boxes are captured from there on."
        )
        assert self._capture is not None
        await self._capture.send_whole_boxes()

    async def _write(self, queue: FrameQueue, box: Box, pipe: int) -> None:
        """Send queued pictures to FFmpeg; when it stops reading, the rest is discarded without a word.

        Whether it stopped too early is judged by FFmpeg's end and by the check of the segment's frames.
        """
        loop = asyncio.get_running_loop()
        nut = NutWriter(pipe, box, self._encode.rate)
        # One thread, so that closing waits its turn behind a write that FFmpeg has not taken yet.
        thread = ThreadPoolExecutor(1, thread_name_prefix="ecg-nut")
        try:
            while (frame := await queue.get()) is not None:
                await loop.run_in_executor(thread, nut.write, frame)
        finally:
            thread.submit(nut.close)
            thread.shutdown(wait=False)

    async def _encode_with(self, box: Box | None, pipe: int | None) -> None:
        encode = replace(self._encode, overlay=Overlay(box, "pipe:0") if box else None)
        frames = f"encoding frames {encode.start} to {encode.end - 1}"
        try:
            await run_ffmpeg(segment_arguments(encode), action=frames, stdin=pipe, on_progress=self._on_progress)
        finally:
            if pipe is not None:
                os.close(pipe)  # with our end open too, a write that FFmpeg never took would block for ever


class LoadMeter:
    """Reads what `Backpressure` judges by; machine figures at most once a second, they cost system calls."""

    def __init__(self, queue: FrameQueue) -> None:
        self._queue = queue
        self._process = psutil.Process()
        self._next_sample = 0.0
        self._memory = 0
        self._cpu = 0.0

    def read(self) -> Load:
        """Return the load now."""
        now = time.monotonic()
        if now >= self._next_sample:
            self._next_sample = now + LOAD_SAMPLE_SECONDS
            self._memory = self._process.memory_info().rss
            self._cpu = psutil.cpu_percent(None) / 100
        return Load(self._queue.fill, self._memory, self._cpu)


def sample_frames(blocks: list[Block], rate: Fraction) -> Iterator[int]:
    """Yield frames at which to measure how far captions reach: a few a second, and each block's first and last."""
    step = max(1, round(rate / 4))
    for block in blocks:
        frames = block.frames
        yield from range(frames.start, frames.end - 1, step)
        yield frames.end - 1


def clear_frames(blocks: list[Block], end: int) -> list[int]:
    """Return the frames at which the captions go and none follow at once: there the picture becomes empty."""
    starts = {block.frames.start for block in blocks}
    return [block.frames.end for block in blocks if block.frames.end not in starts and block.frames.end < end]


def _with_margin(box: Box, whole: Box) -> Box:
    left, top = max(whole.x, box.x - BOX_MARGIN), max(whole.y, box.y - BOX_MARGIN)
    right = min(whole.width, box.x + box.width + BOX_MARGIN)
    bottom = min(whole.height, box.y + box.height + BOX_MARGIN)
    return Box(left, top, right - left, bottom - top)


def _pipe() -> tuple[int, int]:
    reader, writer = os.pipe()
    with suppress(OSError):  # a smaller pipe works too, with more switches between the two processes
        fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    return reader, writer
