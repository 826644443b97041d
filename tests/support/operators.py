"""Operators that run within a test, and what tests ask the API server.

async with Site(plane.kubeconfig, "ns-1") as site:
    async with site.operator():
        await site.apply(render_job("clip"))
        await site.until("clip", finished)
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import wraps
from pathlib import Path
from types import TracebackType
from typing import Any, ParamSpec

from ecg_api.names import UID_LABEL
from ecg_api.renderjob import API_VERSION, KIND
from ecg_cluster.client import EVENTS, JOBS, PODS, RENDER_JOBS, Json, load_connection
from ecg_cluster.election import LeaseTiming
from ecg_cluster.errors import NotFound
from ecg_operator.app import Operator, Options
from ecg_operator.cluster import Cluster
from ecg_operator.settings import Settings, read_settings

P = ParamSpec("P")

ROOT = Path(__file__).parents[2]

ENVIRONMENT = {
    "RENDERER_IMAGE": "renderer",
    "WORK_URI": "s3://work/jobs",
    "HEALTH_PORT": "0",
    "MAX_ACTIVE_SEGMENTS": "1000",
    "MAX_CONCURRENT_JOBS": "1000",
    "PROGRESS_SECONDS": "1",
}
QUICK_LEASE = LeaseTiming(lease_seconds=3, renew_seconds=2, retry_seconds=0.3)
SECONDS = 60.0
"""What takes longer has failed, also where others keep the machine busy."""


def on_a_loop(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Let pytest run an async test."""

    @wraps(test)
    def run(*arguments: P.args, **options: P.kwargs) -> None:
        asyncio.run(test(*arguments, **options))

    return run


def render_job(name: str, output: str = "", **spec: Any) -> Json:
    """Return a RenderJob; further parts of its spec by keyword."""
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {"name": name},
        "spec": {
            "source": {"uri": "s3://in/clip.mp4"},
            "scenario": {"uri": "s3://in/scenario.json"},
            "output": {"uri": output or f"s3://out/{name}.mp4"},
            **spec,
        },
    }


def settings_for(namespace: str, **variables: str) -> Settings:
    """Return settings for one namespace, with further environment variables."""
    settings = read_settings({**ENVIRONMENT, "OPERATOR_NAMESPACES": namespace, **variables})
    return replace(settings, policy=replace(settings.policy, start_seconds=0.5, unseen_seconds=3.0))


def settings_with(namespace: str, **policy: Any) -> Settings:
    """Return settings for one namespace whose policy differs in some parts."""
    settings = settings_for(namespace)
    return replace(settings, policy=replace(settings.policy, **policy))


def start_operator(kubeconfig: Path, namespace: str, log: Path, **variables: str) -> subprocess.Popen[bytes]:
    """Start an operator for one namespace as a process of its own, with further environment variables."""
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join([str(ROOT / part) for part in ("operator", "common", "crds")]),
        "RENDERER_IMAGE": "renderer",
        "WORK_URI": "s3://work/jobs",
        "HEALTH_PORT": "0",
        "LEASE_NAMESPACE": namespace,
        "LOG_FORMAT": "json",
        **variables,
    }
    command = [sys.executable, "-m", "ecg_operator", "--kubeconfig", str(kubeconfig), "--namespace", namespace]
    with log.open("wb") as sink:
        return subprocess.Popen(command, env=environment, stderr=sink, stdout=sink)


class Site:
    """A namespace of a test's own, with a client."""

    def __init__(self, kubeconfig: Path, namespace: str) -> None:
        self.kubeconfig = kubeconfig
        self.namespace = namespace

    async def __aenter__(self) -> Site:
        self.cluster = Cluster(await load_connection(str(self.kubeconfig)))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.cluster.close()

    @asynccontextmanager
    async def operator(
        self,
        *,
        kubeconfig: Path | None = None,
        settings: Settings | None = None,
        elects: bool = False,
        options: Options | None = None,
        **variables: str,
    ) -> AsyncIterator[Operator]:
        """Run an operator for this namespace; it has listed everything when the block starts."""
        configuration = await load_connection(str(kubeconfig or self.kubeconfig))
        chosen = options or Options(elects=elects, timing=QUICK_LEASE, progress_poll_seconds=0.3)
        operator = Operator(settings or settings_for(self.namespace, **variables), configuration, chosen)
        stop = asyncio.Event()
        running = asyncio.create_task(operator.run(stop))
        try:
            if not chosen.elects:
                await first(running, operator.working.wait(), SECONDS)
            yield operator
        finally:
            stop.set()
            await running

    async def apply(self, manifest: Mapping[str, Any]) -> Json:
        """Create a RenderJob."""
        return await self.cluster.create(RENDER_JOBS, self.namespace, manifest)

    async def change(self, name: str, **spec: Any) -> Json:
        """Change parts of a RenderJob's spec."""
        return await self.cluster.patch(RENDER_JOBS, self.namespace, name, {"spec": spec})

    async def delete(self, name: str) -> None:
        """Delete a RenderJob."""
        await self.cluster.delete(RENDER_JOBS, self.namespace, name)

    async def get(self, name: str) -> Json:
        """Return a RenderJob; empty if it is gone."""
        try:
            return await self.cluster.get(RENDER_JOBS, self.namespace, name)
        except NotFound:
            return {}

    async def jobs(self) -> dict[str, Json]:
        """Return all Jobs of the namespace by name."""
        page = await self.cluster.list_page(JOBS, self.namespace, {})
        return {item["metadata"]["name"]: item for item in page["items"]}

    async def pods(self) -> list[Json]:
        """Return all pods of the namespace."""
        return list((await self.cluster.list_page(PODS, self.namespace, {}))["items"])

    async def events(self, name: str) -> list[Json]:
        """Return the events on a RenderJob."""
        selector = {"fieldSelector": f"involvedObject.name={name}"}
        return list((await self.cluster.list_page(EVENTS, self.namespace, selector))["items"])

    async def until(self, name: str, wanted: Callable[[Json], bool], seconds: float = SECONDS) -> Json:
        """Wait until a RenderJob is as wanted, and return it."""
        deadline = time.monotonic() + seconds
        while True:
            found = await self.get(name)
            if wanted(found):
                return found
            assert time.monotonic() < deadline, f"{name} after {seconds} s: {found.get('status')}"
            await asyncio.sleep(0.1)

    async def until_true(self, wanted: Callable[[], Coroutine[Any, Any, bool]], seconds: float = SECONDS) -> None:
        """Wait until something is true."""
        deadline = time.monotonic() + seconds
        while not await wanted():
            assert time.monotonic() < deadline, f"not true after {seconds} s: {wanted}"
            await asyncio.sleep(0.1)


async def first(running: asyncio.Task[None], wanted: Coroutine[Any, Any, Any], seconds: float) -> None:
    """Wait for `wanted`, but not if `running` ends before."""
    waiting = asyncio.create_task(wanted)
    await asyncio.wait((running, waiting), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    if running.done():
        waiting.cancel()
        running.result()
        raise AssertionError("the operator has ended")
    assert waiting.done(), f"the operator does not work after {seconds} s"


def finished(job: Json) -> bool:
    """Tell whether a RenderJob is finished."""
    return condition(job, "Finished").get("status") == "True"


def in_phase(*phases: str) -> Callable[[Json], bool]:
    """Return a test for a RenderJob being in one of the phases."""
    return lambda job: job.get("status", {}).get("phase") in phases


def condition(job: Json, kind: str) -> Json:
    """Return a condition of a RenderJob; empty if it is not there."""
    conditions = job.get("status", {}).get("conditions", [])
    return next((c for c in conditions if c["type"] == kind), {})


def of(job: Json, children: Mapping[str, Json]) -> dict[str, Json]:
    """Return those of the Jobs that belong to a RenderJob."""
    uid = job["metadata"]["uid"]
    return {name: child for name, child in children.items() if child["metadata"]["labels"].get(UID_LABEL) == uid}
