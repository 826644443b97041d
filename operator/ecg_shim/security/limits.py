"""How much a request may send, for how long, and how much all of them together."""

from __future__ import annotations

import asyncio

from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Receive, Scope, Send

BODY_SECONDS = 60.0
# Fifty requests of 5 MB at one moment wait for nothing.
ROOM = 256 * 1024**2
PLACE = "ecg_shim.place"


class TooLarge(Exception):
    """A body beyond the limit; the text names it."""


class TooSlow(Exception):
    """A body that does not end."""


class Room:
    """Memory for the bodies of all requests together: middleware that takes note of each until it is answered.

    A request that finds the room full waits, its body unread. The one that came first goes on all the same, so that
    there is always one that can end: the limit is exceeded by its body, and by what others are receiving just then.

    Args:
        most: bytes that bodies may take together.

    Attributes:
        taken: bytes that they take now.
        places: of the requests whose bodies are read or held, in the order in which they came.
        left: set, and replaced, when one of them goes.
    """

    def __init__(self, app: ASGIApp, *, most: int = ROOM) -> None:
        self._app = app
        self.most = most
        self.taken = 0
        self.places: dict[Place, None] = {}
        self.left = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, with its place."""
        place = scope[PLACE] = Place(self)
        try:
            await self._app(scope, receive, send)
        finally:
            place.leave()


class Place:
    """What one request takes of a room, in bytes."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self.taken = 0

    def enter(self) -> None:
        """Begin with the body."""
        self._room.places[self] = None

    def take(self, size: int) -> None:
        """Note that so many bytes more are held."""
        self.taken += size
        self._room.taken += size

    async def turn(self, limit: asyncio.Timeout) -> None:
        """Wait until the request may read on; that time is not on its account."""
        if self._has_to_wait():
            when, clock = limit.when(), asyncio.get_running_loop().time
            assert when is not None
            left = when - clock()
            limit.reschedule(None)
            while self._has_to_wait():
                await self._room.left.wait()
            limit.reschedule(clock() + left)

    def leave(self) -> None:
        """Give back what was taken, if the body was begun with."""
        room = self._room
        if self in room.places:
            del room.places[self]
            room.taken -= self.taken
            room.left.set()
            room.left = asyncio.Event()

    def _has_to_wait(self) -> bool:
        return self._room.taken >= self._room.most and next(iter(self._room.places)) is not self


async def read_body(request: Request, largest: int) -> bytes:
    """Return the body, of at most `largest` bytes; more is never held in memory.

    Waits, the body unread, while others' bodies take all the room. Raises TooLarge, TooSlow after a minute of reading,
    or Starlette's ClientDisconnect.
    """
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > largest:
        raise TooLarge(_too_large(largest))
    place: Place = request.scope[PLACE]
    place.enter()
    parts: list[bytes] = []
    try:
        async with asyncio.timeout(BODY_SECONDS) as limit:
            more = True
            while more:
                await place.turn(limit)
                message = await request.receive()
                if message["type"] == "http.disconnect":
                    raise ClientDisconnect
                part, more = message.get("body", b""), message.get("more_body", False)
                if place.taken + len(part) > largest:
                    raise TooLarge(_too_large(largest))
                place.take(len(part))
                parts.append(part)
    except TimeoutError:
        raise TooSlow(f"The body was not complete after {BODY_SECONDS:g} seconds.") from None
    return b"".join(parts)


def _too_large(largest: int) -> str:
    return f"The body is larger than {largest // 1024**2} MB. ECG_MAX_REQUEST_MB sets the limit."
