"""What every route works with."""

from __future__ import annotations

from dataclasses import dataclass, field

from ecg_shim.intake import Rules
from ecg_shim.metrics import Metrics
from ecg_shim.model import Backend, Teller
from ecg_shim.settings import Settings
from ecg_shim.tasks import Tasks


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
