"""What all capture ways share: a browser that fails is replaced, and only what is missing is rendered again."""

from __future__ import annotations

import asyncio
import logging
import re
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, suppress
from typing import Any, Self, TypeVar

from ecg_renderer.browser import Page
from ecg_renderer.capture.order import BlockOrder
from ecg_renderer.capture.patches import CaptureStatistics, Patch
from ecg_renderer.capture.records import Record
from ecg_renderer.errors import BrowserError, BrowserGone, FrameTimeout, RenderError, ScenarioError
from ecg_renderer.film import Film
from ecg_renderer.model import Block, Box, CaptureWay

T = TypeVar("T")

log = logging.getLogger(__name__)

RESTARTS = 2
BLAME_SECONDS = 5.0
_FAILED = {
    "threw": "failed",
    "outside": "changed the page outside of its text, which was taken back",
    "unread": "cannot be loaded",
}
_PLACE = re.compile(r"[0-9]+:[0-9]+")
MEASURED_AT_ONCE = 250
"""Frames between two signs of life of the page that measures."""


class RestartingCapture(ABC):
    """A capture that survives `RESTARTS` crashes or hangs of its browser in a row; an async context manager.

    Attributes:
        film: what the page shows.
    """

    way: CaptureWay

    def __init__(self, film: Film) -> None:
        self.film = film
        self.statistics = CaptureStatistics()
        self.browser_version = ""

    async def __aenter__(self) -> Self:
        try:
            await self._begin()
        except FrameTimeout as error:
            blamed = await self._blamed(error)
            await self._close()
            raise blamed from error
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._close()

    async def show(self, film: Film) -> None:
        """Lay out another film of the same size in place of the one that is shown."""
        if film is not self.film:
            self.film = film
            await self.lay_out()

    async def lay_out(self) -> None:
        """Lay out the film anew, after something else was shown in the page."""
        await self._persist(self._load)

    @property
    def page(self) -> Page | None:
        """The page that captions are laid out in, where it can be asked more."""
        return None

    async def measure(self, frames: list[int]) -> Box | None:
        """Return the box in output px around all that is painted at any of `frames` (ascending), None if nothing is."""
        boxes = []
        for first in range(0, len(frames), MEASURED_AT_ONCE):
            some = frames[first : first + MEASURED_AT_ONCE]
            bounds = await self._persist(lambda some=some: self._measure(some))  # type: ignore[misc]
            boxes += [box] if (box := self.film.even_box(bounds)) else []
        whole = boxes[:1]
        for box in boxes[1:]:
            whole = [whole[0].union(box)]
        return whole[0] if whole else None

    async def patches(self, blocks: list[Block], box: Box) -> AsyncIterator[Patch]:
        """Yield patches in frame order; see `Capture.patches`."""
        remaining = blocks
        for restarts in range(RESTARTS + 1):
            order = BlockOrder(remaining)
            try:
                if restarts:
                    await self._replace_browser()
                async with aclosing(self._session(remaining, box)) as records:
                    async for record in records:
                        for patch in order.take(record):
                            yield patch
                return
            except (BrowserError, FrameTimeout) as error:
                remaining = order.remaining()
                if not remaining:
                    return
                await self._raise_blamed(error)
                if restarts == RESTARTS:
                    raise
                log.warning("%s Starting the browser again at frame %d.", error, remaining[0].frames.start)

    async def _begin(self) -> None:
        for restarts in range(RESTARTS + 1):
            try:
                await (self._replace_browser() if restarts else self._open())
                return
            except BrowserGone as error:
                if restarts == RESTARTS:
                    raise
                log.warning("%s Starting the browser again.", error)

    async def _persist(self, work: Callable[[], Awaitable[T]]) -> T:
        """Return what `work` returns, after `RESTARTS` new browsers at most."""
        for restarts in range(RESTARTS + 1):
            try:
                if restarts:
                    await self._replace_browser()
                return await work()
            except (BrowserError, FrameTimeout) as error:
                await self._raise_blamed(error)
                if restarts == RESTARTS:
                    raise
                log.warning("%s Starting the browser again.", error)
        raise AssertionError("the last try returns or raises")

    async def _raise_blamed(self, error: BrowserError | FrameTimeout) -> None:
        if (blamed := await self._blamed(error)) is not error:
            raise blamed from error

    async def _blamed(self, error: BrowserError | FrameTimeout) -> RenderError:
        """Return whose fault it is that the page does not answer: a plugin's that runs without an end, or `error`."""
        key = ""
        if self.film.modules and isinstance(error, FrameTimeout):
            with suppress(BrowserError, TimeoutError):
                async with asyncio.timeout(BLAME_SECONDS):
                    await self._interrupt()
                    key = await self._call("() => ecg.runningPlugin()", None)
        if not key:
            return error
        return ScenarioError(
            f"The plugin {key}, which an origin gave, runs without an end.",
            hint="Correct it, or leave it out; without spec.plugins.origin the renderer's own plugins are taken.",
        )

    async def _note_failures(self) -> None:
        """Take note of the plugins of an origin that the page has switched off."""
        failures = await self._call("() => ecg.takeFailures()", None) if self.film.modules else []
        for failure in failures:
            words = _FAILED.get(str(failure["kind"]), _FAILED["threw"])
            place = f", at {failure['place']} in it" if _PLACE.fullmatch(str(failure["place"])) else ""
            keys = {module.key for module in self.film.modules.values()} & {failure["key"]}
            for key in keys:
                said = f"The plugin {key}, which an origin gave, {words}{place}: the text is shown without it."
                if said not in self.statistics.warnings:
                    self.statistics.warnings.append(said)

    async def _replace_browser(self) -> None:
        self.statistics.restarts += 1
        await self._close()
        await self._open()

    @abstractmethod
    async def send_whole_boxes(self) -> None:
        """Send whole boxes from now on."""

    @abstractmethod
    async def _open(self) -> None:
        """Start the browser and lay out the film."""

    @abstractmethod
    async def _close(self) -> None:
        """End the browser, whatever state it is in."""

    @abstractmethod
    async def _call(self, script: str, argument: Any) -> Any:
        """Evaluate `script`, a function of one argument, in the page."""

    @abstractmethod
    async def _interrupt(self) -> None:
        """End the script that runs in the page, so that it answers again."""

    @abstractmethod
    async def _load(self) -> None:
        """Lay out the film in the browser as it is."""

    @abstractmethod
    async def _measure(self, frames: list[int]) -> list[float] | None:
        """Return the page's bounds [left, top, right, bottom] around all that is painted at any of `frames`."""

    @abstractmethod
    def _session(self, blocks: list[Block], box: Box) -> AsyncGenerator[Record, None]:
        """Capture `blocks` with the browser as it is; yield PATCH, CHECK and BLOCK_END records."""
