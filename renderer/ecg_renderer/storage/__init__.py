"""Where bytes come from and go to: `file://`, plain paths, `s3://`, and `https://` for reading.

open_storage(uri, base) -> Storage
read_bytes(limit)      a scenario
source_url()           what FFmpeg opens: a path, a presigned URL, what redirects lead to, or a file fetched there
identity()             changes when the bytes do; part of every cell's key
output(key, source)    a temporary file, renamed to the destination or uploaded to it on `commit()`
public_url(base, ...)  where people fetch the result
Work, over open_work_store(uri)
get, put, put_if_absent, upload, download, clean     what the pods of one job leave for each other
CellStore, over Work
present, fetch, keep   finished pieces of video that later renders use again
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from ecg_common.profiles import StorageProfile
from ecg_renderer.errors import StorageError
from ecg_renderer.storage.base import Output, Storage, TransferProgress, UrlPolicy, in_thread, printable
from ecg_renderer.storage.cells import Cell, CellStore, Found, default_cells, limit_cells, run_folder, told_again
from ecg_renderer.storage.local import FileStorage, FolderStorage, OutputFile, check_writable, file_uri_path
from ecg_renderer.storage.work_store import Work, WorkStore, open_work_store

__all__ = [
    "SUPPORTED", "Cell", "CellStore", "FileStorage", "FolderStorage", "Found", "Output", "OutputFile", "Storage",
    "TransferProgress", "UrlPolicy", "Work", "WorkStore", "ask_s3", "check_writable", "default_cells", "limit_cells",
    "open_result", "open_storage", "open_work_store", "opened_source", "run_folder", "s3_is_set_up", "told_again",
]  # fmt: skip

SUPPORTED = "plain paths, file:// and s3:// (read and write), https:// (read)"

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")


def open_storage(uri: str, base: Path, policy: UrlPolicy | None = None) -> Storage:
    """Return the storage behind `uri`; a relative path starts at `base`, the manifest's directory.

    Opens nothing yet. Raises StorageError for a URI that no storage serves.
    """
    if not uri.strip() or "\0" in uri:
        raise StorageError(f"{uri!r} names no file.", hint=f"Give one of: {SUPPORTED}.")
    match = _SCHEME.match(uri)
    scheme = match[1].lower() if match else "path"
    if scheme == "path":
        return FileStorage(base / Path(uri).expanduser())
    if scheme == "file":
        return FileStorage(file_uri_path(uri))
    if scheme in ("https", "http"):
        # Imported here: clients take time to load that a render of local files need not wait for.
        from ecg_renderer.storage.web import WebStorage

        return WebStorage(uri, policy or UrlPolicy.from_environment())
    if scheme == "s3":
        from ecg_renderer.storage.s3 import S3Storage

        return S3Storage(uri)
    raise StorageError(
        f"{printable(uri)} cannot be opened: {scheme}:// is not supported.",
        hint=f"Supported are {SUPPORTED}.",
    )


def open_result(uri: str, base: Path) -> Storage | FolderStorage:
    """Return the storage that a result at `uri` is written to: as `open_storage`, or a folder where it ends in one."""
    if not uri.endswith("/"):
        return open_storage(uri, base)
    return FolderStorage(file_uri_path(uri) if uri.lower().startswith("file://") else base / Path(uri).expanduser())


async def opened_source(storage: Storage) -> str:
    """Return `storage.source_url()` for asynchronous callers; when they are cancelled, a download ends with them."""
    return await in_thread(storage.source_url, storage.stop)


# --- does S3 answer, and does it know us? ---------------------------------------------------------


# What leads to S3 in a shell, in a pod with a Secret, and in a pod with a role.
_SETTINGS = (
    "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
)  # fmt: skip
_PATIENCE_SECONDS = 5.0


def s3_is_set_up() -> bool:
    """Tell whether the environment says anything about S3."""
    return any(os.environ.get(name) for name in _SETTINGS)


def ask_s3(profile: StorageProfile | None = None) -> str:
    """Return what S3 had to say to a request of these credentials, or to those of a storage profile about its bucket.

    Raises StorageError when it does not accept them, ServiceUnreachable when it does not answer.
    """
    from ecg_renderer.storage.s3_client import S3, AccessDenied

    if profile is not None:
        s3 = S3(profile=profile.name)
        s3.ask("head_bucket", f"use s3://{profile.bucket}", patience=_PATIENCE_SECONDS, Bucket=profile.bucket)
        return f"{s3.endpoint} answers and shows s3://{profile.bucket}"
    s3 = S3()
    try:
        s3.ask("list_buckets", "use S3", patience=_PATIENCE_SECONDS)
    except AccessDenied:  # of this request; it knows who asked
        return f"{s3.endpoint} answers; these credentials may not list its buckets"
    return f"{s3.endpoint} answers and knows these credentials"
