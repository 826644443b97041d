"""A control group around one command: the CPU of its whole process tree, dead children included.

getrusage and `time` count a process only when somebody waits for it. Nobody waits for many of Chromium's
processes, so they lose up to half of a render; the kernel's own account of a control group loses nothing.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from bench.errors import BenchError

_ENTER = 'echo $$ > "$0/cgroup.procs" && exec "$@"'


@dataclass(frozen=True)
class Cgroup:
    """A directory of the cgroup file system, version 1 (cpuacct) or 2."""

    path: Path
    version: int

    def entering(self, command: list[str]) -> list[str]:
        """Return `command` wrapped so that it and all its descendants are born inside."""
        return ["/bin/sh", "-c", _ENTER, str(self.path), *command]

    def cpu_seconds(self) -> float:
        """Return the CPU seconds (user + system) of everything that ever ran inside."""
        if self.version == 1:
            return int((self.path / "cpuacct.usage").read_text()) / 1e9
        facts = dict(line.split() for line in (self.path / "cpu.stat").read_text().splitlines())
        return int(facts["usage_usec"]) / 1e6

    def members(self) -> list[int]:
        """Return the ids of the processes inside now."""
        return [int(pid) for pid in (self.path / "cgroup.procs").read_text().split()]

    def drain(self, patience: float = 3.0) -> list[int]:
        """Wait until nobody is inside; kill and return those who are still there after `patience` seconds."""
        deadline = time.monotonic() + patience
        while self.members() and time.monotonic() < deadline:
            time.sleep(0.02)
        leftover = self.members()
        while members := self.members():
            for pid in members:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.02)
        return leftover


@contextmanager
def cgroup(name: str, version: int | None = None) -> Iterator[Cgroup]:
    """Make a control group for a `with` block; whoever is left inside at its end is killed.

    `version` insists on 1 or 2. Raises `BenchError` if this user can make none.
    """
    group = _make(f"{name}-{os.getpid()}", version)
    try:
        yield group
    finally:
        group.drain(patience=0)
        group.path.rmdir()


def parents(mountinfo: str, membership: str) -> list[Cgroup]:
    """Return where control groups may be made, best first.

    `mountinfo` and `membership` are the texts of /proc/self/mountinfo and /proc/self/cgroup.
    """
    own = {names: path for _, names, path in (line.split(":", 2) for line in membership.splitlines())}
    found = []
    for line in mountinfo.splitlines():
        fields, _, filesystem = line.partition(" - ")
        mount, (kind, _, options) = Path(fields.split()[4]), filesystem.split(maxsplit=2)
        if kind == "cgroup2":
            found.append(Cgroup(mount / own.get("", "/").lstrip("/"), version=2))
        elif kind == "cgroup" and "cpuacct" in options.split(","):
            controllers = next((names for names in own if "cpuacct" in names.split(",")), "")
            found.append(Cgroup(mount / own.get(controllers, "/").lstrip("/"), version=1))
    return sorted(found, key=lambda group: -group.version)


def _make(name: str, version: int | None) -> Cgroup:
    reasons = []
    candidates = parents(Path("/proc/self/mountinfo").read_text(), Path("/proc/self/cgroup").read_text())
    for parent in candidates:
        if version not in (None, parent.version):
            continue
        group = Cgroup(parent.path / name, parent.version)
        try:
            group.path.mkdir()
        except OSError as error:
            reasons.append(str(error))
            continue
        tried = subprocess.run(group.entering(["true"]), capture_output=True, text=True, check=False)
        if tried.returncode == 0:
            return group
        reasons.append(tried.stderr.strip())
        group.path.rmdir()
    raise BenchError(
        "CPU is measured by a control group, and none can be made here: "
        f"{'; '.join(reasons) or 'no cgroup file system is mounted'}. Run the benchmark as root, or under "
        "`systemd-run --user --scope -p Delegate=yes`."
    )
