"""A small scene, the capture ways on it, and the pictures they give, frame by frame.

shot = film(2.0)                          a scene with every plugin in it, and its blocks
async with open_way("canvas", shot) as capture:
    pictures = await pictures_of(capture, shot.blocks, shot.box)   {frame: RGBA} for every frame
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np
import psutil
from ecg_renderer.capture.scene import Scene
from numpy.typing import NDArray

from captions import talk
from ecg_renderer.browser import Browser, BrowserLauncher, Page
from ecg_renderer.capture.beginframe import BeginFrameCapture
from ecg_renderer.capture.canvas import CanvasCapture
from ecg_renderer.capture.patches import Block, Capture
from ecg_renderer.capture.restarting import RestartingCapture
from ecg_renderer.capture.screenshot import ScreenshotCapture
from ecg_renderer.colour import Conversion
from ecg_renderer.model import Box, CaptureWay, FrameGrid, FrameRange
from ecg_renderer.picture import RgbaPicture
from ecg_renderer.planning import capture_blocks
from ecg_renderer.plugins import known_plugins
from ecg_renderer.scenario import prepare

Json = dict[str, Any]
Picture = NDArray[np.uint8]

EVERY_PLUGIN = tuple(known_plugins())
PATIENCE = 30.0


@dataclass(frozen=True)
class Film:
    """A scene and the blocks of frames in which it shows captions; `box` is the whole picture."""

    scene: Scene
    blocks: list[Block]

    @property
    def box(self) -> Box:
        return Box(0, 0, self.scene.width, self.scene.height)

    @property
    def frames(self) -> list[int]:
        return [frame for block in self.blocks for frame in range(block.frames.start, block.frames.end)]


class Tampering(BrowserLauncher):
    """Starts browsers in whose pages a script runs first."""

    def __init__(self, script: str) -> None:
        super().__init__()
        self.script = script

    async def start(self) -> Browser:
        browser = await super().start()
        open_page = browser.open_page

        async def open_and_tamper(width: int, height: int) -> Page:
            page = await open_page(width, height)
            await page.evaluate(self.script)
            return page

        browser.open_page = open_and_tamper  # type: ignore[method-assign]
        return browser


class TamperedScreenshots(ScreenshotCapture):
    """Screenshots of a page in which a script ran."""

    script = "() => {}"

    async def _open(self) -> None:
        await super()._open()
        await self._call(self.script, None)


def film(
    seconds: float = 1.6,
    *,
    plugins: tuple[str, ...] = EVERY_PLUGIN,
    size: tuple[int, int] = (640, 360),
    rate: str = "30",
    longest: int = 90,
    captions: Json | None = None,
) -> Film:
    """Return a film of `captions`, or of cues of four words and 0.8 s, with blocks of at most `longest` frames."""
    grid = FrameGrid(Fraction(rate), round(seconds * Fraction(rate)))
    raw = captions or talk(seconds, plugins=plugins)
    prepared = prepare(raw, duration=seconds, rate=grid.rate, known_plugins=known_plugins())
    scene = Scene(prepared.data, tuple(sorted(prepared.plugins)), *size, grid.rate)
    return Film(scene, capture_blocks(FrameRange(0, grid.frames), prepared.cues, grid, longest=longest))


def cut(shot: Film, count: int) -> Film:
    """Return `shot` with its frames in about `count` blocks of equal length, each with its own pre-roll from 0."""
    frames = shot.frames
    borders = [frames[len(frames) * index // count] for index in range(count)] + [frames[-1] + 1]
    pairs = itertools.pairwise(borders)
    return replace(shot, blocks=[Block(FrameRange(start, end), frames[0]) for start, end in pairs])


def open_way(
    way: str,
    shot: Film,
    *,
    conversion: Conversion | None = None,
    stages: int = 1,
    ring: bool = True,
    frame_timeout: float = PATIENCE,
    launcher: BrowserLauncher | None = None,
) -> RestartingCapture:
    """Return a capture, not yet open."""
    launcher = launcher or BrowserLauncher()
    match CaptureWay(way):
        case CaptureWay.CANVAS:
            return CanvasCapture(
                launcher, shot.scene, conversion, stages=stages, frame_timeout=frame_timeout, ring=ring
            )
        case CaptureWay.BEGINFRAME:
            return BeginFrameCapture(shot.scene, conversion, frame_timeout=frame_timeout)
        case CaptureWay.SCREENSHOT:
            screenshots = TamperedScreenshots(shot.scene, conversion, frame_timeout=frame_timeout)
            if isinstance(launcher, Tampering):
                screenshots.script = launcher.script
            return screenshots


async def pictures_of(capture: Capture, blocks: list[Block], box: Box) -> dict[int, Picture]:
    """Return the picture of every frame of `blocks`, put together from patches as the pipeline does it."""
    picture = RgbaPicture(box.width, box.height)
    found: dict[int, Picture] = {}
    shown: Picture | None = None
    frames = iter([frame for block in blocks for frame in range(block.frames.start, block.frames.end)])
    frame = next(frames)
    async for patch in capture.patches(blocks, box):
        if patch.proof:
            continue
        while frame < patch.frame:
            assert shown is not None, f"no picture for frame {frame}"
            found[frame] = shown
            frame = next(frames)
        picture.apply(patch.box, patch.pixels)
        shown = picture.pixels.copy()
    assert shown is not None, "no pictures"
    found[frame] = shown
    found.update(dict.fromkeys(frames, shown))
    return found


def differing(one: dict[int, Picture], other: dict[int, Picture]) -> list[int]:
    """Return the frames whose pictures are not the same bytes."""
    assert one.keys() == other.keys()
    return [frame for frame in one if not np.array_equal(one[frame], other[frame])]


def distinct(pictures: dict[int, Picture]) -> int:
    """Return how many different pictures there are."""
    return len({picture.tobytes() for picture in pictures.values()})


def browser_processes(kind: str | None) -> list[psutil.Process]:
    """Return the processes of the browsers that this test runs: of a kind ("renderer"), or (None) the main ones."""
    found = []
    for process in psutil.Process().children(recursive=True):
        try:
            command = process.cmdline()
        except psutil.Error:
            continue
        kinds = [word.removeprefix("--type=") for word in command if word.startswith("--type=")]
        is_browser = any(word.startswith("--user-data-dir=") for word in command)
        if kinds == [kind] if kind else is_browser and not kinds:
            found.append(process)
    return found
