"""The machine: how much memory a render takes, all its processes together, and how many cores it may use."""

from __future__ import annotations

import asyncio
import ctypes
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from math import ceil
from pathlib import Path

import psutil

from ecg_renderer.frames import MEGABYTE

SAMPLE_SECONDS = 2.0
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of <malloc.h>
TREND_MEGABYTES_PER_SECOND = 1.0


class MemoryMeter:
    """Samples the memory of this process and its descendants while it is entered."""

    def __init__(self) -> None:
        self._samples: list[tuple[float, float]] = []

    @property
    def peak_mb(self) -> float:
        """The largest sample, in MiB."""
        return max((memory for _, memory in self._samples), default=0.0)

    @property
    def latest_mb(self) -> float:
        """The last sample, in MiB; 0 before the first."""
        return self._samples[-1][1] if self._samples else 0.0

    @property
    def trend(self) -> str:
        """The direction of the second half of the samples: increasing, stable, decreasing or unknown."""
        recent = self._samples[len(self._samples) // 2 :]
        if len(recent) < 3:
            return "unknown"
        (then, before), (now, after) = recent[0], recent[-1]
        slope = (after - before) / (now - then)
        if abs(slope) <= TREND_MEGABYTES_PER_SECOND:
            return "stable"
        return "increasing" if slope > 0 else "decreasing"

    @asynccontextmanager
    async def running(self) -> AsyncIterator[MemoryMeter]:
        """Sample every few seconds until the block ends."""
        task = asyncio.create_task(self._sample())
        try:
            yield self
        finally:
            task.cancel()
            await asyncio.wait([task])

    async def _sample(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(SAMPLE_SECONDS)
            # In a thread: walking the process tree takes milliseconds, in which captions would wait.
            memory = await asyncio.to_thread(tree_memory_mb)
            self._samples.append((loop.time(), memory))


def tree_memory_mb() -> float:
    """Return the memory of this process and its descendants, in MiB: what each has alone, and the largest shared part.

    Close to the proportional set size, which would cost a tenth of a second of CPU time each time here: the kernel
    walks every page of the shared mappings.
    """
    own = psutil.Process()
    private, shared = 0, 0
    for process in [own, *own.children(recursive=True)]:
        with suppress(psutil.Error):  # it ended meanwhile
            memory = process.memory_info()
            private += memory.rss - memory.shared
            shared = max(shared, memory.shared)
    return (private + shared) / MEGABYTE


def keep_freed_memory() -> None:
    """Let the allocator keep large blocks: caption pictures come and go, and each would be fetched page by page.

    glibc only; elsewhere nothing happens.
    """
    library = ctypes.CDLL(None)
    if hasattr(library, "mallopt"):
        library.mallopt(M_MMAP_THRESHOLD, 32 * MEGABYTE)
        library.mallopt(M_TRIM_THRESHOLD, 256 * MEGABYTE)


def cores() -> int:
    """Return how many CPU cores this process may use: those that it is bound to, and that its control group grants."""
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with suppress(OSError, ValueError):
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        bound = min(bound, ceil(int(quota) / int(period)))  # "max" is no number: no limit
    return max(1, bound)
