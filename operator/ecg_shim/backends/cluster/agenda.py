"""Names to look at, each at most once at a time, some of them later."""

from __future__ import annotations

import asyncio
import heapq
import time


class Agenda:
    """A queue of names. A name that is put in while it is looked at comes again afterwards."""

    def __init__(self) -> None:
        self._due: dict[str, float] = {}
        self._order: list[tuple[float, str]] = []
        self._busy: set[str] = set()
        self._changed = asyncio.Event()

    def put(self, name: str, seconds: float = 0.0) -> None:
        """Have a name looked at in so many seconds, or earlier if that was asked for already."""
        at = time.monotonic() + seconds
        if at < self._due.get(name, float("inf")):
            self._due[name] = at
            heapq.heappush(self._order, (at, name))
            self._changed.set()

    async def take(self) -> str:
        """Return the next name that is due; `done` must follow."""
        while True:
            self._changed.clear()
            wait = self._next()
            if isinstance(wait, str):
                return wait
            try:
                async with asyncio.timeout(wait):
                    await self._changed.wait()
            except TimeoutError:
                pass

    def done(self, name: str) -> None:
        """Say that a name was looked at."""
        self._busy.discard(name)
        if name in self._due:
            heapq.heappush(self._order, (self._due[name], name))
            self._changed.set()

    def _next(self) -> str | float | None:
        """Return the next name, else the seconds until one is due."""
        now = time.monotonic()
        while self._order:
            at, name = self._order[0]
            if at > now:
                return at - now
            heapq.heappop(self._order)
            if self._due.get(name) == at and name not in self._busy:
                del self._due[name]
                self._busy.add(name)
                return name
        return None
