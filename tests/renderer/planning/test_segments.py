import random
from fractions import Fraction

import pytest

from ecg_renderer.model import FrameGrid, FrameRange
from ecg_renderer.planning import Activity, FrameCosts, cut_segments
from ecg_renderer.scenario import CueSpan
from plan_facts import RATES, spans


def cut(grid: FrameGrid, cues: list[CueSpan], forced: int) -> list[FrameRange]:
    return cut_segments(grid, cues, max_segments=None, target_seconds=60, forced=forced)


def edges(segments: list[FrameRange]) -> list[int]:
    return [segment.start for segment in segments[1:]]


def gapless(seconds: float, each: float) -> list[CueSpan]:
    return spans(*((index * each, (index + 1) * each) for index in range(int(seconds / each))))


CAPTIONS = {
    "none": [],
    "gapless": gapless(60, 2.5),
    "with gaps": spans(*((start, start + 2) for start in range(0, 60, 5))),
    "one throughout": spans((0, 1000)),
    "animated": spans((0, 5), (20, 29), animated=True),
}


@pytest.mark.parametrize("rate", RATES, ids=str)
@pytest.mark.parametrize("captions", CAPTIONS.values(), ids=CAPTIONS)
def test_segments_cover_every_frame_once(rate: Fraction, captions: list[CueSpan]) -> None:
    for frames in (1, 2, 3, 12, 13, 14, 100, 1439):
        grid = FrameGrid(rate, frames)
        for forced in (1, 2, 3, 4, 13, 100, 5000):
            segments = cut(grid, captions, forced)

            covered = [frame for segment in segments for frame in range(segment.start, segment.end)]
            assert covered == list(range(frames))
            assert len(segments) == min(forced, frames)
            assert all(len(segment) for segment in segments)


@pytest.mark.parametrize("seed", range(20))
def test_segments_of_any_captions_cover_every_frame_once(seed: int) -> None:
    chance = random.Random(seed)
    grid = FrameGrid(chance.choice(RATES), chance.randint(1, 2000))
    times = [(chance.uniform(-1, 60), chance.uniform(0, 8)) for _ in range(chance.randint(0, 40))]
    cues = spans(*((start, start + length) for start, length in times), animated=chance.random() < 0.5)
    count = chance.randint(1, 60)

    segments = cut(grid, cues, count)

    assert [segment.end for segment in segments] == [*edges(segments), grid.frames]
    assert segments[0].start == 0
    assert len(segments) == min(count, grid.frames)
    assert all(len(segment) for segment in segments)


@pytest.mark.parametrize(
    ("seconds", "limit", "target", "expected"),
    [
        (30, None, 60, 1),
        (89, None, 60, 1),
        (120, None, 60, 2),
        (600, None, 60, 10),
        (600, 4, 60, 4),
        (600, None, 10, 60),
        (1, None, 3600, 1),
    ],
)
def test_the_number_of_segments_follows_their_wished_length(
    seconds: int, limit: int | None, target: float, expected: int
) -> None:
    grid = FrameGrid(Fraction(30), seconds * 30)

    assert len(cut_segments(grid, [], max_segments=limit, target_seconds=target)) == expected


def test_without_captions_segments_are_equally_long() -> None:
    assert edges(cut(FrameGrid(Fraction(25), 1000), [], 4)) == [250, 500, 750]


@pytest.mark.parametrize("rate", RATES, ids=str)
def test_cuts_move_to_the_nearest_frame_without_captions(rate: Fraction) -> None:
    grid = FrameGrid(rate, int(60 * rate))
    cues = spans(*((start, start + 4.5) for start in range(0, 60, 5)))
    activity = Activity.of(cues, grid)

    cuts = edges(cut(grid, cues, 4))

    assert not any(activity.alive[frame] for frame in cuts)
    assert all(abs(float(grid.seconds(frame)) - ideal) < 5 for frame, ideal in zip(cuts, (15, 30, 45), strict=True))


def test_without_gaps_cuts_lie_where_nothing_is_replayed() -> None:
    grid = FrameGrid(Fraction(30), 1800)
    cues = gapless(60, 2.4)
    activity = Activity.of(cues, grid)

    cuts = edges(cut(grid, cues, 4))

    assert [activity.replayed(frame) for frame in cuts] == [0, 0, 0]
    assert all(abs(frame - ideal) <= 36 for frame, ideal in zip(cuts, (450, 900, 1350), strict=True))


def test_a_gap_that_is_too_far_away_does_not_unbalance_the_segments() -> None:
    near, far = spans((0, 25), (25.1, 60)), spans((0, 20), (20.1, 60))
    costs = FrameCosts(every=1, captioned=0, distinct=0)

    def only_cut(cues: list[CueSpan]) -> int:
        grid = FrameGrid(Fraction(30), 1800)
        (start,) = edges(cut_segments(grid, cues, max_segments=2, target_seconds=30, costs=costs))
        return start

    assert only_cut(near) == 752
    assert only_cut(far) == 900


def test_work_is_shared_not_time() -> None:
    grid = FrameGrid(Fraction(30), 3000)
    cues = spans((0, 50), animated=True)
    costly = FrameCosts(every=1, captioned=0, distinct=3)

    (cheap_cut,) = edges(cut_segments(grid, cues, max_segments=None, target_seconds=1, forced=2))
    (cut_frame,) = edges(cut_segments(grid, cues, max_segments=None, target_seconds=1, forced=2, costs=costly))

    # 1500 frames of 4 and 1500 of 1: half of the work is done at 937.
    assert 700 < cut_frame < 1000
    assert cut_frame < cheap_cut
