"""How much a request may send, and for how long."""

from __future__ import annotations

import asyncio

from starlette.requests import Request

BODY_SECONDS = 60.0


class TooLarge(Exception):
    """A body beyond the limit; the text names it."""


class TooSlow(Exception):
    """A body that does not end."""


async def read_body(request: Request, largest: int) -> bytes:
    """Return the body, of at most `largest` bytes; more is never held in memory.

    Raises TooLarge, TooSlow after a minute, or Starlette's ClientDisconnect.
    """
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > largest:
        raise TooLarge(_too_large(largest))
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for part in request.stream():
                size += len(part)
                if size > largest:
                    raise TooLarge(_too_large(largest))
                parts.append(part)
    except TimeoutError:
        raise TooSlow(f"The body was not complete after {BODY_SECONDS:g} seconds.") from None
    return b"".join(parts)


def _too_large(largest: int) -> str:
    return f"The body is larger than {largest // 1024**2} MB. ECG_MAX_REQUEST_MB sets the limit."
