"""FFmpeg's argument lists, as pure functions; the graph is put together by ffmpeg-python, we run the process.

segment_arguments   source + caption pictures -> encoded cells, without sound
still_arguments     the same for one frame -> PNG
merge_arguments     cells + sound of the source -> the result, nothing encoded again that need not be
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import count
from math import ceil
from pathlib import Path
from typing import Any

import ffmpeg

from ecg_api.plan import SourceFacts, Target, TrackFacts
from ecg_renderer.media.codecs import CODECS, DEFAULT_THREADS, Track, encoder_options
from ecg_renderer.media.facts import specifier
from ecg_renderer.media.filters import (
    Filter,
    changes_shape,
    colour_filters,
    colour_options,
    decimal,
    deep_filters,
    grid_filters,
    opaque_filters,
    overlay_options,
    shape_filters,
    steady_filters,
    tone_map_filters,
)
from ecg_renderer.media.placing import output_start
from ecg_renderer.media.process import input_name, option_words, source_options
from ecg_renderer.model import MEGABYTE, Area, Box, packed

LEAD_FRAMES = 32
"""How many frames after 0 the first one is timed while it is not merged: no decoder's delay leads below 0, where
muxers would move the first cell but no other."""
_CELL_FLAGS = "+frag_keyframe+empty_moov+default_base_moof+frag_discont"
# FFmpeg's own decoders of these pass over the alpha.
_ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
# Movie times (durations, offsets between sound and picture) are counted in ticks of this many a second, or a
# little more: a multiple of the frame rate, so that a segment's length is a whole number of them.
_MOVIE_TICKS = 90_000
# Those that players go by, and every FFmpeg knows.
_DISPOSITIONS = frozenset(
    {"default", "dub", "original", "comment", "forced", "hearing_impaired", "visual_impaired", "captions"}
)
# FFmpeg sleeps for 10 ms whenever a pipe has nothing for it, and its own 8 packets are gone in a moment: joining pieces
# was waiting for the most part. More of them wait for each other, as far as they are small.
_LEAST_QUEUED, _MOST_QUEUED = 8, 256
_QUEUED_BYTES = 64 * MEGABYTE
_TELEVISION = (None, "bt709", "smpte170m", "smpte240m", "bt470bg", "bt470m")


@dataclass(frozen=True)
class Overlay:
    """Caption pictures: NUT, raw yuva420p of exactly the area's size, in the source's matrix and range.

    Sparse: each picture stays until the next. Times are those of the pictures that they lie over, in ticks of exactly
    one frame, which `overlay` compares with the video's; an inexact clock shows captions one frame late.
    """

    area: Area
    input: str
    """A path, or `pipe:0`."""


@dataclass(frozen=True)
class Pictures:
    """Output frames `start` up to, not including, `end`: those of the source, shaped, with captions over them."""

    source: SourceFacts
    url: str
    """What FFmpeg opens: a path, or an address with its signature."""

    target: Target
    start: int
    end: int
    seek: float | None
    """Where the source is read from, on its clock; None is its beginning."""

    overlay: Overlay | None = None
    tone_map: Path | None = None
    """The table by which an HDR source becomes SDR; None where nothing is tone-mapped."""

    @property
    def ten_bit(self) -> bool:
        """Captions are laid over pictures of 10 bits."""
        colour = self.target.colour
        return not colour.tone_mapped and max(self.source.bit_depth, colour.bit_depth) > 8

    @property
    def full_range(self) -> bool:
        """Captions are laid over pictures of full range."""
        return self.source.full_range and not self.target.colour.tone_mapped


@dataclass(frozen=True)
class CellFiles:
    """Where one FFmpeg run writes cells: `folder/cell-NUMBER.mp4`, from the number `first` on, `frames` in each."""

    folder: Path
    first: int
    frames: int

    def path(self, number: int) -> Path:
        """Return the file of a cell."""
        return self.folder / f"cell-{number}.mp4"

    def captions_path(self, number: int) -> Path:
        """Return the file of a cell of captions alone."""
        return self.folder / f"captions-{number}.zip"

    @property
    def pattern(self) -> str:
        """The files' names as FFmpeg's muxer takes them."""
        return f"file:{str(self.folder.absolute()).replace('%', '%%')}/cell-%d.mp4"


@dataclass(frozen=True)
class Merge:
    """What is made of cells that come through `pipe:0`, and of the source whose sound they get."""

    target: Target
    source: SourceFacts
    url: str
    output: Path
    packet_bytes: int
    """How large a packet of the cells is: the mean of those in the largest cell."""

    subtitles: Path | None = None
    """An .srt file that becomes a track which players can switch on."""

    sound_early: Fraction = Fraction(0)
    """By how many seconds FFmpeg writes sound too early, so that pictures have to be as early."""


def segment_arguments(pictures: Pictures, cells: CellFiles, *, threads: int = DEFAULT_THREADS) -> list[str]:
    """Return FFmpeg's arguments that encode `pictures` to cells, without sound.

    A cell is a fragmented MP4 file on the clock of the whole result, whatever process wrote it; each begins with a key
    frame that nothing reaches across, and all have the same header. MP4 for WebM too: its clock is exact, while WebM's
    whole milliseconds would add up over the seams.
    """
    target, source = pictures.target, pictures.source
    options: dict[str, Any] = {
        **encoder_options(target, threads=threads, cell_frames=cells.frames),
        **colour_options(source, target.colour),
        "frames:v": pictures.end - pictures.start,
        # The graph has made the rate constant; FFmpeg shall neither add nor drop frames on top.
        "fps_mode": "passthrough",
        "max_error_rate": 1,  # damage is told with its times, however much there is in one segment
        "map_metadata": -1,
        **_cell_options(pictures, cells),
    }
    composed = _composed(pictures)
    if pictures.full_range and not target.colour.full_range:
        composed = composed.filter("scale", in_range="pc", out_range="tv").filter("format", options["pix_fmt"])
    return _arguments(ffmpeg.output(composed, cells.pattern, **options))


def _cell_options(pictures: Pictures, cells: CellFiles) -> dict[str, Any]:
    ticks = movie_timescale(pictures.target.exact_rate)
    frames = pictures.end - pictures.start
    # No edit list, and times as they are: a cell is timed where it belongs, whichever process wrote it.
    muxer = [
        f"movflags={_CELL_FLAGS}",
        *("use_editlist=0", "avoid_negative_ts=disabled"),
        *(f"video_track_timescale={ticks}", f"movie_timescale={ticks}"),
    ]
    borders = ",".join(map(str, range(cells.frames, frames, cells.frames))) or str(frames)
    return {
        "force_key_frames": f"expr:not(mod(n,{cells.frames}))",
        "format": "segment",
        "segment_format": "mp4",
        "segment_format_options": ":".join(muxer),
        "segment_frames": borders,
        "segment_start_number": cells.first,
    }


def still_arguments(pictures: Pictures, output: Path) -> list[str]:
    """Return FFmpeg's arguments that write frame `pictures.start`, captions included, to a PNG at `output`."""
    pictures = replace(pictures, end=pictures.start + 1)
    matrix = {
        "in_color_matrix": pictures.target.colour.matrix,
        "in_range": "pc" if pictures.full_range else "tv",
        "out_range": "pc",
    }
    picture = _composed(pictures).filter("scale", **matrix).filter("format", "rgb24")
    if pictures.target.colour.primaries in _TELEVISION:
        # As players show it: with the primaries of old television as a tag, browsers would turn its hues.
        picture = picture.filter("setparams", color_primaries="bt709", color_trc="iec61966-2-1")
    options = {"frames:v": 1, "fps_mode": "passthrough", "c:v": "png", "format": "image2", "update": 1}
    return _arguments(ffmpeg.output(picture, f"file:{output}", **options))


def merge_arguments(job: Merge, tracks: Sequence[Track]) -> list[str]:
    """Return FFmpeg's arguments that give the cells, as they are, `tracks` of the source and an index at the front.

    Titles, chapters, languages and dispositions come from the source too.
    """
    rate, lead = job.target.exact_rate, job.target.lead_frames
    first = output_start(job.source, rate, lead)
    # The source keeps its own clock, on which the first picture has its time.
    late = job.source.start - (lead + LEAD_FRAMES) / rate - job.sound_early
    pictures = {
        "f": "mp4",
        "protocol_whitelist": "pipe",
        "itsoffset": decimal(late),
        "thread_queue_size": max(_LEAST_QUEUED, min(_QUEUED_BYTES // job.packet_bytes, _MOST_QUEUED)),
    }
    options: dict[str, Any] = {"map_metadata": 1, "map_chapters": 1, "c:v": "copy", **_container_options(job.target)}
    if first:
        options["output_ts_offset"] = decimal(-first)
    numbers = {"a": count(), "s": count()}
    numbered = [(track, f"{track.kind}:{next(numbers[track.kind])}") for track in tracks]
    coding = {f"{name}:{place}": value for track, place in numbered for name, value in track.coding.items()}
    # The muxer of FFmpeg 5 calls FLAC in MP4 an experiment; it has been a standard since 2018.
    options |= {"strict": "experimental"} if any(track.facts.codec == "flac" for track in tracks) else {}
    maps = [word for track, _ in numbered for word in ("-map", f"1:{track.facts.index}")]
    texts = []
    if job.subtitles:
        place = f"s:{next(numbers['s'])}"
        texts = ["-f", "srt", "-itsoffset", decimal(job.source.start), "-i", f"file:{job.subtitles}"]
        maps += ["-map", "2:s:0"]
        options |= {f"c:{place}": "mov_text", f"metadata:s:{place}": "title=Captions"}
    named = [(track.facts, place) for track, place in numbered]
    if job.source.video:
        named.insert(0, (job.source.video, "v:0"))
    return [
        "-copyts",
        *(*option_words(pictures), "-i", "pipe:0"),
        *(*option_words(source_options(job.url, insist=True)), "-i", input_name(job.url)),
        *texts,
        *("-map", "0:v:0", *maps, *option_words(options | coding)),
        *(word for facts, place in named for word in _naming(facts, place, job.target)),
        *("-f", job.target.format, f"file:{job.output}"),
    ]


def _naming(facts: TrackFacts, place: str, target: Target) -> list[str]:
    """Return the words that say of a track what the source says of it.

    FFmpeg would make the first track of subtitles one that players show, if the source has none of those.
    """
    tags = {"language": facts.language, "title": facts.title}
    if target.format != "webm":
        tags["handler_name"] = facts.title  # where some players look for it
    words = [word for name, text in tags.items() if text for word in (f"-metadata:s:{place}", f"{name}={text}")]
    return [*words, f"-disposition:{place}", "+".join(sorted(_DISPOSITIONS.intersection(facts.dispositions))) or "0"]


def _container_options(target: Target) -> dict[str, Any]:
    if target.format == "webm":
        return {"cues_to_front": 1}
    ticks = movie_timescale(target.exact_rate)
    tag = CODECS[target.encoder].tag
    return {
        "movflags": "+faststart",
        "movie_timescale": ticks,
        "video_track_timescale": ticks,
        **({"tag:v": tag} if tag else {}),
    }


def movie_timescale(rate: Fraction) -> int:
    """Return ticks a second in which every whole number of frames is exact.

    MP4's default of 1000 rounds a segment's length; at 29.97 every seam would then be 20 ticks too long.
    """
    return rate.numerator * ceil(_MOVIE_TICKS / rate.numerator)


def _composed(job: Pictures) -> Any:
    """Return the stream of finished pictures; frame n of the output has the time LEAD_FRAMES + n, in frames."""
    options: dict[str, Any] = dict(source_options(job.url, insist=True))
    if job.seek is not None:
        # From the key frame before: what comes too early is dropped by the fps filter, which must see it to know
        # what is on screen at the first frame.
        options |= {"ss": decimal(Fraction(job.seek)), "seek_timestamp": 1, "noaccurate_seek": None}
    target = job.target
    if CODECS[target.encoder].hardware:
        # NVDEC decodes what it can, FFmpeg the rest; frames come to memory for the overlay either way.
        options["hwaccel"] = "cuda"
    if job.source.alpha and job.source.codec in _ALPHA_DECODERS:
        options["c:v"] = _ALPHA_DECODERS[job.source.codec]
    if not job.source.turned:
        options["noautorotate"] = None  # what pictures say of themselves, FFmpeg's versions heed differently
    if changes_shape(job.source):
        options["reinit_filter"] = 0  # a graph that begins anew would count its frames anew
    pictures = ffmpeg.input(input_name(job.url), **options)[specifier(job.source)]
    pictures = _chained(pictures, [*steady_filters(job.source), *opaque_filters(job.source)])
    pictures = _chained(pictures, grid_filters(job.source, target, job.start, job.end, late=LEAD_FRAMES))
    pictures = _chained(pictures, shape_filters(job.source, target.width, target.height, target.fit, target.focus))
    if job.tone_map:
        pictures = _chained(pictures, tone_map_filters(job.source, job.tone_map))
    tags = colour_filters(job.source, target.colour)
    pictures = _chained(pictures, tags)
    if job.overlay:
        deep = deep_filters() if job.ten_bit and job.full_range else []
        for part, captions in _caption_parts(job.overlay, [*deep, *tags]):
            pictures = ffmpeg.overlay(pictures, captions, **overlay_options(part, ten_bit=job.ten_bit))
    return pictures


def _caption_parts(overlay: Overlay, tags: list[Filter]) -> Iterator[tuple[Box, Any]]:
    """Yield the parts of the captured area, each with the stream of its captions."""
    captions = _chained(_caption_input(overlay), tags)
    parts = list(packed(overlay.area))
    if len(parts) == 1:
        yield overlay.area.parts[0], captions
        return
    copies = captions.filter_multi_output("split", len(parts))
    for number, (part, top) in enumerate(parts):
        yield part, copies[number].filter("crop", part.width, part.height, 0, top)


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
