"""What answers at a pod's address need not be our renderer."""

from __future__ import annotations

import asyncio
import gzip
import tracemalloc
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import httpx
import pytest

from ecg_operator.progress import ProgressPoller
from ecg_operator.world import World

PROGRESS = b'{"framesDone": 3, "framesTotal": 9}'


def bomb() -> bytes:
    """Return an answer of 50 MB, packed into little."""
    return gzip.compress(PROGRESS + b" " * 50_000_000)


@pytest.mark.parametrize(
    ("header", "make_body", "frames"),
    [
        ("", lambda: PROGRESS, 3),
        ("", lambda: b" " * 70_000 + PROGRESS, None),
        ("Content-Encoding: gzip\r\n", bomb, None),
    ],
    ids=["an answer", "too long", "packed"],
)
def test_an_answer_takes_no_more_memory_than_a_good_one(
    header: str, make_body: Callable[[], bytes], frames: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ecg_operator.progress.ANSWER_SECONDS", 60.0)
    body = make_body()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"HTTP/1.1 200 OK\r\n{header}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        await writer.drain()
        writer.close()

    async def ask() -> Any:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        pod = SimpleNamespace(namespace="ns", name="a", value=SimpleNamespace(ip="127.0.0.1"), key=("ns", "clip"))
        world = SimpleNamespace(queue=SimpleNamespace(add=lambda key: None))
        poller = ProgressPoller(cast(World, world), server.sockets[0].getsockname()[1])
        async with server, httpx.AsyncClient(trust_env=False, timeout=60) as client:
            await poller._ask(client, cast(Any, pod))
        return poller.said.get(("ns", "a"))

    tracemalloc.start()
    try:
        said = asyncio.run(ask())
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (said.frames_done if said is not None else None) == frames
    assert peak < 10_000_000
