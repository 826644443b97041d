"""Which RenderJobs may have pods, and how many segments each may render at a time.

A job that was let in stays in, and what it holds is never taken back: lowering a Job's parallelism would kill pods
in the middle of their work. So room is kept for those who come later, and what becomes free goes to whoever has least.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from ecg_cluster.cache import Key
from ecg_operator.model import Verdict

_NEXT = 3
_GROUPS = (10, 100, 1000, 10_000)


@dataclass(frozen=True)
class Claim:
    """What one unfinished, unsuspended RenderJob holds and wants.

    Attributes:
        admitted: it was let in before (`status.run.admittedAt` is set); it is never sent back.
        holds: segment pods that it may run now: its segment Job's parallelism.
        wants: segments that are not finished; 1 while there is no plan, 0 when only merging is left.
        held: a queue (Kueue) keeps its Job from starting; until then it takes nobody's place.
        busy: pods of `holds` that really may run, at this moment: none of a Job that is suspended.
        placed: each of its segments takes one of the places that capacity counts.
    """

    key: Key
    created_at: datetime
    priority: int = 0
    admitted: bool = False
    holds: int = 0
    wants: int = 1
    held: bool = False
    busy: int = 0
    placed: bool = True


@dataclass(frozen=True)
class Budget:
    """How much may run at a time.

    Attributes:
        jobs: RenderJobs (MAX_CONCURRENT_JOBS).
        segments: segment pods of all RenderJobs together (MAX_ACTIVE_SEGMENTS).
        jobs_per_namespace: RenderJobs of one namespace; 0 for no limit.
        places: of those segments, the ones that take a place (CAPACITY); None for as many as there are.
    """

    jobs: int
    segments: int
    jobs_per_namespace: int = 0
    places: int | None = None

    def most(self, placed: bool) -> int:
        """Return how many segments there may be at a time, of those that take a place or of the others."""
        return self.segments if not placed or self.places is None else min(self.segments, self.places)


class _Room:
    """What is left of a budget: segments of all kinds, and places for those that take one."""

    def __init__(self, budget: Budget, kept: int = 0) -> None:
        """Keep `kept` for jobs that may still come, but no more than a quarter of all."""
        most = budget.most(False), budget.most(True)
        self._segments, self._places = (segments - min(kept, segments // 4) for segments in most)

    def left(self, claim: Claim) -> int:
        """Return how many more segments `claim` may have; negative where it has more than it may."""
        return min(self._segments, self._places) if claim.placed else self._segments

    def take(self, claim: Claim, segments: int) -> None:
        """Let `claim` have segments."""
        self._segments -= segments
        self._places -= segments if claim.placed else 0


def admit(claims: Iterable[Claim], budget: Budget) -> dict[Key, Verdict]:
    """Return the verdict on each claim; O(n log n).

    Within a namespace higher priority goes first, then age. Between namespaces the one that has least goes first, so
    that neither the priorities nor the many jobs of one keep another waiting.
    """
    in_order = _in_turn(claims)
    admitted = [claim for claim in in_order if claim.admitted]
    waiting: list[tuple[Claim, str]] = []
    active = sum(not claim.held for claim in admitted)
    in_namespace = Counter(claim.key.namespace for claim in admitted if not claim.held)
    room = _Room(budget)
    for claim in admitted:
        room.take(claim, _floor(claim))
    for claim in in_order:
        if claim.admitted:
            continue
        obstacle = _obstacle(claim, budget, active, room, in_namespace)
        if obstacle:
            waiting.append((claim, obstacle))
            continue
        admitted.append(claim)
        active += 1
        in_namespace[claim.key.namespace] += 1
        room.take(claim, _floor(claim))
    return _shares(admitted, budget) | _queue(waiting)


def _in_turn(claims: Iterable[Claim]) -> list[Claim]:
    """Return the claims in the order of the queue: who was let in, then one after the other of each namespace."""
    by_namespace: dict[str, list[Claim]] = {}
    for claim in claims:
        by_namespace.setdefault(claim.key.namespace, []).append(claim)
    turns = []
    for own in by_namespace.values():
        own.sort(key=lambda claim: (not claim.admitted, -claim.priority, claim.created_at, claim.key))
        places = 0
        for claim in own:
            turns.append(((not claim.admitted, places, claim.created_at, claim.key), claim))
            places += not claim.held
    return [claim for _, claim in sorted(turns, key=lambda turn: turn[0])]


def _obstacle(claim: Claim, budget: Budget, jobs: int, room: _Room, in_namespace: Mapping[str, int]) -> str:
    """Return what keeps `claim` out, a sentence; empty for nothing."""
    namespace = claim.key.namespace
    if jobs >= budget.jobs:
        return f"{_counted(budget.jobs, 'job')} running, which is the limit"
    if _floor(claim) > room.left(claim):
        return f"{_counted(budget.most(claim.placed), 'segment')} being rendered, which is the limit"
    if 0 < budget.jobs_per_namespace <= in_namespace[namespace]:
        return f"{_counted(budget.jobs_per_namespace, 'job')} running in namespace {namespace}, which is its limit"
    return ""


def _counted(number: int, what: str) -> str:
    return f"{number} {what} is" if number == 1 else f"{number} {what}s are"


def _floor(claim: Claim) -> int:
    if claim.held:
        return 0
    return max(min(claim.holds, claim.wants), min(1, claim.wants))


def _shares(admitted: Sequence[Claim], budget: Budget) -> dict[Key, Verdict]:
    """Give what is free, one by one, to the job that has least; equal ones in the order of the queue."""
    shares = [_floor(claim) for claim in admitted]
    room = _Room(budget, kept=max(budget.jobs - len(admitted), 0))  # one for each job that may still come
    for claim, share in zip(admitted, shares, strict=True):
        room.take(claim, share)
    hungry = [
        (shares[rank], rank) for rank, claim in enumerate(admitted) if shares[rank] < claim.wants and not claim.held
    ]
    heapq.heapify(hungry)
    while hungry:
        share, rank = heapq.heappop(hungry)
        claim = admitted[rank]
        if room.left(claim) <= 0:
            continue
        room.take(claim, 1)
        shares[rank] = share + 1
        if shares[rank] < claim.wants:
            heapq.heappush(hungry, (shares[rank], rank))
    return {
        claim.key: Verdict(admitted=True, segments=share, wants=claim.wants)
        for claim, share in zip(admitted, shares, strict=True)
    }


def _queue(waiting: Sequence[tuple[Claim, str]]) -> dict[Key, Verdict]:
    return {claim.key: _waits(position, obstacle) for position, (claim, obstacle) in enumerate(waiting, start=1)}


@lru_cache(_GROUPS[-1])  # many wait, and are asked about ten times a second
def _waits(position: int, obstacle: str) -> Verdict:
    return Verdict(admitted=False, position=position, reason=f"{_place(position)}: {obstacle}")


def _place(position: int) -> str:
    # Coarse further back: each change is a write to the API server, and everybody moves when one job ends.
    if position <= _NEXT:
        return f"Position {position} in the queue"
    group = next((group for group in _GROUPS if position <= group), None)
    return f"Among the next {group} in the queue" if group else f"After the next {_GROUPS[-1]} in the queue"
