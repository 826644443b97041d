"""Patches that do not add up to the picture are noticed while rendering, and made up for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from captions import render_job, talk
from captures import Tampering, film, frames_of, open_way
from clips import Clip, counter, frames
from ecg_api.rendering import RenderResult
from ecg_renderer.capture import canvas
from ecg_renderer.capture.patches import Patch, YuvaPicture
from ecg_renderer.capture.restarting import RestartingCapture
from ecg_renderer.colour import Conversion
from ecg_renderer.model import Block, Box, CaptureWay, Film
from ecg_renderer.request import Settings
from renders import rendered

SIZE = (640, 360)
SECONDS = 1.6
PLUGINS = ("cwi-bouncing", "cwi-loud", "elastic", "fadein")
CHECK_EVERY = 7
CONVERSION = Conversion.of("bt601", full_range=False)

# The page believes that only the left half of what changed has changed.
LOSE_HALF = """async () => {
    const { Stage } = await import('/stage.js');
    const changedBoxes = Stage.prototype.changedBoxes;
    Stage.prototype.changedBoxes = function (records) {
        return changedBoxes.call(this, records).map((box) => [box[0], box[1], (box[0] + box[2]) / 2, box[3]]);
    };
}"""
NOTHING = "() => {}"


@pytest.fixture(autouse=True)
def frequent_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(canvas, "CHECK_EVERY", CHECK_EVERY)


@pytest.fixture(scope="module")
def shot() -> Film:
    return film(SECONDS, plugins=PLUGINS, size=SIZE)


def proofs(shot: Film, script: str) -> tuple[list[int], list[int]]:
    """Return the frames of the proofs that hold and of those that do not; whole boxes from the first of these on."""
    held, broken = [], []

    async def run() -> None:
        async with open_way("canvas", shot, conversion=CONVERSION, launcher=Tampering(script)) as capture:
            picture = YuvaPicture(*SIZE, CONVERSION)
            async for patch in capture.patches(list(shot.blocks), shot.whole):
                if not patch.proof:
                    picture.apply(patch.box, patch.pixels)
                elif picture.shows(patch.box, patch.pixels):
                    held.append(patch.frame)
                else:
                    broken.append(patch.frame)
                    await capture.send_whole_boxes()

    asyncio.run(run())
    return held, broken


def test_proofs_hold_where_nothing_is_wrong(shot: Film) -> None:
    held, broken = proofs(shot, NOTHING)

    assert len(held) >= len(frames_of(shot)) * 0.8 // CHECK_EVERY
    assert broken == []


def test_lost_changes_are_noticed_and_whole_boxes_put_them_right(shot: Film) -> None:
    held, broken = proofs(shot, LOSE_HALF)

    assert len(broken) >= 1
    assert broken[0] < 2 * CHECK_EVERY + 2
    assert held
    assert min(held) > max(broken)


def tamper(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Let the patch of that number arrive with a wrong byte."""
    patches = RestartingCapture.patches

    async def tampered(capture: RestartingCapture, blocks: list[Block], box: Box) -> AsyncIterator[Patch]:
        count = 0
        async for patch in patches(capture, blocks, box):
            count += 1
            if count == number:
                pixels = patch.pixels.copy()
                pixels[-1] ^= 255
                patch = Patch(patch.frame, patch.box, pixels, proof=patch.proof)
            yield patch

    monkeypatch.setattr(RestartingCapture, "patches", tampered)


def render(folder: Path, script: str) -> RenderResult:
    """Render the words of `shot` over a clip, in pages in which `script` ran."""
    clip = counter(Clip(width=SIZE[0], height=SIZE[1], frames=round(SECONDS * 30)))
    job = render_job(clip, talk(SECONDS, plugins=PLUGINS), folder / "out.mp4", quality=100)
    return rendered(job, folder, settings=Settings(capture=CaptureWay.CANVAS), launcher=Tampering(script))


def test_a_render_goes_on_with_whole_boxes_and_says_so(tmp_path: Path) -> None:
    (tmp_path / "right").mkdir()
    result = render(tmp_path, LOSE_HALF)
    right = render(tmp_path / "right", NOTHING)

    assert right.warnings == []
    assert len(result.warnings) >= 1
    assert "did not add up" in result.warnings[0]
    found, wanted = frames(Path(result.output)), frames(Path(right.output))
    assert len(found) == len(wanted) == round(SECONDS * 30)
    tail = len(found) // 3
    apart = [float(np.abs(one.astype(int) - other).max()) for one, other in zip(found, wanted, strict=True)]
    assert max(apart[-tail:]) <= 24, "the end is not right again"
    assert max(apart) > 100, "nothing was wrong to begin with"


def test_one_wrong_byte_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tamper(monkeypatch, CHECK_EVERY)

    result = render(tmp_path, NOTHING)

    assert len(result.warnings) == 1
    assert "did not add up" in result.warnings[0]
