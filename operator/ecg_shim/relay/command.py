"""`python -m ecg_shim callbacks`: see which ends of jobs the backend could not be told, and send them again."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from ecg_shim.model import Unavailable
from ecg_shim.relay.outbox import SqliteOutbox
from ecg_shim.relay.records import CallbackRecord

FILE_NAME = "callbacks.sqlite"
EXAMPLES = """\
examples:
  python -m ecg_shim callbacks list
  python -m ecg_shim callbacks replay 5a0c1f0e-3b52-4b8e-9f5e-1d2c3b4a5968
  python -m ecg_shim callbacks replay --all

A running service sends them within seconds, another one when it is started. Exit status: 0 done, 1 there is no such
callback, or the outbox cannot be read.
"""


class DeadLetters(Protocol):
    """The part of an outbox that the command works with."""

    async def open(self) -> None:
        """Get ready. Raises Unavailable, as all calls may."""

    async def close(self) -> None:
        """Let go."""

    async def dead(self) -> list[CallbackRecord]:
        """Return the records whose job's end was given up."""

    async def ask_for_replay(self, job_id: str) -> None:
        """Ask the service to send the end of a job once more."""


def main(
    arguments: Sequence[str], folder: Path, write: Callable[[str], None], dead_letters: DeadLetters | None = None
) -> int:
    """Carry out a command on `dead_letters`, else on the outbox in `folder`; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m ecg_shim callbacks",
        description="Ends of jobs that could not be told to the backend.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("list", help="show them: job, status, when, tries, last error")
    replay = commands.add_parser("replay", help="send them again")
    replay.add_argument("job_ids", nargs="*", metavar="JOB_ID", help="of these jobs")
    replay.add_argument("--all", action="store_true", help="of all jobs in the list")
    given = parser.parse_args(arguments)
    file = folder / FILE_NAME
    if dead_letters is None and not file.exists():
        write(f"There is no outbox {file}: no service has run with this folder (ECG_DATA_DIR).")
        return 1
    try:
        return asyncio.run(_carry_out(given, dead_letters or SqliteOutbox(file), write))
    except Unavailable as problem:
        write(str(problem))
        return 1


async def _carry_out(given: argparse.Namespace, outbox: DeadLetters, write: Callable[[str], None]) -> int:
    await outbox.open()
    try:
        dead = {record.job_id: record for record in await outbox.dead()}
        if given.command == "list":
            for record in dead.values():
                write(line(record))
            return 0
        wanted = list(dead) if given.all else given.job_ids
        unknown = [job_id for job_id in wanted if job_id not in dead]
        for job_id in wanted:
            if job_id in dead:
                await outbox.ask_for_replay(job_id)
                write(f"{job_id} is sent again.")
        for job_id in unknown:
            write(f"{job_id} is not among the callbacks that were given up.")
        return 1 if unknown else 0
    finally:
        await outbox.close()


def line(record: CallbackRecord) -> str:
    """Return a record that was given up as a line of five columns."""
    delivery = record.terminal
    assert delivery is not None
    when = datetime.fromtimestamp(record.sent_at, UTC).isoformat(timespec="seconds")
    tries = delivery.answered + delivery.unanswered
    error = " ".join(delivery.error.split())
    return f"{record.job_id}\t{delivery.status}\t{when}\t{tries} tries\t{error}"
