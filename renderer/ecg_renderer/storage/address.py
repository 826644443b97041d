"""Which addresses a URL may lead to."""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ecg_common.addresses import is_public
from ecg_renderer.errors import StorageError

if TYPE_CHECKING:
    import httpx

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


def _addresses(host: str) -> set[str]:
    try:
        found = socket.getaddrinfo(host, None, proto=socket.IPPROTO_TCP)
    except OSError as error:
        raise StorageError(
            f"The host {host} is not known: {error.strerror or error}.",
            hint="Check the address and the network.",
        ) from error
    return {str(entry[4][0]) for entry in found}


def _refuse_private(address: str, host: str) -> None:
    if not is_public(ipaddress.ip_address(address.partition("%")[0])):
        raise StorageError(
            f"{host} stands for {address}, which is not a public address.",
            hint="This service reads public addresses only.",
        )
