"""The reference: screenshots that Playwright takes, in a Chromium that it drives. They are somebody else's work."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from playwright.async_api import BrowserContext, CDPSession, Page, Playwright, Route, async_playwright

from ecg_common.children import short_environment
from ecg_renderer.browser import EventHandler, Json
from ecg_renderer.capture.stepwise import StepwiseCapture
from ecg_renderer.chromium import (
    CANVAS_ARGUMENTS,
    COMMON_ARGUMENTS,
    INSTALL_HINT,
    find_chromium,
    make_profile,
    remove_profile,
    sandbox_problem,
)
from ecg_renderer.colour import Conversion
from ecg_renderer.errors import BrowserError
from ecg_renderer.model import Box, CaptureWay, Film
from ecg_renderer.served import ORIGIN, ServedFile, answer_to, check_packages


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


# --- one Chromium through Playwright --------------------------------------------------------------


PAGE_MILLISECONDS = 20_000
CLOSE_SECONDS = 5.0
# The driver ends Chromium, and itself after half a minute at the latest; left before, it would be nobody's.
STOP_SECONDS = 40.0


class PlaywrightBrowser:
    """A running Chromium with a profile and a driver of its own.

    Attributes:
        profile: the profile's folder; the origin's private files lie in it.
        version: as Chromium says it, for example "156.0.8078.73".
        fetched: what the page may load besides its own files, by path.
    """

    def __init__(self, playwright: Playwright, context: BrowserContext, profile: Path) -> None:
        self._playwright = playwright
        self._context = context
        self.profile = profile
        self.fetched: Mapping[str, ServedFile] = {}
        self.version = context.browser.version if context.browser else ""

    @classmethod
    async def start(cls, arguments: Sequence[str] = CANVAS_ARGUMENTS) -> PlaywrightBrowser:
        """Start Chromium with `arguments` added to the common ones.

        Raises:
            BrowserError: Chromium is missing or did not start.
        """
        check_packages()
        executable = find_chromium()
        playwright = await async_playwright().start()
        profile = None
        try:
            profile = make_profile()
            context = await playwright.chromium.launch_persistent_context(
                str(profile),
                executable_path=executable,
                headless=True,
                chromium_sandbox=not await asyncio.to_thread(sandbox_problem),
                env={**short_environment()},
                args=[*COMMON_ARGUMENTS, *arguments],
                service_workers="block",
                handle_sigint=False,  # stopping is our business: the renderer closes what it opened
                handle_sigterm=False,
                handle_sighup=False,
            )
            browser = cls(playwright, context, profile)
            await context.route("**/*", browser._serve)
        except BaseException as error:
            await playwright.stop()
            if profile:
                remove_profile(profile)
            if not isinstance(error, Exception):
                raise
            found = f"Chromium ({executable})" if executable else "Playwright's own Chromium"
            raise BrowserError(f"{found} did not start: {first_line(error)}", hint=INSTALL_HINT) from error
        return browser

    async def open_page(self, width: int, height: int) -> Page:
        """Open a page of the given viewport in px and load the caption page into it.

        Raises:
            BrowserError: the page's own scripts did not load.
        """
        problems: list[str] = []
        try:
            page = await self._context.new_page()
            await page.set_viewport_size({"width": width, "height": height})
            page.on("pageerror", lambda error: problems.append(str(error)))
            await page.goto(f"{ORIGIN}/", wait_until="load")
            await page.wait_for_function("window.ecg", timeout=PAGE_MILLISECONDS)
        except Exception as error:
            raise BrowserError(
                f"The caption page did not load: {problems[0] if problems else first_line(error)}",
                hint="`ecg-render doctor` tells what is missing.",
            ) from error
        return page

    async def _serve(self, route: Route) -> None:
        file = await asyncio.to_thread(answer_to, route.request.url, self.fetched)
        with suppress(Exception):  # the page may be gone before its last answer
            if file is None:
                await route.abort("blockedbyclient")
            else:
                await route.fulfill(body=file.body, content_type=file.content_type)

    async def close(self) -> None:
        """End Chromium and its driver, and remove the profile; works on a crashed one too."""
        try:
            with suppress(Exception):
                async with asyncio.timeout(CLOSE_SECONDS):
                    await self._context.close()
            with suppress(Exception):
                async with asyncio.timeout(STOP_SECONDS):
                    await self._playwright.stop()
        finally:
            remove_profile(self.profile)


def first_line(error: BaseException) -> str:
    """Return what an error says, without the call that Playwright puts before it and the log below it."""
    lines = str(error).strip().splitlines()
    return lines[0].removeprefix("Page.evaluate: ").removeprefix("Error: ") if lines else type(error).__name__
