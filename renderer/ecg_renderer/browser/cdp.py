"""A small client of Chromium's debugging protocol, for a Chromium that we start ourselves.

Playwright does not show targets whose frames are controlled from outside, so `beginframe` speaks the protocol itself:
through a pipe, not a WebSocket, for then no port is open to others on the machine, and Chromium ends by itself when
the pipe does, even if we are killed.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any

from ecg_common.children import short_environment
from ecg_renderer.errors import BrowserError, BrowserGone

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
