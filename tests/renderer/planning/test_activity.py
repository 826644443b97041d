from fractions import Fraction

import pytest

from ecg_renderer.model import FrameGrid, FrameRange
from ecg_renderer.planning import Activity, alive_frames, dead_ranges, pre_roll
from plan_facts import RATES, spans

TEN_SECONDS = FrameGrid(Fraction(30), 300)
WHOLE = FrameRange(0, 300)


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        (1.0, 2.0, (30, 61)),
        (1.01, 1.99, (31, 60)),
        (0.7, 0.7, (21, 22)),
        (0.0, 0.0, (0, 1)),
        (-5.0, 0.5, (0, 16)),
        (9.9, 1e9, (297, 300)),
        (-1e300, 1e300, (0, 300)),
        (10.0, 11.0, (300, 300)),
        (-2.0, -1.0, (0, 0)),
        (1.001, 1.002, (31, 31)),
    ],
)
def test_both_ends_of_a_cue_are_alive(start: float, end: float, expected: tuple[int, int]) -> None:
    assert alive_frames(start, end, TEN_SECONDS) == FrameRange(*expected)


@pytest.mark.parametrize("rate", RATES, ids=str)
def test_no_frame_is_lost_between_doubles_and_fractions(rate: Fraction) -> None:
    grid = FrameGrid(rate, 3000)

    for frame in range(0, 2999, 7):
        shown = frame * rate.denominator / rate.numerator  # as the browser computes it
        assert alive_frames(shown, shown, grid) == FrameRange(frame, frame + 1)


@pytest.mark.parametrize(
    ("frame", "expected", "why"),
    [
        (10, 10, "nothing is alive"),
        (30, 30, "a cue starts here"),
        (31, 30, "one frame of history"),
        (60, 30, "the first cue lives through its last frame"),
        (61, 60, "only the second is left"),
        (120, 60, "the second ends here"),
        (121, 121, "nothing is alive again"),
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

    assert dead == [FrameRange(0, 30), FrameRange(91, 150), FrameRange(181, 300)]
    assert sum(map(len, dead)) + Activity.of(cues, TEN_SECONDS).captioned_frames(WHOLE) == 300
    assert dead_ranges([], TEN_SECONDS) == [WHOLE]
    assert dead_ranges(spans((0, 10)), TEN_SECONDS) == []


def test_distinct_frames_are_the_animated_ones_and_the_changes() -> None:
    still = Activity.of(spans((1, 2), (2, 3)), TEN_SECONDS)
    moving = Activity.of(spans((1, 2), animated=True), TEN_SECONDS)

    # At 30 and 60 one appears, at 61 and 91 one is gone.
    assert still.distinct.nonzero()[0].tolist() == [30, 60, 61, 91]
    assert moving.distinct_frames(WHOLE) == 31 + 1
    assert moving.distinct_frames(FrameRange(40, 50)) == 10
    assert Activity.of([], TEN_SECONDS).distinct_frames(WHOLE) == 0
