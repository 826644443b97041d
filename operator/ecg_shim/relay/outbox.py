"""Where records of callbacks lie: anything that keeps a small value under a job's id will do."""

from __future__ import annotations

import time
from pathlib import Path
from sqlite3 import Connection
from typing import Protocol

from ecg_shim.database import Database
from ecg_shim.relay.records import CallbackRecord, RecordState

MIGRATIONS = (
    """
    CREATE TABLE callbacks (
        job_id TEXT PRIMARY KEY,
        state TEXT NOT NULL,
        touched_at REAL NOT NULL,
        record TEXT NOT NULL
    );
    CREATE INDEX callbacks_by_state ON callbacks (state);
    CREATE TABLE replays (job_id TEXT PRIMARY KEY)
    """,
)


class Outbox(Protocol):
    """Keeps records over the end of this process. All calls raise Unavailable when they cannot do that."""

    async def open(self) -> None:
        """Get ready."""

    async def close(self) -> None:
        """Finish what was asked for, and let go."""

    async def get(self, job_id: str) -> CallbackRecord | None:
        """Return the record of a job."""

    async def save(self, record: CallbackRecord) -> None:
        """Keep a record in the place of the job's former one: wholly or not at all."""

    async def unfinished(self) -> list[CallbackRecord]:
        """Return the records with something still to tell, or of jobs that have not ended."""

    async def dead(self) -> list[CallbackRecord]:
        """Return the records whose job's end was given up."""

    async def count_dead(self) -> int:
        """Return the number of those."""

    async def ask_for_replay(self, job_id: str) -> None:
        """Ask whoever sends callbacks, perhaps another process, to send the end of a job once more."""

    async def take_replays(self) -> list[str]:
        """Return the jobs that were asked for, once."""

    async def forget(self, before: float) -> None:
        """Remove the records with nothing to send, also those given up, that were not touched since `before`."""


class SqliteOutbox:
    """An outbox in a file of this machine."""

    def __init__(self, file: Path) -> None:
        self._database = Database(file, MIGRATIONS)

    async def open(self) -> None:
        """Open the file, or make it."""
        await self._database.open()

    async def close(self) -> None:
        """Close the file."""
        await self._database.close()

    async def get(self, job_id: str) -> CallbackRecord | None:
        """Return the record of a job."""
        return await self._database.quick(_get, job_id)

    async def save(self, record: CallbackRecord) -> None:
        """Keep a record; what says how a job ended is on the disk when this returns."""
        ends = record.terminal or (record.sending and record.sending.terminal)
        await (self._database.call if ends else self._database.quick)(_save, record)

    async def unfinished(self) -> list[CallbackRecord]:
        """Return the open records, the oldest first."""
        return await self._database.quick(_in_state, RecordState.OPEN)

    async def dead(self) -> list[CallbackRecord]:
        """Return the records whose job's end was given up, the oldest first."""
        return await self._database.quick(_in_state, RecordState.DEAD)

    async def count_dead(self) -> int:
        """Return the number of those, without reading them."""
        return await self._database.quick(_count, RecordState.DEAD)

    async def ask_for_replay(self, job_id: str) -> None:
        """Ask the service that has this file open too, or the next one, to send the end of a job once more."""
        await self._database.call(_ask, job_id)

    async def take_replays(self) -> list[str]:
        """Return the jobs that were asked for, once."""
        return await self._database.quick(_take_asked)

    async def forget(self, before: float) -> None:
        """Remove old records with nothing to send."""
        await self._database.quick(_forget, before)


def _get(connection: Connection, job_id: str) -> CallbackRecord | None:
    row = connection.execute("SELECT record FROM callbacks WHERE job_id = ?", (job_id,)).fetchone()
    return CallbackRecord.model_validate_json(row["record"]) if row else None


def _save(connection: Connection, record: CallbackRecord) -> None:
    connection.execute(
        "INSERT OR REPLACE INTO callbacks VALUES (?, ?, ?, ?)",
        (record.job_id, record.state, time.time(), record.model_dump_json()),
    )


def _in_state(connection: Connection, state: RecordState) -> list[CallbackRecord]:
    rows = connection.execute("SELECT record FROM callbacks WHERE state = ? ORDER BY touched_at", (state,))
    return [CallbackRecord.model_validate_json(row["record"]) for row in rows]


def _count(connection: Connection, state: RecordState) -> int:
    return int(connection.execute("SELECT COUNT(*) FROM callbacks WHERE state = ?", (state,)).fetchone()[0])


def _ask(connection: Connection, job_id: str) -> None:
    connection.execute("INSERT OR REPLACE INTO replays VALUES (?)", (job_id,))


def _take_asked(connection: Connection) -> list[str]:
    return [row["job_id"] for row in connection.execute("DELETE FROM replays RETURNING job_id").fetchall()]


def _forget(connection: Connection, before: float) -> None:
    connection.execute("DELETE FROM callbacks WHERE state != 'open' AND touched_at < ?", (before,))
