"""Cells are shared out among processes: every missing one once, by work, few processes for few cells."""

import random
from itertools import pairwise

import numpy as np
import pytest

from ecg_renderer.model import FrameRange
from ecg_renderer.planning import Cutting
from ecg_renderer.planning.cutting import cell_length, cut_segments, runs_of

DEAD = np.zeros(1000, bool)


def cut(
    missing: range | list[int], wished: int, *, largest: int | None = None, work: list[int] | None = None
) -> list[FrameRange]:
    costs = np.array(work or [1] * 1000)
    return cut_segments(missing, costs, DEAD, wished=wished, largest=largest)


def cells(segments: list[FrameRange]) -> list[int]:
    return [cell for segment in segments for cell in range(segment.start, segment.end)]


@pytest.mark.parametrize("seed", range(30))
def test_every_missing_cell_is_rendered_once_and_no_other(seed: int) -> None:
    chance = random.Random(seed)
    missing = sorted(chance.sample(range(100), chance.randint(0, 100)))
    work = [chance.randint(0, 50) for _ in range(1000)]
    alive = np.array([chance.random() < 0.5 for _ in range(1000)])
    wished = chance.randint(1, 30)

    segments = cut_segments(missing, np.array(work), alive, wished=wished)

    assert cells(segments) == missing
    assert all(len(segment) for segment in segments)
    assert len(segments) == min(max(wished, len(runs_of(missing))), len(missing))


@pytest.mark.parametrize("count", [1, 2, 4, 13, 60])
def test_equal_work_is_cut_into_equal_parts(count: int) -> None:
    lengths = [len(segment) for segment in cut(range(60), count)]

    assert len(lengths) == count
    assert max(lengths) - min(lengths) <= 1


def test_work_is_shared_not_time() -> None:
    segments = cut(range(20), 2, work=[4] * 10 + [1] * 990)

    # 10 cells of 4 and 10 of 1: half of the work is done after 6.
    assert segments == [FrameRange(0, 6), FrameRange(6, 20)]


def test_a_cut_moves_to_a_cell_before_which_no_caption_is_alive() -> None:
    alive = np.ones(1000, bool)
    alive[9] = False

    assert cut_segments(range(20), np.array([1] * 1000), alive, wished=2)[0] == FrameRange(0, 9)
    alive[9], alive[6] = True, False  # too far away: the parts would be too unequal
    assert cut_segments(range(20), np.array([1] * 1000), alive, wished=2)[0] == FrameRange(0, 10)


def test_scattered_cells_are_runs_of_their_own() -> None:
    assert cut([2, 5, 6, 40], 1) == [FrameRange(2, 3), FrameRange(5, 7), FrameRange(40, 41)]


def test_more_runs_than_pods_are_allowed_are_joined_where_little_lies_between() -> None:
    segments = cut([2, 5, 6, 40], 1, largest=2)

    assert segments == [FrameRange(2, 7), FrameRange(40, 41)]
    assert all(before.end <= after.start for before, after in pairwise(segments))


def test_nothing_missing_is_nothing_to_render() -> None:
    assert cut([], 4) == []


@pytest.mark.parametrize(
    ("seconds", "cutting", "expected"),
    [
        (30, Cutting(), 1),
        (89, Cutting(), 1),
        (120, Cutting(), 2),
        (600, Cutting(), 10),
        (600, Cutting(max_segments=4), 4),
        (600, Cutting(target_seconds=10), 60),
        (1, Cutting(target_seconds=3600), 1),
        (1, Cutting(forced=7), 7),
    ],
)
def test_the_number_of_segments_follows_their_wished_length(seconds: float, cutting: Cutting, expected: int) -> None:
    assert cutting.segments_of(seconds) == expected


@pytest.mark.parametrize(
    ("frames", "wished", "segments", "expected"),
    [(1800, 300, None, 300), (100, 300, None, 300), (1800, 300, 13, 138), (5, 300, 13, 1), (1800, 300, 2, 300)],
)
def test_cells_are_as_long_as_wished_or_as_short_as_forced_segments_need(
    frames: int, wished: int, segments: int | None, expected: int
) -> None:
    assert cell_length(frames, wished, segments) == expected
