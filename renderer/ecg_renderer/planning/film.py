"""What captions do on every frame (alive, changing, replayed), and the film of a range of frames, cut into blocks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ecg_renderer.model import Block, Film, FrameGrid, FrameRange, plugins_in
from ecg_renderer.scenario import Scenario, font_uses, plugin_key
from ecg_renderer.scenario.model import EDGE, SAMPLED_AFTER, CueSpan
from ecg_renderer.served import PluginModule

_EDGE, _SAMPLED_AFTER = Fraction(EDGE), Fraction(SAMPLED_AFTER)

# A cut is moved by so many frames to save replaying one: a shifted cut only shifts work. Within a caption
# that moves for much longer no place is good, and the cut stays where it was wished.
_SHIFT_PER_REPLAYED = 4
_LONG_REPLAY = 100
# In seconds; more than a frame, or an edge that is not sharp, can be off.
_NEAR = 2.0


def alive_frames(start: float, end: float, grid: FrameGrid) -> FrameRange:
    """Return the frames that are sampled from `start` to `end`, in seconds, both inclusive as MotionText compares them.

    A frame that is sampled at an end counts: the browser compares doubles, which may fall on either side. One at the
    end's very time is sampled after it. The range is empty where no frame is shown, or none of the video's.
    """
    shortly_after = float(grid.seconds(grid.frames)) + 1
    first, last = (min(max(seconds, -1.0), shortly_after) for seconds in (start, end))
    begin = grid.first_at_or_after(Fraction(first) - _SAMPLED_AFTER - _EDGE)
    return FrameRange(begin, max(begin, grid.first_at_or_after(Fraction(last) - _SAMPLED_AFTER + _EDGE)))


def changing_frames(cue: CueSpan, grid: FrameGrid) -> list[FrameRange]:
    """Return the frames on which `cue` may look otherwise than on the one before: a part of it comes, goes or moves.

    Ascending and apart. A frame at which something goes may be the one after its last.
    """
    edges = (alive_frames(time, time, grid).start for time in cue.changes)
    ranges = [alive_frames(cue.start, cue.start, grid).start, *edges]
    # An edge counts with the frame before and after: the browser compares doubles.
    found = [FrameRange(max(0, frame - 1), min(frame + 2, grid.frames)) for frame in ranges]
    found += [alive_frames(*window, grid) for window in cue.animated]
    return _joined(found)


def replay_before(frame: int, cues: Iterable[CueSpan], grid: FrameGrid) -> tuple[FrameRange, ...]:
    """Return the frames to seek before `frame` can be captured: those on which what is alive at it changed.

    A caption's picture depends on its history (elements are stacked in the order in which they appear, plugins start
    when their time comes), so that history is replayed, but not the frames in it that look like the one before.
    """
    ranges = []
    time = float(grid.seconds(frame))
    for cue in cues:
        if not cue.start - _NEAR < time < cue.end + _NEAR:  # looked at for each block: exact fractions take their time
            continue
        span = alive_frames(cue.start, cue.end, grid)
        if span.start < frame < span.end:
            ranges += [
                FrameRange(max(part.start, span.start), min(part.end, frame)) for part in changing_frames(cue, grid)
            ]
    return tuple(_joined(ranges))


def _joined(ranges: Iterable[FrameRange]) -> list[FrameRange]:
    joined: list[FrameRange] = []
    for part in sorted((part for part in ranges if part.start < part.end), key=lambda part: part.start):
        if joined and part.start <= joined[-1].end:
            joined[-1] = FrameRange(joined[-1].start, max(joined[-1].end, part.end))
        else:
            joined.append(part)
    return joined


@dataclass(frozen=True)
class Activity:
    """What captions do on every frame of a grid; arrays of one entry a frame.

    Attributes:
        alive: bool; an element of a caption can be in the page.
        distinct: bool; the picture may differ from that of the frame before. An estimate: captions may be
            still within a plugin's window.
        replayed: int64; how many frames have to be sought before this one can be captured.
    """

    alive: NDArray[np.bool_]
    distinct: NDArray[np.bool_]
    replayed: NDArray[np.int64]

    @classmethod
    def of(cls, cues: Sequence[CueSpan], grid: FrameGrid) -> Activity:
        """Return the activity of `cues` on `grid`."""
        alive = np.zeros(grid.frames, dtype=np.bool_)
        distinct = np.zeros(grid.frames, dtype=np.bool_)
        replayed = np.zeros(grid.frames, dtype=np.int64)
        for cue in cues:
            span = alive_frames(cue.start, cue.end, grid)
            if not len(span):
                continue
            alive[span.start : span.end] = True
            distinct[span.start] = True
            distinct[span.end : span.end + 1] = True  # it is gone
            own = np.zeros(len(span), dtype=np.int64)
            for part in changing_frames(cue, grid):
                own[max(0, part.start - span.start) : max(0, part.end - span.start)] = 1
            for window in cue.animated:
                moving = alive_frames(*window, grid)
                distinct[moving.start : moving.end] = True
            for time in cue.changes:
                frame = alive_frames(time, time, grid).start
                distinct[frame : frame + 1] = True
            replayed[span.start + 1 : span.end] += np.cumsum(own)[:-1]
        return cls(alive, distinct, replayed)

    def captioned_frames(self, frames: FrameRange) -> int:
        """Return how many of `frames` can show a caption."""
        return int(np.count_nonzero(self.alive[frames.start : frames.end]))

    def distinct_frames(self, frames: FrameRange) -> int:
        """Return how many different caption pictures `frames` are expected to have."""
        return int(np.count_nonzero(self.distinct[frames.start : frames.end]))

    def captioned(self, frames: FrameRange) -> list[FrameRange]:
        """Return the longest runs within `frames` in which all frames have a caption alive."""
        wanted = self.alive[frames.start : frames.end]
        edges = np.flatnonzero(np.diff(np.concatenate(([False], wanted, [False])).astype(np.int8)))
        return [
            FrameRange(frames.start + int(start), frames.start + int(end))
            for start, end in zip(edges[::2], edges[1::2], strict=True)
        ]

    def best_cut(self, low: int, high: int, wished: int) -> int:
        """Return the best frame from `low` up to `high`, both included, to start something new at.

        A frame without captions if there is one, the nearest to `wished`. Otherwise where little has to be
        replayed, as at a cue's start.
        """
        candidates = np.arange(low, high + 1)
        distance = np.abs(candidates - wished)
        dead = ~self.alive[low : high + 1]
        if dead.any():
            return int(candidates[dead][np.argmin(distance[dead])])
        replayed = self.replayed[low : high + 1]
        score = _SHIFT_PER_REPLAYED * np.minimum(replayed, _LONG_REPLAY) + distance
        return int(candidates[np.argmin(score)])


# --- the film of a range of frames ----------------------------------------------------------------


LONGEST_BLOCK = 90
# To seek a frame without capturing it costs about this share of capturing it: a block must be long enough
# for the frames that are replayed before it.
_REPLAYED_PER_CAPTURED = 10


def film_of(
    scenario: Scenario,
    frames: FrameRange,
    grid: FrameGrid,
    activity: Activity,
    *,
    size: tuple[int, int],
    cell_frames: int,
    preview_layout: bool,
    modules: Mapping[str, PluginModule] | None = None,
) -> Film:
    """Return what is drawn on `frames`; `modules` are the plugins that an origin gave, by name and version.

    Its blocks are together all frames with a caption alive, and no others. None crosses the border of a cell, so that
    a cell is drawn alike alone and among others.
    """
    first, last = float(grid.seconds(frames.start)), float(grid.seconds(frames.end - 1))
    data, cues = scenario.slice(first, last), scenario.touching(first, last)
    blocks = (
        block
        for part in _parts(frames, cell_frames)
        for stretch in activity.captioned(part)
        for block in _blocks(stretch, cues, grid, activity)
    )
    plugins = plugins_in(data)
    fetched = {
        name.partition("#")[0]: modules[key] for name in plugins if modules and (key := plugin_key(name)) in modules
    }
    return Film(data, plugins, *size, grid.rate, tuple(blocks), preview_layout, grid.start, fetched, font_uses(data))


def _parts(frames: FrameRange, cell_frames: int) -> list[FrameRange]:
    borders = range((frames.start // cell_frames + 1) * cell_frames, frames.end, cell_frames)
    return [FrameRange(start, end) for start, end in pairwise([frames.start, *borders, frames.end])]


def _blocks(stretch: FrameRange, cues: list[CueSpan], grid: FrameGrid, activity: Activity) -> Iterator[Block]:
    """Cut where little has to be replayed; no block is longer than LONGEST_BLOCK, or a tenth of its replay."""
    start = stretch.start
    while start < stretch.end:
        limit = max(LONGEST_BLOCK, int(activity.replayed[start]) // _REPLAYED_PER_CAPTURED)
        end = stretch.end
        if end - start > limit:
            end = activity.best_cut(start + (limit + 1) // 2, start + limit, start + limit)
        yield Block(FrameRange(start, end), replay_before(start, cues, grid))
        start = end
