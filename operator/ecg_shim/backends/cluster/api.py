"""What the service asks of the API server.

Every write of the service may be repeated without harm: names are made from job ids, and changes name the version that
they are about. So a write without an answer is tried again, for as long as a client can wait for it.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any

from kubernetes.aio.client import Configuration

from ecg_cluster.client import NODES, Client, Json, Resource, delete_options
from ecg_cluster.errors import NoAnswer, NotFound

SECONDS_TO_WRITE = 30.0
FIELD_MANAGER = "ecg-render-service"
PATIENCE = 20.0
"""A write is tried again for so long: an API server that is replaced is away for a moment, and a client whose job is
refused gives it up."""


Fence = Callable[[], float]
"""Seconds for which the holder of a Lease may write, until shortly before another one may take over."""


class Api:
    """A connection to an API server, for objects of one namespace. All calls raise ApiError.

    Args:
        namespace: where all objects are; nodes, which are in none, are asked for without it.

    Attributes:
        client: makes requests that are not repeated.
    """

    def __init__(self, configuration: Configuration, namespace: str) -> None:
        self.namespace = namespace
        self.client = Client(configuration, "ecg-shim")

    async def close(self) -> None:
        """Close all connections."""
        await self.client.close()

    async def get(self, resource: Resource, name: str) -> Json:
        """Return one object, as the newest it is."""
        return await self.client.call("get", resource, self.namespace, name)

    async def find(self, resource: Resource, name: str) -> Json | None:
        """Return one object; None if it is not there."""
        try:
            return await self.get(resource, name)
        except NotFound:
            return None

    async def page(self, resource: Resource, params: Mapping[str, str]) -> Json:
        """Return one page of a list."""
        return await self.client.call("list", resource, None if resource is NODES else self.namespace, params=params)

    async def create(self, resource: Resource, body: Mapping[str, Any]) -> Json:
        """Create an object; return it as stored."""
        return await self._patiently("create", resource, "", body=body)

    async def replace(self, resource: Resource, body: Mapping[str, Any]) -> Json:
        """Replace an object if it still is the version that `body` names; return it as stored."""
        return await self._patiently("update", resource, body["metadata"]["name"], body=body)

    async def patch(self, resource: Resource, name: str, body: Mapping[str, Any], part: str = "") -> Json:
        """Apply a JSON merge patch to an object, or to its `part` such as status; return it as stored."""
        return await self._patiently("patch", resource, name, body=body, part=part)

    async def apply(
        self, resource: Resource, body: Mapping[str, Any], part: str = "", manager: str = FIELD_MANAGER
    ) -> Json:
        """Apply the fields of an object that are the service's own (server-side apply); return it as stored.

        What another field manager owns stays as it is, whatever version it has by now. What the same one applied
        before, and `body` has not, goes: fields that are written apart have a `manager` of their own.
        """
        params = {"fieldManager": manager, "force": "true"}
        return await self._patiently("apply", resource, body["metadata"]["name"], body=body, part=part, params=params)

    async def delete(self, resource: Resource, name: str, *, uid: str, version: str | None = None) -> None:
        """Delete this very object, if `version` is given only as long as it has not changed."""
        preconditions = {"uid": uid} if version is None else {"uid": uid, "resourceVersion": version}
        body = delete_options(preconditions=preconditions)
        await self.client.call("delete", resource, self.namespace, name, body=body)

    def watch(self, resource: Resource, params: Mapping[str, str]) -> AbstractAsyncContextManager[AsyncIterator[Json]]:
        """Open a watch and give its events as they come, until the server ends it."""
        return self.client.watch(resource, self.namespace, params)

    async def _patiently(self, verb: str, resource: Resource, name: str, **rest: Any) -> Json:
        until = time.monotonic() + PATIENCE
        pause = 0.1
        while True:
            try:
                return await self.client.call(verb, resource, self.namespace, name, seconds=SECONDS_TO_WRITE, **rest)
            except NoAnswer as error:
                pause = max(error.retry_after, pause * random.uniform(1.2, 2.0))  # noqa: S311 - spreads load
                if time.monotonic() + pause > until:
                    raise
                await asyncio.sleep(pause)
