"""ProRes frames of which only a part is encoded: the slices around a box, put into a frame that shows nothing.

A frame is a header, a table with the size of each slice, and the slices from the upper left to the lower right: 8
macroblocks of 16 x 16 pixels in a row, in what is left of a row 4, 2 and 1. None depends on another. Captions are
seen in a tenth of the picture; to encode all of it would take longer than to burn them in.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av

from ecg_renderer.errors import FfmpegError
from ecg_renderer.model import Box

PIXELS = "yuva444p10le"
SETTINGS = {"profile": "4", "vendor": "apl0"}
"""4444; the encoder called prores_ks takes five times as long for the same size."""
_BLOCK = 16
_SLICE = 8 * _BLOCK
_MAGIC = b"icpf"


def part_around(box: Box, width: int, height: int) -> Box:
    """Return the smallest part of a picture that holds `box` and consists of whole slices."""
    left, top = box.x // _SLICE * _SLICE, box.y // _BLOCK * _BLOCK
    right = min(width, -(-(box.x + box.width) // _SLICE) * _SLICE)
    bottom = min(height, -(-(box.y + box.height) // _BLOCK) * _BLOCK)
    return Box(left, top, right - left, bottom - top)


def encoder(width: int, height: int, colours: list[int]) -> Any:
    """Return an encoder of pictures of that size: libav's, with nothing kept back."""
    context = av.CodecContext.create("prores", "w")
    assert isinstance(context, av.VideoCodecContext)
    context.width, context.height, context.pix_fmt = width, height, PIXELS
    context.time_base = Fraction(1, 25)
    context.options = dict(SETTINGS)
    context.thread_count = 1
    context.colorspace, context.color_primaries, context.color_trc = colours
    return context


@dataclass(frozen=True)
class Frame:
    """A frame taken apart: all before the table of sizes, and the slices; `columns` are the slices of a row."""

    head: bytes
    columns: int
    slices: list[bytes]

    @classmethod
    def read(cls, packet: bytes, width: int) -> Frame:
        """Return the frame that `packet` holds; raises FfmpegError for one that was written otherwise."""
        (header,) = struct.unpack(">H", packet[8:10])
        picture = 8 + header
        if packet[4:8] != _MAGIC or packet[picture] >> 3 != 8 or packet[picture + 7] != 0x30:
            raise FfmpegError("This FFmpeg writes ProRes in a way that is not known here.")
        (count,) = struct.unpack(">H", packet[picture + 5 : picture + 7])
        table = picture + 8
        sizes = struct.unpack(f">{count}H", packet[table : table + 2 * count])
        slices, place = [], table + 2 * count
        for size in sizes:
            slices.append(packet[place : place + size])
            place += size
        return cls(packet[:table], _columns(width), slices)

    def with_part(self, part: Frame, box: Box) -> bytes:
        """Return a packet in which the slices of `box` are those of `part`."""
        slices = list(self.slices)
        row, column = box.y // _BLOCK, box.x // _SLICE
        for number in range(len(part.slices) // part.columns):
            first = (row + number) * self.columns + column
            slices[first : first + part.columns] = part.slices[number * part.columns : (number + 1) * part.columns]
        return self._joined(slices)

    def _joined(self, slices: list[bytes]) -> bytes:
        body = b"".join(slices)
        table = struct.pack(f">{len(slices)}H", *map(len, slices))
        picture = 8 + len(table) + len(body)
        start = len(self.head) - 8
        head = bytearray(self.head)
        head[0:4] = struct.pack(">I", start + picture)
        head[start + 1 : start + 5] = struct.pack(">I", picture)
        return bytes(head) + table + body


def _columns(width: int) -> int:
    full, rest = divmod(-(-width // _BLOCK), 8)
    return full + rest.bit_count()
