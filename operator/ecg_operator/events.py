"""Tells on RenderJobs what happened (`kubectl describe`): few, stable, counted instead of repeated.

Nothing waits for an event: they go through a bounded queue to one task, and what does not fit is dropped and counted.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ecg_api.renderjob import API_VERSION, KIND
from ecg_cluster.cache import Key
from ecg_cluster.client import EVENTS, Json
from ecg_cluster.errors import AlreadyExists, ApiError, NotFound
from ecg_operator.cluster import Cluster
from ecg_operator.errors import LeaseLost
from ecg_operator.model import (
    EventNote,
)

log = logging.getLogger(__name__)

COMPONENT = "ecg-operator"
LONGEST_MESSAGE = 1024
WAITING = 1000
REMEMBERED = 10_000
PER_OBJECT = (20, 1 / 60)  # at once, and then one a minute
IN_TOTAL = (200, 20.0)


class TokenBucket:
    """Lets through `burst` at once and `rate` a second after that."""

    def __init__(self, burst: int, rate: float, clock: Callable[[], float]) -> None:
        self._burst, self._rate, self._clock = burst, rate, clock
        self._tokens, self._at = float(burst), clock()

    def take(self) -> bool:
        """Take one, if there is one."""
        now = self._clock()
        self._tokens = min(float(self._burst), self._tokens + (now - self._at) * self._rate)
        self._at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


@dataclass
class _Posted:
    name: str
    count: int


class EventRecorder:
    """Posts events.

    Args:
        dropped: called for each event that is not posted.
    """

    def __init__(
        self,
        cluster: Cluster,
        dropped: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._cluster = cluster
        self._dropped = dropped
        self._clock = clock
        self._queue: asyncio.Queue[tuple[Key, str, EventNote]] = asyncio.Queue(WAITING)
        self._posted: OrderedDict[tuple[str, str, str], _Posted] = OrderedDict()
        self._buckets: OrderedDict[str, TokenBucket] = OrderedDict()
        self._total = TokenBucket(*IN_TOTAL, clock)

    def tell(self, key: Key, uid: str, note: EventNote) -> None:
        """Have an event posted soon, if there are not too many."""
        bucket = self._buckets.get(uid)
        if bucket is None:
            bucket = self._buckets[uid] = TokenBucket(*PER_OBJECT, self._clock)
            _limit(self._buckets)
        if not bucket.take() or not self._total.take():
            self._dropped()
            return
        try:
            self._queue.put_nowait((key, uid, note))
        except asyncio.QueueFull:
            self._dropped()

    async def run(self) -> None:
        """Post events for ever."""
        while True:
            key, uid, note = await self._queue.get()
            try:
                await self._post(key, uid, note)
            except LeaseLost:
                raise
            except ApiError as error:
                self._dropped()
                log.warning("key=%s/%s event %s was not posted: %s", *key, note.reason, error)
            finally:
                self._queue.task_done()

    async def flush(self, seconds: float) -> None:
        """Wait until everything is posted, at most for `seconds`."""
        try:
            async with asyncio.timeout(seconds):
                await self._queue.join()
        except TimeoutError:
            log.warning("%d events were not posted before the end", self._queue.qsize())

    async def _post(self, key: Key, uid: str, note: EventNote) -> None:
        identity = (uid, note.reason, note.message)
        known = self._posted.get(identity)
        if known is not None and await self._count_again(key, known):
            return
        body = _event(key, uid, note)
        name = body["metadata"]["name"]
        try:
            await self._cluster.create(EVENTS, key.namespace, body)
            self._posted[identity] = _Posted(name, 1)
        except AlreadyExists:  # told before this process started
            found = await self._cluster.get(EVENTS, key.namespace, name)
            known = self._posted[identity] = _Posted(name, int(found.get("count") or 1))
            await self._count_again(key, known)
        _limit(self._posted)

    async def _count_again(self, key: Key, known: _Posted) -> bool:
        patch = {"count": known.count + 1, "lastTimestamp": _now()}
        try:
            await self._cluster.patch(EVENTS, key.namespace, known.name, patch)
        except NotFound:  # events live for an hour
            return False
        known.count += 1
        return True


def _event(key: Key, uid: str, note: EventNote) -> Json:
    digest = hashlib.sha256("\0".join((uid, note.reason, note.message)).encode()).hexdigest()[:16]
    now = _now()
    return {
        "metadata": {"name": f"{key.name}.{digest}", "namespace": key.namespace},
        "involvedObject": {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "namespace": key.namespace,
            "name": key.name,
            "uid": uid,
        },
        "type": note.kind,
        "reason": note.reason,
        "message": note.message[:LONGEST_MESSAGE],
        "source": {"component": COMPONENT},
        "reportingComponent": COMPONENT,
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
    }


def _limit(remembered: OrderedDict[Any, Any]) -> None:
    while len(remembered) > REMEMBERED:
        remembered.popitem(last=False)


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
