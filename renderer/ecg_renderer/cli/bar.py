"""The progress bar of a terminal."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn

from ecg_renderer.cli.display import STAGES, clock_time
from ecg_renderer.progress import ProgressReport, Stage

REFRESHES_PER_SECOND = 8


class BarDisplay:
    """A bar on standard error that goes away at the end; warnings stay above it. A context manager."""

    def __init__(self) -> None:
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
        self._console.print(f"[yellow]Warning:[/] {escape(text)}")

    def note(self, text: str) -> None:
        """Print a line above the bar."""
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
