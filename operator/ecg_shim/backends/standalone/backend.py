"""The backend of one machine: see `ecg_shim.model.Backend`."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from ecg_api.failures import Failure
from ecg_api.status import RenditionStatus
from ecg_shim.backends.standalone import jobs
from ecg_shim.backends.standalone.context import Context, JobCache
from ecg_shim.backends.standalone.health import Health
from ecg_shim.backends.standalone.jobs import MIGRATIONS, NewJob
from ecg_shim.backends.standalone.outputs import outputs_of
from ecg_shim.backends.standalone.settings import StandaloneSettings
from ecg_shim.backends.standalone.supervisor import Supervisor
from ecg_shim.backends.standalone.workspace import Workspace
from ecg_shim.database import Database
from ecg_shim.model import Admission, JobState, JobStatus, Output, QueueState, RenderOrder, Submission, Unavailable
from ecg_shim.snapshot import Snapshot, Snapshots
from ecg_shim.tasks import Tasks

log = logging.getLogger(__name__)

HOUSEKEEPING_SECONDS = 600.0
LEAST_FREE_BYTES = 512 * 1024 * 1024


class StandaloneBackend:
    """Renders in child processes of this machine; the queue lies in a folder and survives everything but its loss.

    Args:
        admit: looks at each job before it is rendered; None admits all.
    """

    def __init__(self, settings: StandaloneSettings, admit: Admission | None = None) -> None:
        self._settings = settings
        self._workspace = Workspace(settings.folder, settings.work_folder)
        self._database = Database(self._workspace.database, MIGRATIONS)
        self._cache = JobCache()
        outputs = outputs_of(settings, self._workspace)
        slots = asyncio.Semaphore(settings.max_concurrent)
        self._context = Context(settings, self._database, self._cache, self._workspace, outputs, admit, slots)
        self._supervisor = Supervisor(self._context)
        self._health = Health()
        self.tasks = Tasks()
        self._snapshots = Snapshots(
            self._cache, settings.max_concurrent, self._seconds_left, lambda: self._context.typical
        )

    async def start(self) -> None:
        """Take the folder and go on with its jobs. Raises Unavailable."""
        await asyncio.to_thread(self._workspace.claim)
        try:
            await self._database.open()
            for state in await self._database.quick(jobs.everything):
                self._cache.publish(state)
            await self._supervisor.prepare()
        except BaseException:
            await self._database.close()
            self._workspace.release()
            raise
        self._health.refresh()
        self.tasks.spawn("the queue's supervisor", self._supervisor.run())
        self.tasks.spawn("housekeeping", self._keep_house())

    async def close(self) -> None:
        """Stop renderers within seconds; a service started in the same folder goes on with their jobs."""
        self.tasks.stopping()
        await self._supervisor.close()
        await self.tasks.close()
        await self._health.close()
        await self._database.close()
        self._workspace.release()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[StandaloneBackend]:
        """Be started for the duration of the block. Raises Unavailable."""
        await self.start()
        try:
            yield self
        finally:
            await self.close()

    async def submit(self, order: RenderOrder) -> JobState:
        """Take a job; it is on the disk when this returns. Raises Conflict, Unavailable."""
        there = jobs.repeated(self._cache.get(order.job_id), order.payload_hash)
        if there:
            return self._snapshots.timed(there)
        await asyncio.to_thread(self._workspace.keep_scenario, order.job_id, order.payload_hash, order.scenario)
        return await self._put(
            NewJob(
                job_id=order.job_id,
                payload_hash=order.payload_hash,
                callback_url=order.callback_url,
                video_url=order.video_url,
                options=order.options.model_dump_json(),
            )
        )

    async def reject(self, submission: Submission, failure: Failure) -> JobState:
        """Note a job that cannot be rendered. Raises Conflict, Unavailable."""
        return await self._put(
            NewJob(
                job_id=submission.job_id,
                payload_hash=submission.payload_hash,
                callback_url=submission.callback_url,
                video_url=submission.video_url or "",
                options="{}",
                failure=failure,
            )
        )

    async def get(self, job_id: str) -> JobState | None:
        """Return where a job stands."""
        state = self._cache.get(job_id)
        return self._snapshots.timed(state) if state else None

    async def signed_anew(self, output: Output) -> Output:
        """Return a video with an address that works from now on; as it is if its address does not expire."""
        return await self._context.outputs.signed_anew(output)

    async def handed_out(self, result: RenditionStatus) -> Output:
        """Return one of a job's results as something to hand out, with an address that works from now on."""
        return await self._context.outputs.handed_out(result)

    async def live(self, state: JobState, path: str, *, here: bool = False) -> str | Path | None:
        """Return the text of a playlist, or the file of a piece, of a job's live stream; None if it is not there."""
        file = self._workspace.live(state.job_id, state.payload_hash) / path
        return await asyncio.to_thread(_shown, file)

    async def cancel(self, job_id: str) -> bool:
        """Stop a job; False if it is not known (then its id is remembered) or has ended. Raises Unavailable."""
        state = await self._database.call(jobs.cancel, job_id, self._settings.tombstone_seconds)
        if state is None:
            return False
        await self._end([state])
        return True

    async def list_jobs(self, limit: int) -> list[JobState]:
        """Return the newest jobs first."""
        return [self._snapshots.timed(state) for state in self._cache.newest(limit)]

    async def queue(self) -> QueueState:
        """Return how busy the service is."""
        return self.snapshot().queue

    def snapshot(self) -> Snapshot:
        """Return how busy the service is, and for how long."""
        return self._snapshots.now()

    async def clear(self) -> int:
        """Cancel all jobs that wait. Raises Unavailable."""
        cancelled = await self._database.call(jobs.cancel_waiting)
        await self._end(cancelled)
        return len(cancelled)

    def changes(self) -> AsyncGenerator[JobState, None]:
        """Yield every job that is kept, the oldest first, then each change; a slow listener misses steps, no end."""
        return self._cache.listen()

    def not_ready(self) -> list[str]:
        """Return why no requests should come here: the queue cannot be written, or a task has ended."""
        return [problem for problem in (self.tasks.problem, self._database.problem) if problem]

    def health(self) -> Mapping[str, Any]:
        """Return `healthy`, `problems`, and what is known of GPUs, memory and frames; waits for nothing."""
        self._health.refresh()
        problems = self.not_ready()
        try:
            free = self._workspace.free_bytes()
            if free < LEAST_FREE_BYTES:
                problems.append(f"Only {free // 1024**2} MB are free in {self._workspace.folder}.")
        except OSError as error:
            problems.append(f"{self._workspace.folder} cannot be read: {error.strerror}.")
        processed, dropped = self._context.processed, self._context.dropped
        return {
            "healthy": not problems,
            "problems": problems,
            **self._health.blocks(),
            "streaming": {
                "pipeline_active": bool(self._cache.begun()),
                "total_frames_processed": processed,
                "total_frames_dropped": dropped,
                "average_drop_rate": dropped / processed if processed else 0.0,
            },
        }

    async def _put(self, job: NewJob) -> JobState:
        state = await self._database.call(jobs.put, job)
        self._cache.publish(state)
        self._snapshots.forget()
        if state.status is JobStatus.CANCELLED:
            await self._end([state])
        self._supervisor.wake()
        return self._snapshots.timed(state)

    async def _end(self, cancelled: list[JobState]) -> None:
        """Tell of jobs that were cancelled, and end what is there of them."""
        for state in cancelled:
            self._supervisor.stop(state.job_id)
            self._cache.publish(state)
        self._supervisor.wake()
        for state in cancelled:
            if state.job_id not in self._supervisor.runs:  # else that clears up, when its renderer has ended
                await asyncio.to_thread(self._workspace.clear, state.job_id, state.payload_hash)

    def _seconds_left(self, state: JobState) -> float | None:
        run = self._supervisor.runs.get(state.job_id)
        return run.seconds_left if run else None

    async def _keep_house(self) -> None:
        while True:
            try:
                before = time.time() - self._settings.keep_seconds
                gone = await self._database.call(jobs.forget, before, list(self._supervisor.runs))
                self._cache.forget(gone)
                for job_id in gone:
                    await asyncio.to_thread(self._workspace.remove_output, job_id)
                await asyncio.to_thread(self._workspace.remove_live, self._watched())
            except Unavailable as problem:
                log.error("Old jobs are kept for now: %s", problem)
            await asyncio.sleep(HOUSEKEEPING_SECONDS)

    def _watched(self) -> list[tuple[str, str]]:
        """Return the jobs, by id and hash, that can be watched still."""
        before = datetime.now(UTC) - timedelta(seconds=self._settings.live_seconds)
        states = [state for state in self._cache.newest(len(self._cache)) if state.live]
        return [
            (state.job_id, state.payload_hash)
            for state in states
            if state.finished_at is None or state.finished_at > before
        ]


def _shown(file: Path) -> str | Path | None:
    try:
        return file.read_text() if file.suffix == ".m3u8" else file if file.is_file() else None
    except OSError:
        return None
