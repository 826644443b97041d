"""What the processes of a control group do while it runs: CPU by kind of process, and memory over time.

Both are read from /proc by a thread of the benchmark, outside the group. A process that ends between two
looks loses at most the CPU of one interval; the difference to the group's own account is reported.
"""

from __future__ import annotations

import os
import re
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from bench.cgroup import Cgroup

CPU_INTERVAL = 0.1
MEMORY_EVERY = 5  # looks at CPU: a look at memory walks all page tables, so it is dearer
_TICK = os.sysconf("SC_CLK_TCK")


@dataclass
class Observation:
    """What was seen of one run."""

    cpu: dict[str, float] = field(default_factory=dict)  # kind of process -> seconds
    memory: list[tuple[float, float]] = field(default_factory=list)  # (seconds since the start, MB of PSS)
    cost: float = 0.0  # CPU seconds the observer itself took


class Observer:
    """Observes `group` from entering a `with` block to leaving it; `seen` is complete afterwards."""

    def __init__(self, group: Cgroup) -> None:
        self.seen = Observation()
        self._group = group
        self._cpu_of: dict[int, tuple[str, float]] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Observer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        for kind, seconds in self._cpu_of.values():
            self.seen.cpu[kind] = self.seen.cpu.get(kind, 0.0) + seconds

    def _watch(self) -> None:
        start, looks = time.monotonic(), 0
        while not self._over.wait(CPU_INTERVAL):
            members = self._group.members()
            for pid in members:
                self._look_at(pid)
            looks += 1
            if looks % MEMORY_EVERY == 0:
                megabytes = sum(map(proportional_memory, members))
                self.seen.memory.append((round(time.monotonic() - start, 2), round(megabytes, 1)))
        self.seen.cost = time.thread_time()

    def _look_at(self, pid: int) -> None:
        with suppress(OSError):  # it has ended: what was seen last stands
            stat = Path(f"/proc/{pid}/stat").read_text()
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
            if command:
                self._cpu_of[pid] = kind_of(command), cpu_of(stat)


def cpu_of(stat: str) -> float:
    """Return the CPU seconds (user + system, all threads) in the text of a /proc/PID/stat."""
    after_name = stat.rpartition(")")[2].split()
    return (int(after_name[11]) + int(after_name[12])) / _TICK


def kind_of(command: bytes) -> str:
    """Tell what a process is to a render, from its /proc/PID/cmdline."""
    title = command.decode(errors="replace").split("\0")
    name = title[0].split(" --")[0].rpartition("/")[2]  # Chromium's children write all arguments into one
    if "chrom" in name or "headless" in name:
        kind = re.search(r"--type=([\w-]+)", " ".join(title))
        return f"chromium {kind[1].removesuffix('-process') if kind else 'browser'}"
    for known in ("ffmpeg", "ffprobe", "node", "python"):
        if name.startswith(known):
            return known
    return "python" if name.startswith("ecg-render") else "other"


def proportional_memory(pid: int) -> float:
    """Return the memory of a process in MB (10^6 bytes), shared pages divided among their users (PSS)."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024 / 1e6
    return 0.0
