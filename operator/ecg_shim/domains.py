"""Whose a host is, as far as its name tells: who owns a domain can make as many hosts below it as they like."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address, ip_network

_UNDER_COUNTRIES = frozenset({"ac", "co", "com", "edu", "go", "gov", "ne", "net", "or", "org", "pe", "re"})
"""What is registered below these, and a country's two letters, is somebody's own: example.co.kr."""


def domain_of(host: str) -> str:
    """Return the part of a host's name that somebody has registered; of an address, what one customer gets of such."""
    try:
        address = ip_address(host)
    except ValueError:
        labels = host.lower().rstrip(".").split(".")
        below = len(labels[-1]) == 2 and len(labels) > 2 and labels[-2] in _UNDER_COUNTRIES
        return ".".join(labels[-3 if below else -2 :])
    return str(ip_network((address, 64), strict=False)) if isinstance(address, IPv6Address) else host
