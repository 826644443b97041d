"""What the encoders are told: quality, speed, key frames, threads. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from ecg_api.options import Format, Preset

EncoderName = Literal["x264", "nvenc", "vp9"]

# Measured on 2 cores at 1080p: 4 threads take 3 percent less CPU time than 8, and no longer than FFmpeg's own 3.
DEFAULT_THREADS = 4
MOST_THREADS = 16
# For NVENC, whose default is a fixed 250 frames and which sees no scene cuts. x264 sets key frames where scenes change;
# a fixed one every 2 seconds would cost 8 percent of the size and 5 of the time.
KEY_FRAME_SECONDS = 2

_NVENC_PRESETS: dict[Preset, str] = {
    "ultrafast": "p1",
    "superfast": "p1",
    "veryfast": "p2",
    "faster": "p3",
    "fast": "p4",
    "medium": "p4",
    "slow": "p5",
    "slower": "p6",
    "veryslow": "p7",
    "placebo": "p7",
}
_VP9_SPEEDS: dict[Preset, int] = {
    "ultrafast": 5,
    "superfast": 5,
    "veryfast": 4,
    "faster": 4,
    "fast": 3,
    "medium": 2,
    "slow": 1,
    "slower": 1,
    "veryslow": 0,
    "placebo": 0,
}
# NVENC's cq scale needs about 3 more than x264's crf for the same size; VP9's runs to 63 instead of 51.
_NVENC_OFFSET = 3
_VP9_FACTOR = 1.35


@dataclass(frozen=True)
class Coding:
    """How pictures are compressed."""

    encoder: EncoderName
    quality: int
    """10 to 100."""

    preset: Preset
    rate: Fraction
    pixel_format: str
    threads: int


def encoder_for(format: Format, *, nvenc: bool) -> EncoderName:  # noqa: A002
    """Return the encoder of a container: WebM holds no H.264."""
    if format == "webm":
        return "vp9"
    return "nvenc" if nvenc else "x264"


def encoder_threads(cores: int) -> int:
    """Return how many threads encode on a machine of `cores`.

    x264's bytes depend on the number: a retry gives the same segment on an equal machine only.
    """
    return max(DEFAULT_THREADS, min(cores, MOST_THREADS))


def x264_crf(quality: int) -> int:
    """Return x264's constant rate factor for a quality of 10 to 100: 60 is 23."""
    return round(36.2 - 0.222 * quality)


def pixel_format(*, ten_bit: bool, full_range: bool) -> str:
    """Return the pixel format that is encoded; with 8 bits, FFmpeg has one of its own for the full range."""
    if ten_bit:
        return "yuv420p10le"
    return "yuvj420p" if full_range else "yuv420p"


def encoder_options(coding: Coding) -> dict[str, str | int]:
    """Return the output options, by name, that choose and set up the encoder."""
    options: dict[str, str | int] = {"pix_fmt": coding.pixel_format}
    if coding.encoder == "x264":
        return options | _x264(coding)
    return options | (_nvenc(coding) if coding.encoder == "nvenc" else _vp9(coding))


def _x264(coding: Coding) -> dict[str, str | int]:
    return {
        "c:v": "libx264",
        "preset": coding.preset,
        "crf": x264_crf(coding.quality),
        "threads": coding.threads,
    }


def _nvenc(coding: Coding) -> dict[str, str | int]:
    return {
        "c:v": "h264_nvenc",
        "preset": _NVENC_PRESETS[coding.preset],
        "tune": "hq",
        "profile:v": "high",
        "rc": "vbr",
        "cq": x264_crf(coding.quality) + _NVENC_OFFSET,
        "b:v": 0,  # else FFmpeg's default of 200 kbit/s caps what cq asks for
        "spatial-aq": 1,
        "bf": 0,  # negative decoding times trip some players; B-frames gain little at constant quality
        "g": max(1, round(coding.rate * KEY_FRAME_SECONDS)),
        "strict_gop": 1,
        "forced-idr": 1,
    }


def _vp9(coding: Coding) -> dict[str, str | int]:
    return {
        "c:v": "libvpx-vp9",
        "crf": min(63, round(x264_crf(coding.quality) * _VP9_FACTOR)),
        "b:v": 0,  # constant quality, not constrained quality
        "deadline": "good",
        "cpu-used": _VP9_SPEEDS[coding.preset],
        "row-mt": 1,
        "threads": coding.threads,
    }
