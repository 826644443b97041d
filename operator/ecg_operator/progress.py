"""Asks running pods how far they are. A pod that does not answer is no error: its Job says how it ends."""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass

import httpx
from pydantic import ValidationError

from ecg_api.names import PROGRESS_PORT
from ecg_api.pods import PodProgress
from ecg_cluster.cache import Record
from ecg_operator.model import PodView
from ecg_operator.world import World

log = logging.getLogger(__name__)

POLL_SECONDS = 2.0
ANSWER_SECONDS = 1.0
AT_A_TIME = 32
LONGEST_ANSWER = 64 * 1024
LONGEST_PAUSE = 30.0

Place = tuple[str, str]


@dataclass
class _Silence:
    """A pod that did not answer: how often in a row, and when to ask again."""

    times: int = 0
    until: float = 0.0


class ProgressPoller:
    """Keeps what pods last said in `said`, by namespace and name.

    Args:
        port: where pods answer.
    """

    def __init__(
        self,
        world: World,
        port: int = PROGRESS_PORT,
        poll_seconds: float = POLL_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.said: dict[Place, PodProgress] = {}
        self._world = world
        self._port = port
        self._poll_seconds = poll_seconds
        self._clock = clock
        self._silent: dict[Place, _Silence] = {}
        self._gate = asyncio.Semaphore(AT_A_TIME)

    async def run(self) -> None:
        """Ask all running pods every `poll_seconds`, for ever."""
        timeout = httpx.Timeout(ANSWER_SECONDS)
        limits = httpx.Limits(max_connections=AT_A_TIME, max_keepalive_connections=0)
        # No proxy from the environment: pods are reached directly or not at all. And no authorities, which take a third
        # of a second to load, while nothing else gets its turn: pods speak plain HTTP.
        bare = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        async with httpx.AsyncClient(timeout=timeout, limits=limits, trust_env=False, verify=bare) as client:
            while True:
                started = self._clock()
                await self.poll(client)
                await asyncio.sleep(max(0.1, self._poll_seconds - (self._clock() - started)))

    async def poll(self, client: httpx.AsyncClient) -> None:
        """Ask all running pods once."""
        running = {
            (record.namespace, record.name): record
            for record in self._world.pods.records()
            if record.value.phase == "Running" and record.value.ip and not record.value.deleting
        }
        for places in (self.said, self._silent):
            for place in places.keys() - running.keys():
                del places[place]
        now = self._clock()
        asked = [record for place, record in running.items() if self._silent.get(place, _Silence()).until <= now]
        await asyncio.gather(*(self._ask(client, record) for record in asked))

    async def _ask(self, client: httpx.AsyncClient, record: Record[PodView]) -> None:
        place = (record.namespace, record.name)
        async with self._gate:
            progress = await self._answer(client, record.value.ip)
        if progress is None:
            silence = self._silent.setdefault(place, _Silence())
            silence.times += 1
            silence.until = self._clock() + min(LONGEST_PAUSE, self._poll_seconds * 2 ** min(silence.times - 1, 10))
            return
        self._silent.pop(place, None)
        if self.said.get(place) != progress:
            self.said[place] = progress
            self._world.queue.add(record.key)

    async def _answer(self, client: httpx.AsyncClient, ip: str) -> PodProgress | None:
        host = f"[{ip}]" if ":" in ip else ip
        try:
            async with asyncio.timeout(2 * ANSWER_SECONDS):  # httpx limits each read, not the whole
                async with client.stream("GET", f"http://{host}:{self._port}/progress") as answer:
                    if answer.status_code != httpx.codes.OK:
                        return None
                    return PodProgress.model_validate_json(await _bounded(answer))
        except (TimeoutError, httpx.HTTPError, ValidationError) as error:
            log.debug("%s does not say how far it is: %s", ip, error or type(error).__name__)
            return None


async def _bounded(answer: httpx.Response) -> bytes:
    content = b""
    async for part in answer.aiter_raw():  # who packs is not asked to: a few bytes may unpack to all of the memory
        content += part
        if len(content) > LONGEST_ANSWER:
            break
    return content[:LONGEST_ANSWER]  # cut off, so that it is no JSON any more
