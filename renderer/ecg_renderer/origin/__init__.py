"""Plugins from an origin: the servers that may be asked, what is fetched of them, and their pictures that move.

Imported lightly: `fetching` loads a client of the web, `pictures` a decoder.
"""

from collections.abc import Collection

from ecg_renderer.origin.allowed import Origin, PluginOrigins
from ecg_renderer.plugins import NOTHING_FETCHED, Fetched

__all__ = ["Origin", "PluginOrigins", "fetch"]


async def fetch(origin: Origin | None, keys: Collection[str]) -> Fetched:
    """Return the plugins `keys` that `origin` has, nothing without one; see `fetching.fetch_plugins`."""
    if origin is None:
        return NOTHING_FETCHED
    # Imported when there is an origin: the client takes time to load that other renders need not wait for.
    from ecg_renderer.origin.fetching import fetch_plugins

    return await fetch_plugins(origin, keys)
