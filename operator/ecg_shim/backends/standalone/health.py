"""What /health says about this machine: memory and GPUs, looked up in the background so that nobody waits."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import psutil

GIGABYTE = 1024**3
FRESH_SECONDS = 15.0
_TOOL_SECONDS = 5.0
_QUERY = ("--query-gpu=index,name,memory.total,memory.used,memory.free", "--format=csv,noheader,nounits")


@dataclass(frozen=True)
class Gpu:
    """A GPU; memory in MiB."""

    index: int
    name: str
    total_mb: float
    used_mb: float
    free_mb: float


@dataclass
class Health:
    """The last look at the GPUs."""

    gpus: list[Gpu] = field(default_factory=list)
    _looked: float = float("-inf")
    _looking: asyncio.Task[None] | None = None

    def refresh(self) -> None:
        """Look again in the background if the last look is old."""
        idle = self._looking is None or self._looking.done()
        if idle and time.monotonic() - self._looked > FRESH_SECONDS:
            self._looking = asyncio.create_task(self._look())

    async def close(self) -> None:
        """Give up a look under way."""
        if self._looking:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)

    def blocks(self) -> dict[str, Any]:
        """Return the blocks about GPU and memory, in the words of the service's clients; sizes in GB."""
        memory = psutil.virtual_memory()
        free = sum(gpu.free_mb for gpu in self.gpus) / 1024
        return {
            "gpu_count": len(self.gpus),
            "available_memory": f"{free if self.gpus else memory.available / GIGABYTE:.1f}GB",
            "gpu": {f"gpu_{gpu.index}": _described(gpu) for gpu in self.gpus},
            "memory": {
                "process_mb": round(psutil.Process().memory_info().rss / 1024**2, 1),
                "system_available_gb": round(memory.available / GIGABYTE, 2),
                "gpu_available_gb": round(free, 2),
            },
        }

    async def _look(self) -> None:
        self._looked = time.monotonic()
        tool = shutil.which("nvidia-smi")
        if tool is None:
            return
        child = await asyncio.create_subprocess_exec(
            tool, *_QUERY, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
        )
        try:
            async with asyncio.timeout(_TOOL_SECONDS):
                out, _ = await child.communicate()
            self.gpus = read_gpus(out.decode(errors="replace"))
        except TimeoutError:  # a driver that hangs; what was known stays
            pass
        finally:
            with suppress(ProcessLookupError):
                child.kill()


def read_gpus(table: str) -> list[Gpu]:
    """Return the GPUs that nvidia-smi lists, one a line; lines of another form are passed over."""
    gpus = []
    for line in table.splitlines():
        with suppress(ValueError):
            index, name, total, used, free = (part.strip() for part in line.split(","))
            gpus.append(Gpu(int(index), name, float(total), float(used), float(free)))
    return gpus


def _described(gpu: Gpu) -> Mapping[str, Any]:
    return {
        "name": gpu.name,
        "allocated_gb": round(gpu.used_mb / 1024, 2),
        "reserved_gb": round(gpu.total_mb / 1024, 2),
    }
