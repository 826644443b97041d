"""What frames cost, and which cells each process renders: runs of missing ones, shared out by work.

Costs are estimates: they balance segments and tell a person how long to wait.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ecg_api.options import EncoderName, Preset
from ecg_renderer.media.codecs import CODECS, x264_cost
from ecg_renderer.model import FrameRange
from ecg_renderer.planning.film import Activity

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


# --- who renders which cells ----------------------------------------------------------------------


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
