"""The way to S3: one boto3 client a process, patience while the service is away, failures that are ours.

Endpoint, region and credentials come from the AWS environment and configuration files only.
"""

from __future__ import annotations

import functools
import logging
import os
import random
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from ecg_renderer.errors import Cancelled, ServiceUnreachable, StorageError
from ecg_renderer.storage.address import printable
from ecg_renderer.storage.s3_failures import s3_failure
from ecg_renderer.storage.s3_place import S3Place

_LONGEST_PAUSE_SECONDS = 4.0
_SILENT_TRIES = 3
_CONNECT_SECONDS = 5
_READ_SECONDS = 20
_CONNECTIONS = 16

T = TypeVar("T")
log = logging.getLogger(__name__)
_creating = threading.Lock()
"""boto3 lets a client be used by many threads, but not be made by them."""


class S3:
    """The S3 service of this environment.

    `stop()` ends what is under way on this instance, from any thread; the client behind it is shared.
    """

    patience_seconds = 60.0
    """How long a request is repeated when the service went away, counted from the first one that failed."""

    def __init__(self) -> None:
        self._stopped = threading.Event()

    @property
    def client(self) -> Any:
        """The boto3 client. Raises StorageError if the AWS settings make no sense, or a BotoCoreError."""
        return _connected().client

    @property
    def endpoint(self) -> str:
        """Where requests go, for people."""
        return printable(str(self.client.meta.endpoint_url))

    def stop(self) -> None:
        """Let no transfer go on and no repetition start: both raise Cancelled."""
        self._stopped.set()

    def check_stopped(self) -> None:
        """Raise Cancelled after `stop()`."""
        if self._stopped.is_set():
            raise Cancelled("The transfer was stopped.")

    def ask(self, operation: str, task: str, *, patience: float | None = None, **parameters: Any) -> Any:
        """Send the request `operation` and return its answer; see `patiently` for `task`, repetitions and errors."""
        return self.patiently(task, lambda: getattr(self.client, operation)(**parameters), patience)

    def presigned(self, place: S3Place, seconds: int) -> str:
        """Return an address under which everybody can read the object for `seconds`, if the credentials live so long.

        Raises StorageError if there is nothing to sign with.
        """

        def sign() -> str:
            client = _connected().for_bucket(place.bucket)
            return str(client.generate_presigned_url("get_object", Params=place.parameters, ExpiresIn=seconds))

        return self.patiently(f"sign an address for {place}", sign)

    def patiently(self, task: str, attempt: Callable[[], T], patience: float | None = None) -> T:
        """Return what `attempt` returns; repeat it for `patience` seconds if the service is away or overloaded.

        `task` completes "Cannot …" in messages. botocore counts its own repetitions; a service that restarts needs
        time, however many attempts fit into it. Raises ServiceUnreachable when that was not enough, StorageError (or
        one of its kinds) or ResourceError at once when S3 says no, Cancelled after `stop()`.
        """
        patience = self.patience_seconds if patience is None else patience
        deadline, tries = 0.0, 0
        while True:
            began = time.monotonic()
            try:
                return attempt()
            except (BotoCoreError, ClientError) as error:
                failure = s3_failure(error, task, self._endpoint_if_known())
                failed = time.monotonic()
                if tries == 0 or failed - began > patience:  # a long transfer that went well for a while
                    deadline, tries = failed + patience, 0
                pause = min(0.25 * 2**tries, _LONGEST_PAUSE_SECONDS) * random.uniform(0.5, 1)  # noqa: S311
                if not isinstance(failure, ServiceUnreachable) or failed + pause > deadline:
                    raise failure from error
                tries += 1
                if tries == _SILENT_TRIES:
                    log.warning("%s Trying again for %.0f seconds.", failure.message, deadline - failed)
                if self._stopped.wait(pause):
                    raise Cancelled("The transfer was stopped.") from error

    def _endpoint_if_known(self) -> str:
        try:
            return self.endpoint
        except BotoCoreError:  # the failure is that no client can be made
            return "S3"


class _Connection:
    """A client, and the regions of the buckets that turned out to be in another one than the client's."""

    def __init__(self) -> None:
        self._session = boto3.session.Session()
        self._regions: dict[str, str] = {}
        try:
            self.client = self._made()
        except ValueError as error:
            raise StorageError(
                f"The AWS settings make no sense: {error}.", hint="Check AWS_ENDPOINT_URL: http(s)://host:port."
            ) from error
        self.client.meta.events.register_first("needs-retry.s3", self._note_region)

    def for_bucket(self, bucket: str) -> Any:
        """Return a client of the bucket's region: requests are redirected, signed addresses are not."""
        region = self._regions.get(bucket)
        if not region:
            return self.client
        with _creating:
            return self._made(region)

    def _made(self, region: str | None = None) -> Any:
        client = self._session.client("s3", region_name=region, config=_config())
        if _is_amazon(str(client.meta.endpoint_url)):
            return client
        return self._session.client("s3", region_name=region, config=_config(own_endpoint=True))

    def _note_region(self, response: Any, request_dict: dict[str, Any], **_: Any) -> None:
        if response is None:
            return
        answer = response[1]
        headers = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
        region = headers.get("x-amz-bucket-region") or answer.get("Error", {}).get("Region")
        bucket = request_dict["context"].get("s3_redirect", {}).get("bucket")
        if region and bucket and region != self.client.meta.region_name:
            self._regions[bucket] = region


def _connected() -> _Connection:
    settings = sorted((name, value) for name, value in os.environ.items() if name.startswith("AWS_"))
    with _creating:
        return _connection(tuple(settings))


@functools.lru_cache(maxsize=4)
def _connection(settings: tuple[tuple[str, str], ...]) -> _Connection:
    # The settings are the key only: boto3 reads them itself.
    return _Connection()


def _config(*, own_endpoint: bool = False) -> Config:
    config = Config(
        signature_version="s3v4",  # presigned addresses may live for 7 days with it
        connect_timeout=_CONNECT_SECONDS,
        read_timeout=_READ_SECONDS,
        # Repeating is ours, see S3.patiently: botocore sleeps where nothing can wake it.
        retries={"mode": "standard", "total_max_attempts": 1},
        max_pool_connections=_CONNECTIONS,
        user_agent_extra="ecg-render",
    )
    if not own_endpoint:
        return config
    # Servers other than Amazon's have no name for each bucket in DNS, and some know no checksums in trailers.
    sums: Any = "when_required"
    other = Config(
        s3={"addressing_style": "path"}, request_checksum_calculation=sums, response_checksum_validation=sums
    )
    return config.merge(other)


def _is_amazon(endpoint: str) -> bool:
    host = urlsplit(endpoint).hostname or ""
    return host.endswith((".amazonaws.com", ".amazonaws.com.cn"))
