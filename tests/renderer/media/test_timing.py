"""Exact rates from what packets say, whatever the headers claim."""

from __future__ import annotations

from array import array
from fractions import Fraction
from typing import Any

import pytest

from ecg_renderer.media.timing import (
    FrameTimes,
    KeyFrames,
    PacketReader,
    breaks_off,
    clock_jumps,
    declared_timing,
    is_only_ticking,
    standard_rate,
    timing_of,
)

MP4 = "mov,mp4,m4a,3gp,3g2,mj2"
MILLISECOND, NINETY_KHZ = Fraction(1, 1000), Fraction(1, 90000)


def timed(ticks: list[int], last: int = 0) -> FrameTimes:
    return FrameTimes(array("q", ticks), last, len(ticks), decoding_times=False, starts_on_key=True)


def read(lines: str) -> FrameTimes:
    packets = PacketReader()
    for line in lines.splitlines():
        packets.line(line.encode())
    return packets.frame_times()


def stream(tick: Fraction, real: str = "0/0", average: str = "0/0", **more: Any) -> dict[str, Any]:
    return {"time_base": f"1/{tick.denominator}", "r_frame_rate": real, "avg_frame_rate": average, **more}


def grid(rate: Fraction, tick: Fraction, frames: int, start: int = 0) -> list[int]:
    return [start + round(index / rate / tick) for index in range(frames)]


@pytest.mark.parametrize("tick", [MILLISECOND, NINETY_KHZ, Fraction(1, 15360)])
@pytest.mark.parametrize(
    "text", ["24000/1001", "24", "25", "30000/1001", "30", "50", "60000/1001", "60", "15", "12", "120000/1001"]
)
def test_a_constant_rate_is_found_from_times_alone(text: str, tick: Fraction) -> None:
    rate = Fraction(text)
    timing = timing_of(stream(tick), timed(grid(rate, tick, 1800, start=77)))
    assert (timing.rate, timing.variable, timing.frames) == (rate, False, 1800)
    assert (timing.start, timing.duration) == (77 * tick, 1800 / rate)


def test_the_containers_word_counts_where_the_clock_is_too_coarse_to_tell() -> None:
    times = timed(grid(Fraction(30000, 1001), MILLISECOND, 20))
    assert timing_of(stream(MILLISECOND, real="30000/1001"), times).rate == Fraction(30000, 1001)
    assert timing_of(stream(MILLISECOND, real="30/1"), times).rate == 30


def test_an_irregular_rate_is_that_of_the_usual_distance_also_where_the_clock_is_coarse() -> None:
    mixed = [*grid(Fraction(30), MILLISECOND, 30), *grid(Fraction(60), MILLISECOND, 120, start=1000)]
    timing = timing_of(stream(MILLISECOND), timed(mixed))
    assert (timing.rate, timing.variable) == (60, True)


@pytest.mark.parametrize("rate", [24, 30])
def test_a_gap_of_one_tick_where_each_frame_is_one_leaves_the_rate(rate: int) -> None:
    timing = timing_of(stream(Fraction(1, rate)), timed([0, *range(2, 180)]))
    assert (timing.rate, timing.variable) == (rate, True)


def test_a_field_rate_is_not_the_frame_rate() -> None:
    assert (
        timing_of(stream(NINETY_KHZ, real="50/1", average="25/1"), timed(grid(Fraction(25), NINETY_KHZ, 50))).rate == 25
    )


def test_one_missing_frame_makes_the_rate_variable() -> None:
    ticks = grid(Fraction(30), NINETY_KHZ, 60)
    del ticks[30]
    timing = timing_of(stream(NINETY_KHZ, real="30/1", average="885/30"), timed(ticks, last=3000))
    assert (timing.rate, timing.variable, timing.frames, timing.duration) == (30, True, 59, 2)


def test_jitter_below_half_a_frame_is_no_variable_rate() -> None:
    ticks = [tick + (-1) ** index * 600 for index, tick in enumerate(grid(Fraction(30), NINETY_KHZ, 60, start=600))]
    assert not timing_of(stream(NINETY_KHZ), timed(ticks)).variable


def test_a_single_frame_lasts_as_long_as_the_container_says() -> None:
    timing = timing_of(stream(NINETY_KHZ, real="25/1"), timed([0]))
    assert (timing.rate, timing.frames, timing.duration) == (25, 1, Fraction(1, 25))


def test_a_single_frame_without_any_rate_still_has_one() -> None:
    timing = timing_of(stream(NINETY_KHZ), timed([0]))
    assert (timing.frames, timing.rate) == (1, 30)


@pytest.mark.parametrize(
    ("rate", "standard"),
    [
        ("29.9", "30000/1001"),
        ("30.3", "30"),
        ("35", "48"),
        ("7", "24"),
        ("90", "60"),
        ("1000", "60"),
        ("60", "60"),
    ],
)
def test_a_guessed_rate_is_a_usual_one(rate: str, standard: str) -> None:
    assert standard_rate(Fraction(rate)) == Fraction(standard)


@pytest.mark.parametrize(
    ("real", "average", "rate"),
    [
        ("30/1", "41/4", "30"),
        ("90000/1", "41/4", "24"),
        ("25/1", "41/1", "48"),
        ("50/1", "25/1", "25"),
        ("30/1", "30000/1001", "30000/1001"),
        ("60/1", "2998/100", "30000/1001"),
    ],
)
def test_headers_of_a_variable_rate_tell_the_ticks_of_its_pictures(real: str, average: str, rate: str) -> None:
    length = {"nb_frames": "164", "duration": str(164 / float(Fraction(average)))}
    timing = declared_timing(stream(NINETY_KHZ, real, average, **length))
    assert timing is not None
    assert (timing.rate, timing.variable) == (Fraction(rate), True)


def test_a_clocks_rate_is_no_rate() -> None:
    timing = timing_of(stream(MILLISECOND), timed([0, 1]))
    assert (timing.rate, timing.variable) == (60, True)
    said = {"nb_frames": "3000", "duration": "3"}
    assert declared_timing(stream(MILLISECOND, "1000/1", "1000/1", **said)) is None


@pytest.mark.parametrize("container", ["avi", "yuv4mpegpipe"])
def test_pictures_of_a_fast_camera_have_a_rate_where_the_clock_is_the_rate(container: str) -> None:
    said = stream(MILLISECOND, "1000/1", "1000/1", nb_frames="90", duration="0.09")
    times = timed(list(range(90)))
    assert not is_only_ticking(times, MILLISECOND, container)
    for timing in (timing_of(said, times, container), declared_timing(said, container)):
        assert timing is not None
        assert (timing.rate, timing.variable, timing.frames) == (1000, False, 90)


@pytest.mark.parametrize(
    ("ticks", "tick", "only"),
    [
        (range(90), MILLISECOND, True),
        (range(9), MILLISECOND, False),
        (range(90), Fraction(1, 60), False),
        (range(0, 180, 2), MILLISECOND, False),
    ],
)
def test_frames_that_follow_each_other_with_each_tick_of_a_fast_clock_have_no_times(
    ticks: range, tick: Fraction, only: bool
) -> None:
    assert is_only_ticking(timed(list(ticks)), tick, "rm") is only


def test_packets_are_read_as_ffprobe_writes_them() -> None:
    lines = "0,-1000,1000,1,0,K_\n2000,0,1000,1,0,__\n1000,1000,1000,1,0,__,\n\n3000,2000,500,1,0,_D\n"
    assert read(lines) == FrameTimes(
        array("q", [0, 1000, 2000]),
        1000,
        4,
        decoding_times=False,
        starts_on_key=True,
        end=1,
        steps=(1000, 1000),
        key_frames=KeyFrames(array("q", [0]), array("q", [-1000]), array("b", [1])),
    )


def test_decoding_times_stand_in_for_presentation_times_and_move_by_the_decoders_delay() -> None:
    times = read("N/A,0,1,1,0,K_\n2,1,1,1,0,__\nN/A,2,N/A,1,0,__\n")
    assert times.decoding_times
    later = times.starting_at(1)
    assert (later.ticks.tolist(), later.delay) == ([1, 2, 3], 1)


def test_frames_before_the_first_that_decodes_are_left_out() -> None:
    times = read("0,0,1,1,0,__\n1,1,1,1,0,K_\n2,2,1,1,0,__\n")
    assert not times.certain_start
    assert times.starting_at(1).ticks.tolist() == [1, 2]


def test_nothing_readable_is_no_frames() -> None:
    assert read("garbage\n,,\n").ticks.tolist() == []


@pytest.mark.parametrize(
    ("container", "declared", "seconds", "cut"),
    [
        (MP4, 60, "2.0", False),
        (MP4, 120, "4.0", True),
        (MP4, 61, "2.03", False),
        (MP4, 90, "2.0", False),
        ("avi", 300_000, "2.1", True),  # of 3.3 seconds; FFmpeg shortens it where the file is too short
        ("avi", 200_000, "2.1", False),
        ("avi", 300_000, "3.3333", False),  # ends with empty ticks
        ("avi", 1 << 30, "2.1", False),
    ],
)
def test_a_table_of_contents_that_promises_more_means_a_cut(
    container: str, declared: int, seconds: str, cut: bool
) -> None:
    times = timed(grid(Fraction(30), NINETY_KHZ, 60))
    declaring = stream(NINETY_KHZ, real="30/1", nb_frames=str(declared), duration=seconds)
    assert breaks_off(declaring, times, timing_of(declaring, times), container) is cut


def test_headers_alone_tell_rate_frames_and_length() -> None:
    headers = stream(NINETY_KHZ, "30/1", "30/1", nb_frames="60", duration="2.0", start_pts=900)
    timing = declared_timing(headers)
    assert timing is not None
    assert (timing.rate, timing.variable, timing.frames, timing.duration, timing.start) == (
        30,
        False,
        60,
        2,
        Fraction(1, 100),
    )


@pytest.mark.parametrize(
    "said",
    [{}, {"nb_frames": "60"}, {"nb_frames": "90", "duration": "2.5"}],
    ids=["no length", "frames alone", "frames that an edit list hides"],
)
def test_headers_that_say_too_little_or_contradict_each_other_are_not_believed(said: dict[str, str]) -> None:
    assert declared_timing(stream(NINETY_KHZ, "30/1", "30/1", **said)) is None


@pytest.mark.parametrize(
    ("decoding", "container", "jumps"),
    [
        ((0, 3000, 6000), "mpegts", False),
        ((0, 3000, 900_000), "mpegts", False),
        ((0, 3000, 0), "mpegts", True),
        ((0, 3000, 910_000), "mpegts", True),
        ((0, 3000, 910_000), "matroska,webm", False),
    ],
)
def test_a_clock_that_starts_anew_is_noticed(decoding: tuple[int, ...], container: str, jumps: bool) -> None:
    times = read("\n".join(f"{tick},{tick},3000,1,0,K_" for tick in decoding))
    assert clock_jumps(stream(NINETY_KHZ), times, container) is jumps
