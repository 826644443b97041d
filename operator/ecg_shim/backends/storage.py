"""Videos in S3, and addresses that open them without credentials for a while."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, replace

from ecg_api.status import RenditionStatus
from ecg_shim.model import Output, download_path

log = logging.getLogger(__name__)

# A player fetches parts from the same address while it plays.
RENEWED_SECONDS = 3600


@dataclass(frozen=True, slots=True)
class SignedOutput(Output):
    """A video in S3 behind an address that was signed: one day it opens nothing any more, a role's within hours.

    Attributes:
        uri: where the video lies, s3://bucket/key.
        signed: that address, if `url` is another one: the service's own, which lasts.
    """

    uri: str = ""
    signed: str = ""

    def told_as(self, public_url: str, job_id: str) -> SignedOutput:
        """Return the video under an address of the service at `public_url`; as it is if that is empty."""
        if not public_url:
            return self
        return replace(self, url=f"{public_url.rstrip('/')}{download_path(job_id)}", signed=self.url)


def signed_result(result: RenditionStatus) -> Output:
    """Return one of a job's results as a video in S3; as it is where its address is none that was signed."""
    url = result.url or ""
    if result.uri.startswith("s3://") and (not url or "X-Amz-Signature=" in url or "/download/" in url):
        return SignedOutput(url, result.size_bytes, 0.0, uri=result.uri, signed=url)
    return Output(url, result.size_bytes, 0.0)


def told_under(public_url: str, job_id: str, result: RenditionStatus) -> RenditionStatus:
    """Return a result under an address of the service at `public_url`; as it is if that is empty, or if it failed."""
    if not public_url or result.failure:
        return result
    path = download_path(job_id, "" if result.name == "main" else result.name)
    return result.model_copy(update={"url": f"{public_url.rstrip('/')}{path}"})


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
        """Return a video with an address that opens it for an hour.

        As it is if its address is none that was signed; with the one signed when the job ended if none can be now.
        """
        if not isinstance(output, SignedOutput):
            return output
        former = replace(output, url=output.signed) if output.signed else output
        if not output.uri.startswith(self._root):
            return former
        try:
            url = await asyncio.to_thread(self.signed, output.uri, min(RENEWED_SECONDS, self._seconds))
        except OSError as error:
            log.warning("%s", error)
            return former
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
