"""What every kind of storage offers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self
from urllib.parse import quote

TransferProgress = Callable[[int, int], None]
"""Called with the bytes that are through and the bytes in all, while something is downloaded or uploaded."""


class Output(Protocol):
    """A result on its way: written at `path`, visible under its final name only after `commit()`.

    A context manager; leaving it without `commit()` leaves nothing behind.
    """

    @property
    def path(self) -> Path:
        """The local file to write to; it keeps the destination's suffix."""

    def commit(self, progress: TransferProgress | None = None) -> str:
        """Put the finished file under its final name and return that name.

        `progress` hears of an upload, in the thread that called. Leaving the context meanwhile, in another thread,
        ends the upload. Raises StorageError, ResourceError, UploadFailed or Cancelled; the destination is then what
        it was before.
        """

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Storage(Protocol):
    """One place that a URI names."""

    @property
    def name(self) -> str:
        """The place as it may be printed: no password, no signature."""

    def read_bytes(self, limit: int) -> bytes:
        """Return the whole content, of at most `limit` bytes.

        Raises StorageError if it is missing, unreadable or longer.
        """

    def source_url(self) -> str:
        """Return what FFmpeg opens as its input; may carry a signature, so it is never printed.

        What cannot be read in parts is fetched first, which may take long. Raises SourceMissing if there is nothing to
        open, ServiceUnreachable if that cannot be known at the moment.
        """

    def stop(self) -> None:
        """End what other threads are doing here, and every further wait: the process is to end."""

    def identity(self) -> str:
        """Return a text that changes whenever the content does.

        Raises SourceMissing if there is nothing to identify, ServiceUnreachable if that cannot be known now.
        """

    def public_url(self, base: str | None, presign_seconds: int) -> str | None:
        """Return the address under which people fetch the file, or None if it has none.

        `base` is the address of its folder, if that is published; else S3 makes one that is valid for
        `presign_seconds`.
        """

    def output(self, key: str, *, source: str = "", needed_bytes: int = 0) -> Output:
        """Return the output file of the job `key`, which is made when the context is entered.

        `source` is the job's input as FFmpeg opens it: the output may not be the same file.
        `needed_bytes` must be free where the output is written. Entering raises StorageError,
        ResourceError or ServiceUnreachable when the output could not be written, so enter before any work is done.
        """


def below(base: str | None, path: str) -> str | None:
    """Return the address of the file `path` in the published folder `base`, or None if that is none."""
    return f"{base.rstrip('/')}/{quote(path.rpartition('/')[2])}" if base else None
