"""The client: what it tries again and what never, which errors it raises, and that it writes with the Lease only."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from unittest.mock import Mock

import aiohttp
import pytest
from aiohttp import web
from kubernetes.aio.client import Configuration

from ecg_cluster.client import CONNECTIONS, JOBS, PODS, RENDER_JOBS, Call, Json, json_lines
from ecg_cluster.errors import AlreadyExists, ApiError, Changed, Expired, Invalid, NoAnswer, NotFound, Refused
from ecg_operator.cluster import Cluster
from ecg_operator.errors import LeaseLost
from operators import render_job

Answers = Callable[[int], web.Response]


class Server:
    """Answers every request by its number."""

    def __init__(self, answers: Answers) -> None:
        self.answers = answers
        self.methods: list[str] = []

    async def handle(self, request: web.Request) -> web.Response:
        self.methods.append(request.method)
        return self.answers(len(self.methods))


def status(code: int, reason: str = "", **headers: str) -> web.Response:
    body = {"kind": "Status", "code": code, "reason": reason, "message": f"{code} on purpose"}
    return web.json_response(body, status=code, headers=headers)


def fine() -> web.Response:
    return web.json_response({"metadata": {"name": "x"}})


@asynccontextmanager
async def client(answers: Answers, fence: Callable[[], float] | None = None) -> AsyncIterator[tuple[Cluster, Server]]:
    server = Server(answers)
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", server.handle)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    cluster = Cluster(Configuration(host=f"http://127.0.0.1:{runner.addresses[0][1]}"), fence)
    try:
        yield cluster, server
    finally:
        await cluster.close()
        await runner.cleanup()


def test_watches_of_many_namespaces_leave_room_for_requests() -> None:
    """A hundred namespaces by name are two hundred watches that stay open."""
    watches, over = 200, asyncio.Event()

    async def handle(request: web.Request) -> web.StreamResponse:
        if "watch" not in request.query:
            return fine()
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b'{"type": "BOOKMARK", "object": {"metadata": {}}}\n')
        await over.wait()
        return response

    async def watch(cluster: Cluster, number: int, opened: asyncio.Semaphore) -> None:
        async with cluster.watch(JOBS, f"ns{number}", {}) as events:
            async for _ in events:
                opened.release()

    async def scenario() -> None:
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", handle)
        runner = web.AppRunner(application, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, backlog=512).start()
        configuration = Configuration(host=f"http://127.0.0.1:{runner.addresses[0][1]}")
        configuration.connection_pool_maxsize = CONNECTIONS
        cluster, opened = Cluster(configuration), asyncio.Semaphore(0)
        watching = [asyncio.create_task(watch(cluster, number, opened)) for number in range(watches)]
        async with asyncio.timeout(120):
            for _ in range(watches):
                await opened.acquire()
            await cluster.patch(RENDER_JOBS, "ns0", "clip", {})
        over.set()
        await asyncio.gather(*watching)
        await cluster.close()
        await runner.cleanup()

    asyncio.run(scenario())


def test_of_what_is_known_no_more_than_its_name_and_version_is_parsed() -> None:
    def meta(name: str) -> dict[str, str]:
        return {"namespace": "ns", "name": name, "uid": f"uid-{name}", "resourceVersion": "7"}

    objects = [{"metadata": {**meta(name), "labels": {"a": "b"}}, "spec": {"x": 1}} for name in ("old", "new")]
    events = [{"type": "MODIFIED", "object": one} for one in objects] + [{"type": "DELETED", "object": objects[0]}]
    answers = [
        web.json_response({"metadata": {"resourceVersion": "9"}, "items": objects}),
        web.Response(text="".join(json.dumps(event) + "\n" for event in events)),
    ]

    def knows(head: Json) -> bool:
        return head == {"metadata": meta("old")}

    async def scenario() -> None:
        async with client(lambda number: answers[number - 1]) as (cluster, _):
            page = await cluster.list_page(PODS, "ns", {}, knows)
            assert page["metadata"] == {"resourceVersion": "9"}
            assert list(page["items"]) == [{"metadata": meta("old")}, objects[1]]
            async with cluster.watch(PODS, "ns", {}, knows) as told:
                assert [event["object"] async for event in told] == [{"metadata": meta("old")}, objects[1], objects[0]]

    asyncio.run(scenario())


def test_bursts_of_events_on_many_watches_give_others_their_turn() -> None:
    line, taken, most = json.dumps({"type": "MODIFIED", "object": {}}).encode() + b"\n", 0, 0

    async def others() -> None:
        nonlocal most
        while True:
            before = taken
            await asyncio.sleep(0)
            most = max(most, taken - before)

    async def take(content: aiohttp.StreamReader) -> None:
        nonlocal taken
        async for _ in json_lines(content):
            taken += 1
            began = time.process_time()
            while time.process_time() - began < 0.004:
                pass

    async def scenario() -> None:
        watches = [
            aiohttp.StreamReader(Mock(_reading_paused=False), 2**21, loop=asyncio.get_running_loop()) for _ in range(20)
        ]
        for content in watches:
            content.feed_data(line * 5)
            content.feed_eof()
        beside = asyncio.create_task(others())
        await asyncio.gather(*(take(content) for content in watches))
        beside.cancel()

    asyncio.run(scenario())
    assert taken == 100
    assert most < 8, "less than 0.03 s of 0.4 s at a time"


def test_a_proxy_of_the_environment_is_taken_for_what_it_is_meant_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://proxy.example:3128")
    monkeypatch.setenv("no_proxy", "near.example")

    async def scenario() -> None:
        for host, proxy in (("far.example", "http://proxy.example:3128"), ("near.example:6443", None)):
            cluster = Cluster(Configuration(host=f"https://{host}"))
            assert cluster.client._client.rest_client.proxy == proxy
            await cluster.close()

    asyncio.run(scenario())


def test_reading_is_tried_again() -> None:
    async def scenario() -> None:
        async with client(lambda number: status(500) if number < 3 else fine()) as (cluster, server):
            assert (await cluster.get(PODS, "ns", "x"))["metadata"]["name"] == "x"
            assert server.methods == ["GET"] * 3

    asyncio.run(scenario())


def test_reading_ends_after_three_tries() -> None:
    async def scenario() -> None:
        async with client(lambda number: status(503)) as (cluster, server):
            with pytest.raises(NoAnswer):
                await cluster.get(PODS, "ns", "x")
            assert len(server.methods) == 3

    asyncio.run(scenario())


def test_a_write_that_may_have_happened_is_not_repeated() -> None:
    async def scenario() -> None:
        async with client(lambda number: status(500)) as (cluster, server):
            with pytest.raises(NoAnswer):
                await cluster.create(JOBS, "ns", {})
            assert server.methods == ["POST"]

    asyncio.run(scenario())


def test_a_write_that_was_put_off_is_repeated_after_the_wished_pause() -> None:
    async def scenario() -> None:
        answers: Answers = lambda number: fine() if number > 1 else status(429, **{"Retry-After": "1"})  # noqa: E731
        async with client(answers) as (cluster, server):
            started = asyncio.get_running_loop().time()
            await cluster.create(JOBS, "ns", {})
            assert server.methods == ["POST"] * 2
            assert asyncio.get_running_loop().time() - started >= 1

    asyncio.run(scenario())


def test_a_long_pause_is_left_to_the_queue() -> None:
    async def scenario() -> None:
        async with client(lambda number: status(429, **{"Retry-After": "60"})) as (cluster, server):
            with pytest.raises(NoAnswer) as caught:
                await cluster.create(JOBS, "ns", {})
            assert caught.value.retry_after == 60
            assert len(server.methods) == 1

    asyncio.run(scenario())


@pytest.mark.parametrize("asked", ["inf", "1e9", "86400"])
def test_nobody_in_between_can_ask_for_a_pause_without_end(asked: str) -> None:
    async def scenario() -> None:
        async with client(lambda number: status(503, **{"Retry-After": asked})) as (cluster, _):
            with pytest.raises(NoAnswer) as caught:
                await cluster.create(JOBS, "ns", {})
            assert caught.value.retry_after == 300

    asyncio.run(scenario())


ERRORS: dict[tuple[int, str], type[ApiError]] = {
    (404, "NotFound"): NotFound,
    (409, "AlreadyExists"): AlreadyExists,
    (409, "Conflict"): Changed,
    (410, "Expired"): Expired,
    (401, "Unauthorized"): Refused,
    (403, "Forbidden"): Refused,
    (400, "BadRequest"): Invalid,
    (422, "Invalid"): Invalid,
    (500, "InternalError"): NoAnswer,
}


@pytest.mark.parametrize(("code", "reason"), ERRORS)
def test_each_refusal_has_its_error_with_the_servers_words(code: int, reason: str) -> None:
    async def scenario() -> None:
        async with client(lambda number: status(code, reason)) as (cluster, _):
            with pytest.raises(ERRORS[code, reason], match=f"{code} on purpose"):
                await cluster.create(JOBS, "ns", {})

    asyncio.run(scenario())


def test_an_answer_that_is_not_kubernetes_own_is_an_error_with_its_beginning() -> None:
    async def scenario() -> None:
        async with client(lambda number: web.Response(text="<html>no", status=403)) as (cluster, _):
            with pytest.raises(Refused, match="<html>no"):
                await cluster.create(JOBS, "ns", {})

    asyncio.run(scenario())


def test_nobody_there_is_unavailable() -> None:
    async def scenario() -> None:
        cluster = Cluster(Configuration(host="http://127.0.0.1:9"))
        with pytest.raises(NoAnswer):
            await cluster.create(JOBS, "ns", {})
        await cluster.close()

    asyncio.run(scenario())


@pytest.mark.parametrize("seconds", [0.0, -3.0])
def test_without_the_lease_nothing_is_written_but_much_is_read(seconds: float) -> None:
    async def scenario() -> None:
        async with client(lambda number: fine(), lambda: seconds) as (cluster, server):
            writes: list[Awaitable[object]] = [
                cluster.create(JOBS, "ns", {}),
                cluster.patch(JOBS, "ns", "x", {}),
                cluster.delete(JOBS, "ns", "x"),
                cluster.delete_all(JOBS, "ns", "a=b"),
            ]
            for write in writes:
                with pytest.raises(LeaseLost):
                    await write
            await cluster.get(JOBS, "ns", "x")
            assert server.methods == ["GET"]

    asyncio.run(scenario())


def test_every_answered_request_is_counted() -> None:
    async def scenario() -> None:
        calls: list[Call] = []
        async with client(lambda number: fine() if number == 1 else status(404)) as (cluster, _):
            cluster.client._after_call = calls.append
            await cluster.create(JOBS, "ns", {})
            with pytest.raises(NotFound):
                await cluster.delete(PODS, "ns", "x")
        assert [(call.verb, call.resource, call.status) for call in calls] == [
            ("create", "jobs", 200),
            ("delete", "pods", 404),
        ]

    asyncio.run(scenario())


def nested(levels: int) -> str:
    return "[" * levels + "]" * levels


def listed(*scenarios: str) -> str:
    """Return a list of RenderJobs, one of each scenario."""
    texts = []
    for number, scenario in enumerate(scenarios):
        job = render_job(f"clip-{number}", scenario={"inline": {"cues": "SCENARIO"}})
        job["metadata"] |= {"uid": f"u{number}", "resourceVersion": "3", "namespace": "ns"}
        texts.append(json.dumps(job).replace('"SCENARIO"', scenario))
    return f'{{"metadata": {{"resourceVersion": "7"}}, "items": [{", ".join(texts)}]}}'


@pytest.mark.parametrize("levels", [600, 900, 940, 960, 980, 2000, 9000])
def test_one_deep_object_does_not_keep_others_of_its_list_from_being_read(levels: int) -> None:
    async def scenario() -> None:
        body = listed(nested(2), nested(levels), nested(3))
        async with client(lambda number: web.Response(text=body, content_type="application/json")) as (cluster, _):
            page = await cluster.list_page(RENDER_JOBS, "ns", {})
            names = [item["metadata"]["name"] for item in page["items"]]
        assert names == ["clip-0", "clip-1", "clip-2"]

    asyncio.run(scenario())


def test_the_error_of_a_watch_is_read_also_if_its_status_has_no_metadata() -> None:
    error = {"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}}
    place = {"namespace": "ns", "name": "clip", "uid": "1", "resourceVersion": "3"}
    known = {"type": "DELETED", "object": {"metadata": place, "spec": {}}}
    body = "".join(json.dumps(event) + "\n" for event in (known, error))

    async def scenario() -> None:
        async with (
            client(lambda number: web.Response(text=body)) as (cluster, _),
            cluster.watch(RENDER_JOBS, "ns", {}, lambda head: True) as events,
        ):
            assert [event async for event in events] == [known, error]

    asyncio.run(scenario())


def test_an_event_about_a_deep_object_does_not_end_a_watch() -> None:
    async def scenario() -> None:
        def line(name: str, levels: int) -> str:
            job = json.dumps({"metadata": {"name": name, "uid": name, "resourceVersion": "3"}})[:-1]
            return f'{{"type": "ADDED", "object": {job}, "spec": {nested(levels)}}}}}\n'

        body = line("a", 2000) + line("b", 1)
        async with (
            client(lambda number: web.Response(text=body)) as (cluster, _),
            cluster.watch(RENDER_JOBS, "ns", {}) as events,
        ):
            found: list[Json] = [event["object"] async for event in events]
        assert [one["metadata"]["name"] for one in found] == ["a", "b"]
        assert found[1]["spec"] == []

    asyncio.run(scenario())
