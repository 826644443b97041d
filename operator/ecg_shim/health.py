"""How the service is: measured every few seconds, told at once, however busy the machine is."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from ecg_shim import machine
from ecg_shim.model import Backend, JobState, JobStatus, QueueState
from ecg_shim.settings import Settings
from ecg_shim.wire import HealthReply, Memory, QueueDetails, Streaming

log = logging.getLogger(__name__)

SECONDS_BETWEEN = 2.0
SECONDS_FOR_BACKEND = 5.0
STALE_SECONDS = 30.0
RECENT_JOBS = 50
FIRST_ESTIMATE = 180


@dataclass(frozen=True)
class Snapshot:
    """What was measured last.

    Attributes:
        taken: by the monotonic clock; 0 before the first measurement.
        problems: sentences; empty when all is well.
        backend: what the backend says about itself and its GPUs.
        render_seconds: how long recent renders took, on average.
        drop_rate: dropped by processed frames of recent jobs, 0 to 1.
    """

    taken: float = 0.0
    queue: QueueState = field(default_factory=lambda: QueueState(0, 0, 0, 0, 0))
    problems: tuple[str, ...] = ()
    backend: Mapping[str, Any] = field(default_factory=dict)
    render_seconds: int = FIRST_ESTIMATE
    drop_rate: float = 0.0


class Pulse:
    """Keeps a recent snapshot of backend and machine; run it as a task."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self.snapshot = Snapshot()

    async def run(self) -> None:
        """Measure until cancelled."""
        while True:
            await self.measure()
            await asyncio.sleep(SECONDS_BETWEEN)

    async def measure(self) -> None:
        """Ask the backend once; what it cannot answer in time is a problem, never an exception."""
        try:
            async with asyncio.timeout(SECONDS_FOR_BACKEND):
                queue = await self._backend.queue()
                backend = await self._backend.health()
                jobs = await self._backend.list_jobs(RECENT_JOBS)
        except Exception as error:
            said = "does not answer" if isinstance(error, TimeoutError) else f"cannot be asked: {error}"
            log.warning("The queue %s", said)
            self.snapshot = replace(self.snapshot, taken=time.monotonic(), problems=(f"The queue {said}",))
            return
        self.snapshot = replace(
            self.snapshot,
            taken=time.monotonic(),
            queue=queue,
            backend=backend,
            problems=_problems(backend),
            render_seconds=_render_seconds(jobs),
            drop_rate=_drop_rate(jobs),
        )


def health_reply(snapshot: Snapshot, settings: Settings, mode: str) -> HealthReply:
    """Return what /health says: what the backend tells about GPUs, memory and frames, else about this process."""
    problems = list(snapshot.problems)
    age = time.monotonic() - snapshot.taken
    if not snapshot.taken or age > STALE_SECONDS:
        problems.append(
            f"Nothing was measured for {age:.0f} seconds." if snapshot.taken else "Nothing is measured yet."
        )
    told = snapshot.backend
    gpu = told.get("gpu", {})
    own = Memory(process_mb=machine.process_mb(), system_available_gb=machine.available_gb())
    return HealthReply(
        status="unhealthy" if problems else "healthy",
        problems=problems,
        mode=mode,
        version=version("ecg-render"),
        worker_id=settings.worker_id or settings.worker_name,
        gpu_count=told.get("gpu_count", len(gpu)),
        available_memory=told.get("available_memory", f"{own.system_available_gb or 0:.1f}GB"),
        queue_length=snapshot.queue.pending,
        timestamp=datetime.now(UTC),
        queue=QueueDetails.of(snapshot.queue),
        gpu=gpu,
        workers=snapshot.queue.max_concurrent,
        parallel_rendering=settings.parallel_rendering,
        browser_pool_size=settings.browser_pool_size,
        streaming=Streaming.model_validate(told.get("streaming", {})),
        memory=Memory.model_validate(told["memory"]) if "memory" in told else own,
    )


def _problems(backend: Mapping[str, Any]) -> tuple[str, ...]:
    said = tuple(str(problem) for problem in backend.get("problems", ()))
    return said or (() if backend.get("healthy", True) else ("The queue is not healthy.",))


def _render_seconds(jobs: Sequence[JobState]) -> int:
    taken = [
        (job.finished_at - job.started_at).total_seconds()
        for job in jobs
        if job.status is JobStatus.COMPLETED and job.started_at and job.finished_at
    ]
    return max(1, round(sum(taken) / len(taken))) if taken else FIRST_ESTIMATE


def _drop_rate(jobs: Sequence[JobState]) -> float:
    processed = sum(job.metrics.frames_processed for job in jobs)
    return sum(job.metrics.frames_dropped for job in jobs) / processed if processed else 0.0
