"""Where a job's scenario lies until its plan is made.

| size                                    | place                                                             |
|-----------------------------------------|-------------------------------------------------------------------|
| up to 64 KiB and 500 cues               | in the RenderJob itself                                           |
| more, and there is S3                   | s3://bucket/rendered/<job id>/scenario-<hash>.json                |
| more, without S3, or S3 does not answer | a ConfigMap, compressed; 1 MiB is the most that fits              |

Addresses are made from content, so a repeated POST writes the same thing to the same place.
"""

from __future__ import annotations

import asyncio
import base64
import gzip
import hashlib
import json
import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import quote

from ecg_api.failures import RULES, Failure, FailureCode
from ecg_api.names import MANAGED_BY
from ecg_cluster.client import Json
from ecg_common.profiles import profiles
from ecg_shim.backends.cluster.tickets import JOB_ID, KIND_LABEL, SCENARIO, SERVICE, object_name, scenario_name

log = logging.getLogger(__name__)

MOST_INLINE_BYTES = 60 * 1024
"""A little less than the RenderJob takes, since the cluster may write numbers in another way."""
MOST_INLINE_CUES = 500
MOST_IN_CONFIG_MAP = 1024 * 1024 - 1024
LARGEST_INTEGER = 2**63 - 1
ENTRY = "scenario.json.gz"
UPLOADS = 16
PACKED_AT_ONCE = 2
"""Compressing takes all that a processor has, and requests are waiting for it, too."""


@dataclass(frozen=True)
class Kept:
    """Where a scenario is.

    Attributes:
        reference: spec.scenario of the RenderJob.
        config_map: still to be created, when there is a ticket that owns it.
    """

    reference: dict[str, Any]
    config_map: Json | None = None


class Scenarios:
    """Keeps scenarios.

    Args:
        store: `auto`, `s3` or `configmap`.
    """

    def __init__(self, bucket: str, store: str) -> None:
        self._bucket = bucket
        self._store = store
        self._uploads = ThreadPoolExecutor(UPLOADS, thread_name_prefix="scenarios")
        self._packing = ThreadPoolExecutor(PACKED_AT_ONCE, thread_name_prefix="packing")

    async def keep(self, job_id: str, scenario: bytes) -> Kept | Failure:
        """Put a scenario where it fits; returns why there is no such place. Waits for S3."""
        loop = asyncio.get_running_loop()
        placed = await loop.run_in_executor(self._uploads, self._placed, job_id, scenario)
        if isinstance(placed, Kept):
            return placed
        packed = await loop.run_in_executor(self._packing, compressed, job_id, scenario)
        return packed if packed is not None else _too_large(scenario, placed)

    def close(self) -> None:
        """Let go of the threads."""
        self._uploads.shutdown(wait=False, cancel_futures=True)
        self._packing.shutdown(wait=False, cancel_futures=True)

    def _placed(self, job_id: str, scenario: bytes) -> Kept | str:
        """Return where the scenario is without a ConfigMap, else why S3 has not taken it; empty if there is none."""
        small = inline(scenario)
        if small is not None:
            return Kept({"inline": small})
        if not self._has_s3:
            return ""
        try:
            return Kept(self._put(job_id, scenario))
        except OSError as error:
            log.warning("job %s: the scenario goes to a ConfigMap: %s", job_id, error)
            return f" S3 has not taken it: {error}."

    @cached_property
    def _has_s3(self) -> bool:
        if self._store != "auto":
            return self._store == "s3"
        import boto3

        profile = profiles().of_bucket(self._bucket)
        if profile is not None and profile.secret:
            return True
        return boto3.session.Session().get_credentials() is not None

    def _put(self, job_id: str, scenario: bytes) -> dict[str, Any]:
        # Imported here: it takes half a second, and not every service needs it.
        from botocore.exceptions import BotoCoreError, ClientError

        from ecg_common.s3 import connection

        digest = hashlib.sha256(scenario)
        key = f"rendered/{quote(job_id, safe='')}/scenario-{digest.hexdigest()[:16]}.json"
        try:
            connection(bucket=self._bucket).client.put_object(
                Bucket=self._bucket,
                Key=key,
                Body=scenario,
                ContentType="application/json",
                ChecksumSHA256=base64.b64encode(digest.digest()).decode(),
            )
        except (BotoCoreError, ClientError, ValueError) as error:
            raise OSError(str(error)) from error
        return {"uri": f"s3://{self._bucket}/{key}", "sha256": digest.hexdigest()}


def inline(scenario: bytes) -> dict[str, Any] | None:
    """Return a scenario that a RenderJob can hold; None for one that it cannot hold unchanged."""
    if len(scenario) > MOST_INLINE_BYTES:
        return None
    try:
        value = json.loads(scenario)
        written = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
        cues = value.get("cues")
        fits = len(written) <= MOST_INLINE_BYTES and (not isinstance(cues, list) or len(cues) <= MOST_INLINE_CUES)
        return value if fits and _is_storable(value) else None
    except (ValueError, RecursionError):  # also half a surrogate pair
        return None


def compressed(job_id: str, scenario: bytes) -> Kept | None:
    """Return the ConfigMap for a scenario; None if it does not fit."""
    # Fifty clients may post at the same moment: only what would not fit otherwise takes the time for a better level.
    packed = next((packed for packed in _packed(scenario) if len(packed) <= MOST_IN_CONFIG_MAP), None)
    if packed is None:
        return None
    digest = hashlib.sha256(packed).hexdigest()
    name = scenario_name(object_name(job_id), digest)
    body = {
        "metadata": {
            "name": name,
            "labels": {MANAGED_BY: SERVICE, KIND_LABEL: SCENARIO},
            "annotations": {JOB_ID: job_id},
        },
        "immutable": True,
        "binaryData": {ENTRY: base64.b64encode(packed).decode()},
    }
    return Kept({"configMapRef": {"name": name, "key": ENTRY}, "sha256": digest}, body)


def _packed(scenario: bytes) -> Iterator[bytes]:
    for level in (1, 6):
        yield gzip.compress(scenario, level, mtime=0)


def _is_storable(value: object) -> bool:
    """Tell whether the API server keeps a value as it is: it drops nulls, and knows integers of 64 bits only."""
    if isinstance(value, dict):
        return all(map(_is_storable, value.values()))
    if isinstance(value, list):
        return all(map(_is_storable, value))
    return value is not None and (not isinstance(value, int) or abs(value) <= LARGEST_INTEGER)


def _too_large(scenario: bytes, refused: str) -> Failure:
    code = FailureCode.STORAGE_ACCESS_ERROR
    return Failure(
        code=code,
        message=f"There is no place for the scenario: it has {len(scenario):,} bytes, and more than 1 MiB when "
        f"compressed, which is the most that a ConfigMap holds.{refused}",
        hint="Give the service access to S3_BUCKET (AWS_ACCESS_KEY_ID or the cloud's own way), or send fewer cues.",
        retryable=RULES[code].retryable,
    )
