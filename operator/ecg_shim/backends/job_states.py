"""States of jobs in memory: thousands of clients ask, and none of them waits for a disk or an API server."""

from __future__ import annotations

import asyncio
from bisect import bisect_left, insort
from collections.abc import AsyncGenerator

from ecg_shim.model import JobState, JobStatus


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


class JobStates:
    """States by name, which is what a backend calls a job; see `ecg_shim.snapshot.Jobs`."""

    def __init__(self) -> None:
        self._states: dict[str, JobState] = {}
        self._unended: dict[str, JobState] = {}
        self._by_age: list[tuple[float, str, str]] = []
        self._listeners: list[Subscription] = []

    def __len__(self) -> int:
        return len(self._states)

    def named(self, name: str) -> JobState | None:
        """Return where a job stands."""
        return self._states.get(name)

    def newest(self, limit: int) -> list[JobState]:
        """Return the newest jobs first."""
        return [self._states[name] for *_, name in self._by_age[: -max(0, limit) - 1 : -1]]

    def waiting(self) -> list[JobState]:
        """Return the jobs that wait, the oldest first."""
        return self._of(JobStatus.QUEUED)

    def begun(self) -> list[JobState]:
        """Return the jobs that have begun and not ended, the oldest first."""
        return self._of(JobStatus.PROCESSING)

    async def listen(self) -> AsyncGenerator[JobState, None]:
        """Yield every job about which something is left to tell, the oldest first, then each change.

        A slow listener misses steps, but no end.
        """
        listener = Subscription()
        self._listeners.append(listener)
        try:
            for *_, name in list(self._by_age):
                if not self._is_settled(name):
                    listener.put(self._states[name])
            while True:
                yield await listener.get()
        finally:
            self._listeners.remove(listener)

    def _is_settled(self, name: str) -> bool:
        """Tell whether a job has ended, and all was told about it."""
        return False

    def _show(self, name: str, state: JobState | None) -> None:
        """Put a state into the place of the one that is there; None: the job is gone."""
        before = self._states.pop(name, None)
        if before is not None:
            del self._by_age[bisect_left(self._by_age, (*_age(before), name))]
            self._unended.pop(name, None)
        if state is None:
            return
        self._states[name] = state
        insort(self._by_age, (*_age(state), name))
        if not state.status.terminal:
            self._unended[name] = state
        for listener in self._listeners:
            listener.put(state)

    def _of(self, status: JobStatus) -> list[JobState]:
        return sorted((state for state in self._unended.values() if state.status is status), key=_age)


def _age(state: JobState) -> tuple[float, str]:
    return (state.created_at.timestamp(), state.job_id)
