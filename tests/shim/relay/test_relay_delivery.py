"""Callbacks to a real HTTP server that does everything wrong that a backend, or what stands before it, can do."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from ecg_common.addresses import AddressPolicy
from ecg_common.web import checked_client
from ecg_shim.model import Unavailable
from ecg_shim.relay import Policy, Relay, Sender, SqliteOutbox
from ecg_shim.relay.metrics import RelayMetrics
from ecg_shim.relay.policy import Answer
from ecg_shim.relay.records import CallbackRecord, Delivery, RecordState
from ecg_shim.relay.sender import Signer
from shim_client_backend import ClientBackend, Row
from shim_jobs import ToldBackend, state

JOB = "5a0c1f0e-3b52-4b8e-9f5e-1d2c3b4a5968"
SECRET = "whsec_MfKQ9r8GKYqwTwjUPD8ILPZIo2LaLaSw"
ANYWHERE = AddressPolicy(schemes=("http", "https"), setting="ECG_CALLBACK_HOSTS", private=True)
POLICY = Policy(hold=1.5, hold_terminal=3.0)
PUBLIC = replace(ANYWHERE, private=False)
PATIENCE = 30.0


class Clock:
    """Time that passes when a test says so."""

    def __init__(self) -> None:
        self.now = 1_790_000_000.0

    def __call__(self) -> float:
        return self.now


class Bench:
    """A relay between a backend that a test drives and the client's backend."""

    def __init__(self, folder: Path, client: ClientBackend, relay: Relay, backend: ToldBackend, clock: Clock) -> None:
        self.folder, self.client, self.relay, self.backend, self.clock = folder, client, relay, backend, clock

    async def tell(self, status: str, version: int, **changes: Any) -> None:
        """Let the job be in a state."""
        await self.relay.take(self.backend.now(status, version, JOB, self.client.callback_url, **changes))

    async def after(self, seconds: float) -> None:
        """Let time pass, and send what is due then."""
        self.clock.now += seconds
        await self.relay.deliver_due()

    def heard(self) -> list[tuple[str, Any]]:
        """Return what the client's backend was told: status and progress."""
        return [(one.body["status"], one.body.get("progress")) for one in self.client.received]


def with_relay(
    folder: Path,
    work: Callable[[Bench], Awaitable[None]],
    *,
    policy: Policy = POLICY,
    addresses: AddressPolicy = ANYWHERE,
    secret: str = "",
    seconds: float = PATIENCE,
    metrics: RelayMetrics | None = None,
) -> None:
    """Run `work` with a relay whose clock only `after` moves, and a client's backend that has a row for JOB."""

    async def run(client: ClientBackend) -> None:
        clock = Clock()
        backend = ToldBackend(clock)
        async with checked_client(addresses) as http:
            sender = Sender(http, Signer.of(secret), seconds, clock)
            outbox = SqliteOutbox(folder / "callbacks.sqlite")
            relay = Relay(backend, outbox, sender, policy, metrics, clock)  # type: ignore[arg-type]
            await relay.load()
            try:
                await work(Bench(folder, client, relay, backend, clock))
            finally:
                await relay.close()

    with ClientBackend() as client:
        client.rows[JOB] = Row(JOB, None)
        asyncio.run(run(client))


def test_a_job_is_told_in_order_and_its_end_once_although_it_is_answered_with_500(tmp_path: Path) -> None:
    async def work(bench: Bench) -> None:
        await bench.tell("queued", 1)
        await bench.after(10)
        assert bench.heard() == []
        for progress in (2, 3, 4):
            await bench.tell("processing", progress)
        await bench.after(0)
        await bench.tell("processing", 5)
        await bench.after(0.5)
        assert bench.heard() == [("processing", 4)], "newer progress waits for a second"
        await bench.after(0.5)
        await bench.tell("completed", 6)
        await bench.after(0)
        await bench.after(3600)
        assert bench.heard() == [("processing", 4), ("processing", 5), ("completed", 100)]
        assert bench.client.received[-1].answered == 500
        assert bench.client.row(JOB).status == "completed"

    with_relay(tmp_path, work)


def test_nothing_is_sent_before_the_client_has_surely_had_its_answer_and_written_its_row(tmp_path: Path) -> None:
    async def work(bench: Bench) -> None:
        await bench.tell("processing", 1)
        await bench.after(1.4)
        assert bench.heard() == []
        await bench.after(0.2)
        assert bench.heard() == [("processing", 1)]
        await bench.tell("completed", 2)
        await bench.after(1.3)
        assert len(bench.heard()) == 1
        await bench.after(0.2)
        assert bench.heard()[-1] == ("completed", 100)

    with_relay(tmp_path, work)


def test_the_clock_of_whoever_stored_the_job_does_not_matter(tmp_path: Path) -> None:
    async def work(bench: Bench) -> None:
        bench.clock.now -= 60
        told = bench.backend.now("failed", 1, JOB, bench.client.callback_url)
        bench.clock.now += 60
        await bench.relay.take(told)
        await bench.after(2.9)
        assert bench.heard() == []
        await bench.after(0.2)
        assert bench.heard() == [("failed", None)]

    with_relay(tmp_path, work)


def test_the_end_is_told_again_to_a_client_that_posts_again_but_not_before_it_was_told(tmp_path: Path) -> None:
    async def work(bench: Bench) -> None:
        await bench.tell("completed", 1)
        await bench.relay.tell_again(JOB)
        await bench.after(10)
        assert bench.heard() == [("completed", 100)]
        await bench.relay.tell_again(JOB)
        await bench.after(2.9)
        assert len(bench.heard()) == 1
        await bench.after(0.2)
        assert bench.heard() == [("completed", 100)] * 2
        first, second = bench.client.received
        assert first.headers["webhook-id"] == second.headers["webhook-id"]

    with_relay(tmp_path, work)


def test_after_a_cancel_nothing_says_processing_and_cancelled_is_said_once(tmp_path: Path) -> None:
    async def work(bench: Bench) -> None:
        await bench.tell("processing", 1)
        await bench.after(5)
        await bench.tell("processing", 2)
        await bench.tell("cancelled", 3)
        await bench.tell("processing", 4)
        for _ in range(5):
            await bench.after(10)
        assert bench.heard() == [("processing", 1), ("cancelled", None)]

    with_relay(tmp_path, work)


def test_a_backend_that_is_down_for_a_minute_misses_progress_but_no_end(tmp_path: Path) -> None:
    async def work(bench: Bench) -> None:
        await bench.tell("processing", 1)
        bench.client.go_down()
        for version in range(2, 32):
            await bench.tell("processing", version)
            await bench.after(1)
        await bench.tell("completed", 40)
        for _ in range(30):
            await bench.after(1)
        bench.client.come_up()
        for _ in range(64):
            await bench.after(1)
        assert bench.heard() == [("completed", 100)]

    with_relay(tmp_path, work)


def test_a_backend_that_hangs_gets_the_end_after_it_has_worked_off_what_it_had(tmp_path: Path) -> None:
    async def work(bench: Bench) -> None:
        wakes = threading.Event()

        def hang(body: dict[str, Any]) -> None:
            if body["status"] == "processing":
                wakes.wait(PATIENCE)

        bench.client.fault = hang
        await bench.tell("processing", 1)
        await bench.after(2)
        await bench.tell("cancelled", 2)
        await bench.after(14)
        assert not bench.client.received
        wakes.set()
        await asyncio.to_thread(bench.client.wait, JOB, PATIENCE, ("processing",))
        await bench.after(2)
        assert bench.heard() == [("processing", 1), ("cancelled", None)]
        assert bench.client.row(JOB).status == "cancelled"

    with_relay(tmp_path, work, seconds=4.0)


def test_errors_are_answered_with_three_tries_under_one_id_and_then_it_is_a_dead_letter(tmp_path: Path) -> None:
    metrics = RelayMetrics()

    async def work(bench: Bench) -> None:
        bench.client.fault = lambda _: (500, {"detail": "broken"})
        await bench.tell("completed", 1)
        for _ in range(100):
            await bench.after(10)
        assert len(bench.heard()) == 3
        assert len({one.headers["webhook-id"] for one in bench.client.received}) == 1
        assert len({one.raw for one in bench.client.received}) == 1
        assert metrics.registry.get_sample_value("ecg_callback_given_up_total") == 1
        bench.client.fault = None
        await bench.relay.tell_again(JOB)
        await bench.after(3)
        assert bench.client.row(JOB).status == "completed"

    with_relay(tmp_path, work, metrics=metrics)


@pytest.mark.parametrize("cancel", [True, False])
def test_a_job_that_the_backend_does_not_know_is_told_no_more_and_cancelled_if_that_is_set(
    tmp_path: Path, cancel: bool
) -> None:
    async def work(bench: Bench) -> None:
        bench.client.rows.clear()
        await bench.tell("processing", 1)
        await bench.after(5)
        await bench.tell("processing", 2)
        await bench.tell("completed", 3)
        await bench.after(50)
        assert [one.answered for one in bench.client.received] == [404]
        assert bench.backend.cancelled == ([JOB] if cancel else [])

    with_relay(tmp_path, work, policy=Policy(cancel_unknown=cancel))


def test_what_the_backend_does_not_understand_is_not_repeated_and_raises_an_alarm(tmp_path: Path) -> None:
    metrics = RelayMetrics()

    async def work(bench: Bench) -> None:
        bench.client.fault = lambda _: (422, {"detail": []})
        await bench.tell("failed", 1)
        for _ in range(9):
            await bench.after(60)
        assert len(bench.heard()) == 1

    with_relay(tmp_path, work, metrics=metrics)
    assert metrics.registry.get_sample_value("ecg_callback_rejected_total") == 1
    labels = {"kind": "terminal", "verdict": "refused"}
    assert metrics.registry.get_sample_value("ecg_callback_tries_total", labels) == 1


class Raw:
    """Writes an answer as it stands, part by part; `written`: when each part was."""

    def __init__(self, parts: tuple[bytes, ...], pause: float) -> None:
        self.parts, self._pause = parts, pause
        self.written: list[float] = []

    def __call__(self, handler: Any) -> None:
        handler.close_connection = True
        with contextlib.suppress(OSError):  # the relay has read enough
            for part in self.parts:
                handler.wfile.write(part)
                handler.wfile.flush()
                self.written.append(time.monotonic())
                time.sleep(self._pause)


def raw(*parts: bytes, pause: float = 0.0) -> tuple[int, Any]:
    """Return an answer that is written as it stands."""
    return 200, Raw(parts, pause)


ENDLESS = (b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n", *([b"x" * 65536] * 200))
SLOW = (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n", *([b"x"] * 99))  # for 20 s
REDIRECT = b"HTTP/1.1 307 Temporary Redirect\r\nLocation: http://127.0.0.1:9/elsewhere\r\nContent-Length: 0\r\n\r\n"
NOWHERE = b"HTTP/1.1 302 Found\r\nLocation: http://xn--/\r\nContent-Length: 0\r\n\r\n"
RETRY = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 100\r\nContent-Length: 0\r\n\r\n"
STRANGE: dict[str, tuple[tuple[int, Any], RecordState, str]] = {
    "a success with 13 MB behind it": (raw(*ENDLESS), RecordState.SETTLED, ""),
    "a success whose body never ends": (raw(*SLOW, pause=0.2), RecordState.SETTLED, ""),
    "a redirect": (raw(REDIRECT), RecordState.DEAD, "redirects to http://127.0.0.1:9/elsewhere"),
    "a redirect to what is no name": (raw(NOWHERE), RecordState.DEAD, "IDNA"),
    "no HTTP": (raw(b"hello?\r\n\r\n"), RecordState.OPEN, "RemoteProtocolError"),
    "half an answer": (raw(b"HTTP/1.1 200"), RecordState.OPEN, "RemoteProtocolError"),
    "nothing": ((0, None), RecordState.OPEN, "RemoteProtocolError"),
    "a request for time": (raw(RETRY), RecordState.OPEN, "503"),
}


async def told(bench: Bench) -> CallbackRecord:
    """Tell of the job's end; return what is noted then."""
    await bench.tell("completed", 1)
    await bench.after(5)
    record = await bench.relay._outbox.get(JOB)
    assert record
    return record


@pytest.mark.parametrize(("answer", "expected", "error"), STRANGE.values(), ids=STRANGE)
def test_strange_answers_do_no_harm(tmp_path: Path, answer: tuple[int, Any], expected: RecordState, error: str) -> None:
    async def work(bench: Bench) -> None:
        bench.client.fault = lambda _: answer
        record = await told(bench)
        assert record.state is expected
        assert record.terminal
        assert error in record.terminal.error
        if answer is STRANGE["a request for time"][0]:
            assert record.terminal.due == pytest.approx(bench.clock.now + 100)
        if answer is STRANGE["a success whose body never ends"][0]:
            assert len(answer[1].written) < len(answer[1].parts), "it was not waited for"

    with_relay(tmp_path, work, seconds=5.0)


def test_waiting_for_an_answer_and_reading_it_have_one_limit_together(tmp_path: Path) -> None:
    async def work(bench: Bench) -> None:
        answer = raw(b"HTTP/1.1 200", b" OK\r\n\r\n", *([b"x"] * 5), pause=3.0)
        bench.client.fault = lambda _: answer
        record = await told(bench)
        assert record.state is RecordState.SETTLED
        assert time.monotonic() - answer[1].written[1] < limit, "what waiting has left of it was for reading"

    limit = 6.0
    with_relay(tmp_path, work, seconds=limit)


def test_a_host_that_is_no_name_is_given_up_and_does_not_stay_on_its_way(tmp_path: Path) -> None:
    async def work(bench: Bench) -> None:
        await bench.relay.take(bench.backend.now("completed", 1, JOB, "http://xn--a/callback"))
        await bench.after(5)
        record = await bench.relay._outbox.get(JOB)
        assert record
        assert (record.state, record.sending) == (RecordState.DEAD, None)

    with_relay(tmp_path, work)


def test_a_try_that_breaks_has_no_answer_and_raises_nothing() -> None:
    def broken(_: httpx.Request) -> httpx.Response:
        raise RuntimeError("never thought of")

    async def work() -> Answer:
        async with httpx.AsyncClient(transport=httpx.MockTransport(broken)) as http:
            return await Sender(http).send("http://localhost/", Delivery(id="a", terminal=True, payload={}))

    assert asyncio.run(work()) == Answer(error="RuntimeError: never thought of")


def test_addresses_that_may_not_be_contacted_are_refused_when_connecting(tmp_path: Path) -> None:
    async def work(bench: Bench) -> None:
        await bench.tell("completed", 1)
        await bench.after(5)
        assert bench.heard() == []
        record = await bench.relay._outbox.get(JOB)
        assert record
        assert record.terminal
        assert record.state is RecordState.DEAD
        assert "not a public address" in record.terminal.error

    with_relay(tmp_path, work, addresses=PUBLIC)


def test_headers_say_who_sends_what_and_sign_it(tmp_path: Path) -> None:
    async def work(bench: Bench) -> None:
        await bench.tell("processing", 1)
        await bench.after(5)
        one = bench.client.received[0]
        assert one.headers["content-type"] == "application/json"
        assert one.headers["user-agent"].startswith("GPU-Render-Server/1.0 ")
        assert one.headers["webhook-timestamp"] == str(int(bench.clock.now))
        signed = f"{one.headers['webhook-id']}.{one.headers['webhook-timestamp']}.".encode() + one.raw
        key = base64.b64decode(SECRET.removeprefix("whsec_"))
        digest = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
        assert one.headers["webhook-signature"] == f"v1,{digest}"
        assert one.raw.isascii()
        assert json.loads(one.raw)["job_id"] == JOB

    with_relay(tmp_path, work, secret=SECRET)


def test_without_a_secret_nothing_is_signed(tmp_path: Path) -> None:
    async def work(bench: Bench) -> None:
        await bench.tell("processing", 1)
        await bench.after(5)
        assert not {"webhook-signature", "webhook-timestamp"} & set(bench.client.received[0].headers)

    with_relay(tmp_path, work)


def test_a_job_posted_again_after_its_end_does_not_stay_in_processing(tmp_path: Path) -> None:
    async def work(bench: Bench) -> None:
        await bench.tell("completed", 1)
        await bench.after(5)
        bench.client.row(JOB).write(status="processing")  # what the client does after each 200
        await bench.relay.tell_again(JOB)
        await bench.after(5)
        assert bench.client.row(JOB).status == "completed"
        assert len({one.headers["webhook-id"] for one in bench.client.received}) == 1

    with_relay(tmp_path, work)


def test_a_hanging_backend_of_one_job_does_not_delay_another(tmp_path: Path) -> None:
    other = "11111111-2222-3333-4444-555555555555"

    async def work(bench: Bench) -> None:
        bench.client.rows[other] = Row(other, None)

        wakes = threading.Event()

        def hang(body: dict[str, Any]) -> None:
            if body["job_id"] == JOB:
                wakes.wait(PATIENCE)

        bench.client.fault = hang
        await bench.tell("completed", 1)
        await bench.relay.take(bench.backend.now("completed", 1, other, bench.client.callback_url))
        delivering = asyncio.create_task(bench.after(5))
        await asyncio.to_thread(bench.client.wait, other, PATIENCE)
        assert bench.client.row(JOB).status == "queued"
        wakes.set()
        await delivering

    with_relay(tmp_path, work, seconds=PATIENCE)


def test_by_itself_the_relay_follows_a_backend_from_its_first_change_on(tmp_path: Path) -> None:
    # Seldom: however slowly the changes come here, some of them are left out.
    quick = Policy(hold=0.1, hold_terminal=0.2, progress_every=1.0, first_wait=0.05)

    async def run(client: ClientBackend) -> None:
        backend = ToldBackend()
        async with checked_client(ANYWHERE) as http:
            outbox = SqliteOutbox(tmp_path / "callbacks.sqlite")
            backend.now("processing", 1, JOB, client.callback_url)
            async with Relay(backend, outbox, Sender(http), quick).running():  # type: ignore[arg-type]
                for version in range(2, 12):
                    backend.now("processing", version, JOB, client.callback_url)
                    await asyncio.sleep(0.03)
                backend.now("completed", 20, JOB, client.callback_url)
                await asyncio.to_thread(client.wait, JOB, PATIENCE)

    with ClientBackend() as client:
        client.rows[JOB] = Row(JOB, None)
        asyncio.run(run(client))
    told = [one.body["progress"] for one in client.received]
    assert told == sorted(told)
    assert 2 <= len(told) < 12
    assert told[-1] == 100


def test_jobs_that_ended_long_ago_are_not_told_by_a_relay_that_knows_nothing_of_them(tmp_path: Path) -> None:
    async def work(bench: Bench) -> None:
        await bench.relay.take(state("completed", 1, JOB, callback_url=bench.client.callback_url))
        await bench.after(100)
        assert bench.heard() == []

    with_relay(tmp_path, work)


def test_a_dead_letter_is_logged_with_what_to_do_and_without_secrets(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def work(bench: Bench) -> None:
        bench.client.fault = lambda _: (403, {})
        url = bench.client.callback_url.replace("http://", "http://user:hunter2@") + "?token=hunter3"
        await bench.relay.take(bench.backend.now("completed", 1, JOB, url))
        await bench.after(5)

    with_relay(tmp_path, work)
    assert f"CALLBACK_FAILED: the end of job {JOB} (completed) could not be told to http://127.0.0.1:" in caplog.text
    assert f"python -m ecg_shim callbacks replay {JOB}" in caplog.text
    assert "hunter" not in caplog.text


class BrokenOutbox(SqliteOutbox):
    """An outbox that cannot save for a while."""

    broken = False

    async def save(self, record: CallbackRecord) -> None:
        if self.broken:
            raise Unavailable("The disk is full.")
        await super().save(record)


def test_while_the_outbox_cannot_save_nothing_is_lost_and_nothing_sent_that_is_not_noted(tmp_path: Path) -> None:
    quick = Policy(hold=0, hold_terminal=0, progress_every=0.05)

    async def run(client: ClientBackend) -> None:
        backend = ToldBackend()
        async with checked_client(ANYWHERE) as http:
            outbox = BrokenOutbox(tmp_path / "callbacks.sqlite")
            async with Relay(backend, outbox, Sender(http), quick).running():  # type: ignore[arg-type]
                outbox.broken = True
                backend.now("completed", 1, JOB, client.callback_url)
                await asyncio.sleep(0.5)
                assert not client.received
                outbox.broken = False
                await asyncio.to_thread(client.wait, JOB, PATIENCE)

    with ClientBackend() as client:
        client.rows[JOB] = Row(JOB, None)
        asyncio.run(run(client))
    assert [one.body["status"] for one in client.received] == ["completed"]
