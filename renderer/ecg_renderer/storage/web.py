"""Videos and scenarios behind `https://`, for reading."""

from __future__ import annotations

import hashlib
import logging
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar
from urllib.parse import urljoin, urlsplit

import httpx

from ecg_renderer.errors import ServiceUnreachable, SourceMissing, StorageError
from ecg_renderer.storage.address import UrlPolicy, check_peer, check_url, is_passing, printable
from ecg_renderer.storage.base import below
from ecg_renderer.storage.output import OutputFile

_FIRST_BYTE = {"Range": "bytes=0-0"}
_REDIRECTS = {301, 302, 303, 307, 308}
_ASK_AGAIN = {408, 425, 429}
_LONGEST_PAUSE_SECONDS = 5.0
_SILENT_TRIES = 3

T = TypeVar("T")
log = logging.getLogger(__name__)


class WebStorage:
    """One https URL. Each redirect is checked by the same rules as the URL itself."""

    def __init__(self, url: str, policy: UrlPolicy) -> None:
        self._url = url
        self._policy = policy

    @property
    def name(self) -> str:
        """The URL without password and query, which may hold a signature."""
        return printable(self._url)

    def read_bytes(self, limit: int) -> bytes:
        """Return what the server sends, of at most `limit` bytes.

        Raises StorageError if it is refused or longer, ServiceUnreachable if the server stays away, or takes longer
        than the policy allows.
        """
        return self._patiently(lambda: self._content(limit))

    def _content(self, limit: int) -> bytes:
        too_long = StorageError(f"{self.name} is larger than the {limit:,} bytes that may be read.")
        deadline = time.monotonic() + self._policy.total_seconds
        content = bytearray()
        with self._open({}) as response:
            declared = response.headers.get("Content-Length", "")
            if declared.isdigit() and int(declared) > limit:
                raise too_long
            for chunk in response.iter_bytes():
                content += chunk
                if len(content) > limit:
                    raise too_long
                if time.monotonic() > deadline:
                    raise ServiceUnreachable(
                        f"{self.name} could not be read within {self._policy.total_seconds:g} seconds.",
                        hint="Try again later, or copy the file to a faster place.",
                    )
        return bytes(content)

    def source_url(self) -> str:
        """Return the URL that answers, after redirects, for FFmpeg to read with range requests.

        Raises SourceMissing if none does, or the policy forbids it; ServiceUnreachable if the server stays away.
        """
        with _as_source():
            return str(self._patiently(self._answer).url)

    def identity(self) -> str:
        """Return a hash of the server's own words for this version: entity tag, date, length.

        Raises SourceMissing if the server refuses it, ServiceUnreachable if the server stays away.
        """
        with _as_source():
            headers = self._patiently(self._answer).headers
        length = headers.get("Content-Range", headers.get("Content-Length", "")).rpartition("/")[2]
        words = [headers.get("ETag", ""), headers.get("Last-Modified", ""), length]
        # The query is left out: signed links change with every request for the same object.
        digest = hashlib.sha256("\n".join([self.name, *words]).encode())
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

    def _answer(self) -> httpx.Response:
        with self._open(_FIRST_BYTE) as response:
            return response

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
                time.sleep(pause)

    @contextmanager
    def _open(self, headers: dict[str, str]) -> Iterator[httpx.Response]:
        """Follow redirects to a successful answer; its body is not yet read."""
        policy = self._policy
        timeout = httpx.Timeout(policy.read_seconds, connect=policy.connect_seconds)
        # A proxy of the environment would hide the peer's address from a strict policy.
        with httpx.Client(timeout=timeout, trust_env=policy.allow_private) as client:
            url = self._url
            try:
                for _ in range(policy.max_redirects + 1):
                    check_url(url, policy)
                    with client.stream("GET", url, headers=headers) as response:
                        check_peer(response, policy)
                        if response.status_code not in _REDIRECTS:
                            _refuse_status(response)
                            yield response
                            return
                        url = urljoin(url, response.headers.get("Location", ""))
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                said = str(error) or type(error).__name__
                away = isinstance(error, httpx.TransportError) and is_passing(error)
                kind = ServiceUnreachable if away and not isinstance(error, httpx.UnsupportedProtocol) else StorageError
                raise kind(
                    f"{printable(url)} cannot be read: {said}.", hint="Check the address and the network."
                ) from error
        raise StorageError(f"{self.name} redirects more than {policy.max_redirects} times.")


def _refuse_status(response: httpx.Response) -> None:
    if response.is_success:
        return
    hints = {
        401: "The server wants a login; use a signed link.",
        403: "A signed link may have expired: make a new one.",
        404: "Check the address.",
    }
    away = response.status_code >= 500 or response.status_code in _ASK_AGAIN
    raise (ServiceUnreachable if away else StorageError)(
        f"{printable(str(response.url))} answered {response.status_code} {response.reason_phrase}.",
        hint=hints.get(response.status_code, "Try again later, or copy the file to this machine."),
    )


@contextmanager
def _as_source() -> Iterator[None]:
    try:
        yield
    except StorageError as error:
        raise SourceMissing(error.message, hint=error.hint) from error
