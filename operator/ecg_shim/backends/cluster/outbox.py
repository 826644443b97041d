"""The relay's records, each in the ticket of its job: they outlive every process, and any replica can go on with them.

A record is written before it has an effect outside. Progress that still waits is not written: the next relay finds it
on the RenderJob.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from ecg_cluster.client import CONFIG_MAPS
from ecg_cluster.errors import ApiError, NotFound
from ecg_shim.backends.cluster import tickets
from ecg_shim.backends.cluster.api import Api
from ecg_shim.backends.cluster.board import Board
from ecg_shim.backends.cluster.filing import unavailable
from ecg_shim.backends.cluster.jobs import Job
from ecg_shim.backends.cluster.names import REPLAY, object_name, ticket_name
from ecg_shim.backends.cluster.tickets import HEARD, OUTBOX, SELECTOR, Stage, Ticket
from ecg_shim.model import Unavailable
from ecg_shim.relay.records import CallbackRecord, RecordState

log = logging.getLogger(__name__)

PAGE = "500"


class ClusterOutbox:
    """An outbox in the cluster.

    Args:
        allowed: whether this replica may still write; asked before each write.
    """

    def __init__(self, api: Api, board: Board, allowed: Callable[[], bool]) -> None:
        self._api = api
        self._board = board
        self._allowed = allowed
        self._stored: dict[str, CallbackRecord] = {}
        self._heard: dict[str, str] = {}

    async def open(self) -> None:
        """Learn what the last relay has written, past any watch that is behind."""
        self._stored.clear()
        self._heard.clear()
        params = {"labelSelector": SELECTOR, "limit": PAGE}
        try:
            while True:
                page = await self._api.page(CONFIG_MAPS, params)
                for obj in page.get("items") or ():
                    self._board.tickets.learn(obj)
                    filed = tickets.read(obj)
                    if filed is not None and filed.record is not None:
                        self._keep(filed.record)
                if not page["metadata"].get("continue"):
                    return
                params["continue"] = page["metadata"]["continue"]
        except ApiError as error:
            raise unavailable(error) from error

    async def close(self) -> None:
        """Forget what was read; nothing else is held."""
        self._stored.clear()

    def hear(self, job_id: str, mark: str) -> None:
        """Write, together with the job's next record, that this answer to its client is taken in."""
        self._heard[job_id] = mark

    async def get(self, job_id: str) -> CallbackRecord | None:
        """Return the record of a job."""
        if job_id in self._stored:
            return self._stored[job_id]
        filed = self._board.entry(object_name(job_id)).filed
        return filed.record if filed is not None and filed.ticket.job_id == job_id else None

    async def save(self, record: CallbackRecord) -> None:
        """Keep a record."""
        job_id = record.job_id
        before = await self.get(job_id)
        if before is not None and job_id not in self._heard and _lasting(before) == _lasting(record):
            self._keep(record)
            return
        if not self._allowed():
            raise Unavailable("another replica tells callbacks now")
        data = {OUTBOX: record.model_dump_json()}
        mark = self._heard.get(job_id)
        if mark is not None:
            data[HEARD] = mark
        try:
            await self._write(record, {"data": data})
        except ApiError as error:
            raise unavailable(error) from error
        if mark is not None and self._heard.get(job_id) == mark:
            del self._heard[job_id]
        self._keep(record)

    async def unfinished(self) -> list[CallbackRecord]:
        """Return the open records, the oldest first."""
        return sorted(self._stored.values(), key=lambda record: record.seen_at)

    async def dead(self) -> list[CallbackRecord]:
        """Return the records whose job's end was given up."""
        found = (filed.record for filed in self._board.filed())
        return [record for record in found if record is not None and record.state is RecordState.DEAD]

    async def count_dead(self) -> int:
        """Return the number of those; all are in memory."""
        return len(await self.dead())

    async def ask_for_replay(self, job_id: str) -> None:
        """Ask the replica that tells callbacks to send the end of a job once more."""
        await self._annotate(job_id, "true")

    async def take_replays(self) -> list[str]:
        """Return the jobs that were asked for, once."""
        asked = [filed.ticket.job_id for filed in self._board.filed() if filed.replay]
        for job_id in asked:
            await self._annotate(job_id, None)
        return asked

    async def forget(self, before: float) -> None:
        """Do nothing: records go with the tickets of their jobs, which `Desk` removes."""

    def _keep(self, record: CallbackRecord) -> None:
        if record.state is RecordState.OPEN:
            self._stored[record.job_id] = record
        else:
            self._stored.pop(record.job_id, None)

    async def _write(self, record: CallbackRecord, patch: dict[str, object]) -> None:
        name = object_name(record.job_id)
        try:
            obj = await self._api.patch(CONFIG_MAPS, ticket_name(name), patch)
        except NotFound:
            job = self._board.entry(name).job
            if job is None:
                log.info("job %s is deleted, and what was told about it is not kept", record.job_id)
                return
            body = tickets.config_map(_ticket_for(job))
            body["data"] |= patch["data"]
            obj = await self._api.create(CONFIG_MAPS, body)
        self._board.tickets.learn(obj)

    async def _annotate(self, job_id: str, value: str | None) -> None:
        patch = {"metadata": {"annotations": {REPLAY: value}}}
        try:
            self._board.tickets.learn(await self._api.patch(CONFIG_MAPS, ticket_name(object_name(job_id)), patch))
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


def _lasting(record: CallbackRecord) -> CallbackRecord:
    """Return what cannot be found out again."""
    return record.model_copy(update={"waiting": None, "version": 0})
