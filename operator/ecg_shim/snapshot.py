"""How busy a backend is and how long jobs will take, reckoned over its jobs at most once a second, however many ask."""

from __future__ import annotations

import heapq
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, median
from typing import Protocol

from ecg_shim.model import JobState, JobStatus, QueueState

SECONDS = 1.0
RECENT = 50
FIRST_ESTIMATE = 180
FIRST_GUESS_SECONDS = 60.0
_TYPICAL_OF = 20


class Jobs(Protocol):
    """Jobs in memory."""

    def __len__(self) -> int:
        """Return how many there are."""

    def waiting(self) -> list[JobState]:
        """Return the jobs that wait, in their order."""

    def begun(self) -> list[JobState]:
        """Return the jobs that have begun and not ended."""

    def newest(self, limit: int) -> list[JobState]:
        """Return the newest jobs first."""


@dataclass(frozen=True)
class Snapshot:
    """What was reckoned last.

    Attributes:
        ends: in how many seconds each job that waits will have ended.
        render_seconds: how long recent renders took, on average.
        drop_rate: dropped by processed frames of recent jobs, 0 to 1.
    """

    queue: QueueState
    ends: Mapping[str, int]
    render_seconds: int = FIRST_ESTIMATE
    drop_rate: float = 0.0


class Snapshots:
    """Takes them.

    Args:
        slots: how many jobs are rendered at a time.
        seconds_left: of a job that has begun; None if that is not known.
        typical: seconds that a render probably takes; None: as the newest jobs say.
    """

    def __init__(
        self,
        jobs: Jobs,
        slots: int,
        seconds_left: Callable[[JobState], float | None],
        typical: Callable[[], float] | None = None,
    ) -> None:
        self._jobs = jobs
        self._slots = slots
        self._seconds_left = seconds_left
        self._typical = typical
        self._at = float("-inf")
        self._last = Snapshot(QueueState(0, 0, 0, slots, 0), {})

    def now(self) -> Snapshot:
        """Return how things are."""
        if time.monotonic() - self._at >= SECONDS:
            self._last = self._taken()
            self._at = time.monotonic()
        return self._last

    def timed(self, state: JobState) -> JobState:
        """Return the state of a job that waits with the seconds to its end."""
        return replace(state, eta_seconds=self.now().ends.get(state.job_id)) if state.status == "queued" else state

    def forget(self) -> None:
        """Reckon anew next time: a job has come."""
        self._at = float("-inf")

    def _taken(self) -> Snapshot:
        waiting, begun, recent = self._jobs.waiting(), self._jobs.begun(), self._jobs.newest(RECENT)
        measured = _measured(recent)
        typical = self._typical() if self._typical else typical_seconds(measured)
        left = (self._seconds_left(job) for job in begun)
        remaining = sorted(typical if seconds is None else seconds for seconds in left)
        # Of jobs that wait for another try, more can have begun than there are slots.
        starts = starts_in(remaining[: self._slots], len(waiting), self._slots, typical)
        processed = sum(job.metrics.frames_processed for job in recent)
        return Snapshot(
            QueueState(len(waiting), len(begun), len(self._jobs), self._slots, starts[-1]),
            {job.job_id: round(start + typical) for job, start in zip(waiting, starts, strict=False)},
            max(1, round(fmean(measured))) if measured else FIRST_ESTIMATE,
            sum(job.metrics.frames_dropped for job in recent) / processed if processed else 0.0,
        )


def typical_seconds(measured: Sequence[float]) -> float:
    """Return how long a render will probably take: the median of the last ones, a minute before there are any."""
    return median(measured[-_TYPICAL_OF:]) if measured else FIRST_GUESS_SECONDS


def starts_in(remaining: Iterable[float], waiting: int, slots: int, each: float) -> list[int]:
    """Return in how many seconds each waiting job, and one more behind them, will start.

    `remaining` are the seconds that running jobs still take; `slots` run at a time, `each` second after second.
    """
    free = sorted([*remaining, *([0.0] * slots)], reverse=True)[:slots]
    heapq.heapify(free)
    starts = []
    for _ in range(waiting + 1):
        start = heapq.heappop(free)
        starts.append(math.ceil(start))
        heapq.heappush(free, start + each)
    return starts


def _measured(newest: list[JobState]) -> list[float]:
    """Return the seconds that renders took, the oldest first."""
    return [
        max((job.finished_at - job.started_at).total_seconds(), 0.0)  # of two replicas, clocks may be apart
        for job in reversed(newest)
        if job.status is JobStatus.COMPLETED and job.started_at and job.finished_at
    ]
