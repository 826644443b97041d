"""What every kind of storage offers."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Protocol, Self


class Output(Protocol):
    """A result on its way: written at `path`, visible under its final name only after `commit()`.

    A context manager; leaving it without `commit()` leaves nothing behind.
    """

    @property
    def path(self) -> Path:
        """The local file to write to; it keeps the destination's suffix."""

    def commit(self) -> str:
        """Put the finished file under its final name and return that name.

        Raises StorageError or ResourceError; the destination is then what it was before.
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
        """Return what FFmpeg opens as its input.

        Raises SourceMissing if there is nothing to open.
        """

    def identity(self) -> str:
        """Return a text that changes whenever the content does.

        Raises SourceMissing if there is nothing to identify.
        """

    def output(self, key: str, *, source: str = "", needed_bytes: int = 0) -> Output:
        """Return the output file of the job `key`, which is made when the context is entered.

        `source` is the job's input as FFmpeg opens it: the output may not be the same file.
        `needed_bytes` must be free where the output is written. Entering raises StorageError or
        ResourceError when the output could not be written, so enter before any work is done.
        """
