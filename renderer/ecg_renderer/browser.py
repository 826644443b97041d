"""One Chromium process through Playwright, and the page in it, served from disk and cut off from everything else."""

from __future__ import annotations

import asyncio
import hashlib
import mimetypes
import os
import shutil
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from ecg_renderer.errors import BrowserError

if TYPE_CHECKING:
    from playwright.async_api import BrowserContext, Page, Playwright, Route

ORIGIN = "https://ecg.invalid"
PAGE_FOLDER = Path(__file__).parent / "page"
PAGE_PACKAGES = ("motiontext-renderer", "gsap")
PROFILE_PREFIX = "ecg-profile-"
MEMORY_FILES = Path("/dev/shm")  # noqa: S108  a memory file system: the ring file in it is plain memory
MINIMUM_MEMORY_FILES_BYTES = 256 * 1024 * 1024
PAGE_MILLISECONDS = 20_000
CLOSE_SECONDS = 5.0

COMMON_ARGUMENTS = (
    "--no-sandbox",  # containers and root have no user namespaces to build a sandbox from
    "--disable-gpu",
    "--hide-scrollbars",
    "--font-render-hinting=none",  # glyphs keep their shape at every size and position
    "--force-color-profile=srgb",
    "--disable-lcd-text",  # sub-pixel anti-aliasing would colour the edges of transparent text
    # An edge of a tile, or of what is drawn anew, that runs through a rounded corner changes the corner's pixels by up
    # to 34/255: a picture must depend neither on where it lies nor on the picture before it.
    "--default-tile-width=4096",
    "--default-tile-height=4096",
    "--disable-partial-raster",
    # Requests are answered or refused before they are sent. What is not a request of the page (windows that it opens,
    # WebRTC) finds no network: nothing resolves, not even an address, and UDP would need a proxy.
    "--host-resolver-rules=MAP * ~NOTFOUND",
    "--force-webrtc-ip-handling-policy=disable_non_proxied_udp",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-quic",
    "--disable-sync",
    "--disable-extensions",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-timer-throttling",
    "--disable-renderer-backgrounding",
    "--disable-features=Translate,MediaRouter,OptimizationHints,DialMediaRouteProvider",
)
CANVAS_ARGUMENTS = ("--enable-blink-features=CanvasDrawElement",)

INSTALL_HINT = (
    "Install it with `apt-get install chromium-headless-shell` (Debian) or "
    "`playwright install chromium-headless-shell`, or set ECG_CHROMIUM to the executable. "
    "`ecg-render doctor` shows what is found."
)


def find_chromium() -> Path | None:
    """Return the browser to run: ECG_CHROMIUM, a headless shell in PATH, or None for Playwright's own.

    Raises:
        BrowserError: ECG_CHROMIUM names something that cannot be run.
    """
    wanted = os.environ.get("ECG_CHROMIUM")
    if wanted:
        if not os.access(wanted, os.X_OK) or Path(wanted).is_dir():
            raise BrowserError(f"ECG_CHROMIUM is {wanted}, which is not an executable file.", hint=INSTALL_HINT)
        return Path(wanted)
    for name in ("chromium-headless-shell", "chrome-headless-shell"):
        found = shutil.which(name)
        if found:
            return Path(found)
    return None


def page_file(path: str) -> Path | None:
    """Return the file behind a request path of the page, or None if it has none."""
    relative = path.lstrip("/") or "index.html"
    file = (PAGE_FOLDER / relative).resolve()
    return file if file.is_relative_to(PAGE_FOLDER.resolve()) and file.is_file() else None


@cache
def page_hash() -> str:
    """Return a hash over the page's own files; the lock file among them stands for its packages."""
    digest = hashlib.sha256()
    for pattern in ("*.*", "plugins/**/*.mjs"):
        for file in sorted(PAGE_FOLDER.glob(pattern)):
            digest.update(str(file.relative_to(PAGE_FOLDER)).encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


def content_type(file: Path) -> str:
    """Return the media type of a page file; module scripts need theirs exact."""
    if file.suffix in (".js", ".mjs"):
        return "text/javascript; charset=utf-8"
    return mimetypes.guess_type(file.name)[0] or "application/octet-stream"


async def _serve(route: Route) -> None:
    url = route.request.url
    file = page_file(url[len(ORIGIN) :].split("?")[0]) if url.startswith(ORIGIN + "/") else None
    with suppress(Exception):  # the page may be gone before its last answer
        if file is None:
            await route.abort("blockedbyclient")
        else:
            await route.fulfill(body=await asyncio.to_thread(file.read_bytes), content_type=content_type(file))


def make_profile() -> Path:
    """Make a browser profile on a memory file system if there is room, and remove those of dead processes."""
    roomy = MEMORY_FILES.is_dir() and psutil.disk_usage(str(MEMORY_FILES)).free >= MINIMUM_MEMORY_FILES_BYTES
    parent = MEMORY_FILES if roomy and os.access(MEMORY_FILES, os.W_OK) else Path(tempfile.gettempdir())
    for stale in parent.glob(f"{PROFILE_PREFIX}*"):
        pid = stale.name.removeprefix(PROFILE_PREFIX).split("-")[0]
        if pid.isdigit() and not psutil.pid_exists(int(pid)):
            shutil.rmtree(stale, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=f"{PROFILE_PREFIX}{os.getpid()}-", dir=parent))


def _check_packages() -> None:
    for package in PAGE_PACKAGES:
        if not (PAGE_FOLDER / "node_modules" / package / "package.json").is_file():
            raise BrowserError(
                f"The npm package {package}, which the caption page loads, is not in {PAGE_FOLDER / 'node_modules'}.",
                hint=f"Run `npm ci` in {PAGE_FOLDER}, or `make setup` in a clone.",
            )


class Browser:
    """A running Chromium with a profile and a driver of its own.

    Attributes:
        profile: the profile's folder; the origin's private files lie in it.
        version: as Chromium says it, for example "156.0.8078.73".
    """

    def __init__(self, playwright: Playwright, context: BrowserContext, profile: Path) -> None:
        self._playwright = playwright
        self._context = context
        self.profile = profile
        self.version = context.browser.version if context.browser else ""

    @classmethod
    async def start(cls, arguments: Sequence[str] = CANVAS_ARGUMENTS) -> Browser:
        """Start Chromium with `arguments` added to the common ones.

        Raises:
            BrowserError: Chromium is missing or did not start.
        """
        from playwright.async_api import async_playwright

        _check_packages()
        executable = find_chromium()
        playwright = await async_playwright().start()
        profile = make_profile()
        try:
            context = await playwright.chromium.launch_persistent_context(
                str(profile),
                executable_path=executable,
                headless=True,
                args=[*COMMON_ARGUMENTS, *arguments],
                service_workers="block",
                handle_sigint=False,  # stopping is our business: the renderer closes what it opened
                handle_sigterm=False,
                handle_sighup=False,
            )
            await context.route("**/*", _serve)
        except BaseException as error:
            await playwright.stop()
            shutil.rmtree(profile, ignore_errors=True)
            if not isinstance(error, Exception):
                raise
            found = f"Chromium ({executable})" if executable else "Playwright's own Chromium"
            raise BrowserError(f"{found} did not start: {first_line(error)}", hint=INSTALL_HINT) from error
        return cls(playwright, context, profile)

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

    async def close(self) -> None:
        """End Chromium and its driver, and remove the profile; works on a crashed one too."""
        try:
            with suppress(Exception):
                await asyncio.wait_for(self._context.close(), CLOSE_SECONDS)
            with suppress(Exception):
                await asyncio.wait_for(self._playwright.stop(), CLOSE_SECONDS)
        finally:
            shutil.rmtree(self.profile, ignore_errors=True)


class BrowserLauncher:
    """Starts Chromium ahead of need, so that it comes up while the source is probed."""

    def __init__(self, arguments: Sequence[str] = CANVAS_ARGUMENTS) -> None:
        self._arguments = arguments
        self._early: asyncio.Task[Browser] | None = None

    def warm(self) -> None:
        """Begin to start the browser that the next `start` returns."""
        if self._early is None:
            self._early = asyncio.create_task(Browser.start(self._arguments))

    async def start(self) -> Browser:
        """Return a running browser; the caller closes it."""
        early, self._early = self._early, None
        return await (early or Browser.start(self._arguments))

    async def close(self) -> None:
        """Close a browser that was warmed and never asked for."""
        early, self._early = self._early, None
        if early is None:
            return
        # Not cancelled: halfway up, a driver and a browser would be left behind.
        with suppress(BrowserError):
            await (await asyncio.shield(early)).close()


def first_line(error: BaseException) -> str:
    """Return what an error says, without the call that Playwright puts before it and the log below it."""
    lines = str(error).strip().splitlines()
    return lines[0].removeprefix("Page.evaluate: ").removeprefix("Error: ") if lines else type(error).__name__
