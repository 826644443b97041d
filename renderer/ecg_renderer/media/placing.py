"""Where a source's pictures lie among the frames of the result, and when those are shown. Pure.

    frame     0 .. lead       lead .. lead + pictures          .. frames
    shows     black           the source's pictures, each      the last picture, held
                              at the frame nearest to it       while the sound goes on

Times are presentation times: 0 is what a player calls 0, whenever the first picture comes.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor

from ecg_api.plan import SourceFacts, Target
from ecg_renderer.media.seeking import seek_before

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
