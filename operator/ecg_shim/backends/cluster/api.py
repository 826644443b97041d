"""Requests to the API server: plain JSON objects in and out, a time limit on each, errors of few kinds.

Every write of the service may be repeated without harm: names are made from job ids, and changes name the version that
they are about. So a write without an answer is tried again, for as long as a client can wait for it.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

import aiohttp
from kubernetes.aio.client import ApiClient, Configuration

from ecg_shim.backends.cluster.errors import ApiError, NoAnswer, api_error

Json = dict[str, Any]

SECONDS = 10.0
SECONDS_TO_WRITE = 30.0
PATIENCE = 20.0
"""A write is tried again for so long: an API server that is replaced is away for a moment, and a client whose job is
refused gives it up."""
GOODBYE = 0.1
"""So long TLS connections take to end after they were closed; without it the event loop ends before them."""
IDLE_WATCH = 100.0
"""A watch that says nothing for so many seconds is dead: API servers send a bookmark each minute."""


class Resource(NamedTuple):
    """A kind of object: where its API is, and its name in the plural."""

    api: str
    plural: str


RENDER_JOBS = Resource("/apis/render.ecg.dev/v1alpha1", "renderjobs")
CONFIG_MAPS = Resource("/api/v1", "configmaps")
NODES = Resource("/api/v1", "nodes")
LEASES = Resource("/apis/coordination.k8s.io/v1", "leases")


class Api:
    """A connection to an API server, for objects of one namespace.

    Args:
        namespace: where all objects are; nodes, which are in none, are asked for without it.
    """

    def __init__(self, configuration: Configuration, namespace: str) -> None:
        self.namespace = namespace
        self._configuration = configuration
        self._client = ApiClient(configuration)
        self._client.user_agent = "ecg-shim"

    async def close(self) -> None:
        """Close all connections."""
        await self._client.close()  # type: ignore[no-untyped-call]
        await asyncio.sleep(GOODBYE)

    async def get(self, resource: Resource, name: str) -> Json:
        """Return one object, as the newest it is."""
        return await self._request("GET", self._path(resource, name))

    async def find(self, resource: Resource, name: str) -> Json | None:
        """Return one object; None if it is not there."""
        try:
            return await self.get(resource, name)
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    async def page(self, resource: Resource, params: Mapping[str, str]) -> Json:
        """Return one page of a list."""
        return await self._request("GET", self._path(resource), params=params)

    async def create(self, resource: Resource, body: Mapping[str, Any]) -> Json:
        """Create an object; return it as stored."""
        return await self._patiently("POST", self._path(resource), body)

    async def replace(self, resource: Resource, body: Mapping[str, Any]) -> Json:
        """Replace an object if it still is the version that `body` names; return it as stored."""
        return await self._patiently("PUT", self._path(resource, body["metadata"]["name"]), body)

    async def patch(self, resource: Resource, name: str, body: Mapping[str, Any], part: str = "") -> Json:
        """Apply a JSON merge patch to an object, or to its `part` such as status; return it as stored."""
        return await self._patiently("PATCH", self._path(resource, name, part), body)

    async def delete(self, resource: Resource, name: str, *, uid: str, version: str | None = None) -> None:
        """Delete this very object, if `version` is given only as long as it has not changed."""
        preconditions = {"uid": uid} if version is None else {"uid": uid, "resourceVersion": version}
        options = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background"}
        await self._request("DELETE", self._path(resource, name), {**options, "preconditions": preconditions})

    async def once(self, method: str, resource: Resource, name: str, body: Mapping[str, Any]) -> Json:
        """Make a write that must not be repeated by itself."""
        return await self._request(method, self._path(resource, name), body)

    @asynccontextmanager
    async def watch(self, resource: Resource, params: Mapping[str, str]) -> AsyncIterator[AsyncIterator[Json]]:
        """Open a watch and give its events as they come, until the server ends it. Raises ApiError."""
        limits = aiohttp.ClientTimeout(total=None, sock_connect=SECONDS, sock_read=IDLE_WATCH)
        query = {"watch": "1", "allowWatchBookmarks": "true", **params}
        answer = await self._send("GET", self._path(resource), query, None, limits)
        try:
            yield _events(answer)
        finally:
            answer.close()

    async def _patiently(self, method: str, path: str, body: Mapping[str, Any]) -> Json:
        until = time.monotonic() + PATIENCE
        pause = 0.1
        while True:
            try:
                return await self._request(method, path, body, seconds=SECONDS_TO_WRITE)
            except NoAnswer as error:
                pause = max(error.retry_after, pause * random.uniform(1.2, 2.0))  # noqa: S311 - spreads load
                if time.monotonic() + pause > until:
                    raise
                await asyncio.sleep(pause)

    async def _request(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        params: Mapping[str, str] | None = None,
        seconds: float = SECONDS,
    ) -> Json:
        answer = await self._send(method, path, params or {}, body, aiohttp.ClientTimeout(total=seconds))
        async with answer:
            try:
                parsed: Json = json.loads(await answer.read())
            except (TimeoutError, aiohttp.ClientError, ValueError) as error:
                raise api_error(0, "", f"{method} {path}: {_words(error)}") from error
            return parsed

    async def _send(
        self,
        method: str,
        path: str,
        params: Mapping[str, str],
        body: Mapping[str, Any] | None,
        limits: aiohttp.ClientTimeout,
    ) -> aiohttp.ClientResponse:
        """Return an answer with a good status, its body yet to be read."""
        url = f"{self._configuration.host}{path}" + (f"?{urlencode(params)}" if params else "")
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        try:
            headers = {"Content-Type": kind, **await self._credentials()}
            sent = await self._client.rest_client.request(  # type: ignore[no-untyped-call]
                method, url, headers=headers, body=body, _request_timeout=limits
            )
            if sent.status >= 400:
                async with sent.response as refused:
                    raise _refusal(sent.status, method, path, await refused.read(), refused.headers)
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise api_error(0, "", f"{method} {path}: {_words(error)}") from error
        response: aiohttp.ClientResponse = sent.response
        return response

    async def _credentials(self) -> dict[str, str]:
        header = await self._configuration.get_api_key_with_prefix("BearerToken", alias="authorization")
        return {"Authorization": header} if header else {}

    def _path(self, resource: Resource, name: str = "", part: str = "") -> str:
        place = () if resource is NODES else ("namespaces", self.namespace)
        return "/".join(filter(None, (resource.api, *place, resource.plural, quote(name), part)))


async def _events(answer: aiohttp.ClientResponse) -> AsyncIterator[Json]:
    # Lines may be longer than what aiohttp reads as a line: a RenderJob can hold 64 KiB of scenario.
    rest = b""
    try:
        async for part in answer.content.iter_any():
            *lines, rest = (rest + part).split(b"\n")
            for line in lines:
                if line:
                    yield json.loads(line)
    except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
        raise api_error(0, "", f"the watch broke off: {_words(error)}") from error


def _refusal(status: int, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> ApiError:
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
    return api_error(status, reason, message or f"{method} {path}: HTTP {status}", retry_after)


def _words(error: BaseException) -> str:
    return str(error) or type(error).__name__
