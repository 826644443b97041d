"""Videos in S3, and addresses that open them without credentials for a while."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, replace

from ecg_shim.model import Output

log = logging.getLogger(__name__)

# A player fetches parts from the same address while it plays.
RENEWED_SECONDS = 3600


@dataclass(frozen=True)
class SignedOutput(Output):
    """A video in S3 whose `url` was signed: one day it opens nothing any more, a role's within hours.

    Attributes:
        uri: where the video lies, s3://bucket/key.
    """

    uri: str = ""


class Presigner:
    """Signs addresses of objects in one bucket.

    Args:
        seconds: how long the addresses work.
    """

    def __init__(self, bucket: str, seconds: int) -> None:
        self._bucket = bucket
        self._root = f"s3://{bucket}/"
        self._seconds = seconds

    async def renewed(self, output: Output) -> Output:
        """Return a video with an address that opens it for an hour; as it is if that lasts, or none can be signed."""
        if not isinstance(output, SignedOutput) or not output.uri.startswith(self._root):
            return output
        try:
            url = await asyncio.to_thread(self.signed, output.uri, min(RENEWED_SECONDS, self._seconds))
        except OSError as error:
            log.warning("%s", error)
            return output
        return replace(output, url=url)

    def signed(self, uri: str, seconds: int | None = None) -> str:
        """Return an address of an object. Raises OSError if there is nothing to sign with.

        Call it in a thread: it takes a second the first time, and whenever a role's credentials are fetched anew.
        """
        # Imported here: it takes half a second, and only services with a bucket need it.
        from botocore.exceptions import BotoCoreError

        from ecg_common.s3 import connection

        try:
            client = connection()
            key = uri.removeprefix(self._root)
            return client.signed(self._bucket, key, seconds or self._seconds, ask_region=True)
        except (BotoCoreError, ValueError) as error:
            raise OSError(f"The address of the video in S3 cannot be signed: {error}") from error
