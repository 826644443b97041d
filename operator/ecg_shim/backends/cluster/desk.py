"""What becomes of tickets: one replica looks at each whenever something about it changes, and does what is next.

waiting ─ admission ─┬─> RenderJob, running ─┬─ finished ─────────> ended ─ RenderJob deleted ─> removed
                     │                       └─ deleted before ───> cancelled
                     └─> failed

Every step starts from what is stored, so it does not matter where the last replica was stopped.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta

from ecg_api.failures import RULES, Failure, FailureCode
from ecg_cluster.client import CONFIG_MAPS, RENDER_JOBS
from ecg_cluster.errors import AlreadyExists, ApiError, Changed, Invalid, NotFound
from ecg_shim.backends.cluster import tickets
from ecg_shim.backends.cluster.admissions import Admissions
from ecg_shim.backends.cluster.agenda import Agenda
from ecg_shim.backends.cluster.api import Api, Fence
from ecg_shim.backends.cluster.board import Board, Entry
from ecg_shim.backends.cluster.filing import Filing, cancelled
from ecg_shim.backends.cluster.jobs import Job
from ecg_shim.backends.cluster.manifests import render_job
from ecg_shim.backends.cluster.names import object_name, ticket_name
from ecg_shim.backends.cluster.settings import ClusterSettings
from ecg_shim.backends.cluster.states import is_for
from ecg_shim.backends.cluster.summary import callback_status
from ecg_shim.backends.cluster.tickets import Filed, Stage, Ticket
from ecg_shim.model import Admission, Unavailable
from ecg_shim.relay.records import CallbackRecord

log = logging.getLogger(__name__)

WORKERS = 32
SOON, AGAIN_SECONDS = 0.2, 5.0
SECONDS_FOR_SCENARIO = 60.0

Answered = Callable[[str, str], Awaitable[None]]
"""Told a job's id and the mark of an answer that its client had."""


class Desk:
    """Looks at tickets while this replica holds the Lease.

    Args:
        admit: looks at each job before its RenderJob is made; None admits all.
        fence: seconds for which this replica may still write; none is begun, or goes on, after them.
        answered: learns when a client has its answer.
    """

    def __init__(
        self,
        api: Api,
        board: Board,
        filing: Filing,
        settings: ClusterSettings,
        admit: Admission | None,
        fence: Fence,
        answered: Answered,
    ) -> None:
        self._api = api
        self._board = board
        self._filing = filing
        self._settings = settings
        self._fence = fence
        self._answered = answered
        self._agenda = Agenda()
        self._admissions = Admissions(admit, self._agenda.put)

    async def run(self) -> None:
        """Look at all that is there, then at what changes, for ever."""
        self._board.changed = self._agenda.put
        try:
            for name in self._board.names():
                self._agenda.put(name)
            async with asyncio.TaskGroup() as workers:
                for _ in range(WORKERS):
                    workers.create_task(self._work())
        finally:
            self._board.changed = lambda name: None
            await self._admissions.close()

    async def _work(self) -> None:
        while True:
            name = await self._agenda.take()
            try:
                async with asyncio.timeout(self._fence()):
                    again = await self._look(name)
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
            if again is not None:
                self._agenda.put(name, again)
            self._agenda.done(name)
            await asyncio.sleep(0)  # of thousands of kept jobs, most need nothing, and no answer is waited for

    async def _refreshed(self, name: str) -> float:
        """Learn what somebody else has changed meanwhile; look again at once."""
        filed = self._board.entry(name).filed
        try:
            if filed is not None:
                await self._look_up(name, filed)
        except (ApiError, Unavailable) as error:
            log.warning("%s waits: %s", name, error)
            return AGAIN_SECONDS
        return SOON

    async def _look_up(self, name: str, filed: Filed) -> None:
        found = await self._filing.look(filed.ticket.job_id)
        if found.filed is None:
            self._board.tickets.forget(ticket_name(name), filed.uid)
        job = self._board.entry(name).job
        if job is not None and await self._api.find(RENDER_JOBS, name) is None:
            self._board.jobs.forget(name, job.uid)

    async def _look(self, name: str) -> float | None:
        """Do what is next; return in how many seconds to look again, None for when something changes."""
        entry = self._board.entry(name)
        filed, job = entry.filed, entry.job
        if filed is None:
            if job is not None:
                await self._tell_summary(None, job)
            return None
        if filed.answered and filed.answered != filed.heard:
            await self._answered(filed.ticket.job_id, filed.answered)
        if job is not None and is_for(job, filed.ticket):
            await self._tell_summary(filed.record, job)
        if filed.ticket.stage is not Stage.WAITING:
            self._admissions.forget(name)
        match filed.ticket.stage:
            case Stage.WAITING:
                return await self._begin(entry, filed.ticket)
            case Stage.RUNNING:
                return await self._follow(entry, filed.ticket)
        if job is not None and is_for(job, filed.ticket) and not _stopping(job):
            # Made in the moment in which the ticket was closed.
            self._board.jobs.learn(await self._api.patch(RENDER_JOBS, name, cancelled(job)))
        return await self._expire(filed, job)

    async def _begin(self, entry: Entry, ticket: Ticket) -> float | None:
        """Make the RenderJob of a ticket that waits."""
        job = entry.job
        if job is not None:
            return await self._meet(entry, ticket, job)
        if not await self._has_scenario(ticket):
            if tickets.now() - ticket.submitted_at < timedelta(seconds=SECONDS_FOR_SCENARIO):
                return SOON
            await self._fail(entry, FailureCode.SCENARIO_PARSE_ERROR, "The scenario was not stored; send it again.")
            return None
        admitted = self._admissions.verdict(object_name(ticket.job_id), ticket)
        if admitted is None:
            return None
        if isinstance(admitted, Failure):
            await self._filing.change(entry, ticket.at(Stage.FAILED, scenario=None, failure=admitted))
            return None
        try:
            body = render_job(ticket, admitted, self._settings)
            self._board.jobs.learn(await self._api.create(RENDER_JOBS, body))
        except Invalid as error:
            await self._fail(entry, FailureCode.VALIDATION_ERROR, f"The cluster does not take the job: {error}")
            return None
        log.info("job %s: RenderJob %s is made", ticket.job_id, body["metadata"]["name"])
        await self._filing.change(entry, ticket.at(Stage.RUNNING, scenario=None))
        return None

    async def _meet(self, entry: Entry, ticket: Ticket, job: Job) -> float | None:
        """Take up the RenderJob that is there already: made a moment ago, of an earlier submission, or foreign."""
        if is_for(job, ticket):
            await self._filing.change(entry, ticket.at(Stage.RUNNING, scenario=None))
        elif not job.ours:
            said = f"A RenderJob {job.name} is there that was not made by the service."
            await self._fail(entry, FailureCode.JOB_ALREADY_EXISTS, said)
        elif job.finished:
            await self._api.delete(RENDER_JOBS, job.name, uid=job.uid)
            self._board.jobs.forget(job.name, job.uid)
        else:
            return AGAIN_SECONDS  # it is being cancelled
        return None

    async def _follow(self, entry: Entry, ticket: Ticket) -> float | None:
        """Note the end of a RenderJob, so that its deletion is not taken for one before the end."""
        job = entry.job
        if job is not None and is_for(job, ticket):
            if job.finished:
                await self._filing.change(entry, ticket.at(Stage.ENDED))
            return None
        # The two watches are not in step: only the API server knows.
        found = await self._filing.look(ticket.job_id)
        if found.job is None and found.filed == entry.filed:
            log.warning("job %s: its RenderJob was deleted before it was finished", ticket.job_id)
            await self._filing.change(found, ticket.at(Stage.CANCELLED))
        return None if found.job is None else SOON

    async def _expire(self, filed: Filed, job: Job | None) -> float | None:
        """Remove a ticket that nobody asks for any more."""
        ticket = filed.ticket
        if not filed.told or (job is not None and is_for(job, ticket)):
            return None
        kept = {Stage.ENDED: 0.0, Stage.TOMBSTONE: self._settings.tombstone_seconds}
        until = ticket.changed_at + timedelta(seconds=kept.get(ticket.stage, self._settings.keep_seconds))
        left = (until - tickets.now()).total_seconds()
        if left > 0:
            return left
        config_map = ticket_name(filed.name)
        await self._api.delete(CONFIG_MAPS, config_map, uid=filed.uid, version=filed.version)
        self._board.tickets.forget(config_map, filed.uid)
        return None

    async def _tell_summary(self, record: CallbackRecord | None, job: Job) -> None:
        status = callback_status(record, job, tickets.now())
        if status is not None:
            self._board.jobs.learn(await self._api.apply(RENDER_JOBS, status, "status"))

    async def _has_scenario(self, ticket: Ticket) -> bool:
        reference = (ticket.scenario or {}).get("configMapRef")
        if not isinstance(reference, dict):
            return True
        return await self._api.find(CONFIG_MAPS, str(reference["name"])) is not None

    async def _fail(self, entry: Entry, code: FailureCode, message: str) -> None:
        assert entry.filed is not None
        failure = Failure(code=code, message=message, retryable=RULES[code].retryable)
        log.warning("job %s: %s", entry.filed.ticket.job_id, message)
        await self._filing.change(entry, entry.filed.ticket.at(Stage.FAILED, scenario=None, failure=failure))


def _stopping(job: Job) -> bool:
    return job.finished or job.cancel
