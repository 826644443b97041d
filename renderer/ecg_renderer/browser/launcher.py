"""Browsers ahead of need."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress

from ecg_renderer.browser.chromium import CANVAS_ARGUMENTS
from ecg_renderer.browser.driven import Browser
from ecg_renderer.errors import BrowserError


class BrowserLauncher:
    """Starts Chromium ahead of need, so that it comes up while the source is probed."""

    def __init__(self, arguments: Sequence[str] = CANVAS_ARGUMENTS) -> None:
        self._arguments = arguments
        self._early: asyncio.Task[Browser] | None = None

    def warm(self) -> None:
        """Begin to start the browser that the next `start` returns."""
        if self._early is None:
            self._early = asyncio.create_task(Browser.start(self._arguments))

    async def start(self) -> Browser:
        """Return a running browser; the caller closes it."""
        early, self._early = self._early, None
        return await (early or Browser.start(self._arguments))

    async def close(self) -> None:
        """Close a browser that was warmed and never asked for."""
        early, self._early = self._early, None
        if early is None:
            return
        # Not cancelled: halfway up, a browser would be left behind.
        with suppress(BrowserError):
            await (await asyncio.shield(early)).close()
