"""How the service tells of what went wrong: failures of its own, and texts of others without secrets and harm."""

from __future__ import annotations

import re

from ecg_api.failures import RULES, Failure, FailureCode

LONGEST_SHOWN = 200
# Beginning (https://), user and host, path; query and fragment follow.
_ADDRESS = re.compile(r"(?is)((?:[a-z0-9+.-]+:)*//)?([^/?#]*)([^?#]*)")
_PLACE = re.compile(r"(\[[0-9a-f:.%]*\]|[^:\[\]]*)(:[0-9]*)?", re.IGNORECASE)


def failure(code: FailureCode, message: str, hint: str = "") -> Failure:
    """Return a failure that the service itself met."""
    return Failure(code=code, message=message, hint=hint, retryable=RULES[code].retryable)


def shown(url: str) -> str:
    """Return an address as one line of at most 200 characters, without what may be secret: user, password, query."""
    parts = _ADDRESS.match(url)
    assert parts is not None
    start, place, path = (part or "" for part in parts.groups())
    host = place.rpartition("@")[2]
    # No host and port: a password with a slash or a question mark in it, whose rest would pass for the path.
    plain = printable(f"{start}{host}{path}" if _PLACE.fullmatch(host) else f"{start}…")
    return plain if len(plain) <= LONGEST_SHOWN else f"{plain[: LONGEST_SHOWN - 1]}…"


def printable(text: str) -> str:
    """Return text that somebody else has written as one line: blanks joined, what is not printable as its code."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in " ".join(text.split())
    )
