"""What all capture ways share: a browser that fails is replaced, and only what is missing is rendered again."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Self

from ecg_renderer.capture.order import BlockOrder
from ecg_renderer.capture.patches import Block, CaptureStatistics, Patch
from ecg_renderer.capture.records import Record
from ecg_renderer.errors import BrowserError, FrameTimeout
from ecg_renderer.model import Box, CaptureWay

log = logging.getLogger(__name__)

RESTARTS = 2


class RestartingCapture(ABC):
    """A capture of one scene that survives `RESTARTS` crashes or hangs of its browser; an async context manager."""

    way: CaptureWay

    def __init__(self) -> None:
        self.statistics = CaptureStatistics()
        self.browser_version = ""

    async def __aenter__(self) -> Self:
        try:
            await self._open()
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._close()

    async def patches(self, blocks: list[Block], box: Box) -> AsyncIterator[Patch]:
        """Yield patches in frame order; see `Capture.patches`."""
        remaining = blocks
        for restarts in range(RESTARTS + 1):
            order = BlockOrder(remaining)
            try:
                async with aclosing(self._session(remaining, box)) as records:
                    async for record in records:
                        for patch in order.take(record):
                            yield patch
                return
            except (BrowserError, FrameTimeout) as error:
                remaining = order.remaining()
                if not remaining:
                    return
                if restarts == RESTARTS:
                    raise
                log.warning("%s Starting the browser again at frame %d.", error, remaining[0].frames.start)
                self.statistics.restarts += 1
                await self._close()
                await self._open()

    @abstractmethod
    async def measure(self, frames: list[int]) -> Box | None:
        """Return the box in output px around all that is painted at any of `frames` (ascending)."""

    @abstractmethod
    async def send_whole_boxes(self) -> None:
        """Send whole boxes from now on."""

    @abstractmethod
    async def _open(self) -> None:
        """Start the browser and lay out the scene."""

    @abstractmethod
    async def _close(self) -> None:
        """End the browser, whatever state it is in."""

    @abstractmethod
    def _session(self, blocks: list[Block], box: Box) -> AsyncGenerator[Record, None]:
        """Capture `blocks` with the browser as it is; yield PATCH, CHECK and BLOCK_END records."""
