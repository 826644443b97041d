"""An HTTP client that connects only where a policy allows, and the way along redirects, each of them checked.

The name is resolved here, every address checked, and the connection made to a checked address: a name that resolves
differently a moment later (DNS rebinding) gains nothing. The client itself follows no redirects; `opened` does.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from functools import cache
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any
from urllib.parse import urljoin

import httpcore
import httpx

from ecg_common.addresses import AddressPolicy, AddressRefused

CONNECTIONS = 100
REDIRECTS = 5
# Presigned addresses refuse HEAD; the first byte tells as much.
FIRST_BYTE = {"Range": "bytes=0-0"}
_BUSY = {408, 425, 429}


class _CheckedNetwork(httpcore.AsyncNetworkBackend):
    """Opens TCP connections to checked addresses."""

    def __init__(self, policy: AddressPolicy) -> None:
        self._policy = policy
        self._network = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the interface is httpcore's
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        try:
            addresses = await self._policy.resolve(host, port)
        except OSError as error:
            raise httpcore.ConnectError(f"there is no host {host!r} ({error.strerror})") from error
        failure: Exception = httpcore.ConnectError(f"{host!r} has no address")
        for address in addresses:
            try:
                return await self._network.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure

    async def connect_unix_socket(self, *_: Any, **__: Any) -> httpcore.AsyncNetworkStream:
        raise AddressRefused("sockets of this machine are not contacted.")

    async def sleep(self, seconds: float) -> None:
        await self._network.sleep(seconds)


class _Body(httpx.AsyncByteStream):
    def __init__(self, stream: Any) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _as_httpx():
            async for part in self._stream:
                yield part

    async def aclose(self) -> None:
        await self._stream.aclose()


class CheckedTransport(httpx.AsyncBaseTransport):
    """Sends requests over connections that `policy` allows; raises AddressRefused for others."""

    def __init__(self, policy: AddressPolicy) -> None:
        self._policy = policy
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=_trusted(),
            max_connections=CONNECTIONS,
            max_keepalive_connections=20,
            keepalive_expiry=5,
            network_backend=_CheckedNetwork(policy),
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request."""
        self._policy.check(str(request.url))
        url = httpcore.URL(
            scheme=request.url.raw_scheme, host=request.url.raw_host, port=request.url.port, target=request.url.raw_path
        )
        with _as_httpx():
            sent = httpcore.Request(
                request.method, url, headers=request.headers.raw, content=request.stream, extensions=request.extensions
            )
            response = await self._pool.handle_async_request(sent)
        return httpx.Response(
            response.status, headers=response.headers, stream=_Body(response.stream), extensions=response.extensions
        )

    async def aclose(self) -> None:
        """Close all connections."""
        await self._pool.aclose()


def checked_client(policy: AddressPolicy, **options: Any) -> httpx.AsyncClient:
    """Return a client for addresses that `policy` allows; it keeps no cookies and uses no proxies."""
    # One client serves the jobs of all users: a cookie set with one would be sent with the others.
    none = CookieJar(DefaultCookiePolicy(allowed_domains=()))
    return httpx.AsyncClient(
        transport=CheckedTransport(policy), cookies=none, trust_env=False, follow_redirects=False, **options
    )


@asynccontextmanager
async def opened(
    client: httpx.AsyncClient, url: str, check: Callable[[str], object], headers: dict[str, str]
) -> AsyncIterator[tuple[str, httpx.Response]]:
    """Yield the address to which the redirects of `url` lead and its successful answer, the body not yet read.

    `check` sees every address before it is asked. Raises what `check` raises, AddressRefused or httpx.HTTPError;
    `may_pass` tells of the latter whether another try makes sense.
    """
    for _ in range(REDIRECTS + 1):
        check(url)
        try:
            request = client.build_request("GET", url, headers=headers)
        except httpx.InvalidURL:
            raise AddressRefused("it is no address.") from None
        response = await client.send(request, stream=True)
        try:
            if not response.has_redirect_location:
                yield url, response.raise_for_status()
                return
            url = urljoin(url, response.headers["location"])
        finally:
            await response.aclose()
    raise httpx.TooManyRedirects(f"redirects more than {REDIRECTS} times", request=request)


def may_pass(error: httpx.HTTPError) -> bool:
    """Tell whether the server, or the way to it, may only ail: it does not answer, is overloaded or broken."""
    if isinstance(error, httpx.HTTPStatusError):
        return error.response.status_code >= 500 or error.response.status_code in _BUSY
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return False
        cause = cause.__cause__ or cause.__context__
    return isinstance(error, httpx.TransportError)


def length_of(response: httpx.Response) -> int | None:
    """Return the size in bytes of what `response` is, or begins, if the server says it."""
    headers = response.headers
    said = headers.get("content-range", "").rpartition("/")[2] or headers.get("content-length", "")
    return int(said) if said.isascii() and said.isdigit() else None


@cache
def _trusted() -> ssl.SSLContext:
    """Return the certificates that this machine trusts; reading them takes longer than a request."""
    return ssl.create_default_context()


class _as_httpx:  # noqa: N801 - reads as a statement
    """Raises httpx's exceptions in the place of httpcore's of the same name."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if kind is not None and kind.__module__.startswith("httpcore"):
            raise getattr(httpx, kind.__name__, httpx.TransportError)(str(error)) from error
