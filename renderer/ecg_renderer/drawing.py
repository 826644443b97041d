"""From patches to pictures: the caption picture as it stands, frame by frame."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from fractions import Fraction
from typing import Protocol

from ecg_renderer.capture.patches import Bytes, Capture
from ecg_renderer.model import Area, Block, Box


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
