"""The SHA-256 of every caption picture of a video: RGBA, straight alpha, whole frame.

The pictures are captured as a render captures them: the same segments, pre-roll, blocks, boxes and patches. So equal
listings prove that however the work is cut up, the same pictures come out.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import numpy as np

from ecg_api.plan import SegmentPlan
from ecg_renderer.browser import BrowserLauncher
from ecg_renderer.capture.patches import Bytes, Capture
from ecg_renderer.capture.ways import open_capture
from ecg_renderer.drawing import draw
from ecg_renderer.film import Film
from ecg_renderer.model import Box, FrameRange
from ecg_renderer.picture import RgbaPicture
from ecg_renderer.preparation import PreparedJob
from ecg_renderer.settings import Settings
from ecg_renderer.storage import CellStore

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


async def hash_frames(
    prepared: PreparedJob, settings: Settings, wanted: FrameRange, store: CellStore
) -> AsyncIterator[tuple[int, str]]:
    """Yield frame and hash of all `wanted` frames, in order.

    Raises BrowserError or FrameTimeout. Logs a warning when patches do not add up to the picture.
    """
    parts = [part for segment in prepared.plan.segments if (part := _common(segment, wanted))]
    films = [prepared.film(part) for part in parts]
    first = next((film for film in films if film.blocks), None)
    async with AsyncExitStack() as stack:
        capture: Capture | None = None
        if first:
            opened = open_capture(first, None, settings, BrowserLauncher(), store)
            choice = await stack.enter_async_context(opened)
            capture = choice.capture
            for note in choice.notes:
                log.warning("%s", note)
        for part, film in zip(parts, films, strict=True):
            async for line in _hash_part(capture, film, part):
                yield line


def _common(segment: SegmentPlan, wanted: FrameRange) -> FrameRange | None:
    start, end = max(segment.start, wanted.start), min(segment.end, wanted.end)
    return FrameRange(start, end) if start < end else None


async def _hash_part(capture: Capture | None, film: Film, part: FrameRange) -> AsyncIterator[tuple[int, str]]:
    # All of the picture, where a render takes the box that captions reach: what is outside of it is empty anyway.
    picture = HashedPicture(film.width, film.height)
    frame, digest = part.start, picture.digest()
    if capture and film.blocks:
        await capture.show(film)
        async for shown in draw(capture, film.blocks, film.whole, picture, end=part.end, on_distrust=_distrust):
            for number in range(frame, shown):
                yield number, digest
            frame, digest = shown, picture.digest()
    for number in range(frame, part.end):
        yield number, digest


def _distrust(frame: int) -> None:
    log.warning("At frame %d the changed boxes did not add up to the whole picture.", frame)
