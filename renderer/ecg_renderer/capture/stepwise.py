"""Capture frame by frame: seek, look whether anything changed, take a picture of the changed box.

Slower than the canvas by far, and right by construction: the pictures are Chromium's own screenshots.
"""

from __future__ import annotations

import asyncio
import io
from abc import abstractmethod
from collections.abc import AsyncGenerator
from typing import Any

import av
import numpy as np

from ecg_renderer.capture.canvas import replay_of
from ecg_renderer.capture.patches import BoxOutgrownError, Bytes, Kind, Record
from ecg_renderer.capture.restarting import RestartingCapture
from ecg_renderer.colour import Conversion, rgba_to_yuva
from ecg_renderer.errors import FrameTimeout
from ecg_renderer.film import Film
from ecg_renderer.model import Area, Block, Box

NOTHING = np.empty(0, np.uint8)


class StepwiseCapture(RestartingCapture):
    """Captures on one stage, one screenshot per changed frame.

    Subclasses say how to call the page and how to take the picture.
    """

    def __init__(self, film: Film, conversion: Conversion | None, *, frame_timeout: float) -> None:
        super().__init__(film)
        self._conversion = conversion
        self._frame_timeout = frame_timeout
        self._whole_boxes = False

    @abstractmethod
    async def _picture(self, box: Box) -> bytes:
        """Take a PNG of `box`, in output px, with a transparent background."""

    async def _load(self) -> None:
        await self._guard()
        config = self.film.page_config(stages=1, canvas=False)
        await self._timely(self._call("config => ecg.load(config)", config), None)

    async def _measure(self, frames: list[int]) -> list[list[float]]:
        boxes: list[list[float]] = await self._timely(self._call("frames => ecg.measure(frames)", frames), frames[0])
        return boxes

    async def send_whole_boxes(self) -> None:
        """Send whole boxes from now on."""
        self._whole_boxes = True

    async def _session(self, blocks: list[Block], area: Area) -> AsyncGenerator[Record, None]:
        [box] = area.parts  # a screenshot is of one
        for block in blocks:
            start = block.frames.start
            painted = await self._timely(self._call("a => ecg.showFrame(...a)", [start, replay_of(block)]), start)
            self._reach(painted, start, box)
            yield await self._record(start, box, box, block)
            frame = start
            while (change := await self._next_change(frame + 1, block, box)) is not None:
                frame, part = change
                yield await self._record(frame, part, box, block)
            yield Record(Kind.BLOCK_END, block.frames.end, Box(0, 0, 0, 0), start, NOTHING)
        await self._note_failures()

    async def _next_change(self, frame: int, block: Block, box: Box) -> tuple[int, Box] | None:
        answer = await self._timely(self._call("a => ecg.showNextChange(...a)", [frame, block.frames.end]), frame)
        self.statistics.frames_sought += min(answer["frame"], block.frames.end - 1) - frame + 1
        if answer["box"] is None and not answer["moving"]:
            return None
        changed = self._reach(answer["box"], answer["frame"], box)
        if changed is None or answer["moving"] or self._whole_boxes:
            return answer["frame"], box
        return answer["frame"], changed

    def _reach(self, bounds: list[float] | None, frame: int, box: Box) -> Box | None:
        """Return page bounds as a box, None outside the picture; raises BoxOutgrownError if it is not inside `box`."""
        reached = self.film.even_box(bounds)
        if reached and not box.contains(reached):
            raise BoxOutgrownError(frame, reached)
        return reached

    async def _record(self, frame: int, part: Box, box: Box, block: Block) -> Record:
        # Always a picture of the whole box: an edge that runs through a rounded corner changes its pixels.
        whole = decode_png(await self._timely(self._picture(box), frame))
        relative = Box(part.x - box.x, part.y - box.y, part.width, part.height)
        rgba = whole[relative.y : relative.y + relative.height, relative.x : relative.x + relative.width]
        self.statistics.patches += 1
        self.statistics.pixels += part.area
        pixels = rgba_to_yuva(rgba, self._conversion) if self._conversion else rgba.ravel()
        return Record(Kind.PATCH, frame, relative, block.frames.start, pixels)

    async def _timely(self, work: Any, frame: int | None) -> Any:
        try:
            async with asyncio.timeout(self._frame_timeout):
                return await work
        except TimeoutError as error:
            what = "The caption page did not load" if frame is None else f"Frame {frame} was not captured"
            raise FrameTimeout(f"{what} within {self._frame_timeout:g} s: the browser hangs.", frame=frame) from error


def decode_png(data: bytes) -> Bytes:
    """Return a PNG's pixels, shape (height, width, 4), straight alpha."""
    with av.open(io.BytesIO(data), "r", format="png_pipe") as container:
        frame = next(container.decode(video=0))
        return np.ascontiguousarray(frame.to_ndarray(format="rgba"))
