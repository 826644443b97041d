"""The last look before a job is rendered: find its video, follow redirects, see that the address may be contacted.

It asks other services and may take seconds, so it happens when a job's turn has come, never while a client waits.
The video of a request that names none is in the backend's database.
"""

from __future__ import annotations

import asyncio
import importlib.util
import logging
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

import httpx

from ecg_api.failures import Failure, FailureCode
from ecg_common.addresses import AddressPolicy, AddressRefused
from ecg_common.web import FIRST_BYTE, checked_client, length_of, may_pass, opened
from ecg_shim.domains import domain_of
from ecg_shim.failures import failure
from ecg_shim.intake import Unrenderable, checked_video_url
from ecg_shim.model import RenderOrder

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


log = logging.getLogger(__name__)

TRIES = 3
SECONDS_BETWEEN_TRIES = 1.0
SECONDS = 10.0
SECONDS_IN_ALL = 60.0
PER_HOST, PER_DOMAIN, AT_ONCE = 2, 16, 64
GIGABYTE = 1024**3


class Places:
    """Bounds how many look at one host, at those of one domain, and at all; whoever comes first is let in first.

    A host that accepts connections and is silent then keeps nobody waiting but its own jobs, and however many names
    somebody makes below a domain, most places are for others.
    """

    def __init__(self, per_host: int, per_domain: int, at_once: int) -> None:
        self._per_host = per_host
        self._per_domain = per_domain
        self._all = asyncio.Semaphore(at_once)
        self._bounds: dict[str, asyncio.Semaphore] = {}
        self._users: Counter[str] = Counter()

    @asynccontextmanager
    async def at(self, host: str) -> AsyncIterator[None]:
        """Take a place for the duration of the block, as soon as there is one."""
        domain = f"domain {domain_of(host)}"
        async with self._bound(host, self._per_host), self._bound(domain, self._per_domain), self._all:
            yield

    @asynccontextmanager
    async def _bound(self, name: str, most: int) -> AsyncIterator[None]:
        self._users[name] += 1
        try:
            async with self._bounds.setdefault(name, asyncio.Semaphore(most)):
                yield
        finally:
            self._users[name] -= 1
            if not self._users[name]:
                del self._users[name], self._bounds[name]


class _NotNow(Exception):
    """Another try may work."""


@dataclass(frozen=True)
class VideoAdmission:
    """Admits orders whose video may be read.

    Attributes:
        resolver: finds videos that the client did not name; None if there is none.
        seconds_between_tries: before the second try; doubles.
        seconds: for everything together; a host that sends byte by byte never exceeds the limits of single reads.
            What is waited for a place does not count.
        places: of which each look at a host takes one.
    """

    videos: AddressPolicy
    resolver: VideoResolver | None = None
    max_video_bytes: int = 20 * GIGABYTE
    seconds_between_tries: float = SECONDS_BETWEEN_TRIES
    seconds: float = SECONDS_IN_ALL
    places: Places = field(default_factory=lambda: Places(PER_HOST, PER_DOMAIN, AT_ONCE))

    async def __call__(self, order: RenderOrder) -> RenderOrder | Failure:
        """Return the order with the address at which its video is, or why it cannot be rendered; never raises."""
        try:
            return await self._admitted(order)
        except Unrenderable as reason:
            return reason.failure
        except VideoUnknown as reason:
            return failure(FailureCode.INVALID_VIDEO_URL, str(reason))
        except _NotNow as reason:
            return failure(FailureCode.CONNECTION_ERROR, str(reason))
        except TimeoutError:
            said = f"The video could not be examined within {self.seconds:g} seconds."
            return failure(FailureCode.CONNECTION_ERROR, said)
        except Exception:
            log.exception("job %s: admission failed", order.job_id)
            return failure(FailureCode.UNEXPECTED_ERROR, "The video's address could not be examined.", "See the log.")

    async def _admitted(self, order: RenderOrder) -> RenderOrder:
        url = order.video_url
        if not url:
            # Not wait_for: in Python 3.11 it loses a cancellation that comes together with the result.
            async with self.places.at("the database"), asyncio.timeout(self.seconds):
                url = await self._found(order.job_id)
        url = checked_video_url(url, self.videos)
        if url.startswith(("http://", "https://")):
            async with self.places.at(urlsplit(url).hostname or ""), asyncio.timeout(self.seconds):
                url = await self._reached(url)
        return replace(order, video_url=url)

    async def _found(self, job_id: str) -> str:
        if self.resolver is None:
            raise Unrenderable(FailureCode.INVALID_VIDEO_URL, "The request names no video (videoUrl).")
        for number in range(TRIES):
            try:
                return await self.resolver.video_url(job_id)
            except DatabaseUnavailable as error:
                log.warning("job %s: %s", job_id, error)
                said = str(error)
                await self._pause(number)
        raise _NotNow(said)

    async def _reached(self, url: str) -> str:
        """Return where `url` leads to, each step checked: FFmpeg itself would follow redirects anywhere."""
        async with checked_client(self.videos, timeout=SECONDS) as client:
            for number in range(TRIES):
                try:
                    async with opened(client, url, self._check, FIRST_BYTE) as (reached, response):
                        self._check_size(response)
                        return reached
                except AddressRefused as reason:
                    raise _unusable(f"The video's address cannot be used: {reason}") from None
                except httpx.TooManyRedirects as error:
                    raise _unusable(f"The video's address {error}.") from None
                except httpx.HTTPError as error:
                    said = _said(error)
                    if not may_pass(error):
                        raise _unusable(said, "Check that the address is right and has not expired.") from None
                    await self._pause(number)
        raise _NotNow(said)

    def _check(self, url: str) -> None:
        checked_video_url(url, self.videos)

    def _check_size(self, response: httpx.Response) -> None:
        length = length_of(response)
        if length is not None and length > self.max_video_bytes:
            raise _unusable(
                f"The video has {length:,} bytes; {self.max_video_bytes:,} are the most (ECG_MAX_VIDEO_GB)."
            )

    async def _pause(self, number: int) -> None:
        if number + 1 < TRIES:
            await asyncio.sleep(self.seconds_between_tries * 2**number)


def _unusable(message: str, hint: str = "") -> Unrenderable:
    return Unrenderable(FailureCode.INVALID_VIDEO_URL, message, hint)


def _said(error: httpx.HTTPError) -> str:
    if isinstance(error, httpx.HTTPStatusError):
        return f"The video's host answers with status {error.response.status_code}."
    return f"The video's host does not answer: {str(error) or type(error).__name__}."
