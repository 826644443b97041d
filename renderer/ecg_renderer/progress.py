"""How far a render is, for whoever shows it: a terminal, a log, a status."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

WINDOW_SECONDS = 10.0


class Stage(StrEnum):
    """What a render is doing."""

    PLANNING = "planning"
    STARTING = "starting"
    RENDERING = "rendering"
    MERGING = "merging"


@dataclass(frozen=True)
class ProgressReport:
    """A moment of a render; frames count over the whole output, seconds are None while unknown.

    `queued_frames` are caption pictures that wait for FFmpeg.
    """

    stage: Stage
    frames_done: int = 0
    frames_total: int = 0
    frames_per_second: float | None = None
    eta_seconds: float | None = None
    encoder: str = ""
    capture: str = ""
    segment: int = 0
    segments: int = 0
    queued_frames: int = 0

    @property
    def percent(self) -> int:
        """Share of frames done, 0 to 100."""
        return 100 * self.frames_done // self.frames_total if self.frames_total else 0


class Observer(Protocol):
    """Is told about progress and about what a person should know; must return quickly."""

    def report(self, progress: ProgressReport) -> None:
        """Take a report; they come a few times a second."""

    def warn(self, text: str) -> None:
        """Take a warning, once each."""


class SilentObserver:
    """Nobody looks."""

    def report(self, progress: ProgressReport) -> None:
        """Ignore the report."""

    def warn(self, text: str) -> None:
        """Ignore the warning."""


class Speedometer:
    """Frames per second over the last seconds, and the time that the rest will take.

    Attributes:
        done: frames, as last noted.
    """

    def __init__(self, total: int) -> None:
        self._total = total
        self._marks: deque[tuple[float, int]] = deque()
        self.done = 0

    def note(self, frames_done: int) -> tuple[float | None, float | None]:
        """Note how many frames are done; return frames per second and seconds to go, None while unknown."""
        now = time.monotonic()
        self.done = frames_done
        self._marks.append((now, frames_done))
        while len(self._marks) > 2 and now - self._marks[0][0] > WINDOW_SECONDS:
            self._marks.popleft()
        then, done_then = self._marks[0]
        if now <= then or frames_done <= done_then:
            return None, None
        speed = (frames_done - done_then) / (now - then)
        return speed, (self._total - frames_done) / speed
