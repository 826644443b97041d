from fractions import Fraction

import pytest

from ecg_renderer.model import FrameGrid, FrameRange
from ecg_renderer.planning import Activity, alive_frames, dead_ranges, pre_roll
from ecg_renderer.scenario.model import SAMPLED_AFTER
from plan_facts import RATES, spans

TEN_SECONDS = FrameGrid(Fraction(30), 300)
WHOLE = FrameRange(0, 300)


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        (1.0, 2.0, (30, 60)),
        (1.01, 1.99, (31, 60)),
        (1.01, 2.00001, (31, 60)),
        (1.01, 2.001, (31, 61)),
        (1.0000009, 1.9999991, (30, 60)),
        (0.7, 0.7, (21, 21)),
        (0.0, 0.0, (0, 0)),
        (-5.0, 0.5, (0, 15)),
        (9.9, 1e9, (297, 300)),
        (-1e300, 1e300, (0, 300)),
        (10.0, 11.0, (300, 300)),
        (-2.0, -1.0, (0, 0)),
        (1.001, 1.002, (31, 31)),
    ],
)
def test_a_cue_is_alive_from_its_first_frame_up_to_that_of_its_end(
    start: float, end: float, expected: tuple[int, int]
) -> None:
    assert alive_frames(start, end, TEN_SECONDS) == FrameRange(*expected)


@pytest.mark.parametrize("rate", RATES, ids=str)
def test_no_frame_is_lost_between_doubles_and_fractions(rate: Fraction) -> None:
    grid = FrameGrid(rate, 3000)

    for frame in range(0, 2999, 7):
        shown = frame * rate.denominator / rate.numerator + SAMPLED_AFTER  # as the browser computes it
        assert alive_frames(shown, shown, grid) == FrameRange(frame, frame + 1)


@pytest.mark.parametrize("rate", RATES, ids=str)
@pytest.mark.parametrize("digits", [6, 7, 15])
def test_cues_that_meet_at_a_frame_share_none(rate: Fraction, digits: int) -> None:
    grid = FrameGrid(rate, 30000)

    for frame in range(7, 29999, 997):
        border = round(frame * rate.denominator / rate.numerator, digits)
        before, after = alive_frames(border - 1, border, grid), alive_frames(border, border + 1, grid)
        assert before.end == after.start == frame


@pytest.mark.parametrize(
    ("frame", "expected", "why"),
    [
        (10, 10, "nothing is alive"),
        (30, 30, "a cue starts here"),
        (31, 30, "one frame of history"),
        (59, 30, "the last of the first cue"),
        (60, 60, "the second follows"),
        (119, 60, "the last of the second"),
        (120, 120, "nothing is alive again"),
        (200, 150, "the earliest of two that overlap"),
        (260, 180, "the earlier has ended, the later goes on"),
    ],
)
def test_a_frame_is_replayed_from_the_start_of_what_is_alive(frame: int, expected: int, why: str) -> None:
    cues = spans((1, 2), (2, 4), (5, 8), (6, 9))

    assert pre_roll(frame, cues, TEN_SECONDS) == expected, why
    assert Activity.of(cues, TEN_SECONDS).pre_roll[frame] == expected, why


def test_activity_says_the_same_as_pre_roll_on_every_frame() -> None:
    cues = spans((0.2, 0.4), (7, 9.97), (3, 5), (1.5, 3.33), (-1, 0.1), (4.9, 5.01), (9.99, 20))
    activity = Activity.of(cues, TEN_SECONDS)

    assert [pre_roll(frame, cues, TEN_SECONDS) for frame in range(300)] == activity.pre_roll.tolist()
    assert [frame - activity.replayed(frame) for frame in range(300)] == activity.pre_roll.tolist()


def test_dead_and_captioned_frames_make_up_the_whole() -> None:
    cues = spans((1, 2), (2, 3), (5, 6))
    dead = dead_ranges(cues, TEN_SECONDS)

    assert dead == [FrameRange(0, 30), FrameRange(90, 150), FrameRange(180, 300)]
    assert sum(map(len, dead)) + Activity.of(cues, TEN_SECONDS).captioned_frames(WHOLE) == 300
    assert dead_ranges([], TEN_SECONDS) == [WHOLE]
    assert dead_ranges(spans((0, 10)), TEN_SECONDS) == []


def test_distinct_frames_are_the_animated_ones_and_the_changes() -> None:
    still = Activity.of(spans((1, 2), (2, 3)), TEN_SECONDS)
    moving = Activity.of(spans((1, 2), animated=True), TEN_SECONDS)

    # At 30 one appears, at 60 another takes its place, at 90 that is gone.
    assert still.distinct.nonzero()[0].tolist() == [30, 60, 90]
    assert moving.distinct_frames(WHOLE) == 30 + 1
    assert moving.distinct_frames(FrameRange(40, 50)) == 10
    assert Activity.of([], TEN_SECONDS).distinct_frames(WHOLE) == 0
