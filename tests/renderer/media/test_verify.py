"""A file that is not what was planned is found out, with what differs."""

from __future__ import annotations

import hashlib
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from clips import Clip, counter, derived
from ecg_renderer.errors import FfmpegError
from ecg_renderer.media.verify import Shape, check_result, check_segment

SHAPE = Shape(320, 180, 60, Fraction(30))
SILENT = Clip(audio=None)


def finished(*options: str) -> Path:
    return derived(counter(Clip()), ("-c", "copy", "-movflags", "+faststart", *options), ".mp4")


def check(path: Path, shape: Shape = SHAPE, **changes: Any) -> None:
    check_result(path, shape, **{"format": "mp4", "start": Fraction(0), "sounds": 1} | changes)


def test_a_good_file_is_described_and_hashed() -> None:
    path = finished()
    verified = check_result(path, SHAPE, format="mp4", start=Fraction(0), sounds=1)
    assert (verified.frames, verified.video_codec, verified.audio_codecs) == (60, "h264", ("aac",))
    assert verified.duration_seconds == pytest.approx(2.0)
    assert verified.size_bytes == path.stat().st_size
    assert verified.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


WRONG = {
    "size": (Shape(640, 180, 60, Fraction(30)), {}, "is 320x180 pixels instead of 640x180"),
    "too few frames": (Shape(320, 180, 61, Fraction(30)), {}, "has 60 frames instead of 61"),
    "too many frames": (Shape(320, 180, 59, Fraction(30)), {}, "has 60 frames instead of 59"),
    "rate": (Shape(320, 180, 60, Fraction(30000, 1001)), {}, r"Frame 2 of the result is shown at 0\.066667 seconds"),
    "start": (SHAPE, {"start": Fraction(1, 5)}, r"first frame at 0\.0000 seconds instead of 0\.2000"),
    "sound": (SHAPE, {"sounds": 2}, "has 1 audio streams instead of 2"),
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


def test_a_truncated_segment_is_found(tmp_path: Path) -> None:
    path = tmp_path / "5.mp4"
    whole = derived(counter(SILENT), ("-c", "copy", "-movflags", "+faststart"), ".mp4").read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(FfmpegError, match=r"The segment 5\.mp4"):
        check_segment(path, SHAPE)


@pytest.mark.parametrize("content", [b"", b"garbage" * 99])
def test_a_file_that_is_no_video_is_found(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "5.mp4"
    path.write_bytes(content)
    with pytest.raises(FfmpegError, match="cannot be read back"):
        check_segment(path, SHAPE)


def test_a_missing_segment_is_found(tmp_path: Path) -> None:
    with pytest.raises(FfmpegError, match="cannot be read back"):
        check_segment(tmp_path / "none.mp4", SHAPE)


def test_segments_encoded_alike_have_the_same_headers_and_others_do_not() -> None:
    slower = Clip(audio=None, video=("-preset", "medium", "-crf", "16"))
    first, again = counter(SILENT), derived(counter(SILENT), ("-c", "copy"), ".mp4")
    assert check_segment(first, SHAPE) == check_segment(again, SHAPE)
    assert check_segment(first, SHAPE) != check_segment(counter(slower), SHAPE)
