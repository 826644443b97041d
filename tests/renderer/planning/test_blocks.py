from fractions import Fraction

import pytest

from ecg_renderer.model import FrameGrid, FrameRange
from ecg_renderer.planning import Activity, capture_blocks, cut_segments
from ecg_renderer.scenario import CueSpan
from plan_facts import RATES, spans

MINUTE = FrameGrid(Fraction(30), 1800)
WHOLE = FrameRange(0, 1800)
GAPLESS = spans(*((start * 2.0, start * 2.0 + 2) for start in range(30)))

CAPTIONS = {
    "none": [],
    "gapless": GAPLESS,
    "with gaps": spans(*((start, start + 2.5) for start in range(0, 60, 5))),
    "overlapping": spans(*((start, start + 7) for start in range(0, 60, 3))),
    "throughout": spans((0, 1000), *((start, start + 2.5) for start in range(0, 60, 5))),
}


@pytest.mark.parametrize("rate", RATES, ids=str)
@pytest.mark.parametrize("cues", CAPTIONS.values(), ids=CAPTIONS)
def test_blocks_hold_exactly_the_frames_with_a_caption(rate: Fraction, cues: list[CueSpan]) -> None:
    grid = FrameGrid(rate, int(60 * rate))
    alive = Activity.of(cues, grid).alive.nonzero()[0].tolist()

    held = [
        frame
        for segment in cut_segments(grid, cues, max_segments=None, target_seconds=1, forced=7)
        for block in capture_blocks(segment, cues, grid)
        for frame in range(block.frames.start, block.frames.end)
    ]

    assert held == alive


@pytest.mark.parametrize("cues", CAPTIONS.values(), ids=CAPTIONS)
def test_each_block_is_replayed_from_the_start_of_what_is_alive(cues: list[CueSpan]) -> None:
    activity = Activity.of(cues, MINUTE)

    for block in capture_blocks(FrameRange(333, 1700), cues, MINUTE):
        assert block.pre_roll == activity.pre_roll[block.frames.start] <= block.frames.start


def test_blocks_are_short_and_cut_where_nothing_is_replayed() -> None:
    blocks = capture_blocks(WHOLE, GAPLESS, MINUTE, longest=90)

    assert {len(block.frames) for block in blocks[1:-1]} == {60}
    assert {block.frames.start - block.pre_roll for block in blocks[1:]} == {0}


@pytest.mark.parametrize("longest", [1, 2, 10, 90, 5000])
def test_no_block_is_longer_than_asked(longest: int) -> None:
    for cues in (GAPLESS, CAPTIONS["with gaps"], CAPTIONS["overlapping"]):
        for block in capture_blocks(WHOLE, cues, MINUTE, longest=longest):
            replayed = block.frames.start - block.pre_roll
            assert 0 < len(block.frames) <= max(longest, replayed // 10)


def test_what_is_replayed_for_a_caption_that_never_ends_stays_bounded() -> None:
    grid = FrameGrid(Fraction(30), 54_000)
    segment = FrameRange(52_200, 54_000)
    blocks = capture_blocks(segment, spans((0, 1800)), grid)

    replayed = sum(block.frames.start - block.pre_roll for block in blocks)

    assert len(blocks) == 1
    assert replayed == 52_200
    early = capture_blocks(FrameRange(0, 1800), spans((0, 1800)), grid)
    assert len(early) > 4
    assert sum(block.frames.start - block.pre_roll for block in early) < 20 * 1800
