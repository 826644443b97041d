"""What a render costs, in one table. Estimates: they balance segments and tell a person how long to wait."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ecg_api.options import EncoderName, Preset
from ecg_renderer.media.codecs import CODECS, x264_cost
from ecg_renderer.planning.activity import Activity

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
