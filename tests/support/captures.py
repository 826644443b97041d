"""A small film, the capture ways on it, and the pictures they give, frame by frame.

shot = film(2.0)                          a film with every plugin in it
async with open_way("canvas", shot) as capture:
    pictures = await pictures_of(capture, shot.blocks, shot.whole)   {frame: RGBA} for every frame
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray

import processes
from captions import talk
from ecg_renderer.browser import Browser, BrowserLauncher, Page
from ecg_renderer.capture.canvas import CanvasCapture
from ecg_renderer.capture.patches import Capture, RgbaPicture
from ecg_renderer.capture.restarting import RestartingCapture
from ecg_renderer.capture.stepwise import BeginFrameCapture, ScreenshotCapture
from ecg_renderer.colour import Conversion
from ecg_renderer.model import Area, Block, CaptureWay, Film, FrameGrid, FrameRange
from ecg_renderer.planning import Activity, film_of
from ecg_renderer.scenario import PluginRules, draft
from ecg_renderer.served import Fetched, PluginModule, known_plugins

Json = dict[str, Any]
Picture = NDArray[np.uint8]

EVERY_PLUGIN = tuple(known_plugins())
PATIENCE = 30.0


def frames_of(film: Film) -> list[int]:
    """Return the frames on which a caption can be alive."""
    return [frame for block in film.blocks for frame in range(block.frames.start, block.frames.end)]


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
    cell_frames: int | None = None,
    captions: Json | None = None,
    modules: Sequence[PluginModule] = (),
) -> Film:
    """Return a film of `captions`, or of cues of four words and 0.8 s, as a plan with such cells makes it.

    `modules` are plugins that an origin gave.
    """
    grid = FrameGrid(Fraction(rate), round(seconds * Fraction(rate)))
    raw = captions or talk(seconds, plugins=plugins)
    fetched = {module.key: module for module in modules}
    written = draft(raw, duration=seconds, rate=grid.rate)
    prepared = written.prepared(PluginRules(known_plugins(), "static", Fetched(fetched).schemas if fetched else None))
    activity = Activity.of(prepared.cues, grid)
    whole = FrameRange(0, grid.frames)
    return film_of(
        prepared,
        whole,
        grid,
        activity,
        size=size,
        cell_frames=cell_frames or grid.frames,
        preview_layout=False,
        modules=fetched,
    )


def cut(shot: Film, count: int) -> Film:
    """Return `shot` with its frames in about `count` blocks of equal length, each replayed from the first frame."""
    frames = frames_of(shot)
    borders = [frames[len(frames) * index // count] for index in range(count)] + [frames[-1] + 1]
    return replace(shot, blocks=tuple(block(start, end, frames[0]) for start, end in itertools.pairwise(borders)))


def block(start: int, end: int, replay_from: int = 0) -> Block:
    """Return a block; before it everything from `replay_from` on is replayed."""
    return Block(FrameRange(replay_from, end)).from_frame(start)


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
            return CanvasCapture(launcher, shot, conversion, stages=stages, frame_timeout=frame_timeout, ring=ring)
        case CaptureWay.BEGINFRAME:
            return BeginFrameCapture(shot, conversion, frame_timeout=frame_timeout)
        case CaptureWay.SCREENSHOT:
            screenshots = TamperedScreenshots(shot, conversion, frame_timeout=frame_timeout)
            if isinstance(launcher, Tampering):
                screenshots.script = launcher.script
            return screenshots


async def pictures_of(capture: Capture, blocks: Sequence[Block], area: Area) -> dict[int, Picture]:
    """Return the picture of every frame of `blocks`, put together from patches as a render does it."""
    picture = RgbaPicture(area.width, area.height)
    found: dict[int, Picture] = {}
    shown: Picture | None = None
    frames = iter([frame for block in blocks for frame in range(block.frames.start, block.frames.end)])
    frame = next(frames)
    async for patch in capture.patches(list(blocks), area):
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
    for process in processes.of_this_test():
        try:
            command = process.cmdline()
        except psutil.Error:
            continue
        kinds = [word.removeprefix("--type=") for word in command if word.startswith("--type=")]
        is_browser = any(word.startswith("--user-data-dir=") for word in command)
        if kinds == [kind] if kind else is_browser and not kinds:
            found.append(process)
    return found
