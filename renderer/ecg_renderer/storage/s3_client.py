"""The way to S3: one boto3 client a process, patience while the service is away, failures that are ours.

Endpoint, region and credentials come from the AWS environment and configuration files only.
"""

from __future__ import annotations

import logging
import random
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from botocore import exceptions as boto
from botocore.exceptions import BotoCoreError, ClientError

from ecg_common.s3 import Limits, S3Connection, connection
from ecg_renderer.errors import Cancelled, RenderError, ResourceError, ServiceUnreachable, StorageError
from ecg_renderer.storage.base import printable

_LONGEST_PAUSE_SECONDS = 4.0
_SILENT_TRIES = 3
# Repeating is ours, see S3.patiently: botocore sleeps where nothing can wake it.
LIMITS = Limits(connect_seconds=5, read_seconds=20, attempts=1)

T = TypeVar("T")
log = logging.getLogger(__name__)


class S3:
    """The S3 service of a bucket, or of a storage profile; without both that of the AWS variables.

    `stop()` ends what is under way on this instance, from any thread; the client behind it is shared.
    """

    patience_seconds = 60.0
    """How long a request is repeated when the service went away, counted from the first one that failed."""

    def __init__(self, bucket: str = "", *, profile: str = "") -> None:
        self._bucket, self._profile = bucket, profile
        self._stopped = threading.Event()

    @property
    def client(self) -> Any:
        """The boto3 client. Raises StorageError if the AWS settings make no sense, or a BotoCoreError."""
        return self._connected().client

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
            f"sign an address for {place}", lambda: self._connected().signed(place.bucket, place.key, seconds)
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

    def _connected(self) -> S3Connection:
        try:
            return connection(LIMITS, bucket=self._bucket, profile=self._profile)
        except ValueError as error:
            raise StorageError(
                f"The settings of S3 make no sense: {error}.",
                hint="Check AWS_ENDPOINT_URL, http(s)://host:port, and the storage profiles.",
            ) from error

    def _endpoint_if_known(self) -> str:
        try:
            return self.endpoint
        except BotoCoreError:  # the failure is that no client can be made
            return "S3"


# --- places ---------------------------------------------------------------------------------------


_SCHEME = "s3://"
# Wider than Amazon's rules: other servers allow capitals and underscores.
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}")
_LONGEST_KEY_BYTES = 1024


@dataclass(frozen=True)
class S3Place:
    """An object, or with a key that ends with a slash a folder: all objects whose keys begin with it."""

    bucket: str
    key: str

    def __str__(self) -> str:
        return f"{_SCHEME}{self.bucket}/{self.key}"

    @property
    def parameters(self) -> dict[str, Any]:
        """The two parameters that name an object in requests."""
        return {"Bucket": self.bucket, "Key": self.key}

    def below(self, name: str) -> S3Place:
        """Return the object `name` in this folder."""
        return S3Place(self.bucket, self.key + name)


def s3_object(uri: str) -> S3Place:
    """Return the object that `uri` names; raise StorageError if it names none."""
    place = _parsed(uri)
    if not place.key or place.key.endswith("/"):
        raise StorageError(f"{printable(uri)} names no object.", hint="Write s3://bucket/folder/name.mp4.")
    return place


def s3_folder(uri: str) -> S3Place:
    """Return the folder that `uri` names, with or without a slash at its end; raise StorageError if it names none."""
    place = _parsed(uri)
    folder = place.key.rstrip("/")
    if not folder:
        raise StorageError(
            f"{printable(uri)} names a whole bucket, not a folder in it.", hint="Write s3://bucket/folder."
        )
    return S3Place(place.bucket, f"{folder}/")


def _parsed(uri: str) -> S3Place:
    # `?`, `#` and `%` mean nothing in S3: they belong to the key.
    bucket, _, key = uri[len(_SCHEME) :].partition("/")
    if not uri.lower().startswith(_SCHEME) or not _BUCKET.fullmatch(bucket):
        raise StorageError(
            f"{printable(uri)} is no address in S3: what follows s3:// cannot be a bucket.",
            hint="Write s3://bucket/folder/name.mp4; keys and passwords belong into the environment.",
        )
    if len(key.encode()) > _LONGEST_KEY_BYTES:
        raise StorageError(
            f"s3://{bucket} can hold no key of {len(key.encode())} bytes; {_LONGEST_KEY_BYTES} are the most.",
            hint="Choose a shorter name.",
        )
    if {".", ".."} & set(key.split("/")) or not key.isprintable():
        raise StorageError(
            f"s3://{bucket}/{key!r} cannot be used: its key has parts '.' or '..', or characters that cannot be seen.",
            hint="Programs disagree about what such a key means; choose another.",
        )
    return S3Place(bucket, key)


# --- refusals: what happened, what to do, and whether another try may work ------------------------


class NoSuchObject(StorageError):
    """There is no object, or no unfinished upload, of that name; its bucket may be there."""


class AccessDenied(StorageError):
    """The credentials are known, but may not do this."""


class NothingThere(StorageError):
    """The object has no byte at the place that was asked for."""


class AlreadyThere(StorageError):
    """The object was to be written only if there was none, or read only if it was still the same."""


_LOG_IN = (
    "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE; on a cluster give the pod a role or a Secret."
)
_REGION = ("the bucket is in another region", "Set AWS_DEFAULT_REGION to the bucket's region.")
_ABSENT = ("there is no such object", "Correct the key; capitals count.")
_DENIED = (
    "access is denied",
    "Reading takes s3:GetObject, writing s3:PutObject and s3:AbortMultipartUpload, removing work files s3:DeleteObject "
    "and s3:ListBucketMultipartUploads. Without s3:ListBucket, S3 says the same of an object that does not exist.",
)
_EXPIRED = ("the credentials have expired", "Log in again, or renew the session token.")

# Code of S3's answer, or its status where the answer has no body -> what happened, what to do.
_REFUSED: dict[str, tuple[str, str]] = {
    "NoSuchBucket": ("there is no such bucket", "Correct the bucket's name, or create it."),
    "NoSuchKey": _ABSENT,
    "NoSuchVersion": _ABSENT,
    "404": _ABSENT,
    "NoSuchUpload": ("the upload was aborted by somebody else", "Try again."),
    "AccessDenied": _DENIED,
    "AllAccessDisabled": _DENIED,
    "403": _DENIED,
    "InvalidAccessKeyId": (
        "the service does not know the access key",
        "Check the key and the address: AWS_ACCESS_KEY_ID and AWS_ENDPOINT_URL, or the profile's.",
    ),
    "SignatureDoesNotMatch": ("the secret key is not the one of this access key", "Check AWS_SECRET_ACCESS_KEY."),
    "ExpiredToken": _EXPIRED,
    "TokenRefreshRequired": _EXPIRED,
    "InvalidToken": ("the session token is not valid", "Log in again, or unset AWS_SESSION_TOKEN."),
    "RequestTimeTooSkewed": ("the clock of this machine is wrong", "Set the clock; S3 allows 15 minutes."),
    "PermanentRedirect": _REGION,
    "301": _REGION,
    "AuthorizationHeaderMalformed": _REGION,
    "IllegalLocationConstraintException": _REGION,
    "InvalidBucketName": ("no bucket can have this name", "Correct the bucket's name."),
    "KeyTooLongError": ("the key is too long", "Choose a shorter name."),
    "InvalidObjectState": ("the object is in an archive", "Restore it first."),
    "EntityTooLarge": ("the object would be larger than the service allows", "Render a shorter video."),
    "NotImplemented": ("the service does not know this operation", "Use an S3 service that does."),
    "InvalidRange": ("it is shorter than expected", "Was it fully uploaded?"),
    "PreconditionFailed": ("it was changed meanwhile", "Try again."),
}
_KINDS: dict[str, type[StorageError]] = {
    "NoSuchKey": NoSuchObject,
    "404": NoSuchObject,
    "NoSuchUpload": NoSuchObject,
    "AccessDenied": AccessDenied,
    "InvalidRange": NothingThere,
    "PreconditionFailed": AlreadyThere,
}
_FULL = {"QuotaExceeded", "InsufficientStorage", "XMinioStorageFull", "507"}
_PASSING = {
    "InternalError", "ServiceUnavailable", "SlowDown", "Throttling", "ThrottlingException", "RequestLimitExceeded",
    "BandwidthLimitExceeded", "RequestTimeout", "RequestTimeoutException", "TooManyRequests", "OperationAborted",
    "ConditionalRequestConflict", "429",
}  # fmt: skip
_LASTING_STATUS = {501, 505, 507}

_NO_CREDENTIALS = (boto.NoCredentialsError, boto.PartialCredentialsError, boto.ProfileNotFound, boto.ConfigParseError)
_NOT_LOGGED_IN = (boto.SSOError, boto.LoginError, boto.NoAuthTokenError, boto.TokenRetrievalError)
_BROKEN_OFF = (
    boto.HTTPClientError, boto.ConnectionError, boto.IncompleteReadError, boto.FlexibleChecksumError,
    boto.CredentialRetrievalError, boto.MetadataRetrievalError,
)  # fmt: skip


def s3_failure(error: BotoCoreError | ClientError, task: str, endpoint: str) -> RenderError:
    """Return the error to raise for `error`, met when trying to `task`: "read s3://bucket/key".

    ServiceUnreachable: another try may work. StorageError, its kinds and ResourceError: it would not. No message
    holds a key, a token or a signature.
    """
    if isinstance(error, ClientError):
        answer = error.response
        status = int(answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        refused = answer.get("Error", {})
        return refusal_by_code(refused.get("Code", str(status)), refused.get("Message", ""), task, endpoint, status)
    if isinstance(error, _NO_CREDENTIALS):
        return StorageError(f"Cannot {task}: there are no credentials for S3 ({_said(error)}).", hint=_LOG_IN)
    if isinstance(error, _NOT_LOGGED_IN):
        return StorageError(f"Cannot {task}: {_said(error)}.", hint=_LOG_IN)
    if isinstance(error, boto.SSLError) and "certificate" in str(error).lower():
        return StorageError(
            f"Cannot {task}: the certificate of {endpoint} is not trusted here.",
            hint="Name the file with its authority in AWS_CA_BUNDLE, and in SSL_CERT_FILE for FFmpeg.",
        )
    if isinstance(error, _BROKEN_OFF):
        return ServiceUnreachable(
            f"Cannot {task}: {_broken_off(error)} ({endpoint}).",
            hint="Is the service up, and its address right (AWS_ENDPOINT_URL or the storage profile)? Try again later.",
        )
    return StorageError(f"Cannot {task}: {_said(error)}.", hint="Check the AWS settings of this environment.")


def refusal_by_code(code: str, message: str, task: str, endpoint: str, status: int = 0) -> RenderError:
    """Return the error to raise for S3's answer `code` with its own words `message`."""
    if code in _FULL:
        return ResourceError(f"Cannot {task}: the storage behind {endpoint} is full.", hint="Free some space there.")
    if code in _PASSING or (status >= 500 and status not in _LASTING_STATUS):
        return ServiceUnreachable(
            f"Cannot {task}: {endpoint} answers {code}, it is overloaded or out of order.", hint="Try again later."
        )
    said, hint = _REFUSED.get(code, (f"{endpoint} answers {code}: {message.rstrip('.')}", "Check the address."))
    return _KINDS.get(code, StorageError)(f"Cannot {task}: {said}.", hint=hint)


def _broken_off(error: BotoCoreError) -> str:
    if isinstance(error, boto.ReadTimeoutError | boto.ConnectTimeoutError):
        return "the service does not answer in time"
    if isinstance(error, boto.ConnectionError):
        return "the service cannot be reached"
    if isinstance(error, boto.CredentialRetrievalError | boto.MetadataRetrievalError):
        return "the credentials cannot be fetched"
    if isinstance(error, boto.FlexibleChecksumError):
        return "what arrived is damaged"
    return "the connection broke off"


def _said(error: BotoCoreError) -> str:
    # Addresses in botocore's texts carry the query, which may be a signature.
    words = str(error).split()
    return " ".join(printable(word) if "://" in word else word for word in words).rstrip(".")
