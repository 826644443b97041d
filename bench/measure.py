"""Run one command inside a control group and say what it took."""

from __future__ import annotations

import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from bench.cgroup import cgroup
from bench.errors import BenchError
from bench.observer import Observation, Observer

_TICK = os.sysconf("SC_CLK_TCK")
CORES = len(os.sched_getaffinity(0))
TOLERATED_FOREIGN = 0.02  # of the machine's CPU time during a run
SMALLEST_FOREIGN = 0.1  # CPU seconds; the kernel's counters are no finer


@dataclass(frozen=True)
class Measurement:
    """One run: seconds on the clock, CPU seconds of the process tree, and what else went on."""

    wall: float
    cpu: float
    foreign: float  # CPU seconds that neither the run nor the benchmark used
    load: float  # load average when it started
    seen: Observation
    leaked: int  # processes that outlived the command
    stdout: str

    @property
    def disturbed(self) -> bool:
        """Somebody else used the machine enough to matter."""
        return self.foreign > max(TOLERATED_FOREIGN * self.wall * CORES, SMALLEST_FOREIGN)


def measure(command: list[str], directory: Path, environment: dict[str, str] | None = None) -> Measurement:
    """Run `command` in `directory` and measure it; its output is kept there in `log`.

    Raises `BenchError` with the end of the log if the command fails.
    """
    load = os.getloadavg()[0]
    with (
        cgroup("ecg-bench") as group,
        (directory / "stdout").open("w") as out,
        (directory / "log").open("w") as log,
    ):
        own, busy, start = time.process_time(), _busy_seconds(), time.monotonic()
        with Observer(group) as observer:
            done = subprocess.run(
                group.entering(command),
                cwd=directory,
                env={**os.environ, **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=log,
                check=False,
            )
            wall = time.monotonic() - start
        leaked = group.drain()
        cpu = group.cpu_seconds()
        foreign = _busy_seconds() - busy - cpu - (time.process_time() - own)
    stdout = (directory / "stdout").read_text(errors="replace")
    if done.returncode != 0:
        said = (stdout + (directory / "log").read_text(errors="replace")).splitlines()
        tail = "\n".join(said[-15:]) or "(it said nothing)"
        raise BenchError(f"`{' '.join(command)}` ended with {done.returncode}:\n{tail}")
    return Measurement(wall, cpu, max(foreign, 0.0), load, observer.seen, len(leaked), stdout)


def _busy_seconds() -> float:
    """Return the CPU seconds that all processors together have spent on anything since boot."""
    user, nice, system, _idle, _wait, irq, softirq, steal = map(
        int, Path("/proc/stat").read_text().split(maxsplit=9)[1:9]
    )
    return (user + nice + system + irq + softirq + steal) / _TICK
