"""Plugins from an origin: which servers may be asked, what is fetched of them, and their pictures that move.

The servers are a list of whoever runs the machine, from which a job chooses. Imported lightly: `fetching` loads a
client of the web and a decoder.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Self

from ecg_api.names import PLUGIN_ORIGIN_VARIABLE, PLUGIN_ORIGINS_VARIABLE
from ecg_common.addresses import AddressPolicy, AddressRefused, origin_of
from ecg_renderer.errors import ManifestError, OptionsError
from ecg_renderer.served import NOTHING_FETCHED, Fetched
from ecg_renderer.storage.base import printable


@dataclass(frozen=True)
class Origin:
    """A server of plugins that may be asked; `given` says where it was named, for messages."""

    address: str
    given: str
    policy: AddressPolicy


@dataclass(frozen=True)
class PluginOrigins:
    """The origins that this machine allows. A job may name one of them, and no other.

    Attributes:
        default: what a job gets that names none; empty: none.
        allowed: addresses without a slash at the end.
    """

    default: str = ""
    allowed: tuple[str, ...] = ()

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """Read ECG_PLUGIN_ORIGIN and ECG_PLUGIN_ORIGINS; raises OptionsError for what is no address."""
        default = _checked(PLUGIN_ORIGIN_VARIABLE, environment.get(PLUGIN_ORIGIN_VARIABLE, "").split()[:1])
        others = re.split(r"[,\s]+", environment.get(PLUGIN_ORIGINS_VARIABLE, ""))
        allowed = [*default, *_checked(PLUGIN_ORIGINS_VARIABLE, filter(None, others))]
        return cls(default[0] if default else "", tuple(dict.fromkeys(allowed)))

    def choose(self, wanted: str | None) -> Origin | None:
        """Return the origin of a job that asks for `wanted`, None for none; raises ManifestError for a foreign one."""
        address = (wanted or self.default).rstrip("/")
        if not address:
            return None
        if address not in self.allowed:
            there = ", ".join(self.allowed) or "empty"
            raise ManifestError(
                f"spec.plugins.origin: {printable(address)} is not one of the origins that are allowed here "
                f"({PLUGIN_ORIGINS_VARIABLE}: {there}).",
                hint="Plugins are programs: whoever runs this machine lists the servers that they may come from.",
            )
        policy = AddressPolicy(schemes=("https",), origins=tuple(map(origin_of, self.allowed)))
        return Origin(address, "spec.plugins.origin" if wanted else PLUGIN_ORIGIN_VARIABLE, policy)


def _checked(name: str, addresses: Iterable[str]) -> list[str]:
    found = []
    for address in addresses:
        try:
            origin_of(address)
        except AddressRefused as reason:
            raise OptionsError(
                f"The environment: {name}: {printable(address)}: {reason}", hint="Write https://host."
            ) from None
        found.append(address.rstrip("/"))
    return found


async def fetch(origin: Origin | None, keys: Collection[str]) -> Fetched:
    """Return the plugins `keys` that `origin` has, nothing without one; see `fetching.fetch_plugins`."""
    if origin is None:
        return NOTHING_FETCHED
    # Imported when there is an origin: the client takes time to load that other renders need not wait for.
    from ecg_renderer.origin.fetching import fetch_plugins

    return await fetch_plugins(origin, keys)
