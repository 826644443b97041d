"""What all jobs of one service share."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from ecg_shim.backends.standalone import jobs
from ecg_shim.backends.standalone.cache import JobCache
from ecg_shim.backends.standalone.outputs import Outputs
from ecg_shim.backends.standalone.settings import StandaloneSettings
from ecg_shim.backends.standalone.workspace import Workspace
from ecg_shim.database import Database
from ecg_shim.model import Admission
from ecg_shim.snapshot import FIRST_GUESS_SECONDS, typical_seconds


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
