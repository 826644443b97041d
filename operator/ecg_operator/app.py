"""The whole operator, put together and run.

In this order:

    1 serve health   2 get the Lease   3 list everything   4 watch, reconcile, poll progress, post events
    5 on a signal: finish what is in hand, give the Lease up

    RenderJobs ── kopf ──┐
    Jobs, Pods ── reflectors ──> World ──> queue ──> Reconciler ──> Cluster
    pods' /progress ── poller ──┘
"""

from __future__ import annotations

import asyncio
import gc
import logging
import secrets
import socket
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from kubernetes.aio.client import Configuration

from ecg_api.names import MANAGED_BY, OPERATOR, PROGRESS_PORT
from ecg_cluster.cache import Key
from ecg_cluster.client import JOBS, PODS, RENDER_JOBS, Call, own_namespace
from ecg_cluster.election import Election, LeaseTiming
from ecg_cluster.queue import KeyedQueue
from ecg_cluster.reflector import Reflector, Source
from ecg_operator.act import Actor
from ecg_operator.admission_table import AdmissionTable
from ecg_operator.cluster import Cluster
from ecg_operator.errors import LeaseLost
from ecg_operator.events import EventRecorder
from ecg_operator.handlers import RenderJobWatch
from ecg_operator.health import Health, HealthServer, LoopLag
from ecg_operator.lookups import JobEvents, Nodes, ScenarioCheck
from ecg_operator.metrics import Metrics
from ecg_operator.observe import Observer
from ecg_operator.progress import POLL_SECONDS, ProgressPoller
from ecg_operator.reconcile import Reconciler
from ecg_operator.settings import Settings
from ecg_operator.warm_places import WarmPlaces
from ecg_operator.world import World

log = logging.getLogger(__name__)

SECONDS_TO_FINISH = 10.0
SECONDS_FOR_EVENTS = 2.0
LISTS_AT_A_TIME = 3
SECONDS_BETWEEN_LOOKS = 0.05


@dataclass(frozen=True)
class Options:
    """What differs between a person's machine, a cluster and a test.

    Attributes:
        elects: take part in leader election; without it nobody else may run.
        after_call: told about each request to the API server, after its answer.
        progress_port: where pods answer.
    """

    elects: bool = True
    timing: LeaseTiming = field(default_factory=LeaseTiming)
    after_call: Callable[[Call], None] = lambda call: None
    progress_port: int = PROGRESS_PORT
    progress_poll_seconds: float = POLL_SECONDS


class Operator:
    """One replica.

    Attributes:
        working: set once everything is listed and workers run.
    """

    def __init__(self, settings: Settings, configuration: Configuration, options: Options | None = None) -> None:
        self.settings = settings
        self.options = options or Options()
        self.working = asyncio.Event()
        self.metrics = Metrics(_version())
        self.cluster = Cluster(configuration, after_call=self._after_call)
        self.queue: KeyedQueue[Key] = KeyedQueue()
        self.world = World(self.queue, settings.controller_name, settings.policy.gpu_resource, settings.policy.storage)
        self.leader = self._leader() if self.options.elects else None
        if self.leader is not None:
            self.cluster.fence = self.leader.fence
        self.reflectors = self._reflectors()
        self._lag = LoopLag()
        self.health = Health(self.world, self.reflectors, self.leader, self._lag)
        self.poller = ProgressPoller(self.world, self.options.progress_port, self.options.progress_poll_seconds)
        self.events = EventRecorder(self.cluster, self.metrics.events_dropped.inc)
        gpu_places = settings.capacity is not None and settings.capacity.gpus
        self.admission = AdmissionTable(
            self.world, settings.budget, unserved=self.health.unserved, gpu_places=gpu_places
        )
        self.warm_places = self._warm_places()
        self.kopf = RenderJobWatch(
            configuration, self._served, self.world.render_job_event, self.world.render_jobs.knows
        )
        self.reconciler = self._reconciler()
        self.server = HealthServer(self.health, self.metrics, settings.health_port)

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set; raises LeaseLost, or whatever else ends the operator."""
        await self.server.start()
        log.info("health and metrics on port %d", self.server.port)
        try:
            await _together(self._lead_and_work(stop), self._lag.run())
        except BaseExceptionGroup as group:
            raise _cause(group) from None
        finally:
            await self.server.stop()
            await self.cluster.close()

    async def _lead_and_work(self, stop: asyncio.Event) -> None:
        if self.leader is None:
            await self._work(stop)
            return
        log.info("waiting for the Lease as %s", self.leader.identity)
        if not await _unless(stop, self.leader.win()):
            return
        try:
            await _together(self._work(stop), self._keep(self.leader))
        finally:
            await self.leader.release()

    async def _keep(self, leader: Election) -> None:
        """Stay the leader; raises LeaseLost when another replica may take over."""
        await leader.keep()
        raise LeaseLost(f"the Lease {leader.place} could not be renewed in time")

    async def _work(self, stop: asyncio.Event) -> None:
        self.health.acting = True
        listing = (reflector.run() for reflector in self.reflectors)
        background = [*listing, self.admission.run(), self.poller.run(), self.events.run()]
        if self.warm_places is not None:
            background.append(self._keep_warm(self.warm_places))
        await _together(self._reconcile(stop), *background)
        self.health.acting = False

    async def _reconcile(self, stop: asyncio.Event) -> None:
        """Reconcile until `stop`, then finish what is in hand and tell about it."""
        if not await _unless(stop, self._all_listed()):
            return
        world = self.world
        gc.collect()
        gc.freeze()  # looking for garbage among what stays would block the event loop, the longer the more is kept
        log.info("knows %d RenderJobs, %d Jobs, %d pods", len(world.render_jobs), len(world.jobs), len(world.pods))
        async with asyncio.TaskGroup() as group:
            watch = group.create_task(self.kopf.run())
            crew = [group.create_task(self.reconciler.work()) for _ in range(self.settings.workers)]
            self.working.set()
            await stop.wait()
            self.health.stopping = True
            watch.cancel()
            self.queue.close()
            _, slow = await asyncio.wait(crew, timeout=SECONDS_TO_FINISH)
            for task in slow:
                task.cancel()
            await self.events.flush(SECONDS_FOR_EVENTS)

    async def _all_listed(self) -> None:
        while self.health.waiting_for():  # noqa: ASYNC110 - a namespace may also turn out to be none of ours
            await asyncio.sleep(SECONDS_BETWEEN_LOOKS)

    def _served(self) -> list[str]:
        unserved = self.health.unserved()
        return [namespace for namespace in self.settings.namespaces if namespace not in unserved]

    async def _keep_warm(self, warm_places: WarmPlaces) -> None:
        await self._all_listed()  # before, everything would look idle
        await warm_places.run()

    def _after_call(self, call: Call) -> None:
        self.metrics.count_call(call)
        self.options.after_call(call)

    def _warm_places(self) -> WarmPlaces | None:
        settings = self.settings
        if settings.capacity is None:
            return None
        namespace = settings.lease_namespace or own_namespace()
        deployment = (namespace, settings.warm_deployment) if settings.warm_deployment else None
        return WarmPlaces(self.cluster, self.admission, settings.capacity, deployment, self.metrics)

    def _leader(self) -> Election:
        settings = self.settings
        # The same pod name would be taken for the same replica, so chance is part of it outside of a cluster.
        identity = settings.identity or f"{socket.gethostname()}-{secrets.token_hex(4)}"
        namespace = settings.lease_namespace or own_namespace()
        return Election(self.cluster.client, namespace, settings.lease_name, identity, self.options.timing)

    def _reflectors(self) -> list[Reflector]:
        resync = float(self.settings.resync_seconds)
        ours = f"{MANAGED_BY}={OPERATOR}"
        made, gate = [], asyncio.Semaphore(LISTS_AT_A_TIME)
        for namespace in self.settings.namespaces or (None,):
            jobs, pods = Source(JOBS, namespace, ours), Source(PODS, namespace, ours)
            render_jobs = Source(RENDER_JOBS, namespace)
            made += [
                Reflector(self.cluster, jobs, self.world.jobs, resync_seconds=resync, gate=gate),
                Reflector(self.cluster, pods, self.world.pods, resync_seconds=resync, gate=gate),
                # kopf watches these; lists notice the deletions that its watch has missed.
                Reflector(
                    self.cluster,
                    render_jobs,
                    self.world.render_jobs,
                    watches=False,
                    resync_seconds=resync,
                    listed=self.world.resync,
                    gate=gate,
                ),
            ]
        return made

    def _reconciler(self) -> Reconciler:
        job_events = JobEvents(self.cluster, self.settings.policy.start_seconds)
        policy, scenarios = self.settings.policy, ScenarioCheck(self.cluster)
        nodes = Nodes(self.cluster, policy.gpu_resource) if policy.prices is not None else None
        observer = Observer(self.world, self.admission, scenarios, job_events, self.poller.said, nodes)
        actor = Actor(self.cluster, self.world, self.metrics)
        return Reconciler(self.cluster, self.world, observer, actor, self.events, self.metrics, policy)


async def _together(main: Coroutine[Any, Any, None], *background: Coroutine[Any, Any, None]) -> None:
    """Run `main` to its end with `background` beside it; the first failure ends all."""
    async with asyncio.TaskGroup() as group:
        beside = [group.create_task(coroutine) for coroutine in background]
        await group.create_task(main)
        for task in beside:
            task.cancel()


async def _unless(stop: asyncio.Event, work: Coroutine[Any, Any, None]) -> bool:
    """Run `work` to its end, which is True, or until `stop` is set, which is False."""
    stopped, worked = asyncio.create_task(stop.wait()), asyncio.create_task(work)
    try:
        await asyncio.wait((stopped, worked), return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (stopped, worked):
            if not task.done():
                task.cancel()
    if stop.is_set():
        return False
    await worked
    return True


def _cause(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the exception that ended everything; a lost Lease goes before what came of it."""
    lost = group.subgroup(LeaseLost)
    error: BaseException = lost or group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _version() -> str:
    try:
        return version("ecg-render")
    except PackageNotFoundError:
        return "unknown"
