"""When frames are shown: exact rate, constant or not, start and length, from the times of all packets.

Containers lie about rates and durations, so where the packets have been counted, they decide.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from statistics import median_low
from typing import Any

STANDARD_RATES = tuple(
    Fraction(rate)
    for rate in ("24000/1001", "24", "25", "30000/1001", "30", "48000/1001", "48", "50", "60000/1001", "60", "120")
)
# A frame that is further from its place in the grid than this share of a frame makes the rate variable.
LARGEST_JITTER = Fraction(45, 100)
HIGHEST_GUESSED_RATE = Fraction(60)
# Tables of contents are off by a frame or two now and then; less than this is not worth refusing a video.
LARGEST_MISSING_SECONDS = Fraction(1, 4)
# FFmpeg's own bound between a pause and a new clock, for containers whose clock may start anew.
LARGEST_STEP_SECONDS = 10
RESTARTING_CLOCKS = ("mpegts", "mpeg")


@dataclass(frozen=True)
class FrameTimes:
    """The frames of a stream, as its packets tell."""

    ticks: list[int]
    """When they are shown, in order, in ticks of the stream's clock; without frames that players skip."""

    last_duration: int
    """Ticks; 0 when not known."""

    packets: int
    """All frames in the file, also those that players skip."""

    decoding_times: bool
    """The times are those of decoding, as AVI keeps only these; they are early by the decoder's delay."""

    starts_on_key: bool
    """False for a recording that starts between two key frames: its first frames cannot be decoded."""

    steps: tuple[int, int] = (0, 0)
    """Least and largest distance of one packet from the one before it in the file, by decoding times, in ticks."""

    @property
    def certain_start(self) -> bool:
        """The first time is that of the first frame that a decoder returns."""
        return self.starts_on_key and not self.decoding_times

    def starting_at(self, first: int) -> FrameTimes:
        """Return the times given that the first decoded frame is shown at tick `first`."""
        if self.decoding_times:
            shift = first - self.ticks[0]
            return replace(self, ticks=[tick + shift for tick in self.ticks])
        return replace(self, ticks=[tick for tick in self.ticks if tick >= first])


@dataclass(frozen=True)
class Timing:
    """When frames are shown: exact rate, seconds of the first frame and of the whole."""

    rate: Fraction
    variable: bool
    start: Fraction
    frames: int
    duration: Fraction


def parse_frame_times(packets: str) -> FrameTimes:
    """Read ffprobe's `pts,dts,duration,flags` lines; frames that players skip (flag D) are not shown."""
    rows = [line.split(",")[:4] for line in packets.splitlines() if line.count(",") >= 3]
    shown = [row for row in rows if "D" not in row[3]]
    decoding_times = any(row[0] == "N/A" for row in shown)
    times = sorted(
        (int(row[decoding_times]), int(row[2]) if row[2].isdigit() else 0)
        for row in shown
        if row[decoding_times] != "N/A"
    )
    return FrameTimes(
        ticks=[tick for tick, _ in times],
        last_duration=times[-1][1] if times else 0,
        packets=len(rows),
        decoding_times=decoding_times,
        starts_on_key=bool(rows) and "K" in rows[0][3],
        steps=_steps([int(row[1]) for row in rows if row[1].lstrip("-").isdigit()]),
    )


def _steps(ticks: list[int]) -> tuple[int, int]:
    found = [later - earlier for earlier, later in pairwise(ticks)]
    return min(found, default=0), max(found, default=0)


def clock_jumps(stream: dict[str, Any], times: FrameTimes, container: str) -> bool:
    """Tell whether the clock starts anew within the file, as where recordings were put behind each other."""
    least, largest = times.steps
    return container in RESTARTING_CLOCKS and (
        least < 0 or largest * Fraction(stream["time_base"]) > LARGEST_STEP_SECONDS
    )


def breaks_off(stream: dict[str, Any], times: FrameTimes, timing: Timing) -> bool:
    """Tell whether a table of contents promises more frames, and a longer time, than the file holds."""
    declared_frames, declared_seconds = stream.get("nb_frames"), stream.get("duration")
    if not declared_frames or not declared_seconds or times.packets >= int(declared_frames):
        return False
    return Fraction(declared_seconds) - timing.duration > LARGEST_MISSING_SECONDS


def timing_of(stream: dict[str, Any], times: FrameTimes) -> Timing:
    """Return the timing of a stream whose frames have been counted (at least one)."""
    tick = Fraction(stream["time_base"])
    ticks = times.ticks
    rate = _constant_rate(stream, ticks, tick)
    variable = rate is None
    if rate is None:
        rate = _typical_rate(ticks, tick)
    last = times.last_duration * tick or 1 / rate
    duration = (ticks[-1] - ticks[0]) * tick + last if variable else len(ticks) / rate
    return Timing(rate, variable, ticks[0] * tick, len(ticks), duration)


def declared_timing(stream: dict[str, Any]) -> Timing | None:
    """Return the timing that the headers claim, or None when they do not say enough, or contradict each other.

    A file's length alone may be that of its sound, and frames are counted with those that an edit list hides.
    """
    tick = Fraction(stream["time_base"])
    average, real = fraction(stream.get("avg_frame_rate")), fraction(stream.get("r_frame_rate"))
    length, declared = stream.get("duration"), int(stream.get("nb_frames") or 0)
    rate = average or real
    if not rate or not length or float(length) <= 0:
        return None
    duration = Fraction(length)
    frames = declared or round(duration * rate)
    if abs(frames - duration * rate) > 1:
        return None
    variable = average != real
    return Timing(
        rate=standard_rate(rate) if variable else rate,
        variable=variable,
        start=int(stream.get("start_pts", 0)) * tick,
        frames=max(1, frames),
        duration=duration if variable else max(1, frames) / rate,
    )


def _constant_rate(stream: dict[str, Any], ticks: list[int], tick: Fraction) -> Fraction | None:
    """Return the rate whose grid all frames lie on, the best of those that container and times suggest."""
    suggestions = [fraction(stream.get("r_frame_rate")), fraction(stream.get("avg_frame_rate"))]
    if ticks[-1] > ticks[0]:
        mean = (len(ticks) - 1) / ((ticks[-1] - ticks[0]) * tick)
        suggestions += [*STANDARD_RATES, mean.limit_denominator(1001)]
    best: tuple[Fraction, Fraction] | None = None
    for rate in filter(None, suggestions):
        jitter = _jitter(ticks, tick * rate)
        # Rates that differ by less than the clock can show are the same: the container's word comes first.
        if jitter < LARGEST_JITTER and (best is None or jitter + tick * rate < best[0]):
            best = jitter, rate
    return best[1] if best else None


def _jitter(ticks: list[int], tick_in_frames: Fraction) -> Fraction:
    """Return the largest distance of a frame from its place on the grid, in frames."""
    numerator, denominator = tick_in_frames.as_integer_ratio()
    first = ticks[0]
    # The last frame alone rules out nearly every wrong rate; this keeps long videos cheap.
    if abs((ticks[-1] - first) * numerator - (len(ticks) - 1) * denominator) >= LARGEST_JITTER * denominator:
        return Fraction(1)
    worst = max(abs((time - first) * numerator - index * denominator) for index, time in enumerate(ticks))
    return Fraction(worst, denominator)


def _typical_rate(ticks: list[int], tick: Fraction) -> Fraction:
    """Return a rate for constant output from the usual distance of frames that come irregularly."""
    steps = [later - earlier for earlier, later in pairwise(ticks) if later > earlier]
    return standard_rate(1 / (median_low(steps) * tick)) if steps else HIGHEST_GUESSED_RATE / 2


def standard_rate(rate: Fraction) -> Fraction:
    """Return the standard rate within 2 percent of `rate`, else the next higher one, 60 at most.

    Never below 24: a recording of a still screen has few frames, but captions on it shall move smoothly.
    """
    nearest = min(STANDARD_RATES, key=lambda standard: abs(standard - rate))
    if abs(nearest - rate) <= nearest / 50:
        return min(nearest, HIGHEST_GUESSED_RATE)
    higher = (standard for standard in STANDARD_RATES if standard > rate and standard.denominator == 1)
    return min(next(higher, HIGHEST_GUESSED_RATE), HIGHEST_GUESSED_RATE)


def fraction(text: str | None) -> Fraction | None:
    """Read FFmpeg's `30000/1001`; None for what it does not know (`0/0`)."""
    numerator, _, denominator = (text or "0/0").partition("/")
    if int(numerator) <= 0 or int(denominator or 1) <= 0:
        return None
    return Fraction(int(numerator), int(denominator or 1))
