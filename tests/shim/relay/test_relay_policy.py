"""What answers mean, when callbacks are due, and what becomes of a record: no network, no disk, no clock."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from ecg_shim.relay import ledger
from ecg_shim.relay.ledger import Now
from ecg_shim.relay.policy import Answer, Policy, Verdict, judge
from ecg_shim.relay.records import CallbackRecord, Delivery, RecordState
from ecg_shim.relay.sender import read_retry_after
from shim_jobs import CREATED, state

POLICY = Policy(hold=1.5, hold_terminal=3.0)
STORED = json.dumps({"detail": {"error": "x", "code": "RENDER_CALLBACK_PROCESSING_FAILED"}}).encode()
ANSWERS = {
    "received": (Answer(200), "told", "told"),
    "another success": (Answer(204), "told", "told"),
    "stored, then failed": (Answer(500, STORED), "again", "told"),
    "another error": (Answer(500, b'{"detail": "RENDER_CALLBACK"}'), "again", "again"),
    "an error that is no JSON": (Answer(500, b"\xff" * 9), "again", "again"),
    "an error that is nested too deep": (Answer(500, b"[" * 60_000), "again", "again"),
    "an unknown error": (Answer(599), "again", "again"),
    "a gateway without backend": (Answer(502), "unanswered", "unanswered"),
    "overloaded": (Answer(503), "unanswered", "unanswered"),
    "a gateway that waited": (Answer(504), "unanswered", "unanswered"),
    "too many": (Answer(429), "unanswered", "unanswered"),
    "no answer": (Answer(None), "unanswered", "unanswered"),
    "an unknown job": (Answer(404), "unknown job", "unknown job"),
    "gone": (Answer(410), "unknown job", "unknown job"),
    "not understood": (Answer(422), "refused", "refused"),
    "forbidden": (Answer(403), "refused", "refused"),
    "a redirect": (Answer(307), "refused", "refused"),
    "an address that may not be contacted": (Answer(refused=True), "refused", "refused"),
}


def delivery(status: str) -> Delivery:
    return Delivery(id="cb_1", terminal=status != "processing", payload={"status": status})


@pytest.mark.parametrize(("answer", "progress", "end"), ANSWERS.values(), ids=ANSWERS)
def test_what_an_answer_means(answer: Answer, progress: str, end: str) -> None:
    assert judge(answer, delivery("processing")) == progress
    assert judge(answer, delivery("completed")) == end
    assert judge(answer, delivery("failed")) == end


def test_a_cancelled_callback_that_the_backend_could_not_store_is_sent_again() -> None:
    # The statistics that make the backend fail after storing are written for completed and failed only.
    assert judge(Answer(500, STORED), delivery("cancelled")) is Verdict.AGAIN


def test_waits_double_up_to_the_longest_and_are_spread() -> None:
    waits = [POLICY.wait(failures, 0.5) for failures in range(1, 13)]
    assert waits[:4] == [1, 2, 4, 8]
    assert waits[-1] == POLICY.longest_wait
    assert (POLICY.wait(3, 0.0), POLICY.wait(3, 1.0)) == (3.0, 5.0)
    assert POLICY.wait(10_000, 0.5) == POLICY.longest_wait


def test_a_server_that_asks_for_time_gets_it_up_to_an_hour() -> None:
    assert POLICY.wait(1, 0.5, asked=120) == 120
    assert POLICY.wait(1, 0.5, asked=1e9) == 3600
    assert POLICY.wait(9, 0.5, asked=1) == 256


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("120", 120.0),
        ("Thu, 01 Jan 1970 00:01:40 GMT", 40.0),
        ("Thu, 01 Jan 1970 00:00:10 GMT", 0.0),
        ("soon", None),
        ("", None),
        ("-5", None),
        ("9" * 400, None),
    ],
)
def test_retry_after_is_read_in_both_forms(text: str, seconds: float | None) -> None:
    assert read_retry_after(text, now=60.0) == seconds


def taken(*states: Any) -> CallbackRecord:
    """Return the record after these states, all at time 0."""
    record = None
    for one in states:
        record = ledger.take(record, one, Now(0.0))
    assert record is not None
    return record


def sent(record: CallbackRecord, at: float, answer: Answer) -> CallbackRecord:
    """Return the record after the next callback was sent and answered at once."""
    begun, sending = ledger.begin(record, Now(at))
    return ledger.finish(begun, sending.id, answer, Now(at), POLICY)[0]


HOLDS = {
    "progress waits for the client's own row": (state("processing"), 1.5),
    "the end waits longer": (state("completed"), 3.0),
    "so does a failure": (state("failed"), 3.0),
    "and a cancellation": (state("cancelled"), 3.0),
    "a job that waits says nothing": (state("queued"), None),
}


@pytest.mark.parametrize(("told", "due"), HOLDS.values(), ids=HOLDS)
def test_callbacks_are_held_until_the_client_has_surely_written_its_row(told: Any, due: float | None) -> None:
    assert ledger.due(taken(told), POLICY) == due


def test_progress_is_sent_at_most_once_a_second_and_newer_takes_the_place_of_older() -> None:
    record = sent(taken(state("processing", 1)), 5.0, Answer(200))
    assert ledger.due(record, POLICY) is None
    for version in (2, 3, 4):
        record = ledger.take(record, state("processing", version), Now(5.1))
    assert ledger.due(record, POLICY) == 6.0
    assert ledger.begin(record, Now(6.0))[1].payload["progress"] == 4


def test_old_news_and_the_same_news_change_nothing() -> None:
    record = taken(state("processing", 5))
    for version in (5, 4):
        assert ledger.take(record, state("processing", version), Now(9.0)) is record


@pytest.mark.parametrize("end", ["completed", "failed", "cancelled"])
def test_the_end_drops_waiting_progress_and_nothing_follows_it(end: str) -> None:
    record = ledger.take(taken(state("processing", 1)), state(end, 2), Now(9.0))
    assert record.waiting is None
    record = ledger.take(record, state("processing", 3), Now(9.0))
    begun, sending = ledger.begin(record, Now(9.0))
    assert sending.status == end
    begun = ledger.take(begun, state("processing", 4), Now(9.0))
    done, _ = ledger.finish(begun, sending.id, Answer(200), Now(9.0), POLICY)
    assert done.state is RecordState.SETTLED
    assert ledger.due(ledger.take(done, state("processing", 5), Now(10.0)), POLICY) is None


def test_one_callback_of_a_job_is_on_its_way_at_a_time() -> None:
    begun, sending = ledger.begin(taken(state("processing", 1)), Now(2.0))
    begun = ledger.take(begun, state("completed", 2), Now(2.0))
    assert ledger.due(begun, POLICY) is None
    done, _ = ledger.finish(begun, sending.id, Answer(200), Now(4.0), POLICY)
    assert ledger.due(done, POLICY) == 3.0


def test_progress_that_failed_is_tried_again_later_each_time_unless_newer_comes() -> None:
    record = taken(state("processing", 1))
    waits = []
    for at in (10.0, 20.0, 30.0):
        record = sent(record, at, Answer(None, reached=False))
        due = ledger.due(record, POLICY)
        assert due is not None
        waits.append(due - at)
    assert waits == [1.0, 2.0, 4.0]
    newer = ledger.take(record, state("processing", 2), Now(31.0))
    assert ledger.due(newer, POLICY) == 34.0, "a backend that is down is not asked more often for newer progress"
    assert newer.waiting
    assert record.waiting
    assert newer.waiting.id != record.waiting.id
    assert sent(newer, 40.0, Answer(200)).failures == 0


def test_the_end_waits_while_progress_without_answer_may_still_be_worked_on() -> None:
    begun, sending = ledger.begin(taken(state("processing", 1)), Now(2.0))
    begun = ledger.take(begun, state("cancelled", 2), Now(3.0))
    late, _ = ledger.finish(begun, sending.id, Answer(None), Now(32.0), POLICY)
    assert ledger.due(late, POLICY) == 32.0 + POLICY.unsure
    never_sent, _ = ledger.finish(begun, sending.id, Answer(None, reached=False), Now(32.0), POLICY)
    assert ledger.due(never_sent, POLICY) == 3.0


def test_the_end_is_sent_three_times_to_a_backend_that_answers_with_errors() -> None:
    record = taken(state("completed", 1))
    ids = set()
    for at in (10.0, 20.0, 30.0):
        assert record.state is RecordState.OPEN
        assert record.terminal
        ids.add(record.terminal.id)
        record = sent(record, at, Answer(500, b"broken"))
    assert record.state is RecordState.DEAD
    assert record.terminal
    assert (record.terminal.answered, record.terminal.error) == (3, "500 broken")
    assert len(ids) == 1, "the same id, so that a receiver can tell"


def test_tries_without_answer_do_not_count_for_a_day() -> None:
    record = taken(state("completed", 1))
    at, tries = 10.0, 0
    while record.state is RecordState.OPEN:
        record = sent(record, at, Answer(None))
        due = ledger.due(record, POLICY)
        if due is None:
            break
        assert due - at <= POLICY.longest_wait * 1.25
        at, tries = due, tries + 1
    assert record.state is RecordState.DEAD
    assert at > POLICY.give_up
    assert tries > 200


@pytest.mark.parametrize("status", [404, 410])
def test_a_backend_that_does_not_know_the_job_hears_no_more_of_it(status: int) -> None:
    record = sent(taken(state("processing", 1)), 5.0, Answer(status))
    assert record.state is RecordState.STOPPED
    record = ledger.take(record, state("completed", 2), Now(6.0))
    assert ledger.due(record, POLICY) is None


@pytest.mark.parametrize("answer", [Answer(422), Answer(404), Answer(302), Answer(refused=True)])
def test_the_end_is_dead_at_once_when_no_further_try_can_help(answer: Answer) -> None:
    assert sent(taken(state("completed", 1)), 5.0, answer).state is RecordState.DEAD


def test_refused_progress_is_dropped_and_the_end_still_sent() -> None:
    record = sent(taken(state("processing", 1)), 5.0, Answer(422))
    assert ledger.due(record, POLICY) is None
    record = ledger.take(record, state("completed", 2), Now(6.0))
    assert ledger.due(record, POLICY) == 3.0


def test_a_client_that_posts_an_ended_job_again_is_told_its_end_again_under_the_same_id() -> None:
    record = sent(taken(state("completed", 1)), 5.0, Answer(200))
    assert record.terminal
    again = ledger.replayed(record, Now(100.0), POLICY)
    assert ledger.due(again, POLICY) == 103.0
    assert ledger.begin(again, Now(103.0))[1].id == record.terminal.id


def test_a_client_that_posts_while_it_is_told_the_end_is_told_once_more_when_that_is_over() -> None:
    begun, sending = ledger.begin(taken(state("completed", 1)), Now(4.0))

    asked = ledger.replayed(begun, Now(5.0), POLICY)
    assert ledger.due(asked, POLICY) is None
    told, _ = ledger.finish(asked, sending.id, Answer(200), Now(6.0), POLICY)

    assert ledger.due(told, POLICY) == 8.0
    assert ledger.begin(told, Now(8.0))[1].id == sending.id
    assert sent(told, 8.0, Answer(200)).state is RecordState.SETTLED


def test_an_end_that_is_yet_to_be_sent_is_not_sent_twice() -> None:
    record = taken(state("completed", 1))
    assert ledger.replayed(record, Now(1.0), POLICY) is record
    begun, _ = ledger.begin(taken(state("processing", 1)), Now(4.0))
    assert ledger.replayed(begun, Now(5.0), POLICY) is begun, "progress is on its way, not the end"


def test_another_job_of_the_same_id_begins_anew() -> None:
    record = sent(taken(state("completed", 1)), 5.0, Answer(200))
    later = state("failed", 2, created_at=CREATED + timedelta(seconds=1))
    again = ledger.take(record, later, Now(50.0))
    assert (again.state, again.seen_at) == (RecordState.OPEN, 50.0)


def test_a_dead_end_is_sent_again_when_asked_for() -> None:
    dead = sent(taken(state("completed", 1)), 5.0, Answer(422))
    again = ledger.replayed(dead, Now(50.0), POLICY)
    assert ledger.due(again, POLICY) == 53.0
    assert sent(again, 53.0, Answer(200)).state is RecordState.SETTLED
    waiting = taken(state("processing", 1))
    assert ledger.replayed(waiting, Now(50.0), POLICY) is waiting


def test_after_a_restart_a_job_is_held_from_when_it_was_first_heard_of() -> None:
    record = ledger.revived(taken(state("completed", 1)), Now(100.0), POLICY)
    assert ledger.due(record, POLICY) == 3.0


def test_after_a_restart_what_was_on_its_way_counts_as_a_try_without_answer() -> None:
    begun, sending = ledger.begin(taken(state("completed", 1)), Now(4.0))
    record = ledger.revived(begun, Now(10.0), POLICY)
    assert record.terminal
    assert (record.terminal.id, record.terminal.unanswered, record.terminal.answered) == (sending.id, 1, 0)
    assert ledger.due(record, POLICY) == 11.0


def test_records_survive_being_written_down() -> None:
    begun, _ = ledger.begin(taken(state("processing", 1)), Now(4.0))
    record = ledger.take(begun, state("completed", 2), Now(5.0))
    assert CallbackRecord.model_validate_json(record.model_dump_json()) == record


def test_a_record_that_another_release_wrote_is_read_without_what_only_that_knows() -> None:
    sending = {"id": "cb_1", "terminal": True, "payload": {"status": "completed"}, "tries": 3}
    theirs = {"jobId": "a", "url": "http://b/", "createdAt": "then", "version": 1, "seenAt": 1.0, "answeredAt": None}

    record = CallbackRecord.model_validate_json(json.dumps({**theirs, "sending": sending}))

    assert record.sending is not None and record.sending.status == "completed"
