"""The film of some frames: the captions that can be seen there, in blocks that stages share."""

from fractions import Fraction
from itertools import pairwise
from typing import Any

import pytest

from ecg_renderer.model import Film, FrameGrid, FrameRange
from ecg_renderer.planning import Activity, film_of
from ecg_renderer.planning.cutting import LONGEST_BLOCK, replay_before
from ecg_renderer.scenario import Scenario
from plan_facts import RATES, spans

GAPLESS = tuple((start * 2.0, start * 2.0 + 2) for start in range(30))
CAPTIONS: dict[str, tuple[tuple[float, float], ...]] = {
    "none": (),
    "gapless": GAPLESS,
    "with gaps": tuple((start, start + 2.5) for start in range(0, 60, 5)),
    "overlapping": tuple((start, start + 7) for start in range(0, 60, 3)),
    "throughout": ((0, 1000), *((start, start + 2.5) for start in range(0, 60, 5))),
}


def a_film(
    times: tuple[tuple[float, float], ...],
    frames: tuple[int, int],
    *,
    rate: Fraction = Fraction(30),
    cell_frames: int = 300,
    length: int = 1800,
    animated: bool = False,
) -> Film:
    cues = spans(*times, animated=animated)
    data: dict[str, Any] = {
        "define": {},
        "tracks": [{"id": "track"}],
        "cues": [{"id": cue.id, "track": "track", "root": {"id": cue.id}} for cue in cues],
    }
    grid = FrameGrid(rate, length)
    scenario = Scenario(data, tuple(cues), frozenset(), (), ())
    activity = Activity.of(cues, grid)
    size = (1920, 1080)
    return film_of(
        scenario, FrameRange(*frames), grid, activity, size=size, cell_frames=cell_frames, preview_layout=False
    )


@pytest.mark.parametrize("rate", RATES, ids=str)
@pytest.mark.parametrize("times", CAPTIONS.values(), ids=CAPTIONS)
def test_blocks_hold_exactly_the_frames_with_a_caption(rate: Fraction, times: tuple[tuple[float, float], ...]) -> None:
    length = int(60 * rate)
    alive = Activity.of(spans(*times), FrameGrid(rate, length)).alive.nonzero()[0].tolist()
    cuts = [length * part // 7 for part in range(8)]

    held = [
        frame
        for start, end in pairwise(cuts)
        for block in a_film(times, (start, end), rate=rate, length=length).blocks
        for frame in range(block.frames.start, block.frames.end)
    ]

    assert held == alive


@pytest.mark.parametrize("times", CAPTIONS.values(), ids=CAPTIONS)
def test_each_block_replays_what_is_alive_at_its_start(times: tuple[tuple[float, float], ...]) -> None:
    for block in a_film(times, (333, 1700)).blocks:
        start = block.frames.start
        assert block.replay == replay_before(start, spans(*times), FrameGrid(Fraction(30), 1800))
        assert all(part.end <= start for part in block.replay)


def test_a_cell_has_the_same_blocks_alone_and_among_others() -> None:
    for times in CAPTIONS.values():
        whole = a_film(times, (0, 1800)).blocks
        alone = [block for start in range(0, 1800, 300) for block in a_film(times, (start, start + 300)).blocks]
        assert list(whole) == alone


def test_blocks_are_short_and_cut_where_nothing_is_replayed() -> None:
    blocks = a_film(GAPLESS, (0, 1800), cell_frames=1800, animated=True).blocks

    assert {len(block.frames) for block in blocks[1:-1]} == {60}
    assert {block.replayed for block in blocks} == {0}


def test_no_block_is_longer_than_stages_can_share() -> None:
    for times in CAPTIONS.values():
        for block in a_film(times, (0, 1800)).blocks:
            assert 0 < len(block.frames) <= max(LONGEST_BLOCK, block.replayed // 10)


def test_a_caption_that_never_ends_is_not_replayed_from_its_beginning() -> None:
    blocks = a_film(((0, 3600),), (106_200, 108_000), length=108_000).blocks

    assert sum(block.replayed for block in blocks) <= 2 * len(blocks)


def test_a_film_holds_the_cues_of_its_frames_and_no_others() -> None:
    film = a_film(GAPLESS, (0, 150))

    assert [cue["id"] for cue in film.scenario["cues"]] == ["cue-0", "cue-1", "cue-2"]
