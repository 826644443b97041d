"""Clients of S3 as the environment describes it: region, style of addresses, signatures.

Endpoint, region and credentials come from the AWS environment and configuration files, and from storage profiles for
their buckets. Importing this takes half a second.
"""

from __future__ import annotations

import functools
import os
import re
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.signers import CloudFrontSigner

from ecg_common.profiles import CDN_KEY, SECRET_ENTRIES, SESSION_TOKEN, profiles, variable_of

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


@dataclass(frozen=True)
class _Way:
    """What a storage profile says about the way to S3; None: as the environment says."""

    session: Mapping[str, str]
    endpoint: str | None = None
    region: str | None = None


class S3Connection:
    """A client, and the regions of the buckets that turned out to be in another one than the client's.

    Raises ValueError if the AWS settings make no sense, BotoCoreError if there is no such profile.
    """

    def __init__(self, limits: Limits, profile: str = "") -> None:
        self._way = _way_of(profile) if profile else _Way({})
        # A session of its own: boto3's own keeps the credentials that it saw first.
        self._session = boto3.session.Session(**self._way.session)
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
        # Amazon's own endpoints name their region: in another one than the profile's that of the other is right.
        place: dict[str, Any] = {"region_name": region or self._way.region, "endpoint_url": self._way.endpoint}
        if region and place["endpoint_url"] and _AMAZONS.search(place["endpoint_url"]):
            place["endpoint_url"] = None
        client = self._session.client("s3", config=self._config(), **place)
        if _is_amazon(client):
            return client
        return self._session.client("s3", config=self._config().merge(_OTHER_SERVERS), **place)

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


def connection(limits: Limits = _BRIEF, *, bucket: str = "", profile: str = "") -> S3Connection:
    """Return the connection of this process to a bucket, or by a storage profile, for the settings as they are now.

    Those are variables and AWS' files. Without a profile it is that of AWS' own settings. Raises what S3Connection
    does, and ValueError for profiles that cannot be read.
    """
    settings = sorted(item for item in os.environ.items() if item[0].startswith(("AWS_", "ECG_STORAGE_")))
    settings += [(name, _version(os.environ.get(name) or default)) for name, default in _FILES.items()]
    found = profiles().of_bucket(bucket) if bucket and not profile else None
    profile = found.name if found else profile
    with _creating:
        return _connection(limits, profile, tuple(settings))


@functools.lru_cache(maxsize=16)
def _connection(limits: Limits, profile: str, settings: tuple[tuple[str, str], ...]) -> S3Connection:
    # The settings are the key only: boto3 reads them itself.
    return S3Connection(limits, profile)


# boto3 reads them once; keys of a session that somebody else renews, every quarter of an hour perhaps, lie there.
_FILES = {"AWS_SHARED_CREDENTIALS_FILE": "~/.aws/credentials", "AWS_CONFIG_FILE": "~/.aws/config"}


def _version(path: str) -> str:
    """Return what changes with a file's content; empty if there is no such file."""
    try:
        found = Path(path).expanduser().stat()
    except (OSError, RuntimeError):  # the latter for a user without a home
        return ""
    return f"{found.st_dev}:{found.st_ino}:{found.st_mtime_ns}:{found.st_size}"


def _way_of(name: str) -> _Way:
    profile = profiles().get(name)
    if profile is None:
        raise ValueError(f"there is no storage profile {name!r}")
    session = {"profile_name": profile.aws_profile} if profile.aws_profile else {}
    keys = {end: os.environ.get(variable_of(name, end), "") for end in (*SECRET_ENTRIES, SESSION_TOKEN)}
    if any(keys.values()) or profile.secret:
        missing = [variable_of(name, end) for end in SECRET_ENTRIES if not keys[end]]
        if missing:
            raise ValueError(f"the storage profile {name!r} has no keys here: {' and '.join(missing)} must be set")
        session = {f"aws_{end.lower()}": value for end, value in keys.items() if value}
    return _Way(session, profile.endpoint or None, profile.region or None)


def published(bucket: str, key: str, seconds: int) -> str | None:
    """Return an object's address at the CDN before its bucket, signed for `seconds` if that asks for it.

    None if there is no CDN, or if its addresses have to be signed and this process has no key for that: who hands out
    videos does. Raises ValueError for a key that cannot be read.
    """
    profile = profiles().of_results(bucket)
    if profile is None or profile.cdn is None:
        return None
    cdn = profile.cdn
    address = f"{cdn.base_url}/{quote(key)}"
    if not cdn.key_pair_id:
        return address
    variable = variable_of(profile.name, CDN_KEY)
    pem = os.environ.get(variable, "")
    if not pem:
        return None
    signer = CloudFrontSigner(cdn.key_pair_id, functools.partial(_rsa_sha1, pem, variable))
    until = datetime.fromtimestamp(int(time.time()) + seconds, UTC)
    return str(signer.generate_presigned_url(address, date_less_than=until))


def _rsa_sha1(pem: str, variable: str, message: bytes) -> bytes:
    # Imported here: few need it.
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.hashes import SHA1
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(pem.encode(), password=None)
    except (ValueError, TypeError):
        key = None  # what was wrong may say something about the key
    if not isinstance(key, RSAPrivateKey):
        raise ValueError(f"{variable} holds no RSA key as PEM text, without a password")
    return key.sign(message, PKCS1v15(), SHA1())  # noqa: S303 (CloudFront takes no other)


# They have no name for each bucket in DNS, and some know no checksums in trailers.
_SUMS: Any = "when_required"
_OTHER_SERVERS = Config(
    s3={"addressing_style": "path"}, request_checksum_calculation=_SUMS, response_checksum_validation=_SUMS
)
_AMAZONS = re.compile(r"[./]amazonaws\.com(\.cn)?(/|$)")


def _is_amazon(client: Any) -> bool:
    host = urlsplit(str(client.meta.endpoint_url)).hostname or ""
    return host.endswith((".amazonaws.com", ".amazonaws.com.cn"))
