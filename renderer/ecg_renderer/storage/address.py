"""Which addresses a URL may lead to."""

from __future__ import annotations

import ipaddress
import os
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ecg_renderer.errors import ServiceUnreachable, StorageError

if TYPE_CHECKING:
    import httpx

# Public by their numbers, but where a cloud (Azure) tells its machines their secrets.
_NOT_PUBLIC = (ipaddress.IPv4Address("168.63.129.16"),)
_LOCAL_HOSTS = {"localhost", "127.0.0.1", "::1"}


@dataclass(frozen=True)
class UrlPolicy:
    """What may be fetched, and how long it may take.

    A person at a command line may read from the own network. A service that fetches what strangers name
    must not (`allow_private=False`): the metadata server of a cloud, for one, answers on a private address.
    """

    allow_private: bool = True
    connect_seconds: float = 10
    read_seconds: float = 30
    total_seconds: float = 120
    max_redirects: int = 5
    patience_seconds: float = 60
    """How long a server that is away or overloaded is asked again."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> UrlPolicy:
        """Return the strict policy where ECG_PRIVATE_ADDRESSES is `refuse`: a service says so to its renderers."""
        return cls(allow_private=environment.get("ECG_PRIVATE_ADDRESSES", "").strip().lower() != "refuse")


def printable(url: str) -> str:
    """Return `url` without user, password, query and fragment, which may hold secrets."""
    scheme, separator, rest = url.partition("://")
    rest = rest.split("?", 1)[0].split("#", 1)[0]
    host, slash, path = rest.partition("/")
    return f"{scheme}{separator}{host.rpartition('@')[2]}{slash}{path}"


def check_url(url: str, policy: UrlPolicy) -> None:
    """Raise StorageError unless `policy` lets `url` be fetched.

    https only; plain http to this machine is for tests and local servers, where private addresses are
    allowed. Without private addresses, every address that the host's name stands for must be public.
    """
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        host = ""
    if not host:
        raise StorageError(f"{printable(url)} names no host.", hint="Write https://host/path.")
    if parts.scheme != "https" and not (parts.scheme == "http" and host in _LOCAL_HOSTS):
        raise StorageError(f"{printable(url)} is not https://.", hint="Only https is read over a network.")
    if not policy.allow_private:
        for address in _addresses(host):
            _refuse_private(address, host)


def check_peer(response: httpx.Response, policy: UrlPolicy) -> None:
    """Raise StorageError if a strict policy was led to a private address after all.

    The name may have stood for another address when it was checked than when it was dialled.
    """
    if policy.allow_private:
        return
    stream = response.extensions.get("network_stream")
    peer = stream.get_extra_info("server_addr") if stream is not None else None
    if not peer:
        raise StorageError(f"{printable(str(response.url))} was answered from an unknown address.")
    _refuse_private(str(peer[0]), response.url.host)


def is_public(address: str) -> bool:
    """Tell whether `address` is reachable by everybody: not private, loopback, link-local or multicast.

    An IPv4 address within an IPv6 one is judged by itself.
    """
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or _nat64(ip)
        if inner is not None:
            ip = inner
    return ip.is_global and not ip.is_multicast and ip not in _NOT_PUBLIC


def _nat64(ip: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    if ip in ipaddress.IPv6Network("64:ff9b::/96"):
        return ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
    return None


def _addresses(host: str) -> set[str]:
    try:
        found = socket.getaddrinfo(host, None, proto=socket.IPPROTO_TCP)
    except OSError as error:
        kind = ServiceUnreachable if is_passing(error) else StorageError
        raise kind(
            f"The host {host} is not known: {error.strerror or error}.",
            hint="Check the address and the network.",
        ) from error
    return {str(entry[4][0]) for entry in found}


def is_passing(error: BaseException | None) -> bool:
    """Tell whether a failure of the network may be over in a while: an unknown host and a bad certificate stay."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return False
        if isinstance(error, socket.gaierror):
            return error.errno != socket.EAI_NONAME
        error = error.__cause__ or error.__context__
    return True


def _refuse_private(address: str, host: str) -> None:
    if not is_public(address):
        raise StorageError(
            f"{host} stands for {address}, which is not a public address.",
            hint="This service reads public addresses only.",
        )
