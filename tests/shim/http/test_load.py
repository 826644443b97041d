"""Fifty clients that post five megabytes at the same moment: each has its answer within a second."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

import ports
from shim_requests import CALLBACK, VIDEO, encoded, large_scenario

ROOT = Path(__file__).parents[3]
CLIENTS = 50
SECONDS = 1.0
CPU_SECONDS_EACH = 0.05
ATTEMPTS = 3
PATIENCE = 30.0


@pytest.fixture
def service() -> Iterator[tuple[psutil.Process, int]]:
    """A service in a process of its own, so that this one's work is not on its account."""
    (port,) = ports.free_ports(1)
    paths = os.pathsep.join(str(ROOT / part) for part in ("operator", "common", "crds", "tests/support"))
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "tests/support/shim_memory.py"), str(port)], env={**os.environ, "PYTHONPATH": paths}
    )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", verify=False) as client:
            _wait_for(client)
        yield psutil.Process(process.pid), port
    finally:
        process.terminate()
        process.wait(10)


def test_fifty_posts_of_five_megabytes_are_answered_within_a_second_each(service):
    """Answered means: from the last byte of the body on; carrying it here is not the service's doing.

    What the machine itself needs to carry the same bytes is measured by a server that only reads them, and allowed on
    top; and where other programs leave this one a third of the time only, a second is three. They may come in the
    middle of an attempt, so the best of three counts.
    """
    process, port = service
    scenario = encoded(large_scenario())
    assert len(scenario) > 4_500_000
    carried = max(asyncio.run(_with_reader(_bodies(scenario, "carried"))))
    over = []
    for attempt in range(ATTEMPTS):
        share = _share_of_a_processor()
        before = process.cpu_times()
        slowest = max(asyncio.run(_post_all(port, _bodies(scenario, f"attempt-{attempt}"))))
        after = process.cpu_times()
        used = (after.user + after.system - before.user - before.system) / CLIENTS
        assert used < CPU_SECONDS_EACH
        over.append(slowest - SECONDS / min(share, _share_of_a_processor()) - carried)
        if over[-1] < 0:
            break
    assert min(over) < 0, f"in s, too slow by {over}; carrying alone took {carried:.2f} s"


def _share_of_a_processor() -> float:
    """Return how much of a processor a busy process gets now, 0 to 1."""
    wall, cpu = time.monotonic(), time.process_time()
    while time.process_time() - cpu < 0.2:
        pass
    return min(1.0, (time.process_time() - cpu) / (time.monotonic() - wall))


def _bodies(scenario: bytes, name: str) -> list[bytes]:
    return [_body(f"{name}-{number}", scenario) for number in range(CLIENTS)]


def _body(job_id: str, scenario: bytes) -> bytes:
    start = f'{{"jobId": "{job_id}", "videoUrl": "{VIDEO}", "scenario": '.encode()
    return start + scenario + f', "options": {{}}, "callbackUrl": "{CALLBACK}"}}'.encode()


async def _with_reader(bodies: list[bytes]) -> list[float]:
    async def read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(int(head.partition(b"Content-Length: ")[2].split()[0]))
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(read, "127.0.0.1", 0)
    async with server:
        return await _post_all(server.sockets[0].getsockname()[1], bodies)


async def _post_all(port: int, bodies: list[bytes]) -> list[float]:
    return await asyncio.gather(*(_post(port, body) for body in bodies))


async def _post(port: int, body: bytes) -> float:
    """Post a body; return the seconds from its last byte to the answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"POST /render HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body))
    writer.write(body)
    await writer.drain()
    sent = time.monotonic()
    async with asyncio.timeout(PATIENCE):
        assert (await reader.readline()) == b"HTTP/1.1 200 OK\r\n"
    answered = time.monotonic()
    writer.close()
    return answered - sent


def _wait_for(client: httpx.Client) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            assert client.get("/health").status_code == 200
            return
        except httpx.ConnectError:
            assert time.monotonic() < deadline
            time.sleep(0.05)
