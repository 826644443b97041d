"""The one queue of work: keys, each at most once, never with two workers, with due times and backoff.

How a key moves:

    event ── add ──────┐
    resync ── add ─────┤        ┌─> get ── reconcile ─┬─ done(due=…)    look again then
    due time ── heap ──┴─ ready ┘                     └─ failed()       look again after a pause that doubles
"""

from __future__ import annotations

import asyncio
import heapq
import random
import time
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 60.0
FEW = 64
"""So many due times that count no more are not worth looking for."""


class KeyedQueue(Generic[K]):
    """A queue that holds each key once and gives no key to two workers at a time.

    Not for several threads: everything happens on one event loop. Times are seconds of `clock`.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
        longest_pause: float = LONGEST_PAUSE,
    ) -> None:
        self._clock = clock
        self._jitter = jitter
        self._longest_pause = longest_pause
        self._ready: dict[K, float] = {}  # key -> since when; in order of arrival
        self._working: dict[K, float] = {}  # key -> since when
        self._again: set[K] = set()  # added while being worked on
        self._due: dict[K, float] = {}
        self._heap: list[tuple[float, int, K]] = []
        self._order = 0
        self._failures: dict[K, int] = {}
        self._held: dict[K, float] = {}  # failing key -> not before
        self._turn = asyncio.Lock()  # one worker waits for news; woken all at once, most would find nothing
        self._news = asyncio.Event()
        self._closed = False
        self._moved_at = clock()

    def add(self, key: K) -> None:
        """Have `key` looked at as soon as possible; a key that failed waits for the end of its pause."""
        held_until = self._held.get(key, 0.0)
        if held_until > self._clock():
            self._schedule(key, held_until)
        elif key in self._working:
            self._again.add(key)
        else:
            self._make_ready(key)

    def add_now(self, key: K) -> None:
        """Have `key` looked at without regard to earlier failures: a person has changed something."""
        self._forgive(key)
        self.add(key)

    def add_after(self, key: K, seconds: float) -> None:
        """Have `key` looked at after `seconds`, or before if it is due earlier already."""
        self._schedule(key, self._clock() + max(0.0, seconds))

    async def get(self) -> K | None:
        """Return the next key, which now belongs to the caller until `done` or `failed`; None once closed."""
        async with self._turn:
            while not self._closed:
                key = self.take()
                if key is not None:
                    return key
                self._news.clear()
                try:
                    async with asyncio.timeout(self._seconds_to_next()):
                        await self._news.wait()
                except TimeoutError:
                    continue
        return None

    def take(self) -> K | None:
        """Return the next key if one is ready, else None."""
        self._collect_due()
        if not self._ready:
            return None
        key = next(iter(self._ready))
        del self._ready[key]
        self._working[key] = self._moved_at = self._clock()
        return key

    def done(self, key: K, due: float | None = None) -> None:
        """Hand `key` back after success; look again after `due` seconds."""
        self._forgive(key)
        self._finish(key)
        if due is not None:
            self.add_after(key, due)

    def failed(self, key: K, at_least: float = 0.0) -> float:
        """Hand `key` back after a failure; return the pause in seconds after which it comes again."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        longest = min(self._longest_pause, FIRST_PAUSE * 2.0 ** min(failures, 30))
        pause = max(at_least, longest * (0.5 + 0.5 * self._jitter()))
        self._held[key] = self._clock() + pause
        self._again.add(key)
        self._finish(key)
        return pause

    def drop(self, key: K) -> None:
        """Forget `key`: its object is gone."""
        self._forgive(key)
        self._due.pop(key, None)
        self._ready.pop(key, None)
        self._again.discard(key)

    def close(self) -> None:
        """Let every `get` return None."""
        self._closed = True
        self._news.set()

    @property
    def depth(self) -> int:
        """Keys that wait for a worker now."""
        self._collect_due()
        return len(self._ready)

    @property
    def working(self) -> int:
        """Keys that workers have."""
        return len(self._working)

    def oldest_age(self) -> float:
        """Seconds for which the longest waiting or longest worked-on key has been so; 0 for none."""
        self._collect_due()
        since = [*self._ready.values(), *self._working.values()]
        return max(0.0, self._clock() - min(since)) if since else 0.0

    def stuck_for(self) -> float:
        """Seconds for which there was something to do, and no key was given out or handed back."""
        return min(self.oldest_age(), self._clock() - self._moved_at)

    def _finish(self, key: K) -> None:
        self._working.pop(key, None)
        self._moved_at = self._clock()
        if key in self._again:
            self._again.discard(key)
            self.add(key)

    def _forgive(self, key: K) -> None:
        self._failures.pop(key, None)
        self._held.pop(key, None)

    def _make_ready(self, key: K) -> None:
        self._due.pop(key, None)
        if key not in self._ready:
            self._ready[key] = self._clock()
            self._news.set()

    def _schedule(self, key: K, when: float) -> None:
        if self._due.get(key, float("inf")) <= when:
            return
        self._due[key] = when
        self._order += 1
        heapq.heappush(self._heap, (when, self._order, key))
        # Of a key that was looked at before its time, an entry is left each time.
        if len(self._heap) > 2 * len(self._due) + FEW:
            self._heap = [entry for entry in self._heap if self._due.get(entry[2]) == entry[0]]
            heapq.heapify(self._heap)
        if self._heap[0][2] == key:  # else whoever waits wakes up in time
            self._news.set()

    def _collect_due(self) -> None:
        now = self._clock()
        while self._heap and self._heap[0][0] <= now:
            when, _, key = heapq.heappop(self._heap)
            if self._due.get(key) == when:  # else an earlier or a later time has taken its place
                del self._due[key]
                self.add(key)

    def _seconds_to_next(self) -> float | None:
        while self._heap and self._due.get(self._heap[0][2]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return max(0.0, self._heap[0][0] - self._clock()) if self._heap else None
