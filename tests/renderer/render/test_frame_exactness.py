"""Captions appear on exactly their frame: counters in the source and in the captions agree on every frame."""

from __future__ import annotations

import asyncio
from fractions import Fraction
from pathlib import Path

import pytest

from captions import frame_numbers, render_job
from clips import Clip, Numbers, counter, read_counters
from ecg_renderer.local import run_job
from ecg_renderer.progress import SilentObserver
from ecg_renderer.request import RunRequest
from ecg_renderer.settings import Settings

FRAMES = 90


@pytest.mark.parametrize("segments", [1, 4])
@pytest.mark.parametrize("rate", ["24000/1001", "30000/1001", "30", "60000/1001"])
def test_every_frame_shows_its_own_caption(rate: str, segments: int, tmp_path: Path) -> None:
    source = counter(Clip(rate=rate, frames=FRAMES))
    job = render_job(source, frame_numbers(Fraction(rate), FRAMES), tmp_path / "out.mp4", quality=90)
    request = RunRequest(job, tmp_path, Settings(), work_dir=tmp_path / "work", segments=segments)

    result = asyncio.run(run_job(request, SilentObserver()))

    assert read_counters(Path(result.output)) == [Numbers(n, n) for n in range(FRAMES)]
    assert (result.frames, result.segments, result.frames_dropped) == (FRAMES, segments, 0)
