"""Caption pictures out of Chromium, by the fastest way that gives the reference's: by trial and not by belief.

    canvas  ->  beginframe  ->  screenshot (the reference itself)

All give the same patches; they differ in speed. A way that fails, or differs on the sampled frames, is left for the
next, with a note that says why. That a way passed is remembered for this browser, page and kind of scene
(ECG_SELFCHECK=always: check anew; never: trust the fast way).

patches      what every way yields, and the pictures that it adds up to
restarting   what all ways share: a browser that fails is replaced
canvas       the fast way
stepwise     the two others, a picture at a time
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ecg_renderer.browser import BrowserLauncher
from ecg_renderer.capture.canvas import CanvasCapture
from ecg_renderer.capture.patches import BoxOutgrownError, Bytes, Capture, CaptureStatistics, RgbaPicture, YuvaPicture
from ecg_renderer.capture.restarting import RestartingCapture
from ecg_renderer.chromium import COMMON_ARGUMENTS
from ecg_renderer.colour import Conversion
from ecg_renderer.errors import BrowserError, FrameTimeout
from ecg_renderer.model import Area, Block, Box, Boxes, CaptureWay, Film, FrameRange, Notes, SelfCheck, around, kind_of
from ecg_renderer.served import page_hash

log = logging.getLogger(__name__)


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
    verdicts: Notes


@asynccontextmanager
async def open_capture(
    film: Film, conversion: Conversion | None, settings: CaptureSettings, launcher: BrowserLauncher, verdicts: Notes
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
    if way is CaptureWay.CANVAS:
        stages = request.settings.stages
        return CanvasCapture(request.launcher, film, conversion, stages=stages, frame_timeout=frame_timeout)
    # Imported when it is needed: most runs start faster without it.
    from ecg_renderer.capture.stepwise import BeginFrameCapture, ScreenshotCapture

    kind = BeginFrameCapture if way is CaptureWay.BEGINFRAME else ScreenshotCapture
    return kind(film, conversion, frame_timeout=frame_timeout)


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


# --- whether a way gives the same pictures as the reference, here and now, on this very scene -----


TOLERANCE = 3
# Skia snaps the ends of curves to quarters of a pixel. Two ways add up the same position in another order, so now and
# then a curve snaps the other way, and pixels on it differ: up to 100/255, in 1 of 700 pixels of letters 280 px high.
# What is missing, stale or elsewhere differs beside its edges, or in far more pixels.
EDGE_SHARE = 0.01
STRAY_SHARE = 0.0001

_CORNER = Box(0, 0, 2, 2)
"""Another part, as good as none: with it, a canvas packs what it captures."""
PATCHED_FRAMES = 2
LONGEST_REPLAY = 90
# For one picture, not for all: on a busy machine the check takes its time, and a slower way would make it busier.
PICTURE_SECONDS = 20.0

Plane = NDArray[np.int16]


@dataclass(frozen=True)
class Comparison:
    """How far two pictures are apart.

    Attributes:
        worst: the largest difference of two components, of 255, colours weighed by their opacity.
        edges: how many pixels differ by more than `TOLERANCE` (of the component where they are most).
        strays: those of them that are not on an edge: beyond what the reference has around them.
        pixels: how many are visible in either picture.
    """

    worst: int
    edges: int
    strays: int
    pixels: int

    @property
    def same(self) -> bool:
        """Whether the pictures are the same, but for edges."""
        return self.edges <= EDGE_SHARE * self.pixels and self.strays <= STRAY_SHARE * self.pixels

    def __str__(self) -> str:
        share = f"{self.edges} of {self.pixels} visible pixels by more than {TOLERANCE}/255"
        return f"{self.worst}/255 apart at most, {share}, {self.strays} of them not on an edge"


@dataclass(frozen=True)
class CheckResult:
    """What came of comparing two ways.

    Attributes:
        max_difference: the largest of all frames, of 255.
        frames: the frames compared.
        pixels: how many visible pixels were compared.
        passed: whether all pictures are the same, but for edges.
        detail: the same for people.
    """

    max_difference: int
    frames: tuple[int, ...]
    pixels: int
    passed: bool
    detail: str


async def check_way(
    candidate: Capture,
    reference: Capture,
    blocks: Sequence[Block],
    frames: list[int],
    *,
    box: Box,
    conversion: Conversion | None,
) -> CheckResult:
    """Compare the pictures of `frames` (ascending, each in one of `blocks`) that two captures give of `box`.

    The candidate goes a few frames ahead of each, so that its patches are part of the proof; a canvas shows `box` also
    as one of two parts. Both captures were made with `conversion`. Errors of either are not caught.
    """
    areas: list[Area] = [box, Boxes((_CORNER, box))] if candidate.way is CaptureWay.CANVAS else [box]
    worst, pixels = 0, 0
    for index, frame in enumerate(frames):
        block = next(block for block in blocks if block.frames.start <= frame < block.frames.end)
        wanted = await _picture(reference, _ending_with(frame, block, 0), box, conversion)
        for area in areas:
            try:
                async with asyncio.timeout(PICTURE_SECONDS):
                    found = await _picture(candidate, _ending_with(frame, block, PATCHED_FRAMES), area, conversion)
            except TimeoutError:
                detail = f"its picture of frame {frame} took more than {PICTURE_SECONDS:g} s"
                return CheckResult(worst, tuple(frames[: index + 1]), pixels, False, detail)
            comparison = compare(found, wanted, box, conversion)
            worst, pixels = max(worst, comparison.worst), pixels + comparison.pixels
            if not comparison.same:
                packed = "" if area == box else ", captured in parts,"
                detail = f"its picture of frame {frame}{packed} is not the reference's ({comparison})"
                return CheckResult(worst, tuple(frames[: index + 1]), pixels, False, detail)
    detail = f"at most {worst}/255 from the reference on frames {', '.join(map(str, frames))}"
    return CheckResult(worst, tuple(frames), pixels, True, detail)


def compare(found: Bytes, wanted: Bytes, box: Box, conversion: Conversion | None) -> Comparison:
    """Compare two flat pictures of `box`, RGBA or (with `conversion`) yuva420p.

    Colours are weighed by opacity: what colour a transparent pixel has does not count.
    """
    planes = _planes if conversion is None else _yuva_planes
    black = conversion.black if conversion else 0
    pairs = list(zip(planes(found, box, black), planes(wanted, box, black), strict=True))
    differences = [_difference(one, other) for one, other in pairs]
    alphas = pairs[-1]
    return Comparison(
        worst=max(worst for worst, _, _ in differences),
        edges=max(edges for _, edges, _ in differences),
        strays=max(strays for _, _, strays in differences),
        pixels=int(((alphas[0] | alphas[1]) > 0).sum()),
    )


def _difference(found: Plane, wanted: Plane) -> tuple[int, int, int]:
    """Return the largest difference, and how many values differ by too much: all, and those not on an edge."""
    apart = np.abs(found - wanted)
    rows, columns = np.nonzero(apart > TOLERANCE)
    padded = np.pad(wanted, 1, mode="edge")
    beside = np.stack([padded[rows + down, columns + right] for down in range(3) for right in range(3)])
    values = found[rows, columns]
    beyond = (values > beside.max(axis=0) + TOLERANCE) | (values < beside.min(axis=0) - TOLERANCE)
    return int(apart.max(initial=0)), len(rows), int(beyond.sum())


def _planes(flat: Bytes, box: Box, _black: int) -> list[Plane]:
    rgba = flat.reshape(box.height, box.width, 4)
    alpha = rgba[..., 3]
    return [*(_weighed(rgba[..., colour], alpha, 0) for colour in range(3)), alpha.astype(np.int16)]


def _yuva_planes(flat: Bytes, box: Box, black: int) -> list[Plane]:
    luma, chroma = box.area, box.area // 4
    y, u, v, alpha = np.split(flat, [luma, luma + chroma, luma + 2 * chroma])
    whole, half = (box.height, box.width), (box.height // 2, box.width // 2)
    opacity = alpha.reshape(whole)
    means: NDArray[np.float32] = opacity.reshape(half[0], 2, half[1], 2).mean(axis=(1, 3), dtype=np.float32)
    colours = [_weighed(plane.reshape(half), means, 128) for plane in (u, v)]
    return [_weighed(y.reshape(whole), opacity, black), *colours, opacity.astype(np.int16)]


def _weighed(values: Bytes, opacity: Bytes | NDArray[np.float32], zero: int) -> Plane:
    """Return how far `values` are from `zero`, times opacity (of 255)."""
    return np.rint((values.astype(np.float32) - zero) * (opacity.astype(np.float32) / 255)).astype(np.int16)


def _ending_with(frame: int, block: Block, ahead: int) -> Block:
    """Return the part of `block` that ends with `frame` and begins up to `ahead` frames before it."""
    part = block.from_frame(max(block.frames.start, frame - ahead))
    return Block(FrameRange(part.frames.start, frame + 1), part.replay)


async def _picture(capture: Capture, block: Block, area: Area, conversion: Conversion | None) -> Bytes:
    """Return the picture of the last part of `area`, which is the widest, at the end of `block`, flat."""
    above = (area.height - area.parts[-1].height) * area.width
    if conversion:
        planes = YuvaPicture(area.width, area.height, conversion)
        await _apply_patches(planes, capture, block, area)
        luma = area.width * area.height
        ends = [luma, luma * 5 // 4, luma * 3 // 2]
        y, u, v, alpha = np.split(np.frombuffer(planes.to_bytes(), np.uint8), ends)
        return np.concatenate([y[above:], u[above // 4 :], v[above // 4 :], alpha[above:]])
    picture = RgbaPicture(area.width, area.height)
    await _apply_patches(picture, capture, block, area)
    return picture.pixels.ravel()[4 * above :]


async def _apply_patches(picture: RgbaPicture | YuvaPicture, capture: Capture, block: Block, area: Area) -> None:
    async for patch in capture.patches([block], area):
        if not patch.proof:
            picture.apply(patch.box, patch.pixels)


def frames_to_check(film: Film) -> list[int]:
    """Choose the frames to compare: the middle of the first and the last captions, and one where a plugin runs.

    Frames before which much would have to be replayed are passed over where there are others.
    """
    near = [block for block in film.blocks if block.replayed <= LONGEST_REPLAY] or film.blocks[:1]
    ends = (*near[:1], *near[-1:])
    middles = {block.frames.start + min(len(block.frames) // 2, LONGEST_REPLAY) for block in ends}
    animated = (round(seconds * film.rate) for seconds in _animation_middles(film.scenario))
    inside = (frame for frame in animated if any(block.frames.start <= frame < block.frames.end for block in near))
    return sorted(middles | set(islice(inside, 1)))


def frames_to_measure(frames: list[int]) -> list[int]:
    """Return the frames that are captured to compare `frames`, ascending."""
    return sorted({max(0, frame - ahead) for frame in frames for ahead in range(PATCHED_FRAMES + 1)})


def _animation_middles(scenario: dict[str, Any]) -> Iterator[float]:
    """Yield when plugins are about in the middle of their time, in seconds, cue by cue."""
    waiting = [cue["root"] for cue in reversed(scenario["cues"])]
    while waiting:
        node = waiting.pop()
        times = node.get("baseTime", node.get("displayTime"))
        if node.get("pluginChain") and times:
            yield (times[0] + times[1]) / 2
        waiting.extend(reversed(node.get("children", ())))
