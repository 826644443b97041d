"""Videos and scenarios behind `https://`, for reading."""

from __future__ import annotations

import asyncio
import atexit
import hashlib
import logging
import random
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import httpx

from ecg_api.status import ReplicaStatus
from ecg_common.addresses import AddressRefused
from ecg_common.folders import cache_folder
from ecg_common.web import FIRST_BYTE, checked_client, length_of, may_pass, opened
from ecg_renderer.errors import Cancelled, ServiceUnreachable, SourceMissing, StorageError
from ecg_renderer.storage.base import TransferProgress, UrlPolicy, below, printable, refusal
from ecg_renderer.storage.cells import run_folder
from ecg_renderer.storage.local import OutputFile

_LONGEST_PAUSE_SECONDS = 5.0
_SILENT_TRIES = 3
_LATER = "Try again later, or copy the file to this machine."

T = TypeVar("T")
log = logging.getLogger(__name__)


class WebStorage:
    """One https URL. Each redirect is checked by the same rules as the URL itself."""

    replica: ReplicaStatus | None = None

    def __init__(self, url: str, policy: UrlPolicy) -> None:
        self._url = url
        self._policy = policy
        self._stopped = threading.Event()

    @property
    def name(self) -> str:
        """The URL without password and query, which may hold a signature."""
        return printable(self._url)

    def read_bytes(self, limit: int) -> bytes:
        """Return what the server sends, of at most `limit` bytes.

        Raises StorageError if it cannot be had, or is longer, ServiceUnreachable if another try may help.
        """
        return self._patiently(lambda: asyncio.run(self._within_time(self._read(limit))))

    def source_url(self) -> str:
        """Return the URL that answers, after redirects, for FFmpeg to read with range requests.

        Where the server knows none, all of it is fetched first, once a process, and the file's path returned. Raises
        SourceMissing if there is no answer, it is too large, or the policy forbids it, ServiceUnreachable if another
        try may help, ResourceError if the disk is full, Cancelled after `stop()`.
        """
        url, response = self._first_answer()
        if response.status_code == httpx.codes.PARTIAL_CONTENT:
            return url
        with _as_source():
            return str(FETCHED.file(self._identity(response), self._fetch))

    def identity(self) -> str:
        """Return a hash of the server's own words for this version: entity tag, date, length.

        Raises the same as `source_url`.
        """
        return self._identity(self._first_answer()[1])

    def stop(self) -> None:
        """End a download in another thread: it raises Cancelled."""
        self._stopped.set()

    def _identity(self, response: httpx.Response) -> str:
        length = length_of(response)
        words = [response.headers.get(name, "") for name in ("ETag", "Last-Modified")]
        # The query is left out: signed links change with every request for the same object.
        digest = hashlib.sha256("\n".join([self.name, *words, str(length or "")]).encode())
        return f"web:{digest.hexdigest()}"

    def public_url(self, base: str | None, presign_seconds: int) -> str | None:
        """Return the file's address in the published folder `base`, or None: its own may not be for everybody."""
        return below(base, urlsplit(self._url).path)

    def output(self, key: str, *, source: str = "", needed_bytes: int = 0) -> OutputFile:
        """Raise StorageError: nothing is written to the web."""
        raise StorageError(
            f"The output {self.name} cannot be written: https:// is for reading.",
            hint="Write to a plain path or file://, and upload from there.",
        )

    def _first_answer(self) -> tuple[str, httpx.Response]:
        async def ask() -> tuple[str, httpx.Response]:
            async with self._opened(FIRST_BYTE) as answer:
                return answer

        with _as_source():
            return self._patiently(lambda: asyncio.run(self._within_time(ask())))

    def _patiently(self, attempt: Callable[[], T]) -> T:
        """Return what `attempt` returns; repeat it while the server is away, for the policy's patience from then on."""
        deadline, tries = 0.0, 0
        while True:
            try:
                return attempt()
            except ServiceUnreachable as failure:
                deadline = deadline or time.monotonic() + self._policy.patience_seconds
                pause = min(0.25 * 2**tries, _LONGEST_PAUSE_SECONDS) * random.uniform(0.5, 1)  # noqa: S311
                if time.monotonic() + pause > deadline:
                    raise
                tries += 1
                if tries == _SILENT_TRIES:
                    log.warning("%s Trying again for %.0f seconds.", failure.message, deadline - time.monotonic())
                if self._stopped.wait(pause):
                    raise Cancelled("The download was stopped.") from failure

    def _fetch(self, path: Path) -> None:
        """Write all that the server sends to `path`; after a break from the beginning, as it knows no parts."""
        progress = lines_about(self.name)
        try:
            self._patiently(lambda: asyncio.run(self._download(path, progress)))
        except OSError as error:
            raise refusal(error, "write", path) from error

    async def _download(self, path: Path, progress: TransferProgress) -> None:
        limit, done = self._policy.fetch_bytes, 0
        with path.open("wb") as file:
            async with self._opened({"Accept-Encoding": "identity"}) as (_, response):
                total = length_of(response) or 0
                if total <= limit:
                    progress(0, total)
                    async for chunk in response.aiter_bytes():
                        done += len(chunk)
                        if done > limit:
                            break
                        if self._stopped.is_set():
                            raise Cancelled("The download was stopped.")
                        file.write(chunk)
                        progress(done, total)
        if max(done, total) > limit:
            size = f"It has {total / 1e9:.1f} GB" if total else "It is long"
            raise StorageError(
                f"The server of {self.name} sends it only as a whole, of which at most {limit / 1e9:g} GB are fetched. "
                f"{size}.",
                hint="Put it on a server that knows range requests, or copy it to this machine; ECG_FETCH_GB sets the "
                "limit.",
            )

    async def _read(self, limit: int) -> bytes:
        too_long = StorageError(f"{self.name} is larger than the {limit:,} bytes that may be read.")
        content = bytearray()
        async with self._opened({}) as (_, response):
            if (length_of(response) or 0) > limit:
                raise too_long
            async for chunk in response.aiter_bytes():
                content += chunk
                if len(content) > limit:
                    raise too_long
        return bytes(content)

    async def _within_time(self, work: Coroutine[None, None, T]) -> T:
        try:
            async with asyncio.timeout(self._policy.total_seconds):
                return await work
        except TimeoutError:
            raise ServiceUnreachable(
                f"{self.name} could not be read within {self._policy.total_seconds:g} seconds.", hint=_LATER
            ) from None

    @asynccontextmanager
    async def _opened(self, headers: dict[str, str]) -> AsyncIterator[tuple[str, httpx.Response]]:
        """Follow redirects to a successful answer; its body is not yet read."""
        policy = self._policy
        timeout = httpx.Timeout(policy.read_seconds, connect=policy.connect_seconds)
        # A proxy of the environment would connect wherever it likes.
        client = (
            httpx.AsyncClient(timeout=timeout)
            if policy.allow_private
            else checked_client(policy.addresses, timeout=timeout)
        )
        try:
            async with client, opened(client, self._url, policy.addresses.check, headers) as answer:
                yield answer
        except AddressRefused as reason:
            raise StorageError(
                f"{self.name} cannot be read: {reason}",
                hint="Write https://host/path; a redirect may lead to no other.",
            ) from None
        except httpx.HTTPError as error:
            kind = ServiceUnreachable if may_pass(error) else StorageError
            message, hint = _told(error, self.name)
            raise kind(message, hint=hint) from error


@contextmanager
def _as_source() -> Iterator[None]:
    try:
        yield
    except StorageError as error:
        raise SourceMissing(error.message, hint=error.hint) from error


def _told(error: httpx.HTTPError, name: str) -> tuple[str, str]:
    """Return what happened at the place `name`, and what to do."""
    if isinstance(error, httpx.TooManyRedirects):
        return f"{name} {error}.", "Check the address."
    if not isinstance(error, httpx.HTTPStatusError):
        return f"{name} cannot be read: {str(error) or type(error).__name__}.", "Check the address and the network."
    response = error.response
    hints = {
        401: "The server wants a login; use a signed link.",
        403: "A signed link may have expired: make a new one.",
        404: "Check the address.",
    }
    said = f"{printable(str(response.url))} answered {response.status_code} {response.reason_phrase}."
    return said, hints.get(response.status_code, _LATER)


# --- sources that a server sends only as a whole --------------------------------------------------
# Kept for as long as this process runs. FFmpeg could not seek in them: an MP4 with its index at the end cannot be
# opened, and each segment, and the merge, would read everything before its own part.


_LINE_SECONDS = 10.0


class _Fetched:
    """The files of this process; they go when it ends, and when another begins after it was killed."""

    def __init__(self) -> None:
        self._files: dict[str, Path] = {}
        self._turn = threading.Lock()
        self._folder: Path | None = None

    def file(self, identity: str, fetch: Callable[[Path], None]) -> Path:
        """Return the file with the content that `identity` stands for; `fetch` writes it if it is not there yet."""
        with self._turn:
            if identity not in self._files:
                path = self._own_folder() / f"source-{len(self._files)}"
                try:
                    fetch(path)
                except BaseException:
                    path.unlink(missing_ok=True)
                    raise
                self._files[identity] = path
            return self._files[identity]

    def _own_folder(self) -> Path:
        if self._folder is None:
            open_until_the_end = ExitStack()
            self._folder = open_until_the_end.enter_context(run_folder(cache_folder() / "fetched"))
            atexit.register(open_until_the_end.close)
        return self._folder


FETCHED = _Fetched()


def lines_about(name: str) -> TransferProgress:
    """Return an observer that writes a line about the download of `name` to the log at once, and then now and again."""
    began = said = 0.0

    def note(done: int, total: int) -> None:
        nonlocal began, said
        now = time.monotonic()
        of = f" of {total / 1e6:,.0f}" if total else ""
        if not began:
            began = said = now
            size = f", {total / 1e6:,.1f} MB," if total else ""
            log.warning("The server of %s sends it only as a whole; it is fetched%s first.", name, size)
        elif now - said >= _LINE_SECONDS:
            said = now
            log.warning("%s: %.0f%s MB fetched, %.1f MB/s.", name, done / 1e6, of, done / 1e6 / (now - began))

    return note
