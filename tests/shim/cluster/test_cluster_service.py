"""The whole service, as processes that clients and kills reach from outside, with the real operator behind it."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import httpx
import pytest

from control_plane import ControlPlane
from ecg_api.failures import FailureCode
from ecg_cluster.client import LEASES
from fake_kubelet import FakeKubelet, Outcome, Pod, fail, succeed
from operators import condition, on_a_loop
from ports import free_ports
from shim_cluster import SCENARIO, SECONDS, Place, eventually, kill

VIDEO = "s3://in/clip.mp4"


class Service:
    """One replica, as a process."""

    def __init__(self, place: Place) -> None:
        (port,) = free_ports(1)
        self.address = f"http://127.0.0.1:{port}"
        self.name = f"service-{port}"
        variables = {
            "POD_NAME": self.name,
            "KUBECONFIG": str(place.kubeconfig),
            "ECG_NAMESPACE": place.namespace,
            "S3_BUCKET": "videos",
            "ECG_SCENARIO_STORE": "configmap",
            "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry),
        }
        command = [sys.executable, "-m", "ecg_shim", "--mode", "kubernetes", "--port", str(port)]
        self.process = subprocess.Popen(
            command, env={**os.environ, **variables}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def wait(self) -> None:
        """Wait until it answers."""
        deadline = time.monotonic() + SECONDS
        while True:
            with suppress(httpx.HTTPError):
                httpx.get(f"{self.address}/health", trust_env=False)
                return
            assert self.process.poll() is None, self.process.communicate()[0]
            assert time.monotonic() < deadline
            time.sleep(0.05)

    async def says(self, job_id: str, status: str) -> None:
        """Wait until it says that a job has a status: each replica hears of changes by itself."""
        async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
            deadline = time.monotonic() + SECONDS
            while (said := (await client.get(f"{self.address}/api/render/{job_id}/status")).json())["status"] != status:
                assert time.monotonic() < deadline, said
                await asyncio.sleep(0.05)

    def stop(self) -> None:
        """Ask it to end, and wait."""
        self.process.terminate()
        self.process.communicate(timeout=30)


@asynccontextmanager
async def services(place: Place, count: int) -> AsyncIterator[list[Service]]:
    """Run replicas."""
    running = [Service(place) for _ in range(count)]
    try:
        for service in running:
            await asyncio.to_thread(service.wait)
        yield running
    finally:
        for service in running:
            if service.process.poll() is None:
                await asyncio.to_thread(service.stop)


@pytest.fixture(scope="module")
def kubelet(plane: ControlPlane) -> Iterator[FakeKubelet]:
    with FakeKubelet(plane.kubeconfig) as running:
        yield running


@on_a_loop
async def _client_and_operator(place: Place, kubelet: FakeKubelet) -> None:
    stuck, broken = "stuck", "broken"

    def fare(pod: Pod) -> Outcome:
        kind = next((kind for job_id, kind in kinds.items() if pod.name.startswith(job_id)), "")
        if kind == broken and pod.role == "segments":
            return fail(FailureCode.SCENARIO_PARSE_ERROR, "cue 3 is odd")
        return Outcome(seconds=None) if kind == stuck and pod.role == "segments" else succeed(pod)

    kinds: dict[str, str] = {}
    kubelet.scripts[place.namespace] = fare
    client = place.client
    async with place, place.operator(), services(place, 2) as (one, two):
        client.service = one.address
        good, bad, late = (place.new_row() for _ in range(3))
        kinds |= {bad: broken, late: stuck}
        early = place.new_row()
        client.service = two.address
        assert (await asyncio.to_thread(client.cancel, early))["success"] is False
        for job_id, service in ((good, one), (bad, two), (late, one), (early, one)):
            client.service = service.address
            await asyncio.to_thread(client.create, SCENARIO, video_url=VIDEO, job_id=job_id)
        await place.until(late, lambda job: job.get("status", {}).get("phase") == "Rendering")
        await two.says(late, "processing")
        assert (await asyncio.to_thread(client.cancel, late))["success"] is True
        row = await asyncio.to_thread(client.wait, good, SECONDS, ("completed",))
        assert row.download_url
        assert row.progress == 100
        row = await asyncio.to_thread(client.wait, bad, SECONDS, ("failed",))
        assert row.error_code == "SCENARIO_PARSE_ERROR"
        for job_id in (late, early):
            await eventually(lambda job_id=job_id: client.statuses(job_id)[-1:] == ["cancelled"])  # type: ignore[misc]
            assert client.row(job_id).status == "cancelled"
        assert await place.get(early) == {}
        await place.until(late, lambda job: job["status"]["phase"] == "Cancelled")
        for job_id, status in ((good, "completed"), (bad, "failed"), (late, "cancelled"), (early, "cancelled")):
            await one.says(job_id, status)
            await two.says(job_id, status)
            terminal = [answer for answer in client.statuses(job_id) if answer != "processing"]
            assert terminal == [status]
        told = await place.until(good, lambda job: condition(job, "CallbackDelivered").get("status") == "True")
        assert condition(told, "Succeeded")["status"] == "True"
        assert condition(told, "Finished")["status"] == "True"


def test_a_client_is_served_by_two_replicas_and_the_operator(place: Place, kubelet: FakeKubelet) -> None:
    _client_and_operator(place, kubelet)


@on_a_loop
async def _kills(place: Place) -> None:
    client = place.client
    async with place, services(place, 2) as (one, two):
        client.service = one.address
        jobs = [await asyncio.to_thread(client.create, SCENARIO, video_url=VIDEO) for _ in range(4)]
        for job_id in jobs:
            await place.says(job_id, "Planning")
        lease = await place.cluster.get(LEASES, place.namespace, "ecg-relay")
        holder, two = (one, two) if lease["spec"]["holderIdentity"].startswith(one.name) else (two, one)
        await asyncio.to_thread(kill, holder.process)
        client.service = two.address
        for job_id in jobs:
            await two.says(job_id, "processing")
            await place.succeeds(job_id)
        jobs.append(await asyncio.to_thread(client.create, SCENARIO, video_url=VIDEO))
        for job_id in jobs[:4]:
            await asyncio.to_thread(client.wait, job_id, SECONDS, ("completed",))
        await place.made(jobs[4])
        await place.says(jobs[4], "Failed")
        await asyncio.to_thread(client.wait, jobs[4], SECONDS, ("failed",))


def test_the_replica_that_tells_is_killed_and_every_job_ends(place: Place) -> None:
    _kills(place)


@on_a_loop
async def _command(place: Place) -> None:
    client = place.client
    client.fault = lambda body: (418, {}) if body["status"] == "failed" else None
    async with place, place.replica() as backend:
        job_id = await place.post(backend)
        await place.says(job_id, "Failed")
        await place.until(job_id, lambda job: job["status"].get("callback", {}).get("state") == "Dead")
        listed = await asyncio.to_thread(_run, place, "list")
        assert listed.split("\t")[:2] == [job_id, "failed"]
        client.fault = None
        assert await asyncio.to_thread(_run, place, "replay", "--all") == f"{job_id} is sent again.\n"
        await place.until(job_id, lambda job: job["status"]["callback"]["state"] == "Delivered")
        assert await asyncio.to_thread(_run, place, "list") == ""


def test_a_command_lists_what_could_not_be_told_and_has_it_told_again(place: Place) -> None:
    _command(place)


def _run(place: Place, *words: str) -> str:
    variables = {
        "KUBECONFIG": str(place.kubeconfig),
        "ECG_NAMESPACE": place.namespace,
        "ECG_RENDER_MODE": "kubernetes",
        "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry),
    }
    command = [sys.executable, "-m", "ecg_shim", "callbacks", *words]
    done = subprocess.run(command, env={**os.environ, **variables}, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_without_a_bucket_it_says_what_is_missing(kubeconfig: Path) -> None:
    command = [sys.executable, "-m", "ecg_shim", "--mode", "kubernetes", "--port", "0"]
    environment = {**os.environ, "KUBECONFIG": str(kubeconfig), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    environment.pop("S3_BUCKET", None)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "S3_BUCKET" in done.stderr
