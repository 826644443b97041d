"""A backend that keeps jobs in memory and renders nothing: to test the HTTP surface alone, in this process or its own.

`python tests/support/shim_memory.py PORT` serves it until it is terminated.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from fastapi import FastAPI

from ecg_api.failures import Failure
from ecg_api.status import RenditionStatus
from ecg_shim.app import create_app
from ecg_shim.intake import Rules, callback_policy, video_policy
from ecg_shim.model import Conflict, JobState, JobStatus, Output, QueueState, RenderOrder, StoredPiece, Submission
from ecg_shim.services import Services
from ecg_shim.settings import Settings
from ecg_shim.snapshot import Snapshot, Snapshots
from ecg_shim.tasks import Tasks

BEGAN = datetime(2025, 9, 20, 12, 0, tzinfo=UTC)


@dataclass
class MemoryBackend:
    """Jobs stay as they were put; tests move them with `set`."""

    jobs: dict[str, JobState] = field(default_factory=dict)
    orders: dict[str, RenderOrder] = field(default_factory=dict)
    tombstones: set[str] = field(default_factory=set)
    streams: dict[str, dict[str, str | Path | StoredPiece]] = field(default_factory=dict)
    renders: int = 0
    wait_seconds: int = 0
    health_says: dict[str, Any] = field(default_factory=lambda: {"healthy": True, "problems": []})
    raises: Exception | None = None
    tasks: Tasks = field(default_factory=Tasks)
    unready: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.snapshots = Snapshots(self, 3, lambda job: job.eta_seconds)

    def not_ready(self) -> list[str]:
        return self.unready

    async def submit(self, order: RenderOrder) -> JobState:
        there = self._put(order.job_id, order.callback_url, order.payload_hash)
        if order.job_id not in self.orders:
            self.orders[order.job_id] = order
            self.renders += there.status is JobStatus.QUEUED
        return there

    async def reject(self, submission: Submission, failure: Failure) -> JobState:
        there = self._put(submission.job_id, submission.callback_url, submission.payload_hash)
        return self.set(there.job_id, status=JobStatus.FAILED, failure=failure)

    async def get(self, job_id: str) -> JobState | None:
        self._complain()
        return self.jobs.get(job_id)

    async def signed_anew(self, output: Output) -> Output:
        return output

    async def handed_out(self, result: RenditionStatus) -> Output:
        """Return a result as the file that it is."""
        return Output(result.url or "", result.size_bytes, 0.0, Path(result.uri))

    async def live(self, state: JobState, path: str, *, here: bool = False) -> str | Path | StoredPiece | None:
        return self.streams.get(state.job_id, {}).get(path)

    async def cancel(self, job_id: str) -> bool:
        self._complain()
        job = self.jobs.get(job_id)
        if job is None:
            self.tombstones.add(job_id)
        if job is None or job.status.terminal:
            return False
        self.set(job_id, status=JobStatus.CANCELLED)
        return True

    async def list_jobs(self, limit: int) -> list[JobState]:
        self._complain()
        return self.newest(limit)

    async def queue(self) -> QueueState:
        self._complain()
        self.snapshots.forget()
        return self.snapshot().queue

    async def clear(self) -> int:
        waiting = [job.job_id for job in self.jobs.values() if job.status is JobStatus.QUEUED]
        for job_id in waiting:
            self.set(job_id, status=JobStatus.CANCELLED)
        return len(waiting)

    async def changes(self) -> AsyncIterator[JobState]:
        for job in self.jobs.values():
            yield job

    def snapshot(self) -> Snapshot:
        now = self.snapshots.now()
        return replace(now, queue=replace(now.queue, wait_seconds=self.wait_seconds))

    def __len__(self) -> int:
        return len(self.jobs)

    def waiting(self) -> list[JobState]:
        return [job for job in self.jobs.values() if job.status is JobStatus.QUEUED]

    def begun(self) -> list[JobState]:
        return [job for job in self.jobs.values() if job.status is JobStatus.PROCESSING]

    def newest(self, limit: int) -> list[JobState]:
        return sorted(self.jobs.values(), key=lambda job: job.created_at, reverse=True)[:limit]

    def health(self) -> Mapping[str, Any]:
        self._complain()
        return self.health_says

    def set(self, job_id: str, **changes: Any) -> JobState:
        """Change a job, making it first if it is not there."""
        made = BEGAN + timedelta(seconds=len(self.jobs))
        job = self.jobs.get(job_id) or JobState(job_id, JobStatus.QUEUED, 0, made)
        self.jobs[job_id] = replace(job, version=job.version + 1, **changes)
        return self.jobs[job_id]

    def _put(self, job_id: str, callback_url: str, payload_hash: str) -> JobState:
        self._complain()
        there = self.jobs.get(job_id)
        if there is None:
            status = JobStatus.CANCELLED if job_id in self.tombstones else JobStatus.QUEUED
            return self.set(job_id, status=status, callback_url=callback_url, payload_hash=payload_hash)
        if there.payload_hash != payload_hash and not there.status.terminal:
            raise Conflict(job_id)
        return there

    def _complain(self) -> None:
        if self.raises:
            raise self.raises


@dataclass
class NotedEnds:
    """Notes whose ends are to be told again."""

    job_ids: list[str] = field(default_factory=list)

    async def tell_again(self, job_id: str) -> None:
        self.job_ids.append(job_id)

    def soon(self) -> list[str]:
        """Return them, after waiting for the first if need be: it is noted just after the client has its answer."""
        deadline = time.monotonic() + 60
        while not self.job_ids and time.monotonic() < deadline:
            time.sleep(0.01)
        return self.job_ids


@dataclass
class Service:
    """An application and what it works with."""

    app: FastAPI
    backend: MemoryBackend
    told: NotedEnds
    services: Services


@dataclass
class Served:
    """A service that runs, and a client of it."""

    service: Service
    client: httpx.Client
    address: str

    @property
    def backend(self) -> MemoryBackend:
        return self.service.backend

    @property
    def told(self) -> NotedEnds:
        return self.service.told


def memory_service(environment: Mapping[str, str] | None = None, *, lookup: bool = False) -> Service:
    """Return the application over a MemoryBackend, set by variables as a user sets it."""
    settings = Settings.from_environment(environment or {})
    backend, told = MemoryBackend(), NotedEnds()
    rules = Rules(
        videos=video_policy(hosts=settings.video_hosts, private=settings.private_allowed),
        callbacks=callback_policy(
            hosts=settings.callback_hosts, backend=settings.backend_callback_url, private=settings.private_allowed
        ),
        max_cues=settings.max_cues,
        gpu_encoding=settings.gpu_encoding,
        lookup=lookup,
        storage=settings.storage_profiles,
        profile=settings.storage_profile,
    )
    services = Services("standalone", settings, backend, told, rules, essential=(backend.tasks,))
    return Service(create_app(services), backend, told, services)


def finished(backend: MemoryBackend, job_id: str, video: Path, url: str = "") -> JobState:
    """Put a completed job whose video is the file `video`."""
    output = Output(url=url or f"/api/render/{job_id}/download", size_bytes=video.stat().st_size,
                    duration_seconds=2.0, path=None if url else video)  # fmt: skip
    return backend.set(job_id, status=JobStatus.COMPLETED, progress=100, output=output)


@contextlib.contextmanager
def serving(app: FastAPI) -> Iterator[str]:
    """Serve an application from a thread, on a port of its own; yield its address."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning", timeout_graceful_shutdown=2))
    thread = threading.Thread(target=server.run, name="uvicorn")
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive(), "the server did not start"
            threading.Event().wait(0.01)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)


if __name__ == "__main__":
    asyncio.run(
        uvicorn.Server(
            uvicorn.Config(memory_service().app, port=int(sys.argv[1]), log_level="warning", access_log=False)
        ).serve()
    )
