"""The reconciler of tickets: the leader looks at each whenever something about it changes, and does what is next.

waiting ─ admission ─┬─> RenderJob, running ─┬─ finished ───────────────────> ended ─ RenderJob deleted ─> removed
                     │                       └─ cancelled before it began,
                     └─> failed                 or deleted ────────────────> cancelled, without a RenderJob

Every step starts from what is stored, so it does not matter where the last replica was stopped. Admission, the look at
the host of a video, may take a minute; it runs beside.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from datetime import datetime, timedelta

from ecg_api.failures import RULES, Failure, FailureCode
from ecg_cluster.client import CONFIG_MAPS, RENDER_JOBS
from ecg_cluster.election import within
from ecg_cluster.errors import AlreadyExists, ApiError, Changed, Invalid, NotFound
from ecg_cluster.queue import KeyedQueue
from ecg_shim.backends.cluster import tickets
from ecg_shim.backends.cluster.api import Api, Fence
from ecg_shim.backends.cluster.render_jobs import Job, render_job
from ecg_shim.backends.cluster.settings import ClusterSettings
from ecg_shim.backends.cluster.states import callback_status, is_for, live_status
from ecg_shim.backends.cluster.store import Entry, JobCache, TicketStore, cancelled
from ecg_shim.backends.cluster.tickets import Stage, StoredTicket, Ticket, object_name, ticket_name
from ecg_shim.model import Admission, RenderOrder, RequestOptions, Unavailable
from ecg_shim.relay.records import CallbackRecord

Verdict = str | Failure
"""Where the video is, or why the job cannot be rendered."""


class Admissions:
    """One task for each job that is looked at; how many do so at a time is the look's own business.

    Args:
        admit: the look; None takes every video as it is named.
        decided: told the name of each job about which a verdict is there now.
    """

    def __init__(self, admit: Admission | None, decided: Callable[[str], None]) -> None:
        self._admit = admit
        self._decided = decided
        self._tasks: dict[str, tuple[datetime, asyncio.Task[RenderOrder | Failure]]] = {}

    def verdict(self, name: str, ticket: Ticket) -> Verdict | None:
        """Return the verdict about a job; None, and begin to look, while there is none."""
        if self._admit is None:
            return ticket.video_url
        submitted_at, task = self._tasks.get(name, (None, None))
        if task is None or submitted_at != ticket.submitted_at:
            self.forget(name)
            task = asyncio.create_task(self._admit(_order(ticket)), name=f"admission of {name}")
            self._tasks[name] = (ticket.submitted_at, task)
            task.add_done_callback(lambda _: self._decided(name))
        if not task.done():
            return None
        admitted = task.result()
        return admitted if isinstance(admitted, Failure) else admitted.video_url

    def forget(self, name: str) -> None:
        """End the look at a job that waits no more."""
        _, task = self._tasks.pop(name, (None, None))
        if task is not None:
            task.cancel()

    async def close(self) -> None:
        """End all looks."""
        tasks = [task for _, task in self._tasks.values()]
        for name in list(self._tasks):
            self.forget(name)
        await asyncio.gather(*tasks, return_exceptions=True)


def _order(ticket: Ticket) -> RenderOrder:
    return RenderOrder(
        job_id=ticket.job_id,
        video_url=ticket.video_url,
        scenario=b"",  # it is in its place already, and nothing about it is left to decide
        options=RequestOptions.model_validate(ticket.options),
        callback_url=ticket.callback_url,
        payload_hash=ticket.payload_hash,
    )


log = logging.getLogger(__name__)

WORKERS = 32
LIVE_MANAGER = "ecg-render-live"
SOON, AGAIN_SECONDS = 0.2, 5.0
SECONDS_FOR_SCENARIO = 60.0


class Reconciler:
    """Looks at tickets while this replica holds the Lease.

    Args:
        admit: looks at each job before its RenderJob is made; None admits all.
        fence: seconds for which this replica may still write; none is begun, or goes on, after them.
    """

    def __init__(
        self,
        api: Api,
        cache: JobCache,
        ticket_store: TicketStore,
        settings: ClusterSettings,
        admit: Admission | None,
        fence: Fence,
    ) -> None:
        self._api = api
        self._cache = cache
        self._tickets = ticket_store
        self._settings = settings
        self._fence = fence
        self._queue: KeyedQueue[str] = KeyedQueue()
        self._admissions = Admissions(admit, self._queue.add)
        self._missing: dict[str, float] = {}
        """Jobs whose scenario is not there, and since when: whoever has stored the ticket may have another clock."""

    async def run(self) -> None:
        """Look at all that is there, then at what changes, for ever."""
        self._cache.changed = self._queue.add
        try:
            for name in self._cache.names():
                self._queue.add(name)
            async with asyncio.TaskGroup() as workers:
                for _ in range(WORKERS):
                    workers.create_task(self._work())
        finally:
            self._cache.changed = lambda name: None
            await self._admissions.close()

    async def _work(self) -> None:
        while (name := await self._queue.get()) is not None:
            try:
                async with within(self._fence()):
                    again = await self._reconcile(name)
            except TimeoutError:
                log.warning("%s waits: the Lease runs out", name)
                again = AGAIN_SECONDS
            except (Changed, AlreadyExists, NotFound):
                again = await self._refreshed(name)
            except (ApiError, Unavailable) as error:
                log.warning("%s waits: %s", name, error)
                again = AGAIN_SECONDS
            except Exception:
                log.exception("%s", name)
                again = AGAIN_SECONDS
            self._queue.done(name, again)
            await asyncio.sleep(0)  # of thousands of kept jobs, most need nothing, and no answer is waited for

    async def _refreshed(self, name: str) -> float:
        """Learn what somebody else has changed meanwhile; look again at once."""
        stored = self._cache.entry(name).stored
        try:
            if stored is not None:
                await self._look_up(name, stored)
        except (ApiError, Unavailable) as error:
            log.warning("%s waits: %s", name, error)
            return AGAIN_SECONDS
        return SOON

    async def _look_up(self, name: str, stored: StoredTicket) -> None:
        found = await self._tickets.look(stored.ticket.job_id)
        if found.stored is None:
            self._cache.forget_ticket(ticket_name(name), stored.uid)
        job = self._cache.entry(name).job
        if job is not None and await self._api.find(RENDER_JOBS, name) is None:
            self._cache.forget_job(name, job.uid)

    async def _reconcile(self, name: str) -> float | None:
        """Do what is next; return in how many seconds to requeue it, None for when something changes."""
        entry = self._cache.entry(name)
        stored, job = entry.stored, entry.job
        if stored is None or stored.ticket.stage is not Stage.WAITING:
            self._missing.pop(name, None)
        if stored is None:
            if job is not None:
                await self._tell_summary(None, job)
            return None
        if job is not None and is_for(job, stored.ticket):
            await self._tell_summary(stored.record, job)
        if stored.ticket.stage is not Stage.WAITING:
            self._admissions.forget(name)
        match stored.ticket.stage:
            case Stage.WAITING:
                return await self._begin(entry, stored.ticket)
            case Stage.RUNNING:
                return await self._follow(entry, stored.ticket)
        if job is not None and is_for(job, stored.ticket):
            await self._stop(job)
        return await self._expire(stored, job)

    async def _stop(self, job: Job) -> None:
        """Stop a RenderJob whose ticket is closed: it was cancelled, or made in the moment in which that was closed."""
        if job.never_begun:
            await self._remove(job)
        elif not (job.finished or job.cancel):
            self._cache.jobs.learn(await self._api.patch(RENDER_JOBS, job.name, cancelled(job)))

    async def _begin(self, entry: Entry, ticket: Ticket) -> float | None:
        """Make the RenderJob of a ticket that waits."""
        job = entry.job
        if job is not None:
            return await self._meet(entry, ticket, job)
        if not await self._has_scenario(ticket):
            since = self._missing.setdefault(object_name(ticket.job_id), time.monotonic())
            if time.monotonic() - since < SECONDS_FOR_SCENARIO:
                return SOON
            await self._fail(entry, FailureCode.SCENARIO_PARSE_ERROR, "The scenario was not stored; send it again.")
            return None
        admitted = self._admissions.verdict(object_name(ticket.job_id), ticket)
        if admitted is None:
            return None
        if isinstance(admitted, Failure):
            await self._tickets.change(entry, ticket.at(Stage.FAILED, scenario=None, failure=admitted))
            return None
        try:
            body = render_job(ticket, admitted, self._settings)
            self._cache.jobs.learn(await self._api.create(RENDER_JOBS, body))
        except Invalid as error:
            await self._fail(entry, FailureCode.VALIDATION_ERROR, f"The cluster does not take the job: {error}")
            return None
        log.info("job %s: RenderJob %s is made", ticket.job_id, body["metadata"]["name"])
        await self._tickets.change(entry, ticket.at(Stage.RUNNING, scenario=None))
        return None

    async def _meet(self, entry: Entry, ticket: Ticket, job: Job) -> float | None:
        """Take up the RenderJob that is there already: made a moment ago, of an earlier submission, or foreign."""
        if is_for(job, ticket):
            await self._tickets.change(entry, ticket.at(Stage.RUNNING, scenario=None))
        elif not job.ours:
            said = f"A RenderJob {job.name} is there that was not made by the service."
            await self._fail(entry, FailureCode.JOB_ALREADY_EXISTS, said)
        elif job.finished:
            await self._remove(job)
        else:
            return AGAIN_SECONDS  # it is being cancelled
        return None

    async def _follow(self, entry: Entry, ticket: Ticket) -> float | None:
        """Note the end of a RenderJob, so that its deletion is not taken for one before the end."""
        job = entry.job
        if job is not None and is_for(job, ticket):
            if job.finished:
                stage = Stage.CANCELLED if job.never_begun else Stage.ENDED
                await self._tickets.change(entry, ticket.at(stage))
            return None
        # The two watches are not in step: only the API server knows.
        found = await self._tickets.look(ticket.job_id)
        if found.job is None and found.stored is not None and found.stored == entry.stored:
            ended = _is_end_known(found.stored.record)
            if not ended:
                log.warning("job %s: its RenderJob was deleted before it was finished", ticket.job_id)
            await self._tickets.change(found, ticket.at(Stage.ENDED if ended else Stage.CANCELLED))
        return None if found.job is None else SOON

    async def _remove(self, job: Job) -> None:
        await self._api.delete(RENDER_JOBS, job.name, uid=job.uid)
        self._cache.forget_job(job.name, job.uid)

    async def _expire(self, stored: StoredTicket, job: Job | None) -> float | None:
        """Remove a ticket that nobody asks for any more, or the oldest one of too many."""
        ticket = stored.ticket
        if not stored.told or (job is not None and is_for(job, ticket)):
            return None
        kept = {Stage.ENDED: 0.0, Stage.TOMBSTONE: self._settings.tombstone_seconds}
        until = ticket.changed_at + timedelta(seconds=kept.get(ticket.stage, self._settings.keep_seconds))
        left = (until - tickets.now()).total_seconds()
        if left > 0 and self._cache.surplus(self._settings.max_waiting) != stored.name:
            self._remove_surplus()
            return left
        config_map = ticket_name(stored.name)
        await self._api.delete(CONFIG_MAPS, config_map, uid=stored.uid, version=stored.version)
        self._cache.forget_ticket(config_map, stored.uid)
        self._remove_surplus()
        return None

    def _remove_surplus(self) -> None:
        oldest = self._cache.surplus(self._settings.max_waiting)
        if oldest is not None:
            self._queue.add(oldest)

    async def _tell_summary(self, record: CallbackRecord | None, job: Job) -> None:
        status = callback_status(record, job, tickets.now())
        if status is not None:
            self._cache.jobs.learn(await self._api.apply(RENDER_JOBS, status, "status"))
        live = live_status(job, self._settings.public_url)
        if live is not None:
            self._cache.jobs.learn(await self._api.apply(RENDER_JOBS, live, "status", LIVE_MANAGER))

    async def _has_scenario(self, ticket: Ticket) -> bool:
        reference = (ticket.scenario or {}).get("configMapRef")
        if not isinstance(reference, dict):
            return True
        return await self._api.find(CONFIG_MAPS, str(reference["name"])) is not None

    async def _fail(self, entry: Entry, code: FailureCode, message: str) -> None:
        assert entry.stored is not None
        failure = Failure(code=code, message=message, retryable=RULES[code].retryable)
        log.warning("job %s: %s", entry.stored.ticket.job_id, message)
        await self._tickets.change(entry, entry.stored.ticket.at(Stage.FAILED, scenario=None, failure=failure))


def _is_end_known(record: CallbackRecord | None) -> bool:
    """Tell whether the relay has seen a job's end: a RenderJob may go before that is noted on its ticket."""
    return record is not None and any(one is not None and one.terminal for one in (record.terminal, record.sending))
