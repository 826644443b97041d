"""What all jobs of one service share: settings, stores, sums, and in memory where each stands."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

from ecg_shim.backends.job_states import JobStates
from ecg_shim.backends.standalone import jobs
from ecg_shim.backends.standalone.outputs import Outputs
from ecg_shim.backends.standalone.settings import StandaloneSettings
from ecg_shim.backends.standalone.workspace import Workspace
from ecg_shim.database import Database
from ecg_shim.model import Admission, JobState
from ecg_shim.snapshot import FIRST_GUESS_SECONDS, typical_seconds


class JobCache(JobStates):
    """All jobs of the queue by their ids. Every change is in the database before it is published here."""

    def publish(self, state: JobState | None) -> None:
        """Show a state unless a newer one is there; None is passed over."""
        before = self.named(state.job_id) if state is not None else None
        if state is not None and (before is None or before.version < state.version):
            self._show(state.job_id, state)

    def forget(self, job_ids: Iterable[str]) -> None:
        """Take ended jobs down."""
        for job_id in job_ids:
            self._show(job_id, None)

    def get(self, job_id: str) -> JobState | None:
        """Return where a job stands."""
        return self.named(job_id)


@dataclass
class Context:
    """Settings, stores and sums.

    Attributes:
        slots: of which each renderer takes one.
        typical: seconds that a render probably takes.
        processed, dropped: frames of all renders since the service was started.
    """

    settings: StandaloneSettings
    database: Database
    cache: JobCache
    workspace: Workspace
    outputs: Outputs
    admit: Admission | None
    slots: asyncio.Semaphore
    typical: float = FIRST_GUESS_SECONDS
    processed: int = 0
    dropped: int = 0

    @property
    def mark(self) -> str:
        """What the marks of all renderers of this service begin with."""
        return f"{self.workspace.folder}:"

    async def measure(self) -> None:
        """Take the measured render times into account. Raises Unavailable."""
        self.typical = typical_seconds(await self.database.quick(jobs.measured))
