"""A browser that dies or hangs is replaced, and the pictures are those of an undisturbed run."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

import processes
from captures import Picture, Tampering, browser_processes, cut, differing, film, open_way, pictures_of
from ecg_renderer import chromium
from ecg_renderer.browser import Browser, BrowserLauncher
from ecg_renderer.capture import canvas
from ecg_renderer.capture.canvas import CanvasCapture
from ecg_renderer.capture.patches import BoxOutgrownError, Patch
from ecg_renderer.capture.restarting import RESTARTS, RestartingCapture
from ecg_renderer.chromium import PROFILE_PREFIX, make_profile, remove_profile
from ecg_renderer.errors import BrowserError, FrameTimeout
from ecg_renderer.model import Block, Box, CaptureWay, Film

FRAME_TIMEOUT = 1.5
FRAME_TIMEOUT_OF_THE_PATIENT = 150.0
AFTER_PATCHES = 5
SIZE = (320, 180)


@pytest.fixture(scope="module")
def shot() -> Film:
    return cut(film(1.2, size=SIZE), 2)


@pytest.fixture(scope="module")
def undisturbed(shot: Film) -> dict[int, Picture]:
    return asyncio.run(capture_disturbed(shot, "canvas", nothing))[0]


@pytest.fixture(scope="module")
def short(shot: Film) -> Film:
    return replace(shot, blocks=cut(shot, 4).blocks[:1])


@pytest.fixture(scope="module")
def short_undisturbed(short: Film) -> dict[str, dict[int, Picture]]:
    """By capture way."""
    return {way: asyncio.run(capture_disturbed(short, way, nothing))[0] for way in CaptureWay}


@pytest.fixture(autouse=True)
def as_much_patience_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(canvas, "LOAD_SECONDS", canvas.LOAD_SECONDS)


def lose_patience(capture: RestartingCapture) -> None:
    """Have little patience with the browser of now, and as much as ever with the next, which may only be slow."""
    impatient: Any = capture
    patience, load, replace = impatient._frame_timeout, canvas.LOAD_SECONDS, impatient._replace_browser

    async def replaced() -> None:
        impatient._frame_timeout, canvas.LOAD_SECONDS = patience, load
        await replace()

    impatient._frame_timeout = canvas.LOAD_SECONDS = FRAME_TIMEOUT
    impatient._replace_browser = replaced


STOP_AFTER_PAINTS = """() => {
    const { requestPaint } = HTMLCanvasElement.prototype;
    let left = %d;
    HTMLCanvasElement.prototype.requestPaint = function () { if (left-- > 0) requestPaint.call(this); };
}""" % (2 * AFTER_PATCHES)  # noqa: UP031 - braces are JavaScript's


class Waiting(Tampering):
    """Starts browsers whose canvas is not done before something happens to it, however late that is: `times` of them.

    What step by step is asked for a picture waits anyway.
    """

    def __init__(self, times: int) -> None:
        super().__init__(STOP_AFTER_PAINTS)
        self._times = times

    async def start(self) -> Browser:
        self._times -= 1
        return await (super().start() if self._times >= 0 else BrowserLauncher.start(self))


Disturb = Callable[[RestartingCapture], None]


class Disturbed:
    """A capture in which something happens once, after a few patches."""

    def __init__(self, capture: RestartingCapture, disturb: Disturb, times: int) -> None:
        self._capture = capture
        self._disturb = disturb
        self._times = times
        self.way = capture.way
        self.statistics = capture.statistics

    async def patches(self, blocks: list[Block], box: Box) -> AsyncIterator[Patch]:
        count = 0
        async for patch in self._capture.patches(blocks, box):
            count += 1
            yield patch
            if count % AFTER_PATCHES == 0 and count // AFTER_PATCHES <= self._times:
                self._disturb(self._capture)

    async def measure(self, frames: list[int]) -> Box | None:
        return await self._capture.measure(frames)

    async def send_whole_boxes(self) -> None:
        await self._capture.send_whole_boxes()


async def capture_disturbed(
    shot: Film, way: str, disturb: Disturb, *, ring: bool = True, times: int = 1
) -> tuple[dict[int, Picture], int]:
    """Return the pictures, and how often the browser was started again."""
    launcher = BrowserLauncher() if disturb is nothing else Waiting(times)
    async with open_way(way, shot, ring=ring, launcher=launcher) as capture:
        pictures = await pictures_of(Disturbed(capture, disturb, times), shot.blocks, shot.whole)
        return pictures, capture.statistics.restarts


def nothing(_: RestartingCapture) -> None:
    """Let it work."""


def kill_page(_: RestartingCapture) -> None:
    processes.kill(browser_processes("renderer"))


def kill_browser(_: RestartingCapture) -> None:
    processes.kill(browser_processes(None))


def freeze_page(capture: RestartingCapture) -> None:
    lose_patience(capture)
    for process in browser_processes("renderer"):
        process.suspend()


DISTURBANCES = {"its page is killed": kill_page, "it is killed": kill_browser, "its page hangs": freeze_page}


@pytest.mark.parametrize("ring", [True, False], ids=["shared memory", "debugging protocol"])
@pytest.mark.parametrize("happens", DISTURBANCES)
def test_the_canvas_goes_on_when(happens: str, ring: bool, shot: Film, undisturbed: dict[int, Picture]) -> None:
    pictures, restarts = asyncio.run(capture_disturbed(shot, "canvas", DISTURBANCES[happens], ring=ring))

    assert restarts == 1
    assert differing(pictures, undisturbed) == []


@pytest.mark.parametrize("way", ["beginframe", "screenshot"])
@pytest.mark.parametrize("happens", DISTURBANCES)
def test_capturing_step_by_step_goes_on_when(
    happens: str, way: str, short: Film, short_undisturbed: dict[str, dict[int, Picture]]
) -> None:
    pictures, restarts = asyncio.run(capture_disturbed(short, way, DISTURBANCES[happens]))

    assert restarts == 1
    assert differing(pictures, short_undisturbed[way]) == []


@pytest.mark.parametrize(("way", "ring"), [("canvas", True), ("canvas", False), ("beginframe", False)])
def test_a_death_is_noticed_long_before_the_frame_timeout(way: str, ring: bool, shot: Film) -> None:
    async def seconds() -> float:
        patience = FRAME_TIMEOUT_OF_THE_PATIENT
        async with open_way(way, shot, ring=ring, frame_timeout=patience, launcher=Waiting(1)) as capture:
            began = time.monotonic()
            await pictures_of(Disturbed(capture, kill_page, 1), shot.blocks, shot.whole)
            return time.monotonic() - began

    assert asyncio.run(seconds()) < FRAME_TIMEOUT_OF_THE_PATIENT / 2


def test_a_browser_that_keeps_dying_is_given_up() -> None:
    long = cut(film(12.0, size=SIZE), 6)  # so that there is always something left to draw

    with pytest.raises(BrowserError, match=r"caption page|Chromium"):
        asyncio.run(capture_disturbed(long, "canvas", kill_page, times=RESTARTS + 1))


def test_a_page_that_keeps_hanging_ends_with_a_timeout(shot: Film) -> None:
    with pytest.raises(FrameTimeout, match=r"1\.5 s"):
        asyncio.run(capture_disturbed(shot, "beginframe", freeze_page, times=RESTARTS + 1))


# What is done again after a restart is one code for all ways, and the tests above have every way with everything that
# happens: these have each of both once.
@pytest.mark.parametrize(
    ("happens", "way"), list(zip(DISTURBANCES, ["screenshot", "beginframe", "canvas"], strict=True))
)
def test_measuring_goes_on_when(happens: str, way: str, short: Film) -> None:
    async def measured() -> tuple[list[Box], list[Box], int]:
        async with open_way(way, short) as capture:
            undisturbed = await capture.measure([0, 4, 8])
            DISTURBANCES[happens](capture)
            return undisturbed, await capture.measure([0, 4, 8]), capture.statistics.restarts

    wanted, found, restarts = asyncio.run(measured())

    assert wanted
    assert (found, restarts) == (wanted, 1)


@pytest.mark.parametrize("happens", ["its page is killed", "it is killed"])
def test_the_first_captions_are_laid_out_although(
    happens: str, short: Film, short_undisturbed: dict[str, dict[int, Picture]], monkeypatch: pytest.MonkeyPatch
) -> None:
    load, loads = CanvasCapture._load, []

    async def disturbed(self: CanvasCapture) -> None:
        loads.append(self)
        if len(loads) == 1:
            DISTURBANCES[happens](self)
        await load(self)

    monkeypatch.setattr(CanvasCapture, "_load", disturbed)
    pictures, restarts = asyncio.run(capture_disturbed(short, "canvas", nothing))

    assert restarts == 1
    assert differing(pictures, short_undisturbed["canvas"]) == []


@pytest.mark.parametrize(
    ("happens", "way"), list(zip(DISTURBANCES, ["canvas", "screenshot", "beginframe"], strict=True))
)
def test_another_film_is_laid_out_although(
    happens: str, way: str, short: Film, short_undisturbed: dict[str, dict[int, Picture]]
) -> None:
    other = film(0.8, plugins=("fadein",), size=SIZE)

    async def shown() -> tuple[dict[int, Picture], dict[int, Picture], int]:
        async with open_way(way, other) as capture:
            first = await pictures_of(capture, other.blocks[:1], other.whole)
            DISTURBANCES[happens](capture)
            await capture.show(short)
            return first, await pictures_of(capture, short.blocks, short.whole), capture.statistics.restarts

    first, pictures, restarts = asyncio.run(shown())

    assert restarts == 1
    assert differing({frame: first[frame] for frame in pictures}, pictures) != [], "nothing was laid out anew"
    assert differing(pictures, short_undisturbed[way]) == []


@pytest.mark.parametrize("way", ["canvas", "beginframe", "screenshot"])
def test_a_caption_that_reaches_out_of_the_box_is_not_cut_off(way: str, shot: Film) -> None:
    async def outgrown() -> BoxOutgrownError:
        async with open_way(way, shot) as capture:
            [first] = await capture.measure([0])
            with pytest.raises(BoxOutgrownError) as caught:
                await pictures_of(capture, shot.blocks, first)
            assert not first.contains(caught.value.box)
            whole = await pictures_of(capture, shot.blocks[:1], shot.whole)  # and the capture is still good
            assert whole[0].any()
            return caught.value

    error = asyncio.run(outgrown())

    assert 0 < error.frame < 36
    assert Box(0, 0, *SIZE).contains(error.box)


HOLD_A_BROWSER = """
    import asyncio, os, sys
    from captures import film, open_way

    async def main():
        async with open_way(sys.argv[1], film(0.4)) as capture:
            print("open", flush=True)
            await asyncio.sleep(60)

    asyncio.run(main())
"""


def words_of(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:  # it has ended meanwhile
        return []


@pytest.mark.parametrize("way", ["canvas", "beginframe"])
def test_when_the_renderer_is_killed_chromium_ends_and_the_next_one_clears_up(way: str, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", textwrap.dedent(HOLD_A_BROWSER), way]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=tmp_path, env=environment) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"open\n"
        started = psutil.Process(holder.pid).children(recursive=True)
        assert any("--type=renderer" in word for process in started for word in words_of(process))

        holder.send_signal(signal.SIGKILL)

    _, alive = psutil.wait_procs(started, timeout=60)
    assert [processes.describe(process) for process in alive] == []

    deadline = time.monotonic() + 6 * chromium.AFTERLIFE_SECONDS
    while True:
        ours = make_profile()
        remove_profile(ours)
        if not (left := list(ours.parent.glob(f"{PROFILE_PREFIX}{holder.pid}-*"))) or time.monotonic() > deadline:
            break
        time.sleep(0.5)
    assert left == []
