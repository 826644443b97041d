"""What the result looks like: size, rate, quality, format; and how unusual input is met."""

from __future__ import annotations

from fractions import Fraction
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from ecg_api.base import ManifestModel
from ecg_api.rational import parse_frame_rate
from ecg_api.structural import INT_OR_STRING

SMALLEST_SIDE = 64
LARGEST_SIDE = 7680
HDR_CODECS = "dynamicRange hdr takes codec hevc or av1, or none (hevc; VP9 in webm); players of h264 know 8 bits"
WEBM_CODECS = "format webm takes codec av1, or VP9 if codec is omitted"
NO_SOFT_SUBTITLES = "softSubtitles goes with format mp4 and mov; make WebM's a rendition, .vtt"

Preset = Literal[
    "ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow", "placebo"
]
Format = Literal["mp4", "mov", "webm"]
VideoCodec = Literal["h264", "hevc", "av1"]
Encoder = Literal["auto", "nvenc", "cpu", "x264"]
EncoderName = Literal["x264", "nvenc", "x265", "hevc-nvenc", "svt-av1", "av1-nvenc", "vp9"]
"""An encoder that a job can end up with; a row of the renderer's table of codecs."""
DynamicRange = Literal["auto", "sdr", "hdr"]
Fit = Literal["cover", "contain"]
Layout = Literal["viewport", "preview"]
FramePolicy = Literal["block", "drop"]
UnknownPlugins = Literal["fail", "static"]
Deinterlace = Annotated[Literal["auto", "off"], BeforeValidator(lambda value: "off" if value is False else value)]
"""YAML's bare off is false."""


def _checked_rate(value: object) -> object:
    """Return a rate that is allowed as whole number or text: a bare 29.97 becomes the text of it."""
    parse_frame_rate(value)
    if isinstance(value, float):
        return int(value) if value.is_integer() else f"{value:.6f}".rstrip("0")
    return value


_WRITTEN_RATE = (
    r"^([1-9][0-9]?|1[01][0-9])(\.[0-9]{1,6})?$"
    r"|^120(\.0{1,6})?$"
    r"|^[1-9][0-9]{0,6}/[1-9][0-9]{0,6}$"
)
# Bounds meet numbers, the pattern meets text. A cluster takes no bare 29.97: Kubernetes has no floats in a spec.
_RATE_SCHEMA = {**INT_OR_STRING, "minimum": 1, "maximum": 120, "pattern": _WRITTEN_RATE}
FrameRate = Annotated[int | str, BeforeValidator(_checked_rate), WithJsonSchema(_RATE_SCHEMA)]


class Focus(ManifestModel):
    """A point of the source's picture, in percent of its width and height."""

    x: int = Field(default=50, ge=0, le=100, description="From the left, 0 to 100 percent.")
    y: int = Field(
        default=50,
        ge=0,
        le=100,
        description="From the top, 0 to 100 percent. In YAML for kubectl in quotes, 'y': a bare y is read as true.",
    )


class Options(ManifestModel):
    """Size, rate, quality and format of the result."""

    width: int | None = Field(
        default=None,
        ge=SMALLEST_SIDE,
        le=LARGEST_SIDE,
        description="Width in pixels, 64 to 7680; odd ones are rounded up. Omitted: the source's.",
    )
    height: int | None = Field(
        default=None,
        ge=SMALLEST_SIDE,
        le=LARGEST_SIDE,
        description="Height in pixels, 64 to 7680; odd ones are rounded up. Omitted: the source's.",
    )
    fps: FrameRate | None = Field(
        default=None,
        description="Frames per second, 1 to 120: a whole number, or text such as '29.97' or '30000/1001'; 23.976, "
        "29.97 and 59.94 mean the exact NTSC rates. Omitted: the source's.",
    )
    quality: int = Field(
        default=90,
        ge=10,
        le=100,
        description="Picture quality, 10 to 100: crf = round(36.2 - 0.222 quality), so 60 is x264's crf 23.",
    )
    preset: Preset = Field(
        default="veryfast",
        description="Speed of the encoder, in x264's words; slower ones make smaller files.",
    )
    format: Format = Field(default="mp4", description="Container of the result.")
    codec: VideoCodec | None = Field(
        default=None,
        description="How pictures are compressed: h264 (plays everywhere), hevc or av1 (smaller, slower) in mp4 and "
        "mov; WebM takes av1, or VP9 if this is omitted. Omitted otherwise: h264.",
    )
    encoder: Encoder = Field(
        default="auto",
        description="auto takes NVENC where a test encode works, else the CPU; nvenc and cpu insist. x264 is the "
        "CPU's encoder of h264.",
    )
    dynamic_range: DynamicRange = Field(
        default="auto",
        description="Of an HDR source (HDR10, HLG, Dolby Vision 8) auto and sdr make SDR by tone mapping: BT.709, 8 "
        "bits; hdr keeps it, with 10 bits, as hevc unless codec says av1. SDR sources stay SDR.",
    )
    fit: Fit = Field(
        default="cover",
        description="How a source of another shape fills the result: cover crops, contain adds black bars.",
    )
    focus: Focus | None = Field(
        default=None,
        description="Point of the source that cover keeps in the picture, as near to its middle as the edges allow. "
        "Omitted: the middle.",
    )
    deinterlace: Deinterlace = Field(
        default="auto",
        description="auto makes whole pictures of a source whose pictures are two fields each, one a frame; off leaves "
        "the fields as they are, combed where something moves; for kubectl write it in quotes.",
    )
    layout: Layout = Field(
        default="viewport",
        description="viewport lays captions out on the result's own size; preview on a stage 360 pixels "
        "high, as the editor's player does, scaled up: lines break as they did there.",
    )
    frame_policy: FramePolicy = Field(
        default="block",
        description="When frames come faster than they are encoded: block waits and loses none; drop repeats "
        "the previous caption picture and counts it. The length is right either way.",
    )
    soft_subtitles: bool = Field(
        default=False,
        description="Adds the captions' text to the video as a subtitle track that players can switch on (mov_text); "
        "for mp4 and mov.",
    )
    unknown_plugins: UnknownPlugins = Field(
        default="static",
        description="When the scenario names a caption plugin that is not there: static warns and shows the text "
        "without it, as the editor's preview does; fail stops the job.",
    )

    @model_validator(mode="after")
    def _fits_container(self) -> Self:
        if self.format == "webm" and self.codec not in (None, "av1"):
            raise ValueError(f"{WEBM_CODECS}; found {self.codec}")
        if self.dynamic_range == "hdr" and self.codec == "h264":
            raise ValueError(HDR_CODECS)
        if self.format == "webm" and self.soft_subtitles:
            raise ValueError(NO_SOFT_SUBTITLES)
        return self

    @property
    def rate(self) -> Fraction | None:
        """Exact frames per second, or None for the source's own."""
        return None if self.fps is None else parse_frame_rate(self.fps)
