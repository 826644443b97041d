"""Which capture way to use: the fastest one that gives the reference's pictures, by trial and not by belief.

    canvas  ->  beginframe  ->  screenshot (the reference itself)

A way that fails, or differs on the sampled frames, is left for the next, with a note that says why. That a way passed
is remembered for this browser, page and kind of scene (ECG_SELFCHECK=always: check anew; never: trust the fast way).
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from ecg_common.folders import cache_folder
from ecg_renderer.browser import COMMON_ARGUMENTS, BrowserLauncher, page_hash
from ecg_renderer.capture.canvas import CanvasCapture
from ecg_renderer.capture.patches import Block, BoxOutgrownError, Capture, CaptureStatistics
from ecg_renderer.capture.restarting import RestartingCapture
from ecg_renderer.capture.scene import Scene
from ecg_renderer.capture.selfcheck import CheckResult, check_way, frames_to_measure, sample_frames
from ecg_renderer.colour import Conversion
from ecg_renderer.errors import BrowserError, FrameTimeout, OptionsError
from ecg_renderer.model import Box, CaptureWay

log = logging.getLogger(__name__)

CHECK_SECONDS = 20.0


class SelfCheck(StrEnum):
    """When a fast way is compared with the reference; the values of ECG_SELFCHECK."""

    CACHED = "cached"
    ALWAYS = "always"
    NEVER = "never"


@dataclass(frozen=True)
class CaptureChoice:
    """The capture to use, ready, and what a person should know about how it was chosen."""

    capture: Capture
    notes: list[str]


@dataclass(frozen=True)
class _Request:
    scene: Scene
    conversion: Conversion | None
    stages: int
    frame_timeout: float
    launcher: BrowserLauncher
    blocks: list[Block]


@asynccontextmanager
async def open_capture(
    way: CaptureWay | None,
    scene: Scene,
    conversion: Conversion | None,
    *,
    stages: int,
    frame_timeout: float,
    launcher: BrowserLauncher,
    blocks: list[Block],
) -> AsyncIterator[CaptureChoice]:
    """Open the capture `way`, or (None) the fastest that passes its check; close it at the end.

    Args:
        way: one that is given is used as it is, without a check.
        scene: what to lay out.
        conversion: to yuva420p planes; None for RGBA.
        stages: how many stages a canvas has.
        frame_timeout: seconds without a sign of life after which a browser is replaced.
        launcher: starts browsers.
        blocks: the frames with captions that will be captured, from which the check takes its samples.

    Raises:
        BrowserError, FrameTimeout: no browser, or none that can load the captions.
        OptionsError: ECG_SELFCHECK holds another word.
    """
    request = _Request(scene, conversion, stages, frame_timeout, launcher, blocks)
    async with AsyncExitStack() as stack:
        if way is None:
            choice = await _choose(request, stack)
        else:
            if way is not CaptureWay.CANVAS:
                await launcher.close()  # a browser that was warmed for the canvas
            choice = CaptureChoice(await stack.enter_async_context(_capture(way, request)), [])
        yield choice


async def _choose(request: _Request, stack: AsyncExitStack) -> CaptureChoice:
    policy = check_policy(os.environ.get("ECG_SELFCHECK", ""))
    doubts: list[str] = []
    for way in (CaptureWay.CANVAS, CaptureWay.BEGINFRAME):
        async with AsyncExitStack() as trial:
            try:
                async with asyncio.timeout(CHECK_SECONDS):
                    capture = await trial.enter_async_context(_capture(way, request))
                    doubt = await _doubt(capture, request, policy)
            except (BrowserError, FrameTimeout, BoxOutgrownError) as error:
                doubt = str(error)
            except TimeoutError:
                doubt = f"its check took more than {CHECK_SECONDS:g} s"
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
    scene, conversion, frame_timeout = request.scene, request.conversion, request.frame_timeout
    match way:
        case CaptureWay.CANVAS:
            return CanvasCapture(
                request.launcher, scene, conversion, stages=request.stages, frame_timeout=frame_timeout
            )
        case CaptureWay.BEGINFRAME:
            # Imported when it is needed: most runs start faster without it.
            from ecg_renderer.capture.beginframe import BeginFrameCapture

            return BeginFrameCapture(scene, conversion, frame_timeout=frame_timeout)
        case CaptureWay.SCREENSHOT:
            return _reference(request)


def _reference(request: _Request) -> RestartingCapture:
    # Imported when it is needed: Playwright takes longer to load than everything else together.
    from ecg_renderer.capture.screenshot import ScreenshotCapture

    return ScreenshotCapture(request.scene, request.conversion, frame_timeout=request.frame_timeout)


async def _doubt(capture: RestartingCapture, request: _Request, policy: SelfCheck) -> str:
    """Return why `capture` should not be used; nothing if all is well."""
    frames = sample_frames(request.scene, request.blocks)
    if policy is SelfCheck.NEVER or not frames:
        return ""
    verdict = _verdict_file(check_key(capture.way, capture.browser_version, request.scene))
    if policy is SelfCheck.CACHED and verdict.is_file():
        return ""
    result = await _check(capture, request, frames)
    capture.statistics = CaptureStatistics()
    if not result.passed:
        return result.detail
    log.info("Capture by %s: %s.", capture.way, result.detail)
    if result.pixels:
        _remember(verdict, result)
    return ""


async def _check(capture: RestartingCapture, request: _Request, frames: list[int]) -> CheckResult:
    conversion = request.conversion
    async with _reference(request) as reference:
        whole = Box(0, 0, request.scene.width, request.scene.height)
        box = await reference.measure(frames_to_measure(frames))
        if box:  # screenshots of what matters take a fraction of the time
            with suppress(BoxOutgrownError):
                return await check_way(capture, reference, request.blocks, frames, box=box, conversion=conversion)
        return await check_way(capture, reference, request.blocks, frames, box=whole, conversion=conversion)


def check_policy(text: str) -> SelfCheck:
    """Return the policy of that name, "cached" for nothing; raises OptionsError for another word."""
    try:
        return SelfCheck(text or SelfCheck.CACHED)
    except ValueError as error:
        words = ", ".join(SelfCheck)
        raise OptionsError(f"ECG_SELFCHECK is {text!r}.", hint=f"It can be: {words}.") from error


def check_key(way: CaptureWay, browser_version: str, scene: Scene) -> str:
    """Return what a verdict depends on, as a hash: browser, our page, plugins, layout, size, the styles in use."""
    parts = [
        way,
        browser_version,
        page_hash(),
        *COMMON_ARGUMENTS,
        *sorted(scene.plugins),
        f"{scene.width}x{scene.height} {scene.preview_layout}",
        *sorted(set(_style_names(scene.scenario))),
    ]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _style_names(part: Any) -> Iterator[str]:
    """Yield the names of all style properties in a scenario."""
    if isinstance(part, list):
        for item in part:
            yield from _style_names(item)
    elif isinstance(part, dict):
        for name, value in part.items():
            if name.lower().endswith("style") and isinstance(value, dict):
                yield from value
            yield from _style_names(value)


def _verdict_file(key: str) -> Path:
    return cache_folder() / "selfcheck" / f"{key}.json"


def _remember(file: Path, result: CheckResult) -> None:
    text = json.dumps({"maxDifference": result.max_difference, "frames": result.frames, "pixels": result.pixels})
    temporary = file.with_suffix(f".{os.getpid()}")
    with suppress(OSError):  # without a cache, the next run checks again
        file.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(text + "\n")
        temporary.replace(file)
