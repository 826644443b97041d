"""The bodies of all requests together take a limited part of memory; who comes when it is full waits unread."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import pytest
from starlette.requests import Request

from ecg_shim.security import limits
from ecg_shim.security.limits import Room, TooSlow, read_body

MOST = 100
ANSWERED, LATE = b"answered", b"late"


class Client:
    """A request whose body arrives part by part; `read` are the bytes that were taken of it."""

    def __init__(self, parts: Iterable[int], *, stalls: bool = False, path: str = "/render") -> None:
        self.scope = {"type": "http", "method": "POST", "path": path, "headers": []}
        self._parts = list(parts)
        self._stalls = stalls
        self.read = 0
        self.asked = False
        self.answer: bytes | None = None
        self.end = asyncio.Event()

    async def receive(self) -> dict[str, Any]:
        self.asked = True
        await asyncio.sleep(0)
        if not self._parts:
            await self.end.wait()
            return {"type": "http.disconnect"}
        size = self._parts.pop(0)
        self.read += size
        return {"type": "http.request", "body": b"x" * size, "more_body": bool(self._parts) or self._stalls}

    async def send(self, message: dict[str, Any]) -> None:
        self.answer = message.get("body", self.answer)


class Service:
    """Reads bodies, answers, and says how much it held at most."""

    def __init__(self) -> None:
        self.clients: list[Client] = []
        self.peak = 0
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self._room = Room(self._app, most=MOST)

    def post(self, client: Client) -> asyncio.Task[None]:
        self.clients.append(client)
        return asyncio.create_task(self._room(client.scope, client.receive, client.send))  # type: ignore[arg-type]

    async def _app(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/download":
            await self.may_answer.wait()
            return
        try:
            await read_body(Request(scope, receive), 1000)
            said = ANSWERED
        except TooSlow:
            said = LATE
        self.peak = max(self.peak, sum(one.read for one in self.clients if one.answer is None))
        await self.may_answer.wait()
        await send({"type": "http.response.body", "body": said})


async def a_while() -> None:
    for _ in range(200):
        await asyncio.sleep(0)


def test_who_comes_when_the_room_is_full_waits_unread_until_others_are_answered():
    async def run() -> None:
        service = Service()
        service.may_answer.clear()
        first, second = Client([60, 40]), Client([10])
        tasks = [service.post(first)]
        await a_while()
        tasks.append(service.post(second))
        await a_while()
        assert (first.read, second.asked) == (100, False), "the first is read and not answered yet"
        service.may_answer.set()
        await asyncio.gather(*tasks)
        assert (first.answer, second.answer) == (ANSWERED, ANSWERED)

    asyncio.run(run())


def test_of_many_that_fill_the_room_together_all_are_answered():
    async def run() -> None:
        service = Service()
        clients = [Client([10] * 50) for _ in range(40)]
        async with asyncio.timeout(30):
            await asyncio.gather(*map(service.post, clients))
        assert {client.answer for client in clients} == {ANSWERED}
        assert service.peak <= MOST + 500 + 40 * 10, "the limit, the one that goes on, and a part of each"

    asyncio.run(run())


def test_a_body_larger_than_the_room_is_read_all_the_same():
    async def run() -> None:
        service = Service()
        client = Client([60] * 4)
        async with asyncio.timeout(30):
            await service.post(client)
        assert client.answer == ANSWERED

    asyncio.run(run())


def test_who_makes_no_progress_loses_its_room_and_who_waited_for_it_no_time(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(limits, "BODY_SECONDS", 2.0)

    async def run() -> None:
        service = Service()
        stalled = [Client([50, 10], stalls=True) for _ in range(2)]
        tasks = [service.post(one) for one in stalled]
        await a_while()
        honest = Client([50, 40])
        async with asyncio.timeout(30):
            await asyncio.gather(*tasks, service.post(honest))
        assert [one.answer for one in (*stalled, honest)] == [LATE, LATE, ANSWERED]

    asyncio.run(run())


def test_a_request_without_body_that_lasts_keeps_nobody_waiting():
    async def run() -> None:
        service = Service()
        service.may_answer.clear()
        lasting = service.post(Client([], path="/download"))
        await a_while()
        full = Client([60, 60, 60])
        task = service.post(full)
        await a_while()
        assert full.read == 180
        service.may_answer.set()
        await asyncio.gather(lasting, task)

    asyncio.run(run())


def test_a_client_that_goes_away_gives_its_room_back():
    async def run() -> None:
        service = Service()
        gone = Client([100], stalls=True)
        task = service.post(gone)
        await a_while()
        waiting = Client([10])
        second = service.post(waiting)
        await a_while()
        assert not waiting.asked
        gone.end.set()
        with pytest.raises(limits.ClientDisconnect):
            await task
        await second
        assert waiting.answer == ANSWERED

    asyncio.run(run())
