"""Stands between an operator and the API server and does what networks and API servers do on bad days.

async with FaultyApi(plane.kubeconfig) as api:
    api.refuse = lambda method, path: 500 if method == "POST" and path.endswith("/jobs") else None
    async with site.operator(kubeconfig=api.kubeconfig): ...
    api.cut_watches()
"""

from __future__ import annotations

import asyncio
import json
import ssl
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from types import TracebackType
from typing import Any

import aiohttp
from aiohttp import web

PASSED_ON = ("Content-Type", "Accept")


@dataclass(frozen=True)
class Request:
    """One request that came by."""

    method: str
    path: str
    watch: bool


class FaultyApi:
    """A proxy in front of an API server, and the faults that it makes.

    Attributes:
        refuse: returns the HTTP status to answer a request with instead of passing it on, or None.
        delay: seconds by which watch events come late.
        repeat: each watch event comes twice.
        expired: watches that start from a version are told that it is too old.
        broken: so many watches of RenderJobs are told, by an event, that the server has failed.
        clocks: seconds by which the clocks of the API servers that answer here are ahead. Each object is made by one of
            them, deleted by one, and stamped accordingly; they take turns in answering. So are those of nodes, one for
            each pod, and of controllers, one for each event. Empty: one server, in time.
        requests: all that came by.
        kubeconfig: a file that leads through here.
    """

    def __init__(self, kubeconfig: Path) -> None:
        self.refuse: Callable[[str, str], int | None] = lambda method, path: None
        self.delay = 0.0
        self.repeat = False
        self.expired = 0
        self.broken = 0
        self.clocks: tuple[float, ...] = ()
        self.requests: list[Request] = []
        config = json.loads(kubeconfig.read_text())
        self._upstream = config["clusters"][0]["cluster"]["server"]
        self._trust = ssl.create_default_context(cafile=config["clusters"][0]["cluster"]["certificate-authority"])
        self._token = config["users"][0]["user"]["token"]
        self._config = config
        self._folder = tempfile.TemporaryDirectory()
        self.kubeconfig = Path(self._folder.name) / "kubeconfig"
        self._watches: set[asyncio.Task[None]] = set()
        application = web.Application(client_max_size=8 * 2**20)
        application.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)

    async def __aenter__(self) -> FaultyApi:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=self._trust, limit=0), headers={"Authorization": f"Bearer {self._token}"}
        )
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        port = self._runner.addresses[0][1]
        self._config["clusters"][0]["cluster"] = {"server": f"http://127.0.0.1:{port}"}
        self.kubeconfig.write_text(json.dumps(self._config))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cut_watches()
        await self._runner.cleanup()
        await self._session.close()
        await asyncio.sleep(0.1)
        self._folder.cleanup()

    def open_watches(self) -> int:
        """Return how many watches are open."""
        return sum(not task.done() for task in self._watches)

    def cut_watches(self) -> None:
        """Break off all open watches."""
        for task in self._watches:
            task.cancel()

    def count(self, method: str = "", ending: str = "") -> int:
        """Return how many requests but watches came by, of a method and with an end of the path if given."""
        return sum(
            not request.watch and request.method.startswith(method) and request.path.endswith(ending)
            for request in self.requests
        )

    def tally(self) -> Counter[str]:
        """Return how often each kind of request but watches came by."""
        return Counter(f"{r.method} {r.path.rsplit('/', 1)[-1]}" for r in self.requests if not r.watch)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        watch = request.query.get("watch") in ("1", "true")
        self.requests.append(Request(request.method, request.path, watch))
        status = self.refuse(request.method, request.path)
        if status is not None:
            return _status(status)
        if watch and self.expired > 0:
            self.expired -= 1
            return _error_event(410, "Expired", "too old resource version")
        if watch and self.broken > 0 and request.path.endswith("/renderjobs"):
            self.broken -= 1
            return _error_event(500, "InternalError", "etcdserver: no leader")
        headers = {name: request.headers[name] for name in PASSED_ON if name in request.headers}
        try:
            async with self._session.request(
                request.method,
                f"{self._upstream}{request.path_qs}",
                data=await request.read() or None,
                headers=headers,
                timeout=aiohttp.ClientTimeout(total=None),
            ) as answer:
                if watch and answer.status == 200:
                    return await self._stream(request, answer)
                kept = {"Retry-After": answer.headers["Retry-After"]} if "Retry-After" in answer.headers else {}
                return web.Response(
                    body=self._stamped(await answer.read()),
                    status=answer.status,
                    content_type="application/json",
                    headers=kept | self._date(),
                )
        except aiohttp.ClientError:
            if request.transport is not None:
                request.transport.abort()
            raise

    async def _stream(self, request: web.Request, answer: aiohttp.ClientResponse) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"} | self._date())
        await response.prepare(request)
        task = asyncio.create_task(self._pass_on(answer, response))
        self._watches.add(task)
        with suppress(asyncio.CancelledError, ConnectionError, aiohttp.ClientError):
            await task
        self._watches.discard(task)
        return response

    async def _pass_on(self, answer: aiohttp.ClientResponse, response: web.StreamResponse) -> None:
        waiting: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        reading = asyncio.create_task(_read_into(answer, waiting))
        try:
            while True:
                came, line = await waiting.get()
                if not line:
                    return
                await asyncio.sleep(max(0.0, came + self.delay - time.monotonic()))
                for _ in range(2 if self.repeat else 1):
                    await response.write(self._stamped(line))
        finally:
            reading.cancel()
            await asyncio.wait([reading])

    def _date(self) -> dict[str, str]:
        if not self.clocks:
            return {}
        ahead = self.clocks[len(self.requests) % len(self.clocks)]
        return {"Date": format_datetime(datetime.now(UTC) + timedelta(seconds=ahead), usegmt=True)}

    def _stamped(self, body: bytes) -> bytes:
        """Return an object, a list or a watch event with the times that the servers' clocks would have given them."""
        if not self.clocks or not body.startswith(b"{"):
            return body
        told = json.loads(body)
        for obj in told.get("items") or [told.get("object", told)]:
            _stamp(obj.get("metadata") or {}, self.clocks)
            _stamp_as_others(obj, self.clocks)
        return json.dumps(told).encode() + b"\n"


def _stamp(meta: dict[str, Any], clocks: tuple[float, ...]) -> None:
    for event in ("creationTimestamp", "deletionTimestamp"):
        if meta.get(event):
            server = zlib.crc32(f"{event} {meta.get('uid')}".encode()) % len(clocks)
            meta[event] = _later(meta[event], clocks[server])
    for number, fields in enumerate(meta.get("managedFields") or ()):
        if fields.get("time"):
            fields["time"] = _later(fields["time"], clocks[number % len(clocks)])


def _stamp_as_others(obj: dict[str, Any], clocks: tuple[float, ...]) -> None:
    """Do what kubelets do to the times of containers, and controllers to those of events."""
    ahead = clocks[zlib.crc32(f"stamp {(obj.get('metadata') or {}).get('uid')}".encode()) % len(clocks)]
    stamped = [state for one in _containers(obj) for state in (one.get("state") or {}).values()]
    if "involvedObject" in obj:
        stamped.append(obj)
    for fields in stamped:
        for name in ("startedAt", "finishedAt", "firstTimestamp", "lastTimestamp"):
            if fields.get(name):
                fields[name] = _later(fields[name], ahead)


def _containers(obj: dict[str, Any]) -> list[dict[str, Any]]:
    status = obj.get("status")
    return (status.get("containerStatuses") or []) if isinstance(status, dict) else []


def _later(time: str, seconds: float) -> str:
    return (datetime.fromisoformat(time) + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


async def _read_into(answer: aiohttp.ClientResponse, waiting: asyncio.Queue[tuple[float, bytes]]) -> None:
    try:
        async for line in answer.content:
            waiting.put_nowait((time.monotonic(), line))
    except (aiohttp.ClientError, ConnectionError):
        pass  # the API server has ended the watch in its own way: so do we
    waiting.put_nowait((0.0, b""))


def _status(code: int) -> web.Response:
    reasons = {
        401: "Unauthorized",
        403: "Forbidden",
        409: "Conflict",
        422: "Invalid",
        429: "TooManyRequests",
        500: "InternalError",
    }
    body = {
        "kind": "Status",
        "status": "Failure",
        "code": code,
        "reason": reasons.get(code, ""),
        "message": "a bad day",
    }
    return web.json_response(body, status=code)


def _error_event(code: int, reason: str, message: str) -> web.Response:
    status = {"kind": "Status", "code": code, "reason": reason, "message": message}
    return web.Response(text=json.dumps({"type": "ERROR", "object": status}) + "\n", content_type="application/json")
