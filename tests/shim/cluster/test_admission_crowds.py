"""Hosts that accept connections and are silent keep nobody waiting but their own jobs."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest

from ecg_api.failures import Failure, FailureCode
from ecg_shim.admission import AT_ONCE, PER_DOMAIN, PER_HOST, Places, VideoAdmission
from ecg_shim.backends.cluster.reconciler import Admissions
from ecg_shim.backends.cluster.tickets import Stage, Ticket
from ecg_shim.domains import domain_of
from ecg_shim.intake import video_policy
from ecg_shim.model import RenderOrder, RequestOptions
from shim_cluster import eventually

NOW = datetime(2026, 3, 1, tzinfo=UTC)
ANYWHERE = video_policy(hosts=(), private=True)


def order(job_id: str, url: str) -> RenderOrder:
    return RenderOrder(job_id, url, b"", RequestOptions(), "", "")


def ticket(name: str, submitted_at: datetime = NOW) -> Ticket:
    return Ticket(job_id=name, stage=Stage.WAITING, submitted_at=submitted_at, changed_at=NOW, video_url="s3://b/k.mp4")


@asynccontextmanager
async def silent_host() -> AsyncIterator[tuple[str, Callable[[], int]]]:
    """A host that accepts connections and says nothing; and how many it has had."""
    had = 0

    async def silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal had
        had += 1
        await reader.read()
        writer.close()

    server = await asyncio.start_server(silence, "127.0.0.1", 0)
    try:
        yield f"http://localhost:{server.sockets[0].getsockname()[1]}/v.mp4", lambda: had
    finally:
        server.close()


def test_a_good_job_does_not_wait_behind_hundreds_whose_host_is_silent() -> None:
    async def run() -> None:
        admit = VideoAdmission(ANYWHERE, seconds=600)
        async with silent_host() as (url, had):
            waiting = [asyncio.create_task(admit(order(f"bad{number}", url))) for number in range(320)]
            await eventually(lambda: had() == PER_HOST)
            good = await asyncio.wait_for(admit(order("good", "s3://b/k.mp4")), 60)
            assert isinstance(good, RenderOrder)
            assert had() == PER_HOST, "a host is asked for a few jobs at a time"
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)

    asyncio.run(run())


def test_what_is_waited_for_a_place_is_not_held_against_a_job() -> None:
    async def run() -> list[RenderOrder | Failure]:
        admit = VideoAdmission(ANYWHERE, seconds=0.3, seconds_between_tries=0.01)
        async with silent_host() as (url, _):
            return list(await asyncio.gather(*(admit(order(str(number), url)) for number in range(3 * PER_HOST))))

    for answer in asyncio.run(run()):
        assert isinstance(answer, Failure)
        assert answer.code == FailureCode.CONNECTION_ERROR
        assert "within 0.3 seconds" in answer.message


@pytest.mark.parametrize(
    ("host", "domain"),
    [
        ("a.b.Evil.example.", "evil.example"), ("evil.example", "evil.example"), ("localhost", "localhost"),
        ("a.shop.co.kr", "shop.co.kr"), ("shop.co.kr", "shop.co.kr"), ("co.kr", "co.kr"), ("a.co.com", "co.com"),
        ("203.0.113.7", "203.0.113.7"), ("2001:db8::1:2:3:4", "2001:db8::/64"), ("", ""),
    ],
)  # fmt: skip
def test_whose_a_host_is(host: str, domain: str) -> None:
    assert domain_of(host) == domain


def test_a_domain_of_which_any_name_is_a_host_cannot_take_all_places() -> None:
    async def run() -> None:
        places, never = Places(PER_HOST, PER_DOMAIN, AT_ONCE), asyncio.Event()
        inside = 0

        async def look(host: str) -> None:
            nonlocal inside
            async with places.at(host):
                inside += 1
                await never.wait()

        crowd = [asyncio.create_task(look(f"{number}.evil.example")) for number in range(5 * AT_ONCE)]
        await eventually(lambda: inside == PER_DOMAIN)
        async with asyncio.timeout(20), places.at("videos.example"):
            assert inside == PER_DOMAIN
        for task in crowd:
            task.cancel()
        await asyncio.gather(*crowd, return_exceptions=True)
        assert places._bounds == {}

    asyncio.run(run())


@pytest.mark.parametrize(("hosts", "at_one", "in_all"), [(1, 2, 2), (2, 2, 4), (7, 2, 5)])
def test_no_more_are_asked_at_once_than_there_are_places(hosts: int, at_one: int, in_all: int) -> None:
    async def run() -> tuple[Counter[str], int]:
        places, now, most = Places(2, 4, 5), Counter[str](), Counter[str]()
        seen = 0

        async def one(host: str) -> None:
            nonlocal seen
            async with places.at(f"{host}.example"):
                now[host] += 1
                most[host] = max(most[host], now[host])
                seen = max(seen, now.total())
                await asyncio.sleep(0.001)
                now[host] -= 1

        await asyncio.gather(*(one(f"www.host{number % hosts}") for number in range(100)))
        assert places._bounds == {}, "hosts are forgotten"
        return most, seen

    most, seen = asyncio.run(run())
    assert max(most.values()) <= at_one
    assert seen == in_all


def test_in_a_cluster_each_job_is_looked_at_once_and_the_look_ends_with_the_wait() -> None:
    begun: list[str] = []
    ended: list[str] = []
    decided: list[str] = []
    answer = asyncio.Event()

    async def admit(asked: RenderOrder) -> RenderOrder | Failure:
        begun.append(asked.job_id)
        try:
            await answer.wait()
        finally:
            ended.append(asked.job_id)
        return asked

    async def run() -> None:
        admissions = Admissions(admit, decided.append)
        for _ in range(3):
            assert admissions.verdict("a", ticket("a")) is None
            assert admissions.verdict("b", ticket("b")) is None
            await asyncio.sleep(0)
        assert begun == ["a", "b"]
        admissions.forget("b")
        later = ticket("a", NOW.replace(year=2027))
        assert admissions.verdict("a", later) is None
        await eventually(lambda: len(begun) == 3 and len(decided) == 2)
        assert begun == ["a", "b", "a"], "another submission under the same id is looked at anew"
        assert ended == ["b", "a"]
        answer.set()
        await eventually(lambda: len(decided) == 3)
        assert decided[-1] == "a"
        assert admissions.verdict("a", later) == "s3://b/k.mp4"
        admissions.verdict("c", ticket("c"))
        await admissions.close()

    asyncio.run(run())


@pytest.mark.parametrize("url", ["https://videos.example/a.mp4", "s3://b/k.mp4"])
def test_without_a_look_the_video_is_taken_as_it_is_named(url: str) -> None:
    wanted = ticket("a").model_copy(update={"video_url": url})
    assert Admissions(None, lambda name: None).verdict("a", wanted) == url
