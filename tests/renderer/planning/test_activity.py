from fractions import Fraction

import pytest

from ecg_renderer.model import FrameGrid, FrameRange
from ecg_renderer.planning import Activity, alive_frames
from ecg_renderer.planning.cutting import replay_before
from ecg_renderer.scenario import CueSpan
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


def replayed(frame: int, *cues: CueSpan) -> list[int]:
    return [number for part in replay_before(frame, cues, TEN_SECONDS) for number in range(part.start, part.end)]


@pytest.mark.parametrize(
    ("frame", "expected", "why"),
    [
        (10, [], "nothing is alive"),
        (30, [], "a cue starts here"),
        (31, [30], "its first frame"),
        (59, [30, 31], "it came, and stands since"),
        (60, [], "the second follows"),
        (119, [60, 61], "of the second, the start"),
        (120, [], "nothing is alive again"),
        (200, [150, 151, 180, 181], "of two that overlap, both starts"),
        (260, [180, 181], "the earlier has ended, the later goes on"),
    ],
)
def test_a_frame_is_replayed_from_what_came_before_of_what_is_alive(frame: int, expected: list[int], why: str) -> None:
    cues = spans((1, 2), (2, 4), (5, 8), (6, 9))

    # The frame before a start is not alive yet, and not replayed; the one after is, since doubles may fall either way.
    assert replayed(frame, *cues) == expected, why


def test_what_moves_and_what_comes_or_goes_within_a_cue_is_replayed() -> None:
    cue = CueSpan(0, "cue", 1, 9, animated=((2, 2.5),), changes=(1, 4, 9))

    assert replayed(240, cue) == [30, 31, *range(60, 75), 119, 120, 121]


def test_a_logo_over_an_hour_costs_no_more_than_one_over_a_minute() -> None:
    hour = FrameGrid(Fraction(30), 108_000)
    activity = Activity.of(spans((0, 3600)), hour)

    assert activity.replayed.max() <= 2


def test_replayed_frames_are_those_that_replaying_takes() -> None:
    cues = [
        CueSpan(0, "a", 0.2, 5, animated=((1, 2), (3, 3.1)), changes=(0.2, 2.5, 5)),
        CueSpan(1, "b", 6, 7, (), (6, 7)),
    ]
    activity = Activity.of(cues, TEN_SECONDS)

    assert [len(replayed(frame, *cues)) for frame in range(300)] == activity.replayed.tolist()


def test_captioned_runs_and_the_rest_make_up_the_whole() -> None:
    cues = spans((1, 2), (2, 3), (5, 6))
    activity = Activity.of(cues, TEN_SECONDS)

    assert activity.captioned(WHOLE) == [FrameRange(30, 90), FrameRange(150, 180)]
    assert activity.captioned(FrameRange(80, 160)) == [FrameRange(80, 90), FrameRange(150, 160)]
    assert activity.captioned_frames(WHOLE) == 90
    assert Activity.of([], TEN_SECONDS).captioned(WHOLE) == []


def test_distinct_frames_are_the_animated_ones_and_the_changes() -> None:
    still = Activity.of(spans((1, 2), (2, 3)), TEN_SECONDS)
    moving = Activity.of(spans((1, 2), animated=True), TEN_SECONDS)

    # At 30 one appears, at 60 another takes its place, at 90 that is gone.
    assert still.distinct.nonzero()[0].tolist() == [30, 60, 90]
    assert moving.distinct_frames(WHOLE) == 30 + 1
    assert moving.distinct_frames(FrameRange(40, 50)) == 10
    assert Activity.of([], TEN_SECONDS).distinct_frames(WHOLE) == 0
