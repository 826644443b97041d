"""The store of tickets: each change reads the newest there is, and writes only over what it has seen.

Any replica may do this at any time; the API server decides who was first, and whoever was not looks again.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta

from ecg_cluster.client import CONFIG_MAPS, RENDER_JOBS
from ecg_cluster.errors import AlreadyExists, ApiError, Changed, NotFound
from ecg_shim.backends.cluster import render_jobs, tickets
from ecg_shim.backends.cluster.api import Api
from ecg_shim.backends.cluster.cache import Entry, JobCache
from ecg_shim.backends.cluster.states import is_for
from ecg_shim.backends.cluster.tickets import CANCELLED, Stage, Ticket, object_name, ticket_name
from ecg_shim.model import Conflict, JobState, Unavailable

TRIES = 12
LOST_RACE = (Changed, AlreadyExists, NotFound)
"""Somebody else was faster: look again."""


class TicketStore:
    """Reads and changes what is stored about a job id."""

    def __init__(self, api: Api, cache: JobCache, tombstone_seconds: float) -> None:
        self._api = api
        self._cache = cache
        self._tombstone = timedelta(seconds=tombstone_seconds)

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
        """Stop a job; False if it has ended, or is not known: then its id is remembered. Raises ApiError."""
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


def _state(entry: Entry) -> JobState:
    state = entry.state()
    assert state is not None
    return state
