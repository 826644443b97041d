"""Keeps a cache in step with the API server: a list, then a watch from there, then a watch from where that ended.

    list ──> watch ──(ended, broken)──> watch ──(410, or time for a resync)──> list ...

A list is taken in page by page, a moment's work at a time: however many objects there are, the event loop is never
blocked for long, and no more than a page of them is held as JSON.

docs/decisions/0006-informers.md says why this is not `kubernetes.informer.SharedInformer`.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from ecg_cluster.cache import Cache
from ecg_cluster.client import Json, Knows, Resource, in_turns
from ecg_cluster.errors import ApiError, Expired, RolledBack, api_error

log = logging.getLogger(__name__)

OBJECTS_A_PAGE = 100
"""A RenderJob may have 64 KiB of scenario in it, twice."""
FIRST_PAUSE = 0.2
LONGEST_PAUSE = 5.0
LIVE_SECONDS = 90.0
"""With nothing heard for so long, not even a bookmark, what is known is old."""
_IN_THE_FUTURE = "Too large resource version"
"""So an API server says that it does not know a version, of which the list before was."""
RESYNC_SPREAD = 0.8
"""The earliest that there may be a new list, as a share of the time that is set."""


class Lister(Protocol):
    """Makes the requests; raises ApiError."""

    async def list_page(
        self, resource: Resource, namespace: str | None, params: Mapping[str, str], knows: Knows
    ) -> Json:
        """Return one page of a list."""

    def watch(
        self, resource: Resource, namespace: str | None, params: Mapping[str, str], knows: Knows
    ) -> AbstractAsyncContextManager[AsyncIterator[Json]]:
        """Open a watch."""


@dataclass(frozen=True)
class Source:
    """What to list and watch; namespace None stands for all."""

    resource: Resource
    namespace: str | None
    selector: str = ""

    @property
    def params(self) -> dict[str, str]:
        """The query that selects it."""
        return {"labelSelector": self.selector} if self.selector else {}


class Reflector:
    """Feeds one source into a cache.

    Args:
        watches: False only lists, every `resync_seconds`.
        resync_seconds: after so long without one there is a new list, which mends whatever was missed; infinite where
            the list at the beginning and after a version that is too old is enough.
        listed: called after each list but the first, with the source's namespace.
        gate: who takes in a list holds it. With many sources, all of them at once would block the event loop, however
            short the turn of each is.

    Attributes:
        synced: set when everything was listed once.
        problem: why nothing is heard now, a sentence; empty while all is well.
        refused: the API server answers, and says that we may not know this (403), or that there is no such thing (404).
    """

    def __init__(
        self,
        lister: Lister,
        source: Source,
        cache: Cache[Any],
        *,
        watches: bool = True,
        resync_seconds: float = 300.0,
        listed: Callable[[str | None], None] = lambda namespace: None,
        gate: asyncio.Semaphore | None = None,
    ) -> None:
        self.source = source
        self.synced = asyncio.Event()
        self.problem = ""
        self.refused = False
        self._lister = lister
        self._cache = cache
        self._watches = watches
        self._resync_seconds = resync_seconds
        self._listed = listed
        self._gate = gate or asyncio.Semaphore(1)
        self._version: int | None = None
        self._newest = 0
        self._resync_at = 0.0
        self._heard_at = time.monotonic()
        self._pause = FIRST_PAUSE

    def staleness(self) -> float:
        """Seconds since the API server has last said something here: a list, an event or a bookmark."""
        return time.monotonic() - self._heard_at

    @property
    def live(self) -> bool:
        """Whether changes are heard of within moments now."""
        return self.synced.is_set() and not self.problem and not self.lost

    @property
    def lost(self) -> bool:
        """Whether nothing was heard for longer than an API server that is replaced is away."""
        return self.staleness() >= LIVE_SECONDS

    @property
    def longest_silence(self) -> float:
        """Seconds of silence that are normal."""
        return 120.0 if self._watches else 2 * self._resync_seconds

    async def run(self) -> None:
        """Stay in step for ever; raises RolledBack."""
        while True:
            try:
                if self._version is None or self._resync_is_due():
                    async with self._gate:
                        await self.list_all()
                elif self._watches:
                    await self._watch()
                    await asyncio.sleep(FIRST_PAUSE)  # a server that ends watches at once is not asked without a pause
                else:
                    await asyncio.sleep(self._until_resync())
            except Expired:
                log.info("%s: the version to go on from is too old, listing again", self.source.resource.plural)
                self._version = None
                await asyncio.sleep(FIRST_PAUSE)
            except ApiError as error:
                before, self.problem = self.problem, f"{self.source.resource.plural} cannot be watched: {error}"
                self.refused = error.status in (403, 404)
                if self.lost or _IN_THE_FUTURE in error.message:  # of a version that is to come, watches tell nothing
                    self._version = None
                pause = self._pause * random.uniform(0.5, 1)  # noqa: S311 - spreads load, no secret
                pause = max(pause, min(error.retry_after, LIVE_SECONDS))
                if not self.refused or self.problem != before:  # it may stay so for weeks
                    log.warning("%s; trying again in %.1f s", self.problem, pause)
                await asyncio.sleep(pause)
                self._pause = min(LONGEST_PAUSE, self._pause * 2)

    async def list_all(self) -> None:
        """Take in everything there is now, page by page; raises RolledBack."""
        there: set[str] = set()
        params = {**self.source.params, "limit": str(OBJECTS_A_PAGE)}
        while True:
            page = await self._lister.list_page(self.source.resource, self.source.namespace, params, self._cache.knows)
            self._heard()
            version = int(page["metadata"]["resourceVersion"])
            self._check_order(version)
            async for obj in in_turns(page.get("items") or ()):
                there.add(obj["metadata"]["uid"])
                self._cache.learn(obj)
            following = page["metadata"].get("continue")
            if not following:
                break
            params["continue"] = following
        async for record in in_turns(self._cache.records(self.source.namespace)):
            self._cache.remove_if_missing(record, there, version)
        self._cache.forget_unreadable(there, self.source.namespace)
        # Not all of many sources at the same moment.
        resync = self._resync_seconds * random.uniform(RESYNC_SPREAD, 1)  # noqa: S311 - spreads load, no secret
        self._version, self._resync_at = version, time.monotonic() + resync
        if self.synced.is_set():
            self._listed(self.source.namespace)
        self.synced.set()

    async def _watch(self) -> None:
        seconds = max(1, round(min(300.0, self._until_resync())))
        params = {**self.source.params, "resourceVersion": str(self._version), "timeoutSeconds": str(seconds)}
        source, knows = self.source, self._cache.knows
        async with self._lister.watch(source.resource, source.namespace, params, knows) as events:
            self._heard()
            async for event in events:
                self._heard()
                self._take(event)

    def _take(self, event: Json) -> None:
        obj, kind = event["object"], event["type"]
        if kind == "ERROR":
            raise api_error(int(obj.get("code", 500)), str(obj.get("reason", "")), str(obj.get("message", "")))
        self._version = int(obj["metadata"]["resourceVersion"])
        if kind == "BOOKMARK":
            self._check_order(self._version)
            return
        if kind == "DELETED":
            self._cache.forget(obj)
        else:
            self._cache.learn(obj)

    def _check_order(self, version: int) -> None:
        if version < self._newest:  # whatever comes would be taken for old
            raise RolledBack(f"version {version} of {self.source.resource.plural} comes after {self._newest}")
        self._newest = version

    def _heard(self) -> None:
        self._heard_at = time.monotonic()
        self._pause = FIRST_PAUSE
        self.problem = ""
        self.refused = False

    def _until_resync(self) -> float:
        return max(0.0, self._resync_at - time.monotonic())

    def _resync_is_due(self) -> bool:
        return self._until_resync() <= 0
