"""The one client of the API server: plain JSON objects in and out, typed errors, every call counted.

Two things keep writes safe. Only what cannot have had an effect is tried again by itself; anything else is an error
for the caller, who looks again before acting again. And no write starts, or lasts, beyond the fence: the moment from
which another replica may be the leader.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import urlencode

import aiohttp
from kubernetes.aio.client import ApiClient, Configuration

from ecg_operator.errors import ApiError, LeaseLost, Unavailable, api_error

Json = dict[str, Any]

TIMEOUT = 10.0
LONGEST_WAIT = 5.0
TRIES = 3
GOODBYE = 0.1
"""So long TLS connections take to end after they were closed; without it the event loop ends before them."""
IDLE_WATCH = 100.0
"""A watch that says nothing for so many seconds is dead: API servers send a bookmark each minute."""


class Resource(NamedTuple):
    """A kind of object: where its API is, and its name in the plural."""

    api: str
    plural: str


RENDER_JOBS = Resource("/apis/render.ecg.dev/v1alpha1", "renderjobs")
JOBS = Resource("/apis/batch/v1", "jobs")
PODS = Resource("/api/v1", "pods")
CONFIG_MAPS = Resource("/api/v1", "configmaps")
EVENTS = Resource("/api/v1", "events")
LEASES = Resource("/apis/coordination.k8s.io/v1", "leases")


@dataclass(frozen=True)
class Call:
    """One answered request, for whoever counts."""

    verb: str
    resource: str
    status: int
    seconds: float

    @property
    def writes(self) -> bool:
        """Whether it may have changed something."""
        return self.verb not in ("get", "list", "watch")


class Cluster:
    """A connection to an API server.

    Args:
        configuration: where it is and who we are, see `connection.load_connection`.
        fence: seconds for which writes are still allowed, asked before each; None for always.
        after_call: told about each answered request.
    """

    def __init__(
        self,
        configuration: Configuration,
        fence: Callable[[], float] | None = None,
        after_call: Callable[[Call], None] = lambda call: None,
    ) -> None:
        self.configuration = configuration
        self.fence = fence
        self._after_call = after_call
        self._client = ApiClient(configuration)
        self._client.user_agent = "ecg-operator"

    async def close(self) -> None:
        """Close all connections."""
        await self._client.close()  # type: ignore[no-untyped-call]
        await asyncio.sleep(GOODBYE)

    async def get(self, resource: Resource, namespace: str, name: str) -> Json:
        """Return one object."""
        return await self._read("get", resource, _path(resource, namespace, name), {})

    async def list_page(self, resource: Resource, namespace: str | None, params: Mapping[str, str]) -> Json:
        """Return one page of a list."""
        return await self._read("list", resource, _path(resource, namespace), params)

    async def create(self, resource: Resource, namespace: str, body: Mapping[str, Any], *, fenced: bool = True) -> Json:
        """Create an object and return it as stored."""
        return await self._write("create", resource, _path(resource, namespace), body, fenced=fenced)

    async def replace(
        self, resource: Resource, namespace: str, name: str, body: Mapping[str, Any], *, fenced: bool = True
    ) -> Json:
        """Replace an object and return it as stored."""
        return await self._write("update", resource, _path(resource, namespace, name), body, fenced=fenced)

    async def patch(
        self, resource: Resource, namespace: str, name: str, body: Mapping[str, Any], part: str = ""
    ) -> Json:
        """Apply a JSON merge patch to an object, or to its `part` such as status; return it as stored."""
        return await self._write("patch", resource, _path(resource, namespace, name, part), body)

    async def delete(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        *,
        uid: str | None = None,
        grace_seconds: int | None = None,
        propagation: str = "Background",
    ) -> Json:
        """Delete an object, if `uid` is given only that very one; what it owns goes with it."""
        body = _delete_options(propagation, grace_seconds)
        if uid:
            body["preconditions"] = {"uid": uid}
        return await self._write("delete", resource, _path(resource, namespace, name), body)

    async def delete_all(
        self, resource: Resource, namespace: str, selector: str, grace_seconds: int | None = None
    ) -> Json:
        """Delete all objects that the label selector chooses; what they own goes with them."""
        body, params = _delete_options("Background", grace_seconds), {"labelSelector": selector}
        return await self._write("deletecollection", resource, _path(resource, namespace), body, params=params)

    @asynccontextmanager
    async def watch(
        self, resource: Resource, namespace: str | None, params: Mapping[str, str]
    ) -> AsyncIterator[AsyncIterator[Json]]:
        """Open a watch and give its events as they come, until the server ends it.

        Raises ApiError if it is refused; what breaks later ends as ApiError from the iterator.
        """
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=TIMEOUT, sock_read=IDLE_WATCH)
        query = {"watch": "1", "allowWatchBookmarks": "true", **params}
        answer = await self._send("watch", resource, _path(resource, namespace), query, None, timeout)
        try:
            yield _events(answer)
        finally:
            answer.close()

    async def _read(self, verb: str, resource: Resource, path: str, params: Mapping[str, str]) -> Json:
        for attempt in range(1, TRIES + 1):
            try:
                return await self._exchange(verb, resource, path, params, None, TIMEOUT)
            except Unavailable as error:
                if attempt == TRIES or error.retry_after > LONGEST_WAIT:
                    raise
                await asyncio.sleep(max(error.retry_after, 0.2 * attempt))
        raise AssertionError("unreachable")

    async def _write(
        self,
        verb: str,
        resource: Resource,
        path: str,
        body: Mapping[str, Any],
        params: Mapping[str, str] | None = None,
        fenced: bool = True,
    ) -> Json:
        for attempt in range(1, TRIES + 1):
            seconds = self._time_for_write() if fenced else TIMEOUT
            try:
                return await self._exchange(verb, resource, path, params or {}, body, seconds)
            except Unavailable as error:
                # Only 429 says that nothing has happened; after a 5xx or a timeout it may have.
                if error.status != 429 or attempt == TRIES or error.retry_after > LONGEST_WAIT:
                    raise
                await asyncio.sleep(max(error.retry_after, 0.2 * attempt))
        raise AssertionError("unreachable")

    def _time_for_write(self) -> float:
        seconds = TIMEOUT if self.fence is None else min(TIMEOUT, self.fence())
        if seconds <= 0:
            raise LeaseLost("nothing is written: the Lease is not ours any more")
        return seconds

    async def _exchange(
        self,
        verb: str,
        resource: Resource,
        path: str,
        params: Mapping[str, str],
        body: Mapping[str, Any] | None,
        seconds: float,
    ) -> Json:
        answer = await self._send(verb, resource, path, params, body, aiohttp.ClientTimeout(total=seconds))
        async with answer:
            try:
                parsed: Json = json.loads(await answer.read())
            except (TimeoutError, aiohttp.ClientError, ValueError) as error:
                raise api_error(0, "NoAnswer", f"{verb} {path}: {_words(error)}") from error
            return parsed

    async def _send(
        self,
        verb: str,
        resource: Resource,
        path: str,
        params: Mapping[str, str],
        body: Mapping[str, Any] | None,
        limits: aiohttp.ClientTimeout,
    ) -> aiohttp.ClientResponse:
        """Return an answer with a good status, its body yet to be read; count the request."""
        url = f"{self.configuration.host}{path}" + (f"?{urlencode(params)}" if params else "")
        headers = {"Content-Type": _CONTENT_TYPES.get(verb, "application/json"), **await self._credentials()}
        started, status = time.monotonic(), 0
        try:
            sent = await self._client.rest_client.request(  # type: ignore[no-untyped-call]
                _METHODS[verb], url, headers=headers, body=body, _request_timeout=limits
            )
            status = sent.status
            if status >= 400:
                async with sent.response as refused:
                    raise _refusal(status, verb, path, await refused.read(), refused.headers)
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise api_error(0, "NoAnswer", f"{verb} {path}: {_words(error)}") from error
        finally:
            self._after_call(Call(verb, resource.plural, status, time.monotonic() - started))
        response: aiohttp.ClientResponse = sent.response
        return response

    async def _credentials(self) -> dict[str, str]:
        header = await self.configuration.get_api_key_with_prefix("BearerToken", alias="authorization")
        return {"Authorization": header} if header else {}


_METHODS = {
    "get": "GET", "list": "GET", "watch": "GET", "create": "POST", "update": "PUT", "patch": "PATCH",
    "delete": "DELETE", "deletecollection": "DELETE",
}  # fmt: skip
_CONTENT_TYPES = {"patch": "application/merge-patch+json"}


async def _events(answer: aiohttp.ClientResponse) -> AsyncIterator[Json]:
    try:
        async for line in answer.content:
            yield json.loads(line)
    except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
        raise api_error(0, "WatchBroken", f"the watch broke off: {_words(error)}") from error


def _refusal(status: int, verb: str, path: str, body: bytes, headers: Mapping[str, str]) -> ApiError:
    reason, message = "", body[:300].decode(errors="replace")
    try:
        answer = json.loads(body)
        reason, message = str(answer.get("reason", "")), str(answer.get("message", ""))
    except (ValueError, AttributeError):
        pass  # something between us and the API server has answered in its own way
    try:
        retry_after = max(0.0, float(headers.get("Retry-After", "0")))
    except ValueError:
        retry_after = 1.0
    return api_error(status, reason, message or f"{verb} {path}: HTTP {status}", retry_after)


def _path(resource: Resource, namespace: str | None, name: str = "", part: str = "") -> str:
    parts = [resource.api, *(("namespaces", namespace) if namespace else ()), resource.plural, name, part]
    return "/".join(filter(None, parts))


def _delete_options(propagation: str, grace_seconds: int | None) -> Json:
    options: Json = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": propagation}
    if grace_seconds is not None:
        options["gracePeriodSeconds"] = grace_seconds
    return options


def _words(error: BaseException) -> str:
    return str(error) or type(error).__name__
