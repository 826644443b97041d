"""Does S3 answer, and does it know us? For `ecg-render doctor`."""

from __future__ import annotations

import os

# What leads to S3 in a shell, in a pod with a Secret, and in a pod with a role.
_SETTINGS = (
    "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
)  # fmt: skip
_PATIENCE_SECONDS = 5.0


def s3_is_set_up() -> bool:
    """Tell whether the environment says anything about S3."""
    return any(os.environ.get(name) for name in _SETTINGS)


def ask_s3() -> str:
    """Return what S3 had to say to a request of these credentials.

    Raises StorageError when it does not accept them, ServiceUnreachable when it does not answer.
    """
    from ecg_renderer.storage.s3_client import S3
    from ecg_renderer.storage.s3_failures import AccessDenied

    s3 = S3()
    try:
        s3.ask("list_buckets", "use S3", patience=_PATIENCE_SECONDS)
    except AccessDenied:  # of this request; it knows who asked
        return f"{s3.endpoint} answers; these credentials may not list its buckets"
    return f"{s3.endpoint} answers and knows these credentials"
