"""One Chromium through Playwright, for the reference: its screenshots are somebody else's work."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from playwright.async_api import BrowserContext, Page, Playwright, Route, async_playwright

from ecg_common.children import short_environment
from ecg_renderer.browser.chromium import (
    CANVAS_ARGUMENTS,
    COMMON_ARGUMENTS,
    INSTALL_HINT,
    find_chromium,
    make_profile,
    remove_profile,
    sandbox_problem,
)
from ecg_renderer.errors import BrowserError
from ecg_renderer.served import ORIGIN, ServedFile, answer_to, check_packages

PAGE_MILLISECONDS = 20_000
CLOSE_SECONDS = 5.0


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
        profile = make_profile()
        try:
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
                async with asyncio.timeout(CLOSE_SECONDS):
                    await self._playwright.stop()
        finally:
            remove_profile(self.profile)


def first_line(error: BaseException) -> str:
    """Return what an error says, without the call that Playwright puts before it and the log below it."""
    lines = str(error).strip().splitlines()
    return lines[0].removeprefix("Page.evaluate: ").removeprefix("Error: ") if lines else type(error).__name__
