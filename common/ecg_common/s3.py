"""Clients of S3 as the environment describes it: region, style of addresses, signatures.

Endpoint, region and credentials come from the AWS environment and configuration files only. Importing this takes half
a second.
"""

from __future__ import annotations

import functools
import os
import threading
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

_creating = threading.Lock()
"""boto3 lets a client be used by many threads, but not be made by them."""


@dataclass(frozen=True)
class Limits:
    """How long one attempt of a request may take, how many botocore makes, and how many connections it keeps."""

    connect_seconds: float = 3
    read_seconds: float = 10
    attempts: int = 2
    connections: int = 16


_BRIEF = Limits()


class S3Connection:
    """A client, and the regions of the buckets that turned out to be in another one than the client's.

    Raises ValueError if the AWS settings make no sense, BotoCoreError if there is no such profile.
    """

    def __init__(self, limits: Limits) -> None:
        # A session of its own: boto3's own keeps the credentials that it saw first.
        self._session = boto3.session.Session()
        self._limits = limits
        self._regions: dict[str, str] = {}
        self.client = self._made()
        self.client.meta.events.register_first("needs-retry.s3", self._note_region)

    def signed(self, bucket: str, key: str, seconds: int, *, ask_region: bool = False) -> str:
        """Return an address under which everybody can read the object for `seconds`, if the credentials live so long.

        Requests are redirected to the bucket's region, signed addresses are not: `ask_region` where no request to
        Amazon went before. Raises BotoCoreError if there is nothing to sign with.
        """
        if ask_region and bucket not in self._regions and _is_amazon(self.client):
            self._ask_region(bucket)
        region = self._regions.get(bucket)
        if region and region != self.client.meta.region_name:
            with _creating:
                client = self._made(region)
        else:
            client = self.client
        return str(
            client.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": key}, ExpiresIn=seconds)
        )

    def _made(self, region: str | None = None) -> Any:
        client = self._session.client("s3", region_name=region, config=self._config())
        if _is_amazon(client):
            return client
        return self._session.client("s3", region_name=region, config=self._config().merge(_OTHER_SERVERS))

    def _config(self) -> Config:
        return Config(
            signature_version="s3v4",  # presigned addresses may live for 7 days with it
            connect_timeout=self._limits.connect_seconds,
            read_timeout=self._limits.read_seconds,
            retries={"mode": "standard", "total_max_attempts": self._limits.attempts},
            max_pool_connections=self._limits.connections,
            user_agent_extra="ecg-render",
        )

    def _ask_region(self, bucket: str) -> None:
        try:
            answer = self.client.head_bucket(Bucket=bucket)
        except ClientError as error:  # S3 names the region also to those who may not look into the bucket
            answer = error.response
        except BotoCoreError:
            return
        headers = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
        self._regions.setdefault(bucket, str(headers.get("x-amz-bucket-region", "")))

    def _note_region(self, response: Any, request_dict: dict[str, Any], **_: Any) -> None:
        if response is None:
            return
        answer = response[1]
        headers = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
        region = headers.get("x-amz-bucket-region") or answer.get("Error", {}).get("Region")
        bucket = request_dict["context"].get("s3_redirect", {}).get("bucket")
        if region and bucket:
            self._regions[bucket] = region


def connection(limits: Limits = _BRIEF) -> S3Connection:
    """Return the connection of this process for the AWS variables as they are now; raises what S3Connection does."""
    settings = sorted((name, value) for name, value in os.environ.items() if name.startswith("AWS_"))
    with _creating:
        return _connection(limits, tuple(settings))


@functools.lru_cache(maxsize=4)
def _connection(limits: Limits, settings: tuple[tuple[str, str], ...]) -> S3Connection:
    # The settings are the key only: boto3 reads them itself.
    return S3Connection(limits)


# They have no name for each bucket in DNS, and some know no checksums in trailers.
_SUMS: Any = "when_required"
_OTHER_SERVERS = Config(
    s3={"addressing_style": "path"}, request_checksum_calculation=_SUMS, response_checksum_validation=_SUMS
)


def _is_amazon(client: Any) -> bool:
    host = urlsplit(str(client.meta.endpoint_url)).hostname or ""
    return host.endswith((".amazonaws.com", ".amazonaws.com.cn"))
