"""How addresses of the web are shown, and which of them may be read."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction

from ecg_common.addresses import AddressPolicy
from ecg_renderer.errors import OptionsError


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
    fetch_bytes: int = 4_000_000_000
    """The most that is fetched as a whole, from a server that knows no range requests."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> UrlPolicy:
        """Return the policy of the environment.

        It is strict where ECG_PRIVATE_ADDRESSES is `refuse`: a service says so to its renderers. ECG_FETCH_GB replaces
        the limit of downloads. Raises OptionsError for one that is no number.
        """
        policy = cls(allow_private=environment.get("ECG_PRIVATE_ADDRESSES", "").strip().lower() != "refuse")
        gigabytes = environment.get("ECG_FETCH_GB", "").strip()
        if not gigabytes:
            return policy
        try:
            return replace(policy, fetch_bytes=int(Fraction(gigabytes) * 10**9))
        except (ValueError, ZeroDivisionError):
            raise OptionsError(f"ECG_FETCH_GB is {gigabytes!r}, which is no number of gigabytes.") from None

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
