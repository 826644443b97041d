"""A ticket: what the service itself keeps about a job id, in a small ConfigMap; and the names that belong to that id.

    POST ─> waiting ─> running ─> ended         the RenderJob says where the job stands
              │           └─> cancelled         it was cancelled before it began, or somebody has deleted the RenderJob
              ├─> failed                        no RenderJob can be made
              └─> cancelled
    cancel of an unknown id ─> tombstone ─ POST ─> cancelled

    job id ─┬─ RenderJob  <name>
            ├─ ConfigMap  ecg-job-<name>            the ticket
            └─ ConfigMap  ecg-job-<name>-<hash>     a scenario that is too large for the RenderJob

Of several replicas that take the same POST one creates the ticket; of several that change it one succeeds, and the
others look again. The outbox of the relay is an entry of its own beside it: the two writers never touch each other's.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from sys import intern
from typing import Any

from pydantic import Field, JsonValue, ValidationError

from ecg_api.base import StoredModel
from ecg_api.failures import Failure
from ecg_api.names import MANAGED_BY
from ecg_api.renderjob import NAME_LENGTH, NAME_PATTERN
from ecg_cluster.client import Json
from ecg_shim.relay.records import CallbackRecord, RecordState

JOB_ID = "render.ecg.dev/job-id"
SUBMITTED = "render.ecg.dev/submitted-at"
PAYLOAD = "render.ecg.dev/payload-sha256"
CANCELLED = "render.ecg.dev/cancelled-at"
REPLAY = "render.ecg.dev/replay-callback"
KIND_LABEL = "render.ecg.dev/kind"
TICKET, SCENARIO = "ticket", "scenario"
SERVICE = "ecg-render-service"

_PREFIX = "ecg-job-"
_HASHED = re.compile(r"job-[0-9a-f]{40}")


def object_name(job_id: str) -> str:
    """Return the name of a job's RenderJob: the id itself if it can be a name, such as a UUID, else made of its hash.

    Different ids have different names: an id that looks like a hashed one is hashed, too.
    """
    if len(job_id) <= NAME_LENGTH and re.fullmatch(NAME_PATTERN, job_id) and not _HASHED.fullmatch(job_id):
        return job_id
    return f"job-{hashlib.sha256(job_id.encode()).hexdigest()[:40]}"


def ticket_name(name: str) -> str:
    """Return the name of the ticket of the RenderJob `name`."""
    return f"{_PREFIX}{name}"


def name_of_ticket(config_map: str) -> str:
    """Return the name of the RenderJob that a ticket is about."""
    return config_map.removeprefix(_PREFIX)


def scenario_name(name: str, digest: str) -> str:
    """Return the name of the ConfigMap with a scenario whose SHA-256 is `digest`."""
    return f"{_PREFIX}{name}-{digest[:10]}"


_FIELDS: set[str] = set()
SELECTOR = f"{KIND_LABEL}={TICKET},{MANAGED_BY}={SERVICE}"
ENTRY, OUTBOX = "ticket.json", "outbox.json"


class Stage(StrEnum):
    """Where a ticket stands."""

    TOMBSTONE = "tombstone"
    WAITING = "waiting"
    RUNNING = "running"
    ENDED = "ended"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Ticket(StoredModel):
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
class StoredTicket:
    """A ticket as it is stored.

    Attributes:
        replay: somebody wants the job's end to be told once more.
        outbox: the relay's record as text, which takes a fifth of the memory; empty before there is something to tell.
        record_state: of that record.
    """

    uid: str
    version: str
    ticket: Ticket
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


def change(stored: StoredTicket, ticket: Ticket) -> Json:
    """Return the merge patch that changes a ticket if it still is as it was stored."""
    return {"metadata": {"resourceVersion": stored.version, "uid": stored.uid}, "data": {ENTRY: _written(ticket)}}


def read(obj: Mapping[str, Any]) -> StoredTicket | None:
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
    return StoredTicket(
        uid=meta["uid"],
        version=str(meta["resourceVersion"]),
        ticket=_slim(ticket),
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
