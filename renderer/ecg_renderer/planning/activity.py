"""Per frame: whether a caption is alive, since when, and whether the picture changes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from ecg_renderer.model import FrameGrid, FrameRange
from ecg_renderer.scenario.model import EDGE, SAMPLED_AFTER, CueSpan

_EDGE, _SAMPLED_AFTER = Fraction(EDGE), Fraction(SAMPLED_AFTER)

# A cut is moved by so many frames to save replaying one: a shifted cut only shifts work. Within a caption
# that is much longer no place is good, and the cut stays where it was wished.
_SHIFT_PER_REPLAYED = 4
_LONG_REPLAY = 100


def alive_frames(start: float, end: float, grid: FrameGrid) -> FrameRange:
    """Return the frames that are sampled from `start` to `end`, in seconds, both inclusive as MotionText compares them.

    A frame that is sampled at an end counts: the browser compares doubles, which may fall on either side. One at the
    end's very time is sampled after it. The range is empty where no frame is shown, or none of the video's.
    """
    shortly_after = float(grid.seconds(grid.frames)) + 1
    first, last = (min(max(seconds, -1.0), shortly_after) for seconds in (start, end))
    begin = grid.first_at_or_after(Fraction(first) - _SAMPLED_AFTER - _EDGE)
    return FrameRange(begin, max(begin, grid.first_at_or_after(Fraction(last) - _SAMPLED_AFTER + _EDGE)))


def pre_roll(frame: int, cues: Iterable[CueSpan], grid: FrameGrid) -> int:
    """Return the first frame to seek before `frame` can be captured: the earliest start of a cue alive at it.

    A caption's picture depends on its history, so that history is replayed on the same grid.
    """
    spans = (alive_frames(cue.start, cue.end, grid) for cue in cues)
    return min((span.start for span in spans if span.start <= frame < span.end), default=frame)


@dataclass(frozen=True)
class Activity:
    """What captions do on every frame of a grid; arrays of one entry a frame.

    Attributes:
        pre_roll: int64; as the function `pre_roll` gives, the frame itself where nothing is alive.
        alive: bool; an element of a caption can be in the page.
        distinct: bool; the picture may differ from that of the frame before. An estimate: captions may be
            still within a plugin's window, and single words may come and go without one.
    """

    pre_roll: NDArray[np.int64]
    alive: NDArray[np.bool_]
    distinct: NDArray[np.bool_]

    @classmethod
    def of(cls, cues: Sequence[CueSpan], grid: FrameGrid) -> Activity:
        """Return the activity of `cues` on `grid`."""
        since = np.arange(grid.frames, dtype=np.int64)
        alive = np.zeros(grid.frames, dtype=np.bool_)
        distinct = np.zeros(grid.frames, dtype=np.bool_)
        for cue in cues:
            span = alive_frames(cue.start, cue.end, grid)
            if not len(span):
                continue
            at = slice(span.start, span.end)
            np.minimum(since[at], span.start, out=since[at])
            alive[at] = True
            distinct[span.start] = True
            distinct[span.end : span.end + 1] = True  # it is gone
            for window in cue.animated:
                moving = alive_frames(*window, grid)
                distinct[moving.start : moving.end] = True
        return cls(since, alive, distinct)

    def replayed(self, frame: int) -> int:
        """Return how many frames have to be sought before `frame` can be captured."""
        return frame - int(self.pre_roll[frame])

    def captioned_frames(self, frames: FrameRange) -> int:
        """Return how many of `frames` can show a caption."""
        return int(np.count_nonzero(self.alive[frames.start : frames.end]))

    def distinct_frames(self, frames: FrameRange) -> int:
        """Return how many different caption pictures `frames` are expected to have."""
        return int(np.count_nonzero(self.distinct[frames.start : frames.end]))

    def stretches(self, frames: FrameRange, *, alive: bool) -> list[FrameRange]:
        """Return the longest runs within `frames` in which all, or no, frames have a caption alive."""
        wanted = self.alive[frames.start : frames.end] == alive
        edges = np.flatnonzero(np.diff(np.concatenate(([False], wanted, [False])).astype(np.int8)))
        return [
            FrameRange(frames.start + int(start), frames.start + int(end))
            for start, end in zip(edges[::2], edges[1::2], strict=True)
        ]


def dead_ranges(cues: Sequence[CueSpan], grid: FrameGrid) -> list[FrameRange]:
    """Return the runs of frames in which no caption is alive: they cost no capture."""
    return Activity.of(cues, grid).stretches(FrameRange(0, grid.frames), alive=False)


def best_cut(activity: Activity, low: int, high: int, wished: int) -> int:
    """Return the best frame from `low` up to `high`, both included, to start something new at.

    A frame without captions if there is one, the nearest to `wished`. Otherwise where little has to be
    replayed, as at a cue's start.
    """
    candidates = np.arange(low, high + 1)
    distance = np.abs(candidates - wished)
    dead = ~activity.alive[low : high + 1]
    if dead.any():
        return int(candidates[dead][np.argmin(distance[dead])])
    replayed = candidates - activity.pre_roll[low : high + 1]
    score = _SHIFT_PER_REPLAYED * np.minimum(replayed, _LONG_REPLAY) + distance
    return int(candidates[np.argmin(score)])
