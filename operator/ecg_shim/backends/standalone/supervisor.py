"""Takes jobs from the queue, in the order in which they came.

Their videos are looked at before they take one of the few slots in which is rendered: a host that is silent for half a
minute would hold one all the time. Not long before, though, since addresses expire.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress

from ecg_shim.backends.standalone import jobs
from ecg_shim.backends.standalone.context import Context
from ecg_shim.backends.standalone.jobs import Job
from ecg_shim.backends.standalone.process import kill_marked
from ecg_shim.backends.standalone.run import Run
from ecg_shim.model import Unavailable

log = logging.getLogger(__name__)

AGAIN_SECONDS = 2.0
LOOK_AHEAD = 64
"""Jobs that are looked at, or wait for a slot, besides those that are rendered."""
LONGEST_WAIT_SECONDS = 60.0


class Supervisor:
    """Renders what is in the queue, until it is closed.

    Attributes:
        runs: the jobs that are being worked on, by id.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._wake = asyncio.Event()
        self._closing = False
        self._tasks: set[asyncio.Task[None]] = set()
        self.runs: dict[str, Run] = {}

    async def prepare(self) -> None:
        """Stop what a killed service left running, and remove what it left lying. Raises Unavailable."""
        context = self._context
        killed = await asyncio.to_thread(kill_marked, context.mark)
        if killed:
            log.warning("Stopped %d processes of renders that an earlier service had left running.", killed)
        await context.measure()
        waiting = [(state.job_id, state.payload_hash) for state in (*context.cache.waiting(), *context.cache.begun())]
        await asyncio.to_thread(context.workspace.remove_abandoned, waiting)

    async def run(self) -> None:
        """Work until `close`."""
        while not self._closing:
            self._wake.clear()
            try:
                wait = await self._fill_slots()
            except Unavailable as problem:
                log.error("Jobs wait: %s", problem)
                wait = AGAIN_SECONDS
            with suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._wake.wait()

    async def close(self) -> None:
        """Stop renderers; their jobs go on when the service is started again."""
        self._closing = True
        self._wake.set()
        for run in self.runs.values():
            run.break_off()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def wake(self) -> None:
        """Look at the queue again: something was put into it."""
        self._wake.set()

    def stop(self, job_id: str) -> None:
        """End the renderer of a job that was cancelled."""
        if run := self.runs.get(job_id):
            run.stop()

    async def _fill_slots(self) -> float:
        """Take jobs for all slots that are, or will be, free; return in how many seconds to look again."""
        database, slots = self._context.database, self._context.settings.max_concurrent
        while not self._closing and len(self.runs) < slots + LOOK_AHEAD and self._admitted < slots:
            job = await database.quick(jobs.next_job, list(self.runs))
            if job is None or self._closing:  # closed meanwhile, nobody would wait for it
                break
            self._take(job)
        wait: float | None = await database.quick(jobs.seconds_to_retry)
        return LONGEST_WAIT_SECONDS if wait is None else min(wait + 0.01, LONGEST_WAIT_SECONDS)

    @property
    def _admitted(self) -> int:
        """How many jobs wait for nothing but a slot."""
        return sum(run.waits_for_slot for run in self.runs.values())

    def _take(self, job: Job) -> None:
        job_id = job.state.job_id
        run = self.runs[job_id] = Run(self._context, job)
        task = asyncio.create_task(run.see_through(), name=f"job {job_id}")
        self._tasks.add(task)
        task.add_done_callback(lambda done: self._done(job_id, done))

    def _done(self, job_id: str, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        del self.runs[job_id]
        self._wake.set()
        if not task.cancelled() and (error := task.exception()):
            log.error("Job %s is taken up again later.", job_id, exc_info=error)
