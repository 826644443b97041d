"""When callbacks are sent, and what their answers mean. Pure.

| answer                                     | progress           | the job's end                              |
|--------------------------------------------|--------------------|--------------------------------------------|
| 2xx                                        | told               | told                                       |
| 500 RENDER_CALLBACK_PROCESSING_FAILED      | tried again        | told (for completed and failed)            |
| other 5xx                                  | tried again        | tried again, three times in all, then dead |
| none; 408, 425, 429, 502, 503, 504         | tried again        | tried again for a day, then dead           |
| 404, 410                                   | no more callbacks  | dead                                       |
| 422, other 4xx, 3xx, address refused       | dropped            | dead                                       |

A gateway's 502 to 504 say that the backend itself did not answer. Progress is replaced by newer progress at any time.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum

from ecg_shim.relay.records import Delivery

# The backend stores the job's end first, and only then fails at its own statistics.
STORED_ALL_THE_SAME = "RENDER_CALLBACK_PROCESSING_FAILED"
_NOT_THE_BACKEND = (408, 425, 429, 502, 503, 504)
_UNKNOWN = (404, 410)
HOUR = 3600.0


class Verdict(StrEnum):
    """What an answer means for a callback."""

    TOLD = "told"
    AGAIN = "again"
    UNANSWERED = "unanswered"
    UNKNOWN_JOB = "unknown job"
    REFUSED = "refused"


@dataclass(frozen=True)
class Answer:
    """What came back for one try.

    Attributes:
        status: None if there was no answer.
        body: its beginning.
        retry_after: seconds that the server asked to wait.
        reached: the backend may have read the callback.
        refused: the address must not be contacted.
        error: what went wrong, for a person.
    """

    status: int | None = None
    body: bytes = b""
    retry_after: float | None = None
    reached: bool = True
    refused: bool = False
    error: str = ""


@dataclass(frozen=True)
class Policy:
    """Times in seconds.

    Attributes:
        hold: from when a job was first heard of to its first callback: the client that has posted it writes its own
            row after it was answered, over what it was told before.
        hold_terminal: the same for the job's end, and for an end that is told again.
        progress_every: least time between two progress callbacks of a job.
        attempts: how often the job's end is sent to a backend that answers with errors.
        first_wait, longest_wait: between tries; doubled each time.
        give_up: after so long without any answer the job's end is given up.
        unsure: how long a callback without answer may still be worked on by the backend; the job's end waits for it.
        cancel_unknown: cancel jobs that the backend does not know.
        keep: how long what was told is remembered.
    """

    hold: float = 3.0
    hold_terminal: float = 5.0
    progress_every: float = 1.0
    attempts: int = 3
    first_wait: float = 1.0
    longest_wait: float = 300.0
    give_up: float = 24 * HOUR
    unsure: float = 15.0
    cancel_unknown: bool = False
    keep: float = 15 * 24 * HOUR

    def wait(self, failures: int, chance: float, asked: float | None = None) -> float:
        """Return the seconds before the next try after so many failures; `chance` is 0 to 1.

        Never earlier than the server asked, up to an hour.
        """
        doubled = min(self.longest_wait, self.first_wait * 2.0 ** min(max(0, failures - 1), 30))
        return max(doubled * (0.75 + chance / 2), min(asked or 0.0, HOUR))


def judge(answer: Answer, delivery: Delivery) -> Verdict:
    """Return what an answer means."""
    status = answer.status
    if answer.refused:
        return Verdict.REFUSED
    if status is None or status in _NOT_THE_BACKEND:
        return Verdict.UNANSWERED
    if 200 <= status < 300 or _stored(answer, delivery):
        return Verdict.TOLD
    if status in _UNKNOWN:
        return Verdict.UNKNOWN_JOB
    return Verdict.AGAIN if status >= 500 else Verdict.REFUSED


def _stored(answer: Answer, delivery: Delivery) -> bool:
    counted = delivery.status in ("completed", "failed")
    return counted and answer.status == 500 and STORED_ALL_THE_SAME in _codes(answer.body)


def _codes(body: bytes) -> list[str]:
    try:
        detail = json.loads(body)
    except (ValueError, RecursionError):
        return []
    found = []
    for value in (detail, detail.get("detail") if isinstance(detail, dict) else None):
        if isinstance(value, dict):
            found += [str(value.get("code")), str(value.get("error"))]
    return found
