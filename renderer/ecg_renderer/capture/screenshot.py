"""The reference: Playwright's own screenshots."""

from __future__ import annotations

from typing import Any

from playwright.async_api import CDPSession, Page

from ecg_renderer.browser.by_playwright import PlaywrightBrowser, first_line
from ecg_renderer.browser.cdp import EventHandler, Json
from ecg_renderer.capture.stepwise import StepwiseCapture
from ecg_renderer.colour import Conversion
from ecg_renderer.errors import BrowserError
from ecg_renderer.film import Film
from ecg_renderer.model import Box, CaptureWay


class ScreenshotCapture(StepwiseCapture):
    """Captures with `page.screenshot`."""

    way = CaptureWay.SCREENSHOT

    def __init__(self, film: Film, conversion: Conversion | None, *, frame_timeout: float) -> None:
        super().__init__(film, conversion, frame_timeout=frame_timeout)
        self._browser: PlaywrightBrowser | None = None
        self._page: Page | None = None
        self._debugging: CDPSession | None = None

    async def _open(self) -> None:
        self._browser = await PlaywrightBrowser.start()
        self.browser_version = self._browser.version
        self._page = await self._browser.open_page(self.film.width, self.film.height)
        await self._load()

    async def _load(self) -> None:
        assert self._browser is not None
        self._browser.fetched = self.film.served()
        if self.film.modules and self._page and self._debugging is None:
            # Now: to a page that hangs none can be opened.
            self._debugging = await self._page.context.new_cdp_session(self._page)
        await super()._load()

    async def _close(self) -> None:
        self._page = self._debugging = None
        if self._browser:
            await self._browser.close()
            self._browser = None

    async def _call(self, script: str, argument: Any) -> Any:
        assert self._page is not None
        try:
            return await self._page.evaluate(script, argument)
        except Exception as error:
            raise BrowserError(f"The caption page failed: {first_line(error)}") from error

    async def _send(self, method: str, parameters: Json | None = None) -> Json:
        assert self._debugging is not None
        try:
            return dict(await self._debugging.send(method, parameters))
        except Exception as error:
            raise BrowserError(f"The caption page refused {method}: {first_line(error)}") from error

    def _on(self, event: str, handler: EventHandler) -> None:
        assert self._debugging is not None
        self._debugging.on(event, handler)

    async def _kill(self) -> None:
        if self._browser:
            await self._browser.close()

    async def _picture(self, box: Box) -> bytes:
        assert self._page is not None
        clip = {"x": box.x, "y": box.y, "width": box.width, "height": box.height}
        try:
            return await self._page.screenshot(
                clip=clip,  # type: ignore[arg-type]
                type="png",
                omit_background=True,
                animations="allow",
                timeout=self._frame_timeout * 1000,
            )
        except Exception as error:
            raise BrowserError(f"A screenshot failed: {first_line(error)}") from error
