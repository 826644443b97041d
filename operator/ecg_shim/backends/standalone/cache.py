"""All jobs of the queue as they stand, in memory: thousands of clients ask, and none of them waits for the disk.

Every change is in the database before it is published here. Listeners hear of it; one that is slow sees only the
newest state of each job.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable
from itertools import islice

from ecg_shim.backends.subscription import Subscription
from ecg_shim.model import JobState, JobStatus


class JobCache:
    """States of jobs, for whoever asks and whoever listens."""

    def __init__(self) -> None:
        self._states: dict[str, JobState] = {}
        self._unended: dict[str, JobState] = {}
        self._listeners: list[Subscription] = []

    def publish(self, state: JobState | None) -> None:
        """Show a state unless a newer one is there; None is passed over."""
        if state is None:
            return
        before = self._states.get(state.job_id)
        if before and before.version >= state.version:
            return
        if before and before.created_at != state.created_at:
            # Another job under the same id: it goes to the end of the line.
            del self._states[state.job_id]
            self._unended.pop(state.job_id, None)
        self._states[state.job_id] = state
        if state.status.terminal:
            self._unended.pop(state.job_id, None)
        else:
            self._unended[state.job_id] = state
        for listener in self._listeners:
            listener.put(state)

    def forget(self, job_ids: Iterable[str]) -> None:
        """Take ended jobs down."""
        for job_id in job_ids:
            self._states.pop(job_id, None)

    def get(self, job_id: str) -> JobState | None:
        """Return where a job stands."""
        return self._states.get(job_id)

    def newest(self, limit: int) -> list[JobState]:
        """Return the newest jobs first."""
        return list(islice(reversed(self._states.values()), max(0, limit)))

    def __len__(self) -> int:
        return len(self._states)

    def waiting(self) -> list[JobState]:
        """Return the jobs that wait, in their order."""
        return [state for state in self._unended.values() if state.status is JobStatus.QUEUED]

    def begun(self) -> list[JobState]:
        """Return the jobs that have begun."""
        return [state for state in self._unended.values() if state.status is JobStatus.PROCESSING]

    async def listen(self) -> AsyncGenerator[JobState, None]:
        """Yield every job, the oldest first, then each change."""
        listener = Subscription()
        self._listeners.append(listener)
        try:
            for state in self._states.values():
                listener.put(state)
            while True:
                yield await listener.get()
        finally:
            self._listeners.remove(listener)
