"""A renderer as a child process: what it says, and that nothing of it outlives its job.

It says JSON lines while it works, and one JSON object at its end.

The child leads a session of its own and carries a mark in its environment that all its children inherit. When it has
ended, for whatever reason, what still carries the mark is killed. Should this service be killed itself, the kernel
kills the child (`setpriv --pdeathsig`, Linux), and the next service in the same folder kills what is left.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import psutil
from pydantic import TypeAdapter, ValidationError

from ecg_api.failures import RULES, Failure, FailureCode
from ecg_api.rendering import Line, MessageLine, ProgressLine, RenderResult
from ecg_api.status import RenderMetrics, RenditionStatus
from ecg_common.children import MARK, ending_with_us, signal_group, tree_memory

# Share of a whole job at which its stages begin, in percent, and up to which rendering leads.
READING, STARTING, RENDERING, MERGING = 1, 10, 20, 80
_TOLD_LINES = 20
_WHO_RETRIES = {rule.exit_code: code for code, rule in RULES.items()}


_LINE: TypeAdapter[ProgressLine | MessageLine] = TypeAdapter(Line)


def share_of(line: ProgressLine) -> int:
    """Return how much of the whole job is done, whole percent, 1 to 80."""
    if line.stage == "rendering":
        return RENDERING + (MERGING - RENDERING) * min(100, max(0, line.percent)) // 100
    return {"planning": READING, "starting": STARTING, "merging": MERGING}.get(line.stage, READING)


def message_of(line: ProgressLine) -> str:
    """Return what the renderer is doing, for a person."""
    if line.stage == "rendering":
        return f"Rendering segment {line.segment + 1} of {max(1, line.segments)}"
    words = {"planning": "Reading video and scenario", "starting": "Starting the caption stages"}
    return words.get(line.stage, "Merging segments and sound" if line.stage == "merging" else "Working")


def metrics_of(result: RenderResult) -> RenderMetrics:
    """Return what the renderer counted."""
    return RenderMetrics(
        frames_processed=result.frames,
        frames_dropped=result.frames_dropped,
        drop_rate=min(1.0, result.frames_dropped / result.frames) if result.frames else 0.0,
        memory_peak_mb=result.peak_memory_mb,
        memory_trend=result.memory_trend,
    )


def failure_among(outputs: Iterable[RenditionStatus]) -> Failure | None:
    """Return the failure of the first result that is missing, in words that name it; None if all are there."""
    for output in outputs:
        if output.failure:
            said = f"The rendition {output.name} is missing: {output.failure.message}"
            return output.failure.model_copy(update={"message": said})
    return None


class EndedBy(StrEnum):
    """Why a renderer is no longer there."""

    ITSELF = "itself"
    STOP = "stop"
    TIME_LIMIT = "time limit"


@dataclass(frozen=True)
class Ended:
    """How a renderer ended: exit status (negative: signal), what it printed, last lines that were no JSON."""

    code: int
    by: EndedBy
    printed: bytes
    log: Sequence[str]
    seconds: float


def read_line(line: str) -> ProgressLine | MessageLine | str | None:
    """Return what a line on a renderer's standard error means; text that is no such object stays text."""
    try:
        return _LINE.validate_json(line)
    except ValidationError:
        return line.strip() or None


def read_result(printed: bytes) -> RenderResult | Failure | None:
    """Return what a renderer printed at its end; None if that is no such object."""
    try:
        value: Any = json.loads(printed)
        if isinstance(value, dict) and "failure" in value:
            return Failure.model_validate(value["failure"])
        return RenderResult.model_validate(value)
    except (ValueError, RecursionError, ValidationError):
        return None


def judge(ended: Ended, limit_seconds: float) -> RenderResult | Failure:
    """Return what the end of a renderer means for its job."""
    if ended.by is EndedBy.TIME_LIMIT:
        # All the time that the job may take is used up: no further try.
        return _failure(
            FailureCode.RENDERING_TIMEOUT,
            f"Rendering took longer than {limit_seconds:.0f} seconds and was stopped (timeout).",
            "Render a shorter video or a smaller picture, or raise RENDERING_TIMEOUT.",
            ended,
            retryable=False,
        )
    said = read_result(ended.printed)
    if isinstance(said, RenderResult) and (ended.code == 0 or failure_among(said.outputs)):
        return said
    if isinstance(said, Failure) and said.code is not FailureCode.JOB_CANCELLED:
        return said
    return _unsaid(ended)


def _unsaid(ended: Ended) -> Failure:
    if ended.code < 0 or ended.code > 128:
        number = -ended.code if ended.code < 0 else ended.code - 128
        name = _signal_name(number)
        hint = "The machine probably ran out of memory." if number == signal.SIGKILL else ""
        return _failure(FailureCode.SYSTEM_RESOURCE_ERROR, f"The renderer was ended by {name}.", hint, ended)
    code = _WHO_RETRIES.get(ended.code, FailureCode.UNEXPECTED_ERROR)
    said = "without saying what it made" if ended.code == 0 else "without saying why"
    last = f": {ended.log[-1]}" if ended.log else "."
    return _failure(code, f"The renderer ended with status {ended.code} {said}{last}", "", ended)


def _failure(code: FailureCode, message: str, hint: str, ended: Ended, *, retryable: bool | None = None) -> Failure:
    return Failure(
        code=code,
        message=message,
        hint=hint,
        retryable=RULES[code].retryable if retryable is None else retryable,
        log_tail=list(ended.log)[-_TOLD_LINES:],
    )


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


KILL_SECONDS = 2.0
EXIT_LOOK_SECONDS = 0.05
_LOG_LINES = 40
_LONGEST_LINE = 64 * 1024
_LARGEST_RESULT = 4 * 1024 * 1024
_MEGABYTE = 1024 * 1024


@dataclass(frozen=True)
class Order:
    """What to start: `result` is the file for its standard output, `mark` names it among all others."""

    command: tuple[str, ...]
    folder: Path
    environment: Mapping[str, str]
    result: Path
    mark: str


class Child:
    """One run of a renderer."""

    def __init__(self, order: Order, on_line: Callable[[str], str | None], stop_seconds: float) -> None:
        """Take what to start; `on_line` gets each line of its standard error and returns what belongs into the log."""
        self._order = order
        self._on_line = on_line
        self._stop_seconds = stop_seconds
        self._stop = asyncio.Event()
        self._log: deque[str] = deque(maxlen=_LOG_LINES)
        self._process: asyncio.subprocess.Process | None = None

    def stop(self) -> None:
        """End it and all that it started within `stop_seconds`, politely first."""
        self._stop.set()

    async def run(self, limit_seconds: float) -> Ended:
        """Start it and wait for its end. Raises OSError if it cannot be started; cancelling kills it."""
        began = time.monotonic()
        try:
            process = await self._start()
            by = await self._wait(process, limit_seconds)
        finally:
            await asyncio.shield(asyncio.to_thread(kill_marked, self._order.mark, exact=True))
        printed = await asyncio.to_thread(_read, self._order.result)
        code = process.returncode if process.returncode is not None else -signal.SIGKILL
        return Ended(code, by, printed, list(self._log), time.monotonic() - began)

    def memory_mb(self) -> float:
        """Return the memory of it and of all that it started, in MiB: what each has alone, and the largest shared."""
        return tree_memory(self._process.pid) / _MEGABYTE if self._process else 0.0

    async def _start(self) -> asyncio.subprocess.Process:
        environment = {**os.environ, **self._order.environment, MARK: self._order.mark}
        with self._order.result.open("wb") as result:
            self._process = await asyncio.create_subprocess_exec(
                *ending_with_us(),
                *self._order.command,
                cwd=self._order.folder,
                env=environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=result,
                stderr=asyncio.subprocess.PIPE,
                start_new_session=True,
            )
        return self._process

    async def _wait(self, process: asyncio.subprocess.Process, limit_seconds: float) -> EndedBy:
        reading = asyncio.create_task(self._read_lines(process))
        stopping = asyncio.create_task(self._stop.wait())
        ending = asyncio.create_task(_exit_of(process))
        try:
            done, _ = await asyncio.wait(
                {ending, stopping}, timeout=max(0.0, limit_seconds), return_when=asyncio.FIRST_COMPLETED
            )
            by = EndedBy.ITSELF if ending in done else EndedBy.STOP if stopping in done else EndedBy.TIME_LIMIT
            if by is not EndedBy.ITSELF:
                await self._end(process, ending)
            # Its own children may hold the pipe open: they are killed next, nobody waits for them.
            await asyncio.wait({reading}, timeout=0.5)
            return by
        finally:
            for task in (reading, stopping, ending):
                task.cancel()
            await asyncio.gather(reading, stopping, ending, return_exceptions=True)
            signal_group(process, signal.SIGKILL)

    async def _end(self, process: asyncio.subprocess.Process, ending: asyncio.Task[None]) -> None:
        with suppress(ProcessLookupError):
            process.terminate()
        await asyncio.wait({ending}, timeout=self._stop_seconds)
        signal_group(process, signal.SIGKILL)
        await asyncio.wait({ending}, timeout=1)

    async def _read_lines(self, process: asyncio.subprocess.Process) -> None:
        assert process.stderr is not None
        rest = b""
        while chunk := await process.stderr.read(_LONGEST_LINE):
            *lines, rest = (rest + chunk).split(b"\n")
            rest = rest[-_LONGEST_LINE:]
            for line in lines:
                self._take(line)
        self._take(rest)

    def _take(self, line: bytes) -> None:
        said = self._on_line(line[:_LONGEST_LINE].decode(errors="replace"))
        if said:
            self._log.append(said[:1000])


async def _exit_of(process: asyncio.subprocess.Process) -> None:
    # Process.wait() waits for the pipe too, which a child of the child may hold open for ever.
    while process.returncode is None:  # noqa: ASYNC110 - asyncio has no event for it
        await asyncio.sleep(EXIT_LOOK_SECONDS)


def kill_marked(mark: str, *, exact: bool = False) -> int:
    """Kill every process whose mark is `mark`, or begins with it, and what these have started; return how many."""
    doomed: set[psutil.Process] = set()
    for process in psutil.process_iter():
        carried = _mark_of(process)
        if carried is not None and (carried == mark if exact else carried.startswith(mark)):
            doomed.add(process)
            with suppress(psutil.Error):
                doomed.update(process.children(recursive=True))
    doomed = {process for process in doomed if process.pid != os.getpid()}
    for process in doomed:
        with suppress(psutil.Error):
            process.kill()
    # Not psutil.wait_procs: it would take the exit status of our own child away from asyncio.
    deadline = time.monotonic() + KILL_SECONDS
    while any(map(_is_alive, doomed)) and time.monotonic() < deadline:
        time.sleep(0.01)
    return len(doomed)


def _is_alive(process: psutil.Process) -> bool:
    with suppress(psutil.Error):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def _mark_of(process: psutil.Process) -> str | None:
    try:
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        return process.environ().get(MARK)
    except (psutil.Error, OSError):  # ended meanwhile, or another user's
        return None


def _read(path: Path) -> bytes:
    with suppress(OSError), path.open("rb") as file:
        return file.read(_LARGEST_RESULT)
    return b""
