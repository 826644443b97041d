"""The caption picture as it stands, put together from patches."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ecg_renderer.colour import Conversion
from ecg_renderer.model import Box

Bytes = NDArray[np.uint8]


class YuvaPicture:
    """Planes Y, U, V, A (4:2:0) in one buffer in FFmpeg's yuva420p order. `width`, `height` and all boxes are even."""

    def __init__(self, width: int, height: int, conversion: Conversion) -> None:
        self._black = conversion.black
        self._buffer = np.empty(width * height * 5 // 2, np.uint8)
        self._planes = _split(self._buffer, width, height)
        self.clear()

    def clear(self) -> None:
        """Make the picture wholly transparent."""
        for plane, value in zip(self._planes, (self._black, 128, 128, 0), strict=True):
            plane[:] = value

    def apply(self, box: Box, pixels: Bytes) -> None:
        """Replace `box` by yuva420p `pixels` (flat)."""
        for (rows, columns), plane, new in self._parts(box, pixels):
            plane[rows, columns] = new

    def shows(self, box: Box, pixels: Bytes) -> bool:
        """Tell whether `box` of this picture is exactly `pixels`."""
        return all(
            np.array_equal(plane[rows, columns], new) for (rows, columns), plane, new in self._parts(box, pixels)
        )

    def to_bytes(self) -> bytes:
        """Return the whole picture, `width * height * 5 / 2` bytes."""
        return self._buffer.tobytes()

    def _parts(self, box: Box, pixels: Bytes) -> list[tuple[tuple[slice, slice], Bytes, Bytes]]:
        news = _split(pixels, box.width, box.height)
        return [
            (_region(box, 2 if chroma else 1), plane, new)
            for plane, new, chroma in zip(self._planes, news, (False, True, True, False), strict=True)
        ]


class RgbaPicture:
    """Pixels of shape (height, width, 4), straight alpha."""

    def __init__(self, width: int, height: int) -> None:
        self.pixels: Bytes = np.zeros((height, width, 4), np.uint8)

    def clear(self) -> None:
        """Make the picture wholly transparent."""
        self.pixels[:] = 0

    def apply(self, box: Box, pixels: Bytes) -> None:
        """Replace `box` by RGBA `pixels` (flat)."""
        self.pixels[_region(box, 1)] = pixels.reshape(box.height, box.width, 4)

    def shows(self, box: Box, pixels: Bytes) -> bool:
        """Tell whether `box` of this picture is exactly `pixels`."""
        return np.array_equal(self.pixels[_region(box, 1)], pixels.reshape(box.height, box.width, 4))


def _region(box: Box, divisor: int) -> tuple[slice, slice]:
    return (
        slice(box.y // divisor, (box.y + box.height) // divisor),
        slice(box.x // divisor, (box.x + box.width) // divisor),
    )


def _split(buffer: Bytes, width: int, height: int) -> tuple[Bytes, Bytes, Bytes, Bytes]:
    """Return views of the four planes that lie one after the other in `buffer`."""
    luma, chroma = width * height, width * height // 4
    y, u, v, alpha = np.split(buffer[: 2 * luma + 2 * chroma], [luma, luma + chroma, luma + 2 * chroma])
    half = (height // 2, width // 2)
    return y.reshape(height, width), u.reshape(half), v.reshape(half), alpha.reshape(height, width)
