"""States of jobs as a backend would tell them, and a backend that tells what a test says."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from ecg_api.failures import Failure, FailureCode
from ecg_api.status import RenderMetrics
from ecg_shim.backends.standalone.context import JobCache
from ecg_shim.model import JobState, JobStatus, Output, Streaming

URL = "http://backend.example/api/render/callback"
CREATED = datetime(2026, 3, 1, 12, tzinfo=UTC)
METRICS = RenderMetrics(
    frames_processed=900, frames_dropped=9, drop_rate=0.01, memory_peak_mb=812.5, memory_trend="stable"
)
FAILURE = Failure(code=FailureCode.FFMPEG_ERROR, message="It broke.", hint="Mend it.", retryable=False, segment=2)


def state(status: str, version: int = 1, job_id: str = "a", **changes: Any) -> JobState:
    """Return a state such as a job with that status has."""
    values: dict[str, Any] = {"callback_url": URL, "created_at": CREATED, "payload_hash": "0"}
    if status == "processing":
        values |= {"progress": version, "message": "Rendering", "eta_seconds": 7, "streaming": Streaming(512.0)}
    if status in ("processing", "completed"):
        values |= {"metrics": METRICS, "started_at": CREATED}
    if status == "completed":
        values |= {"progress": 100, "output": Output("http://host/a.mp4", 5_000_000, 30.5, Path("/a.mp4"))}
        values["finished_at"] = CREATED + timedelta(seconds=45)
    if status == "failed":
        values |= {"failure": FAILURE, "finished_at": CREATED}
    return JobState(**{"job_id": job_id, "status": JobStatus(status), "version": version, **values, **changes})


class ToldBackend:
    """The part of a backend that a relay uses; a test says what becomes of jobs."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self.cache = JobCache()
        self.cancelled: list[str] = []

    def now(self, status: str, version: int, job_id: str, url: str, **changes: Any) -> JobState:
        """Let a job be in a state, and tell listeners."""
        created = datetime.fromtimestamp(self._clock(), UTC)
        before = self.cache.get(job_id)
        values: dict[str, Any] = {
            "callback_url": url,
            "created_at": before.created_at if before else created,
            **changes,
        }
        if status in ("completed", "failed"):
            values["finished_at"] = created
        told = state(status, version, job_id, **values)
        self.cache.publish(told)
        return told

    async def get(self, job_id: str) -> JobState | None:
        return self.cache.get(job_id)

    async def cancel(self, job_id: str) -> bool:
        self.cancelled.append(job_id)
        return True

    def changes(self) -> AsyncGenerator[JobState, None]:
        return self.cache.listen()
