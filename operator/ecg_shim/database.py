"""One SQLite database, used by one thread: nothing else ever waits for the disk.

Every call is a transaction. It is on the disk when the call returns, unless it was asked for as a `quick` one, which
survives a crash of this process but perhaps not of the machine.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from ecg_shim.model import Unavailable

T = TypeVar("T")
P = ParamSpec("P")

BUSY_SECONDS = 5.0


class Database:
    """A database file with a schema of a known version.

    Args:
        file: made if it is missing.
        migrations: statements that lead from each schema version to the next; version 0 is an empty file.
    """

    def __init__(self, file: Path, migrations: tuple[str, ...]) -> None:
        self.file = file
        self._migrations = migrations
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"sqlite-{file.stem}")
        self._connection: sqlite3.Connection | None = None
        self.problem = ""
        """Why the last call failed; empty when it did not."""

    async def open(self) -> None:
        """Open the file and bring its schema up to date.

        Raises Unavailable if it is damaged, not writable, or from a newer version of this service.
        """
        await self._run(self._open)

    async def close(self) -> None:
        """Wait for calls that were made, and close the file."""
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._thread, self._close)
        self._thread.shutdown(wait=False)

    async def call(
        self, work: Callable[Concatenate[sqlite3.Connection, P], T], *arguments: P.args, **options: P.kwargs
    ) -> T:
        """Run `work(connection, …)` as a transaction that is on the disk when this returns.

        Raises Unavailable if the database cannot do it; then nothing has changed.
        """
        return await self._run(lambda: self._transaction("FULL", lambda c: work(c, *arguments, **options)))

    async def quick(
        self, work: Callable[Concatenate[sqlite3.Connection, P], T], *arguments: P.args, **options: P.kwargs
    ) -> T:
        """Run `work(connection, …)` as a transaction that a loss of power may undo. Raises Unavailable."""
        return await self._run(lambda: self._transaction("NORMAL", lambda c: work(c, *arguments, **options)))

    async def _run(self, work: Callable[[], T]) -> T:
        loop = asyncio.get_running_loop()
        try:
            result = await loop.run_in_executor(self._thread, work)
        except (sqlite3.Error, OSError) as error:
            self.problem = _explained(error, self.file)
            raise Unavailable(self.problem) from error
        self.problem = ""
        return result

    def _open(self) -> None:
        self.file.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(self.file, timeout=BUSY_SECONDS, isolation_level=None)
        try:
            connection.row_factory = sqlite3.Row
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA foreign_keys=ON")
            self._migrate(connection)
        except BaseException:
            connection.close()
            raise
        self._connection = connection

    def _migrate(self, connection: sqlite3.Connection) -> None:
        version = int(connection.execute("PRAGMA user_version").fetchone()[0])
        if version > len(self._migrations):
            raise sqlite3.DatabaseError(f"it has schema version {version}, and this service knows up to "
                                        f"{len(self._migrations)}; start a newer one")  # fmt: skip
        for number, script in enumerate(self._migrations[version:], version + 1):
            connection.executescript(f"BEGIN IMMEDIATE; {script}; PRAGMA user_version={number}; COMMIT;")

    def _transaction(self, synchronous: str, work: Callable[[sqlite3.Connection], T]) -> T:
        connection = self._connection
        if connection is None:
            raise sqlite3.OperationalError("it is not open")
        connection.execute(f"PRAGMA synchronous={synchronous}")
        connection.execute("BEGIN IMMEDIATE")
        try:
            result = work(connection)
            connection.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):  # a full disk may have rolled it back already
                connection.execute("ROLLBACK")
            raise
        return result

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _explained(error: Exception, file: Path) -> str:
    said = str(error)
    if "full" in said or "No space left" in said:
        return f"The disk of {file} is full. Free some space; waiting jobs are kept."
    if "malformed" in said or "not a database" in said:
        return f"{file} is damaged ({said}). Stop the service, move the file away with its -wal and -shm, start again."
    if "readonly" in said or "unable to open" in said or isinstance(error, PermissionError):
        return f"{file} cannot be written ({said}). Give the service's user the right to write in its folder."
    return f"{file} cannot be used: {said}."
