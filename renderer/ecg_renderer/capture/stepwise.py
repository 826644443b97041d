"""Capture frame by frame: seek, look whether anything changed, take a picture of the changed box.

Slower than the canvas by far, and right by construction: the pictures are Chromium's own screenshots. Taken they are
on command, by `HeadlessExperimental.beginFrame`; for the reference by Playwright, in a Chromium that it drives: that is
somebody else's work.
"""

from __future__ import annotations

import asyncio
import base64
import io
from abc import abstractmethod
from collections.abc import AsyncGenerator, Coroutine, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import numpy as np

from ecg_common.children import short_environment
from ecg_renderer.browser import Browser, EventHandler, Json, Page
from ecg_renderer.capture.canvas import replay_of
from ecg_renderer.capture.patches import BoxOutgrownError, Bytes, Kind, Record
from ecg_renderer.capture.restarting import RestartingCapture
from ecg_renderer.chromium import (
    CANVAS_ARGUMENTS,
    COMMON_ARGUMENTS,
    INSTALL_HINT,
    find_chromium,
    make_profile,
    remove_profile,
    sandbox_problem,
)
from ecg_renderer.colour import Conversion, rgba_to_yuva
from ecg_renderer.errors import BrowserError, FrameTimeout
from ecg_renderer.model import Area, Block, Box, CaptureWay, Film
from ecg_renderer.served import ORIGIN, ServedFile, answer_to, check_packages

if TYPE_CHECKING:
    from playwright.async_api import BrowserContext, CDPSession, Playwright, Route
    from playwright.async_api import Page as Tab

NOTHING = np.empty(0, np.uint8)


class StepwiseCapture(RestartingCapture):
    """Captures on one stage, one screenshot per changed frame.

    Subclasses say how to call the page and how to take the picture.
    """

    _browser: Browser | PlaywrightBrowser | None = None

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

    async def _kill(self) -> None:
        if self._browser:
            await self._browser.close()

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


# --- the reference --------------------------------------------------------------------------------


class ScreenshotCapture(StepwiseCapture):
    """Captures with `page.screenshot`."""

    way = CaptureWay.SCREENSHOT

    def __init__(self, film: Film, conversion: Conversion | None, *, frame_timeout: float) -> None:
        super().__init__(film, conversion, frame_timeout=frame_timeout)
        self._browser: PlaywrightBrowser | None = None
        self._page: Tab | None = None
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
        # Imported when it is needed: it takes longer to load than everything else together.
        from playwright.async_api import async_playwright

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

    async def open_page(self, width: int, height: int) -> Tab:
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
