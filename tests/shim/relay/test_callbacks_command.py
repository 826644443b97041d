"""`python -m ecg_shim callbacks`: what was given up is listed, and sent again when asked for."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from ecg_common.addresses import AddressPolicy
from ecg_common.web import checked_client
from ecg_shim.relay import Policy, Relay, Sender, SqliteOutbox, ledger
from ecg_shim.relay.command import FILE_NAME, main
from ecg_shim.relay.ledger import Now
from ecg_shim.relay.policy import Answer
from shim_client_backend import ClientBackend, Row
from shim_jobs import ToldBackend, state

JOB = "5a0c1f0e-3b52-4b8e-9f5e-1d2c3b4a5968"
OTHER = "11111111-2222-3333-4444-555555555555"


def give_up(folder: Path, job_id: str, url: str, answer: bytes = b"no\nentry") -> None:
    """Leave a callback in the outbox that was refused."""

    async def save() -> None:
        outbox = SqliteOutbox(folder / FILE_NAME)
        await outbox.open()
        record = ledger.take(None, state("completed", 1, job_id, callback_url=url), Now(0.0))
        begun, sending = ledger.begin(record, Now(1.0))
        dead, _ = ledger.finish(begun, sending.id, Answer(403, answer), Now(2.0), Policy())
        await outbox.save(dead)
        await outbox.close()

    asyncio.run(save())


def callbacks(folder: Path, *arguments: str) -> tuple[int, list[str]]:
    lines: list[str] = []
    return main(arguments, folder, lines.append), lines


def test_the_list_has_a_line_for_each_with_job_status_time_tries_and_error(tmp_path: Path) -> None:
    give_up(tmp_path, JOB, "http://127.0.0.1:9/cb")
    code, lines = callbacks(tmp_path, "list")
    assert code == 0
    assert lines == [f"{JOB}\tcompleted\t1970-01-01T00:00:02+00:00\t1 tries\t403 no entry"]


def test_what_the_receiver_said_cannot_write_to_the_terminal(tmp_path: Path) -> None:
    give_up(tmp_path, JOB, "http://127.0.0.1:9/cb", "no\x1b[2J\r\n\u202eentry\u2028한글 ❌\x07".encode())
    _, (line,) = callbacks(tmp_path, "list")
    assert line.endswith("\t403 no\\x1b[2J \\u202eentry 한글 ❌\\x07")


def test_what_was_given_up_is_counted_and_forgotten_when_it_is_old(tmp_path: Path) -> None:
    give_up(tmp_path, JOB, "http://127.0.0.1:9/cb")

    async def look() -> list[int]:
        outbox = SqliteOutbox(tmp_path / FILE_NAME)
        await outbox.open()
        counted = [await outbox.count_dead()]
        for before in (time.time() - 60, time.time() + 60):
            await outbox.forget(before)
            counted.append(await outbox.count_dead())
        await outbox.close()
        return counted

    assert asyncio.run(look()) == [1, 1, 0]
    assert callbacks(tmp_path, "list") == (0, [])


def test_what_is_replayed_is_sent_by_the_service_and_is_then_no_longer_in_the_list(tmp_path: Path) -> None:
    with ClientBackend() as client:
        for job_id in (JOB, OTHER):
            client.rows[job_id] = Row(job_id, None)
            give_up(tmp_path, job_id, client.callback_url)
        assert callbacks(tmp_path, "replay", JOB) == (0, [f"{JOB} is sent again."])
        asyncio.run(serve_until_told(tmp_path, client, JOB))
        assert [line.split("\t")[0] for line in callbacks(tmp_path, "list")[1]] == [OTHER]
        assert callbacks(tmp_path, "replay", "--all")[0] == 0
        asyncio.run(serve_until_told(tmp_path, client, OTHER))
        assert callbacks(tmp_path, "list") == (0, [])


async def serve_until_told(folder: Path, client: ClientBackend, job_id: str) -> None:
    policy = AddressPolicy(schemes=("http",), setting="ECG_CALLBACK_HOSTS", private=True)
    quick = Policy(hold=0, hold_terminal=0)
    async with checked_client(policy) as http:
        outbox = SqliteOutbox(folder / FILE_NAME)
        async with Relay(ToldBackend(), outbox, Sender(http), quick).running():  # type: ignore[arg-type]
            await asyncio.to_thread(client.wait, job_id, 60.0)


def test_unknown_jobs_are_named(tmp_path: Path) -> None:
    give_up(tmp_path, JOB, "http://127.0.0.1:9/cb")
    code, lines = callbacks(tmp_path, "replay", "nothing")
    assert (code, lines) == (1, ["nothing is not among the callbacks that were given up."])


def test_a_folder_without_outbox_is_named(tmp_path: Path) -> None:
    code, lines = callbacks(tmp_path, "list")
    assert code == 1
    assert str(tmp_path) in lines[0]
    assert not list(tmp_path.iterdir()), "looking makes nothing"


@pytest.mark.parametrize("arguments", [(), ("shout",)])
def test_wrong_usage_is_status_2(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit) as ended:
        callbacks(tmp_path, *arguments)
    assert ended.value.code == 2
