"""From patches to pictures: the caption picture as it stands, put together frame by frame."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from fractions import Fraction
from typing import Protocol

import numpy as np

from ecg_renderer.capture.patches import Bytes, Capture
from ecg_renderer.colour import Conversion
from ecg_renderer.model import Area, Block, Box


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


# --- frame by frame -------------------------------------------------------------------------------


class Picture(Protocol):
    """A picture that changes box by box."""

    def clear(self) -> None:
        """Make it wholly transparent."""

    def apply(self, box: Box, pixels: Bytes, /) -> None:
        """Replace `box` by `pixels`."""

    def shows(self, box: Box, pixels: Bytes, /) -> bool:
        """Tell whether `box` is `pixels`, as `apply` would make it."""


async def draw(
    capture: Capture,
    blocks: Sequence[Block],
    area: Area,
    picture: Picture,
    *,
    end: int,
    on_distrust: Callable[[int], None],
) -> AsyncGenerator[int, None]:
    """Bring `picture` from frame to frame up to `end`; yield each frame from which it is shown as it stands then.

    Where patches do not add up to the whole picture, `on_distrust` is told the frame, and whole boxes are captured from
    there on. Raises BoxOutgrownError, BrowserError and FrameTimeout, as the capture does.
    """
    ends = clear_frames(blocks, end)
    corrected: int | None = None
    async for patch in capture.patches(list(blocks), area):
        if corrected is not None and corrected < min([patch.frame, *ends[:1]]):
            yield corrected
        corrected = None
        while ends and ends[0] <= patch.frame:
            picture.clear()
            yield ends.pop(0)
        if not patch.proof:
            picture.apply(patch.box, patch.pixels)
            yield patch.frame
        elif not picture.shows(patch.box, patch.pixels):
            on_distrust(patch.frame)
            await capture.send_whole_boxes()
            picture.apply(patch.box, patch.pixels)
            corrected = patch.frame + 1
    if corrected is not None and corrected < min([end, *ends[:1]]):
        yield corrected
    for frame in ends:
        picture.clear()
        yield frame


def clear_frames(blocks: Sequence[Block], end: int) -> list[int]:
    """Return the frames at which the captions go and none follow at once: there the picture becomes empty."""
    starts = {block.frames.start for block in blocks}
    return [block.frames.end for block in blocks if block.frames.end not in starts and block.frames.end < end]


def sample_frames(blocks: Sequence[Block], rate: Fraction) -> Iterator[int]:
    """Yield frames at which to measure how far captions reach: a few a second, and each block's first and last."""
    step = max(1, round(rate / 4))
    for block in blocks:
        frames = block.frames
        yield from range(frames.start, frames.end - 1, step)
        yield frames.end - 1
