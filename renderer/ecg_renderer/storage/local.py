"""Files on this machine."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from ecg_renderer.errors import SourceMissing, StorageError
from ecg_renderer.storage.base import below
from ecg_renderer.storage.failures import refusal
from ecg_renderer.storage.output import OutputFile

_IDENTITY_EDGE_BYTES = 1 << 20


class FileStorage:
    """One file, by its path."""

    def __init__(self, path: Path) -> None:
        # Not resolve(): a person should read the name that was given, not where its links lead.
        self.path = Path(os.path.abspath(path))  # noqa: PTH100 - Path.absolute() keeps ".."

    @property
    def name(self) -> str:
        """The absolute path."""
        return str(self.path)

    def read_bytes(self, limit: int) -> bytes:
        """Return the file's content, of at most `limit` bytes.

        Raises StorageError if it is missing, unreadable or longer.
        """
        try:
            with self.path.open("rb") as file:
                content = file.read(limit + 1)
        except OSError as error:
            raise refusal(error, "read", self.path) from error
        if len(content) > limit:
            raise StorageError(f"{self.path} is larger than the {limit:,} bytes that may be read.")
        return content

    def source_url(self) -> str:
        """Return the absolute path.

        Raises SourceMissing if there is no file to open.
        """
        if self.path.is_dir():
            raise SourceMissing(f"{self.path} is a directory, not a video file.", hint="Name the video file.")
        try:
            with self.path.open("rb"):
                pass
        except OSError as error:
            refused = refusal(error, "open", self.path)
            raise SourceMissing(refused.message, hint="Check spec.source.uri.") from error
        return str(self.path)

    def stop(self) -> None:
        """Do nothing: a disk is not waited for."""

    def identity(self) -> str:
        """Return a hash of the file's size, time of change, first and last megabyte.

        The whole of a long video is too much to read before each render; every ordinary way to
        change a file sets its time. Raises SourceMissing if the file cannot be read.
        """
        try:
            with self.path.open("rb") as file:
                status = os.fstat(file.fileno())
                digest = hashlib.sha256(f"{status.st_size}:{status.st_mtime_ns}:".encode())
                digest.update(file.read(_IDENTITY_EDGE_BYTES))
                file.seek(max(0, status.st_size - _IDENTITY_EDGE_BYTES))
                digest.update(file.read(_IDENTITY_EDGE_BYTES))
        except OSError as error:
            refused = refusal(error, "read", self.path)
            raise SourceMissing(refused.message, hint="Check spec.source.uri.") from error
        return f"file:{digest.hexdigest()}"

    def public_url(self, base: str | None, presign_seconds: int) -> str | None:
        """Return the file's address in the published folder `base`, or None."""
        return below(base, self.path.name)

    def output(self, key: str, *, source: str = "", needed_bytes: int = 0) -> OutputFile:
        """Return the output file of the job `key` (see `Storage.output`)."""
        return OutputFile(self.path, key, source=source, needed_bytes=needed_bytes)
