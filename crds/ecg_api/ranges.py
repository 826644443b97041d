"""Sets of segment numbers as short text, the way Kubernetes writes completed indexes: `0-3,7`."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache


def format_ranges(numbers: Iterable[int]) -> str:
    """Return the numbers as sorted ranges; empty for none."""
    parts: list[list[int]] = []
    for number in sorted(set(numbers)):
        if parts and number == parts[-1][-1] + 1:
            parts[-1] = [parts[-1][0], number]
        else:
            parts.append([number])
    return ",".join("-".join(map(str, part)) for part in parts)


MOST_NUMBERS = 20_000
"""A job has at most 1000 segments of each of its 17 sizes."""


@lru_cache(16)  # asked several times in each look at a job; MOST_NUMBERS take 1.7 MB, whoever has written them
def parse_ranges(text: str) -> frozenset[int]:
    """Return the numbers that `text` stands for; raises ValueError for anything but ranges of at most MOST_NUMBERS."""
    numbers: set[int] = set()
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        more = range(int(first), int(last or first) + 1)
        if len(numbers) + len(more) > MOST_NUMBERS:
            raise ValueError(f"{text[:40]} stands for more than {MOST_NUMBERS} numbers")
        numbers.update(more)
    return frozenset(numbers)
