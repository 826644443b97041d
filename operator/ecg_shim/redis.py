"""Says in the log if the Redis of an earlier deployment does not answer; alarms watch for the line. Not used else."""

from __future__ import annotations

import logging
import socket
import threading
from urllib.parse import urlsplit

DEFAULT_PORT = 6379
SECONDS = 3.0
log = logging.getLogger(__name__)


def look_for_redis(url: str) -> threading.Thread | None:
    """Connect to the Redis at `url` in a thread of its own and log if nobody is there; None without a `url`."""
    if not url:
        return None
    thread = threading.Thread(target=_look, args=(url,), name="redis", daemon=True)
    thread.start()
    return thread


def _look(url: str) -> None:
    parts = urlsplit(url)
    try:
        if parts.scheme == "unix":
            with socket.socket(socket.AF_UNIX) as local:
                local.settimeout(SECONDS)
                local.connect(parts.path)
        else:
            socket.create_connection((parts.hostname or "", parts.port or DEFAULT_PORT), SECONDS).close()
    except (OSError, ValueError) as error:
        log.warning("❌ Redis connection failed: %s. Jobs go on: the queue needs no Redis.", error)
