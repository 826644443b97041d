"""Videos in S3, and addresses that open them without credentials for a while."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass, replace
from urllib.parse import quote

from ecg_api.status import RenditionStatus
from ecg_common.profiles import StorageProfile, profiles
from ecg_shim.model import Output, below, download_path

log = logging.getLogger(__name__)

# A player fetches parts from the same address while it plays.
RENEWED_SECONDS = 3600
CONNECT_SECONDS, READ_SECONDS = 1, 3
AWAY_SECONDS = 10.0
"""For so long a place that does not answer is not asked again: each look would keep a viewer waiting."""


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
        return replace(self, url=below(public_url, download_path(job_id)), signed=self.url)


def signed_result(result: RenditionStatus) -> Output:
    """Return one of a job's results as a video in S3; as it is where its address is none that was signed."""
    url = result.url or ""
    if result.uri.startswith("s3://") and (not url or "Signature=" in url or "/download/" in url):
        return SignedOutput(url, result.size_bytes, 0.0, uri=result.uri, signed=url)
    return Output(url, result.size_bytes, 0.0)


def where(job_id: str, suffix: str, bucket: str, storage: str) -> str:
    """Return the address of a job's video: in `bucket`, or where the storage profile that was asked for says."""
    return f"s3://{'' if storage else bucket}/rendered/{quote(job_id, safe='')}/output.{suffix}"


class Presigner:
    """Signs addresses of videos: in one bucket, and in those of storage profiles.

    Args:
        seconds: how long the addresses work.
    """

    def __init__(self, bucket: str, seconds: int) -> None:
        self._bucket = bucket
        self._seconds = seconds
        self._away: dict[str, float] = {}

    async def renewed(self, output: Output) -> Output:
        """Return a video with an address that opens it for an hour, that of its copy where the first place is away.

        As it is if its address is none that was signed; with the one signed when the job ended if none can be now.
        """
        if not isinstance(output, SignedOutput):
            return output
        former = replace(output, url=output.signed) if output.signed else output
        bucket = _parts(output.uri)[0]
        if not output.uri.startswith("s3://") or not (bucket == self._bucket or profiles().of_results(bucket)):
            return former
        try:
            url = await asyncio.to_thread(self._handed_out, output.uri)
        except OSError as error:
            log.warning("%s", error)
            return former
        return replace(output, url=url)

    def signed(self, uri: str, seconds: int | None = None) -> str:
        """Return an address of an object, at the CDN before it if it has one.

        Raises OSError if there is nothing to sign with. Call it in a thread: it takes a second the first time, and
        whenever a role's credentials are fetched anew.
        """
        return _signed(*_parts(uri), seconds or self._seconds)

    def _handed_out(self, uri: str) -> str:
        seconds = min(RENEWED_SECONDS, self._seconds)
        copy = self._copy_in_use(uri)
        if copy is None:
            return self.signed(uri, seconds)
        bucket, key = _parts(uri)
        log.warning("s3://%s is away: the copy of %s in %s is handed out", bucket, key, copy.name)
        return _signed(copy.bucket, key, seconds, profile=copy.name)

    def _copy_in_use(self, uri: str) -> StorageProfile | None:
        """Return where to fetch the copy of a video that is not to be had at its first place; None: take that."""
        bucket, key = _parts(uri)
        place = profiles().of_results(bucket)
        if place is None or not place.replica or place.cdn or self._is_there(place.name, bucket, key):
            return None
        copy = profiles().get(place.replica)
        return copy if copy and self._is_there(copy.name, copy.bucket, key) else None

    def _is_there(self, profile: str, bucket: str, key: str) -> bool:
        """Tell whether a place has an object; one that is away is asked again after a moment."""
        from botocore.exceptions import BotoCoreError, ClientError

        from ecg_common.s3 import Limits, connection

        if self._away.get(profile, 0.0) > time.monotonic():
            return False
        brief = Limits(connect_seconds=CONNECT_SECONDS, read_seconds=READ_SECONDS, attempts=1)
        try:
            connection(brief, profile=profile).client.head_object(Bucket=bucket, Key=key)
        except ClientError as error:
            status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
            return status != 404 and status < 500  # who may not look may sign all the same
        except (BotoCoreError, ValueError):
            self._away[profile] = time.monotonic() + AWAY_SECONDS
            return False
        return True


def _parts(uri: str) -> tuple[str, str]:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key


def _signed(bucket: str, key: str, seconds: int, profile: str = "") -> str:
    # Imported here: it takes half a second, and only services with a bucket need it.
    from botocore.exceptions import BotoCoreError

    from ecg_common.s3 import connection, published

    try:
        known = None if profile else published(bucket, key, seconds)
        return known or connection(bucket=bucket, profile=profile).signed(bucket, key, seconds, ask_region=True)
    except (BotoCoreError, ValueError) as error:
        raise OSError(f"The address of the video in S3 cannot be signed: {error}") from error
