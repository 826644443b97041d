"""What every route works with, and what /health says about it; all of that is in memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

import psutil

from ecg_shim.intake import Rules
from ecg_shim.metrics import Metrics
from ecg_shim.model import Backend, Teller
from ecg_shim.settings import Settings
from ecg_shim.tasks import Tasks
from ecg_shim.wire import HealthReply, Memory, QueueDetails, Streaming


@dataclass(frozen=True)
class Services:
    """The parts of a running service.

    Attributes:
        mode: who renders, in one word.
        callbacks: tells the end of a job again when that is posted again.
        essential: tasks without which the service does not work.
    """

    mode: str
    settings: Settings
    backend: Backend
    callbacks: Teller
    rules: Rules
    metrics: Metrics = field(default_factory=Metrics)
    essential: tuple[Tasks, ...] = ()

    def not_ready(self) -> list[str]:
        """Return why this process should get no requests, as sentences."""
        ended = [tasks.problem for tasks in self.essential if tasks.problem]
        return list(dict.fromkeys([*ended, *self.backend.not_ready()]))


def problems_of(backend: Backend) -> tuple[list[str], Mapping[str, Any]]:
    """Return what is wrong, as sentences, and all that the backend says about itself; never raises."""
    try:
        told = backend.health()
    except Exception as error:
        return [f"The queue cannot be asked: {error}"], {}
    problems = [str(problem) for problem in told.get("problems", ())]
    return problems or ([] if told.get("healthy", True) else ["The queue is not healthy."]), told


def health_reply(backend: Backend, settings: Settings, mode: str) -> HealthReply:
    """Return what /health says: what the backend tells about GPUs, memory and frames, else about this process."""
    problems, told = problems_of(backend)
    queue = backend.snapshot().queue
    gpu = told.get("gpu", {})
    own = Memory(
        process_mb=round(psutil.Process().memory_info().rss / 1024**2, 1),
        system_available_gb=round(psutil.virtual_memory().available / 1024**3, 1),
    )
    return HealthReply(
        status="unhealthy" if problems else "healthy",
        problems=problems,
        mode=mode,
        version=version("ecg-render"),
        worker_id=settings.worker_id or settings.worker_name,
        gpu_count=told.get("gpu_count", len(gpu)),
        available_memory=told.get("available_memory", f"{own.system_available_gb or 0:.1f}GB"),
        queue_length=queue.pending,
        timestamp=datetime.now(UTC),
        queue=QueueDetails.of(queue),
        gpu=gpu,
        workers=queue.max_concurrent,
        parallel_rendering=settings.parallel_rendering,
        browser_pool_size=settings.browser_pool_size,
        streaming=Streaming.model_validate(told.get("streaming", {})),
        memory=Memory.model_validate(told["memory"]) if "memory" in told else own,
    )
