"""The encoders: one row each, with all that makes it another than the rest. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction

from ecg_api.options import EncoderName, Format, Preset, VideoCodec
from ecg_api.plan import LightFacts, Target

# Measured on 2 cores at 1080p: 4 threads take 3 percent less CPU time than 8, and no longer than FFmpeg's own 3.
DEFAULT_THREADS = 4
MOST_THREADS = 16
# For NVENC, whose default is a fixed 250 frames and which sees no scene cuts. x264 sets key frames where scenes change;
# a fixed one every 2 seconds would cost 8 percent of the size and 5 of the time.
KEY_FRAME_SECONDS = 2

_PRESETS: tuple[Preset, ...] = (
    "ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow", "placebo",
)  # fmt: skip
_NVENC_PRESETS = dict(zip(_PRESETS, ("p1", "p1", "p2", "p3", "p4", "p4", "p5", "p6", "p7", "p7"), strict=True))
_VP9_SPEEDS = dict(zip(_PRESETS, (5, 5, 4, 4, 3, 2, 1, 1, 0, 0), strict=True))
_SVT_SPEEDS = dict(zip(_PRESETS, (12, 11, 10, 9, 8, 7, 6, 5, 4, 3), strict=True))
# CPU time of x264 in picoseconds for each pixel of the result, measured on one server core with ordinary footage.
_X264_COSTS = dict(
    zip(_PRESETS, (3_000, 8_000, 11_000, 19_000, 23_000, 26_000, 34_000, 66_000, 130_000, 330_000), strict=True)
)
# NVENC's cq scale needs about 3 more than x264's crf for the same size, the newer codecs' numbers mean more at the
# same value, and those of VP9 and AV1 run to 63 instead of 51.
_NVENC_OFFSET = 3
_HEVC_OFFSET = 4
_63_FACTOR = 1.35


@dataclass(frozen=True)
class Coding:
    """How pictures are compressed: a target, in numbers that encoders take.

    `crf` is on x264's scale, 0 to 51; `cell_frames` is after how many frames there has to be a key frame; `light` is
    what HDR10 says about its light.
    """

    preset: Preset
    crf: int
    rate: Fraction
    threads: int
    cell_frames: int
    light: LightFacts | None = None


Options = Mapping[str, str | int]


@dataclass(frozen=True)
class Codec:
    """One encoder.

    Attributes:
        name: what the status says.
        video: what players call it; None for VP9, which no option asks for by name.
        ffmpeg: FFmpeg's name.
        containers: in which its pictures are delivered.
        depths: bits of a component that it takes.
        full_range: it takes luma from 0 to 255, and says so in the file.
        hardware: it is a part of a GPU, which only a test encode can promise.
        setup: its options for a quality and speed.
        cost: CPU time, as a multiple of x264's; 0 for hardware, whose own time counts.
        tag: the name of the codec in MP4, where FFmpeg's own is not what players expect.
    """

    name: EncoderName
    video: VideoCodec | None
    ffmpeg: str
    containers: tuple[Format, ...]
    depths: tuple[int, ...]
    full_range: bool
    hardware: bool
    setup: Callable[[Coding], Options]
    cost: float
    tag: str = ""

    @property
    def title(self) -> str:
        """What the encoder is called in sentences."""
        return {"nvenc": "NVENC"}.get(self.name, self.name)


def _x264(coding: Coding) -> Options:
    return {"preset": coding.preset, "crf": coding.crf, "threads": coding.threads}


def _x265(coding: Coding) -> Options:
    # Its own log goes to the error stream, as if something were wrong. Closed groups: a cell stands alone. No info:
    # the number of threads would be in the header, which has to be the same in all cells.
    parameters = f"log-level=error:open-gop=0:info=0:pools={coding.threads}"
    if coding.light and coding.light.display:
        parameters += f":master-display={coding.light.display}"
    if coding.light and coding.light.content_nits:
        parameters += f":max-cll={coding.light.content_nits},{coding.light.average_nits or 0}"
    return {"preset": coding.preset, "crf": coding.crf + _HEVC_OFFSET, "forced-idr": 1, "x265-params": parameters}


def _svt_av1(coding: Coding) -> Options:
    crf = min(63, round(coding.crf * _63_FACTOR))
    return {
        "preset": _SVT_SPEEDS[coding.preset],
        "crf": crf,
        "g": coding.cell_frames,  # it sets key frames by the clock only, whatever is forced
    }


def _vp9(coding: Coding) -> Options:
    return {
        "crf": min(63, round(coding.crf * _63_FACTOR)),
        "b:v": 0,  # constant quality, not constrained quality
        "deadline": "good",
        "cpu-used": _VP9_SPEEDS[coding.preset],
        "row-mt": 1,
        "threads": coding.threads,
    }


def _nvenc(coding: Coding) -> Options:
    return {
        "preset": _NVENC_PRESETS[coding.preset],
        "tune": "hq",
        "rc": "vbr",
        "cq": coding.crf + _NVENC_OFFSET,
        "b:v": 0,  # else FFmpeg's default of 200 kbit/s caps what cq asks for
        "bf": 0,  # negative decoding times trip some players; B-frames gain little at constant quality
        "g": max(1, round(coding.rate * KEY_FRAME_SECONDS)),
        "strict_gop": 1,
        "forced-idr": 1,
        "spatial-aq": 1,
    }


def _h264_nvenc(coding: Coding) -> Options:
    return {"profile:v": "high", **_nvenc(coding)}


def _hevc_nvenc(coding: Coding) -> Options:
    return {**_nvenc(coding), "cq": coding.crf + _NVENC_OFFSET + _HEVC_OFFSET}


def _av1_nvenc(coding: Coding) -> Options:
    return {**_nvenc(coding), "cq": min(63, round((coding.crf + _NVENC_OFFSET) * _63_FACTOR))}


_MP4: tuple[Format, ...] = ("mp4", "mov")
CODECS: Mapping[EncoderName, Codec] = {
    codec.name: codec
    for codec in (
        Codec("x264", "h264", "libx264", _MP4, (8, 10), True, False, _x264, 1),
        Codec("nvenc", "h264", "h264_nvenc", _MP4, (8,), False, True, _h264_nvenc, 0),
        Codec("x265", "hevc", "libx265", _MP4, (8, 10), True, False, _x265, 3, tag="hvc1"),
        Codec("hevc-nvenc", "hevc", "hevc_nvenc", _MP4, (8, 10), False, True, _hevc_nvenc, 0, tag="hvc1"),
        Codec("svt-av1", "av1", "libsvtav1", ("mp4", "webm"), (8, 10), False, False, _svt_av1, 2),
        Codec("av1-nvenc", "av1", "av1_nvenc", ("mp4", "webm"), (8, 10), False, True, _av1_nvenc, 0),
        Codec("vp9", None, "libvpx-vp9", ("webm",), (8, 10), False, False, _vp9, 6),
    )
}


def encoder_threads(cores: int) -> int:
    """Return how many threads encode on a machine of `cores`.

    x264's bytes depend on the number: a retry gives the same cell on an equal machine only.
    """
    return max(DEFAULT_THREADS, min(cores, MOST_THREADS))


def constant_rate_factor(quality: int) -> int:
    """Return x264's crf for a quality of 10 to 100: 60 is 23."""
    return round(36.2 - 0.222 * quality)


def pixel_format(*, ten_bit: bool, full_range: bool = False, hardware: bool = False) -> str:
    """Return the pixel format that is encoded; with 8 bits, FFmpeg has one of its own for the full range."""
    if ten_bit:
        return "p010le" if hardware else "yuv420p10le"
    return "yuvj420p" if full_range else "yuv420p"


def encoder_options(target: Target, *, threads: int, cell_frames: int) -> dict[str, str | int]:
    """Return FFmpeg's output options, by name, that choose and set up the encoder of `target`."""
    codec = CODECS[target.encoder]
    colour, crf = target.colour, constant_rate_factor(target.quality)
    coding = Coding(target.preset, crf, target.exact_rate, threads, cell_frames, colour.light)
    pixels = pixel_format(ten_bit=colour.bit_depth > 8, full_range=colour.full_range, hardware=codec.hardware)
    tag = {"tag:v": codec.tag} if codec.tag else {}
    return {"pix_fmt": pixels, "c:v": codec.ffmpeg, **codec.setup(coding), **tag}


def x264_cost(preset: Preset) -> int:
    """Return x264's CPU time in picoseconds for each pixel."""
    return _X264_COSTS[preset]
