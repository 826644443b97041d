"""How the operator scales: many RenderJobs at once on nodes that kwok plays, beside many more that are over.

Writes bench/scale.md.

python -m bench.scale [--jobs 1000] [--kept 20000] [--namespaces 100] [--segments 8] [--quick]
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import psutil
import typer

from bench.kept import create_kept
from bench.polls import POLL_SECONDS
from bench.scale_site import GPUS_PER_NODE, NODES, Cost, OperatorProcess, ScalePlane, ServiceProcess
from ecg_api.names import JOB_LABEL, MANAGED_BY, OPERATOR, ROLE_LABEL
from ecg_api.renderjob import API_VERSION, KIND
from ecg_cluster.cache import Cache, Key, Record
from ecg_cluster.client import JOBS, RENDER_JOBS, load_connection
from ecg_cluster.reflector import Reflector, Source
from ecg_operator.cluster import Cluster

RESULTS = Path(__file__).with_name("scale.md")
CLIP = "clip-"
RESYNC_SECONDS = 60
"""More often than it is by default, so that it happens while everything else does."""
CREATED_AT_A_TIME = 50
CLIENTS = 100
"""Clients of the service, each of which asks for a job every few seconds."""
LONGEST_SECONDS = 3600
NOT_COUNTED = ('verb="watch"', 'verb="list"')


@dataclass(frozen=True)
class Size:
    """How much there is.

    Attributes:
        jobs: RenderJobs that are created at once, with so many `segments` each.
        budget: RenderJobs that may have pods at a time.
        kept: RenderJobs that were over before.
        namespaces: over which all of them are spread.
    """

    jobs: int
    segments: int
    budget: int
    kept: int
    namespaces: int

    @property
    def names(self) -> list[str]:
        """Names of the namespaces."""
        return [f"team-{number:03}" for number in range(self.namespaces)]


@dataclass(frozen=True)
class Round:
    """What one round has shown; times in seconds.

    Attributes:
        first: from a RenderJob's creation to its plan Job, of those created while the budget had room.
        waits: the same of all.
        ready, restart: from the start of a second operator, in the middle, until it was ready, and its queue empty.
        polls: from the first byte of a status request to the last one of its answer, clients' side.
        service_mb: highest memory of a replica of the service, which serves the first namespace.
        service_ready: from its start.
    """

    size: Size
    first: list[float]
    waits: list[float]
    finished: float
    calls_per_job: float
    cost: Cost
    ready: float
    restart: float
    polls: list[float]
    service_mb: float
    service_ready: float


class Watcher:
    """Sees when plan Jobs appear and which RenderJobs have ended."""

    def __init__(self, cluster: Cluster) -> None:
        self.planned: dict[str, float] = {}
        self.phases: dict[str, str] = {}
        jobs = Cache(_read_job, self._job, lambda record: None)
        render_jobs = Cache(_read_phase, self._render_job, lambda record: None)
        selector = f"{MANAGED_BY}={OPERATOR},{ROLE_LABEL}=plan"
        self.reflectors = [
            Reflector(cluster, Source(JOBS, None, selector), jobs),
            Reflector(cluster, Source(RENDER_JOBS, None), render_jobs),
        ]

    def ended(self) -> int:
        """Return how many RenderJobs have ended."""
        return sum(phase in ("Succeeded", "Failed", "Cancelled") for phase in self.phases.values())

    def _job(self, record: Record[str], before: Record[str] | None) -> None:
        self.planned.setdefault(record.value, time.monotonic())

    def _render_job(self, record: Record[str], before: Record[str] | None) -> None:
        if record.name.startswith(CLIP):
            self.phases[record.name] = record.value


def main(
    jobs: Annotated[int, typer.Option(min=2, help="RenderJobs created at once.")] = 1000,
    segments: Annotated[int, typer.Option(min=1, help="Segments of each.")] = 8,
    budget: Annotated[int, typer.Option(min=1, help="RenderJobs that may have pods at a time.")] = 100,
    kept: Annotated[int, typer.Option(min=0, help="RenderJobs that are over and kept.")] = 20_000,
    namespaces: Annotated[int, typer.Option(min=1, help="Namespaces, which the operator is told by name.")] = 100,
    quick: Annotated[bool, typer.Option("--quick", help="50 RenderJobs and 500 kept ones; writes no page.")] = False,
) -> None:
    """Measure, print, and write bench/scale.md."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # or everything that was started here would stay
    if quick:
        jobs, kept = 50, 500
    with tempfile.TemporaryDirectory() as folder, (plane := ScalePlane(Path(folder) / "plane", segments)):
        found = asyncio.run(_round(plane, Size(jobs, segments, min(budget, jobs), kept, namespaces)))
    page = _page(found)
    print(page)
    if not quick:
        RESULTS.write_text(page)


async def _round(plane: ScalePlane, size: Size) -> Round:
    cluster = Cluster(await load_connection(str(plane.kubeconfig)))
    await asyncio.to_thread(plane.create_namespaces, size.names)
    _say(f"making {size.kept} RenderJobs that are over")
    await create_kept(cluster, size.kept, size.names)
    watcher = Watcher(cluster)
    watching = [asyncio.create_task(reflector.run()) for reflector in watcher.reflectors]
    service = ServiceProcess(plane, plane.folder.parent / "service.log", size.names[0])
    try:
        with service:
            return await _measured(plane, size, cluster, watcher, service)
    finally:
        for task in watching:
            task.cancel()
        await asyncio.gather(*watching, return_exceptions=True)
        await cluster.close()


async def _measured(
    plane: ScalePlane, size: Size, cluster: Cluster, watcher: Watcher, service: ServiceProcess
) -> Round:
    log = plane.folder.parent / "operator.log"
    with OperatorProcess(plane, log, _variables(size)) as first:
        await _converged(first)
        service_ready = await asyncio.to_thread(service.wait_until_ready)
        calls_before = first.metric("ecg_api_calls_total", without=NOT_COUNTED)
        _say(f"making {size.jobs} more at once")
        started = time.monotonic()
        created = await _create(cluster, size)
        clients = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "bench.polls", service.url, str(CLIENTS), *_served(size)),
            stdout=asyncio.subprocess.PIPE,
        )
        await _until(watcher, size.jobs // 2)
        cost = first.cost()
        calls = first.metric("ecg_api_calls_total", without=NOT_COUNTED) - calls_before
    _say("half of them have ended; another operator starts")
    with OperatorProcess(plane, log, _variables(size)) as second:
        ready, restart = await _converged(second)
        await _until(watcher, size.jobs)
        finished = time.monotonic() - started
        calls += second.metric("ecg_api_calls_total", without=NOT_COUNTED)
        cost = cost.with_later(second.cost())
    clients.terminate()
    polls = json.loads((await clients.communicate())[0])
    waits = [watcher.planned[name] - at for name, at in created.items()]
    return Round(
        size=size,
        first=sorted(waits)[: size.budget],
        waits=waits,
        finished=finished,
        calls_per_job=calls / size.jobs,
        cost=cost,
        ready=ready,
        restart=restart,
        polls=polls,
        service_mb=service.memory_mb,
        service_ready=service_ready,
    )


def _say(what: str) -> None:
    sys.stderr.write(f"bench: {what}\n")


def _variables(size: Size) -> dict[str, str]:
    return {
        "MAX_CONCURRENT_JOBS": str(size.budget),
        "OPERATOR_NAMESPACES": ",".join(size.names),
        "RESYNC_SECONDS": str(RESYNC_SECONDS),
    }


def _served(size: Size) -> list[str]:
    """Return the names of the RenderJobs in the service's namespace."""
    return [_name(number) for number in range(0, size.jobs, size.namespaces)]


def _name(number: int) -> str:
    return f"{CLIP}{number:05}"


async def _create(cluster: Cluster, size: Size) -> dict[str, float]:
    """Create RenderJobs as quickly as the API server takes them; return when each was created."""
    created: dict[str, float] = {}
    gate, namespaces = asyncio.Semaphore(CREATED_AT_A_TIME), size.names

    async def create(number: int) -> None:
        name = _name(number)
        async with gate:
            await cluster.create(RENDER_JOBS, namespaces[number % len(namespaces)], _manifest(name))
            created[name] = time.monotonic()

    await asyncio.gather(*(create(number) for number in range(size.jobs)))
    return created


async def _until(watcher: Watcher, ended: int) -> None:
    deadline = time.monotonic() + LONGEST_SECONDS
    while watcher.ended() < ended:
        assert time.monotonic() < deadline, f"{watcher.ended()} of {ended} RenderJobs have ended"
        await asyncio.sleep(0.2)


async def _converged(operator: OperatorProcess) -> tuple[float, float]:
    """Return after how many seconds an operator was ready, and its queue empty."""
    started = time.monotonic()
    ready = await asyncio.to_thread(operator.wait_until_ready)
    while operator.metric("ecg_queue_depth") > 0:  # noqa: ASYNC110 - another process, nothing tells of it
        await asyncio.sleep(0.1)
    return ready, time.monotonic() - started


def _manifest(name: str) -> dict[str, Any]:
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {"name": name},
        "spec": {
            "source": {"uri": "s3://in/clip.mp4"},
            "scenario": {"uri": "s3://in/scenario.json"},
            "output": {"uri": f"s3://out/{name}.mp4"},
            "deadlines": {"activeSeconds": LONGEST_SECONDS, "pendingSeconds": LONGEST_SECONDS},
        },
    }


def _read_job(obj: dict[str, Any]) -> Record[str] | None:
    return _record(obj, obj["metadata"]["labels"][JOB_LABEL])


def _read_phase(obj: dict[str, Any]) -> Record[str] | None:
    return _record(obj, obj.get("status", {}).get("phase", ""))


def _record(obj: dict[str, Any], value: str) -> Record[str]:
    meta = obj["metadata"]
    key = Key(meta["namespace"], meta["name"])
    return Record(meta["namespace"], meta["name"], meta["uid"], int(meta["resourceVersion"]), key, value)


def _page(found: Round) -> str:
    size, cost = found.size, found.cost
    rows = [
        ("jobs created at once, segments each", f"{size.jobs}, {size.segments}", ""),
        ("jobs that were over before, kept", f"{size.kept}", ""),
        ("namespaces, by name", f"{size.namespaces}", ""),
        ("jobs that may have pods at a time", f"{size.budget}", ""),
        ("create to plan Job, within the budget, p50 / p99", _percentiles(found.first), "p99 under 2 s"),
        ("create to plan Job, all, p50 / p99", _percentiles(found.waits), ""),
        ("all finished after", f"{found.finished:.0f} s", ""),
        ("API calls a job, without lists and watches", f"{found.calls_per_job:.1f}", "at most 25"),
        ("operator's memory, highest", f"{cost.memory_mb:.0f} MB", "under 300 MB"),
        ("operator's CPU, a job", f"{1000 * cost.cpu_seconds / size.jobs:.0f} ms", ""),
        ("event loop blocked by its own work, at most", f"{cost.busy:.2f} s", "0.2 s"),
        ("event loop late, lack of CPU included, at most", f"{cost.lag:.2f} s", ""),
        ("killed in the middle: ready after", f"{found.ready:.1f} s", "under 30 s"),
        ("killed in the middle: queue empty after", f"{found.restart:.1f} s", ""),
        (
            f"status of a job, {CLIENTS} clients every {POLL_SECONDS:g} s, p50 / p99",
            _percentiles(found.polls),
            "p99 under 0.3 s",
        ),
        ("service's memory, highest", f"{found.service_mb:.0f} MB", "under 300 MB"),
        ("service's start: ready after", f"{found.service_ready:.1f} s", "under 30 s"),
    ]
    lines = ["| | measured | target |", "|---|---:|---:|", *(f"| {' | '.join(row)} |" for row in rows)]
    machine = f"{psutil.cpu_count()} CPUs, {psutil.virtual_memory().total / 2**30:.0f} GiB of memory"
    return (
        "# How the operator scales\n\n"
        f"`make bench-scale`, on {machine}: etcd, the API server, the controllers, the\n"
        "scheduler, kwok, operator, service and its clients run there together.\n"
        f"{NODES} nodes with {GPUS_PER_NODE} GPUs each are played by kwok; pods end with real reports after seconds.\n"
        "The operator is killed when half of the jobs have ended, and started again. It lists everything anew every\n"
        f"{RESYNC_SECONDS} s. A replica of the service serves the first namespace.\n\n" + "\n".join(lines) + "\n"
    )


def _percentiles(seconds: Iterable[float]) -> str:
    values = sorted(seconds)
    return f"{values[len(values) // 2]:.2f} s / {values[min(len(values) - 1, int(len(values) * 0.99))]:.2f} s"


if __name__ == "__main__":
    typer.run(main)
