"""All objects of one kind as the API server has them: a list, then a watch that goes on from it.

list ─> watch ─> watch … ─┬─ 410, the version is too old ─> list
                          └─ broken, refused ─> a pause ─> watch from where it was

Each list is compared with what was known, so what happened while nobody watched is seen as a change, too.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable
from typing import Any

from ecg_cluster.client import Json, Resource
from ecg_cluster.errors import ApiError, Expired, api_error
from ecg_shim.backends.cluster.api import Api

log = logging.getLogger(__name__)

PAGE = "250"
WATCH_SECONDS = 300
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 5.0
LIVE_SECONDS = 90.0
MOST_GONE = 10_000

Seen = Callable[[str, Json | None], None]
"""Told an object's name and what it is now; None when it is gone."""


class Reflector:
    """Objects of one kind, kept in step.

    Args:
        selector: of labels; empty for all objects of the namespace.
        seen: called at once for each change, with what is kept nowhere else.
    """

    def __init__(self, api: Api, resource: Resource, selector: str, seen: Seen) -> None:
        self._api = api
        self._resource = resource
        self._params = {"labelSelector": selector} if selector else {}
        self._seen = seen
        self._known: dict[str, tuple[str, int]] = {}
        self._gone: dict[str, None] = {}
        self._version: str | None = None
        self._heard_at = float("-inf")
        self._broken = False
        self.synced = asyncio.Event()
        self.problem = ""

    @property
    def live(self) -> bool:
        """Whether changes are heard of within moments now."""
        return not self._broken and time.monotonic() - self._heard_at < LIVE_SECONDS

    @property
    def lost(self) -> bool:
        """Whether nothing was heard for longer than an API server that is replaced is away."""
        return time.monotonic() - self._heard_at >= LIVE_SECONDS

    async def run(self) -> None:
        """Stay in step for ever."""
        pause = FIRST_PAUSE
        while True:
            try:
                if self._version is None:
                    await self._list()
                await self._watch()
                pause = FIRST_PAUSE
                await asyncio.sleep(FIRST_PAUSE)  # a server that ends watches at once is not asked without a pause
            except Expired:
                log.info("%s: the version to go on from is too old, listing again", self._resource.plural)
                self._version = None
                await asyncio.sleep(FIRST_PAUSE)
            except ApiError as error:
                self._broken = True
                self.problem = f"{self._resource.plural} cannot be watched: {error}"
                log.warning("%s; trying again in %.1f s", self.problem, pause)
                await asyncio.sleep(pause * random.uniform(0.5, 1))  # noqa: S311 - spreads load, no secret
                pause = min(LONGEST_PAUSE, pause * 2)

    def learn(self, obj: Json) -> None:
        """Take in an object as a write or read has returned it, unless something newer is known."""
        meta = obj["metadata"]
        name, uid, version = meta["name"], meta["uid"], int(meta["resourceVersion"])
        known = self._known.get(name)
        if uid in self._gone or (known is not None and version <= known[1]):
            return
        self._known[name] = (uid, version)
        self._seen(name, obj)

    def forget(self, name: str, uid: str) -> None:
        """Note that an object is gone."""
        self._gone[uid] = None
        while len(self._gone) > MOST_GONE:
            del self._gone[next(iter(self._gone))]
        known = self._known.get(name)
        if known is not None and known[0] == uid:
            del self._known[name]
            self._seen(name, None)

    async def _list(self) -> None:
        before, there = dict(self._known), set()
        params = {**self._params, "limit": PAGE}
        while True:
            page = await self._api.page(self._resource, params)
            meta, objects = page["metadata"], page.pop("items", None) or []
            # Page by page, and one by one: all at once would be hundreds of megabytes, and seconds without an answer
            # to anybody.
            for obj in objects:
                there.add((obj["metadata"]["name"], obj["metadata"]["uid"]))
                self.learn(obj)
                await asyncio.sleep(0)
            if not meta.get("continue"):
                break
            params["continue"] = meta["continue"]
        version = str(meta["resourceVersion"])
        for name, (uid, known) in before.items():
            # What was learned of while the list was made may be newer than the list.
            if (name, uid) not in there and known <= int(version):
                self.forget(name, uid)
        self._version = version
        self._heard()
        self.synced.set()

    async def _watch(self) -> None:
        params = {**self._params, "resourceVersion": str(self._version), "timeoutSeconds": str(WATCH_SECONDS)}
        async with self._api.watch(self._resource, params) as events:
            self._heard()
            async for event in events:
                self._take(event)
                self._heard()

    def _take(self, event: Json) -> None:
        obj: dict[str, Any] = event["object"]
        if event["type"] == "ERROR":
            raise api_error(int(obj.get("code", 500)), str(obj.get("reason", "")), str(obj.get("message", "")))
        self._version = str(obj["metadata"]["resourceVersion"])
        if event["type"] == "DELETED":
            self.forget(obj["metadata"]["name"], obj["metadata"]["uid"])
        elif event["type"] != "BOOKMARK":
            self.learn(obj)

    def _heard(self) -> None:
        self._heard_at = time.monotonic()
        self._broken = False
        self.problem = ""
