"""Posts one callback, signed, and reports what came back; decides nothing.

By its signature a receiver knows that a callback is from here and was not changed: Standard Webhooks, `v1`.

    signature = base64(HMAC-SHA256(secret, "{webhook-id}.{webhook-timestamp}.{body}"))

With several secrets each callback carries a signature by each: receivers change to the new one when they like, and the
old one is removed then.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import json
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from importlib.metadata import version

import httpx

from ecg_common.addresses import AddressRefused
from ecg_shim.relay.policy import Answer
from ecg_shim.relay.records import Delivery

PREFIX = "whsec_"
SHORTEST, LONGEST = 16, 128


class SecretError(ValueError):
    """A secret that cannot be used; the text does not contain it."""


@dataclass(frozen=True)
class Signer:
    """Signs with each of `keys`, in their order."""

    keys: tuple[bytes, ...] = field(repr=False)

    @classmethod
    def of(cls, secrets: str) -> Signer | None:
        """Return a signer for secrets that stand apart by spaces or commas; None if there are none.

        Raises SecretError for one that is not `whsec_` and the base64 of 16 to 128 bytes.
        """
        words = secrets.replace(",", " ").split()
        return cls(tuple(_key(word, place) for place, word in enumerate(words, 1))) if words else None

    def headers(self, delivery_id: str, timestamp: int, body: bytes) -> dict[str, str]:
        """Return the headers for a callback sent at `timestamp`, in seconds since 1970."""
        signed = f"{delivery_id}.{timestamp}.".encode() + body
        digests = (hmac.new(key, signed, hashlib.sha256).digest() for key in self.keys)
        signatures = " ".join(f"v1,{base64.b64encode(digest).decode()}" for digest in digests)
        return {"webhook-timestamp": str(timestamp), "webhook-signature": signatures}


def _key(word: str, place: int) -> bytes:
    encoded = word.removeprefix(PREFIX)
    try:
        key = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not SHORTEST <= len(key) <= LONGEST:
        raise SecretError(
            f"Secret number {place} for callbacks is not {PREFIX} and the base64 of {SHORTEST} to {LONGEST} bytes. "
            "Make one: echo whsec_$(openssl rand -base64 32)"
        )
    return key


log = logging.getLogger(__name__)

LARGEST_ANSWER = 64 * 1024
CONNECT_SECONDS = 10.0


class Sender:
    """Sends callbacks.

    Args:
        client: connects where it is allowed only, and follows no redirects; it stays the caller's to close.
        signer: None sends unsigned.
        seconds: for one try, from the name's resolution to the last byte that is read of the answer.
    """

    def __init__(
        self,
        client: httpx.AsyncClient,
        signer: Signer | None = None,
        seconds: float = 30.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._client = client
        self._signer = signer
        self._seconds = seconds
        self._clock = clock
        self._agent = f"GPU-Render-Server/1.0 ecg-render/{version('ecg-render')}"

    async def send(self, url: str, delivery: Delivery) -> Answer:
        """Post a callback once; never raises for what the network or the other side does."""
        body = json.dumps(delivery.payload).encode()
        headers = {
            "Content-Type": "application/json",
            "Accept": "application/json",
            "User-Agent": self._agent,
            "webhook-id": delivery.id,
            # A kept connection that the backend closes just then would look like a callback without answer.
            "Connection": "close",
        }
        if self._signer:
            headers |= self._signer.headers(delivery.id, int(self._clock()), body)
        timeout = httpx.Timeout(self._seconds, connect=min(self._seconds, CONNECT_SECONDS))
        deadline = asyncio.get_running_loop().time() + self._seconds
        try:
            async with asyncio.timeout_at(deadline):
                request = self._client.build_request("POST", url, content=body, headers=headers, timeout=timeout)
                response = await self._client.send(request, stream=True, follow_redirects=False)
            return await self._read(response, deadline)
        except AddressRefused as error:
            return Answer(refused=True, reached=False, error=str(error))
        # UnicodeError: host names that IDNA does not allow, also in a redirect's Location.
        except (httpx.InvalidURL, httpx.UnsupportedProtocol, httpx.LocalProtocolError, UnicodeError) as error:
            return Answer(refused=True, reached=False, error=f"{type(error).__name__}: {error}")
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            return Answer(reached=False, error=f"No connection: {error or type(error).__name__}")
        except (httpx.HTTPError, TimeoutError, OSError) as error:
            late = isinstance(error, TimeoutError | httpx.TimeoutException)
            return Answer(error=f"No answer within {self._seconds:g} s" if late else f"{type(error).__name__}: {error}")
        except Exception as error:
            # The callback is noted as on its way: without an answer it would stay so for ever.
            log.exception("Callback %s", delivery.id)
            return Answer(error=f"{type(error).__name__}: {error}")

    async def _read(self, response: httpx.Response, deadline: float) -> Answer:
        """Return the answer; its status counts, whatever becomes of its body."""
        body = b""
        try:
            async with asyncio.timeout_at(deadline):
                async for part in response.aiter_raw(4096):
                    body += part
                    if len(body) > LARGEST_ANSWER:
                        break
        except (httpx.HTTPError, TimeoutError, OSError):
            pass
        finally:
            await response.aclose()
        retry_after = read_retry_after(response.headers.get("retry-after", ""), self._clock())
        where = response.headers.get("location", "")
        error = f"redirects to {where}, and callbacks follow no redirects" if response.is_redirect else ""
        return Answer(response.status_code, body[:LARGEST_ANSWER] or error.encode(), retry_after, error=error)


def read_retry_after(text: str, now: float) -> float | None:
    """Return the seconds that a Retry-After header asks for; None for none, or none that can be read."""
    text = text.strip()
    if text.isdecimal() and len(text) < 10:
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError):
        return None
    at = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, at.timestamp() - datetime.fromtimestamp(now, UTC).timestamp())
