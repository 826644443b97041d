"""Free ports for servers that the tests start.

Nobody else takes one before its server does, or while that is away: they lie outside of the range from which the kernel
gives ports to connections and to servers that do not care, and of other test processes no two get the same.
"""

from __future__ import annotations

import random
import socket
from pathlib import Path

# Above what servers are known by, below those of Kubernetes' NodePorts and of most kernels' own range.
_FIRST, _LAST = 12_000, 29_999
_KERNELS_OWN = Path("/proc/sys/net/ipv4/ip_local_port_range")
_TRIES = 1000
_chance = random.SystemRandom()  # Python's other one may be seeded alike in all test processes


def free_ports(count: int, host: str = "127.0.0.1") -> list[int]:
    """Return different TCP ports that nobody listens on at `host`, and that are this process's until it ends."""
    ports = list(range(_FIRST, _LAST + 1))
    if _KERNELS_OWN.exists():
        first, last = map(int, _KERNELS_OWN.read_text().split())
        ports = [port for port in ports if not first <= port <= last] or ports
    found: list[int] = []
    for port in _chance.sample(ports, min(_TRIES, len(ports))):
        if len(found) == count:
            break
        if _is_free(port, host) and _reserve(port):
            found.append(port)
    assert len(found) == count, "no ports are free"
    return found


def _is_free(port: int, host: str) -> bool:
    with socket.socket() as trying:
        # As servers do: what ended a moment ago is in nobody's way.
        trying.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trying.bind((host, port))
        except OSError:
            return False
    return True


def _reserve(port: int) -> bool:
    """Take a name that only one process can have, and that is free again when this one ends."""
    name = socket.socket(socket.AF_UNIX)
    try:
        name.bind(f"\0ecg-test-port-{port}")
    except OSError:
        name.close()
        return False
    name.detach()
    return True
