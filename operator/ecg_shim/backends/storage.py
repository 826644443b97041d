"""Videos in S3, and addresses that open them without credentials for a while."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

from ecg_shim.model import Output, download_path

log = logging.getLogger(__name__)

# A player fetches parts from the same address while it plays.
RENEWED_SECONDS = 3600
_LIMITS: dict[str, Any] = {
    "connect_timeout": 3,
    "read_timeout": 10,
    "retries": {"total_max_attempts": 2, "mode": "standard"},
    "signature_version": "s3v4",
}


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
        from botocore.exceptions import BotoCoreError

        place = {"Bucket": self._bucket, "Key": uri.removeprefix(self._root)}
        try:
            url: str = self._client.generate_presigned_url(
                "get_object", Params=place, ExpiresIn=seconds or self._seconds
            )
        except BotoCoreError as error:
            raise OSError(f"The address of the video in S3 cannot be signed: {error}") from error
        return url

    @cached_property
    def _client(self) -> Any:
        # Imported here: it takes half a second, and only services with a bucket need it.
        import boto3
        from botocore.config import Config

        # A session of its own: the module's keeps the credentials that it saw first.
        session = boto3.session.Session()
        client = session.client("s3", config=Config(**_LIMITS))
        host = urlsplit(client.meta.endpoint_url).hostname or ""
        if not host.endswith((".amazonaws.com", ".amazonaws.com.cn")):
            # Other servers have no name for each bucket in DNS.
            return session.client("s3", config=Config(**_LIMITS, s3={"addressing_style": "path"}))
        region = _region(client, self._bucket)
        return session.client("s3", region_name=region, config=Config(**_LIMITS)) if region else client


def _region(client: Any, bucket: str) -> str:
    """Return the bucket's region; empty if S3 does not say. Signed addresses are not redirected to it."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        answer = client.head_bucket(Bucket=bucket)
    except ClientError as error:  # S3 names the region also to those who may not look into the bucket
        answer = error.response
    except BotoCoreError:
        return ""
    return str(answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("x-amz-bucket-region", ""))
