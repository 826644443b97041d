"""A subscription to job changes: what changed since it last looked, the newest state of each job only."""

from __future__ import annotations

import asyncio

from ecg_shim.model import JobState


class Subscription:
    """Gives states in the order in which their jobs changed first; of a job that changes again, only the newest."""

    def __init__(self) -> None:
        self._newest: dict[str, JobState] = {}
        self._some = asyncio.Event()

    def put(self, state: JobState) -> None:
        """Note a change."""
        self._newest[state.job_id] = state
        self._some.set()

    async def get(self) -> JobState:
        """Return the next change, as soon as there is one."""
        while not self._newest:
            self._some.clear()
            await self._some.wait()
        return self._newest.pop(next(iter(self._newest)))
