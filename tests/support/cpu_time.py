"""How much CPU time something takes, where others take more or less of the machine meanwhile.

assert least_seconds(lambda: read(text), 4) < 4
"""

from __future__ import annotations

import time
from collections.abc import Callable

_TRIES = 3


def least_seconds(work: Callable[[], object], enough: float) -> float:
    """Return the CPU seconds of `work`, the least of three tries; one of less than `enough` is the last.

    Who shares caches and cores with us makes one try dear, an input that costs too much makes each so.
    """
    least = float("inf")
    for _ in range(_TRIES):
        began = time.process_time()
        work()
        least = min(least, time.process_time() - began)
        if least < enough:
            break
    return least
