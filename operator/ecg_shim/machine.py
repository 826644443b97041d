"""Memory of this process and of its machine; None where the kernel does not tell."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def process_mb() -> float | None:
    """Return the memory of this process in MB."""
    with suppress(OSError, ValueError, IndexError):
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return round(pages * os.sysconf("SC_PAGE_SIZE") / 1024**2, 1)
    return None


def available_gb() -> float | None:
    """Return the memory that programs may still take on this machine, in GB."""
    with suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return round(int(line.split()[1]) / 1024**2, 1)
    return None
