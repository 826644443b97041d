"""The backend of a cluster: see `ecg_shim.model.Backend`. Replicas hold nothing that the API server does not have."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import secrets
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from ecg_api.failures import Failure
from ecg_api.status import RenditionStatus
from ecg_cluster.client import CONFIG_MAPS, load_connection, own_namespace
from ecg_cluster.election import Election
from ecg_cluster.errors import AlreadyExists, ApiError, NoCluster
from ecg_shim.backends.cluster import tickets
from ecg_shim.backends.cluster.api import Api
from ecg_shim.backends.cluster.health import Health
from ecg_shim.backends.cluster.leader import Leader, MakeRelay
from ecg_shim.backends.cluster.live import LiveStreams
from ecg_shim.backends.cluster.outbox import ClusterOutbox
from ecg_shim.backends.cluster.reconciler import Reconciler
from ecg_shim.backends.cluster.scenarios import Kept, Scenarios
from ecg_shim.backends.cluster.settings import ClusterSettings
from ecg_shim.backends.cluster.store import JobCache, TicketStore, unavailable
from ecg_shim.backends.cluster.tickets import Stage, Ticket, object_name, ticket_name
from ecg_shim.backends.storage import Presigner, signed_result
from ecg_shim.model import (
    Admission,
    JobState,
    JobStatus,
    Output,
    QueueState,
    RenderOrder,
    StoredPiece,
    Submission,
    Unavailable,
)
from ecg_shim.snapshot import Snapshot, Snapshots
from ecg_shim.tasks import Tasks

log = logging.getLogger(__name__)

SECONDS_TO_SYNC = 60.0
SECONDS_TO_ASK, SECONDS_TO_CONFIRM = 5.0, 0.8
AT_ONCE = 16
LARGE_AT_ONCE = 4
"""ConfigMaps of up to 1 MiB that are sent at a time: more would only make each of them late."""


class ClusterBackend:
    """Renders by RenderJobs, which an operator carries out.

    Args:
        admit: looks at each job before its RenderJob is made; None admits all.
        make_relay: makes what tells callbacks, for the time that this replica does; None: it never does, and tickets
            wait for a replica that does.
    """

    def __init__(
        self, settings: ClusterSettings, admit: Admission | None = None, make_relay: MakeRelay | None = None
    ) -> None:
        self._settings = settings
        self._admit = admit
        self._make_relay = make_relay
        self._presigner = Presigner(settings.bucket, settings.presign_seconds)
        self._scenarios = Scenarios(settings.bucket, settings.scenario_store)
        self._live = LiveStreams(settings.presign_seconds)
        self.tasks = Tasks()
        self._stack = AsyncExitStack()
        self._direct = asyncio.Semaphore(AT_ONCE)
        self._large = asyncio.Semaphore(LARGE_AT_ONCE)

    async def start(self) -> None:
        """Learn what is in the cluster, and begin. Raises Unavailable."""
        try:
            configuration = await load_connection(self._settings.kubeconfig)
        except NoCluster as error:
            raise Unavailable(f"There is {error}. Set KUBECONFIG.") from error
        self._api = await self._connected(configuration, self._settings.namespace or own_namespace())
        operator_namespace, lease = self._settings.operator_lease
        operator = await self._connected(configuration, operator_namespace or self._api.namespace)
        self._cache = JobCache(self._api, self._settings.public_url)
        self._tickets = TicketStore(self._api, self._cache, self._settings)
        self._snapshots = Snapshots(self._cache, self._settings.max_concurrent, lambda job: job.eta_seconds)
        self._health = Health(operator, lease, self._settings.gpu_resource, self._settings.stale_seconds)
        self._stack.callback(self._scenarios.close)
        self._stack.callback(self._live.close)
        for what, reflector in zip(("RenderJobs", "tickets"), self._cache.reflectors, strict=True):
            self.tasks.spawn(f"the watch of {what}", reflector.run())
        try:
            async with asyncio.timeout(SECONDS_TO_SYNC):
                await self._cache.synced()
            gc.collect()
            gc.freeze()  # looking for garbage among thousands of kept jobs would keep all requests waiting
        except TimeoutError:
            problems = "; ".join(self._cache.problems) or "the API server does not answer"
            await self.close()
            raise Unavailable(f"{problems}. Is the CRD installed, and may the service read it?") from None
        self.tasks.spawn("the look at operator and nodes", self._health.run())
        if self._make_relay is not None:
            self.tasks.spawn("the leader election", self._leader(self._make_relay).run())

    async def close(self) -> None:
        """Stop; another replica, or the next one, goes on."""
        await self.tasks.close()
        await self._stack.aclose()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[ClusterBackend]:
        """Be started for the duration of the block. Raises Unavailable."""
        await self.start()
        try:
            yield self
        finally:
            await self.close()

    async def submit(self, order: RenderOrder) -> JobState:
        """Take a job; it is in the cluster when this returns. Raises Conflict, Full, Unavailable."""
        there = self._cache.get(order.job_id)
        if there is not None and there.payload_hash == order.payload_hash and there.status is not JobStatus.QUEUED:
            return there
        self._tickets.check_room(order.job_id)
        kept = await self._scenarios.keep(order.job_id, order.scenario)
        ticket = _ticket(
            order,
            video_url=order.video_url,
            options=order.options.model_dump(mode="json", exclude_none=True),
            scenario=kept.reference if isinstance(kept, Kept) else None,
            failure=kept if isinstance(kept, Failure) else None,
        )
        return await self._put(ticket, kept if isinstance(kept, Kept) else None)

    async def reject(self, submission: Submission, failure: Failure) -> JobState:
        """Note a job that cannot be rendered. Raises Conflict, Full, Unavailable."""
        self._tickets.check_room(submission.job_id)
        return await self._put(_ticket(submission, failure=failure))

    async def get(self, job_id: str) -> JobState | None:
        """Return where a job stands; what this replica has not heard of is asked for. Raises Unavailable."""
        known = self._cache.get(job_id)
        if known is None or not self._cache.live:
            known = await self._asked_for(job_id, known)
        return self._snapshots.timed(known) if known is not None else None

    async def signed_anew(self, output: Output) -> Output:
        """Return a video with an address that works from now on; as it is if that lasts, or none can be signed."""
        return await self._presigner.renewed(output)

    async def handed_out(self, result: RenditionStatus) -> Output:
        """Return one of a job's results as something to hand out, with an address that works from now on."""
        return await self._presigner.renewed(signed_result(result))

    async def live(self, state: JobState, path: str, *, here: bool = False) -> str | StoredPiece | None:
        """Return a playlist, or a piece, of a job's live stream; None if that is not there (yet), or not in S3."""
        job = self._cache.entry(object_name(state.job_id)).job
        if job is None or not job.live_uri.startswith("s3://"):
            return None
        if path.endswith(".m3u8"):
            return await self._live.playlist(job.live_uri, path, ended=state.status.terminal, here=here)
        return await self._live.piece(job.live_uri, path.rpartition("/")[2])

    async def cancel(self, job_id: str) -> bool:
        """Stop a job; False if it is not known (then its id is remembered) or has ended. Raises Full, Unavailable."""
        try:
            return await self._tickets.cancel(job_id)
        except ApiError as error:
            raise unavailable(error) from error

    async def list_jobs(self, limit: int) -> list[JobState]:
        """Return the newest jobs first."""
        return [self._snapshots.timed(state) for state in self._cache.newest(limit)]

    async def queue(self) -> QueueState:
        """Return how busy the service is."""
        return self.snapshot().queue

    def snapshot(self) -> Snapshot:
        """Return how busy the service is, and for how long."""
        return self._snapshots.now()

    async def clear(self) -> int:
        """Cancel all jobs that wait. Raises Unavailable."""

        async def one(state: JobState) -> bool:
            async with self._direct:
                return await self.cancel(state.job_id)

        return sum(await asyncio.gather(*map(one, self._cache.waiting())))

    def changes(self) -> AsyncGenerator[JobState, None]:
        """Yield every job, the oldest first, then each change; a slow listener misses steps, but no end."""
        return self._cache.listen()

    async def tell_again(self, job_id: str) -> None:
        """Have the leader tell the end of a job once more, unless that is yet to be told. Raises Unavailable."""
        try:
            # Not from memory: the leader may have told it a moment ago, and the client's row says `processing` now.
            stored = (await self._tickets.look(job_id)).stored
        except ApiError as error:
            raise unavailable(error) from error
        if stored is not None and stored.record_state is not None:
            await ClusterOutbox(self._api, self._cache, lambda: 0.0).ask_for_replay(job_id)

    def not_ready(self) -> list[str]:
        """Return why this replica should get no requests: it does not hear what changes, or a task has ended."""
        problems = [self.tasks.problem] if self.tasks.problem else []
        if self._cache.lost:
            problems += self._cache.problems or ["Nothing was heard of the API server for a while."]
        return problems

    def health(self) -> Mapping[str, Any]:
        """Return `healthy`, `problems`, GPUs and frames; waits for nothing."""
        problems = list(dict.fromkeys([*self.not_ready(), *self._cache.problems, *self._health.problems]))
        processed, dropped = self._cache.processed, self._cache.dropped
        return {
            "healthy": not problems,
            "problems": problems,
            **self._health.blocks(),
            "streaming": {
                "pipeline_active": bool(self._cache.begun()),
                "total_frames_processed": processed,
                "total_frames_dropped": dropped,
                "average_drop_rate": dropped / processed if processed else 0.0,
            },
        }

    async def _asked_for(self, job_id: str, known: JobState | None) -> JobState | None:
        """Return what the API server says, soon: else what is known already. Raises Unavailable if nothing is."""
        try:
            async with asyncio.timeout(SECONDS_TO_ASK if known is None else SECONDS_TO_CONFIRM), self._direct:
                return (await self._tickets.look(job_id)).state(self._settings.public_url)
        except (ApiError, Unavailable, TimeoutError) as error:
            if known is not None:
                return known
            said = unavailable(error) if isinstance(error, ApiError) else error
            raise said if isinstance(said, Unavailable) else Unavailable("The cluster's API server is slow") from error

    async def _connected(self, configuration: Any, namespace: str) -> Api:
        api = Api(configuration, namespace)
        self._stack.push_async_callback(api.close)
        return api

    def _leader(self, make_relay: MakeRelay) -> Leader:
        identity = f"{os.environ.get('POD_NAME') or socket.gethostname()}-{secrets.token_hex(4)}"
        election = Election(
            self._api.client, self._api.namespace, self._settings.lease_name, identity, self._settings.timing
        )
        outbox = ClusterOutbox(self._api, self._cache, election.fence)

        def make_reconciler() -> Reconciler:
            return Reconciler(self._api, self._cache, self._tickets, self._settings, self._admit, election.fence)

        return Leader(election, self._cache, outbox, make_reconciler, make_relay)

    async def _put(self, ticket: Ticket, kept: Kept | None = None) -> JobState:
        try:
            state = await self._tickets.put(ticket)
            if kept is not None and kept.config_map is not None and state.status is JobStatus.QUEUED:
                await self._store(ticket.job_id, kept.config_map)
        except ApiError as error:
            raise unavailable(error) from error
        self._snapshots.forget()
        return self._snapshots.timed(state)

    async def _store(self, job_id: str, config_map: Mapping[str, Any]) -> None:
        """Create the ConfigMap with a scenario; it goes when its ticket goes."""
        stored = self._cache.entry(object_name(job_id)).stored
        if stored is None:
            return  # it has ended already
        owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": ticket_name(stored.name), "uid": stored.uid}
        body = {**config_map, "metadata": {**config_map["metadata"], "ownerReferences": [owner]}}
        try:
            async with self._large:
                await self._api.create(CONFIG_MAPS, body)
        except AlreadyExists:
            return


def _ticket(asked: RenderOrder | Submission, *, failure: Failure | None = None, **values: Any) -> Ticket:
    moment = tickets.now()
    return Ticket(
        job_id=asked.job_id,
        stage=Stage.WAITING if failure is None else Stage.FAILED,
        submitted_at=moment,
        changed_at=moment,
        payload_hash=asked.payload_hash,
        callback_url=asked.callback_url,
        failure=failure,
        **values,
    )
