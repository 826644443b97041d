"""The suite's own guard: what a test leaves behind is found, named and removed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import psutil
import pytest

import processes

TESTS = Path(__file__).parents[1]
ROOT = TESTS.parent

# Lasts to the end of the suite, and is told apart from those of a suite that runs beside this one.
NAP = f"sleep 9{os.getpid()}"

# Those that last: to be found, nothing needs to be waited for.
IMPATIENT = {"SECONDS_TO_END = 15.0": "SECONDS_TO_END = 3.0", "SECONDS_FOR_FILES = 25.0": "SECONDS_FOR_FILES = 1.0",
             "SECONDS_FOR_TASKS_TO_END = 5.0": "SECONDS_FOR_TASKS_TO_END = 0.5"}  # fmt: skip

LEAKY_SUITE = f"""
import asyncio, os, subprocess, tempfile

def test_child():
    subprocess.Popen("exec {NAP}.1", shell=True)

def test_orphan():
    subprocess.run("{NAP}.2 >/dev/null 2>&1 & sleep 0.5", shell=True)

def test_daemon():
    subprocess.run("setsid {NAP}.3 >/dev/null 2>&1 & sleep 0.5", shell=True)

def test_file():
    tempfile.mkdtemp(prefix=f"ecg-leaktest-{{os.getpid()}}-{os.getpid()}-", dir="/dev/shm")

async def leave_a_task():
    leave_a_task.kept = asyncio.create_task(asyncio.sleep(60), name="forgotten")

def test_task():
    asyncio.run(leave_a_task())
"""

TIDY_SUITE = """
import asyncio, os, subprocess

async def main():
    await asyncio.gather(asyncio.sleep(0.01), asyncio.sleep(0.02))

def test_it():
    assert "ECG_CHROMIUM" not in os.environ
    asyncio.run(main())
    subprocess.Popen(["sleep", "0.5"])  # ends by itself in the time that a suite grants
"""

Suite = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run_suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Suite]:
    """Run one test module under the real conftest, in a pytest of its own; return the finished process."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(str(ROOT / part) for part in ("common", "crds", "renderer")))
    for name in ("clips.py", "processes.py"):
        shutil.copy(TESTS / "support" / name, tmp_path)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")

    def run(module: str, changes: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        conftest = (TESTS / "conftest.py").read_text()
        for before, after in (changes or {}).items():
            assert before in conftest
            conftest = conftest.replace(before, after)
        (tmp_path / "conftest.py").write_text(conftest)
        (tmp_path / "test_it.py").write_text(module)
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "test_it.py"]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    yield run
    # Its own alone: a suite beside this one has left another, and is about to complain of it.
    for path in processes.SHARED_MEMORY.glob(f"ecg-leaktest-*-{os.getpid()}-*"):
        path.rmdir()


def test_a_suite_that_leaks_fails_names_what_it_left_and_ends_it(run_suite: Suite) -> None:
    finished = run_suite(LEAKY_SUITE, IMPATIENT)
    assert finished.returncode == 1
    for complaint in (
        f"{NAP}.1, first seen after test_it.py::test_child",
        f"{NAP}.2, first seen after test_it.py::test_orphan",
        f"{NAP}.3, first seen after test_it.py::test_daemon",
        "file /dev/shm/ecg-leaktest-",
        "name='forgotten'",
    ):
        assert complaint in finished.stdout
    commands = [" ".join(process.info["cmdline"] or []) for process in psutil.process_iter(["cmdline"])]
    assert [command for command in commands if command.startswith(f"{NAP}.")] == []


def test_a_suite_that_cleans_up_passes_and_does_not_see_the_users_settings(
    run_suite: Suite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ECG_CHROMIUM", "/usr/bin/false")
    finished = run_suite(TIDY_SUITE)
    assert finished.returncode == 0, finished.stdout


def test_the_processes_of_another_session_are_not_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(processes.MARKER, "another")
    with subprocess.Popen(f"{NAP} & echo $!; wait", shell=True, stdout=subprocess.PIPE, text=True) as stranger:
        assert stranger.stdout is not None
        orphan = psutil.Process(int(stranger.stdout.readline()))
        while orphan.name() != "sleep":  # before, it is a shell, which for a moment shows no environment
            time.sleep(0.01)
        stranger.kill()
        stranger.wait()
        try:
            assert orphan in processes.survivors("another")
            assert orphan not in processes.survivors("others")
        finally:
            orphan.kill()


def test_a_file_in_use_by_another_process_is_not_abandoned(tmp_path: Path) -> None:
    held, free = tmp_path / "ecg-held", tmp_path / "ecg-free"
    owned = tmp_path / f"ecg-profile-{os.getppid()}-x"
    for path in (held, free, owned):
        path.touch()
    with held.open() as stream, subprocess.Popen(NAP.split(), stdin=stream) as holder:
        time.sleep(0.05)
        try:
            assert processes.abandoned([held, free, owned]) == {free}
        finally:
            holder.kill()
    with held.open():
        assert processes.abandoned([held, free, owned]) == {held, free}
