"""Patches that do not add up to the picture are noticed while rendering, and made up for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
from ecg_renderer.pipeline import PipelineSettings, SegmentOutcome, StreamingPipeline

from captures import Film, Tampering, film, open_way
from clips import Clip, counter, frames
from ecg_renderer.capture import canvas
from ecg_renderer.capture.patches import Block, Capture, Patch
from ecg_renderer.colour import Conversion
from ecg_renderer.media.arguments import SegmentEncode
from ecg_renderer.model import Box
from ecg_renderer.picture import YuvaPicture
from encodes import probe

SIZE = (640, 360)
SECONDS = 1.6
CHECK_EVERY = 7
CONVERSION = Conversion.of("bt601", full_range=False)

# The page believes that only the left half of what changed has changed.
LOSE_HALF = """async () => {
    const { Stage } = await import('/stage.js');
    const changedBox = Stage.prototype.changedBox;
    Stage.prototype.changedBox = function (records) {
        const box = changedBox.call(this, records);
        return box && [box[0], box[1], (box[0] + box[2]) / 2, box[3]];
    };
}"""
NOTHING = "() => {}"


@pytest.fixture(autouse=True)
def frequent_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(canvas, "CHECK_EVERY", CHECK_EVERY)


@pytest.fixture(scope="module")
def shot() -> Film:
    return film(SECONDS, plugins=("cwi-bouncing", "cwi-loud", "elastic", "fadein"), size=SIZE)


def proofs(shot: Film, script: str) -> tuple[list[int], list[int]]:
    """Return the frames of the proofs that hold and of those that do not; whole boxes from the first of these on."""
    held, broken = [], []

    async def run() -> None:
        async with open_way("canvas", shot, conversion=CONVERSION, launcher=Tampering(script)) as capture:
            picture = YuvaPicture(*SIZE, CONVERSION)
            async for patch in capture.patches(shot.blocks, shot.box):
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

    assert len(held) >= len(shot.frames) * 0.8 // CHECK_EVERY
    assert broken == []


def test_lost_changes_are_noticed_and_whole_boxes_put_them_right(shot: Film) -> None:
    held, broken = proofs(shot, LOSE_HALF)

    assert len(broken) >= 1
    assert broken[0] < 2 * CHECK_EVERY + 2
    assert held
    assert min(held) > max(broken)


class Tampered:
    """A capture, one of whose patches has a wrong byte."""

    def __init__(self, capture: Capture, number: int) -> None:
        self._capture = capture
        self._number = number
        self.way = capture.way
        self.statistics = capture.statistics
        self.measure = capture.measure
        self.send_whole_boxes = capture.send_whole_boxes

    async def patches(self, blocks: list[Block], box: Box) -> AsyncIterator[Patch]:
        count = 0
        async for patch in self._capture.patches(blocks, box):
            count += 1
            if count == self._number:
                pixels = patch.pixels.copy()
                pixels[-1] ^= 255
                patch = Patch(patch.frame, patch.box, pixels, proof=patch.proof)
            yield patch


def rendered(shot: Film, folder: Path, script: str, *, tamper: int = 0) -> tuple[SegmentOutcome, Path]:
    clip = counter(Clip(width=SIZE[0], height=SIZE[1], frames=round(SECONDS * 30)))
    source = probe(clip)
    output = folder / "out.mkv"
    encode = SegmentEncode(
        source=source,
        url=str(clip),
        start=0,
        end=source.frames,
        rate=source.exact_rate,
        width=SIZE[0],
        height=SIZE[1],
        quality=100,
        preset="ultrafast",
        encoder="x264",
        output=output,
    )

    async def run() -> SegmentOutcome:
        async with open_way("canvas", shot, conversion=CONVERSION, launcher=Tampering(script)) as capture:
            used: Capture = Tampered(capture, tamper) if tamper else capture
            pipeline = StreamingPipeline(used, shot.blocks, encode, CONVERSION, PipelineSettings(), lambda _: None)
            return await pipeline.run()

    return asyncio.run(run()), output


def test_a_render_goes_on_with_whole_boxes_and_says_so(shot: Film, tmp_path: Path) -> None:
    (tmp_path / "right").mkdir()
    outcome, output = rendered(shot, tmp_path, LOSE_HALF)
    right, reference = rendered(shot, tmp_path / "right", NOTHING)

    assert right.warnings == ()
    assert len(outcome.warnings) >= 1
    assert "did not add up" in outcome.warnings[0]
    found, wanted = frames(output), frames(reference)
    assert len(found) == len(wanted) == len(shot.frames)
    tail = len(found) // 3
    apart = [float(np.abs(one.astype(int) - other).max()) for one, other in zip(found, wanted, strict=True)]
    assert max(apart[-tail:]) <= 24, "the end is not right again"
    assert max(apart) > 100, "nothing was wrong to begin with"


def test_one_wrong_byte_is_noticed(shot: Film, tmp_path: Path) -> None:
    outcome, _ = rendered(shot, tmp_path, NOTHING, tamper=CHECK_EVERY)

    assert len(outcome.warnings) == 1
    assert "did not add up" in outcome.warnings[0]
