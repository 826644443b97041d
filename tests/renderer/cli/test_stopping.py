"""Ctrl-C and SIGTERM: everything is gone within seconds, and the next run goes on from the finished cells."""

from __future__ import annotations

import array
import fcntl
import json
import os
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

import clips
import command_line
import processes
from command_line import Ended, ecg_render, files, scenario, workplace

SESSION = os.environ[processes.MARKER]
# As long as Kubernetes and Docker's Compose wait at most before they kill; none takes a tenth of it on a quiet machine.
SECONDS_TO_STOP = 30.0
CLIP = clips.Clip(frames=120, width=640, height=360)


@contextmanager
def started(folder: Path, *options: str, segments: int = 3, ffmpeg: Path) -> Iterator[subprocess.Popen[str]]:
    """Start a render, with an FFmpeg so slow that it can be stopped in between; end it with the block at the latest."""
    command = command_line.command("run", "job.yaml", "--segments", str(segments), *options)
    environment = command_line.environment(folder, {"ECG_FFMPEG": str(ffmpeg)})
    render = subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    with render:
        try:
            yield render
        finally:
            render.kill()


def press_ctrl_c(render: subprocess.Popen[str]) -> None:
    """Send what a terminal sends: SIGINT to the whole process group, the browser's driver included."""
    os.killpg(render.pid, signal.SIGINT)


def terminate(render: subprocess.Popen[str]) -> None:
    """Send what a container's runtime sends: SIGTERM to the process alone."""
    render.terminate()


def wait_for_a_cell(folder: Path, render: subprocess.Popen[str]) -> None:
    """Wait until the first cell is kept, and the second has begun."""
    deadline = time.monotonic() + command_line.SECONDS
    while not list(folder.glob("cache/ecg-render/cells/*.mp4")):
        assert render.poll() is None, render.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    time.sleep(0.2)


def wait_for_a_child(render: subprocess.Popen[str]) -> None:
    """Wait until the render has started its first program: it looks at the video, and Chromium is on its way."""
    deadline = time.monotonic() + command_line.SECONDS
    while not psutil.Process(render.pid).children():
        assert render.poll() is None, render.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A workplace for a render that takes a while."""
    captions = scenario(*"abcd", seconds=4, plugin="elastic")
    return workplace(tmp_path, CLIP, captions, preset="slow")


@pytest.fixture
def ffmpeg(folder: Path) -> Path:
    """An FFmpeg that takes seconds for a cell, however fast the machine, and however late the test is."""
    (folder / "cache").mkdir()
    return clips.slow_ffmpeg(folder / "cache", 0.3)


def go_on(folder: Path, ffmpeg: Path) -> Ended:
    """Render to the end, in no hurry to be stopped."""
    clips.hurry(ffmpeg)
    changes = {"ECG_FFMPEG": str(ffmpeg)}
    return ecg_render("run", "job.yaml", "--segments", "3", "--json", cwd=folder, changes=changes)


@pytest.mark.parametrize(("stop", "status"), [(press_ctrl_c, 130), (terminate, 143)])
def test_a_stopped_render_leaves_nothing_running_and_the_next_one_goes_on(
    folder: Path, ffmpeg: Path, stop: Callable[[subprocess.Popen[str]], None], status: int
) -> None:
    before, running = files(folder), processes.survivors(SESSION)
    with started(folder, ffmpeg=ffmpeg) as render:
        wait_for_a_cell(folder, render)
        assert processes.survivors(SESSION) - running, "the browser and FFmpeg are at work"
        stop(render)
        out, err = render.communicate(timeout=SECONDS_TO_STOP)
    assert render.returncode == status
    assert out == ""
    assert "Finished pieces are kept: run the same command again" in err
    assert "Traceback" not in err
    assert processes.wait_until_gone(SESSION, SECONDS_TO_STOP, running) == set()
    assert files(folder) == before

    ended = go_on(folder, ffmpeg)
    assert ended.code == 0, ended.err
    assert 1 <= ended.json["cellsReused"] < 3
    assert len(clips.frames(folder / "out/captioned.mp4")) == 120


def test_json_says_that_the_job_was_cancelled(folder: Path, ffmpeg: Path) -> None:
    with started(folder, "--json", ffmpeg=ffmpeg) as render:
        wait_for_a_cell(folder, render)
        press_ctrl_c(render)
        out, _ = render.communicate(timeout=SECONDS_TO_STOP)
    assert json.loads(out)["failure"]["code"] == "JOB_CANCELLED"


def test_a_render_stops_while_pictures_wait_for_a_slow_encoder(tmp_path: Path) -> None:
    captions = scenario("WIDE", seconds=4, plugin="elastic")
    captions["tracks"][0]["defaultStyle"]["fontSizeRel"] = 0.5
    workplace(tmp_path, CLIP, captions)
    slow = clips.slow_ffmpeg(tmp_path, 0.3)
    before, running = files(tmp_path), processes.survivors(SESSION)
    with started(tmp_path, segments=1, ffmpeg=slow) as render:
        assert render.stderr
        assert "Rendering: 0 of 120 frames" in render.stderr.readline()
        time.sleep(1.5)
        press_ctrl_c(render)
        render.communicate(timeout=SECONDS_TO_STOP)
    assert render.returncode == 130
    assert processes.wait_until_gone(SESSION, SECONDS_TO_STOP, running) == set()
    assert files(tmp_path) == before


def test_a_killed_render_leaves_nothing_running_and_the_next_one_goes_on(folder: Path, ffmpeg: Path) -> None:
    running = processes.survivors(SESSION)
    with started(folder, ffmpeg=ffmpeg) as render:
        wait_for_a_cell(folder, render)
        render.kill()
    assert processes.wait_until_gone(SESSION, SECONDS_TO_STOP, running) == set()
    assert not (folder / "out/captioned.mp4").exists()

    ended = go_on(folder, ffmpeg)
    assert ended.code == 0, ended.err
    assert ended.json["cellsReused"] >= 1
    assert files(folder) == {"video.mp4", "scenario.json", "job.yaml", "out/captioned.mp4"}


def test_a_stop_before_the_first_frame_is_as_clean(folder: Path, ffmpeg: Path) -> None:
    before, running = files(folder), processes.survivors(SESSION)
    with started(folder, ffmpeg=ffmpeg) as render:
        wait_for_a_child(render)
        press_ctrl_c(render)
        _, err = render.communicate(timeout=SECONDS_TO_STOP)
    assert render.returncode == 130
    assert "Traceback" not in err
    assert processes.wait_until_gone(SESSION, SECONDS_TO_STOP, running) == set()
    assert files(folder) == before


@pytest.mark.parametrize("job", ["-", "/dev/stdin"])
def test_a_run_that_waits_for_its_job_stops_at_once(job: str, tmp_path: Path) -> None:
    running = processes.survivors(SESSION)
    reader, writer = os.pipe()
    command = command_line.command("run", job, "--json")
    with subprocess.Popen(
        command,
        cwd=tmp_path,
        env=command_line.environment(tmp_path),
        text=True,
        stdin=reader,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as render:
        os.close(reader)
        os.write(writer, b"apiVersion: ")
        wait_until_read(writer, render)
        press_ctrl_c(render)
        try:
            out, err = render.communicate(timeout=SECONDS_TO_STOP)
        finally:
            os.close(writer)  # would end what does not stop, too
    assert render.returncode == 130
    assert json.loads(out)["failure"]["code"] == "JOB_CANCELLED"
    assert "Stopped." in err
    assert "Traceback" not in err
    assert processes.wait_until_gone(SESSION, SECONDS_TO_STOP, running) == set()


def wait_until_read(writer: int, render: subprocess.Popen[str]) -> None:
    """Wait until nothing is left in the pipe: its reader waits for more."""
    deadline = time.monotonic() + command_line.SECONDS
    while array.array("i", fcntl.ioctl(writer, termios.FIONREAD, bytes(4)))[0]:
        assert render.poll() is None, render.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)


STUBBORN = """
import asyncio
from ecg_renderer.cli.ending import ending
from ecg_renderer.cli.ending import run_interruptible

async def clean_up_for_ever():
    try:
        print("working", flush=True)
        await asyncio.sleep(60)
    finally:
        print("cleaning up", flush=True)
        await asyncio.sleep(60)

with ending():
    run_interruptible(clean_up_for_ever())
"""


def test_a_second_signal_ends_the_process_at_once(tmp_path: Path) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", STUBBORN], env=command_line.environment(tmp_path), stdout=subprocess.PIPE, text=True
    )
    assert child.stdout
    for line in ("working\n", "cleaning up\n"):
        assert child.stdout.readline() == line
        child.send_signal(signal.SIGINT)
    assert child.wait(SECONDS_TO_STOP) == 130
    child.stdout.close()
