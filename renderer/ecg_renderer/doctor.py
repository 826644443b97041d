"""Is everything there that rendering needs? Looked at, started and tried, not guessed.

programs    Python, FFmpeg and its encoders, the page's npm packages
browser     Chromium, shared memory with it, the ways to capture
machine     fonts, /dev/shm, disk; S3 where the environment leads to one
"""

from __future__ import annotations

import asyncio
import json
import os
import platform
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from functools import partial
from importlib.metadata import version

import psutil

from ecg_common.profiles import profiles
from ecg_renderer.browser import Browser, BrowserLauncher
from ecg_renderer.capture import open_capture
from ecg_renderer.capture.canvas import Ring
from ecg_renderer.chromium import MEMORY_FILES, MINIMUM_MEMORY_FILES_BYTES, find_chromium, sandbox_problem
from ecg_renderer.errors import BrowserError, RenderError
from ecg_renderer.media.encoder import NO_DEVICE, nvenc_problem
from ecg_renderer.media.process import tool_path
from ecg_renderer.model import Block, CaptureWay, Film, FrameRange
from ecg_renderer.request import Settings
from ecg_renderer.scenario import prepare
from ecg_renderer.served import PAGE_FOLDER
from ecg_renderer.storage import CellStore, ask_s3, default_cells, s3_is_set_up

TRY_SECONDS = 20
LITTLE_DISK_BYTES = 2_000_000_000
_SIZE = (320, 180)
_RING_BYTES = 4 * 1024 * 1024
_SHM_FIX = "docker run --shm-size=1g; in Kubernetes mount an emptyDir of medium Memory there."


class State(StrEnum):
    """How a check came out."""

    OK = "ok"
    NOTE = "note"
    """A render works, but slower, or not as it should look."""
    MISSING = "missing"
    """No render works without it."""


@dataclass(frozen=True)
class Check:
    """One thing that was looked at: what was found, what it is for, and how to put it right."""

    name: str
    state: State
    found: str
    meaning: str
    fix: str = ""


@dataclass(frozen=True)
class Examination:
    """All checks."""

    checks: list[Check]

    @property
    def can_render(self) -> bool:
        """Tell whether a render can work."""
        return not self.missing

    @property
    def missing(self) -> list[str]:
        """Names of what no render works without."""
        return [check.name for check in self.checks if check.state is State.MISSING]


async def examine() -> Examination:
    """Look at this machine; takes a few seconds, because browser and encoders are tried."""
    ffmpeg = await asyncio.to_thread(_ffmpeg)
    encoders = [] if ffmpeg.state is State.MISSING else [await asyncio.to_thread(_software_encoders), await _nvenc()]
    page = _page_packages()
    browser = await _browser(with_page=page.state is not State.MISSING)
    machine = await asyncio.to_thread(_machine)
    return Examination([_python(), ffmpeg, *encoders, page, *browser, *machine])


def _python() -> Check:
    found = f"{platform.python_version()}, ecg-render {version('ecg-render')}"
    return Check("Python", State.OK, found, "Runs this program.")


# --- FFmpeg ---------------------------------------------------------------------------------------


def _ffmpeg() -> Check:
    meaning = "Reads the source, puts the captions over it, encodes; ffprobe looks at files."
    try:
        path, probe = tool_path("ffmpeg"), tool_path("ffprobe")
    except RenderError as error:
        return Check("FFmpeg", State.MISSING, error.message, meaning, error.hint)
    words = _said([path, "-version"]).split()
    if words[:2] != ["ffmpeg", "version"]:
        return Check("FFmpeg", State.MISSING, f"{path} does not start", meaning, "Install FFmpeg again.")
    return Check("FFmpeg", State.OK, f"{words[2]} ({path}, {probe})", meaning)


def _software_encoders() -> Check:
    name, meaning = "Encoders", "x264 for mp4 and mov where there is no NVENC, VP9 for webm."
    listed = _said([tool_path("ffmpeg"), "-hide_banner", "-encoders"]).split()
    there = [word for word in ("libx264", "libvpx-vp9") if word in listed]
    absent = [word for word in ("libx264", "libvpx-vp9") if word not in listed]
    if not absent:
        return Check(name, State.OK, ", ".join(there), meaning)
    state = State.MISSING if "libx264" in absent else State.NOTE
    fix = "Install an FFmpeg that is built with them, such as Debian's."
    return Check(name, state, f"this FFmpeg has no {' and no '.join(absent)}", meaning, fix)


async def _nvenc() -> Check:
    meaning = "Encodes on an NVIDIA GPU and leaves the CPU to the captions; without it x264 does it, slower."
    problem = await nvenc_problem()
    if not problem:
        return Check("NVENC", State.OK, "a test encode worked", meaning)
    fix = "docs/troubleshooting.md, NVENC does not work."
    if problem == NO_DEVICE:
        fix = "Nothing, unless this machine has an NVIDIA GPU: then install its driver."
    return Check("NVENC", State.NOTE, f"not used: {problem}", meaning, fix)


# --- page and browser -----------------------------------------------------------------------------


def _page_packages() -> Check:
    meaning = "MotionText and gsap lay out and animate the captions in the page."
    wanted = json.loads((PAGE_FOLDER / "package.json").read_text())["dependencies"]
    found = {name: _installed_version(name) for name in wanted}
    words = ", ".join(f"{name} {found[name] or 'missing'}" for name in wanted)
    if found == wanted:
        return Check("npm packages", State.OK, words, meaning)
    fix = f"`npm ci --prefix {PAGE_FOLDER}` installs " + ", ".join(f"{name} {wanted[name]}" for name in wanted) + "."
    return Check("npm packages", State.MISSING if None in found.values() else State.NOTE, words, meaning, fix)


def _installed_version(package: str) -> str | None:
    try:
        return str(json.loads((PAGE_FOLDER / "node_modules" / package / "package.json").read_text())["version"])
    except (OSError, ValueError, KeyError):
        return None


async def _browser(*, with_page: bool) -> list[Check]:
    """Start Chromium and, if that works and there is a page to load, try what it is needed for."""
    meaning = "Draws the captions."
    began = time.monotonic()
    try:
        browser = await Browser.start()
    except RenderError as error:
        return [Check("Chromium", State.MISSING, error.message, meaning, error.hint)]
    started = f"{browser.version} ({find_chromium()}), started in {time.monotonic() - began:.1f} s"
    chromium = Check("Chromium", State.OK, started, meaning)
    try:
        shared = [await _shared_memory(browser)] if with_page else []
    finally:
        await browser.close()
    return (
        [chromium, _sandbox(), *shared, await _automatic_capture(), await _beginframe()]
        if with_page
        else [chromium, _sandbox()]
    )


def _sandbox() -> Check:
    name = "Sandbox"
    meaning = "Keeps the page's process from files and network, should plugins of an origin break out of the page."
    problem = sandbox_problem()
    if not problem:
        return Check(name, State.OK, "Chromium's own, tried", meaning)
    fix = "Render as another user than root, where user namespaces are allowed; without, take plugins you trust."
    return Check(name, State.NOTE, f"off: {problem}", meaning, fix)


async def _shared_memory(browser: Browser) -> Check:
    name = "Shared memory"
    meaning = "Hands pictures over from Chromium; without it they go through the debugging protocol, many times slower."
    try:
        page = await browser.open_page(*_SIZE)
    except RenderError as error:
        return Check(name, State.NOTE, f"not tried: {error.message}", meaning, error.hint)
    try:
        async with asyncio.timeout(TRY_SECONDS):
            await page.evaluate("size => ecg.openSink(size, null)", _RING_BYTES)
    except (BrowserError, TimeoutError) as error:
        return Check(name, State.NOTE, f"not usable: {error or 'no answer'}", meaning, _SHM_FIX)
    ring = Ring.find(browser.profile, _RING_BYTES)
    if ring is None:
        return Check(name, State.NOTE, "Chromium keeps its files elsewhere", meaning, "Use another build of Chromium.")
    ring.close()
    return Check(name, State.OK, f"works, in {browser.profile.parent}", meaning)


async def _automatic_capture() -> Check:
    name = "Capture"
    meaning = "How pictures leave Chromium: canvas is the fast way, screenshot the slow one; all give the same."
    try:
        way, notes = await _capture(None)
    except RenderError as error:
        return Check(name, State.MISSING, error.message, meaning, error.hint or "Use a newer Chromium.")
    if way is CaptureWay.CANVAS:
        return Check(name, State.OK, "canvas, checked against screenshots", meaning)
    return Check(name, State.NOTE, f"{way.value}: {' '.join(notes)}", meaning, "Use a newer Chromium (150 or later).")


async def _beginframe() -> Check:
    name, meaning = "Beginframe", "The second fastest way to capture, used where canvas does not work."
    try:
        await _capture(CaptureWay.BEGINFRAME)
    except RenderError as error:
        return Check(name, State.NOTE, f"not usable: {error.message}", meaning, "Install chromium-headless-shell.")
    return Check(name, State.OK, "works", meaning)


async def _capture(way: CaptureWay | None) -> tuple[CaptureWay, Sequence[str]]:
    """Capture a second of one caption in `way`, or in the best one; return which that was, and why no better."""
    text = {"eType": "text", "text": "Caption", "layout": {"position": {"x": 0.5, "y": 0.8}}}
    cue = {"id": "cue", "track": "track", "root": {"id": "text", "displayTime": [0, 1], **text}}
    data = {"version": "2.0", "tracks": [{"id": "track", "type": "subtitle", "layer": 1}], "cues": [cue]}
    scenario = prepare(data, duration=1, known_plugins={})
    film = Film(scenario.data, (), *_SIZE, Fraction(10), (Block(FrameRange(0, 10)),))
    settings = Settings(capture=way, stages=1)  # as patient as a render: on a busy machine what is slow is usable
    async with open_capture(film, None, settings, BrowserLauncher(), CellStore(default_cells().as_uri())) as choice:
        drawn = [patch.pixels.any() async for patch in choice.capture.patches(list(film.blocks), film.whole)]
        if not any(drawn):
            raise BrowserError("The picture of a test caption is empty.")
        return choice.capture.way, choice.notes


# --- machine --------------------------------------------------------------------------------------


def _machine() -> list[Check]:
    return [
        *fonts(),
        _memory_files(),
        _disk(),
        *([_s3("S3", ask_s3)] if s3_is_set_up() else []),
        *_storage_profiles(),
    ]


def fonts() -> list[Check]:
    """Look for a font of each kind that captions fall back to."""
    return [
        _font("Latin font", "Arial", ("Arial", "Liberation Sans", "Arimo"), "fonts-liberation"),
        _font("CJK font", "sans:lang=ko", ("CJK", "Noto Sans KR", "Nanum", "Un"), "fonts-noto-cjk"),
        _font("Other scripts", "sans:lang=hi", ("Noto", "Lohit"), "fonts-noto-core"),
        _font("Emoji font", "emoji", ("Emoji",), "fonts-noto-color-emoji"),
    ]


def _font(name: str, pattern: str, fitting: tuple[str, ...], package: str) -> Check:
    meaning = "Captions look as in the editor's preview only with the same shapes and widths of letters."
    program = shutil.which("fc-match")
    if not program:
        return Check(name, State.NOTE, "fc-match is not installed, so nobody knows", meaning, "Install fontconfig.")
    family = _said([program, "-f", "%{family[0]}", pattern]).strip() or "none"
    if any(word in family for word in fitting):
        return Check(name, State.OK, family, meaning)
    return Check(name, State.NOTE, f"only {family} for {pattern}", meaning, f"apt-get install {package}")


def _memory_files() -> Check:
    meaning = "Pictures pass from Chromium through this memory; where it is too small, through the disk."
    if not MEMORY_FILES.is_dir():
        return Check(str(MEMORY_FILES), State.NOTE, "not there", meaning, _SHM_FIX)
    usage = psutil.disk_usage(str(MEMORY_FILES))
    found = f"{usage.free / 1e6:,.0f} of {usage.total / 1e6:,.0f} MB free"
    enough = usage.free >= MINIMUM_MEMORY_FILES_BYTES
    return Check(str(MEMORY_FILES), State.OK if enough else State.NOTE, found, meaning, "" if enough else _SHM_FIX)


def _disk() -> Check:
    meaning = "Finished pieces of video are kept here, for the next render of the same video."
    folder = default_cells()
    there = next(parent for parent in (folder, *folder.parents) if parent.exists())
    free = shutil.disk_usage(there).free
    found = f"{free / 1e9:,.1f} GB free in {folder}"
    fix = "Free some space, or render with --cells on another disk."
    if not os.access(there, os.W_OK):
        return Check("Disk", State.NOTE, f"{there} cannot be written", meaning, fix)
    if free < LITTLE_DISK_BYTES:
        return Check("Disk", State.NOTE, found, meaning, fix)
    return Check("Disk", State.OK, found, meaning)


def _s3(name: str, ask: Callable[[], str]) -> Check:
    try:
        found, state, fix = ask(), State.OK, ""
    except RenderError as error:
        found, state, fix = error.message, State.NOTE, error.hint
    return Check(name, state, found, "Videos, scenarios and outputs may be s3:// addresses.", fix)


def _storage_profiles() -> list[Check]:
    try:
        return [_s3(f"S3, {profile.name}", partial(ask_s3, profile)) for profile in profiles().root]
    except ValueError as error:
        return [Check("Storage profiles", State.NOTE, str(error), "Named places for results.", "docs/storage.md")]


def _said(command: list[str]) -> str:
    """Return what a program prints, or nothing if it does not start or takes too long."""
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=TRY_SECONDS, check=False).stdout
    except (OSError, subprocess.TimeoutExpired, UnicodeDecodeError):
        return ""
