"""Believe a file only after reading it: FFmpeg ends with exit status 0 on sources that broke off in the middle.

Only files that we wrote ourselves are read here, so libav may do it inside this process.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

import av
from av.error import FFmpegError as LibavError

from ecg_api.plan import Target
from ecg_renderer.errors import FfmpegError, RenderError, ResourceError
from ecg_renderer.media.arguments import LEAD_FRAMES

# WebM's clock ticks once a millisecond, so its steps cannot be equal; each frame must be at its nearest tick.
# Opus begins 6.5 ms early for its decoder to get going; WebM, which has no negative times, moves everything by that.
_LARGEST_SHIFT = Fraction(10, 1000)
# With less room, a disk counts as full.
_FULL_BYTES = 1024 * 1024


@dataclass(frozen=True)
class Verified:
    """A finished file as read back."""

    frames: int
    duration_seconds: float
    size_bytes: int
    sha256: str
    sounds: int = 0
    """How many tracks of sound it has."""


def check_cell(path: Path, target: Target, start: int, end: int) -> None:
    """Check that a cell holds frames `start` up to, not including, `end` of `target`, and stands alone.

    Raises FfmpegError that says what differs, ResourceError where that is because the disk is full.
    """
    name = f"The piece of frames {start} to {end - 1}"
    lead = (LEAD_FRAMES + start) / target.exact_rate
    try:
        with _opened(path, name) as container:
            _check_pictures(container, target, end - start, name, start=lead)
    except FfmpegError as error:
        # Writing fragments to a full disk, FFmpeg 5 says nothing and ends well.
        if shutil.disk_usage(path.parent).free < _FULL_BYTES:
            raise ResourceError(
                f"The disk is full: {name[0].lower()}{name[1:]} was cut off.",
                hint="Free some space, or keep pieces (--cells) on another disk.",
            ) from error
        raise


def check_result(path: Path, target: Target, *, start: Fraction, sounds: int) -> Verified:
    """Check a merged file and hash it.

    `start`: when its first frame is shown, in seconds, after the first sound if that comes earlier. `sounds`: the most
    audio streams that it may have. Raises FfmpegError that says what differs.
    """
    with _opened(path, "The result") as container:
        _check_pictures(container, target, target.frames, "The result", start=start)
        audio = len(container.streams.audio)
        duration = (container.duration or 0) / av.time_base
    _expect(audio <= sounds, f"The result has {audio} audio streams instead of {sounds}.")
    shortest = float((target.frames - 1) / target.exact_rate)
    _expect(duration > shortest, f"The result says it lasts {duration:.3f} seconds, less than its own pictures.")
    if target.format != "webm":
        with path.open("rb") as file:
            order = [kind for kind, _, _ in boxes(file) if kind in {b"moov", b"mdat"}]
        _expect(order[:1] == [b"moov"], "The result's table of contents is not at its start.")
    return Verified(target.frames, duration, path.stat().st_size, sha256_of(path), audio)


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _opened(path: Path, name: str) -> av.container.InputContainer:
    try:
        return av.open(str(path))
    except (LibavError, OSError) as error:
        raise FfmpegError(f"{name} cannot be read back: {error.strerror or error}.") from error


def _check_pictures(
    container: av.container.InputContainer, target: Target, frames: int, name: str, *, start: Fraction
) -> None:
    _expect(len(container.streams.video) == 1, f"{name} has {len(container.streams.video)} video streams.")
    stream = container.streams.video[0]
    size = stream.codec_context.width, stream.codec_context.height
    wanted = target.width, target.height
    _expect(size == wanted, f"{name} is {size[0]}x{size[1]} pixels instead of {wanted[0]}x{wanted[1]}.")
    assert stream.time_base is not None
    try:
        times = sorted(packet.pts for packet in container.demux(stream) if packet.pts is not None)
    except LibavError as error:
        raise FfmpegError(f"{name} breaks off while it is read back: {error.strerror}.") from error
    if len(times) != frames:
        raise _wrong_count(name, len(times), frames)
    _check_times(times, stream.time_base, target.exact_rate, name, start=start)


def _wrong_count(name: str, found: int, wanted: int) -> RenderError:
    hint = "The source probably breaks off or is damaged; play it to the end to check." if found < wanted else ""
    return FfmpegError(f"{name} has {found} frames instead of {wanted}.", hint=hint, frame=min(found, wanted))


def _check_times(times: list[int], tick: Fraction, rate: Fraction, name: str, *, start: Fraction) -> None:
    """Check that frame n is shown n frames after the first, to the tick where the clock can say it."""
    step, ticks = (1 / rate / tick).as_integer_ratio()
    slack = 0 if ticks == 1 else ticks
    for index, time in enumerate(times):
        if abs((time - times[0]) * ticks - index * step) > slack:
            seconds = float((time - times[0]) * tick)
            raise FfmpegError(
                f"Frame {index} of {name[0].lower()}{name[1:]} is shown at {seconds:.6f} seconds "
                f"instead of {float(index / rate):.6f}.",
                frame=index,
            )
    shown = times[0] * tick
    _expect(
        abs(shown - start) <= max(tick, _LARGEST_SHIFT),
        f"{name} shows its first frame at {float(shown):.4f} seconds instead of {float(start):.4f}.",
    )


def _expect(condition: bool, message: str) -> None:
    if not condition:
        raise FfmpegError(message)


# --- the boxes of MP4 files -----------------------------------------------------------------------


HEADER = (b"ftyp", b"moov")
_SUBTITLES = (b"sbtl", b"text", b"subt")


def header_of(cell: Path) -> bytes:
    """Return what a decoder of a cell is set up with."""
    with cell.open("rb") as file:
        parts = [(start, size) for kind, start, size in boxes(file) if kind in HEADER]
        return b"".join(_read(file, start, size) for start, size in parts)


def _read(file: BinaryIO, start: int, size: int) -> bytes:
    file.seek(start)
    return file.read(size)


def boxes(file: BinaryIO) -> Iterator[tuple[bytes, int, int]]:
    """Yield type, position and bytes of an MP4 file's outermost boxes, in order; the last may be cut off."""
    position = 0
    while len(header := _read(file, position, 8)) == 8:
        size, kind = int.from_bytes(header[:4]), header[4:]
        if size == 1:  # the real size follows, in 64 bits
            size = int.from_bytes(file.read(8))
        if size < 8:  # up to the end of the file
            size = file.seek(0, os.SEEK_END) - position
        yield kind, position, size
        position += size


def disable_subtitles(path: Path) -> None:
    """Mark the subtitle tracks of a finished MP4 file as those that players show when they are asked to.

    FFmpeg's muxer enables the first one if none is, and players would show it above captions that are burnt in.
    """
    with path.open("r+b") as file:
        moov = next((start, size) for kind, start, size in boxes(file) if kind == b"moov")
        content = _read(file, *moov)
        for kind, track, size in _inner(content, 8, len(content)):
            if kind != b"trak":
                continue
            parts = {name: place for name, place, _ in _inner(content, track + 8, track + size)}
            media = parts[b"mdia"]
            length = int.from_bytes(content[media : media + 4])
            handler = {name: place for name, place, _ in _inner(content, media + 8, media + length)}[b"hdlr"]
            if content[handler + 16 : handler + 20] in _SUBTITLES:
                flags = parts[b"tkhd"] + 11  # the lowest of three bytes, behind size, name and version
                file.seek(moov[0] + flags)
                file.write(bytes([content[flags] & ~1]))


def _inner(content: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield type, position and bytes of the boxes between two positions; FFmpeg writes their sizes in 32 bits."""
    while start + 8 <= end:
        size = int.from_bytes(content[start : start + 4])
        if size < 8:
            return
        yield content[start + 4 : start + 8], start, size
        start += size
