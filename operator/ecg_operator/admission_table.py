"""Asks admission about all unfinished jobs at once, and remembers the answers for a moment.

With a thousand jobs created at once, asking anew for each of their first looks would be a million claims. So the table
is made at most every TABLE_SECONDS, from claims that are kept up to date one by one.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Set
from dataclasses import replace
from typing import Any

from ecg_api.names import Role
from ecg_api.ranges import parse_ranges
from ecg_cluster.cache import Key, Record
from ecg_operator.admission import Budget, Claim, admit
from ecg_operator.capacity import Load
from ecg_operator.model import (
    JobView,
    Verdict,
)
from ecg_operator.views import RenderJobView
from ecg_operator.world import World

TABLE_SECONDS = 0.1
PATIENCE = 10
"""A table of tens of thousands of jobs takes long: the next waits for so many times what the last one took."""
TELLING_FACTOR = 4
"""A waiting job is told its place again when that is a quarter of what it was, or when it is next."""

_WAITING = Verdict(admitted=False, reason="waiting for admission")


class AdmissionTable:
    """The verdicts on all unfinished RenderJobs.

    Args:
        unserved: the namespaces that are gone or not ours to see: nobody tells when a job there ends, so those take no
            place, and keep the verdicts that they have.
        gpu_places: only segments with a GPU take one of the places of `limit_places`, not all.

    Attributes:
        busier: set when more places are busy than before; whoever waits for that clears it.
    """

    def __init__(
        self,
        world: World,
        budget: Budget,
        clock: Callable[[], float] = time.monotonic,
        unserved: Callable[[], Set[str | None]] = frozenset,
        gpu_places: bool = False,
    ) -> None:
        self._world = world
        self._ask_unserved = unserved
        self._unserved: Set[str | None] = frozenset()
        self._gpu_places = gpu_places
        self._budget = budget
        self._changed = False
        self._clock = clock
        self._claims: dict[Key, Claim] = {}
        self._stale: set[Key] = set()
        self._verdicts: dict[Key, Verdict] = {}
        self._told: dict[Key, int] = {}
        self._due_at = float("-inf")
        self.busier = asyncio.Event()
        world.on_change(self._stale.add)

    async def run(self) -> None:
        """Keep the table fresh for ever, so that what one job gives back another gets."""
        while True:
            await asyncio.sleep(max(TABLE_SECONDS, self.pause()))
            self.make()

    async def verdict(self, key: Key) -> Verdict:
        """Return what admission says about a job; a new one may wait for a moment, so that many share one answer."""
        if key not in self._verdicts and key in self._stale:
            await asyncio.sleep(self.pause())
            self.make()
        verdict = self._verdicts.get(key, _WAITING)
        self._told[key] = verdict.position
        return verdict

    def load(self) -> Load:
        """Return how many places are taken, and how many segments of unfinished jobs lack one."""
        claims = [claim for claim in self._served() if claim.placed]
        busy = sum(min(claim.busy, claim.wants) for claim in claims)
        return Load(busy=busy, waiting=sum(max(0, claim.wants - claim.busy) for claim in claims if not claim.held))

    def limit_places(self, places: int) -> None:
        """Allow so many segments at a time of those that take a place, but no more than the settings do in all."""
        budget = replace(self._budget, places=places)
        if budget != self._budget:
            self._budget = budget
            self._changed = True

    def pause(self) -> float:
        """Return for how many seconds the table is not to be made anew."""
        return max(0.0, self._due_at - self._clock())

    def make(self) -> None:
        """Make the table anew, and have those jobs looked at for which that changes something."""
        unserved = self._ask_unserved()
        if not self._stale and not self._changed and unserved == self._unserved:
            return
        self._changed, self._unserved = False, unserved
        started = self._clock()
        for key in self._stale:
            claim, known = self._claim(key), self._claims.get(key)
            if claim is not None and claim.placed and claim.busy > (known.busy if known is not None else 0):
                self.busier.set()
            if claim is None:
                self._claims.pop(key, None)
                self._told.pop(key, None)
            else:
                self._claims[key] = claim
        self._stale.clear()
        before, fresh = self._verdicts, admit(self._served(), self._budget)
        kept = {key: before[key] for key in self._claims if key.namespace in unserved and key in before}
        self._verdicts = {**kept, **fresh}
        for key, verdict in fresh.items():
            if key in before and self._is_news(key, before[key], verdict):
                self._world.queue.add(key)
        ended = self._clock()
        self._due_at = max(started + TABLE_SECONDS, ended + PATIENCE * (ended - started))

    def _served(self) -> list[Claim]:
        return [claim for claim in self._claims.values() if claim.key.namespace not in self._unserved]

    def _is_news(self, key: Key, before: Verdict, verdict: Verdict) -> bool:
        if (before.admitted, before.segments) != (verdict.admitted, verdict.segments):
            return True
        told = self._told.get(key, 0)
        return verdict.position != told and (verdict.position == 1 or verdict.position * TELLING_FACTOR <= told)

    def _claim(self, key: Key) -> Claim | None:
        record = self._world.render_jobs.get(*key)
        if record is None or not isinstance(record.value, RenderJobView):
            return None
        view = record.value
        if view.finished or view.deleting or view.job is None or view.status is None:
            return None
        if view.job.spec.suspend or view.job.spec.cancel:
            return None
        run, jobs = view.status.run, self._rendering(record)
        return Claim(
            key=key,
            created_at=view.created_at,
            priority=view.job.spec.priority,
            admitted=run is not None and run.admitted_at is not None,
            holds=sum(job.parallelism for job in jobs),
            wants=_segments_to_do(view),
            held=run is not None and run.held_since is not None,
            busy=sum(job.parallelism for job in jobs if not job.suspended),
            placed=not self._gpu_places or view.job.spec.placement.gpus > 0,
        )

    def _rendering(self, record: Record[Any]) -> list[JobView]:
        """Return the Jobs that render segments; the one that plans may go on with one."""
        return [
            child.value
            for child in self._world.jobs.of(record.key)
            if child.owner == record.uid
            and (child.value.role is Role.SEGMENTS or child.value.segments)
            and not (child.value.complete or child.value.failed or child.value.deleting)
        ]


def _segments_to_do(view: RenderJobView) -> int:
    status = view.status
    if status is None or status.plan is None or status.segments is None:
        return 1
    done = len(parse_ranges(status.run.completed)) if status.run is not None else 0
    return max(0, status.segments.total - done - status.segments.failed)
