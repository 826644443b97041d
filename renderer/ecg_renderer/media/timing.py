"""When frames are shown: exact rate, constant or not, start and length, from the times of all packets.

Containers lie about rates and durations, so where the packets have been counted, they decide.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

import numpy as np

from ecg_renderer.errors import SourceInvalid

STANDARD_RATES = tuple(map(Fraction, (
    "24000/1001", "24", "25", "30000/1001", "30", "48000/1001", "48", "50", "60000/1001", "60", "120000/1001", "120",
)))  # fmt: skip
# A frame that is further from its place in the grid than this share of a frame makes the rate variable.
LARGEST_JITTER = Fraction(45, 100)
HIGHEST_GUESSED_RATE = Fraction(60)
# No camera is faster; what is said beyond that is a clock's rate.
HIGHEST_RATE = Fraction(1000)
# So is, probably, what is said beyond this: pictures that follow each other with each tick of a clock have no times.
_HIGHEST_USUAL_RATE = Fraction(480)
_LEAST_TICKED = 10
# Their clock ticks with each picture by definition.
_RATES_ARE_CLOCKS = ("avi", "yuv4mpegpipe")
# Rates that are this close to a standard one mean it.
_SAME_RATE = Fraction(1, 1000)
# So do means that are this close, of pictures that come irregularly.
_SAME_MEAN = Fraction(1, 500)
# A last frame that is said to be this much longer than the others is held; less is rounding, or a field.
LEAST_HELD = Fraction(3, 4)
# Tables of contents are off by a frame or two now and then; less than this is not worth refusing a video.
LARGEST_MISSING_SECONDS = Fraction(1, 4)
# FFmpeg's own bound between a pause and a new clock, for containers whose clock may start anew.
LARGEST_STEP_SECONDS = 10
RESTARTING_CLOCKS = ("mpegts", "mpeg")
# 18 hours at 60 frames a second. A file of 100 MB can hold more, and each costs memory and time.
LARGEST_PACKETS = 4_000_000
_UNKNOWN = -(2**63)
_AVI_UNCOUNTED = 1 << 30  # as FFmpeg writes an AVI into a pipe


@dataclass(frozen=True)
class KeyFrames:
    """The packets at which a decoder may begin, in the file's order, without those that players skip.

    In ticks of the stream's clock.
    """

    shown: array[int] = field(default_factory=lambda: array("q"))
    decoded: array[int] = field(default_factory=lambda: array("q"))
    in_order: array[int] = field(default_factory=lambda: array("b"))
    """1 where no frame before it in the file is shown after it."""


@dataclass(frozen=True)
class FrameTimes:
    """The frames of a stream, as its packets tell."""

    ticks: array[int]
    """When they are shown, in order, in ticks of the stream's clock; without frames that players skip."""

    last_duration: int
    """Ticks; 0 when not known."""

    packets: int
    """All frames in the file, also those that players skip."""

    decoding_times: bool
    """The times are those of decoding, as AVI keeps only these; they are early by the decoder's delay."""

    starts_on_key: bool
    """False for a recording that starts between two key frames: its first frames cannot be decoded."""

    end: int = 0
    """Where the last packet ends in the file, in bytes; 0 when not known."""

    steps: tuple[int, int] = (0, 0)
    """Least and largest distance of one packet from the one before it in the file, by decoding times, in ticks."""

    key_frames: KeyFrames = field(default_factory=KeyFrames)

    delay: int = 0
    """How many ticks after its packet's time the first frame is returned, where the times are those of decoding."""

    @property
    def certain_start(self) -> bool:
        """The first time is that of the first frame that a decoder returns."""
        return self.starts_on_key and not self.decoding_times

    def starting_at(self, first: int) -> FrameTimes:
        """Return the times given that the first decoded frame is shown at tick `first`."""
        if self.decoding_times:
            shift = first - self.ticks[0]
            keys = replace(self.key_frames, shown=_moved(self.key_frames.shown, shift))
            delay = max(0, shift) if self.starts_on_key else 0
            return replace(self, ticks=_moved(self.ticks, shift), key_frames=keys, delay=delay)
        return replace(self, ticks=self.ticks[bisect_left(self.ticks, first) :])


@dataclass(frozen=True)
class Timing:
    """When frames are shown: exact rate, seconds of the first frame and of the whole.

    `held` is how much longer than a frame the last one is shown.
    """

    rate: Fraction
    variable: bool
    start: Fraction
    frames: int
    duration: Fraction
    held: Fraction = Fraction(0)


def _moved(ticks: array[int], shift: int) -> array[int]:
    return array("q", (np.frombuffer(ticks, np.int64) + shift).tobytes())


class PacketReader:
    """Collects ffprobe's `pts,dts,duration,size,pos,flags` lines, in 33 bytes each: a video may have millions."""

    def __init__(self) -> None:
        self._shown, self._decoded, self._durations = array("q"), array("q"), array("q")
        self._keys, self._in_order = array("q"), array("b")
        self._packets = 0
        self._starts_on_key = False
        self._end = 0
        self._latest = self._before = _UNKNOWN
        self._steps: tuple[int, int] | None = None

    def line(self, line: bytes) -> None:
        """Take one packet; raise SourceInvalid when there are too many. Other lines are passed over."""
        row = line.decode(errors="replace").strip().split(",")
        if len(row) < 6:
            return
        self._packets += 1
        if self._packets > LARGEST_PACKETS:
            raise SourceInvalid(
                f"The video has more than {LARGEST_PACKETS:,} frames, which is more than can be rendered.",
                hint="Cut it into parts first.",
            )
        shown, decoded, duration, size, place = (_ticks(word) for word in row[:5])
        self._end = max(self._end, place + size)
        self._starts_on_key |= self._packets == 1 and "K" in row[5]
        self._step(decoded)
        if "D" in row[5]:  # players skip it
            return
        if "K" in row[5]:
            self._keys.append(len(self._shown))
            self._in_order.append(shown >= self._latest)
        self._latest = max(self._latest, shown)
        self._shown.append(shown)
        self._decoded.append(decoded)
        self._durations.append(max(0, duration))

    def _step(self, decoded: int) -> None:
        if decoded == _UNKNOWN:
            return
        if self._before != _UNKNOWN:
            step = decoded - self._before
            least, largest = self._steps or (step, step)
            self._steps = min(least, step), max(largest, step)
        self._before = decoded

    def frame_times(self) -> FrameTimes:
        """Return what the packets tell, all of them having been taken."""
        decoding_times = _UNKNOWN in self._shown
        times = self._decoded if decoding_times else self._shown
        ordered = np.frombuffer(times, np.int64)
        order = np.argsort(ordered, kind="stable")
        order = order[ordered[order] != _UNKNOWN]
        return FrameTimes(
            ticks=array("q", ordered[order].tobytes()),
            last_duration=self._durations[order[-1]] if len(order) else 0,
            packets=self._packets,
            end=self._end,
            decoding_times=decoding_times,
            starts_on_key=self._starts_on_key,
            steps=self._steps or (0, 0),
            key_frames=self._key_frames(times),
        )

    def _key_frames(self, times: array[int]) -> KeyFrames:
        shown = array("q", (times[place] for place in self._keys))
        decoded = array("q", (self._decoded[place] for place in self._keys))
        if decoded and decoded[0] == _UNKNOWN:  # so says Matroska of the first frame, which needs no seeking
            decoded[0] = shown[0]
        if _UNKNOWN in decoded or _UNKNOWN in shown:  # a clock with gaps does not say where seeking ends
            return KeyFrames()
        # Where only decoding times are known, they say nothing about the order in which frames are shown.
        return KeyFrames(shown, decoded, self._in_order if times is self._shown else array("b", [1] * len(shown)))


def _ticks(word: str) -> int:
    return int(word) if word.lstrip("-").isdigit() else _UNKNOWN


def clock_jumps(stream: dict[str, Any], times: FrameTimes, container: str) -> bool:
    """Tell whether the clock starts anew within the file, as where recordings were put behind each other."""
    least, largest = times.steps
    return container in RESTARTING_CLOCKS and (
        least < 0 or largest * Fraction(stream["time_base"]) > LARGEST_STEP_SECONDS
    )


def is_only_ticking(times: FrameTimes, tick: Fraction, container: str) -> bool:
    """Tell whether frames follow each other with each tick of a fast clock: whoever wrote them knew no times."""
    span = times.ticks[-1] - times.ticks[0]
    return len(times.ticks) >= _LEAST_TICKED and span == len(times.ticks) - 1 and _is_clocks(1 / tick, tick, container)


def _is_clocks(rate: Fraction, tick: Fraction, container: str) -> bool:
    """Tell whether a rate is that of a clock, not of pictures."""
    by_ticks = rate * tick >= 1 and container not in _RATES_ARE_CLOCKS
    return rate > (_HIGHEST_USUAL_RATE if by_ticks else HIGHEST_RATE)


def breaks_off(stream: dict[str, Any], times: FrameTimes, timing: Timing, container: str) -> bool:
    """Tell whether a table of contents promises more frames, and a longer time, than the file holds."""
    declared_frames, declared_seconds = stream.get("nb_frames"), stream.get("duration")
    if not declared_frames or not declared_seconds or times.packets >= int(declared_frames):
        return False
    if container != "avi":
        return Fraction(declared_seconds) - timing.duration > LARGEST_MISSING_SECONDS
    # An AVI counts the ticks of its clock, empty ones too. FFmpeg shortens the length of one that is shorter than its
    # RIFF header says, and of no other.
    promised = int(declared_frames) * Fraction(stream["time_base"])
    shortened = promised - Fraction(declared_seconds) > Fraction(1, 1000)  # more than rounding
    missing = promised - timing.start - timing.duration > LARGEST_MISSING_SECONDS
    return int(declared_frames) != _AVI_UNCOUNTED and shortened and missing


def timing_of(stream: dict[str, Any], times: FrameTimes, container: str = "") -> Timing:
    """Return the timing of a stream whose frames have been counted (at least one)."""
    tick = Fraction(stream["time_base"])
    ticks = times.ticks
    rate = _constant_rate(stream, ticks, tick, container)
    variable = rate is None
    if rate is None:
        rate = _typical_rate(ticks, tick)
    last = times.last_duration * tick or 1 / rate
    held = last - 1 / rate if last * rate >= 1 + LEAST_HELD else Fraction(0)
    duration = (ticks[-1] - ticks[0]) * tick + last if variable else len(ticks) / rate + held
    return Timing(rate, variable, ticks[0] * tick, len(ticks), duration, held)


def declared_timing(stream: dict[str, Any], container: str = "") -> Timing | None:
    """Return the timing that the headers claim, or None when they do not say enough, or contradict each other.

    A file's length alone may be that of its sound, and frames are counted with those that an edit list hides.
    """
    tick = Fraction(stream["time_base"])
    average, real = fraction(stream.get("avg_frame_rate")), fraction(stream.get("r_frame_rate"))
    length, declared = stream.get("duration"), int(stream.get("nb_frames") or 0)
    rate = average or real
    if not rate or not length or float(length) <= 0 or _is_clocks(rate, tick, container):
        return None
    duration = Fraction(length)
    frames = declared or round(duration * rate)
    if abs(frames - duration * rate) > 1:
        return None
    variable = average != real
    return Timing(
        rate=_ticked_rate(rate, real) if variable else meant_rate(rate),
        variable=variable,
        start=int(stream.get("start_pts", 0)) * tick,
        frames=max(1, frames),
        duration=duration if variable else max(1, frames) / rate,
    )


def _ticked_rate(average: Fraction, real: Fraction | None) -> Fraction:
    """Return the rate of pictures that come irregularly: a standard one that is their mean, else that of their ticks.

    FFmpeg found all of the first ones at ticks of `real`; those of fields or of another standard fit as well.
    """
    standard = standard_rate(average)
    if abs(standard - average) <= standard * _SAME_MEAN:
        return standard
    usual = real is not None and average <= real <= HIGHEST_GUESSED_RATE and meant_rate(real) in STANDARD_RATES
    return meant_rate(real) if usual and real else standard_rate(average)


def _constant_rate(stream: dict[str, Any], ticks: Sequence[int], tick: Fraction, container: str) -> Fraction | None:
    """Return the rate whose grid all frames lie on, the best of those that container and times suggest.

    Where frames are about their places only, a standard rate is likelier than the broken one that their mean gives,
    which fits them better by chance.
    """
    said, average = (fraction(stream.get(f"{kind}_frame_rate")) for kind in ("r", "avg"))
    said = None if said and _is_clocks(said, tick, container) else said
    suggestions = [meant_rate(rate) for rate in (said, average) if rate and not _is_clocks(rate, tick, container)]
    if ticks[-1] == ticks[0]:
        return next((rate for rate in suggestions if rate <= HIGHEST_GUESSED_RATE), None)
    mean = (len(ticks) - 1) / ((ticks[-1] - ticks[0]) * tick)
    own = meant_rate(mean.limit_denominator(1001))
    suggestions += [] if _is_clocks(own, tick, container) else [own]
    best = _best_rate([*suggestions, *STANDARD_RATES], ticks, tick)
    if best and best[0] <= tick * best[1]:  # to the tick
        return best[1]
    best = _best_rate(STANDARD_RATES, ticks, tick) or _best_rate(suggestions[:1] if said else [], ticks, tick)
    return best[1] if best else None


def _best_rate(rates: Iterable[Fraction], ticks: Sequence[int], tick: Fraction) -> tuple[Fraction, Fraction] | None:
    """Return the largest distance from its place in frames, and the rate at which it is least."""
    best: tuple[Fraction, Fraction] | None = None
    for rate in rates:
        jitter = _jitter(ticks, tick * rate)
        # Rates that differ by less than the clock can show are the same: the container's word comes first.
        if jitter < LARGEST_JITTER and (best is None or jitter + tick * rate < best[0]):
            best = jitter, rate
    return best


def meant_rate(rate: Fraction) -> Fraction:
    """Return the standard rate that a rate is within a thousandth of, or the rate as it is.

    30 and 29.97 are a thousandth apart.
    """
    nearest = min(STANDARD_RATES, key=lambda standard: abs(standard - rate))
    return nearest if abs(nearest - rate) < nearest * _SAME_RATE else rate


def _jitter(ticks: Sequence[int], tick_in_frames: Fraction) -> Fraction:
    """Return the largest distance of a frame from its place on the grid, in frames."""
    numerator, denominator = tick_in_frames.as_integer_ratio()
    first = ticks[0]
    # The last frame alone rules out nearly every wrong rate; this keeps long videos cheap.
    if abs((ticks[-1] - first) * numerator - (len(ticks) - 1) * denominator) >= LARGEST_JITTER * denominator:
        return Fraction(1)
    worst = max(abs((time - first) * numerator - index * denominator) for index, time in enumerate(ticks))
    return Fraction(worst, denominator)


def _typical_rate(ticks: Sequence[int], tick: Fraction) -> Fraction:
    """Return a rate for constant output from the usual distance of frames that come irregularly.

    That is the mean of those about the middle one: a clock of milliseconds has none that is a sixtieth of a second.
    """
    steps = np.diff(np.array(ticks, np.int64))
    steps = np.sort(steps[steps > 0])
    if not len(steps):
        return HIGHEST_GUESSED_RATE / 2
    middle = int(steps[(len(steps) - 1) // 2])
    usual = steps[abs(steps - middle) <= middle // 4]
    return standard_rate(1 / (Fraction(int(usual.sum()), len(usual)) * tick))


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
