"""Find the video of a job in the backend's database, for requests that do not name it."""

from __future__ import annotations

import importlib.util
from typing import Any

CONNECT_SECONDS = 5
QUERY_MILLISECONDS = 3000


class VideoUnknown(Exception):
    """The database holds no video for the job; the text says what was found."""


class DatabaseUnavailable(Exception):
    """The database did not answer; the text holds nothing secret."""


class VideoResolver:
    """Asks a PostgreSQL database by a query of the operator's choice, read-only.

    Args:
        dsn: how to connect; never logged.
        query: a SELECT with `%(job_id)s` in it, giving one row with one column.
    """

    def __init__(self, dsn: str, query: str) -> None:
        if importlib.util.find_spec("psycopg") is None:
            raise RuntimeError("ECG_VIDEO_URL_DSN needs psycopg: pip install ecg-render[resolver]")
        self._dsn = dsn
        self._query = query

    async def video_url(self, job_id: str) -> str:
        """Return the address of the job's video; raises VideoUnknown or DatabaseUnavailable."""
        import psycopg

        try:
            row = await self._row(job_id)
        except psycopg.errors.DataError:
            raise VideoUnknown(f"The backend's database takes no job id such as {job_id!r}.") from None
        except (psycopg.Error, OSError) as error:
            # The message of a failed connection may hold host and user, that of a query parts of it.
            raise DatabaseUnavailable(f"The backend's database did not answer ({type(error).__name__}).") from error
        if row is None:
            raise VideoUnknown(f"The backend's database knows no job {job_id!r}.")
        if not isinstance(row[0], str) or not row[0]:
            raise VideoUnknown(f"The backend's database holds no video for the job {job_id!r}.")
        return row[0]

    async def _row(self, job_id: str) -> tuple[Any, ...] | None:
        import psycopg

        options = f"-c statement_timeout={QUERY_MILLISECONDS}"
        connection = await psycopg.AsyncConnection.connect(
            self._dsn, connect_timeout=CONNECT_SECONDS, options=options, application_name="ecg-render"
        )
        async with connection:
            await connection.set_read_only(True)
            cursor = await connection.execute(self._query, {"job_id": job_id})
            return await cursor.fetchone()
