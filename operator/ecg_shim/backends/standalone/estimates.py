"""How long renders take and clients wait, from what was measured."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Sequence
from statistics import median

FIRST_GUESS_SECONDS = 60.0
_RECENT = 20


def typical_seconds(measured: Sequence[float]) -> float:
    """Return how long a render will probably take: the median of the last ones, a minute before there are any."""
    return median(measured[-_RECENT:]) if measured else FIRST_GUESS_SECONDS


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
