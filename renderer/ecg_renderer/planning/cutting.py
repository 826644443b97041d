"""What captions do on every frame (alive, changing, replayed), and the cuts that follow from it.

A range of frames is cut into the blocks of a film, the cells that are missing into segments of about the same work.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ecg_api.options import EncoderName, Preset
from ecg_renderer.media.codecs import CODECS, x264_cost
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
    begin = grid.first_at_or_after(start, _SAMPLED_AFTER + _EDGE)
    return FrameRange(begin, max(begin, grid.first_at_or_after(end, _SAMPLED_AFTER - _EDGE)))


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
    kind: tuple[str, ...] = (),
) -> Film:
    """Return what is drawn on `frames`; `modules` are the plugins that an origin gave, by name and version.

    `kind` is that of all films of the job (`kind_of`). Its blocks are together all frames with a caption alive, and no
    others. None crosses the border of a cell, so that a cell is drawn alike alone and among others.
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
    fonts = font_uses(data)
    return Film(data, plugins, *size, grid.rate, tuple(blocks), preview_layout, grid.start, fetched, fonts, kind)


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


# --- what frames cost: estimates, which balance segments and tell a person how long to wait -------


# CPU time in picoseconds for each pixel of the result, measured on one server core with ordinary footage.
_DECODE = 4_000
_OVERLAY = 1_000  # each frame with a caption
_CAPTURE = 2_300  # each different caption picture: seek, paint, read, convert
_NVENC = 200  # CPU that feeds the GPU
_NVENC_ENGINE = 1_300  # picoseconds of the GPU's encoder: the floor of the wall clock
_START_SECONDS = 1.5  # Python, Chromium, FFmpeg and the look at the source


@dataclass(frozen=True)
class FrameCosts:
    """CPU time of one frame, in picoseconds for each pixel.

    `every` is spent on all frames, `captioned` more on those with a caption alive, `distinct` more on those
    whose caption picture is new. `engine` is time of the GPU's encoder, beside the CPU.
    """

    every: int
    captioned: int = _OVERLAY
    distinct: int = _CAPTURE
    engine: int = 0

    def of_frames(self, activity: Activity) -> NDArray[np.int64]:
        """Return the cost of each frame (int64; picoseconds for each pixel)."""
        return self.every + self.captioned * activity.alive.astype(np.int64) + self.distinct * activity.distinct


def frame_costs(encoder: EncoderName, preset: Preset) -> FrameCosts:
    """Return the costs of a frame that `encoder` makes with `preset`."""
    codec = CODECS[encoder]
    if codec.hardware:
        return FrameCosts(_NVENC, engine=_NVENC_ENGINE)
    return FrameCosts(_DECODE + round(codec.cost * x264_cost(preset)))


def estimate_seconds(
    costs: FrameCosts, pixels: int, *, frames: int, captioned: int, distinct: int, cores: int
) -> float:
    """Return the seconds that a render of `frames` frames of `pixels` pixels takes on `cores` CPU cores."""
    cpu = frames * costs.every + captioned * costs.captioned + distinct * costs.distinct
    busy = max(cpu / max(1, cores), frames * costs.engine)
    return _START_SECONDS + busy * pixels / 1e12


# --- which cells each process renders: runs of missing ones, shared out by work -------------------


def cell_length(frames: int, wished: int, segments: int | None) -> int:
    """Return the frames of a cell: `wished`, or fewer where else there would be less cells than forced `segments`."""
    return max(1, min(wished, frames // segments if segments else wished))


def cut_segments(
    missing: Collection[int],
    work: NDArray[np.int64],
    alive: NDArray[np.bool_],
    *,
    wished: int,
    largest: int | None = None,
) -> list[FrameRange]:
    """Return ranges of cells that together hold all `missing` ones: about `wished`, at most `largest`.

    `work` is that of each cell; `alive` tells whether a caption is alive where it begins, which is a place to cut that
    costs more. A range is a run of missing cells, or a part of one. Only where there are more than `largest` runs,
    the ones with the fewest cells between them are joined, and what lies between is rendered once more.
    """
    runs = [FrameRange(run.start, run.stop) for run in runs_of(missing)]
    while largest and len(runs) > largest:
        gaps = [after.start - before.end for before, after in pairwise(runs)]
        at = int(np.argmin(gaps))
        runs[at : at + 2] = [FrameRange(runs[at].start, runs[at + 1].end)]
    shares = _shares([int(work[run.start : run.end].sum()) for run in runs], list(map(len, runs)), wished)
    return [part for run, share in zip(runs, shares, strict=True) for part in _cut(run, share, work, alive)]


def runs_of(cells: Collection[int]) -> list[range]:
    """Return the runs of consecutive ones among `cells`, ascending."""
    runs: list[range] = []
    for cell in sorted(cells):
        if runs and runs[-1].stop == cell:
            runs[-1] = range(runs[-1].start, cell + 1)
        else:
            runs.append(range(cell, cell + 1))
    return runs


def alike(
    cells: Iterable[int], missing: Collection[int], missing_alone: Collection[int]
) -> list[tuple[range, bool, bool]]:
    """Return runs of `cells` of which the same is to be made: the video, the captions alone.

    A cell of which nothing is missing lies between others of its segment: what they lack is made of it once more.
    """
    wanted = {cell: (cell in missing, cell in missing_alone) for cell in cells}
    others = (any(video for video, _ in wanted.values()), not any(video for video, _ in wanted.values()))
    wanted = {cell: kind if any(kind) else others for cell, kind in wanted.items()}
    kinds = ((True, False), (True, True), (False, True))
    runs = [(run, *kind) for kind in kinds for run in runs_of([cell for cell in wanted if wanted[cell] == kind])]
    return sorted(runs, key=lambda run: run[0].start)


def _shares(work: list[int], cells: list[int], wished: int) -> list[int]:
    """Return into how many parts each run is cut: at least one, at most its cells, the longest parts halved first."""
    parts = [1] * len(work)
    while sum(parts) < wished:
        able = [index for index, count in enumerate(parts) if count < cells[index]]
        if not able:
            break
        parts[max(able, key=lambda index: work[index] / parts[index])] += 1
    return parts


def _cut(run: FrameRange, parts: int, work: NDArray[np.int64], alive: NDArray[np.bool_]) -> list[FrameRange]:
    """Cut a run into parts of about equal work."""
    done = np.concatenate(([0], np.cumsum(work[run.start : run.end])))
    cuts = [run.start]
    for part in range(1, parts):
        wished = done[-1] * part / parts
        low, high = cuts[-1] + 1, run.end - (parts - part)
        candidates = np.arange(low, high + 1)
        off = np.abs(done[candidates - run.start] - wished)
        # A quarter of a part's work is worth a cut at which no caption has to be replayed.
        off = off + np.where(alive[candidates], done[-1] / parts / 4, 0)
        cuts.append(int(candidates[np.argmin(off)]))
    return [FrameRange(start, end) for start, end in pairwise([*cuts, run.end])]
