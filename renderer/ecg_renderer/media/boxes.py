"""The outermost boxes of MP4 files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

HEADER = (b"ftyp", b"moov")


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
