"""The way to S3: one boto3 client a process, patience while the service is away, failures that are ours.

Endpoint, region and credentials come from the AWS environment and configuration files only.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from ecg_common.s3 import Limits, S3Connection, connection
from ecg_renderer.errors import Cancelled, ServiceUnreachable, StorageError
from ecg_renderer.storage.address import printable
from ecg_renderer.storage.s3_failures import s3_failure
from ecg_renderer.storage.s3_place import S3Place

_LONGEST_PAUSE_SECONDS = 4.0
_SILENT_TRIES = 3
# Repeating is ours, see S3.patiently: botocore sleeps where nothing can wake it.
LIMITS = Limits(connect_seconds=5, read_seconds=20, attempts=1)

T = TypeVar("T")
log = logging.getLogger(__name__)


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
        return self.patiently(
            f"sign an address for {place}", lambda: _connected().signed(place.bucket, place.key, seconds)
        )

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


def _connected() -> S3Connection:
    try:
        return connection(LIMITS)
    except ValueError as error:
        raise StorageError(
            f"The AWS settings make no sense: {error}.", hint="Check AWS_ENDPOINT_URL: http(s)://host:port."
        ) from error
