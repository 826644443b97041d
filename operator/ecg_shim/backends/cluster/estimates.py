"""When jobs that wait will end, and when one sent now would begin; worked out at most once a second."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace

from ecg_shim.backends.cluster.board import Board
from ecg_shim.backends.standalone.estimates import starts_in, typical_seconds
from ecg_shim.model import JobState, JobStatus, QueueState

SECONDS = 1.0
RECENT = 100


class Estimates:
    """Reckons with the measured times of the last renders.

    Args:
        slots: how many jobs are rendered at a time.
    """

    def __init__(self, board: Board, slots: int) -> None:
        self._board = board
        self._slots = slots
        self._at = float("-inf")
        self._ends: Mapping[str, int] = {}
        self._queue = QueueState(0, 0, 0, slots, 0)

    def queue(self) -> QueueState:
        """Return how busy the service is."""
        self._refresh()
        return self._queue

    def timed(self, state: JobState) -> JobState:
        """Return the state of a job that waits with the seconds to its end."""
        if state.status is not JobStatus.QUEUED:
            return state
        self._refresh()
        return replace(state, eta_seconds=self._ends.get(state.job_id))

    def forget(self) -> None:
        """Reckon anew next time."""
        self._at = float("-inf")

    def _refresh(self) -> None:
        if time.monotonic() - self._at < SECONDS:
            return
        self._at = time.monotonic()
        waiting, begun = self._board.of(JobStatus.QUEUED), self._board.of(JobStatus.PROCESSING)
        typical = typical_seconds(_measured(self._board.newest(RECENT)))
        remaining = sorted(float(typical if job.eta_seconds is None else job.eta_seconds) for job in begun)
        starts = starts_in(remaining[: self._slots], len(waiting), self._slots, typical)
        self._ends = {job.job_id: round(start + typical) for job, start in zip(waiting, starts, strict=False)}
        self._queue = QueueState(len(waiting), len(begun), len(self._board), self._slots, starts[-1])


def _measured(newest: list[JobState]) -> list[float]:
    """Return the seconds that renders took, the oldest first."""
    return [
        (job.finished_at - job.started_at).total_seconds()
        for job in reversed(newest)
        if job.status is JobStatus.COMPLETED and job.started_at and job.finished_at
    ]
