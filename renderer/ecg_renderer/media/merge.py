"""Join finished segments to the result: packets are copied, the sound comes once from the source.

1. check that the segments agree      3. join, add sound, table of contents to the front
2. list them with exact durations     4. read the result back
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate
from pathlib import Path

from ecg_api.options import Format
from ecg_api.plan import SourceFacts
from ecg_renderer.errors import FfmpegError
from ecg_renderer.media.arguments import Merge, merge_arguments, output_start
from ecg_renderer.media.audio import audio_options
from ecg_renderer.media.filters import decimal
from ecg_renderer.media.process import run_ffmpeg
from ecg_renderer.media.verify import Shape, Verified, check_result, check_segment


@dataclass(frozen=True)
class SegmentFile:
    """A finished segment and the frames it must have."""

    path: Path
    frames: int


@dataclass(frozen=True)
class MergeResult:
    """The merged file as read back, and what could not be kept."""

    verified: Verified
    warnings: tuple[str, ...]


async def merge(
    segments: Sequence[SegmentFile],
    *,
    source: SourceFacts,
    url: str,
    rate: Fraction,
    width: int,
    height: int,
    format: Format,  # noqa: A002
    output: Path,
) -> MergeResult:
    """Write the result of a whole job to `output` (a temporary name) and verify it.

    `url` is what FFmpeg opens for the source's sound. Raises FfmpegError when segments do not agree or the result is
    not as planned, ResourceError when the disk is full.
    """
    chosen = {stream.index: audio_options(stream, format) for stream in source.audio}
    audio = {index: options for index, (options, _) in chosen.items()}
    warnings = tuple(dict.fromkeys(warning for _, warning in chosen.values() if warning))
    if len(segments) > 1:
        await asyncio.to_thread(_check_agreement, segments, rate, width, height)
    with _input_of(segments, rate, beside=output) as joined:
        arguments = merge_arguments(Merge(joined, len(segments), source, url, rate, format, output), audio)
        await run_ffmpeg(arguments, action="joining the segments", redact={url: source.uri})
    shape = Shape(width, height, sum(segment.frames for segment in segments), rate)
    start = source.start - output_start(source)
    sounds = len(source.audio)
    verified = await asyncio.to_thread(check_result, output, shape, format=format, start=start, sounds=sounds)
    return MergeResult(verified, warnings)


@contextmanager
def _input_of(segments: Sequence[SegmentFile], rate: Fraction, *, beside: Path) -> Iterator[Path]:
    """Give the only segment itself, or a list of all, which is removed afterwards."""
    if len(segments) == 1:
        yield segments[0].path
        return
    listing = beside.with_name(f"{beside.name}.segments")
    try:
        listing.write_text(concat_list(segments, rate))
        yield listing
    finally:
        listing.unlink(missing_ok=True)


def _check_agreement(segments: Sequence[SegmentFile], rate: Fraction, width: int, height: int) -> None:
    """Raise FfmpegError unless every segment is whole and all are encoded alike."""
    first = None
    for segment in segments:
        check = check_segment(segment.path, Shape(width, height, segment.frames, rate))
        first = first or check
        if check != first:
            raise FfmpegError(
                f"The segment {segment.path.name} was encoded otherwise than {segments[0].path.name} "
                "and cannot be joined with it.",
                hint="Remove the work directory, so that all segments are rendered alike.",
            )


def concat_list(segments: Sequence[SegmentFile], rate: Fraction) -> str:
    """Return a list for FFmpeg's concat demuxer.

    Durations are written out, since the demuxer's own are rounded. It reads whole microseconds, so each is the
    difference of two rounded times from the very start: errors do not add up over the segments.
    """
    ends = [Fraction(decimal(frames / rate)) for frames in accumulate(segment.frames for segment in segments)]
    lines = ["ffconcat version 1.0"]
    for segment, start, end in zip(segments, [Fraction(0), *ends], ends, strict=False):
        quoted = str(segment.path.absolute()).replace("'", r"'\''")
        lines += [f"file 'file:{quoted}'", f"duration {decimal(end - start)}"]
    return "\n".join(lines) + "\n"
