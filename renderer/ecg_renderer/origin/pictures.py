"""GIFs as still pictures of all their frames: what a page shows by the time of the video, not by a browser's clock."""

from __future__ import annotations

import io
from collections.abc import Mapping
from fractions import Fraction
from math import ceil, sqrt

import av
import numpy as np
from numpy.typing import NDArray

from ecg_renderer.served import PluginModule, Sheet, is_gif

LARGEST_SHEET = 40_000_000
"""Pixels of all frames of a GIF together; they are four bytes each in the browser."""
_LONGEST_SIDE = 16_384
_FOR_EVER = 0


def with_pictures(key: str, files: Mapping[str, bytes]) -> PluginModule:
    """Return a plugin of these files, its GIFs taken apart."""
    found = {path: sheet_of(body) for path, body in files.items() if is_gif(path)}
    return PluginModule(key, files, {path: sheet for path, sheet in found.items() if sheet})


def sheet_of(gif: bytes) -> Sheet | None:
    """Return all frames of a GIF; None if it has one, cannot be read, or is too large."""
    try:
        frames, ends = _frames(gif)
    except (av.FFmpegError, ValueError, OSError):
        return None
    if len(frames) < 2:
        return None
    height, width, _ = frames[0].shape
    columns = min(max(1, ceil(sqrt(len(frames) * height / width))), max(1, _LONGEST_SIDE // width))
    rows = ceil(len(frames) / columns)
    if rows * height > _LONGEST_SIDE:
        return None
    picture = np.zeros((rows * height, columns * width, 4), np.uint8)
    for number, frame in enumerate(frames):
        top, left = number // columns * height, number % columns * width
        picture[top : top + height, left : left + width] = frame
    return Sheet(_png(picture), _png(frames[0]), columns, rows, tuple(ends), _plays(gif))


def _frames(gif: bytes) -> tuple[list[NDArray[np.uint8]], list[int]]:
    """Return pictures and when each ends, in milliseconds; raises ValueError for too many pixels."""
    frames: list[NDArray[np.uint8]] = []
    ends: list[int] = []
    with av.open(io.BytesIO(gif), "r", format="gif") as container:
        stream = container.streams.video[0]
        pixels = stream.codec_context.width * stream.codec_context.height
        durations = []
        for packet in container.demux(stream):
            if (len(frames) + 1) * pixels > LARGEST_SHEET:
                raise ValueError("too many pixels")
            if packet.size and packet.time_base is not None:
                durations.append(Fraction(packet.duration or 0) * packet.time_base)
            frames += [np.asarray(frame.to_ndarray(format="rgba"), np.uint8) for frame in packet.decode()]
    for duration in durations[: len(frames)]:
        ends.append((ends[-1] if ends else 0) + max(10, round(duration * 1000)))
    return frames[: len(ends)], ends


def _plays(gif: bytes) -> int:
    """Return how often a GIF is shown: as its Netscape extension says, else once."""
    at = gif.find(b"NETSCAPE2.0\x03\x01")
    if at < 0:
        return 1
    repeats = int.from_bytes(gif[at + 13 : at + 15], "little")
    return repeats + 1 if repeats else _FOR_EVER


def _png(rgba: NDArray[np.uint8]) -> bytes:
    codec = av.CodecContext.create("png", "w")
    assert isinstance(codec, av.VideoCodecContext)
    codec.height, codec.width = rgba.shape[:2]
    codec.pix_fmt, codec.time_base = "rgba", Fraction(1)
    picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgba), format="rgba")
    return b"".join(bytes(packet) for packet in [*codec.encode(picture), *codec.encode(None)])
