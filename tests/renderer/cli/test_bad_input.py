"""What a user gets for every kind of bad input: one clear paragraph, its code and exit status, and nothing left."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

import clips
import command_line
import processes
from command_line import NO_BROWSER, Ended, cue, ecg_render, files, scenario, workplace

SESSION = os.environ[processes.MARKER]


def replace_video(make: Callable[[Path], object]) -> Callable[[Path], None]:
    def arrange(folder: Path) -> None:
        (folder / "video.mp4").unlink()
        make(folder / "video.mp4")

    return arrange


def truncated(path: Path) -> None:
    """Write an MP4 with its table of contents at the start, without its last third: FFmpeg exits with 0 on it."""
    whole = clips.derived(clips.counter(command_line.CLIP), ("-c", "copy", "-movflags", "+faststart"), ".mp4")
    data = whole.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])


def audio_only(path: Path) -> None:
    shutil.copy(clips.derived(clips.counter(command_line.CLIP), ("-vn", "-c:a", "copy"), ".m4a"), path)


def cover_art_only(path: Path) -> None:
    """Write sound with a picture attached, as music players show it: a video stream of one frame that is none."""
    sound, picture = path.with_name("sound.m4a"), path.with_name("cover.png")
    audio_only(sound)
    clips.ffmpeg("-f", "lavfi", "-i", "color=red:s=64x64", "-frames:v", "1", str(picture))
    tracks = ("-map", "0:a", "-map", "1:v", "-c:a", "copy", "-c:v", "png", "-disposition:v", "attached_pic")
    clips.ffmpeg("-i", str(sound), "-i", str(picture), *tracks, str(path))
    sound.unlink()
    picture.unlink()


def without_frames(path: Path) -> None:
    """Write a WebM that a recorder began and never put a frame into."""
    recording = path.with_suffix(".webm")
    clips.ffmpeg("-f", "lavfi", "-i", "color=s=64x64", "-frames:v", "0", "-c:v", "libvpx-vp9", str(recording))
    recording.rename(path)


def write_scenario(text: str | dict[str, Any]) -> Callable[[Path], None]:
    def arrange(folder: Path) -> None:
        (folder / "scenario.json").write_text(text if isinstance(text, str) else json.dumps(text))

    return arrange


def with_cues(*cues: dict[str, Any]) -> Callable[[Path], None]:
    return write_scenario({**scenario(), "cues": list(cues)})


def with_unknown_plugin(folder: Path) -> None:
    write_scenario(scenario("a", plugin="explode"))(folder)
    set_option(unknownPlugins="fail")(folder)


def set_option(**options: object) -> Callable[[Path], None]:
    def arrange(folder: Path) -> None:
        (folder / "job.yaml").write_text(yaml.safe_dump(command_line.manifest(**options)))

    return arrange


def set_spec(key: str, value: object) -> Callable[[Path], None]:
    def arrange(folder: Path) -> None:
        data = command_line.manifest()
        data["spec"][key] = value
        (folder / "job.yaml").write_text(yaml.safe_dump(data))

    return arrange


def nothing(_folder: Path) -> None:
    """The workplace as it is."""


Arrange = Callable[[Path], object]
BAD_VIDEOS: dict[str, tuple[Arrange, str, int, str]] = {
    "missing": (replace_video(lambda path: None), "INVALID_VIDEO_URL", 65, "no such file"),
    "a directory": (replace_video(Path.mkdir), "INVALID_VIDEO_URL", 65, "is a directory"),
    "empty": (replace_video(Path.touch), "INVALID_VIDEO_FORMAT", 66, "is empty"),
    "garbage": (
        replace_video(lambda path: path.write_text("Not a video. " * 1000)),
        "INVALID_VIDEO_FORMAT",
        66,
        "is a text, not a video",
    ),
    "audio only": (replace_video(audio_only), "INVALID_VIDEO_FORMAT", 66, "holds only sound"),
    "truncated": (replace_video(truncated), "INVALID_VIDEO_FORMAT", 66, "breaks off after"),
    "cover art only": (replace_video(cover_art_only), "INVALID_VIDEO_FORMAT", 66, "cover picture"),
    "without frames": (replace_video(without_frames), "INVALID_VIDEO_FORMAT", 66, "is not a video"),
}
BAD_SCENARIOS: dict[str, tuple[Arrange, str, int, str]] = {
    "missing": (lambda folder: (folder / "scenario.json").unlink(), "STORAGE_ACCESS_ERROR", 69, "scenario.json"),
    "broken JSON": (write_scenario('{"cues": [}'), "SCENARIO_PARSE_ERROR", 67, "line 1, column 11"),
    "a time that is none": (with_cues(cue("a", "soon", 0.2)), "SCENARIO_PARSE_ERROR", 67, "cues[0]"),  # type: ignore[arg-type]
    "unknown track": (
        with_cues(cue("a", 0, 0.5), {**cue("b", 0.5, 0.9), "track": "captoin"}),
        "SCENARIO_PARSE_ERROR",
        67,
        'cues[1].track: no track is called "captoin"',
    ),
    "unknown plugin": (with_unknown_plugin, "SCENARIO_PARSE_ERROR", 67, "explode"),
    "NaN times": (with_cues(cue("a", float("nan"), 0.5)), "SCENARIO_PARSE_ERROR", 67, "cues[0].root.displayTime[0]"),
    "10,001 cues": (
        lambda folder: with_cues(*(cue(str(n), n / 20000, (n + 1) / 20000) for n in range(10_001)))(folder),
        "SCENARIO_PARSE_ERROR",
        67,
        "10,001 cues",
    ),
}
BAD_JOBS: dict[str, tuple[Arrange, str, int, str]] = {
    "no manifest": (lambda folder: (folder / "job.yaml").unlink(), "VALIDATION_ERROR", 64, "job.yaml"),
    "the video as the manifest": (
        lambda folder: shutil.copy(folder / "video.mp4", folder / "job.yaml"),
        "VALIDATION_ERROR",
        64,
        "not UTF-8",
    ),
    "an unknown field": (set_spec("optoins", {}), "VALIDATION_ERROR", 64, "did you mean options"),
    "quality out of range": (set_option(quality=101), "INVALID_RENDER_OPTIONS", 68, "spec.options.quality: 101"),
    "a size out of range": (set_option(width=64, height=8000), "INVALID_RENDER_OPTIONS", 68, "8000 is above 7680"),
    "a shape that leaves the range": (set_option(height=7680), "INVALID_RENDER_OPTIONS", 68, "width"),
    "an output below a file": (
        set_spec("output", {"uri": "video.mp4/out.mp4"}),
        "STORAGE_ACCESS_ERROR",
        69,
        "video.mp4/out.mp4",
    ),
    "the source as the output": (set_spec("output", {"uri": "video.mp4"}), "STORAGE_ACCESS_ERROR", 69, "source itself"),
    "NVENC where there is none": (set_option(encoder="nvenc"), "FFMPEG_ERROR", 98, "NVENC"),
}
CASES = {
    f"{kind}: {name}": case
    for kind, cases in {"video": BAD_VIDEOS, "scenario": BAD_SCENARIOS, "job": BAD_JOBS}.items()
    for name, case in cases.items()
}


# How far each gets while the browser that it has started comes up: not at all, to the source, and to the encoder.
WITH_A_BROWSER = {"video: missing", "video: truncated", "scenario: broken JSON", "job: NVENC where there is none"}


@pytest.mark.parametrize("name", CASES)
def test_bad_input_is_one_paragraph_and_leaves_nothing(tmp_path: Path, name: str) -> None:
    arrange, code, status, said = CASES[name]
    workplace(tmp_path)
    arrange(tmp_path)
    with nothing_left(tmp_path):
        ended = ecg_render("run", "job.yaml", cwd=tmp_path, changes=None if name in WITH_A_BROWSER else NO_BROWSER)
    assert_clear(ended, code, status, said)
    assert ended.out == ""


@pytest.mark.parametrize("command", ["plan", "still", "frames"])
def test_the_other_commands_refuse_alike(tmp_path: Path, command: str) -> None:
    workplace(tmp_path)
    BAD_VIDEOS["garbage"][0](tmp_path)
    options = {"still": ["--at", "0.5", "-o", "x.png"], "frames": ["--hash"]}.get(command, [])
    with nothing_left(tmp_path):
        ended = ecg_render(command, "job.yaml", *options, cwd=tmp_path)
    assert_clear(ended, "INVALID_VIDEO_FORMAT", 66, "is a text, not a video")


def test_json_gives_the_failure_as_one_object(tmp_path: Path) -> None:
    workplace(tmp_path, quality=101)
    ended = ecg_render("run", "job.yaml", "--json", cwd=tmp_path, changes=NO_BROWSER)
    assert ended.code == 68
    failure = ended.json["failure"]
    assert failure["code"] == "INVALID_RENDER_OPTIONS"
    assert failure["retryable"] is False
    assert "spec.options.quality" in failure["message"]


def test_without_chromium_the_message_says_how_to_get_it(tmp_path: Path) -> None:
    workplace(tmp_path)
    with nothing_left(tmp_path):
        ended = ecg_render("run", "job.yaml", cwd=tmp_path, changes={"ECG_CHROMIUM": "/nonexistent"})
    assert_clear(ended, "BROWSER_ERROR", 97, "/nonexistent")
    assert "apt-get install chromium-headless-shell" in ended.err


def test_without_ffmpeg_the_message_says_how_to_get_it(tmp_path: Path) -> None:
    workplace(tmp_path)
    (tmp_path / "empty").mkdir()
    with nothing_left(tmp_path):
        ended = ecg_render("run", "job.yaml", cwd=tmp_path, changes={"PATH": str(tmp_path / "empty")})
    assert_clear(ended, "FFMPEG_ERROR", 98, "is not installed")
    assert "apt-get install ffmpeg" in ended.err


@pytest.mark.parametrize("where", ["--output", "--cells"])
def test_a_full_disk_is_said_to_be_full(tmp_path: Path, where: str) -> None:
    workplace(tmp_path, clips.Clip(filters="noise=alls=80:allf=t"), quality=100)  # about 2 MB when it is rendered
    with small_disk(tmp_path) as (disk, limit), nothing_left(tmp_path):
        place = disk / ("captioned.mp4" if where == "--output" else "cells")
        ended = ecg_render("run", "job.yaml", where, place, cwd=tmp_path, limit=limit)
        assert not list(disk.rglob("*.mp4"))
    assert_clear(ended, "SYSTEM_RESOURCE_ERROR", 104, "full" if limit is None else "grow")


@contextmanager
def small_disk(folder: Path) -> Iterator[tuple[Path, int | None]]:
    """Give a folder on a disk that is too small for a video; where none may be mounted, a limit for files instead."""
    disk = folder / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(disk)]
    if subprocess.run(mount, check=False, stderr=subprocess.DEVNULL).returncode != 0:
        yield disk, 300_000
        return
    try:
        yield disk, None
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@contextmanager
def nothing_left(folder: Path) -> Iterator[None]:
    """Check that the block leaves no file and no process behind."""
    before = {path for path in files(folder) if not path.startswith("disk/cells")}
    running = processes.survivors(SESSION)
    yield
    assert {path for path in files(folder) if not path.startswith("disk/cells")} == before
    left = processes.wait_until_gone(SESSION, 30.0, running)
    assert not left, [processes.describe(process) for process in left]


def assert_clear(ended: Ended, code: str, status: int, said: str) -> None:
    """Check that a failure is a paragraph that begins with its code and says what is wrong."""
    assert ended.code == status, ended.err
    assert "Traceback" not in ended.err
    paragraphs = [line for line in ended.err.splitlines() if line.startswith(f"{code}: ")]
    assert len(paragraphs) == 1, ended.err
    assert said in paragraphs[0]
    assert len(paragraphs[0]) < 500
