"""API servers whose clocks are minutes apart, behind one address: what they stamp decides about nobody's time."""

from __future__ import annotations

import asyncio
import json
import re
import signal
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import aiohttp
import pytest

from control_plane import ControlPlane
from ecg_api.failures import FailureCode
from ecg_cluster.client import CONFIG_MAPS, PODS
from fake_kubelet import FakeKubelet, Outcome, Pod, fail, succeed
from faulty_api import FaultyApi
from operators import Site, condition, finished, on_a_loop, render_job, settings_with, start_operator
from ports import free_ports

MINUTES = 300.0
CLOCKS = {"ahead": (MINUTES,), "behind": (-MINUTES,), "apart": (MINUTES, -MINUTES)}
everywhere = pytest.mark.parametrize("clocks", CLOCKS.values(), ids=CLOCKS.keys())


@asynccontextmanager
async def servers(plane: ControlPlane, clocks: tuple[float, ...]) -> AsyncIterator[FaultyApi]:
    async with FaultyApi(plane.kubeconfig) as api:
        api.clocks = clocks
        yield api


@asynccontextmanager
async def operated(
    plane: ControlPlane, namespace: str, clocks: tuple[float, ...], **policy: float
) -> AsyncIterator[Site]:
    """Have an operator work by way of such servers; what the test itself asks goes to the real one."""
    async with (
        servers(plane, clocks) as api,
        Site(plane.kubeconfig, namespace) as site,
        site.operator(kubeconfig=api.kubeconfig, settings=settings_with(namespace, **policy)),
    ):
        yield site


def moments(told: object) -> dict[str, datetime]:
    """Return all times of a status by the name of their field."""
    found: dict[str, datetime] = {}
    if isinstance(told, dict):
        for name, value in told.items():
            if isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+Z", value):
                found[name] = datetime.fromisoformat(value)
            found |= moments(value)
    return found


@everywhere
@on_a_loop
async def test_jobs_run_to_their_end_one_after_the_other(
    plane: ControlPlane, kubelet: FakeKubelet, namespace: str, tmp_path: Path, clocks: tuple[float, ...]
) -> None:
    kubelet.scripts[namespace] = lambda pod: replace(succeed(pod), seconds=4.0 if pod.role == "segments" else 0.05)
    log, port = tmp_path / "log", free_ports(1)[0]
    spec = {"deadlines": {"activeSeconds": 120, "pendingSeconds": 60}, "ttl": {"succeededSeconds": 120}}
    async with servers(plane, clocks) as api, Site(plane.kubeconfig, namespace) as site:
        process = start_operator(
            api.kubeconfig, namespace, log, HEALTH_PORT=str(port), MAX_CONCURRENT_JOBS="1", PROGRESS_SECONDS="1"
        )
        try:
            for name in ("a", "b"):
                await site.apply(render_job(name, **spec))

            async def one_waits() -> bool:
                jobs = [await site.get(name) for name in ("a", "b")]
                return any(job.get("status", {}).get("reason") == "Queued" for job in jobs)

            # Which of the two is first, their stamps decide; the other one is told within seconds that it waits.
            await site.until_true(one_waits, 90)
            ended = [await site.until(name, finished) for name in ("a", "b")]
            await asyncio.sleep(1)
            assert await site.get("a"), "its time to live is not over"
            async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}/metrics") as answer:
                metrics = await answer.text()
            process.send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(process.wait, 60) == 0
        finally:
            process.kill()
            process.wait()
    for job in ended:
        assert job["status"]["phase"] == "Succeeded", job["status"]
        times = moments(job["status"])
        assert times["startTime"] <= times["completionTime"]
    assert "ecg_create_to_first_job_seconds_count 2.0" in metrics
    assert not [line for line in metrics.splitlines() if re.search(r" -\d", line)]
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert not [line for line in lines if line["level"] in ("WARNING", "ERROR")], lines
    pods = Counter((pod.job, pod.index) for pod in kubelet.started if pod.namespace == namespace)
    assert set(pods.values()) == {1}


@everywhere
@on_a_loop
async def test_a_scenario_that_comes_a_moment_after_its_job_is_waited_for_and_one_that_does_not_is_told(
    plane: ControlPlane, namespace: str, clocks: tuple[float, ...]
) -> None:
    # A busy machine may need some seconds to create it.
    async with operated(plane, namespace, clocks, reference_seconds=10.0) as site:
        for name in ("there", "missing"):
            await site.apply(render_job(name, scenario={"configMapRef": {"name": name, "key": "scenario.json"}}))
        await site.until("there", lambda job: condition(job, "Scheduled").get("reason") == "Queued")
        body = {"metadata": {"name": "there"}, "data": {"scenario.json": "{}"}}
        await site.cluster.create(CONFIG_MAPS, namespace, body)
        failed = await site.until("missing", finished)
        assert failed["status"]["failure"]["code"] == "SCENARIO_PARSE_ERROR"
        done = await site.until("there", finished)
        assert done["status"]["phase"] == "Succeeded", done["status"]


@everywhere
@on_a_loop
async def test_a_pod_that_is_told_to_stop_is_not_taken_for_lost(
    plane: ControlPlane, kubelet: FakeKubelet, namespace: str, clocks: tuple[float, ...]
) -> None:
    def stops_slowly(pod: Pod) -> Outcome:
        first = pod.role == "segments" and pod.segment == 0 and pod.attempt == 1
        return Outcome(seconds=None, stop_seconds=2.5) if first else succeed(pod)

    kubelet.scripts[namespace] = stops_slowly
    async with operated(plane, namespace, clocks) as site:
        await site.apply(render_job("clip"))
        await site.until("clip", lambda job: job.get("status", {}).get("segments", {}).get("succeeded") == 2)

        async def running() -> list[str]:
            return [pod["metadata"]["name"] for pod in await site.pods() if pod["status"].get("phase") == "Running"]

        async def one_runs() -> bool:
            return len(await running()) == 1

        await site.until_true(one_runs)
        await site.cluster.delete(PODS, namespace, *await running())
        job = await site.until("clip", finished)
        assert job["status"]["phase"] == "Succeeded", job["status"]
        assert "SegmentsMoved" not in {event["reason"] for event in await site.events("clip")}


@everywhere
@on_a_loop
async def test_what_keeps_pods_from_starting_is_told_at_once_and_given_up_in_time(
    plane: ControlPlane, kubelet: FakeKubelet, namespace: str, clocks: tuple[float, ...]
) -> None:
    kubelet.scripts[namespace] = lambda pod: replace(succeed(pod), waiting=("ContainerCreating", ""))
    plane.kubectl("create", "quota", "small", "--hard=pods=1", f"--namespace={namespace}")
    counted = "--for=jsonpath={.status.hard.pods}=1"
    plane.kubectl("wait", "resourcequota/small", f"--namespace={namespace}", counted, "--timeout=20s")
    async with operated(plane, namespace, clocks) as site:
        # It holds the only place until the other one was refused, also on a busy machine.
        await site.apply(render_job("slow", deadlines={"pendingSeconds": 15}))
        await site.until("slow", lambda job: condition(job, "Scheduled").get("reason") == "ImagePulling")
        await site.apply(render_job("refused"))
        # Where the event comes after the first question, it is asked for again half a minute later.
        await site.until("refused", lambda job: condition(job, "Scheduled").get("reason") == "QuotaExceeded", 90)
        failed = await site.until("slow", finished)
        assert condition(failed, "Failed")["reason"] == "PendingDeadlineExceeded"
        begun, ended = (datetime.fromisoformat(failed["status"][name]) for name in ("startTime", "completionTime"))
        assert (ended - begun).total_seconds() >= 14


@on_a_loop
async def test_that_a_second_try_is_refused_is_told_though_the_clock_of_the_first_ones_node_is_ahead(
    plane: ControlPlane, kubelet: FakeKubelet, namespace: str
) -> None:
    kubelet.scripts[namespace] = lambda pod: replace(fail(FailureCode.BROWSER_ERROR), seconds=2.0)
    # Not before the Job controller has tried again, ten seconds after the end of the first: answers are kept a while.
    settings = settings_with(namespace, start_seconds=13.0)
    async with (
        servers(plane, (MINUTES,)) as api,
        Site(plane.kubeconfig, namespace) as site,
        site.operator(kubeconfig=api.kubeconfig, settings=settings),
    ):
        await site.apply(render_job("clip"))
        await site.until_true(lambda: started(kubelet, namespace))
        plane.kubectl("create", "quota", "none", "--hard=pods=0", f"--namespace={namespace}")
        await site.until("clip", lambda job: condition(job, "Scheduled").get("reason") == "QuotaExceeded", 90)


async def started(kubelet: FakeKubelet, namespace: str) -> bool:
    return any(pod.namespace == namespace for pod in kubelet.started)
