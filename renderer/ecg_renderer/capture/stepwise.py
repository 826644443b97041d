"""Capture frame by frame: seek, look whether anything changed, take a picture of the changed box.

Slower than the canvas by far, and right by construction: the pictures are Chromium's own screenshots. Taken they are
on command, by `HeadlessExperimental.beginFrame`; for the reference by Playwright (`screenshot`).
"""

from __future__ import annotations

import asyncio
import base64
import io
from abc import abstractmethod
from collections.abc import AsyncGenerator, Coroutine
from typing import Any

import av
import numpy as np

from ecg_renderer.browser import Browser, EventHandler, Json, Page
from ecg_renderer.capture.canvas import replay_of
from ecg_renderer.capture.patches import BoxOutgrownError, Bytes, Kind, Record
from ecg_renderer.capture.restarting import RestartingCapture
from ecg_renderer.colour import Conversion, rgba_to_yuva
from ecg_renderer.errors import BrowserError, FrameTimeout
from ecg_renderer.model import Area, Block, Box, CaptureWay, Film

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


# --- frames on command ----------------------------------------------------------------------------


LOAD_SECONDS = 30.0
PUMP_SECONDS = 0.004
TRANSPARENT = {"r": 0, "g": 0, "b": 0, "a": 0}

BEGIN_FRAME_ARGUMENTS = (
    "--deterministic-mode",
    "--enable-begin-frame-control",
    "--run-all-compositor-stages-before-draw",  # a frame is only done when everything in it is
    "--disable-new-content-rendering-timeout",
    "--disable-threaded-animation",
    "--disable-threaded-scrolling",
    "--disable-checker-imaging",
    "--disable-image-animation-resync",
    "--enable-surface-synchronization",
)


class BeginFrameCapture(StepwiseCapture):
    """Captures with `HeadlessExperimental.beginFrame`, in a Chromium of its own: it draws a frame when it is told to.

    It takes the same pictures as a screenshot in a fraction of the time, because nothing waits for the display's clock
    and only the wanted part is drawn. Headless shell only (`--enable-begin-frame-control`).
    """

    way = CaptureWay.BEGINFRAME

    def __init__(self, film: Film, conversion: Conversion | None, *, frame_timeout: float) -> None:
        super().__init__(film, conversion, frame_timeout=frame_timeout)
        self._browser: Browser | None = None
        self._page: Page | None = None
        self._view: Box | None = None

    async def _open(self) -> None:
        try:
            async with asyncio.timeout(LOAD_SECONDS):
                self._view = None
                self._browser = await Browser.start(BEGIN_FRAME_ARGUMENTS, enableBeginFrameControl=True)
                self.browser_version = self._browser.version
                self._page = await self._browser.page()
                await self._page.send("Emulation.setDefaultBackgroundColorOverride", {"color": TRANSPARENT})
                await self._pumped(self._page.loaded(self.film.width, self.film.height))
                await self._load()
        except TimeoutError as error:
            raise FrameTimeout(f"The caption page did not load within {LOAD_SECONDS:g} s.") from error

    async def _load(self) -> None:
        assert self._browser is not None
        self._browser.fetched = self.film.served()
        # Frames go on only as long as the page does: a hung one answers neither.
        await self._timely(self._pumped(super()._load()), None)

    async def _close(self) -> None:
        self._page = None
        browser, self._browser = self._browser, None
        if browser:
            await browser.close()

    async def _call(self, script: str, argument: Any) -> Any:
        assert self._page is not None
        return await self._page.evaluate(script, argument)

    async def _send(self, method: str, parameters: Json | None = None) -> Json:
        assert self._page is not None
        return await self._page.send(method, parameters)

    def _on(self, event: str, handler: EventHandler) -> None:
        assert self._page is not None
        self._page.on(event, handler)

    async def _kill(self) -> None:
        if self._browser:
            await self._browser.close()

    async def _picture(self, box: Box) -> bytes:
        if box != self._view:
            # The view of the page, not its layout: frames are drawn at the size of this box, all else is left out.
            view = {"x": box.x, "y": box.y, "width": box.width, "height": box.height, "scale": 1}
            size = {"width": self.film.width, "height": self.film.height}
            metrics = {**size, "deviceScaleFactor": 1, "mobile": False, "viewport": view}
            await self._send("Emulation.setDeviceMetricsOverride", metrics)
            self._view = box
        answer = await self._begin_frame({"screenshot": {"format": "png", "optimizeForSpeed": True}})
        if "screenshotData" not in answer:
            raise BrowserError("Chromium drew a frame without giving its picture.")
        return base64.b64decode(answer["screenshotData"])

    async def _begin_frame(self, parameters: Json | None = None) -> Json:
        return await self._send("HeadlessExperimental.beginFrame", parameters)

    async def _pumped(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Await `work` while frames go on: without them, a page neither loads nor is laid out."""
        task = asyncio.create_task(work)
        try:
            while not task.done():
                await self._begin_frame()
                await asyncio.wait({task}, timeout=PUMP_SECONDS)
            return await task
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
