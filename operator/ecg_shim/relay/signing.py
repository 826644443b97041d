"""Signatures by which a receiver knows that a callback is from here and was not changed: Standard Webhooks, `v1`.

    signature = base64(HMAC-SHA256(secret, "{webhook-id}.{webhook-timestamp}.{body}"))

With several secrets each callback carries a signature by each: receivers change to the new one when they like, and the
old one is removed then.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from dataclasses import dataclass, field

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
