"""What happens to a record: each function returns the record as it is afterwards. Pure.

take ─> due ─> begin ─> finish
         ^                │ another try
         └────────────────┘
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from uuid import uuid4

from ecg_shim.model import JobState, JobStatus
from ecg_shim.relay.payloads import payload
from ecg_shim.relay.policy import Answer, Policy, Verdict, judge
from ecg_shim.relay.records import CallbackRecord, Delivery, RecordState


@dataclass(frozen=True)
class Now:
    """A moment, in seconds since 1970, and a number from 0 to 1 that spreads tries over time."""

    at: float
    chance: float = 0.5
    new_id: Callable[[], str] = lambda: f"cb_{uuid4().hex}"


def take(record: CallbackRecord | None, state: JobState, now: Now) -> CallbackRecord:
    """Take in where a job stands."""
    created = state.created_at.isoformat()
    if record is None or record.created_at != created:
        record = CallbackRecord(
            job_id=state.job_id, url=state.callback_url, created_at=created, version=-1, seen_at=now.at
        )
    if state.version <= record.version:
        return record
    changes: dict[str, object] = {"version": state.version}
    ended = record.state is not RecordState.OPEN or record.terminal is not None or _sends_terminal(record)
    if not ended and state.status is not JobStatus.QUEUED:
        terminal = state.status.terminal
        delivery = Delivery(id=now.new_id(), terminal=terminal, payload=payload(state, now.at))
        if terminal:
            # Nothing may follow that says `processing`.
            changes |= {"terminal": delivery, "waiting": None}
        else:
            due = record.waiting.due if record.waiting else 0.0
            changes["waiting"] = delivery.model_copy(update={"due": due})
    return record.model_copy(update=changes)


def replayed(record: CallbackRecord, now: Now, policy: Policy) -> CallbackRecord:
    """Send the end of a job once more under the same id: it was given up, or its client has posted the job again.

    Such a client writes its own row then, over what it was told before.
    """
    # What is on its way may be stored before that row is written, and what is still to be sent is sent after it.
    end = record.terminal if record.state is not RecordState.OPEN else record.sending
    if end is None or not end.terminal:
        return record
    fresh = _afresh(end).model_copy(update={"due": now.at + policy.hold_terminal})
    return record.model_copy(update={"state": RecordState.OPEN, "terminal": fresh})


def revived(record: CallbackRecord, now: Now, policy: Policy) -> CallbackRecord:
    """Go on after this process was ended, at whatever point.

    What was being sent may have arrived: that try has no answer.
    """
    if record.sending:
        record = finish(record, record.sending.id, Answer(error="The service ended meanwhile."), now, policy)[0]
    return record


def due(record: CallbackRecord, policy: Policy) -> float | None:
    """Return when the next callback is to be sent; None if there is nothing to send now."""
    if record.sending or record.state is not RecordState.OPEN:
        return None
    if record.terminal:
        return max(record.seen_at + policy.hold_terminal, record.terminal.due, record.unsure_until)
    if record.waiting:
        return max(record.seen_at + policy.hold, record.waiting.due, record.sent_at + policy.progress_every)
    return None


def begin(record: CallbackRecord, now: Now) -> tuple[CallbackRecord, Delivery]:
    """Return the record and the callback to send now; only if `due`."""
    delivery = record.terminal or record.waiting
    assert delivery is not None
    sending = delivery.model_copy(update={"first_try": delivery.first_try or now.at})
    changes: dict[str, object] = {"sending": sending, "waiting": None}
    if sending.terminal:
        changes["terminal"] = None
    return record.model_copy(update=changes), sending


def finish(
    record: CallbackRecord, delivery_id: str, answer: Answer, now: Now, policy: Policy
) -> tuple[CallbackRecord, Verdict | None]:
    """Take in the answer to what was sent; the verdict is None if the record is not about that any more."""
    sending = record.sending
    if sending is None or sending.id != delivery_id:
        return record, None
    verdict = judge(answer, sending)
    record = record.model_copy(update={"sending": None, "sent_at": now.at})
    if sending.terminal:
        return _finish_terminal(record, sending, answer, verdict, now, policy), verdict
    return _finish_progress(record, sending, answer, verdict, now, policy), verdict


def _finish_progress(
    record: CallbackRecord, sent: Delivery, answer: Answer, verdict: Verdict, now: Now, policy: Policy
) -> CallbackRecord:
    if verdict is Verdict.UNKNOWN_JOB:
        return record.model_copy(update={"state": RecordState.STOPPED, "waiting": None, "terminal": None})
    if verdict in (Verdict.TOLD, Verdict.REFUSED):
        return record.model_copy(update={"failures": 0})
    failures = record.failures + 1
    changes: dict[str, object] = {"failures": failures}
    if record.terminal is None:
        later = now.at + policy.wait(failures, now.chance, answer.retry_after)
        changes["waiting"] = (record.waiting or sent).model_copy(update={"due": later})
    if verdict is Verdict.UNANSWERED and answer.reached:
        changes["unsure_until"] = now.at + policy.unsure
    return record.model_copy(update=changes)


def _finish_terminal(
    record: CallbackRecord, sent: Delivery, answer: Answer, verdict: Verdict, now: Now, policy: Policy
) -> CallbackRecord:
    if verdict is Verdict.TOLD:
        asked_again = record.terminal is not None
        return record if asked_again else record.model_copy(update={"state": RecordState.SETTLED, "terminal": sent})
    counted = sent.model_copy(
        update={
            "answered": sent.answered + (verdict is not Verdict.UNANSWERED),
            "unanswered": sent.unanswered + (verdict is Verdict.UNANSWERED),
            "error": _described(answer),
        }
    )
    if _is_hopeless(counted, verdict, now, policy):
        return record.model_copy(update={"state": RecordState.DEAD, "terminal": counted})
    wait = policy.wait(counted.answered + counted.unanswered, now.chance, answer.retry_after)
    return record.model_copy(update={"terminal": counted.model_copy(update={"due": now.at + wait})})


def _is_hopeless(delivery: Delivery, verdict: Verdict, now: Now, policy: Policy) -> bool:
    if verdict is Verdict.UNANSWERED:
        return now.at - delivery.first_try >= policy.give_up
    return verdict is not Verdict.AGAIN or delivery.answered >= policy.attempts


def _described(answer: Answer) -> str:
    if answer.status is None:
        return answer.error
    said = answer.body[:200].decode(errors="replace").strip()
    return f"{answer.status} {said}".rstrip()


def _afresh(delivery: Delivery) -> Delivery:
    return delivery.model_copy(update={"due": 0.0, "answered": 0, "unanswered": 0, "first_try": 0.0, "error": ""})


def _sends_terminal(record: CallbackRecord) -> bool:
    return record.sending is not None and record.sending.terminal
