"""Where the video is cut into segments."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ecg_renderer.model import FrameGrid, FrameRange
from ecg_renderer.planning.activity import Activity, best_cut
from ecg_renderer.planning.costs import TYPICAL_COSTS, FrameCosts
from ecg_renderer.scenario.model import CueSpan

# A cut moves at most this share of a segment away from where the work is balanced. Below a half, so that
# neighbouring cuts can neither meet nor cross.
_REACH = 0.25


def cut_segments(
    grid: FrameGrid,
    cues: Sequence[CueSpan],
    *,
    max_segments: int | None,
    target_seconds: float,
    forced: int | None = None,
    costs: FrameCosts = TYPICAL_COSTS,
) -> list[FrameRange]:
    """Return the segments: all frames of `grid`, in order, none empty.

    About one for each `target_seconds` of video and at most `max_segments`; `forced` asks for an exact
    number, which only a shorter video can lower. The work by `costs` is balanced; then each cut moves to a
    frame without captions, or else to a cue's start, if one is near.
    """
    activity = Activity.of(cues, grid)
    count = _count(grid, max_segments, target_seconds, forced)
    balanced = _balanced_cuts(costs.of_frames(activity), count)
    edges = [0]
    for index in range(1, count):
        wished = balanced[index]
        low = wished - int(_REACH * (wished - balanced[index - 1]))
        high = wished + int(_REACH * (balanced[index + 1] - wished))
        edges.append(best_cut(activity, low, high, wished))
    edges.append(grid.frames)
    return [FrameRange(start, end) for start, end in pairwise(edges)]


def _count(grid: FrameGrid, max_segments: int | None, target_seconds: float, forced: int | None) -> int:
    if forced is None:
        forced = max(1, round(float(grid.seconds(grid.frames)) / target_seconds))
        forced = min(forced, max_segments or forced)
    return max(1, min(forced, grid.frames))


def _balanced_cuts(work: NDArray[np.int64], count: int) -> list[int]:
    """Return `count` + 1 ascending frames, 0 and the last included, with equal work between neighbours."""
    done = np.concatenate(([0], np.cumsum(work)))
    total = int(done[-1])
    cuts = [int(np.searchsorted(done, total * index // count)) for index in range(count + 1)]
    for index in range(1, count + 1):
        cuts[index] = max(cuts[index], cuts[index - 1] + 1)
    cuts[count] = len(work)
    for index in range(count - 1, 0, -1):
        cuts[index] = min(cuts[index], cuts[index + 1] - 1)
    return cuts
