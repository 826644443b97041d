"""Keeps a cache in step with the API server: a list, then a watch from there, then a watch from where that ended.

    list ──> watch ──(ended, broken)──> watch ──(410, or time for a resync)──> list ...

docs/decisions/0006-informers.md says why this is not `kubernetes.informer.SharedInformer`.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from dataclasses import dataclass
from typing import Any

from ecg_cluster.client import Json, Resource
from ecg_cluster.errors import ApiError, Expired, api_error
from ecg_operator.cache import Cache
from ecg_operator.cluster import Cluster

log = logging.getLogger(__name__)

PAGE = 500
FIRST_PAUSE = 0.2
LONGEST_PAUSE = 10.0


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


class Informer:
    """Feeds one source into a cache.

    Args:
        watches: False only lists, every `resync_seconds`.
        resync_seconds: after so long without one there is a new list, which mends whatever was missed.
    """

    def __init__(
        self,
        cluster: Cluster,
        source: Source,
        cache: Cache[Any],
        *,
        watches: bool = True,
        resync_seconds: float = 300.0,
    ) -> None:
        self.source = source
        self.synced = asyncio.Event()
        self._cluster = cluster
        self._cache = cache
        self._watches = watches
        self._resync_seconds = resync_seconds
        self._version: int | None = None
        self._listed_at = 0.0
        self._heard_at = time.monotonic()
        self._pause = FIRST_PAUSE

    def staleness(self) -> float:
        """Seconds since the API server has last said something here: a list, an event or a bookmark."""
        return time.monotonic() - self._heard_at

    @property
    def longest_silence(self) -> float:
        """Seconds of silence that are normal."""
        return 120.0 if self._watches else 2 * self._resync_seconds

    async def run(self) -> None:
        """Stay in step for ever."""
        while True:
            try:
                if self._version is None or self._resync_is_due():
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
                log.warning("%s: %s; trying again in %.1f s", self.source.resource.plural, error, self._pause)
                await asyncio.sleep(self._pause * random.uniform(0.5, 1))  # noqa: S311 - spreads load, no secret
                self._pause = min(LONGEST_PAUSE, self._pause * 2)

    async def list_all(self) -> None:
        """Take in everything there is now, page by page."""
        objects, version = await self._pages()
        self._cache.replace(objects, version, self.source.namespace)
        self._version, self._listed_at = version, time.monotonic()
        self._heard()
        self.synced.set()

    async def _pages(self) -> tuple[list[Json], int]:
        objects: list[Json] = []
        params = {**self.source.params, "limit": str(PAGE)}
        while True:
            page = await self._cluster.list_page(self.source.resource, self.source.namespace, params)
            objects += page.get("items") or []
            following = page["metadata"].get("continue")
            if not following:
                return objects, int(page["metadata"]["resourceVersion"])
            params["continue"] = following

    async def _watch(self) -> None:
        seconds = max(1, round(min(300.0, self._until_resync())))
        params = {**self.source.params, "resourceVersion": str(self._version), "timeoutSeconds": str(seconds)}
        async with self._cluster.watch(self.source.resource, self.source.namespace, params) as events:
            async for event in events:
                self._heard()
                self._take(event)

    def _take(self, event: Json) -> None:
        obj, kind = event["object"], event["type"]
        if kind == "ERROR":
            raise api_error(int(obj.get("code", 500)), str(obj.get("reason", "")), str(obj.get("message", "")))
        self._version = int(obj["metadata"]["resourceVersion"])
        if kind == "BOOKMARK":
            return
        if kind == "DELETED":
            self._cache.forget(obj)
        else:
            self._cache.learn(obj)

    def _heard(self) -> None:
        self._heard_at = time.monotonic()
        self._pause = FIRST_PAUSE

    def _until_resync(self) -> float:
        return max(0.0, self._listed_at + self._resync_seconds - time.monotonic())

    def _resync_is_due(self) -> bool:
        return self._until_resync() <= 0
