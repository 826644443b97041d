"""Who waits for whom: a host that is slow delays its own callbacks only."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from ecg_shim.relay import Policy, Relay, Sender, SqliteOutbox
from ecg_shim.relay.policy import Answer
from ecg_shim.relay.records import Delivery
from shim_jobs import ToldBackend

NOW = 1_790_000_000.0
AT_HOST, AT_DOMAIN, IN_ALL = 4, 16, 64
SECONDS = 60.0


class HeldSender(Sender):
    """Has no network: answers `200` once a host is let go.

    Attributes:
        begun: jobs in the order in which they were sent.
        most: callbacks on their way at the same time, by host; under "" of all hosts.
    """

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.most: Counter[str] = Counter()
        self.hosts: dict[str, asyncio.Event] = {}
        self._now: Counter[str] = Counter()

    async def send(self, url: str, delivery: Delivery) -> Answer:
        host = urlsplit(url).hostname or ""
        self.begun.append(str(delivery.payload["job_id"]))
        for name in (host, ""):
            self._now[name] += 1
            self.most[name] = max(self.most[name], self._now[name])
        try:
            await self.hosts.setdefault(host, asyncio.Event()).wait()
        finally:
            self._now.subtract([host, ""])
        return Answer(200)

    def let_go(self, host: str) -> None:
        """Let a host answer, from now on at once."""
        self.hosts.setdefault(host, asyncio.Event()).set()


class Bench:
    """A relay whose time stands still until a test moves it."""

    def __init__(self, folder: Path) -> None:
        self.now = NOW
        self.backend = ToldBackend(lambda: self.now)
        self.sender = HeldSender()
        outbox = SqliteOutbox(folder / "callbacks.sqlite")
        policy = Policy(hold=0, hold_terminal=0, progress_every=100)
        self.relay = Relay(self.backend, outbox, self.sender, policy, clock=lambda: self.now)  # type: ignore[arg-type]

    async def tell(self, job_id: str, url: str, status: str = "processing", version: int = 1) -> None:
        """Let a job be in a state whose callback is due a moment after that of the one before."""
        self.now += 0.001
        await self.relay.take(self.backend.now(status, version, job_id, url))

    async def begun(self, number: int) -> None:
        """Wait until so many callbacks are on their way or told."""
        deadline = time.monotonic() + SECONDS
        while True:
            await asyncio.sleep(0.02)  # also to see that there are no more
            if len(self.sender.begun) >= number:
                break
            assert time.monotonic() < deadline
        assert len(self.sender.begun) == number


def with_relay(folder: Path, work: Callable[[Bench], Awaitable[None]]) -> None:
    async def run() -> None:
        bench = Bench(folder)
        async with bench.relay.running():
            await work(bench)

    asyncio.run(run())


def test_a_host_that_does_not_answer_keeps_no_other_waiting(tmp_path: Path) -> None:
    async def work(bench: Bench) -> None:
        slow = [f"slow-{number:02}" for number in range(20)]
        for job_id in slow:
            await bench.tell(job_id, f"http://slow.example/callback/{job_id}")
        await bench.begun(AT_HOST)
        bench.sender.let_go("quick.example")
        quick = [f"quick-{number}" for number in range(6)]
        for job_id in quick:
            await bench.tell(job_id, "http://quick.example/callback")
        await bench.begun(AT_HOST + len(quick))
        bench.sender.let_go("slow.example")
        await bench.begun(len(slow) + len(quick))
        # Those that begin together may overtake each other on their way to the disk; nobody else does.
        told = [slow.index(job_id) for job_id in bench.sender.begun if job_id in slow]
        assert all(abs(place - number) < AT_HOST for place, number in enumerate(told)), told
        assert bench.sender.most["slow.example"] == AT_HOST

    with_relay(tmp_path, work)


SAME_HOST = ["http://user:{}@Slow.example/", "http://slow.example:80/{}", "http://slow.example?job={}"]


@pytest.mark.parametrize("url", SAME_HOST)
def test_a_host_is_the_same_under_all_its_spellings(tmp_path: Path, url: str) -> None:
    async def work(bench: Bench) -> None:
        for number in range(AT_HOST + 2):
            await bench.tell(f"job-{number}", url.format(number) if number % 2 else "http://slow.example/")
        await bench.begun(AT_HOST)
        bench.sender.let_go("slow.example")
        await bench.begun(AT_HOST + 2)

    with_relay(tmp_path, work)


def test_all_hosts_together_have_a_limit_too(tmp_path: Path) -> None:
    async def work(bench: Bench) -> None:
        hosts = [f"host-{number}.example.com" for number in range(IN_ALL // AT_HOST + 2)]
        hosts = [host.replace("example", f"example-{number // 4}") for number, host in enumerate(hosts)]
        for number in range(AT_HOST):
            for host in hosts:
                await bench.tell(f"{host}-{number}", f"https://{host}/callback")
        await bench.begun(IN_ALL)
        for host in hosts:
            bench.sender.let_go(host)
        await bench.begun(len(hosts) * AT_HOST)
        assert bench.sender.most[""] == IN_ALL

    with_relay(tmp_path, work)


def test_a_domain_of_which_any_name_is_a_host_keeps_no_other_waiting(tmp_path: Path) -> None:
    async def work(bench: Bench) -> None:
        slow = [f"slow-{number}" for number in range(2 * IN_ALL)]
        for number, job_id in enumerate(slow):
            await bench.tell(job_id, f"https://{number % 40}.slow.example/callback")
        await bench.begun(AT_DOMAIN)
        bench.sender.let_go("quick.example")
        await bench.tell("quick", "https://quick.example/callback")
        await bench.begun(AT_DOMAIN + 1)
        for number in range(40):
            bench.sender.let_go(f"{number}.slow.example")
        await bench.begun(len(slow) + 1)
        assert bench.sender.most[""] == AT_DOMAIN + 1
        assert not bench.relay._held

    with_relay(tmp_path, work)


def test_those_that_need_not_be_sent_yet_after_all_give_their_places_to_the_next(tmp_path: Path) -> None:
    async def work(bench: Bench) -> None:
        jobs = [f"job-{number}" for number in range(2 * AT_HOST + 1)]
        for job_id in jobs:
            await bench.tell(job_id, "http://slow.example/callback")
        await bench.begun(AT_HOST)
        records = bench.relay._records
        for job_id in jobs[AT_HOST:-1]:
            waiting = records[job_id].waiting
            assert waiting
            later = waiting.model_copy(update={"due": bench.now + 1000})
            records[job_id] = records[job_id].model_copy(update={"waiting": later})
        bench.sender.let_go("slow.example")
        await bench.begun(AT_HOST + 1)
        assert bench.sender.begun[-1] == jobs[-1]
        bench.now += 1000
        bench.relay._wake.set()
        await bench.begun(len(jobs))

    with_relay(tmp_path, work)
