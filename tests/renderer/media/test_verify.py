"""A file that is not what was planned is found out, with what differs."""

from __future__ import annotations

import hashlib
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from clips import Clip, counter, derived
from ecg_api.plan import Target
from ecg_renderer.errors import FfmpegError
from ecg_renderer.media.merge import check_cell, check_result
from encodes import Render
from plan_facts import a_target

TARGET = a_target(width=320, height=180, frames=60)
SILENT = Clip(audio=None)


def finished(*options: str) -> Path:
    return derived(counter(Clip()), ("-c", "copy", "-movflags", "+faststart", *options), ".mp4")


def check(path: Path, target: Target = TARGET, **changes: Any) -> None:
    check_result(path, target, **{"start": Fraction(0), "sounds": 1} | changes)


def test_a_good_file_is_described_and_hashed() -> None:
    path = finished()
    verified = check_result(path, TARGET, start=Fraction(0), sounds=1)
    assert (verified.frames, verified.sounds) == (60, 1)
    assert verified.duration_seconds == pytest.approx(2.0)
    assert verified.size_bytes == path.stat().st_size
    assert verified.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


WRONG = {
    "size": (a_target(width=640, height=180, frames=60, rate="30"), {}, "is 320x180 pixels instead of 640x180"),
    "too few frames": (a_target(width=320, height=180, frames=61, rate="30"), {}, "has 60 frames instead of 61"),
    "too many frames": (a_target(width=320, height=180, frames=59, rate="30"), {}, "has 60 frames instead of 59"),
    "rate": (
        a_target(width=320, height=180, frames=60, rate="30000/1001"),
        {},
        r"Frame 2 of the result is shown at 0\.066667 seconds",
    ),
    "start": (TARGET, {"start": Fraction(1, 5)}, r"first frame at 0\.0000 seconds instead of 0\.2000"),
    "sound": (TARGET, {"sounds": 0}, "has 1 audio streams instead of 0"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_differs_is_said(name: str) -> None:
    shape, changes, words = WRONG[name]
    with pytest.raises(FfmpegError, match=words):
        check(finished(), shape, **changes)


def test_a_table_of_contents_at_the_end_is_found() -> None:
    with pytest.raises(FfmpegError, match="table of contents is not at its start"):
        check(counter(Clip()))


def test_one_uneven_step_is_found() -> None:
    late = ("-c:v", "copy", "-bsf:v", "setts=ts=TS+eq(N\\,30)*3", "-c:a", "copy")
    path = derived(counter(Clip(video=("-preset", "ultrafast", "-bf", "0"))), late, ".mp4")
    with pytest.raises(FfmpegError, match="Frame 30 of"):
        check(path)


def a_cell(folder: Path) -> tuple[Path, Target]:
    """Return the frames 20 to 40 of a clip, as a cell."""
    render = Render(counter(SILENT), folder)
    return render.segment(20, 40), render.target


def test_a_whole_cell_is_good_where_it_belongs_and_nowhere_else(tmp_path: Path) -> None:
    cell, target = a_cell(tmp_path)
    check_cell(cell, target, 20, 40)
    with pytest.raises(FfmpegError, match=r"has 20 frames instead of 21"):
        check_cell(cell, target, 20, 41)
    with pytest.raises(FfmpegError, match=r"shows its first frame at"):
        check_cell(cell, target, 0, 20)


def test_a_truncated_cell_is_found(tmp_path: Path) -> None:
    cell, target = a_cell(tmp_path)
    cell.write_bytes(cell.read_bytes()[: cell.stat().st_size // 2])
    with pytest.raises(FfmpegError, match="The piece of frames 20 to 39"):
        check_cell(cell, target, 20, 40)


@pytest.mark.parametrize("content", [b"", b"garbage" * 99])
def test_a_file_that_is_no_video_is_found(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "5.mp4"
    path.write_bytes(content)
    with pytest.raises(FfmpegError, match="cannot be read back"):
        check_cell(path, TARGET, 0, 60)


def test_a_missing_cell_is_found(tmp_path: Path) -> None:
    with pytest.raises(FfmpegError, match="cannot be read back"):
        check_cell(tmp_path / "none.mp4", TARGET, 0, 60)
