"""Shared memory between the page and us: the ring file that page/ring-worker.js writes, mapped here.

The page writes into its origin's private file system. The browser's profile lies on a memory file system, so the file
behind it is plain memory. Where the browser keeps that file is its own business: it is found by size and by the magic
number in it, and where it cannot be found the caller falls back to the debugging protocol.
"""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np

from ecg_renderer.capture.patches import HEADER, Kind, Record, parse

CONTROL_BYTES = 4096
MAGIC = 0x52474345
VERSION = 1
_POSITION = struct.Struct("<Q")
_WRITTEN_AT = 16
_ACKNOWLEDGED_AT = 24


class Ring:
    """The reader's end of the ring."""

    def __init__(self, file: Path) -> None:
        with file.open("r+b") as handle:
            self._memory = mmap.mmap(handle.fileno(), 0)
        self._size = len(self._memory) - CONTROL_BYTES
        self._data = np.frombuffer(self._memory, np.uint8, offset=CONTROL_BYTES)
        self._read = 0

    @classmethod
    def find(cls, profile: Path, size: int) -> Ring | None:
        """Return the ring of `size` data bytes in a browser profile, or None if there is none."""
        for folder, _, names in os.walk(profile):
            for name in names:
                with suppress(OSError):  # Chromium makes and removes files of its own meanwhile
                    file = Path(folder, name)
                    if file.stat().st_size == CONTROL_BYTES + size and _has_magic(file, size):
                        return cls(file)
        return None

    def records(self) -> Iterator[Record]:
        """Yield what has been written since; a record's memory is given back when the next one is asked for."""
        (written,) = _POSITION.unpack_from(self._memory, _WRITTEN_AT)
        while self._read < written:
            offset = self._read % self._size
            left = self._size - offset
            record = parse(self._data, offset) if left >= HEADER.size else None
            if record is None or record.kind is Kind.SKIP:
                self._acknowledge(left)
                continue
            try:
                yield record
            finally:  # also when the reader stops at this record: it must not come again
                self._acknowledge(record.size)

    def _acknowledge(self, size: int) -> None:
        self._read += size
        _POSITION.pack_into(self._memory, _ACKNOWLEDGED_AT, self._read)

    def close(self) -> None:
        """Let go of the memory; records must not be used any more."""
        self._data = np.empty(0, np.uint8)
        try:
            self._memory.close()
        except BufferError:
            # A view is still held somewhere, for example by a traceback: the map goes when that goes.
            return


def _has_magic(file: Path, size: int) -> bool:
    with file.open("rb") as handle:
        head = handle.read(12)
    return len(head) == 12 and struct.unpack("<3I", head) == (MAGIC, VERSION, size)
