"""Says over HTTP whether the operator works: /healthz, /readyz, /metrics. Each no comes with a sentence."""

from __future__ import annotations

import asyncio
import time
from collections import Counter as Tally
from collections import deque
from collections.abc import Callable, Iterable, Set
from typing import Any, Protocol

from aiohttp import web

from ecg_api.status import Phase
from ecg_cluster.cache import Cache
from ecg_cluster.client import JOBS, PODS, RENDER_JOBS, Resource
from ecg_cluster.reflector import Reflector
from ecg_operator.metrics import Metrics
from ecg_operator.world import World

STUCK_SECONDS = 120.0
LAG_WINDOW = 30.0
_BEAT = 0.1

Problems = list[str]


class Leads(Protocol):
    """What is asked of the leader."""

    @property
    def leads(self) -> bool:
        """Whether this replica holds the Lease."""


class LoopLag:
    """Measures how late the event loop is: the longest delay of the last LAG_WINDOW seconds.

    For the metrics alone: a loop that is blocked answers no probe, and one that was late for a moment works again.

    Attributes:
        seconds: by which a task was late.
        busy_seconds: of them, those in which the loop itself computed; in the others it had no CPU.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self.busy_seconds = 0.0

    async def run(self) -> None:
        """Measure for ever."""
        worst: deque[tuple[float, float, float]] = deque()
        while True:
            asked, computed = time.monotonic(), time.thread_time()
            await asyncio.sleep(_BEAT)
            late = max(0.0, time.monotonic() - asked - _BEAT)
            worst.append((asked, late, min(late, time.thread_time() - computed)))
            while asked - worst[0][0] > LAG_WINDOW:
                worst.popleft()
            self.seconds = max(late for _, late, _ in worst)
            self.busy_seconds = max(busy for _, _, busy in worst)


class Health:
    """Knows what a healthy operator looks like.

    Attributes:
        acting: False while this replica waits for the Lease; then there is nothing that could be stale.
        stopping: the operator is about to end.
    """

    def __init__(self, world: World, reflectors: Iterable[Reflector], leader: Leads | None, lag: LoopLag) -> None:
        self._world = world
        self._caches: tuple[tuple[Resource, Cache[Any]], ...] = (
            (RENDER_JOBS, world.render_jobs), (JOBS, world.jobs), (PODS, world.pods),
        )  # fmt: skip
        self._reflectors = list(reflectors)
        self._leader = leader
        self._lag = lag
        self.acting = False
        self.stopping = False

    def problems(self) -> Problems:
        """Return why this process should be started again; empty if it works."""
        found: list[str] = []
        if not self.acting or self.stopping:
            return found
        # Not by the age of the oldest: of tens of thousands that come at once the last one waits for minutes.
        stuck = self._world.queue.stuck_for()
        if stuck > STUCK_SECONDS:
            found.append(f"the queue is stuck: no RenderJob was looked at for {stuck:.0f} s")
        for reflector in self._served():
            if reflector.staleness() > reflector.longest_silence:
                name = reflector.source.resource.plural
                found.append(f"nothing was heard about {name} for {reflector.staleness():.0f} s")
        if self._leader is not None and not self._leader.leads:
            found.append("the Lease is lost, another replica may act")
        return found

    def waiting_for(self) -> Problems:
        """Return what is missing until the operator is ready; a replica that waits for the Lease is ready."""
        if self.stopping:
            return ["the operator is stopping"]
        if not self.acting:
            return []
        return [
            f"the first list of {reflector.source.resource.plural} is not there yet"
            for reflector in self._served()
            if not reflector.synced.is_set()
        ]

    def unserved(self) -> Set[str | None]:
        """Return the namespaces of several that are gone, or that we have no rights in; not if that is so of all.

        With a namespace go the rights that the chart has given us there. The others have done nothing wrong.
        """
        refused = {reflector.source.namespace for reflector in self._reflectors if reflector.refused}
        return refused if refused < {reflector.source.namespace for reflector in self._reflectors} else frozenset()

    def _served(self) -> list[Reflector]:
        unserved = self.unserved()
        return [reflector for reflector in self._reflectors if reflector.source.namespace not in unserved]

    def measure(self, metrics: Metrics) -> None:
        """Bring the gauges up to date."""
        metrics.queue_depth.set(self._world.queue.depth)
        metrics.queue_oldest.set(self._world.queue.oldest_age())
        metrics.loop_lag.set(self._lag.seconds)
        metrics.loop_busy.set(self._lag.busy_seconds)
        metrics.leader.set(self.acting and (self._leader is None or self._leader.leads))
        silent: dict[str, float] = {}
        for reflector in self._served():
            name = reflector.source.resource.plural
            silent[name] = max(silent.get(name, 0.0), reflector.staleness())
        for name, seconds in silent.items():
            metrics.silence.labels(name).set(seconds)
        unserved = self.unserved()
        metrics.unserved.set(len(unserved))
        for resource, cache in self._caches:
            metrics.unreadable.labels(resource.plural).set(len(cache.unreadable))
        records = self._world.render_jobs.records()
        tally = Tally(record.value.phase for record in records if record.namespace not in unserved)
        for phase in Phase:
            metrics.jobs.labels(phase.value).set(tally[phase])


class HealthServer:
    """Serves health and metrics on a port; 0 takes a free one, `port` then says which."""

    def __init__(self, health: Health, metrics: Metrics, port: int) -> None:
        self._health = health
        self._metrics = metrics
        self.port = port
        application = web.Application()
        application.router.add_get("/healthz", self._healthz)
        application.router.add_get("/readyz", self._readyz)
        application.router.add_get("/metrics", self._metrics_text)
        self._runner = web.AppRunner(application, access_log=None)

    async def start(self) -> None:
        """Start to serve; raises OSError if the port is taken."""
        await self._runner.setup()
        site = web.TCPSite(self._runner, port=self.port)
        await site.start()
        if self.port == 0:
            # One socket for IPv4 and one for IPv6, each with a port of its own then.
            self.port = next(int(address[1]) for address in self._runner.addresses if len(address) == 2)

    async def stop(self) -> None:
        """Stop serving."""
        await self._runner.cleanup()

    async def _healthz(self, request: web.Request) -> web.Response:
        return _answer(self._health.problems)

    async def _readyz(self, request: web.Request) -> web.Response:
        return _answer(self._health.waiting_for)

    async def _metrics_text(self, request: web.Request) -> web.Response:
        self._health.measure(self._metrics)
        return web.Response(body=self._metrics.text(), content_type="text/plain", charset="utf-8")


def _answer(ask: Callable[[], Problems]) -> web.Response:
    problems = ask()
    return web.Response(text="\n".join(problems) or "ok", status=503 if problems else 200)
