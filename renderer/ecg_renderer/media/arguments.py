"""FFmpeg's argument lists, as pure functions; the graph is put together by ffmpeg-python, we run the process.

segment_arguments   source + caption pictures -> one encoded segment, without sound
still_arguments     the same for one frame -> PNG
merge_arguments     segments + sound of the source -> the result, nothing encoded again that need not be
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from math import ceil
from pathlib import Path
from typing import Any

import ffmpeg

from ecg_api.options import Fit, Format, Preset
from ecg_api.plan import SourceFacts
from ecg_renderer.errors import OptionsError
from ecg_renderer.media.codecs import DEFAULT_THREADS, Coding, EncoderName, encoder_options, pixel_format
from ecg_renderer.media.filters import (
    Filter,
    colour_filters,
    colour_options,
    decimal,
    end_filters,
    grid_filters,
    overlay_options,
    shape_filters,
)
from ecg_renderer.media.inputs import input_name, source_options
from ecg_renderer.media.seeking import seek_seconds
from ecg_renderer.model import Box

# Movie times (durations, offsets between sound and picture) are counted in ticks of this many a second, or a
# little more: a multiple of the frame rate, so that a segment's length is a whole number of them.
_MOVIE_TICKS = 90_000


@dataclass(frozen=True)
class Overlay:
    """Caption pictures: NUT, raw yuva420p of exactly the box's size, in the source's matrix and range.

    Sparse: each picture stays until the next. Times count from the segment's first frame in ticks of exactly one
    frame, which `overlay` compares with the video's; an inexact clock shows captions one frame late.
    """

    box: Box
    input: str
    """A path, or `pipe:0`."""


@dataclass(frozen=True)
class SegmentEncode:
    """What one FFmpeg run makes of the source: output frames `start` up to, not including, `end`."""

    source: SourceFacts
    url: str
    """What FFmpeg opens: a path, or an address with its signature."""

    start: int
    end: int
    rate: Fraction
    width: int
    height: int
    quality: int
    preset: Preset
    encoder: EncoderName
    output: Path
    fit: Fit = "cover"
    overlay: Overlay | None = None
    threads: int = DEFAULT_THREADS

    @property
    def ten_bit(self) -> bool:
        """More than 8 bits of the source are kept as 10."""
        return self.source.bit_depth > 8

    @property
    def full_range(self) -> bool:
        """The result has the full range, as the source; the other encoders take 8 bits in limited range only."""
        return self.source.full_range and self.encoder == "x264"


@dataclass(frozen=True)
class Merge:
    """Segments, in order, and the source whose sound they get."""

    segments: Path
    """The only segment, or a list of `count` for FFmpeg's concat demuxer."""

    count: int

    source: SourceFacts
    url: str
    rate: Fraction
    format: Format
    output: Path


def segment_arguments(job: SegmentEncode) -> list[str]:
    """Return FFmpeg's arguments that encode one segment to an MP4 file without sound.

    MP4 for WebM too: its clock is exact, while WebM's whole milliseconds would add up over the seams. Raises
    OptionsError for NVENC with a source of more than 8 bits, which it cannot encode as H.264.
    """
    if job.encoder == "nvenc" and job.ten_bit:
        raise OptionsError(
            f"NVENC encodes H.264 with 8 bits only, and the source has {job.source.bit_depth}.",
            hint="Set options.encoder to auto or x264.",
        )
    pixels = pixel_format(ten_bit=job.ten_bit, full_range=job.full_range)
    coding = Coding(job.encoder, job.quality, job.preset, job.rate, pixels, job.threads)
    options: dict[str, Any] = {
        **encoder_options(coding),
        **colour_options(job.source, full_range=job.full_range),
        "frames:v": job.end - job.start,
        # The graph has made the rate constant; FFmpeg shall neither add nor drop frames on top.
        "fps_mode": "passthrough",
        "map_metadata": -1,
        "movie_timescale": movie_timescale(job.rate),
        "format": "mp4",
    }
    pictures = _composed(job)
    if job.source.full_range and not job.full_range:
        pictures = pictures.filter("scale", in_range="pc", out_range="tv").filter("format", pixels)
    return _arguments(ffmpeg.output(pictures, f"file:{job.output}", **options))


def still_arguments(job: SegmentEncode) -> list[str]:
    """Return FFmpeg's arguments that write frame `job.start`, captions included, to a PNG at `job.output`."""
    job = replace(job, end=job.start + 1, encoder="x264")
    matrix = {
        "in_color_matrix": job.source.matrix,
        "in_range": "pc" if job.source.full_range else "tv",
        "out_range": "pc",
    }
    picture = _composed(job).filter("scale", **matrix).filter("format", "rgb24")
    options = {"frames:v": 1, "fps_mode": "passthrough", "c:v": "png", "format": "image2", "update": 1}
    return _arguments(ffmpeg.output(picture, f"file:{job.output}", **options))


def merge_arguments(job: Merge, audio: dict[int, dict[str, str | int]]) -> list[str]:
    """Return FFmpeg's arguments that join segments, as they are, with the source's sound.

    `audio` gives the codec options for each audio stream, by its index in the source. Title, chapters and languages
    come from the source too.
    """
    first = output_start(job.source)
    # Segments start at 0. The source keeps its own clock, on which the video began `start` seconds in.
    pictures: dict[str, Any] = {"itsoffset": decimal(job.source.start)} if job.source.start else {}
    if job.count > 1:
        # All segments have the same headers (checked before): nothing needs converting on the way.
        pictures |= {"f": "concat", "safe": 0, "auto_convert": 0, "protocol_whitelist": "file"}
    options: dict[str, Any] = {"map_metadata": 1, "map_chapters": 1, "c:v": "copy", **_container_options(job)}
    for number, codec in enumerate(audio.values()):
        options |= {f"{name}:a:{number}": value for name, value in codec.items()}
    if first:
        options["output_ts_offset"] = decimal(-first)
    maps = [word for index in audio for word in ("-map", f"1:{index}")]
    return [
        "-copyts",
        *(*_words(pictures), "-i", f"file:{job.segments.absolute()}"),
        *(*_words(source_options(job.url, insist=True)), "-i", input_name(job.url)),
        *("-map", "0:v:0", *maps, *_words(options), "-f", job.format, f"file:{job.output}"),
    ]


def output_start(source: SourceFacts) -> Fraction:
    """Return the time, on the source's clock, that becomes 0 in the result: that of its first picture or sound.

    Sound before 0 is what a decoder needs to get going; it is not played.
    """
    return min([source.start, *(max(stream.start, Fraction(0)) for stream in source.audio)])


def _words(options: Mapping[str, Any]) -> list[str]:
    return [word for name, value in options.items() for word in (f"-{name}", str(value))]


def _container_options(job: Merge) -> dict[str, Any]:
    if job.format == "webm":
        return {"cues_to_front": 1}
    return {"movflags": "+faststart", "movie_timescale": movie_timescale(job.rate)}


def movie_timescale(rate: Fraction) -> int:
    """Return ticks a second in which every whole number of frames is exact.

    MP4's default of 1000 rounds a segment's length; at 29.97 every seam would then be 20 ticks too long.
    """
    return rate.numerator * ceil(_MOVIE_TICKS / rate.numerator)


def _composed(job: SegmentEncode) -> Any:
    """Return the stream of finished pictures."""
    options: dict[str, Any] = dict(source_options(job.url, insist=True))
    # What is on screen at the first frame may have begun half a frame before it, where the output's rounds to it.
    seek = seek_seconds(job.source, (job.start - Fraction(1, 2)) / job.rate)
    if seek is not None:
        # From the key frame before: what comes too early is dropped by the fps filter, which must see it to know
        # what is on screen at the first frame.
        options |= {"ss": decimal(Fraction(seek)), "seek_timestamp": 1, "noaccurate_seek": None}
    if job.encoder == "nvenc":
        # NVDEC decodes what it can, FFmpeg the rest; frames come to memory for the overlay either way.
        options["hwaccel"] = "cuda"
    pictures = ffmpeg.input(input_name(job.url), **options)["V:0"]
    pictures = _chained(pictures, grid_filters(job.source, job.start, job.rate))
    pictures = _chained(pictures, end_filters(job.source, job.end, job.rate))
    pictures = _chained(pictures, shape_filters(job.source, job.width, job.height, job.fit))
    pictures = _chained(pictures, colour_filters(job.source))
    if job.overlay:
        captions = _chained(_caption_input(job.overlay), colour_filters(job.source))
        pictures = ffmpeg.overlay(pictures, captions, **overlay_options(job.overlay.box, ten_bit=job.ten_bit))
    return pictures


def _caption_input(overlay: Overlay) -> Any:
    # The NUT header says everything: nothing to find out from the first frames, which may be seconds away.
    options = {"format": "nut", "probesize": 32, "analyzeduration": 0, "protocol_whitelist": "file,pipe"}
    name = overlay.input if overlay.input.startswith("pipe:") else input_name(overlay.input)
    return ffmpeg.input(name, **options)["v:0"]


def _chained(stream: Any, filters: list[Filter]) -> Any:
    for step in filters:
        stream = stream.filter(step.name, *step.arguments, **dict(step.options))
    return stream


def _arguments(output: Any) -> list[str]:
    # Times stay those of the files. FFmpeg would otherwise move every input to 0: a caption that begins five
    # seconds in would be shown at once, and rounding would differ from segment to segment.
    arguments: list[str] = output.global_args("-copyts").get_args()
    return arguments
