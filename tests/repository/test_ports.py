"""Ports for the servers of tests: what was free a moment ago is so later."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import ports
from ports import free_ports

MANY = 300


def test_no_other_test_process_and_no_connection_gets_the_same_port() -> None:
    ours = free_ports(MANY)
    environment = {**os.environ, "PYTHONPATH": str(Path(ports.__file__).parent)}
    script = f"import ports; print(*ports.free_ports({MANY}))"
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    theirs = {int(port) for port in done.stdout.split()}
    assert len({*ours, *theirs}) == 2 * MANY
    first, last = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    assert [port for port in ours if first <= port <= last] == []
