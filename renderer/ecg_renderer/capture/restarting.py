"""What all capture ways share: a browser that fails is replaced, and only what is missing is rendered again."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, suppress
from typing import Any, Self, TypeVar

from ecg_renderer.browser import EventHandler, Page
from ecg_renderer.capture.patches import BlockOrder, CaptureStatistics, Patch, PluginFailure, Record
from ecg_renderer.errors import BrowserError, BrowserGone, FrameTimeout, RenderError, ScenarioError
from ecg_renderer.model import Area, Block, Box, CaptureWay, Film, apart
from ecg_renderer.served import SERVED_BELOW

T = TypeVar("T")

log = logging.getLogger(__name__)

RESTARTS = 2
BLAME_SECONDS = 5.0
# A page with code of strangers in it is asked so often for a sign of life; one that gives none is asked what it runs.
PING_SECONDS = 1.0
SILENT_SECONDS = 2.0
# What no call of a plugin takes, not even on a busy machine.
ENDLESS_SECONDS = 5.0
# The same where the page cannot be asked since when: it may have been busy before.
DEAF_SECONDS = 10.0
_FAILED = {
    "threw": "failed",
    "outside": "changed the page outside of its text, which was taken back",
    "unread": "cannot be loaded",
}
_OTHER_PLUGINS = "Correct it, or leave it out; without spec.plugins.origin the renderer's own plugins are taken."
MOST_NAMED = 5
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
        self._guarding: asyncio.Task[None] | None = None
        self._silent_since = 0.0
        # The digests of plugins by the ids of their scripts.
        self._scripts: dict[str, str] = {}
        self._endless: ScenarioError | None = None
        # Whose code the page said it runs, as "key node", and when; keys of several, one a line; empty for nobody's.
        self._announced = ""
        self._announced_at = 0.0

    async def __aenter__(self) -> Self:
        try:
            await self._begin()
        except FrameTimeout as error:
            blamed = await self._blamed(error)
            await self._end()
            raise blamed from error
        except BaseException:
            await self._end()
            raise
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._end()

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

    async def measure(self, frames: list[int]) -> list[Box]:
        """Return boxes around all that is painted at any of `frames` (ascending); see `Capture.measure`."""
        boxes: list[Box] = []
        for first in range(0, len(frames), MEASURED_AT_ONCE):
            some = frames[first : first + MEASURED_AT_ONCE]
            measured = await self._persist(lambda some=some: self._measure(some))  # type: ignore[misc]
            boxes += [box for bounds in measured if (box := self.film.even_box(bounds))]
        return apart(boxes)

    async def patches(self, blocks: list[Block], area: Area) -> AsyncIterator[Patch]:
        """Yield patches in frame order; see `Capture.patches`."""
        remaining = blocks
        for restarts in range(RESTARTS + 1):
            order = BlockOrder(remaining)
            try:
                if restarts:
                    await self._replace_browser()
                async with aclosing(self._session(remaining, area)) as records:
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
                await self._raise_blamed(error)
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
        if self._guarding and isinstance(error, FrameTimeout) and not self._endless:
            try:
                async with asyncio.timeout(BLAME_SECONDS):
                    await self._send("Runtime.terminateExecution")
                    self._blame(await self._call("() => ecg.runningPlugin()", None), [])
            except TimeoutError:  # it runs what cannot be interrupted, such as the sorting of a list without an end
                self._blame_announced()
                error.message = f"{error.message} {self._suspected()}"
                error.args = (error.message,)
            except BrowserError:
                pass
        return self._endless or error

    def _suspected(self) -> str:
        keys = sorted({module.key for module in self.film.modules.values()})
        return f"Perhaps a plugin that an origin gave calls what has no end: {', '.join(keys[:MOST_NAMED])}."

    async def _guard(self) -> None:
        """Watch over a page that is to run plugins of strangers: none of them may hold it for ever."""
        if self.film.modules and not self._guarding:
            self._scripts, self._announced = {}, ""
            self._on("Debugger.scriptParsed", self._note_script)
            self._on("Debugger.paused", self._note_where)
            self._on("Runtime.bindingCalled", self._note_announced)
            await self._send("Runtime.enable")
            await self._send("Runtime.addBinding", {"name": "ecgAnnounce"})
            await self._send("Debugger.enable")
            self._silent_since = time.monotonic()
            self._guarding = asyncio.create_task(self._ask_for_life())

    async def _note_script(self, event: dict[str, Any]) -> None:
        _, fetched, path = str(event["url"]).partition(f"{SERVED_BELOW}/")
        if fetched:
            self._scripts[event["scriptId"]] = path.partition("/")[0]

    async def _ask_for_life(self) -> None:
        with suppress(BrowserError):  # whoever works with the page hears of it, too
            while not self._endless:
                await asyncio.sleep(PING_SECONDS)
                try:
                    async with asyncio.timeout(SILENT_SECONDS):
                        await self._send("Runtime.evaluate", {"expression": "0"})
                    self._silent_since = time.monotonic()
                except TimeoutError:
                    with suppress(TimeoutError):
                        async with asyncio.timeout(SILENT_SECONDS):
                            await self._send("Debugger.pause")  # what it runs comes as an event, when that is a script
                    if time.monotonic() - max(self._announced_at, self._silent_since) > DEAF_SECONDS:
                        self._blame_announced()
            await self._kill()

    async def _note_announced(self, event: dict[str, Any]) -> None:
        self._announced, self._announced_at = str(event.get("payload", "")), time.monotonic()

    def _blame_announced(self) -> None:
        """Blame the plugin, or those, that the page said it is about to call, where it answers nothing since."""
        said, _, node = self._announced.partition(" ")
        keys = sorted({module.key for module in self.film.modules.values()} & {*said.split("\n")})
        if len(keys) > 1:
            named = f"One of the plugins {', '.join(keys[:MOST_NAMED])}, which an origin gave, runs without an end."
            self._endless = ScenarioError(named, hint=_OTHER_PLUGINS)
        elif keys:
            self._blame({"key": keys[0], "node": node}, [])

    async def _note_where(self, event: dict[str, Any]) -> None:
        """Look what a paused page runs, and let it go on; plugins may pause it, too."""
        try:
            await self._look_where(event["callFrames"])
        finally:
            await self._send("Debugger.resume")

    async def _look_where(self, frames: list[dict[str, Any]]) -> None:
        asked = {"callFrameId": frames[0]["callFrameId"], "expression": "globalThis.ecg?.runningPlugin()"}
        answer = await self._send("Debugger.evaluateOnCallFrame", {**asked, "returnByValue": True})
        running = answer.get("result", {}).get("value")
        if not isinstance(running, dict):  # of promises, only the call stack tells whose they are
            running = {}
        passed = running.get("ms")
        if not isinstance(passed, int | float):
            passed = 1000 * (time.monotonic() - self._silent_since)
        if passed > 1000 * ENDLESS_SECONDS:
            scripts = [frame["location"]["scriptId"] for frame in frames]
            self._blame(running, [self._scripts[script] for script in scripts if script in self._scripts])

    def _blame(self, running: Any, digests: list[str]) -> None:
        """Note that what the page says is running has no end; `digests` are of plugins on its call stack."""
        modules = {module.key: module for module in self.film.modules.values()}
        if not isinstance(running, dict):
            return
        key = str(running.get("key", "")) or next((key for key in modules if modules[key].digest in digests), "")
        if key not in modules:
            return
        self._endless = ScenarioError(
            f"The plugin {key}, which an origin gave, runs without an end{self.film.place_of(running.get('node'))[0]}.",
            hint=_OTHER_PLUGINS,
        )

    async def note_failures(self) -> None:
        """Take note of the plugins of an origin that were switched off until now, if the page can say it soon."""
        with suppress(BrowserError, FrameTimeout, TimeoutError):
            async with asyncio.timeout(BLAME_SECONDS):
                await self._note_failures()

    async def _note_failures(self) -> None:
        failures = await self._call("() => ecg.takeFailures()", None) if self.film.modules else []
        for failure in failures:
            words = _FAILED.get(str(failure["kind"]), _FAILED["threw"])
            place = f", at {failure['place']} in it" if _PLACE.fullmatch(str(failure["place"])) else ""
            keys = {module.key for module in self.film.modules.values()} & {failure["key"]}
            text, cue = self.film.place_of(failure["node"])
            for key in keys:
                said = f"The plugin {key}, which an origin gave, {words}{place}{text}: the text is shown without it."
                self.statistics.failures[PluginFailure(f"plugin {key} that {words}", said, key, cue)] = None

    async def _replace_browser(self) -> None:
        self.statistics.restarts += 1
        await self._end()
        await self._open()

    async def _end(self) -> None:
        guarding, self._guarding = self._guarding, None
        if guarding:
            guarding.cancel()
            await asyncio.gather(guarding, return_exceptions=True)
        await self._close()

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
    async def _send(self, method: str, parameters: dict[str, Any] | None = None) -> dict[str, Any]:
        """Send a command of Chromium's debugging protocol to the page; raises BrowserError."""

    @abstractmethod
    def _on(self, event: str, handler: EventHandler) -> None:
        """Call `handler` with the parameters of every `event` of the debugging protocol."""

    @abstractmethod
    async def _kill(self) -> None:
        """End the browser while it works, so that whoever waits for it hears BrowserError."""

    @abstractmethod
    async def _load(self) -> None:
        """Lay out the film in the browser as it is, guarded if it has plugins of strangers."""

    @abstractmethod
    async def _measure(self, frames: list[int]) -> list[list[float]]:
        """Return the page's boxes [left, top, right, bottom] around all that is painted at any of `frames`."""

    @abstractmethod
    def _session(self, blocks: list[Block], area: Area) -> AsyncGenerator[Record, None]:
        """Capture `blocks` with the browser as it is; yield PATCH, CHECK and BLOCK_END records."""
