"""A relay ends when it is told to, whatever happens at that moment."""

from __future__ import annotations

import asyncio

from ecg_common.addresses import AddressPolicy
from ecg_common.web import checked_client
from ecg_shim.relay import Relay, Sender
from ecg_shim.relay.records import CallbackRecord
from shim_jobs import ToldBackend

JOB = "5a0c1f0e-3b52-4b8e-9f5e-1d2c3b4a5968"
NOWHERE = AddressPolicy(schemes=("https",), setting="ECG_CALLBACK_HOSTS")


class Memory:
    """An outbox whose answers take no turn of the event loop."""

    def __init__(self) -> None:
        self.records: dict[str, CallbackRecord] = {}

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def get(self, job_id: str) -> CallbackRecord | None:
        return self.records.get(job_id)

    async def save(self, record: CallbackRecord) -> None:
        self.records[record.job_id] = record

    async def unfinished(self) -> list[CallbackRecord]:
        return []

    async def dead(self) -> list[CallbackRecord]:
        return []

    async def count_dead(self) -> int:
        return 0

    async def ask_for_replay(self, job_id: str) -> None: ...

    async def take_replays(self) -> list[str]:
        return []

    async def forget(self, before: float) -> None: ...


def test_it_ends_also_when_something_to_send_comes_in_the_same_moment() -> None:
    async def run() -> None:
        backend = ToldBackend()
        async with checked_client(NOWHERE) as http:
            relay = Relay(backend, Memory(), Sender(http))  # type: ignore[arg-type]
            await relay.start()
            await relay.take(backend.now("processing", 1, JOB, "http://backend.example/callback"))
            await asyncio.sleep(0.1)
            await relay.take(backend.now("processing", 2, JOB, "http://backend.example/callback"))
            async with asyncio.timeout(20):  # it would wait for ever
                await relay.close()

    asyncio.run(run())
