"""Believe a file only after reading it: FFmpeg ends with exit status 0 on sources that broke off in the middle.

Only files that we wrote ourselves are read here, so libav may do it inside this process.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

import av
from av.error import FFmpegError as LibavError

from ecg_api.options import Format
from ecg_renderer.errors import FfmpegError, RenderError

# WebM's clock ticks once a millisecond, so its steps cannot be equal; each frame must be at its nearest tick.
_WEBM_TICK = Fraction(1, 1000)
# Opus begins 6.5 ms early for its decoder to get going; WebM, which has no negative times, moves everything by that.
_LARGEST_SHIFT = Fraction(10, 1000)
_READ_BYTES = 1 << 20


@dataclass(frozen=True)
class Shape:
    """What the pictures of a file must be: pixels, frames, frames a second."""

    width: int
    height: int
    frames: int
    rate: Fraction


@dataclass(frozen=True)
class SegmentCheck:
    """What must be the same in all segments of a job for their packets to be joined."""

    codec: str
    pixel_format: str
    headers: str
    """Hash of what a decoder is set up with."""


@dataclass(frozen=True)
class Verified:
    """A finished file as read back."""

    frames: int
    duration_seconds: float
    size_bytes: int
    sha256: str
    video_codec: str
    audio_codecs: tuple[str, ...]


def check_segment(path: Path, shape: Shape) -> SegmentCheck:
    """Check that a segment is whole; raises FfmpegError that says what differs."""
    name = f"The segment {path.name}"
    with _opened(path, name) as container:
        _check_pictures(container, shape, name, start=Fraction(0))
        stream = container.streams.video[0]
        headers = hashlib.sha256(stream.codec_context.extradata or b"").hexdigest()
        return SegmentCheck(stream.codec_context.name, stream.codec_context.pix_fmt or "", headers)


def check_result(path: Path, shape: Shape, *, format: Format, start: Fraction, sounds: int) -> Verified:  # noqa: A002
    """Check a merged file and hash it.

    `start`: when its first frame is shown, in seconds, after the first sound if that comes earlier. `sounds`: audio
    streams. Raises FfmpegError that says what differs.
    """
    with _opened(path, "The result") as container:
        _check_pictures(container, shape, "The result", start=start)
        codec = container.streams.video[0].codec_context.name
        audio = tuple(stream.codec_context.name for stream in container.streams.audio)
        duration = (container.duration or 0) / av.time_base
    _expect(len(audio) == sounds, f"The result has {len(audio)} audio streams instead of {sounds}.")
    shortest = float((shape.frames - 1) / shape.rate)
    _expect(duration > shortest, f"The result says it lasts {duration:.3f} seconds, less than its own pictures.")
    if format != "webm":
        with path.open("rb") as file:
            order = [kind for kind in _boxes(file) if kind in {b"moov", b"mdat"}]
        _expect(order[:1] == [b"moov"], "The result's table of contents is not at its start.")
    size, digest = _hash(path)
    return Verified(shape.frames, duration, size, digest, codec, audio)


def _opened(path: Path, name: str) -> av.container.InputContainer:
    try:
        return av.open(str(path))
    except (LibavError, OSError) as error:
        raise FfmpegError(f"{name} cannot be read back: {error.strerror or error}.") from error


def _check_pictures(container: av.container.InputContainer, shape: Shape, name: str, *, start: Fraction) -> None:
    _expect(len(container.streams.video) == 1, f"{name} has {len(container.streams.video)} video streams.")
    stream = container.streams.video[0]
    size = stream.codec_context.width, stream.codec_context.height
    wanted = shape.width, shape.height
    _expect(size == wanted, f"{name} is {size[0]}x{size[1]} pixels instead of {wanted[0]}x{wanted[1]}.")
    assert stream.time_base is not None
    try:
        times = sorted(packet.pts for packet in container.demux(stream) if packet.pts is not None)
    except LibavError as error:
        raise FfmpegError(f"{name} breaks off while it is read back: {error.strerror}.") from error
    if len(times) != shape.frames:
        raise _wrong_count(name, len(times), shape.frames)
    _check_times(times, stream.time_base, shape.rate, name, start=start)


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


def _boxes(file: BinaryIO) -> Iterator[bytes]:
    """Yield the types of an MP4 file's outermost boxes, in order."""
    position = 0
    while header := file.read(8):
        size, kind = int.from_bytes(header[:4]), header[4:]
        if size == 1:  # the real size follows, in 64 bits
            size = int.from_bytes(file.read(8))
        yield kind
        if size < 8:  # up to the end of the file
            return
        position += size
        file.seek(position)


def _hash(path: Path) -> tuple[int, str]:
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while chunk := file.read(_READ_BYTES):
            digest.update(chunk)
            size += len(chunk)
    return size, digest.hexdigest()
