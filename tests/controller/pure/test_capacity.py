"""How many places there are: a day on a simulated clock, and what must hold for every schedule and every queue."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from ecg_operator.capacity import DAYS, Capacity, Limits, Load, Schedule, Window, next_capacity

SEOUL = ZoneInfo("Asia/Seoul")
OFFICE = Schedule(
    time_zone="Asia/Seoul",
    windows=(Window(begin="09:00", end="18:00", floor=4, ceiling=12),),
    otherwise=Limits(floor=2, ceiling=6),
)
TICK = timedelta(seconds=5)


class Clock:
    """Capacity over time, looked at every five seconds."""

    def __init__(self, hour: int, minute: int = 0, schedule: Schedule = OFFICE) -> None:
        self.now = datetime(2026, 11, 30, hour, minute, tzinfo=SEOUL).astimezone(UTC)
        self.schedule = schedule
        self.capacity: Capacity | None = None

    def run(self, minutes: float, waiting: int, busy: int = 0) -> list[int]:
        """Let time go by; return each new number of places."""
        seen, end = [], self.now + timedelta(minutes=minutes)
        while self.now < end:
            before = self.capacity.places if self.capacity else None
            self.capacity = next_capacity(self.capacity, self.now, Load(busy=busy, waiting=waiting), self.schedule)
            if self.capacity.places != before:
                seen.append(self.capacity.places)
            self.now += TICK
        return seen


def test_the_floor_follows_the_clock_of_the_zone() -> None:
    clock = Clock(8, 58)
    assert clock.run(1.9, waiting=0) == [2]
    assert clock.run(0.2, waiting=0) == [4]
    assert clock.run(9 * 60, waiting=0) == [2]
    assert clock.capacity is not None and clock.capacity.reason == ("fewer than 3 segments have waited for 600 s")


def test_places_come_though_the_last_ones_came_by_another_clock_that_was_ahead() -> None:
    clock = Clock(10)
    clock.capacity = Capacity(places=4, grown_at=clock.now + timedelta(minutes=10))
    assert clock.run(0.5, waiting=11) == [6]
    assert clock.run(1, waiting=11) == [8]


def test_a_burst_reaches_the_ceiling_within_minutes_and_goes_step_by_step() -> None:
    clock = Clock(10)
    assert clock.run(1, waiting=10) == [4]
    assert clock.run(4, waiting=11) == [6, 8, 10, 12]
    assert clock.run(30, waiting=500) == []
    assert clock.run(9.9, waiting=2) == []
    assert clock.run(40, waiting=2) == [10, 8, 6, 4]


def test_a_moment_of_three_waiting_begins_the_ten_minutes_anew() -> None:
    clock = Clock(10)
    clock.run(5, waiting=11)
    for _ in range(6):
        assert clock.run(9.9, waiting=0) == [] and clock.run(0.1, waiting=3) == []


def test_in_the_evening_the_ceiling_falls_whoever_is_busy() -> None:
    clock = Clock(17, 50)
    assert clock.run(9.9, waiting=50, busy=12) == [12]
    assert clock.run(1, waiting=50, busy=12) == [6]


def test_a_window_over_midnight_belongs_to_the_day_on_which_it_begins() -> None:
    night = Window(days=("Fri",), begin="22:00", end="06:00", floor=1, ceiling=2)
    friday = datetime(2026, 12, 4, 0, 0, tzinfo=UTC)
    hours = [h for h in range(72) if night.holds(friday + timedelta(hours=h))]
    assert hours == list(range(22, 30))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"otherwise": {"floor": 3, "ceiling": 2}}, "floor 3 is above ceiling 2"),
        ({"otherwise": {"floor": 1, "ceiling": 2}, "timeZone": "Asia/Soul"}, "no time zone 'Asia/Soul'"),
        ({"otherwise": {"floor": 1, "ceiling": 2}, "timeZone": "../etc"}, "no time zone"),
        ({"otherwise": {"floor": 1, "ceiling": 2}, "inBelow": 11}, "inBelow 11 is above outAbove 10"),
    ],
)
def test_what_makes_no_sense_is_refused(given: dict[str, object], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Schedule.model_validate(given)


TIMES = st.builds("{:02}:{:02}".format, st.integers(0, 23), st.sampled_from([0, 1, 30, 59]))
LIMITS = st.tuples(st.integers(0, 9), st.integers(1, 12)).filter(lambda pair: pair[0] <= pair[1])
WINDOWS = st.builds(
    lambda days, begin, end, limits: Window(days=days, begin=begin, end=end, floor=limits[0], ceiling=limits[1]),
    st.lists(st.sampled_from(DAYS), max_size=7).map(tuple), TIMES, TIMES, LIMITS,
)  # fmt: skip
SCHEDULES = st.builds(
    lambda zone, windows, limits, band, after, step, pause: Schedule(
        time_zone=zone, windows=windows, otherwise=Limits(floor=limits[0], ceiling=limits[1]), out_above=max(band),
        in_below=min(band), in_after_seconds=after, step=step, out_pause_seconds=pause,
    ),
    st.sampled_from(["UTC", "Asia/Seoul", "America/New_York", "Asia/Kathmandu"]),
    st.lists(WINDOWS, max_size=3).map(tuple), LIMITS, st.tuples(st.integers(0, 20), st.integers(0, 20)),
    st.integers(1, 900), st.integers(1, 5), st.integers(0, 120),
)  # fmt: skip
# (seconds since the last look, busy, waiting); the look may come late, as after a restart.
LOOKS = st.lists(
    st.tuples(st.sampled_from([1, 5, 60, 599, 7200]), st.integers(0, 30), st.integers(0, 30)), min_size=1, max_size=60
)
STARTS = st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1), timezones=st.just(UTC))


@settings(max_examples=150, deadline=None)
@given(SCHEDULES, STARTS, LOOKS)
def test_never_outside_floor_and_ceiling_and_never_flapping(
    schedule: Schedule, start: datetime, looks: list[tuple[int, int, int]]
) -> None:
    now, capacity = start, None
    quiet_since: datetime | None = None  # as somebody outside counts it
    moved_at: datetime | None = None
    for seconds, busy, waiting in looks:
        now += timedelta(seconds=seconds)
        limits, before = schedule.limits_at(now), capacity
        quiet_since = (quiet_since or now) if waiting < schedule.in_below else None
        capacity = next_capacity(before, now, Load(busy=busy, waiting=waiting), schedule)
        assert limits.floor <= capacity.places <= limits.ceiling
        assert Capacity.model_validate_json(capacity.model_dump_json(exclude_none=True)) == capacity
        if before is None or limits.clamp(before.places) != before.places:
            continue  # the schedule moves at once
        if capacity.places > before.places:
            assert waiting > schedule.out_above and capacity.places - before.places <= schedule.step
        if capacity.places < before.places:
            assert quiet_since is not None and before.places - capacity.places <= schedule.step
            calm = timedelta(seconds=schedule.in_after_seconds)
            assert now - quiet_since >= calm and (moved_at is None or now - moved_at >= calm)
        if capacity.places != before.places:
            moved_at = now


@settings(max_examples=50, deadline=None)
@given(SCHEDULES, STARTS, st.integers(0, 30), st.integers(0, 30))
def test_with_nothing_new_it_comes_to_rest(schedule: Schedule, start: datetime, busy: int, waiting: int) -> None:
    steady = schedule.model_copy(update={"windows": ()})
    capacity, now = None, start
    for _ in range(40):
        now += timedelta(seconds=901)
        capacity = next_capacity(capacity, now, Load(busy=busy, waiting=waiting), steady)
    resting = next_capacity(capacity, now + timedelta(hours=1), Load(busy=busy, waiting=waiting), steady)
    assert resting.places == capacity.places
    if waiting > steady.out_above:
        assert resting.places == steady.otherwise.ceiling
    elif waiting < steady.in_below:
        assert resting.places == steady.otherwise.floor
