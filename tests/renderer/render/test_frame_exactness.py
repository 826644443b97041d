"""Captions appear on exactly their frame: counters in the source and in the captions agree on every frame."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from captions import frame_numbers, render_job
from clips import Clip, Numbers, counter, read_counters
from renders import rendered

FRAMES = 60


@pytest.mark.parametrize(
    ("rate", "segments"),
    [(rate, count) for rate in ("24000/1001", "30000/1001", "30", "60000/1001") for count in (1, 4)],
)
def test_every_frame_shows_its_own_caption(rate: str, segments: int, tmp_path: Path) -> None:
    source = counter(Clip(rate=rate, frames=FRAMES))
    job = render_job(source, frame_numbers(Fraction(rate), FRAMES), tmp_path / "out.mp4", quality=90)

    result = rendered(job, tmp_path, segments=segments)

    assert read_counters(Path(result.output)) == [Numbers(n, n) for n in range(FRAMES)]
    assert (result.frames, result.segments, result.frames_dropped) == (FRAMES, segments, 0)
