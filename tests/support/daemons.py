"""Programs that run beside the tests: each with a log and a note of its process id, started and stopped by name.

The notes are files, so that another process can stop what this one started (a cluster that a developer keeps).
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

SECONDS_TO_STOP = 10.0


class NotReady(Exception):
    """A program did not come up; the message holds the end of its log."""


class Daemons:
    """Programs whose logs and process ids lie in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._children: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, command: Sequence[str | Path], environment: Mapping[str, str] | None = None) -> None:
        """Run `command` in the background; its output is added to NAME.log."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with self.log(name).open("ab") as log:
            child = subprocess.Popen(
                [str(word) for word in command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(environment or {})},
                start_new_session=True,  # an interrupted test run stops them in its own order
            )
        self._children[name] = child
        self._note(name).write_text(json.dumps([child.pid, psutil.Process(child.pid).create_time()]))

    def process(self, name: str) -> psutil.Process | None:
        """Return the running process, also one that another Python process started; None if there is none."""
        with suppress(OSError, psutil.NoSuchProcess):
            pid, started = json.loads(self._note(name).read_text())
            process = psutil.Process(pid)
            # A process id is used again after a while; the same start time makes it the same process.
            if abs(process.create_time() - started) < 1 and _runs(process):
                return process
        return None

    def stop(self, *names: str, seconds: float = SECONDS_TO_STOP) -> None:
        """Ask the programs to end, all at a time; kill what is left after `seconds`."""
        running = [process for name in names if (process := self.process(name))]
        for process in running:
            with suppress(psutil.NoSuchProcess):
                process.terminate()
        for process in wait_until_ended(running, seconds):
            with suppress(psutil.NoSuchProcess):
                process.kill()
        wait_until_ended(running, SECONDS_TO_STOP)
        self._forget(*names)

    def kill(self, name: str) -> None:
        """End a program at once, as a lost machine would."""
        if process := self.process(name):
            with suppress(psutil.NoSuchProcess):
                process.kill()
            wait_until_ended([process], SECONDS_TO_STOP)
        self._forget(name)

    def wait_until(self, name: str, ready: Callable[[], bool], seconds: float) -> None:
        """Wait until `ready()`; raise NotReady when the program ended or `seconds` are over."""
        deadline = time.monotonic() + seconds
        while not ready():
            if self.process(name) is None:
                raise NotReady(f"{name} has ended:\n{self.log_end(name)}")
            if time.monotonic() > deadline:
                raise NotReady(f"{name} is not ready after {seconds:.0f} s:\n{self.log_end(name)}")
            time.sleep(0.05)

    def log(self, name: str) -> Path:
        """Return the path of a program's log."""
        return self.folder / f"{name}.log"

    def log_end(self, name: str, characters: int = 1500) -> str:
        """Return the end of a program's log."""
        return self.log(name).read_text(errors="replace")[-characters:]

    def _note(self, name: str) -> Path:
        return self.folder / f"{name}.pid"

    def _forget(self, *names: str) -> None:
        for name in names:
            self._note(name).unlink(missing_ok=True)
            if child := self._children.pop(name, None):
                child.wait(timeout=SECONDS_TO_STOP)


def wait_until_ended(processes: Sequence[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Wait until the processes have ended, at most `seconds`; return those that run still.

    One that ended counts as ended although its parent has not asked for its exit code yet: the parent may be a
    process that looks only now and then.
    """
    deadline = time.monotonic() + seconds
    while (left := [process for process in processes if _runs(process)]) and time.monotonic() < deadline:
        time.sleep(0.02)
    return left


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
