"""The boxes of MP4 files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

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
