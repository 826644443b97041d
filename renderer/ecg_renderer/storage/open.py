"""From a URI to the storage that serves it."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

from ecg_renderer.errors import StorageError
from ecg_renderer.storage.address import UrlPolicy, printable
from ecg_renderer.storage.base import Storage
from ecg_renderer.storage.local import FileStorage

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
        return FileStorage(_file_uri_path(uri))
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


async def opened_source(storage: Storage) -> str:
    """Return `storage.source_url()` for asynchronous callers; when they are cancelled, a download ends with them."""
    task = asyncio.ensure_future(asyncio.to_thread(storage.source_url))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        storage.stop()
        await asyncio.wait([task])
        if not task.cancelled():
            task.exception()  # looked at: it is of no interest any more
        raise


def _file_uri_path(uri: str) -> Path:
    parts = urlsplit(uri)
    if parts.netloc not in ("", "localhost"):
        raise StorageError(
            f"{uri} names the host {parts.netloc!r}, but file:// reads this machine only.",
            hint="Write three slashes before an absolute path (file:///videos/a.mp4), "
            "and a plain path for a relative one.",
        )
    # `?` and `#` mean nothing in a file's name on disk: they belong to the path.
    path = unquote(uri.split("://", 1)[1].removeprefix(parts.netloc))
    if not path.startswith("/") or "\0" in path:
        raise StorageError(f"{uri} holds no absolute path.", hint="Write file:///videos/a.mp4.")
    return Path(path)
