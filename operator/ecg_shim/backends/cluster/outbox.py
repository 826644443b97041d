"""The relay's records, each in the ticket of its job: they outlive every process, and any replica can go on with them.

A record is written before it has an effect outside. Progress that still waits is not written: the next relay finds it
on the RenderJob.
"""

from __future__ import annotations

import asyncio
import logging

from ecg_cluster.client import CONFIG_MAPS, load_connection, own_namespace
from ecg_cluster.election import within
from ecg_cluster.errors import AlreadyExists, ApiError, Changed, NotFound
from ecg_shim.backends.cluster import tickets
from ecg_shim.backends.cluster.api import Api, Fence
from ecg_shim.backends.cluster.render_jobs import Job
from ecg_shim.backends.cluster.store import TRIES, JobCache, unavailable
from ecg_shim.backends.cluster.tickets import OUTBOX, REPLAY, SELECTOR, Stage, Ticket, object_name, ticket_name
from ecg_shim.model import Unavailable
from ecg_shim.relay.records import CallbackRecord, RecordState

log = logging.getLogger(__name__)

PAGE = "500"


class ClusterOutbox:
    """An outbox in the cluster.

    Records are written by the holder of the Lease alone: no write goes on beyond its `fence`, and each names the
    version of the ticket that it is about, so that one which arrives late all the same changes nothing.
    """

    def __init__(self, api: Api, cache: JobCache, fence: Fence) -> None:
        self._api = api
        self._cache = cache
        self._fence = fence
        self._stored: dict[str, CallbackRecord] = {}

    async def open(self) -> None:
        """Learn what the last relay has written, past any watch that is behind."""
        self._stored.clear()
        params = {"labelSelector": SELECTOR, "limit": PAGE}
        try:
            while True:
                page = await self._api.page(CONFIG_MAPS, params)
                for obj in page.get("items") or ():
                    self._cache.tickets.learn(obj)
                    stored = tickets.read(obj)
                    record = stored.record if stored is not None and not stored.told else None
                    if record is not None:
                        self._keep(record)
                    await asyncio.sleep(0)
                if not page["metadata"].get("continue"):
                    return
                params["continue"] = page["metadata"]["continue"]
        except ApiError as error:
            raise unavailable(error) from error

    async def close(self) -> None:
        """Forget what was read; nothing else is held."""
        self._stored.clear()

    async def get(self, job_id: str) -> CallbackRecord | None:
        """Return the record of a job."""
        if job_id in self._stored:
            return self._stored[job_id]
        stored = self._cache.entry(object_name(job_id)).stored
        return stored.record if stored is not None and stored.ticket.job_id == job_id else None

    async def save(self, record: CallbackRecord) -> None:
        """Keep a record."""
        before = await self.get(record.job_id)
        if _is_blank(record) if before is None else _lasting(before) == _lasting(record):
            self._keep(record)
            return
        data = {OUTBOX: record.model_dump_json()}
        try:
            async with within(self._fence()):
                await self._write(record.job_id, data)
        except TimeoutError:
            raise Unavailable("the Lease has run out, and another replica tells callbacks now") from None
        except ApiError as error:
            raise unavailable(error) from error
        self._keep(record)

    async def unfinished(self) -> list[CallbackRecord]:
        """Return the open records, the oldest first."""
        return sorted(self._stored.values(), key=lambda record: record.seen_at)

    async def dead(self) -> list[CallbackRecord]:
        """Return the records whose job's end was given up."""
        found = (stored.record for stored in self._cache.stored() if stored.record_state is RecordState.DEAD)
        return [record for record in found if record is not None]

    async def count_dead(self) -> int:
        """Return the number of those; all are in memory."""
        return sum(stored.record_state is RecordState.DEAD for stored in self._cache.stored())

    async def ask_for_replay(self, job_id: str) -> None:
        """Ask the replica that tells callbacks to send the end of a job once more."""
        await self._annotate(job_id, "true")

    async def take_replays(self) -> list[str]:
        """Return the jobs that were asked for, once."""
        if self._fence() <= 0:
            return []
        asked = [stored.ticket.job_id for stored in self._cache.stored() if stored.replay]
        for job_id in asked:
            await self._annotate(job_id, None)
        return asked

    async def forget(self, before: float) -> None:
        """Do nothing: records go with the tickets of their jobs, which `Reconciler` removes."""

    def _keep(self, record: CallbackRecord) -> None:
        if record.state is RecordState.OPEN:
            self._stored[record.job_id] = record
        else:
            self._stored.pop(record.job_id, None)

    async def _write(self, job_id: str, data: dict[str, str]) -> None:
        """Write entries of a job's ticket, of whatever version it is now. Raises ApiError."""
        name = object_name(job_id)
        for _ in range(TRIES):
            entry = self._cache.entry(name)
            try:
                if entry.stored is not None:
                    meta = {"resourceVersion": entry.stored.version, "uid": entry.stored.uid}
                    obj = await self._api.patch(CONFIG_MAPS, ticket_name(name), {"metadata": meta, "data": data})
                elif entry.job is not None:
                    body = tickets.config_map(_ticket_for(entry.job))
                    obj = await self._api.create(CONFIG_MAPS, {**body, "data": {**body["data"], **data}})
                else:
                    log.info("job %s is deleted, and what was told about it is not kept", job_id)
                    return
            except (Changed, AlreadyExists, NotFound):
                await self._refresh(name)
                continue
            self._cache.tickets.learn(obj)
            return
        raise Unavailable(f"The ticket of job {job_id} is changed by others all the time, or cannot be read.")

    async def _refresh(self, name: str) -> None:
        """Learn what has become of a ticket meanwhile. Raises ApiError."""
        found = await self._api.find(CONFIG_MAPS, ticket_name(name))
        if found is not None:
            self._cache.tickets.learn(found)
        elif (stored := self._cache.entry(name).stored) is not None:
            self._cache.forget_ticket(ticket_name(name), stored.uid)

    async def _annotate(self, job_id: str, value: str | None) -> None:
        patch = {"metadata": {"annotations": {REPLAY: value}}}
        try:
            self._cache.tickets.learn(await self._api.patch(CONFIG_MAPS, ticket_name(object_name(job_id)), patch))
        except NotFound:
            return
        except ApiError as error:
            raise unavailable(error) from error


def _ticket_for(job: Job) -> Ticket:
    """Return a ticket for a RenderJob that a person has made."""
    return Ticket(
        job_id=job.job_id,
        stage=Stage.RUNNING,
        submitted_at=job.submitted_at,
        changed_at=tickets.now(),
        payload_hash=job.payload_hash,
        callback_url=job.callback_url,
    )


def _is_blank(record: CallbackRecord) -> bool:
    """Tell whether a record says only that its job was heard of: the next relay hears of it, too."""
    return record.state is RecordState.OPEN and not (record.sending or record.terminal or record.sent_at)


def _lasting(record: CallbackRecord) -> CallbackRecord:
    """Return what cannot be found out again."""
    return record.model_copy(update={"waiting": None, "version": 0})


class ClusterDeadLetters:
    """Ends of jobs that could not be told, and how to have them told again.

    Args:
        namespace: of the service; empty for the pod's own.
    """

    def __init__(self, namespace: str) -> None:
        self._namespace = namespace

    async def open(self) -> None:
        """Read what is there. Raises Unavailable."""
        self._api = Api(await load_connection(), self._namespace or own_namespace())
        self._outbox = ClusterOutbox(self._api, JobCache(self._api), lambda: 0.0)
        try:
            await self._outbox.open()
        except BaseException:
            await self._api.close()
            raise

    async def close(self) -> None:
        """Close the connection."""
        await self._api.close()

    async def dead(self) -> list[CallbackRecord]:
        """Return the records whose job's end was given up."""
        return await self._outbox.dead()

    async def ask_for_replay(self, job_id: str) -> None:
        """Ask the replica that tells callbacks to send the end of a job once more. Raises Unavailable."""
        await self._outbox.ask_for_replay(job_id)
