"""The relay ends between any two of its steps, and the next one goes on: nothing lost, nothing out of order."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from ecg_common.addresses import AddressPolicy
from ecg_common.web import checked_client
from ecg_shim.relay import Policy, Relay, Sender, SqliteOutbox
from ecg_shim.relay.policy import Answer
from ecg_shim.relay.records import CallbackRecord, Delivery
from shim_client_backend import ClientBackend, Row
from shim_jobs import ToldBackend

JOB = "5a0c1f0e-3b52-4b8e-9f5e-1d2c3b4a5968"
ANYWHERE = AddressPolicy(schemes=("http",), setting="ECG_CALLBACK_HOSTS", private=True)


class Crashed(Exception):
    """The process is gone."""


class Steps:
    """Counts steps, and ends the process at one of them."""

    def __init__(self, last: int) -> None:
        self.last, self.count, self.at = last, 0, ""

    def step(self, name: str) -> None:
        self.count += 1
        if self.count == self.last:
            self.at = name
            raise Crashed(name)


class CrashingOutbox(SqliteOutbox):
    def __init__(self, file: Path, steps: Steps) -> None:
        super().__init__(file)
        self.steps = steps

    async def save(self, record: CallbackRecord) -> None:
        self.steps.step("before saving")
        await super().save(record)
        self.steps.step("after saving")


class CrashingSender(Sender):
    steps: Steps

    async def send(self, url: str, delivery: Delivery) -> Answer:
        self.steps.step("before sending")
        answer = await super().send(url, delivery)
        self.steps.step("after sending")
        return answer


class World:
    """What outlives a relay: time, jobs, the client's backend, the outbox's file."""

    def __init__(self, folder: Path, client: ClientBackend) -> None:
        self.folder, self.client = folder, client
        self.now = 1_790_000_000.0
        self.backend = ToldBackend(lambda: self.now)

    async def live(self, steps: Steps, script: list[str]) -> None:
        """Run a relay that takes what is left of `script`: states of the job, one every two seconds."""
        async with checked_client(ANYWHERE) as http:
            sender = CrashingSender(http, None, 30.0, lambda: self.now)
            sender.steps = steps
            outbox = CrashingOutbox(self.folder / "callbacks.sqlite", steps)
            relay = Relay(self.backend, outbox, sender, Policy(), None, lambda: self.now)  # type: ignore[arg-type]
            try:
                await relay.load()
                if before := self.backend.cache.get(JOB):
                    await relay.take(before)
                while script:
                    await self.step(relay, script)
                for _ in range(40):
                    await self.pass_time(relay, 2.0)
            finally:
                await asyncio.gather(*relay._sending.values(), return_exceptions=True)
                await outbox.close()

    async def step(self, relay: Relay, script: list[str]) -> None:
        word = script.pop(0)
        version = 100 - len(script)
        state = self.backend.now(word, version, JOB, self.client.callback_url, progress=version)
        await relay.take(state)
        await self.pass_time(relay, 2.0)

    async def pass_time(self, relay: Relay, seconds: float) -> None:
        self.now += seconds
        await relay.deliver_due()


def run(folder: Path, last: int, end: str) -> tuple[Steps, ClientBackend]:
    """Run a job whose relay crashes at step `last`, and is started again; return how far it came and who was told."""
    steps = Steps(last)
    script = ["queued", "queued", "processing", "processing", "processing", end]

    async def both(client: ClientBackend) -> None:
        world = World(folder, client)
        try:
            await world.live(steps, script)
        except Crashed:
            await world.live(Steps(0), script)

    with ClientBackend() as client:
        client.rows[JOB] = Row(JOB, None)
        asyncio.run(both(client))
    return steps, client


@pytest.mark.parametrize("end", ["completed", "cancelled"])
def test_whenever_the_relay_ends_the_next_one_goes_on(tmp_path: Path, end: str) -> None:
    last, crashes = 0, []
    while True:
        last += 1
        folder = tmp_path / str(last)
        folder.mkdir()
        steps, client = run(folder, last, end)
        told = [(one.body["status"], one.body.get("progress")) for one in client.received]
        statuses = [status for status, _ in told]
        assert client.row(JOB).status == end, (last, steps.at, told)
        assert "processing" not in statuses[statuses.index(end) :], (last, steps.at, told)
        progress = [one for status, one in told if status == "processing"]
        assert progress == sorted(progress)
        ends = [one.headers["webhook-id"] for one in client.received if one.body["status"] == end]
        assert len(set(ends)) == 1, "one id, however often it is sent"
        # Twice only if it was sent, and the relay ended before it had noted the answer.
        assert len(ends) == 1 or steps.at in ("after sending", "before saving"), (last, steps.at, told)
        if not steps.at:
            break
        crashes.append(steps.at)
    assert len(crashes) > 15
    assert set(crashes) == {"before saving", "after saving", "before sending", "after sending"}


def test_two_relays_after_another_do_not_repeat_what_was_told(tmp_path: Path) -> None:
    async def twice(client: ClientBackend) -> None:
        world = World(tmp_path, client)
        await world.live(Steps(0), ["queued", "queued", "processing", "completed"])
        for _ in range(3):
            await world.live(Steps(0), [])

    with ClientBackend() as client:
        client.rows[JOB] = Row(JOB, None)
        asyncio.run(twice(client))
    assert [one.body["status"] for one in client.received] == ["processing", "completed"]


def test_a_job_that_ended_while_no_relay_ran_is_told_by_the_next(tmp_path: Path) -> None:
    async def late(client: ClientBackend) -> None:
        world = World(tmp_path, client)
        await world.live(Steps(0), ["queued", "queued", "processing"])
        world.backend.now("failed", 200, JOB, client.callback_url)
        await world.live(Steps(0), [])

    with ClientBackend() as client:
        client.rows[JOB] = Row(JOB, None)
        asyncio.run(late(client))
    assert [one.body["status"] for one in client.received] == ["processing", "failed"]
