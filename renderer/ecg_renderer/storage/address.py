"""How addresses of the web are shown, and which of them may be read."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from ecg_common.addresses import AddressPolicy


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
    patience_seconds: float = 60
    """How long a server that is away or overloaded is asked again."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> UrlPolicy:
        """Return the strict policy where ECG_PRIVATE_ADDRESSES is `refuse`: a service says so to its renderers."""
        return cls(allow_private=environment.get("ECG_PRIVATE_ADDRESSES", "").strip().lower() != "refuse")

    @property
    def addresses(self) -> AddressPolicy:
        """The addresses: https, and http of this machine, which is for tests and local servers."""
        return AddressPolicy(schemes=("https",), http_here=True, private=self.allow_private)


def printable(url: str) -> str:
    """Return `url` without user, password, query and fragment, which may hold secrets."""
    scheme, separator, rest = url.partition("://")
    rest = rest.split("?", 1)[0].split("#", 1)[0]
    host, slash, path = rest.partition("/")
    return f"{scheme}{separator}{host.rpartition('@')[2]}{slash}{path}"
