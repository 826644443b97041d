"""One Chromium, driven through its debugging pipe: its page is served from disk and cut off from everything else.

Playwright does not show targets whose frames are controlled from outside, so the protocol is spoken here: through a
pipe, not a WebSocket, for then no port is open to others on the machine, and Chromium ends by itself when the pipe
does, even if we are killed.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import signal
import subprocess
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from ecg_common.children import short_environment
from ecg_renderer.chromium import (
    CANVAS_ARGUMENTS,
    COMMON_ARGUMENTS,
    DRIVEN_ARGUMENTS,
    INSTALL_HINT,
    find_chromium,
    make_profile,
    remove_profile,
    sandbox_arguments,
    shared_memory_arguments,
)
from ecg_renderer.errors import BrowserError, BrowserGone
from ecg_renderer.served import ORIGIN, ServedFile, answer_to, check_packages

Json = dict[str, Any]
EventHandler = Callable[[Json], Awaitable[None]]

LARGEST_MESSAGE = 512 * 1024 * 1024
END_SECONDS = 5.0

# Chromium reads commands from descriptor 3 and answers on 4. Its logs go nowhere: a pipe that nobody reads would fill
# up and stop it.
_AS_3_AND_4 = 'exec "$@" 3<&0 4>&1 </dev/null >/dev/null'


class DevTools:
    """A running Chromium and the conversation with it. Events without a handler are dropped as they come."""

    def __init__(
        self, process: subprocess.Popen[bytes], answers: asyncio.StreamReader, commands: asyncio.WriteTransport
    ) -> None:
        self._process = process
        self._answers = answers
        self._commands = commands
        self._pending: dict[int, asyncio.Future[Json]] = {}
        self._handlers: dict[str, EventHandler] = {}
        self._handling: set[asyncio.Task[None]] = set()
        self._last_id = 0
        self._ended = ""
        self._reader = asyncio.create_task(self._read())

    @classmethod
    async def start(cls, command: Sequence[str]) -> DevTools:
        """Start Chromium by `command`, which must contain --remote-debugging-pipe, in a process group of its own.

        Raises:
            BrowserError: the command cannot be run.
        """
        process = _spawn(command)
        loop = asyncio.get_running_loop()
        answers = asyncio.StreamReader(limit=LARGEST_MESSAGE)
        reading: asyncio.ReadTransport | None = None
        try:
            reading, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(answers), process.stdout)
            commands, _ = await loop.connect_write_pipe(asyncio.BaseProtocol, process.stdin)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            if reading:
                reading.close()
            with process:  # closes the pipes and waits
                raise
        return cls(process, answers, commands)

    @property
    def group(self) -> int:
        """The id of Chromium's process group."""
        return self._process.pid

    def on(self, event: str, handler: EventHandler) -> None:
        """Call `handler` with the parameters of every `event`, each call in a task of its own."""
        self._handlers[event] = handler

    async def send(self, method: str, parameters: Json | None = None, *, session: str = "") -> Json:
        """Send a command and return its result.

        Raises:
            BrowserError: Chromium refused the command.
            BrowserGone: Chromium, or its page, has ended.
        """
        if self._ended:
            raise BrowserGone(self._ended)
        self._last_id += 1
        identity = self._last_id
        command = {"id": identity, "method": method, "params": parameters or {}}
        if session:
            command["sessionId"] = session
        future = asyncio.get_running_loop().create_future()
        self._pending[identity] = future
        try:
            self._commands.write(json.dumps(command).encode() + b"\0")
            answer: Json = await future
        finally:
            self._pending.pop(identity, None)
        if "error" in answer:
            raise BrowserError(f"Chromium refused {method}: {answer['error'].get('message', answer['error'])}")
        result: Json = answer["result"]
        return result

    def fail(self, reason: str) -> None:
        """Let all commands, those under way and those to come, fail with `reason`."""
        self._ended = self._ended or reason
        for future in self._pending.values():
            if not future.done():
                future.set_exception(BrowserGone(reason))

    async def close(self) -> None:
        """End Chromium and all its processes, whatever state they are in."""
        self.fail("Chromium was closed.")
        for task in self._handling:
            task.cancel()
        with suppress(ProcessLookupError):
            os.killpg(self.group, signal.SIGKILL)
        # The reader ends when the pipe does, that is when the last of Chromium's processes is gone.
        await asyncio.wait({self._reader}, timeout=END_SECONDS)
        self._commands.close()
        await asyncio.gather(asyncio.to_thread(self._process.wait), *self._handling, return_exceptions=True)

    async def _read(self) -> None:
        reason = "Chromium ended unexpectedly."
        try:
            while True:
                message = await self._answers.readuntil(b"\0")
                self._take(json.loads(message[:-1]))
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
            pass
        except (KeyError, TypeError, ValueError) as error:
            reason = f"Chromium said what nobody understands: {error!r}."
        self.fail(reason)

    def _take(self, message: Json) -> None:
        if "id" in message:
            future = self._pending.get(message["id"])
            if future and not future.done():
                future.set_result(message)
            return
        handler = self._handlers.get(message["method"])
        if handler:
            task = asyncio.create_task(self._handle(handler, message["params"]))
            self._handling.add(task)
            task.add_done_callback(self._handling.discard)

    async def _handle(self, handler: EventHandler, parameters: Json) -> None:
        with suppress(BrowserError):  # what the event was about may be gone before the answer
            await handler(parameters)


def _spawn(command: Sequence[str]) -> subprocess.Popen[bytes]:
    # Not asyncio's: halfway through starting a process, it cannot be cancelled without waiting for ever.
    try:
        return subprocess.Popen(
            ["/bin/sh", "-c", _AS_3_AND_4, "sh", *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env=short_environment(),
        )
    except OSError as error:
        raise BrowserError(f"Chromium ({command[0]}) did not start: {error}") from error


# --- the caption page, and the browser that has it open -------------------------------------------


START_SECONDS = 30.0
PAGE_SECONDS = 20.0
NOT_LOADED = "The caption page did not load:"
LOAD_HINT = "`ecg-render doctor` tells what is missing."
IS_COMPLETE = "() => location.href !== 'about:blank' && document.readyState === 'complete'"
LOOK_SECONDS = 0.005


class Page:
    """The tab with the caption page in it."""

    def __init__(self, devtools: DevTools, session: str) -> None:
        self._devtools = devtools
        self._session = session
        self._problems: list[str] = []

    async def send(self, method: str, parameters: Json | None = None) -> Json:
        """Send a command of the debugging protocol to this tab; see `DevTools.send`."""
        return await self._devtools.send(method, parameters, session=self._session)

    def on(self, event: str, handler: EventHandler) -> None:
        """Call `handler` with the parameters of every `event`; see `DevTools.on`."""
        self._devtools.on(event, handler)

    async def loaded(self, width: int, height: int) -> None:
        """Give the page a viewport in px, and wait until it is there.

        Raises:
            BrowserError: its own scripts did not load.
        """
        self._devtools.on("Runtime.exceptionThrown", self._note_problem)
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        await asyncio.gather(
            self.send("Inspector.enable"),
            self.send("Runtime.enable"),
            self.send("Emulation.setDeviceMetricsOverride", metrics),
        )
        # Looked for, not waited for: the event may have come before anybody listened.
        while not await self.evaluate(IS_COMPLETE):  # noqa: ASYNC110
            await asyncio.sleep(LOOK_SECONDS)
        if not await self.evaluate("() => !!window.ecg"):
            problem = self._problems[0] if self._problems else "its scripts are not all there."
            raise BrowserError(f"{NOT_LOADED} {problem}", hint=LOAD_HINT)

    async def evaluate(self, script: str, argument: Any = None) -> Any:
        """Call `script`, a function of one argument, and return what it, or the promise it gives, comes to.

        Raises:
            BrowserError: it threw, or the page is gone.
        """
        # Parsed, not written into the script: as part of one, a key such as __proto__ has a meaning of its own.
        expression = f"({script})(JSON.parse({json.dumps(json.dumps(argument))}))"
        parameters = {"expression": expression, "awaitPromise": True, "returnByValue": True}
        answer = await self.send("Runtime.evaluate", parameters)
        failure = answer.get("exceptionDetails")
        if failure:
            raise BrowserError(f"The caption page failed: {_said(failure)}")
        return answer["result"].get("value")

    async def _note_problem(self, event: Json) -> None:
        self._problems.append(_said(event["exceptionDetails"]))


def _said(failure: Json) -> str:
    """Return the first line of what was thrown, without the word Error before it."""
    text: str = failure.get("exception", {}).get("description") or failure["text"]
    return text.splitlines()[0].removeprefix("Error: ")


class Browser:
    """A running Chromium with a profile of its own, and one tab, which loads the caption page from the start.

    Attributes:
        profile: the profile's folder; the origin's private files lie in it.
        version: as Chromium says it, for example "156.0.8078.73".
        fetched: what the page may load besides its own files, by path.
    """

    def __init__(self, devtools: DevTools, profile: Path) -> None:
        self._devtools = devtools
        self._tab = ""
        self.profile = profile
        self.version = ""
        self.fetched: Mapping[str, ServedFile] = {}

    @classmethod
    async def start(cls, arguments: Sequence[str] = CANVAS_ARGUMENTS, **tab: Any) -> Browser:
        """Start Chromium with `arguments` added to the common ones.

        `tab` are options of the protocol's Target.createTarget.

        Raises:
            BrowserError: Chromium is missing or did not start.
        """
        check_packages()
        executable = find_chromium()
        if executable is None:
            raise BrowserError("Chromium's headless shell was not found.", hint=INSTALL_HINT)
        confined = await asyncio.to_thread(sandbox_arguments)
        try:
            profile = make_profile()  # from here on nothing is awaited outside of what removes it again
        except OSError as error:
            raise BrowserError(
                f"No browser profile can be made: {error}.", hint="Free some space in /dev/shm or TMPDIR."
            ) from error
        always = [*DRIVEN_ARGUMENTS, *COMMON_ARGUMENTS, *confined, *shared_memory_arguments(profile)]
        command = [str(executable), *always, *arguments, f"--user-data-dir={profile}"]
        devtools = None
        try:
            devtools = await DevTools.start(command)
            browser = cls(devtools, profile)
            async with asyncio.timeout(START_SECONDS):
                await browser._begin(tab)
        except BaseException as error:
            try:
                if devtools:
                    await devtools.close()
            finally:
                remove_profile(profile)
            if not isinstance(error, BrowserError | TimeoutError):
                raise
            said = str(error) or f"no answer within {START_SECONDS:g} s."
            raise BrowserError(f"Chromium ({executable}) did not start: {said}", hint=INSTALL_HINT) from error
        return browser

    async def _begin(self, tab: Json) -> None:
        self._devtools.on("Fetch.requestPaused", self._serve)
        self._devtools.on("Inspector.targetCrashed", self._note_crash)
        # All at once, they are answered in order. Requests are asked for of the browser, not of the tab: those of
        # workers, and of windows that a page opens, come here too.
        version, _, target = await asyncio.gather(
            self._devtools.send("Browser.getVersion"),
            self._devtools.send("Fetch.enable", {"patterns": [{"urlPattern": "*"}]}),
            self._devtools.send("Target.createTarget", {"url": f"{ORIGIN}/", **tab}),
        )
        self.version = version["product"].split("/")[-1]
        self._tab = target["targetId"]

    async def page(self) -> Page:
        """Return the page, which may still be loading; raises BrowserError if Chromium has ended."""
        attached = await self._devtools.send("Target.attachToTarget", {"targetId": self._tab, "flatten": True})
        return Page(self._devtools, attached["sessionId"])

    async def open_page(self, width: int, height: int) -> Page:
        """Return the caption page, loaded, with a viewport in px.

        Raises:
            BrowserError: the page's own scripts did not load.
        """
        try:
            async with asyncio.timeout(PAGE_SECONDS):
                page = await self.page()
                await page.loaded(width, height)
        except TimeoutError as error:
            raise BrowserError(f"{NOT_LOADED} no answer within {PAGE_SECONDS:g} s.", hint=LOAD_HINT) from error
        return page

    async def close(self) -> None:
        """End Chromium, whatever state it is in, and remove the profile."""
        try:
            await self._devtools.close()
        finally:
            remove_profile(self.profile)

    async def _serve(self, event: Json) -> None:
        request = event["requestId"]
        file = answer_to(event["request"]["url"], self.fetched)
        if file is None:
            await self._devtools.send("Fetch.failRequest", {"requestId": request, "errorReason": "BlockedByClient"})
            return
        body = base64.b64encode(file.body).decode()
        headers = [{"name": "Content-Type", "value": file.content_type}]
        answer = {"requestId": request, "responseCode": 200, "responseHeaders": headers, "body": body}
        await self._devtools.send("Fetch.fulfillRequest", answer)

    async def _note_crash(self, _event: Json) -> None:
        self._devtools.fail("The caption page crashed.")


# --- ahead of need --------------------------------------------------------------------------------


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
        """End a browser that was warmed and never asked for, halfway up if it is."""
        early, self._early = self._early, None
        if early is None:
            return
        early.cancel()
        await asyncio.wait({early})
        if not early.cancelled() and not early.exception():
            await early.result().close()
