"""S3's refusals, said so that a person knows what to do, and told apart by whether another try may work."""

from __future__ import annotations

from botocore import exceptions as boto
from botocore.exceptions import BotoCoreError, ClientError

from ecg_renderer.errors import RenderError, ResourceError, ServiceUnreachable, StorageError
from ecg_renderer.storage.address import printable


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
    "InvalidAccessKeyId": ("the service does not know the access key", "Check AWS_ACCESS_KEY_ID and AWS_ENDPOINT_URL."),
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
            hint="Is the service up, and AWS_ENDPOINT_URL right? Try again later.",
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
