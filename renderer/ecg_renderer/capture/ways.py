"""Which capture way to use: the fastest one that gives the reference's pictures, by trial and not by belief.

    canvas  ->  beginframe  ->  screenshot (the reference itself)

A way that fails, or differs on the sampled frames, is left for the next, with a note that says why. That a way passed
is remembered for this browser, page and kind of scene (ECG_SELFCHECK=always: check anew; never: trust the fast way).
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Protocol

from ecg_renderer.browser import BrowserLauncher
from ecg_renderer.capture.canvas import CanvasCapture
from ecg_renderer.capture.patches import BoxOutgrownError, Capture, CaptureStatistics
from ecg_renderer.capture.restarting import RestartingCapture
from ecg_renderer.capture.selfcheck import CheckResult, check_way, frames_to_check, frames_to_measure
from ecg_renderer.chromium import COMMON_ARGUMENTS
from ecg_renderer.colour import Conversion
from ecg_renderer.errors import BrowserError, FrameTimeout
from ecg_renderer.model import CaptureWay, Film, SelfCheck, around, kind_of
from ecg_renderer.served import page_hash

log = logging.getLogger(__name__)


class Verdicts(Protocol):
    """Where it is remembered that a way passed its check."""

    async def recall(self, name: str) -> bytes | None:
        """Return what was noted under that name, or None."""

    async def note(self, name: str, data: bytes) -> None:
        """Remember something, if that can be done."""


class CaptureSettings(Protocol):
    """How pictures are captured; `ecg_renderer.request.Settings` is it."""

    @property
    def capture(self) -> CaptureWay | None:
        """The way to capture; None for the fastest that passes its check."""

    @property
    def stages(self) -> int:
        """How many stages a canvas has."""

    @property
    def frame_timeout(self) -> float:
        """Seconds without a sign of life after which a browser is replaced."""

    @property
    def selfcheck(self) -> SelfCheck:
        """When the fast ways are compared with the reference."""


@dataclass(frozen=True)
class CaptureChoice:
    """The capture to use, ready, and what a person should know about how it was chosen."""

    capture: Capture
    notes: list[str]


@dataclass(frozen=True)
class _Request:
    film: Film
    conversion: Conversion | None
    settings: CaptureSettings
    launcher: BrowserLauncher
    verdicts: Verdicts


@asynccontextmanager
async def open_capture(
    film: Film, conversion: Conversion | None, settings: CaptureSettings, launcher: BrowserLauncher, verdicts: Verdicts
) -> AsyncIterator[CaptureChoice]:
    """Open the capture that `settings` ask for, or the fastest that passes its check; close it at the end.

    Args:
        film: what to lay out first; the check takes its samples from it.
        conversion: to yuva420p planes; None for RGBA.
        settings: a way that is given is used as it is, without a check.
        launcher: starts browsers.
        verdicts: remembers that a way passed.

    Raises:
        BrowserError, FrameTimeout: no browser, or none that can load the captions.
    """
    request = _Request(film, conversion, settings, launcher, verdicts)
    way = settings.capture
    async with AsyncExitStack() as stack:
        if way is None:
            choice = await _choose(request, stack)
        else:
            if way is not CaptureWay.CANVAS:
                await launcher.close()  # a browser that was warmed for the canvas
            choice = CaptureChoice(await stack.enter_async_context(_capture(way, request)), [])
        yield choice


async def _choose(request: _Request, stack: AsyncExitStack) -> CaptureChoice:
    doubts: list[str] = []
    for way in (CaptureWay.CANVAS, CaptureWay.BEGINFRAME):
        async with AsyncExitStack() as trial:
            try:
                capture = await trial.enter_async_context(_capture(way, request))
                doubt = await _doubt(capture, request)
            except (BrowserError, FrameTimeout, BoxOutgrownError) as error:
                doubt = str(error)
            if not doubt:
                await stack.enter_async_context(trial.pop_all())
                return CaptureChoice(capture, _notes(way, doubts))
            doubts.append(f"{way}: {doubt.rstrip('.')}")
    reference = _capture(CaptureWay.SCREENSHOT, request)
    return CaptureChoice(await stack.enter_async_context(reference), _notes(CaptureWay.SCREENSHOT, doubts))


def _notes(way: CaptureWay, doubts: list[str]) -> list[str]:
    if not doubts:
        return []
    return [f"Captions are captured by {way}, a slower way. Why: {'; '.join(doubts)}."]


def _capture(way: CaptureWay, request: _Request) -> RestartingCapture:
    film, conversion, frame_timeout = request.film, request.conversion, request.settings.frame_timeout
    match way:
        case CaptureWay.CANVAS:
            stages = request.settings.stages
            return CanvasCapture(request.launcher, film, conversion, stages=stages, frame_timeout=frame_timeout)
        case CaptureWay.BEGINFRAME:
            # Imported when it is needed: most runs start faster without it.
            from ecg_renderer.capture.stepwise import BeginFrameCapture

            return BeginFrameCapture(film, conversion, frame_timeout=frame_timeout)
        case CaptureWay.SCREENSHOT:
            from ecg_renderer.capture.stepwise import ScreenshotCapture

            return ScreenshotCapture(film, conversion, frame_timeout=frame_timeout)


async def _doubt(capture: RestartingCapture, request: _Request) -> str:
    """Return why `capture` should not be used; nothing if all is well."""
    policy, frames = request.settings.selfcheck, frames_to_check(request.film)
    if policy is SelfCheck.NEVER or not frames:
        return ""
    verdict = f"selfcheck/{check_key(capture.way, capture.browser_version, request.film)}.json"
    if policy is SelfCheck.CACHED and await request.verdicts.recall(verdict) is not None:
        return ""
    result = await _check(capture, request, frames)
    capture.statistics = CaptureStatistics()
    if not result.passed:
        return result.detail
    log.info("Capture by %s: %s.", capture.way, result.detail)
    if result.pixels:
        facts = {"maxDifference": result.max_difference, "frames": result.frames, "pixels": result.pixels}
        await request.verdicts.note(verdict, json.dumps(facts).encode())
    return ""


async def _check(capture: RestartingCapture, request: _Request, frames: list[int]) -> CheckResult:
    conversion, film = request.conversion, request.film
    async with _capture(CaptureWay.SCREENSHOT, request) as reference:
        box = around(await reference.measure(frames_to_measure(frames)))
        if box:  # screenshots of what matters take a fraction of the time
            with suppress(BoxOutgrownError):
                return await check_way(capture, reference, film.blocks, frames, box=box, conversion=conversion)
        return await check_way(capture, reference, film.blocks, frames, box=film.whole, conversion=conversion)


def check_key(way: CaptureWay, browser_version: str, film: Film) -> str:
    """Return what a verdict depends on, as a hash: browser, our page, layout, size, the kind of film."""
    parts = [
        way,
        browser_version,
        page_hash(),
        *COMMON_ARGUMENTS,
        f"{film.width}x{film.height} {film.preview_layout}",
        *(film.kind or kind_of(film.scenario, film.modules)),
    ]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
