"""Plugins from an origin: the servers that may be asked, what is fetched of them, and their pictures that move.

Imported lightly: `fetching` loads a client of the web, `pictures` a decoder.
"""

from ecg_renderer.origin.allowed import Origin, PluginOrigins

__all__ = ["Origin", "PluginOrigins"]
