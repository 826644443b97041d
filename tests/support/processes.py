"""Find what tests leave behind: processes, also orphaned ones, and files in shared memory.

Every process that a test starts inherits an environment variable that names the test session. It is still
readable in /proc after the process lost its parent, so a browser whose launcher was killed is found too.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Collection, Iterable
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import psutil

MARKER = "ECG_TEST_SESSION"
SHARED_MEMORY = Path("/dev/shm")
OUR_PREFIX = "ecg-"

# Processes that all tests share; they end with this one.
kept: set[int] = set()

# Python's own helper of multiprocessing lives until the interpreter that started it ends.
KEPT_BY_PYTHON = "multiprocessing.resource_tracker"


def open_session() -> str:
    """Mark this process's future children; return the mark.

    A session inside another one's child gets a longer mark: the outer session sees the inner one's processes,
    the inner one not the outer's.
    """
    outer = os.environ.get(MARKER)
    session = f"{outer}/{uuid4().hex}" if outer else uuid4().hex
    os.environ[MARKER] = session
    return session


def survivors(session: str) -> set[psutil.Process]:
    """Return the living processes that this process or its children started in `session`."""
    found = {process for process in psutil.process_iter() if _carries(process.pid, session)}
    found.update(psutil.Process().children(recursive=True))
    return {process for process in found if _counts(process)}


_looked_at: set[int] = set()


def newcomers(session: str) -> set[psutil.Process]:
    """Return the session's living processes that were not there the last time; `survivors` looks at all anew."""
    present = set(psutil.pids())
    fresh = present - _looked_at
    _looked_at.intersection_update(present)
    _looked_at.update(fresh)
    found = set()
    for pid in fresh:
        with suppress(psutil.Error):
            if _carries(pid, session) or _descends(pid):
                found.add(psutil.Process(pid))
    return {process for process in found if _counts(process)}


def _descends(pid: int) -> bool:
    """Tell whether a process descends from this one; this runs for each process of the machine."""
    with suppress(OSError):
        while pid > 1:
            pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
            if pid == os.getpid():
                return True
    return False


_before_this_test: set[int] = set()


def begin_test() -> None:
    """Note what runs already: what other tests share, which `of_this_test` leaves out."""
    _before_this_test.clear()
    _before_this_test.update(psutil.pids())


def of_this_test() -> list[psutil.Process]:
    """Return this process's descendants that the test which runs now has started, also those that nobody has reaped."""
    children = psutil.Process().children(recursive=True)
    return [process for process in children if process.pid not in _before_this_test]


def wait_until_gone(session: str, seconds: float, before: Collection[psutil.Process] = ()) -> set[psutil.Process]:
    """Give the session's processes, without those of `before`, `seconds` to end; return those that did not."""
    deadline = time.monotonic() + seconds
    while (left := survivors(session).difference(before)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return left


def kill(processes: Iterable[psutil.Process]) -> None:
    """End processes at once."""
    for process in processes:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue


def describe(process: psutil.Process) -> str:
    """Return a process's id and the start of its command line."""
    try:
        return f"{process.pid} {' '.join(process.cmdline())[:160]}"
    except psutil.Error:
        return f"{process.pid} (has ended since)"


def shared_files() -> set[Path]:
    """Return our entries in shared memory."""
    return set(SHARED_MEMORY.glob(f"{OUR_PREFIX}*"))


def abandoned(paths: Iterable[Path]) -> set[Path]:
    """Return those of `paths` that exist and that no living process but this one uses.

    A process uses a path that it names in its command line or holds open, or whose name carries its id.
    """
    used = [text for pid in psutil.pids() if pid != os.getpid() for text in _paths_in_use(pid)]
    return {
        path
        for path in paths
        if path.exists() and not _has_other_owner(path) and not any(str(path) in text for text in used)
    }


def abandoned_for_good(before: set[Path], seconds: float) -> set[Path]:
    """Return our entries in shared memory that came since `before`, and that nobody uses or removes for `seconds`."""
    deadline = time.monotonic() + seconds
    while (left := abandoned(shared_files() - before)) and time.monotonic() < deadline:
        time.sleep(0.5)
    return left


def _carries(pid: int, session: str) -> bool:
    try:
        environment = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:  # ended meanwhile, or another user's
        return False
    return f"\0{MARKER}={session}".encode() in b"\0" + environment


def _counts(process: psutil.Process) -> bool:
    if process.pid == os.getpid() or process.pid in kept:
        return False
    try:
        return process.status() != psutil.STATUS_ZOMBIE and KEPT_BY_PYTHON not in " ".join(process.cmdline())
    except psutil.Error:
        return False


def _has_other_owner(path: Path) -> bool:
    owner = re.search(r"-(\d+)-", path.name)
    return owner is not None and int(owner[1]) != os.getpid() and psutil.pid_exists(int(owner[1]))


def _paths_in_use(pid: int) -> list[str]:
    folder = Path(f"/proc/{pid}")
    try:
        texts = [(folder / "cmdline").read_text(errors="replace")]
        texts += [str(link.readlink()) for link in (folder / "fd").iterdir()]
    except OSError:
        return []
    return texts
