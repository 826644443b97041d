"""Clients of the service, each of which asks for a job every few seconds, until SIGTERM; prints how long each took.

They have a process of their own: one that does other things, too, would measure itself.

python -m bench.polls URL CLIENTS JOB...
"""

from __future__ import annotations

import asyncio
import itertools
import json
import signal
import sys
import time
from collections.abc import Sequence

import httpx

POLL_SECONDS = 5.0


async def poll(url: str, clients: int, names: Sequence[str]) -> list[float]:
    """Return the seconds that answers took, from a request's first byte to the last one of its answer."""
    seconds: list[float] = []
    limits = httpx.Limits(max_connections=clients)
    over = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, over.set)
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=30, limits=limits) as http:

        async def one(number: int) -> None:
            await asyncio.sleep(POLL_SECONDS * number / clients)
            for name in itertools.islice(itertools.cycle(names), number, None):
                began = time.monotonic()
                answer = await http.get(f"/api/render/{name}/status")
                took = time.monotonic() - began
                if answer.status_code == 200:
                    seconds.append(took)
                await asyncio.sleep(max(0.0, POLL_SECONDS - took))

        tasks = [asyncio.create_task(one(number)) for number in range(clients)]
        await over.wait()
        for task in tasks:
            task.cancel()
        failures = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(failure, asyncio.CancelledError) for failure in failures), failures
    return seconds


if __name__ == "__main__":
    json.dump(asyncio.run(poll(sys.argv[1], int(sys.argv[2]), sys.argv[3:])), sys.stdout)
