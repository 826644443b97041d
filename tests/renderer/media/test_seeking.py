"""A segment that begins anywhere shows the right pictures from its first frame on, however the source was coded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from clips import Clip, counter, derived, read_counters
from ecg_renderer.media import probe as probing
from encodes import Render, probe

LONG = ("-preset", "ultrafast", "-crf", "16", "-bf", "3", "-g", "250")  # 10.4 s between key frames


def x264(parameters: str, *more: str) -> tuple[str, ...]:
    return ("-preset", "ultrafast", "-crf", "16", *more, "-x264-params", parameters)


def x265(parameters: str) -> tuple[str, ...]:
    return ("-preset", "superfast", "-x265-params", f"{parameters}:log-level=none")


def in_container(suffix: str, clip: Clip, *options: str) -> Path:
    return derived(counter(clip), ("-c", "copy", *options), suffix)


@dataclass(frozen=True)
class Case:
    """A source, and the frames at which segments begin."""

    make: Callable[[], Path]
    starts: tuple[int, ...]


H264 = Clip(rate="24", frames=620, width=160, height=90, audio=None, video=LONG)
AROUND = (20, 22, 23, 24, 25, 26, 27, 30, 35, 36, 37)  # key frames: 24 and 36
LONG_STARTS = (130, 249, 250, 251, 480, 499, 500, 501, 600)


def short(suffix: str, codec: str, *video: str, audio: str | None = None) -> Clip:
    return Clip(rate="24", frames=100, width=160, height=90, suffix=suffix, codec=codec, video=video, audio=audio)


HEVC = short(".mp4", "libx265", *x265("keyint=25:bframes=4:b-adapt=0:open-gop=1"))
REFRESHED = short(".mp4", "libx264", *x264("intra-refresh=1:keyint=24"))

CASES: dict[str, Case] = {
    "MPEG-TS, long groups": Case(lambda: in_container(".ts", H264), LONG_STARTS),
    "MPEG-TS, open groups": Case(
        lambda: in_container(".ts", short(".mp4", "libx264", *x264("open-gop=1:keyint=12", "-bf", "3"))), AROUND
    ),
    "MPEG-TS, MPEG-2 with sound": Case(
        lambda: counter(short(".ts", "mpeg2video", "-bf", "2", "-g", "12", "-q:v", "2", audio="mp2")), AROUND
    ),
    "MPEG-PS": Case(lambda: counter(short(".mpg", "mpeg2video", "-bf", "2", "-g", "12", "-q:v", "2")), AROUND),
    "MPEG-PS, long groups with sound": Case(
        lambda: counter(
            Clip(rate="24", frames=620, width=160, height=90, suffix=".mpg", codec="mpeg2video", audio="mp2",
                 video=("-bf", "2", "-g", "250", "-q:v", "2", "-sc_threshold", "1000000000"))
        ),
        LONG_STARTS,
    ),
    "MKV": Case(lambda: in_container(".mkv", H264), LONG_STARTS),
    "MKV without cues": Case(lambda: in_container(".mkv", H264, "-write_crc32", "0", "-live", "1"), LONG_STARTS),
    "MP4, long groups": Case(lambda: counter(H264), LONG_STARTS),
    "fragmented MP4": Case(lambda: in_container(".mp4", H264, "-movflags", "frag_keyframe+empty_moov"), LONG_STARTS),
    "FLV": Case(lambda: in_container(".flv", H264), LONG_STARTS),
    "NUT": Case(lambda: in_container(".nut", H264), LONG_STARTS),
    "ASF": Case(lambda: counter(short(".asf", "msmpeg4v3", "-g", "12", "-q:v", "2")), AROUND),
    "AVI": Case(lambda: counter(short(".avi", "mpeg4", "-bf", "2", "-g", "12", "-q:v", "2", audio="mp3")), AROUND),
    "AVI with H.264": Case(lambda: counter(short(".avi", "libx264", *x264("keyint=12", "-bf", "3"))), AROUND),
    "open groups of H.264": Case(
        lambda: counter(short(".mp4", "libx264", *x264("open-gop=1:keyint=12", "-bf", "3"))), AROUND
    ),
    "open groups of HEVC": Case(lambda: counter(HEVC), (43, 46, 47, 48, 49, 50, 51, 52, 54)),
    "open groups of HEVC in MPEG-TS": Case(
        lambda: in_container(".ts", HEVC), (47, 48, 49, 50, 51, 53)
    ),
    "intra refresh": Case(lambda: counter(REFRESHED), (46, 48, 49, 55, 60, 65, 70, 71, 72, 73, 77)),
    "intra refresh in MPEG-TS": Case(lambda: in_container(".ts", REFRESHED), (60, 71, 72, 73, 80)),
    "key frames alone": Case(lambda: counter(short(".mov", "mjpeg", "-q:v", "2", "-pix_fmt", "yuvj420p")), AROUND),
    "groups shorter than the decoder's delay": Case(
        lambda: counter(short(".mp4", "libx264", *x264("keyint=4:min-keyint=1:bframes=3:b-adapt=0"))), AROUND
    ),
    "vp9": Case(
        lambda: counter(short(".webm", "libvpx-vp9", "-crf", "20", "-b:v", "0", "-g", "12", "-cpu-used", "8")), AROUND
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_every_start_shows_the_frames_that_follow_it(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    assert_right_pictures(Render(case.make(), tmp_path), case.starts)


@pytest.mark.parametrize("name", ["open groups of H.264", "open groups of HEVC", "intra refresh", "MKV", "vp9"])
def test_where_no_packet_was_read_a_margin_is_kept(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    render = Render(case.make(), tmp_path)
    render.source = render.source.model_copy(update={"seek_points": None})
    assert_right_pictures(render, case.starts[::2])


@pytest.mark.parametrize(
    ("name", "tried"),
    [
        ("MP4, long groups", False),
        ("MKV", False),
        ("MPEG-TS, long groups", False),
        ("open groups of H.264", True),
        ("intra refresh", True),
    ],
)
def test_decoding_is_tried_only_where_some_key_frame_does_not_begin_anew(
    name: str, tried: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    try_out = probing.recovery_seconds

    async def noted(url: str, *more: Any) -> float:
        asked.append(url)
        return await try_out(url, *more)

    monkeypatch.setattr(probing, "recovery_seconds", noted)
    assert (probe(CASES[name].make()).recovery_seconds > 0) == (name == "intra refresh")
    assert bool(asked) == tried


def test_where_the_palette_is_said_once_all_is_read_from_the_beginning(tmp_path: Path) -> None:
    coding = ("-c:v", "rawvideo", "-pix_fmt", "pal8")
    render = Render(derived(counter(short(".mp4", "libx264")), coding, ".avi"), tmp_path)
    assert [numbers.source for numbers in read_counters(render.segment(20, 26))] == list(range(20, 26))


def assert_right_pictures(render: Render, starts: tuple[int, ...]) -> None:
    wrong, seeks = {}, set()
    for start in starts:
        job = render.job(start, min(start + 6, render.frames), None, f"{start}.mp4")
        arguments = job.arguments
        seeks.add(arguments[arguments.index("-ss") + 1] if "-ss" in arguments else None)
        render.encode(job)
        shown = [numbers.source for numbers in read_counters(job.output)]
        if shown != list(range(job.start, job.end)):
            wrong[start] = shown
    assert wrong == {}
    assert seeks != {None}, "all was decoded from the beginning: this shows nothing"
