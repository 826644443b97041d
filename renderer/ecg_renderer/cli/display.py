"""How a render is watched: a bar on a terminal, now and then a line in a log, objects for a program, or nothing.

Imports little: Chromium is started before the rest is loaded.
"""

from __future__ import annotations

import logging
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from types import TracebackType
from typing import Literal, Protocol, Self

import typer

from ecg_renderer.metering import Observer, ProgressReport, SilentObserver, Stage

STAGES = {
    Stage.PLANNING: "Planning",
    Stage.STARTING: "Starting Chromium",
    Stage.RENDERING: "Rendering",
    Stage.MERGING: "Merging",
}
LINE_EVERY_PERCENT = 10
LINE_EVERY_SECONDS = 3.0
LINE_AT_LATEST_SECONDS = 30.0
# A stage's own line is always written; with the four of them, no second has more than four lines.
OBJECTS_A_SECOND = 2


class Display(Observer, Protocol):
    """An observer that can also show a line of its own."""

    def note(self, text: str) -> None:
        """Show a line that stays."""


@contextmanager
def shown(*, quiet: bool, as_json: bool = False) -> Iterator[Display]:
    """Show a render on standard error for the duration of the block, as fits what that is, or as JSON lines."""
    display: Display
    if quiet:
        display = Silence()
    elif as_json:
        display = ObjectDisplay(lambda line: typer.echo(line, err=True))
    elif sys.stderr.isatty():
        with BarDisplay() as display, logs_to(display.warn):
            yield display
        return
    else:
        display = LineDisplay(lambda line: typer.echo(line, err=True))
    with logs_to(display.warn):
        yield display


class Silence(SilentObserver):
    """Shows nothing."""

    def note(self, text: str) -> None:
        """Ignore the line."""


class LineDisplay:
    """Writes lines for a log: each stage once, then about each tenth of the frames, but not more than it is worth."""

    def __init__(self, write: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._write = write
        self._clock = clock
        self._stage: Stage | None = None
        self._percent = 0
        self._written_at = clock()

    def report(self, progress: ProgressReport) -> None:
        """Write a line if it is time for one."""
        if progress.stage is not Stage.RENDERING:
            self._stage = progress.stage
            return
        now = self._clock()
        began = self._stage is not Stage.RENDERING
        waited = now - self._written_at
        due = progress.percent >= self._percent + LINE_EVERY_PERCENT and waited >= LINE_EVERY_SECONDS
        if began or due or waited >= LINE_AT_LATEST_SECONDS:
            self._stage, self._percent, self._written_at = progress.stage, progress.percent, now
            self._write(progress_line(progress))

    def warn(self, text: str) -> None:
        """Write a warning."""
        self._write(f"Warning: {text}")

    def note(self, text: str) -> None:
        """Write a line."""
        self._write(text)


class ObjectDisplay:
    """Writes one JSON object a line, for a program that watches: `event` is progress, warning or note."""

    def __init__(self, write: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._write = write
        self._clock = clock
        self._stage: Stage | None = None
        self._written = deque([float("-inf")] * OBJECTS_A_SECOND, OBJECTS_A_SECOND)

    def report(self, progress: ProgressReport) -> None:
        """Write where the render stands, if the stage is new or the last lines are old enough."""
        now = self._clock()
        if progress.stage is self._stage and now - self._written[0] < 1:
            return
        self._stage = progress.stage
        self._written.append(now)
        from ecg_api.rendering import ProgressLine

        values = {field.name: getattr(progress, field.name) for field in fields(progress)}
        self._write(ProgressLine(**values, percent=progress.percent).model_dump_json())

    def warn(self, text: str) -> None:
        """Write a warning."""
        self._say("warning", text)

    def note(self, text: str) -> None:
        """Write a remark."""
        self._say("note", text)

    def _say(self, event: Literal["warning", "note"], text: str) -> None:
        from ecg_api.rendering import MessageLine

        self._write(MessageLine(event=event, text=text).model_dump_json())


def progress_line(progress: ProgressReport) -> str:
    """Return a report as a line: `Rendering: 270 of 900 frames (30 %), 104 frames/s, 0:06 left, x264, canvas`."""
    counted = f"{progress.frames_done:,} of {progress.frames_total:,} frames ({progress.percent} %)"
    words = [
        f"{STAGES[progress.stage]}: {counted}",
        speed(progress),
        remaining(progress),
        progress.encoder,
        progress.capture,
    ]
    return ", ".join(word for word in words if word)


def speed(progress: ProgressReport) -> str:
    """Return `104 frames/s`, or nothing while it is unknown."""
    per_second = progress.frames_per_second
    return f"{per_second:.{0 if per_second >= 10 else 1}f} frames/s" if per_second else ""


def remaining(progress: ProgressReport) -> str:
    """Return `0:06 left`, or nothing while it is unknown."""
    return f"{clock_time(progress.eta_seconds)} left" if progress.eta_seconds is not None else ""


def clock_time(seconds: float) -> str:
    """Return seconds as `m:ss`, or `h:mm:ss`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


@contextmanager
def logs_to(write: Callable[[str], None]) -> Iterator[None]:
    """Hand the renderer's own log warnings to `write`, so that they do not tear a progress bar."""
    log = logging.getLogger("ecg_renderer")
    handler = _Handler(write)
    log.addHandler(handler)
    propagate, log.propagate = log.propagate, log.getEffectiveLevel() < logging.WARNING
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.propagate = propagate


class _Handler(logging.Handler):
    def __init__(self, write: Callable[[str], None]) -> None:
        super().__init__(logging.WARNING)
        self._write = write

    def emit(self, record: logging.LogRecord) -> None:
        self._write(record.getMessage())


# --- a terminal's bar -----------------------------------------------------------------------------


REFRESHES_PER_SECOND = 8


class BarDisplay:
    """A bar on standard error that goes away at the end; warnings stay above it. A context manager."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        self._console = Console(stderr=True, highlight=False)
        self._progress = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[figures]}"),
            console=self._console,
            refresh_per_second=REFRESHES_PER_SECOND,
            transient=True,
            expand=True,
        )
        self._stage = Stage.PLANNING
        self._task = self._progress.add_task(STAGES[self._stage], total=None, figures="")

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def report(self, progress: ProgressReport) -> None:
        """Move the bar; it pulses while there is nothing to count."""
        counted = progress.stage is Stage.RENDERING and progress.frames_total
        self._progress.update(
            self._task,
            description=STAGES[progress.stage],
            total=progress.frames_total if counted else None,
            completed=progress.frames_done if counted else 0,
            figures=bar_figures(progress) if counted else "",
            refresh=progress.stage is not self._stage,  # so that a short one is seen, too
        )
        self._stage = progress.stage

    def warn(self, text: str) -> None:
        """Print a warning above the bar."""
        from rich.markup import escape

        self._console.print(f"[yellow]Warning:[/] {escape(text)}")

    def note(self, text: str) -> None:
        """Print a line above the bar."""
        from rich.markup import escape

        self._console.print(escape(text))


def bar_figures(progress: ProgressReport) -> str:
    """Return what stands beside the bar: `270/900 · 104 fps · 0:06 left · x264 · canvas`."""
    speed = progress.frames_per_second
    words = [
        f"{progress.frames_done}/{progress.frames_total}",
        f"{speed:.{0 if speed >= 10 else 1}f} fps" if speed else "",
        f"{clock_time(progress.eta_seconds)} left" if progress.eta_seconds is not None else "",
        progress.encoder,
        progress.capture,
    ]
    return " · ".join(word for word in words if word)
