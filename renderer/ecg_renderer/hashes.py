"""The SHA-256 of every caption picture of a video: RGBA, straight alpha, whole frame.

The pictures are captured as a render captures them: the same segments, pre-roll, blocks, boxes and patches. So equal
listings prove that however the work is cut up, the same pictures come out.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import AsyncIterator, Iterator

import numpy as np

from ecg_renderer.browser import BrowserLauncher
from ecg_renderer.capture.patches import Block, Bytes, Capture
from ecg_renderer.capture.ways import open_capture
from ecg_renderer.model import Box, FrameRange
from ecg_renderer.picture import RgbaPicture
from ecg_renderer.pipeline import clear_frames
from ecg_renderer.preparation import PreparedJob
from ecg_renderer.settings import Settings

log = logging.getLogger(__name__)

_BAND_ROWS = 64


class HashedPicture:
    """A picture that changes box by box, and its hash.

    The hash runs over the rows from top to bottom; its state before each band of rows is kept. After a change only
    the rows from the changed one down are hashed again: captions mostly stand at the bottom.
    """

    def __init__(self, width: int, height: int) -> None:
        self.box = Box(0, 0, width, height)
        self._picture = RgbaPicture(width, height)
        self._states = [hashlib.sha256()]
        self._digest: str | None = None

    def apply(self, box: Box, pixels: Bytes) -> None:
        """Replace `box` by flat RGBA `pixels`; the colour of what is wholly transparent does not count."""
        self._picture.apply(box, normalised(pixels))
        self._changed_from(box.y)

    def shows(self, box: Box, pixels: Bytes) -> bool:
        """Tell whether `box` of the picture is `pixels`, as `apply` would make it."""
        there = self._picture.pixels[box.y : box.y + box.height, box.x : box.x + box.width]
        return np.array_equal(there.ravel(), normalised(pixels))

    def clear(self) -> None:
        """Make the picture wholly transparent."""
        self._picture.clear()
        self._changed_from(0)

    def digest(self) -> str:
        """Return the SHA-256 of the picture as 64 hexadecimal digits."""
        if self._digest is None:
            rows = self._picture.pixels
            state = self._states[-1].copy()
            for top in range((len(self._states) - 1) * _BAND_ROWS, len(rows), _BAND_ROWS):
                state.update(rows[top : top + _BAND_ROWS].data)
                self._states.append(state.copy())
            self._digest = state.hexdigest()
        return self._digest

    def _changed_from(self, row: int) -> None:
        del self._states[row // _BAND_ROWS + 1 :]
        self._digest = None


def normalised(pixels: Bytes) -> Bytes:
    """Return flat RGBA pixels in which everything wholly transparent is 0, 0, 0, 0."""
    rgba = pixels.reshape(-1, 4)
    return np.where(rgba[:, 3:] == 0, np.uint8(0), rgba).ravel()


async def hash_frames(prepared: PreparedJob, settings: Settings, wanted: FrameRange) -> AsyncIterator[tuple[int, str]]:
    """Yield frame and hash of all `wanted` frames, in order.

    Raises BrowserError or FrameTimeout. Logs a warning when patches do not add up to the picture.
    """
    picture = HashedPicture(prepared.plan.width, prepared.plan.height)
    blocks = prepared.blocks(wanted)
    if not blocks:
        for line in _Listing(picture, [], wanted).until(wanted.end):
            yield line
        return
    launcher = BrowserLauncher()
    async with open_capture(
        settings.capture,
        prepared.scene(),
        None,
        stages=settings.stages,
        frame_timeout=settings.frame_timeout,
        launcher=launcher,
        blocks=blocks,
    ) as choice:
        for note in choice.notes:
            log.warning("%s", note)
        for segment in prepared.plan.segments:
            part = FrameRange(max(segment.start, wanted.start), min(segment.end, wanted.end))
            if part.start < part.end:
                async for line in _hash_part(choice.capture, picture, prepared.blocks(part), part):
                    yield line


async def _hash_part(
    capture: Capture, picture: HashedPicture, blocks: list[Block], part: FrameRange
) -> AsyncIterator[tuple[int, str]]:
    picture.clear()
    listing = _Listing(picture, blocks, part)
    if blocks:
        # All of the picture, where a render takes the box that captions reach: what is outside of it is empty anyway.
        async for patch in capture.patches(blocks, picture.box):
            for line in listing.until(patch.frame):
                yield line
            if not patch.proof:
                picture.apply(patch.box, patch.pixels)
            elif not picture.shows(patch.box, patch.pixels):
                log.warning("At frame %d the changed boxes did not add up to the whole picture.", patch.frame)
                await capture.send_whole_boxes()
                picture.apply(patch.box, patch.pixels)
    for line in listing.until(part.end):
        yield line


class _Listing:
    """Goes through the frames of `part`; the picture becomes empty where the captions of `blocks` end."""

    def __init__(self, picture: HashedPicture, blocks: list[Block], part: FrameRange) -> None:
        self._picture = picture
        self._ends = set(clear_frames(blocks, part.end))
        self._frame = part.start

    def until(self, end: int) -> Iterator[tuple[int, str]]:
        """Yield frame and hash of the frames before `end` that were not yet."""
        while self._frame < end:
            if self._frame in self._ends:
                self._picture.clear()
            yield self._frame, self._picture.digest()
            self._frame += 1
