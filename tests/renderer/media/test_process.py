"""FFmpeg as a child: what it reports, how it is ended, what its failures are called."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import psutil
import pytest

from clips import Clip, counter, number_picture, read_counters, write_nut
from ecg_renderer.errors import FfmpegError, FfmpegStopped, RenderError, ResourceError
from ecg_renderer.media.arguments import LEAD_FRAMES, Overlay
from ecg_renderer.media.process import Finished, Progress, failure, run_ffmpeg
from encodes import Render
from processes import of_this_test

ENDLESS = ["-f", "lavfi", "-i", "testsrc=s=64x64", "-f", "null", "-"]


def wait_for(condition: Callable[[], bool], seconds: float = 60) -> bool:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return condition()


def test_progress_counts_frames_and_ends_with_the_last(tmp_path: Path) -> None:
    seen: list[Progress] = []
    # So slow that reports come all along, though others have the machine for most of the time.
    arguments = ["-readrate", "0.3", "-f", "lavfi", "-i", "testsrc=s=64x64:r=30", "-frames:v", "30", "-f", "null", "-"]
    asyncio.run(run_ffmpeg(arguments, on_progress=seen.append))
    frames = [progress.frame for progress in seen]
    assert frames == sorted(frames)
    assert len(set(frames)) > 2
    assert frames[-1] == 30
    assert seen[-1].seconds == pytest.approx(1.0, abs=0.05)


def test_a_failure_has_the_last_words_of_the_log_and_no_secrets() -> None:
    with pytest.raises(FfmpegError) as caught:
        asyncio.run(run_ffmpeg(["-i", "/none?key=secret", "-f", "null", "-"], action="testing", redact={"secret": "…"}))
    assert "exit status 1 while testing" in caught.value.message
    assert "No such file" in "".join(caught.value.log_tail)
    assert "secret" not in caught.value.message + "".join(caught.value.log_tail)


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("https://host/a.mp4?X-Signature=secret&x=1", "https://host/a.mp4"),
        ("http://user:secret@host/a.mp4", "http://host/a.mp4"),
        ("https://host/a.mp4#secret", "https://host/a.mp4"),
    ],
)
def test_signatures_and_passwords_never_stay_in_a_log(
    address: str, shown: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing = tmp_path / "ffmpeg"
    failing.write_text(f"#!/bin/sh\necho '{address}: Server returned 403 Forbidden' >&2\nexit 1\n")
    failing.chmod(0o755)
    monkeypatch.setenv("ECG_FFMPEG", str(failing))
    with pytest.raises(FfmpegError) as caught:
        asyncio.run(run_ffmpeg([]))
    (line,) = caught.value.log_tail
    assert line.startswith(shown)
    assert line.endswith("403 Forbidden")
    assert "secret" not in line + caught.value.message


def test_the_log_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chatty = tmp_path / "ffmpeg"
    chatty.write_text("#!/bin/sh\nseq 200000 >&2\nexit 3\n")
    chatty.chmod(0o755)
    monkeypatch.setenv("ECG_FFMPEG", str(chatty))
    with pytest.raises(FfmpegError) as caught:
        asyncio.run(run_ffmpeg([]))
    assert caught.value.log_tail == [str(number) for number in range(199_981, 200_001)]


def test_cancelling_ends_the_child() -> None:
    async def cancelled() -> None:
        task = asyncio.create_task(run_ffmpeg(ENDLESS))
        assert await asyncio.to_thread(wait_for, lambda: bool(of_this_test()))
        await asyncio.sleep(0.2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())
    assert wait_for(lambda: not of_this_test())


def test_a_child_that_ignores_the_polite_signal_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ready = tmp_path / "ready"
    stubborn = tmp_path / "ffmpeg"
    stubborn.write_text(f"#!/bin/sh\ntrap '' TERM INT\ntouch {ready}\nwhile :; do sleep 0.1; done\n")
    stubborn.chmod(0o755)
    monkeypatch.setenv("ECG_FFMPEG", str(stubborn))
    monkeypatch.setattr("ecg_renderer.media.process.TERMINATE_SECONDS", 0.3)

    async def cancelled() -> None:
        task = asyncio.create_task(run_ffmpeg([]))
        assert await asyncio.to_thread(wait_for, ready.exists)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())
    assert wait_for(lambda: not of_this_test())


def test_ffmpeg_does_not_outlive_a_parent_that_is_killed(tmp_path: Path) -> None:
    script = f"import asyncio; from ecg_renderer.media.process import run_ffmpeg; asyncio.run(run_ffmpeg({ENDLESS!r}))"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen([sys.executable, "-c", script], env=environment) as parent:
        ours = psutil.Process(parent.pid)
        assert wait_for(lambda: bool(ours.children()))
        child = ours.children()[0]
        assert wait_for(lambda: child.name() == "ffmpeg")
        parent.send_signal(signal.SIGKILL)
    assert wait_for(lambda: has_ended(child))


def has_ended(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_interrupting_the_terminal_does_not_reach_the_child() -> None:
    async def session() -> int:
        task = asyncio.create_task(run_ffmpeg(ENDLESS))
        assert await asyncio.to_thread(wait_for, lambda: bool(of_this_test()))
        found = os.getsid(of_this_test()[0].pid)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return found

    assert asyncio.run(session()) != os.getsid(0)


def test_ffmpeg_missing_is_said_with_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECG_FFMPEG", "/nowhere/ffmpeg")
    with pytest.raises(FfmpegError, match="/nowhere/ffmpeg is not installed") as caught:
        asyncio.run(run_ffmpeg(["-version"]))
    assert "apt-get install ffmpeg" in caught.value.hint


@pytest.mark.parametrize("target", ["/dev/full"])
def test_a_full_disk_is_named(target: str) -> None:
    # So little is written that FFmpeg notices only when it closes the file, and ends with exit status 0.
    with pytest.raises(ResourceError, match="disk is full"):
        asyncio.run(run_ffmpeg(["-i", f"file:{counter()}", "-c", "copy", "-f", "nut", target]))


def test_a_limit_on_file_sizes_is_named(tmp_path: Path) -> None:
    arguments = ["-f", "lavfi", "-i", "testsrc=s=640x360", "-t", "5", "-f", "rawvideo", f"file:{tmp_path}/x.yuv"]
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, before[1]))
    try:
        with pytest.raises(ResourceError):
            asyncio.run(run_ffmpeg(arguments))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


FAILURES: dict[str, tuple[Finished, type[RenderError], str]] = {
    "killed": (Finished(-9, b"", []), FfmpegStopped, "ended by SIGKILL"),
    "crashed": (Finished(-11, b"", []), FfmpegError, "ended by SIGSEGV"),
    "too large": (Finished(-25, b"", []), ResourceError, "largest size"),
    "quota": (Finished(1, b"", ["x: Disk quota exceeded"]), ResourceError, "disk is full"),
    "plain": (Finished(1, b"", ["what happened"]), FfmpegError, "while testing: what happened"),
}


@pytest.mark.parametrize("name", FAILURES)
def test_failures_are_told_apart(name: str) -> None:
    finished, kind, words = FAILURES[name]
    error = failure(finished, "testing")
    assert type(error) is kind
    assert words in error.message


def test_captions_come_through_a_pipe_while_ffmpeg_runs(tmp_path: Path) -> None:
    render = Render(counter(Clip()), tmp_path)
    reader, writer = os.pipe()
    pictures = [(LEAD_FRAMES + index, number_picture(index, render.box.width, render.box.height)) for index in (20, 41)]

    async def piped() -> None:
        job = render.job(0, 60, Overlay(render.box, "pipe:0"), "piped.mp4")
        size = render.box.width, render.box.height
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(asyncio.to_thread(write_and_close, writer, size, render.rate, pictures))
            tasks.create_task(run_ffmpeg(job.arguments, stdin=reader))
        job.files.path(0).rename(job.output)

    asyncio.run(piped())
    os.close(reader)
    captions = [numbers.caption for numbers in read_counters(tmp_path / "piped.mp4")]
    assert captions == [None] * 20 + [20] * 21 + [41] * 19


def write_and_close(descriptor: int, size: tuple[int, int], rate: Fraction, pictures: list[tuple[int, bytes]]) -> None:
    with os.fdopen(descriptor, "wb"):
        write_nut(f"pipe:{descriptor}", size, rate, pictures)
