"""Where a source's pictures lie among the frames of the result, and when those are shown. Pure.

    frame     0 .. lead       lead .. lead + pictures          .. frames
    shows     black           the source's pictures, each      the last picture, held
                              at the frame nearest to it       while the sound goes on

Times are presentation times: 0 is what a player calls 0, whenever the first picture comes.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor

import numpy as np

from ecg_api.plan import SeekPoint, SourceFacts, Target
from ecg_renderer.media.process import INDEXED_FORMATS, UNTIMED_FORMATS
from ecg_renderer.media.timing import FrameTimes, Timing

# Their clocks begin anywhere; those of all other containers begin at 0.
FREE_CLOCKS = ("mpegts", "mpeg")
# Who waits longer for the first picture and sound watches a part of a longer recording, which keeps its clock.
_LONGEST_SILENCE = 10
# Durations come as doubles; no container's clock ticks finer than this.
_FINEST_CLOCK = 10_000_000


@dataclass(frozen=True)
class Placing:
    """The pictures of a source among the frames of a result.

    Attributes:
        rate: of the result, frames per second.
        lead: black frames before the first picture.
        pictures: frames from the first picture to the last one's own.
        deinterlace: whole pictures are made of fields, for which the picture before has to be there.
    """

    rate: Fraction
    lead: int
    pictures: int
    deinterlace: bool = False

    @classmethod
    def of(cls, source: SourceFacts, target: Target) -> Placing:
        """Return that of a source in its result."""
        rate = target.exact_rate
        return cls(rate, target.lead_frames, picture_frames(source, rate), target.deinterlace)

    def source_frame(self, frame: int) -> int:
        """Return the frame, counted from the first picture, whose picture is on screen at frame `frame`."""
        return min(max(frame - self.lead, 0), self.pictures - 1)

    def seek(self, source: SourceFacts, frame: int) -> float | None:
        """Return where to put the decoder so that `frame` and all later ones are right; see `seek_seconds`."""
        first = self.source_frame(frame)
        if self.deinterlace:
            first = max(0, first - 1 - ceil(self.rate / source.exact_rate))
        return seek_before(source, first, self.rate)


def output_start(source: SourceFacts, rate: Fraction, lead: int) -> Fraction:
    """Return the time, on the source's clock, that becomes 0 in the result: that of its first frame or sound.

    Sound before 0 is what a decoder needs to get going; it is not played.
    """
    return min([source.start - lead / rate, *(max(stream.start, Fraction(0)) for stream in source.audio)])


def presentation_zero(source: SourceFacts) -> Fraction:
    """Return presentation time 0, in seconds on the file's clock: what captions count from."""
    first = output_start(source, source.exact_rate, 0)
    if source.container in FREE_CLOCKS or first > _LONGEST_SILENCE:
        return first
    return min(first, Fraction(0))


def start_seconds(source: SourceFacts, rate: Fraction, lead: int) -> Fraction:
    """Return the presentation time of the result's first frame, `lead` frames before the first picture."""
    return source.start - presentation_zero(source) - lead / rate


def picture_frames(source: SourceFacts, rate: Fraction) -> int:
    """Return how many frames of `rate` the pictures are, without those for which the last one is held.

    As FFmpeg's `fps` filter counts: duration times rate, halves rounded up, at least one.
    """
    if not source.variable_rate and rate == source.exact_rate:
        return source.frames
    return frames_in(moving_seconds(source), rate)


def moving_seconds(source: SourceFacts) -> Fraction:
    """Return the seconds from the first picture until the last has been shown for a frame."""
    if not source.variable_rate:
        return source.frames / source.exact_rate
    return exact(source.duration_seconds) - exact(source.held_seconds)


def frames_in(seconds: Fraction, rate: Fraction) -> int:
    """Return the frames of so many seconds, halves rounded up, at least one."""
    return max(1, floor(seconds * rate + Fraction(1, 2)))


def exact(seconds: float) -> Fraction:
    """Return the time that a container's clock had for a double."""
    return Fraction(seconds).limit_denominator(_FINEST_CLOCK)


# --- where a decoder must be put so that a picture and all later ones are right -------------------
# Key frames alone do not say it. Frames that are shown before an open group's key frame, but stored after it, need the
# group before; a stream that refreshes little by little has no whole picture for a while after what it calls a key
# frame; and containers are searched by other times than those at which frames are shown. What the packets of the
# source told is put into pairs: seek there, and from then on all pictures are right.


# More points make plans longer and save little: up to half a second of decoding a segment.
_LEAST_DISTANCE_SECONDS = 0.5
_MOST_POINTS = 2000

# For sources whose packets were not counted. An index leads to a key frame; those that are shown before it, though
# stored after it, are at most 16 frames early. Without an index a search ends anywhere, and a key frame must follow.
_REORDERED_FRAMES = 17
_SEARCHED_SECONDS = 10


def seek_points(
    times: FrameTimes, timing: Timing, *, tick: Fraction, container: str, recovery: float
) -> list[SeekPoint]:
    """Return the places in a source at which a decoder may be put, in order, on the file's clock.

    `tick` is the length of one tick of the stream's clock in seconds, `recovery` how many seconds after a key frame the
    decoder returns the first picture. Empty when there is only the beginning.
    """
    keys = times.key_frames
    shown, decoded = (np.array(ticks, np.int64) * float(tick) for ticks in (keys.shown, keys.decoded))
    if not len(shown):
        return []
    following = np.append(shown[1:], np.inf)
    # With decoding times alone, a key frame is shown at the latest when the next one is decoded. Where pictures
    # refresh little by little, how long it takes may differ, but it is over when it begins anew.
    clean = np.maximum(shown + recovery, following) if times.decoding_times or recovery else shown
    frame = 1 / float(timing.rate)
    if container in INDEXED_FORMATS:
        # Indexes have the one time or the other, rounded; none may lead to the next key frame.
        aim = (decoded if times.decoding_times else shown) + frame / 4
        found = np.append(decoded[1:], np.inf) > aim
    else:
        aim = decoded - frame / 2
        found = np.ones(len(aim), bool)
    usable = found & np.isfinite(clean) & (np.array(keys.in_order) == 1)
    aim, clean = aim[usable], clean[usable]
    distance = max(_LEAST_DISTANCE_SECONDS, float(timing.duration) / _MOST_POINTS)
    _, first = np.unique(np.floor(clean / distance), return_index=True)
    return [SeekPoint(seek=round(aim[place], 6), right=round(clean[place], 6)) for place in map(int, first)]


def seek_seconds(source: SourceFacts, seconds: float | Fraction) -> float | None:
    """Return where to put the decoder, on the file's clock, or None for the file's beginning.

    The picture that is on screen `seconds` after the source's first frame, and all later ones, are then right.
    """
    if source.container in UNTIMED_FORMATS:
        return None
    wanted = float(source.returned + Fraction(seconds))
    if source.seek_points is None:
        frames = _REORDERED_FRAMES / float(source.exact_rate)
        margin = frames if source.container in INDEXED_FORMATS else _SEARCHED_SECONDS
        seek = wanted - margin - source.recovery_seconds
        return round(seek, 6) if seek > source.start else None
    place = bisect_right(source.seek_points, wanted, key=lambda point: point.right) - 1
    if place < 0 or source.seek_points[place].seek <= source.start + 1 / source.exact_rate:
        return None
    return source.seek_points[place].seek


def seek_before(source: SourceFacts, frame: int, rate: Fraction) -> float | None:
    """Return where to put the decoder so that frame `frame` and all later ones are right; see `seek_seconds`.

    Frames of `rate` count from the first picture.

    What is on screen at a frame may have begun half a frame before it, where the output's rounds to it.
    """
    return seek_seconds(source, (frame - Fraction(1, 2)) / rate)
