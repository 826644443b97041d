"""What has to be told about a job: one small value, which is all that a relay must keep."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, Field, JsonValue

from ecg_api.base import StoredModel
from ecg_shim.failures import printable


class RecordState(StrEnum):
    """How far telling about a job has come."""

    OPEN = "open"
    SETTLED = "settled"
    DEAD = "dead"
    STOPPED = "stopped"


class Delivery(StoredModel):
    """One callback, as often as it is tried. `id` stays the same; times are seconds since 1970.

    Attributes:
        terminal: says how the job ended; such a callback is never dropped.
        due: not to be sent before.
        answered, unanswered: tries that failed.
        first_try: when it was first sent; 0 before.
        error: of the last try that failed; once read from where it was kept, one printable line, since it holds what
            the receiver said.
    """

    id: str
    terminal: bool
    payload: dict[str, JsonValue]
    due: float = 0.0
    answered: int = 0
    unanswered: int = 0
    first_try: float = 0.0
    error: Annotated[str, AfterValidator(printable)] = ""

    @property
    def status(self) -> str:
        """The status that it tells."""
        return str(self.payload["status"])


class CallbackRecord(StoredModel):
    """Everything about the callbacks of one job. Times are seconds since 1970.

    Attributes:
        created_at: of the job; a later job of the same id has another.
        version: of the newest state that was taken in.
        seen_at: when the job was first heard of, by the clock of whoever sends callbacks.
        sent_at: when the last try ended.
        failures: tries of progress in a row that failed.
        unsure_until: a callback without answer may still be worked on until then.
        sending: the one that is on its way.
        waiting: the newest progress, still to be sent.
        terminal: the job's end, still to be sent; when told or given up, for a replay.
    """

    job_id: str
    url: str
    created_at: str
    version: int
    seen_at: float
    state: RecordState = RecordState.OPEN
    sent_at: float = 0.0
    failures: int = 0
    unsure_until: float = 0.0
    sending: Delivery | None = None
    waiting: Delivery | None = None
    terminal: Delivery | None = Field(default=None)
