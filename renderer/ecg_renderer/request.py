"""What to render, and how this machine goes about it. Imports little: Chromium is started before the rest is loaded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ecg_api.renderjob import RenderJob
from ecg_renderer.settings import Settings

if TYPE_CHECKING:
    from ecg_renderer.planning import Cutting

TARGET_SECONDS = 60.0


@dataclass(frozen=True)
class RunRequest:
    """A job to run here.

    `base` is the folder that relative paths in the manifest start from. `cells` is the folder in which finished pieces
    are kept. `segments` forces their number.
    """

    job: RenderJob
    base: Path
    settings: Settings
    cells: Path
    segments: int | None = None

    @property
    def cutting(self) -> Cutting:
        """How the work is shared out: by the manifest where it says so, else a minute of video at a time."""
        return cutting_of(self.job, forced=self.segments)


def cutting_of(job: RenderJob, *, most: int | None = None, forced: int | None = None) -> Cutting:
    """Return how the manifest wants the work shared out, into at most `most` segments, or into `forced`."""
    from ecg_renderer.planning import CELL_SECONDS, LIVE_CELL_SECONDS, Cutting

    wanted = job.spec.segments
    return Cutting(
        max_segments=min((limit for limit in (wanted.max, most) if limit), default=None),
        target_seconds=wanted.target_seconds or TARGET_SECONDS,
        forced=forced,
        cell_seconds=LIVE_CELL_SECONDS if job.spec.live else CELL_SECONDS,
    )
