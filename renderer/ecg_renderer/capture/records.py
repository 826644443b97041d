"""The bytes that the page sends: a header of eight little-endian words, then pixels. See page/records.js."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from ecg_renderer.capture.patches import BoxOutgrownError, Bytes, Patch
from ecg_renderer.model import Box

HEADER = struct.Struct("<8i")


class Kind(IntEnum):
    """Kinds of record; the page has the same numbers."""

    SKIP = 0
    PATCH = 1
    CHECK = 2
    BLOCK_END = 3
    END = 4
    OUTGROWN = 5
    REPLAYING = 6


@dataclass(frozen=True, slots=True)
class Record:
    """One record; `block` is the first frame of the block it belongs to."""

    kind: Kind
    frame: int
    box: Box
    block: int
    pixels: Bytes

    @property
    def size(self) -> int:
        """Bytes that the record takes in the ring."""
        return HEADER.size + -(-self.pixels.size // 8) * 8

    def patch(self) -> Patch:
        """Return a PATCH or CHECK record as a patch that shares its pixels."""
        return Patch(self.frame, self.box, self.pixels, proof=self.kind is Kind.CHECK)

    def kept(self) -> Record:
        """Return a record that owns its pixels."""
        return Record(self.kind, self.frame, self.box, self.block, self.pixels.copy())

    def outgrown(self) -> BoxOutgrownError:
        """Return the error that an OUTGROWN record stands for."""
        return BoxOutgrownError(self.frame, self.box)


def parse(data: Bytes, offset: int = 0) -> Record:
    """Read the record at `offset`; its pixels are a view into `data`."""
    kind, frame, x, y, width, height, block, payload = HEADER.unpack_from(data.data, offset)
    begin = offset + HEADER.size
    return Record(Kind(kind), frame, Box(x, y, width, height), block, np.asarray(data[begin : begin + payload]))
