"""Frames on command: Chromium draws one exactly when it is told to, and hands over the picture of a part of it.

It takes the same pictures as a screenshot in a fraction of the time, because nothing waits for the display's clock and
only the wanted part is drawn. Headless shell only (`--enable-begin-frame-control`).
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Coroutine
from typing import Any

from ecg_renderer.browser import Browser, Page
from ecg_renderer.browser.cdp import EventHandler, Json
from ecg_renderer.capture.stepwise import StepwiseCapture
from ecg_renderer.colour import Conversion
from ecg_renderer.errors import BrowserError, FrameTimeout
from ecg_renderer.film import Film
from ecg_renderer.model import Box, CaptureWay

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
    """Captures with `HeadlessExperimental.beginFrame`, in a Chromium of its own."""

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
