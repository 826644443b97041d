"""What the operator asks of the API server, and what keeps its writes safe.

Only what cannot have had an effect is tried again by itself; anything else is an error for the caller, who looks again
before acting again. And no write starts, or lasts, beyond the fence: the moment from which another replica may be the
leader.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any

from kubernetes.aio.client import Configuration

from ecg_cluster.client import SECONDS, Call, Client, Json, Knows, Resource, delete_options, knows_nothing
from ecg_cluster.errors import NoAnswer
from ecg_operator.errors import LeaseLost

LONGEST_WAIT = 5.0
TRIES = 3


class Cluster:
    """A connection to an API server. All calls raise ApiError, writes LeaseLost, too.

    Args:
        configuration: where it is and who we are, see `ecg_cluster.client`.
        fence: seconds for which writes are still allowed, asked before each; None for always.
        after_call: told about each request when it is over.

    Attributes:
        client: makes requests without a fence.
    """

    def __init__(
        self,
        configuration: Configuration,
        fence: Callable[[], float] | None = None,
        after_call: Callable[[Call], None] = lambda call: None,
    ) -> None:
        self.client = Client(configuration, "ecg-operator", after_call)
        self.fence = fence

    async def close(self) -> None:
        """Close all connections."""
        await self.client.close()

    async def get(self, resource: Resource, namespace: str | None, name: str) -> Json:
        """Return one object; namespace None for one of no namespace."""
        return await self._read(partial(self.client.call, "get", resource, namespace, name))

    async def list_page(
        self, resource: Resource, namespace: str | None, params: Mapping[str, str], knows: Knows = knows_nothing
    ) -> Json:
        """Return one page of a list, see `Client.list_page`."""
        return await self._read(partial(self.client.list_page, resource, namespace, params, knows))

    async def create(self, resource: Resource, namespace: str, body: Mapping[str, Any]) -> Json:
        """Create an object and return it as stored."""
        return await self._write("create", resource, namespace, body=body)

    async def patch(
        self, resource: Resource, namespace: str, name: str, body: Mapping[str, Any], part: str = ""
    ) -> Json:
        """Apply a JSON merge patch to an object, or to its `part` such as status; return it as stored."""
        return await self._write("patch", resource, namespace, name, body=body, part=part)

    async def delete(self, resource: Resource, namespace: str, name: str, *, uid: str | None = None) -> Json:
        """Delete an object, if `uid` is given only that very one; what it owns goes with it."""
        body = delete_options(**({"preconditions": {"uid": uid}} if uid else {}))
        return await self._write("delete", resource, namespace, name, body=body)

    async def delete_all(
        self, resource: Resource, namespace: str, selector: str, grace_seconds: int | None = None
    ) -> Json:
        """Delete all objects that the label selector chooses; what they own goes with them."""
        body = delete_options(**({} if grace_seconds is None else {"gracePeriodSeconds": grace_seconds}))
        params = {"labelSelector": selector}
        return await self._write("deletecollection", resource, namespace, body=body, params=params)

    def watch(
        self, resource: Resource, namespace: str | None, params: Mapping[str, str], knows: Knows = knows_nothing
    ) -> AbstractAsyncContextManager[AsyncIterator[Json]]:
        """Open a watch, see `Client.watch`."""
        return self.client.watch(resource, namespace, params, knows)

    async def _read(self, ask: Callable[[], Awaitable[Json]]) -> Json:
        for attempt in range(1, TRIES):
            try:
                return await ask()
            except NoAnswer as error:
                if error.retry_after > LONGEST_WAIT:
                    raise
                await asyncio.sleep(max(error.retry_after, 0.2 * attempt))
        return await ask()

    async def _write(self, verb: str, resource: Resource, namespace: str, name: str = "", **rest: Any) -> Json:
        for attempt in range(1, TRIES):
            try:
                return await self.client.call(verb, resource, namespace, name, seconds=self._time_for_write(), **rest)
            except NoAnswer as error:
                # Only 429 says that nothing has happened; after a 5xx or a timeout it may have.
                if error.status != 429 or error.retry_after > LONGEST_WAIT:
                    raise
                await asyncio.sleep(max(error.retry_after, 0.2 * attempt))
        return await self.client.call(verb, resource, namespace, name, seconds=self._time_for_write(), **rest)

    def _time_for_write(self) -> float:
        seconds = SECONDS if self.fence is None else min(SECONDS, self.fence())
        if seconds <= 0:
            raise LeaseLost("nothing is written: the Lease is not ours any more")
        return seconds
