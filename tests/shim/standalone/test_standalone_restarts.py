"""The service is killed at every stage: no job is lost, none is rendered twice, no renderer goes on alone."""

from __future__ import annotations

import asyncio
import fcntl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import pytest

from ecg_common.children import MARK
from ecg_shim.backends.standalone import StandaloneBackend
from ecg_shim.model import JobStatus, RenderOrder
from shim_scripted_renderer import starts
from shim_standalone import SECONDS, ended, order, rows, start_service, with_backend


@contextmanager
def killed_when(folder: Path, ready: Callable[[], bool]) -> Iterator[None]:
    """Run a service in `folder` until `ready`, then kill it as a loss of power would."""
    service = start_service(folder)
    try:
        deadline = time.monotonic() + SECONDS
        while not ready():
            assert service.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
    finally:
        service.kill()
        service.communicate()
    yield


def put(folder: Path, *steps: list[Any]) -> None:
    """Put a job into the queue of a service that is ended before it renders it."""

    async def work(backend: StandaloneBackend) -> None:
        await backend.submit(order("a", *steps))

    with_backend(folder, work, never)


async def never(_: RenderOrder) -> NoReturn:
    """Admit nothing, ever."""
    await asyncio.sleep(3600)
    raise AssertionError


def finish(folder: Path) -> JobStatus:
    """Run a service until the job has ended."""

    async def work(backend: StandaloneBackend) -> JobStatus:
        return (await ended(backend, "a")).status

    status: JobStatus = with_backend(folder, work)
    return status


def locked(path: Path) -> bool:
    """Whether somebody holds the lock of a file."""
    with path.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


STEPS: list[list[Any]] = [
    ["progress", "planning"],
    ["sleep", 0.3],
    ["segment", "one"],
    ["progress", "rendering", 50],
    ["once", "pause", ["sleep", 5]],
    ["segment", "two"],
    ["result"],
]
STAGES: dict[str, Callable[[Path], bool]] = {
    "as soon as it is up": lambda folder: True,
    "when the job has begun": lambda folder: rows(folder)[0]["status"] == "processing",
    "when the renderer has started": lambda folder: "start" in starts(folder / "script.log"),
    "between two segments": lambda folder: "segment one" in starts(folder / "script.log"),
}


@pytest.mark.parametrize("stage", STAGES)
def test_a_killed_service_goes_on_where_it_was(tmp_path: Path, stage: str) -> None:
    put(tmp_path, *STEPS)
    with killed_when(tmp_path, lambda: STAGES[stage](tmp_path)):
        pass
    assert finish(tmp_path) is JobStatus.COMPLETED
    lines = starts(tmp_path / "script.log")
    assert [lines.count(line) for line in ("segment one", "segment two", "video")] == [1, 1, 1]
    assert len(rows(tmp_path)) == 1


def test_a_service_waits_for_what_a_killed_one_was_starting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ecg_shim.backends.standalone.workspace.LOCK_SECONDS", SECONDS)
    put(tmp_path, *STEPS)
    # A child between fork and exec still has every file of the service, its lock among them.
    command = ["flock", "--no-fork", str(tmp_path / "data" / "lock"), "cat"]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as child:
        assert child.stdin
        while not locked(tmp_path / "data" / "lock"):
            time.sleep(0.01)
        begun = threading.Timer(1.5, child.stdin.close)
        begun.start()
        assert finish(tmp_path) is JobStatus.COMPLETED
        begun.join()
    assert child.returncode == 0


def test_a_video_that_was_finished_when_the_service_died_is_not_rendered_again(tmp_path: Path) -> None:
    put(tmp_path, ["result"], ["sleep", 600])
    # Killed after the renderer has said its result, and before the service could note it.
    folder = tmp_path / "data" / "jobs"
    with killed_when(tmp_path, lambda: any(path.stat().st_size for path in folder.glob("a-*/result-1.json"))):
        pass
    assert rows(tmp_path)[0]["status"] == "processing"
    assert finish(tmp_path) is JobStatus.COMPLETED
    assert starts(tmp_path / "script.log").count("start") == 1


def test_the_kernel_ends_renderers_with_the_service(tmp_path: Path) -> None:
    put(tmp_path, ["deaf"], ["sleep", 60])
    with killed_when(tmp_path, lambda: "start" in starts(tmp_path / "script.log")):
        deadline = time.monotonic() + SECONDS
        while any("scripted_renderer" in line for line in running(tmp_path)):
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_a_renderer_that_outlived_a_service_is_stopped_by_the_next(tmp_path: Path) -> None:
    put(tmp_path, ["result"])
    # What would be left where the kernel cannot help: a process of an earlier life, with its mark.
    mark = f"{tmp_path / 'data'}:a:1"
    left = subprocess.Popen(["sleep", "600"], env={MARK: mark, "PATH": "/usr/bin:/bin"})
    other = subprocess.Popen(["sleep", "600"], env={MARK: f"{tmp_path / 'data2'}:a:1", "PATH": "/usr/bin:/bin"})
    try:
        assert finish(tmp_path) is JobStatus.COMPLETED
        assert left.wait(SECONDS) < 0
        assert other.poll() is None, "another service's renderer is left alone"
    finally:
        for process in (left, other):
            process.kill()
            process.wait()


def test_a_job_cancelled_just_before_the_service_died_stays_cancelled(tmp_path: Path) -> None:
    put(tmp_path, ["result"])

    async def cancel(backend: StandaloneBackend) -> None:
        assert await backend.cancel("a")

    with_backend(tmp_path, cancel, never)
    with killed_when(tmp_path, lambda: True):
        time.sleep(0.3)
    assert finish(tmp_path) is JobStatus.CANCELLED
    assert not starts(tmp_path / "script.log")


def running(folder: Path) -> list[str]:
    """Return the command lines of processes that renders of this folder have started."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if f"{MARK}={folder}/data:".encode() in (path / "environ").read_bytes():
                found.append((path / "cmdline").read_bytes().decode(errors="replace"))
        except OSError:
            continue
    return found
