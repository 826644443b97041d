"""Tickets and RenderJobs: as this replica's reflectors have them, and how tickets are changed.

The cache is not the truth: it is what the API server said last, and a replica that starts learns it anew. Each change
reads the newest there is, and writes only over what it has seen. Any replica may do this at any time; the API server
decides who was first, and whoever was not looks again.
"""

from __future__ import annotations

import asyncio
import logging
import math
from bisect import bisect_left, insort
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from sys import intern
from typing import TypeVar

from ecg_cluster.cache import Cache, Key, Record
from ecg_cluster.client import CONFIG_MAPS, RENDER_JOBS, Json
from ecg_cluster.errors import AlreadyExists, ApiError, Changed, NotFound
from ecg_cluster.reflector import Reflector, Source
from ecg_shim.backends.cluster import render_jobs, tickets
from ecg_shim.backends.cluster.api import Api
from ecg_shim.backends.cluster.render_jobs import Job
from ecg_shim.backends.cluster.settings import ClusterSettings
from ecg_shim.backends.cluster.states import is_for, state_of
from ecg_shim.backends.cluster.tickets import (
    CANCELLED,
    Stage,
    StoredTicket,
    Ticket,
    name_of_ticket,
    object_name,
    ticket_name,
)
from ecg_shim.backends.job_states import JobStates
from ecg_shim.model import Conflict, Full, JobState, JobStatus, Unavailable

log = logging.getLogger(__name__)

TRIES = 12
LOST_RACE = (Changed, AlreadyExists, NotFound)
"""Somebody else was faster: look again."""
NOT_RENDERED = (Stage.FAILED, Stage.CANCELLED)
"""Stages of tickets that are kept although no RenderJob stands behind them."""
V = TypeVar("V")
Ticketed = StoredTicket | None
"""None: a ConfigMap that cannot be read as a ticket."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What is known about one name."""

    stored: StoredTicket | None = None
    job: Job | None = None

    @property
    def at_rest(self) -> bool:
        """Whether the job has ended, and all was told about it."""
        return self.stored is not None and _is_told(self.stored) and (self.job is None or self.job.finished)

    def state(self, public_url: str = "") -> JobState | None:
        """Return where the job stands, see `state_of`."""
        return state_of(self.stored.ticket if self.stored else None, self.job, public_url)


NOTHING = Entry()


class JobCache(JobStates):
    """Entries by name.

    Attributes:
        changed: told each name about which something has changed.
        processed, dropped: frames of all jobs that are known.
        queued: how many jobs wait for their turn.
        untold: how many jobs were refused or cancelled early and are still to be told of.
        tombstones: how many cancels of unknown jobs are remembered.
    """

    def __init__(self, api: Api, public_url: str = "") -> None:
        super().__init__()
        self.public_url = public_url
        self._namespace = api.namespace
        self.tickets = Cache(_read_ticket, self._ticket_seen, self._ticket_gone)
        self.jobs = Cache(_read_job, self._job_seen, self._job_gone)
        sources = ((RENDER_JOBS, "", self.jobs), (CONFIG_MAPS, tickets.SELECTOR, self.tickets))
        self.reflectors = [
            Reflector(api.client, Source(resource, api.namespace, selector), cache, resync_seconds=math.inf)
            for resource, selector, cache in sources
        ]
        self.changed: Callable[[str], None] = lambda name: None
        self.queued, self.untold, self.tombstones = 0, 0, 0
        self._not_rendered: list[tuple[datetime, str]] = []
        """Jobs that were refused or cancelled early and told of: since when, and the name."""
        self._entries: dict[str, Entry] = {}
        self.processed, self.dropped = 0, 0

    @property
    def live(self) -> bool:
        """Whether changes are heard of within moments."""
        return all(reflector.live for reflector in self.reflectors)

    @property
    def lost(self) -> bool:
        """Whether what is known here is old."""
        return any(reflector.lost for reflector in self.reflectors)

    @property
    def problems(self) -> list[str]:
        """Why changes are not heard of."""
        return [reflector.problem for reflector in self.reflectors if reflector.problem]

    async def synced(self) -> None:
        """Wait until everything was listed once."""
        for reflector in self.reflectors:
            await reflector.synced.wait()

    def entry(self, name: str) -> Entry:
        """Return what is known about a name."""
        return self._entries.get(name, NOTHING)

    def names(self) -> list[str]:
        """Return all names."""
        return list(self._entries)

    def stored(self) -> Iterator[StoredTicket]:
        """Yield all tickets."""
        return (entry.stored for entry in list(self._entries.values()) if entry.stored is not None)

    def get(self, job_id: str) -> JobState | None:
        """Return where a job stands."""
        state = self.named(object_name(job_id))
        return state if state is not None and state.job_id == job_id else None

    def surplus(self, most: int) -> str | None:
        """Return the name of the job that ended first of those without a RenderJob, if more than `most` are kept."""
        if len(self._not_rendered) <= most:
            return None
        return next((name for _, name in self._not_rendered if self.entry(name).job is None), None)

    def forget_ticket(self, config_map: str, uid: str) -> None:
        """Note that a ticket is gone."""
        self.tickets.forget_uid(self._namespace, config_map, uid)

    def forget_job(self, name: str, uid: str) -> None:
        """Note that a RenderJob is gone."""
        self.jobs.forget_uid(self._namespace, name, uid)

    def _ticket_seen(self, record: Record[Ticketed], before: Record[Ticketed] | None) -> None:
        name = name_of_ticket(record.name)
        self._count(before.value if before is not None else None, -1)
        self._count(record.value, 1)
        self._set(name, replace(self.entry(name), stored=record.value))

    def _ticket_gone(self, record: Record[Ticketed]) -> None:
        name = name_of_ticket(record.name)
        self._count(record.value, -1)
        self._set(name, replace(self.entry(name), stored=None))

    def _count(self, stored: Ticketed, change: int) -> None:
        if stored is None:
            return
        ticket = stored.ticket
        if ticket.stage is Stage.TOMBSTONE:
            self.tombstones += change
        elif ticket.stage in NOT_RENDERED and not _is_told(stored):
            self.untold += change
        elif ticket.stage in NOT_RENDERED and change > 0:
            insort(self._not_rendered, (ticket.changed_at, stored.name))
        elif ticket.stage in NOT_RENDERED:
            del self._not_rendered[bisect_left(self._not_rendered, (ticket.changed_at, stored.name))]

    def _job_seen(self, record: Record[Job], before: Record[Job] | None) -> None:
        self._set(record.name, replace(self.entry(record.name), job=record.value))

    def _job_gone(self, record: Record[Job]) -> None:
        self._set(record.name, replace(self.entry(record.name), job=None))

    def _set(self, name: str, entry: Entry) -> None:
        if entry == NOTHING:
            self._entries.pop(name, None)
        else:
            self._entries[name] = entry
        before, state = self.named(name), entry.state(self.public_url)
        if state is None or before is None or replace(before, version=state.version) != state:
            # Callbacks are noted on the same objects: that alone is no news, or telling it would never end.
            self._show(name, state)
        self.changed(name)

    def _is_settled(self, name: str) -> bool:
        return self.entry(name).at_rest

    def _show(self, name: str, state: JobState | None) -> None:
        for counted, sign in ((self.named(name), -1), (state, 1)):
            if counted is not None:
                self.processed += sign * counted.metrics.frames_processed
                self.dropped += sign * counted.metrics.frames_dropped
                self.queued += sign * (counted.status is JobStatus.QUEUED)
        super()._show(name, state)


def _is_told(stored: StoredTicket) -> bool:
    """Tell whether the relay has taken a job up, and nothing is left to tell."""
    return stored.record_state is not None and stored.told


def _read_ticket(obj: Json) -> Record[Ticketed]:
    stored = tickets.read(obj)
    if stored is None:
        name = obj["metadata"]["name"]
        log.error("ConfigMap %s cannot be read as a job of this service; it is passed over", name)
    return _record(obj, stored)


def _read_job(obj: Json) -> Record[Job]:
    return _record(obj, render_jobs.read(obj))


def _record(obj: Json, value: V) -> Record[V]:
    meta = obj["metadata"]
    key = Key(intern(meta["namespace"]), meta["name"])
    return Record(key.namespace, key.name, meta["uid"], int(meta["resourceVersion"]), key, value)


class TicketStore:
    """Reads and changes what is stored about a job id."""

    def __init__(self, api: Api, cache: JobCache, settings: ClusterSettings) -> None:
        self._api = api
        self._cache = cache
        self._tombstone = timedelta(seconds=settings.tombstone_seconds)
        self._settings = settings

    async def look(self, job_id: str) -> Entry:
        """Return what is stored now, as the API server has it. Raises ApiError, Unavailable."""
        name = object_name(job_id)
        config_map, render_job = await asyncio.gather(
            self._api.find(CONFIG_MAPS, ticket_name(name)), self._api.find(RENDER_JOBS, name)
        )
        if config_map is not None:
            self._cache.tickets.learn(config_map)
        if render_job is not None:
            self._cache.jobs.learn(render_job)
        stored = tickets.read(config_map) if config_map else None
        job = render_jobs.read(render_job) if render_job else None
        if (config_map and stored is None) or (stored and stored.ticket.job_id != job_id):
            raise Unavailable(f"The ConfigMap {ticket_name(name)} is in the way: it is not about job {job_id}.")
        return Entry(stored, job if job is None or job.job_id == job_id else None)

    def check_room(self, job_id: str) -> None:
        """Raise Full if a job of this id would be one more than may wait: for its turn, or to be told of."""
        state = self._cache.named(object_name(job_id))
        if state is None or state.status.terminal:
            most = self._settings.max_waiting
            _check_room("jobs that wait", self._cache.queued + self._cache.untold, most)

    async def put(self, ticket: Ticket) -> JobState:
        """File a new job, or return the job that the same POST has made before. Raises Conflict, ApiError."""
        for _ in range(TRIES):
            try:
                obj = await self._api.create(CONFIG_MAPS, tickets.config_map(ticket))
            except AlreadyExists:
                found = await self._put_over(ticket)
                if found is not None:
                    return found
                continue
            self._cache.tickets.learn(obj)
            return _state(Entry(tickets.read(obj)))
        raise Unavailable(f"Job {ticket.job_id} is changed by others all the time; try again.")

    async def cancel(self, job_id: str) -> bool:
        """Stop a job; False if it has ended, or is not known: then its id is remembered. Raises Full, ApiError."""
        for _ in range(TRIES):
            entry = await self.look(job_id)
            state = entry.state(self._cache.public_url)
            try:
                if state is None:
                    await self._remember(job_id, entry)
                    return False
                if state.status.terminal:
                    return False
                await self._stop(entry)
                return True
            except LOST_RACE:
                continue
        raise Unavailable(f"Job {job_id} is changed by others all the time; try again.")

    async def change(self, entry: Entry, ticket: Ticket) -> None:
        """Change a ticket if it still is as it was seen. Raises Changed, ApiError."""
        assert entry.stored is not None
        body = tickets.change(entry.stored, ticket)
        self._cache.tickets.learn(await self._api.patch(CONFIG_MAPS, ticket_name(entry.stored.name), body))

    async def _put_over(self, ticket: Ticket) -> JobState | None:
        """Put a ticket into the place of a former one; None if that has gone or changed meanwhile."""
        entry = await self.look(ticket.job_id)
        if entry.stored is None:
            return None
        there, state = entry.stored.ticket, entry.state(self._cache.public_url)
        if there.stage is Stage.TOMBSTONE and tickets.now() - there.changed_at < self._tombstone:
            ticket = ticket.at(Stage.CANCELLED, scenario=None, failure=None)
        elif state is not None and state.payload_hash == ticket.payload_hash:
            return state
        elif state is not None and not state.status.terminal:
            raise Conflict(f"Job {ticket.job_id} is {state.status} with other content.")
        try:
            obj = await self._api.replace(CONFIG_MAPS, tickets.config_map(ticket, entry.stored.version))
        except (Changed, NotFound):
            return None
        self._cache.tickets.learn(obj)
        return _state(Entry(tickets.read(obj)))

    async def _remember(self, job_id: str, entry: Entry) -> None:
        moment = tickets.now()
        tombstone = Ticket(job_id=job_id, stage=Stage.TOMBSTONE, submitted_at=moment, changed_at=moment)
        if entry.stored is None:
            _check_room("cancels of unknown jobs", self._cache.tombstones, self._settings.max_tombstones)
            obj = await self._api.create(CONFIG_MAPS, tickets.config_map(tombstone))
        elif entry.stored.ticket.stage is Stage.TOMBSTONE:
            obj = await self._api.replace(CONFIG_MAPS, tickets.config_map(tombstone, entry.stored.version))
        else:
            return  # it has ended, and its RenderJob is deleted already
        self._cache.tickets.learn(obj)

    async def _stop(self, entry: Entry) -> None:
        job, ticket = entry.job, entry.stored.ticket if entry.stored else None
        if job is not None and (ticket is None or is_for(job, ticket)):
            obj = await self._api.patch(RENDER_JOBS, job.name, cancelled(job))
            self._cache.jobs.learn(obj)
        elif ticket is not None:
            await self.change(entry, ticket.at(Stage.CANCELLED, scenario=None))


def cancelled(job: render_jobs.Job) -> dict[str, object]:
    """Return the merge patch that cancels a RenderJob if it still is as it was seen."""
    meta = {
        "resourceVersion": str(job.version),
        "uid": job.uid,
        "annotations": {CANCELLED: tickets.now().isoformat()},
    }
    return {"metadata": meta, "spec": {"cancel": True}}


def unavailable(error: ApiError) -> Unavailable:
    """Return what clients are told when the API server fails."""
    return Unavailable(f"The cluster's API server: {error}")


def _check_room(what: str, there: int, most: int) -> None:
    """Raise Full if there are as many as there may be: each is an object in etcd."""
    if there >= most:
        raise Full(f"{most:,} {what} are stored, which is the most; try again later.")


def _state(entry: Entry) -> JobState:
    state = entry.state()
    assert state is not None
    return state
