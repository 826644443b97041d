"""A ticket: what the service itself keeps about a job id, in a small ConfigMap.

    POST ─> waiting ─> running ─> ended         the RenderJob says where the job stands
              │           └─> cancelled         somebody has deleted the RenderJob
              ├─> failed                        no RenderJob can be made
              └─> cancelled
    cancel of an unknown id ─> tombstone ─ POST ─> cancelled

Of several replicas that take the same POST one creates the ticket; of several that change it one succeeds, and the
others look again. The outbox of the relay is an entry of its own beside it: the two writers never touch each other's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from sys import intern
from typing import Any

from pydantic import Field, JsonValue, ValidationError

from ecg_api.base import ApiModel
from ecg_api.failures import Failure
from ecg_api.names import MANAGED_BY
from ecg_cluster.client import Json
from ecg_shim.backends.cluster.names import (
    ANSWERED,
    JOB_ID,
    KIND_LABEL,
    REPLAY,
    SERVICE,
    TICKET,
    name_of_ticket,
    object_name,
    ticket_name,
)
from ecg_shim.relay.records import CallbackRecord, RecordState

_FIELDS: set[str] = set()
SELECTOR = f"{KIND_LABEL}={TICKET},{MANAGED_BY}={SERVICE}"
ENTRY, OUTBOX, HEARD = "ticket.json", "outbox.json", "heard"


class Stage(StrEnum):
    """Where a ticket stands."""

    TOMBSTONE = "tombstone"
    WAITING = "waiting"
    RUNNING = "running"
    ENDED = "ended"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Ticket(ApiModel):
    """One submission.

    Attributes:
        submitted_at: to the millisecond; tells two submissions of the same id apart.
        changed_at: when the stage was last changed.
        options: of the RenderJob to be made.
        scenario: spec.scenario of the RenderJob to be made; None when it is made.
        failure: why no RenderJob is made.
    """

    job_id: str
    stage: Stage
    submitted_at: datetime
    changed_at: datetime
    payload_hash: str = ""
    callback_url: str = ""
    video_url: str = ""
    options: dict[str, JsonValue] = Field(default_factory=dict)
    scenario: dict[str, JsonValue] | None = None
    failure: Failure | None = None

    def at(self, stage: Stage, **changes: Any) -> Ticket:
        """Return the ticket at another stage."""
        return self.model_copy(update={"stage": stage, "changed_at": now(), **changes})


@dataclass(frozen=True, slots=True)
class Filed:
    """A ticket as it is stored.

    Attributes:
        answered: mark of the last answer that a client had; empty before.
        heard: the mark that the relay has taken in.
        replay: somebody wants the job's end to be told once more.
        outbox: the relay's record as text, which takes a fifth of the memory; empty before there is something to tell.
        record_state: of that record.
    """

    uid: str
    version: str
    ticket: Ticket
    answered: str = ""
    heard: str = ""
    replay: bool = False
    outbox: str = ""
    record_state: RecordState | None = None

    @property
    def record(self) -> CallbackRecord | None:
        """The relay's record; None before there is something to tell."""
        return CallbackRecord.model_validate_json(self.outbox) if self.outbox else None

    @property
    def name(self) -> str:
        """Name of the RenderJob."""
        return object_name(self.ticket.job_id)

    @property
    def told(self) -> bool:
        """Nothing is left to tell."""
        return self.record_state is not RecordState.OPEN


def now() -> datetime:
    """Return the time to the millisecond, so that it is the same after it was written and read."""
    moment = datetime.now(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def config_map(ticket: Ticket, version: str | None = None) -> Json:
    """Return the ConfigMap of a ticket without outbox; with `version` to replace that version of it."""
    meta: Json = {
        "name": ticket_name(object_name(ticket.job_id)),
        "labels": {MANAGED_BY: SERVICE, KIND_LABEL: TICKET},
        "annotations": {JOB_ID: ticket.job_id},
    }
    if version is not None:
        meta["resourceVersion"] = version
    return {"metadata": meta, "data": {ENTRY: _written(ticket)}}


def change(filed: Filed, ticket: Ticket) -> Json:
    """Return the merge patch that changes a ticket if it still is as it was filed."""
    return {"metadata": {"resourceVersion": filed.version, "uid": filed.uid}, "data": {ENTRY: _written(ticket)}}


def read(obj: Mapping[str, Any]) -> Filed | None:
    """Return the ticket in a ConfigMap; None if that is no ticket that can be read."""
    meta, data = obj["metadata"], obj.get("data") or {}
    notes = meta.get("annotations") or {}
    if (meta.get("labels") or {}).get(KIND_LABEL) != TICKET:
        return None
    try:
        ticket = Ticket.model_validate_json(data.get(ENTRY, ""))
        state = CallbackRecord.model_validate_json(data[OUTBOX]).state if OUTBOX in data else None
    except ValidationError:
        return None
    if object_name(ticket.job_id) != name_of_ticket(meta["name"]):
        return None
    return Filed(
        uid=meta["uid"],
        version=str(meta["resourceVersion"]),
        ticket=_slim(ticket),
        answered=notes.get(ANSWERED, ""),
        heard=data.get(HEARD, ""),
        replay=notes.get(REPLAY) == "true",
        outbox=data.get(OUTBOX, ""),
        record_state=state,
    )


def _slim(ticket: Ticket) -> Ticket:
    """Return a ticket that shares with all others what is alike."""
    values = {**dict(ticket), "callback_url": intern(ticket.callback_url)}
    if ticket.stage is Stage.ENDED:
        values |= {"options": {}, "video_url": ""}  # the RenderJob has them
    return Ticket.model_construct(_FIELDS, **values)


def _written(ticket: Ticket) -> str:
    return ticket.model_dump_json(exclude_none=True)
