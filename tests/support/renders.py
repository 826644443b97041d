"""Whole renders within this process, each with cells and browsers of its own.

result = rendered(render_job(...), tmp_path)            cells are kept in tmp_path/cells
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import clips
from ecg_api.rendering import RenderResult
from ecg_api.renderjob import RenderJob
from ecg_renderer.browser import Browser, BrowserLauncher
from ecg_renderer.local import run_job
from ecg_renderer.metering import Observer, SilentObserver
from ecg_renderer.model import SelfCheck
from ecg_renderer.request import RunRequest, Settings

SETTINGS = Settings(selfcheck=SelfCheck.NEVER)
"""The fast capture is trusted: a check of it takes longer than most of these renders."""


class NoBrowser(BrowserLauncher):
    """Starts none: whoever needs one has rendered what it need not."""

    async def start(self) -> Browser:
        raise AssertionError("a browser was asked for")


def rendered(
    job: RenderJob,
    folder: Path,
    *,
    segments: int | None = None,
    settings: Settings = SETTINGS,
    observer: Observer | None = None,
    launcher: BrowserLauncher | None = None,
) -> RenderResult:
    """Render a job whose relative paths start at `folder`."""
    request = RunRequest(job, folder, settings, cells=folder / "cells", segments=segments)
    with clips.known_to(folder / "cells"):
        return asyncio.run(run(request, observer, launcher))


async def run(
    request: RunRequest, observer: Observer | None = None, launcher: BrowserLauncher | None = None
) -> RenderResult:
    """Render a job with a browser of its own, which ends with it."""
    launcher = launcher or BrowserLauncher()
    try:
        return await run_job(request, observer or SilentObserver(), launcher)
    finally:
        await launcher.close()
