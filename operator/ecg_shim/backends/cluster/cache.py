"""The replica's cache: tickets and RenderJobs as both reflectors have them, put together for requests and the relay.

Nothing here is the truth: it is what the API server said last, and a replica that starts learns it anew.
"""

from __future__ import annotations

import logging
import math
from bisect import bisect_left, insort
from collections.abc import AsyncGenerator, Callable, Iterator
from dataclasses import dataclass, replace
from sys import intern
from typing import TypeVar

from ecg_cluster.cache import Cache, Key, Record
from ecg_cluster.client import CONFIG_MAPS, RENDER_JOBS, Json
from ecg_cluster.reflector import Reflector, Source
from ecg_shim.backends.cluster import render_jobs, tickets
from ecg_shim.backends.cluster.api import Api
from ecg_shim.backends.cluster.render_jobs import Job
from ecg_shim.backends.cluster.states import state_of
from ecg_shim.backends.cluster.tickets import StoredTicket, name_of_ticket, object_name
from ecg_shim.backends.subscription import Subscription
from ecg_shim.model import JobState, JobStatus

log = logging.getLogger(__name__)

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
        stored, job = self.stored, self.job
        return stored is not None and stored.record_state is not None and stored.told and (job is None or job.finished)

    def state(self, public_url: str = "") -> JobState | None:
        """Return where the job stands, see `state_of`."""
        return state_of(self.stored.ticket if self.stored else None, self.job, public_url)


NOTHING = Entry()


class JobCache:
    """Entries by name.

    Attributes:
        changed: told each name about which something has changed.
        processed, dropped: frames of all jobs that are known.
    """

    def __init__(self, api: Api, public_url: str = "") -> None:
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
        self._entries: dict[str, Entry] = {}
        self._states: dict[str, JobState] = {}
        self._unended: dict[str, JobState] = {}
        self._by_age: list[tuple[float, str, str]] = []
        self.processed, self.dropped = 0, 0
        self._listeners: list[Subscription] = []

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
        state = self._states.get(object_name(job_id))
        return state if state is not None and state.job_id == job_id else None

    def newest(self, limit: int) -> list[JobState]:
        """Return the newest jobs first."""
        return [self._states[name] for *_, name in self._by_age[-1 : -limit - 1 : -1]]

    def waiting(self) -> list[JobState]:
        """Return the jobs that wait, the oldest first."""
        return self._of(JobStatus.QUEUED)

    def begun(self) -> list[JobState]:
        """Return the jobs that have begun and not ended, the oldest first."""
        return self._of(JobStatus.PROCESSING)

    def _of(self, status: JobStatus) -> list[JobState]:
        return sorted((state for state in self._unended.values() if state.status is status), key=_age)

    def __len__(self) -> int:
        return len(self._states)

    async def listen(self) -> AsyncGenerator[JobState, None]:
        """Yield every job about which something is left to tell, the oldest first, then each change.

        A slow listener misses steps, but no end.
        """
        listener = Subscription()
        self._listeners.append(listener)
        try:
            for *_, name in list(self._by_age):
                if not self.entry(name).at_rest:
                    listener.put(self._states[name])
            while True:
                yield await listener.get()
        finally:
            self._listeners.remove(listener)

    def forget_ticket(self, config_map: str, uid: str) -> None:
        """Note that a ticket is gone."""
        self.tickets.forget_uid(self._namespace, config_map, uid)

    def forget_job(self, name: str, uid: str) -> None:
        """Note that a RenderJob is gone."""
        self.jobs.forget_uid(self._namespace, name, uid)

    def _ticket_seen(self, record: Record[Ticketed], before: Record[Ticketed] | None) -> None:
        name = name_of_ticket(record.name)
        self._set(name, replace(self.entry(name), stored=record.value))

    def _ticket_gone(self, record: Record[Ticketed]) -> None:
        name = name_of_ticket(record.name)
        self._set(name, replace(self.entry(name), stored=None))

    def _job_seen(self, record: Record[Job], before: Record[Job] | None) -> None:
        self._set(record.name, replace(self.entry(record.name), job=record.value))

    def _job_gone(self, record: Record[Job]) -> None:
        self._set(record.name, replace(self.entry(record.name), job=None))

    def _set(self, name: str, entry: Entry) -> None:
        if entry == NOTHING:
            self._entries.pop(name, None)
        else:
            self._entries[name] = entry
        before, state = self._states.get(name), entry.state(self.public_url)
        if state is None or before is None or replace(before, version=state.version) != state:
            # Callbacks are noted on the same objects: that alone is no news, or telling it would never end.
            self._show(name, before, state)
        self.changed(name)

    def _show(self, name: str, before: JobState | None, state: JobState | None) -> None:
        if before is not None:
            del self._states[name], self._by_age[bisect_left(self._by_age, (*_age(before), name))]
            self._unended.pop(name, None)
            self._count(before, -1)
        if state is None:
            return
        self._states[name] = state
        insort(self._by_age, (*_age(state), name))
        if not state.status.terminal:
            self._unended[name] = state
        self._count(state, 1)
        for listener in self._listeners:
            listener.put(state)

    def _count(self, state: JobState, sign: int) -> None:
        self.processed += sign * state.metrics.frames_processed
        self.dropped += sign * state.metrics.frames_dropped


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


def _age(state: JobState) -> tuple[float, str]:
    return (state.created_at.timestamp(), state.job_id)
