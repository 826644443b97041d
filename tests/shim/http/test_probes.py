"""What Kubernetes asks: may requests come here, and does the process have to be started again."""

from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager

import httpx
import pytest

from ecg_shim.serving import listen, serve
from ecg_shim.tasks import TaskEnded, Tasks
from shim_memory import memory_service


def asked(service, path: str) -> httpx.Response:
    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(service.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://strange.example", verify=False) as client:
            return await client.get(path)

    return asyncio.run(ask())


def test_a_service_that_works_is_ready_and_alive_to_whoever_asks_under_any_name_without_a_token():
    service = memory_service({"ECG_API_TOKEN": "secret"})
    for path in ("/readyz", "/livez"):
        answer = asked(service, path)
        assert (answer.status_code, answer.text) == (200, "ok\n")


def test_a_service_that_hears_of_no_changes_is_not_ready_and_says_why_but_is_not_restarted():
    service = memory_service()
    service.backend.unready = ["renderjobs cannot be watched: no", "the disk is full"]
    answer = asked(service, "/readyz")
    assert (answer.status_code, answer.text) == (503, "renderjobs cannot be watched: no\nthe disk is full\n")
    assert asked(service, "/livez").status_code == 200
    assert asked(service, "/health").status_code == 200


def test_a_service_whose_task_has_ended_is_not_ready():
    service = memory_service()
    service.backend.tasks.problem = "the watch of RenderJobs has ended: odd"
    assert asked(service, "/readyz").text == "the watch of RenderJobs has ended: odd\n"


@pytest.mark.parametrize("how", ["returns", "raises", "is cancelled by somebody"])
def test_a_task_that_ends_by_itself_ends_the_service(how: str, caplog: pytest.LogCaptureFixture):
    tasks, closed = Tasks(), []

    async def work() -> None:
        await asyncio.sleep(0.2)
        if how == "raises":
            raise KeyError("spec")
        if how == "is cancelled by somebody":
            raise asyncio.CancelledError

    @asynccontextmanager
    async def behind():
        tasks.spawn("the watch", work())
        tasks.spawn("another", asyncio.sleep(3600))
        yield
        await tasks.close()
        closed.append(True)

    listening: socket.socket = listen("127.0.0.1", 0)
    with listening, pytest.raises(TaskEnded, match="the watch has ended"):
        asyncio.run(serve(memory_service().app, behind(), listening, 1, [tasks]))
    assert closed == [True]
    assert "the watch has ended" in caplog.text


def test_tasks_that_are_closed_are_no_failure():
    async def run() -> Tasks:
        tasks = Tasks()
        tasks.spawn("one", asyncio.sleep(3600))
        await asyncio.sleep(0)
        await tasks.close()
        await asyncio.sleep(0)
        return tasks

    assert asyncio.run(run()).problem == ""
