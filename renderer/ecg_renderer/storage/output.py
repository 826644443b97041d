"""A file that appears under its final name only when it is finished.

It is written under a hidden name in the destination's own directory, so that the final rename stays on
one file system and is atomic, and it is locked meanwhile: a second render of the same job is refused, and
what a killed process left is removed by the next one.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from pathlib import Path
from types import TracebackType
from typing import Self

from ecg_common.lock import open_locked, remove_abandoned
from ecg_renderer.errors import RenderError, ResourceError, StorageError
from ecg_renderer.storage.base import TransferProgress
from ecg_renderer.storage.failures import refusal

_PROBE_BYTES = 1 << 16
_KEY_LENGTH = 16


class OutputFile:
    """The temporary file of one output; see `Storage.output` for the arguments and errors."""

    def __init__(self, destination: Path, key: str, *, source: str = "", needed_bytes: int = 0) -> None:
        self.destination = Path(os.path.realpath(destination))  # write through a link, do not replace it
        self.path = self.destination.with_name(
            f"{_prefix(self.destination)}{key[:_KEY_LENGTH]}.part{destination.suffix}"
        )
        self._source = source
        self._needed_bytes = needed_bytes
        self._lock: int | None = None
        self._made: list[Path] = []
        self._committed = False

    def __enter__(self) -> Self:
        """Make the temporary file, and the directories above it; write a little to prove that it works."""
        try:
            self._refuse_destination()
            self._make_directories()
            self._take()
            self._prove_writable()
        except OSError as error:
            self._abort()
            raise refusal(error, "write", self.destination) from error
        except RenderError:
            self._abort()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove what was not committed."""
        self._abort()

    def commit(self, progress: TransferProgress | None = None) -> str:
        """Flush the file to the disk, put it under its final name, and return that name; nothing for `progress`.

        Raises StorageError or ResourceError; the destination is then what it was before.
        """
        try:
            _flush(self.path)
            self.path.replace(self.destination)
            self._committed = True
            _flush(self.destination.parent)
        except OSError as error:
            raise refusal(error, "write", self.destination) from error
        return str(self.destination)

    def _refuse_destination(self) -> None:
        output = self.destination
        if output.is_dir():
            raise StorageError(f"The output {output} is a directory.", hint="Name a file in it, such as out.mp4.")
        if not output.exists():
            return
        if not output.is_file():
            raise StorageError(f"The output {output} is not a regular file.", hint="Name another file.")
        if self._source and Path(self._source).exists() and output.samefile(self._source):
            raise StorageError(
                f"The output {output} is the source itself.",
                hint="Name another file: the source is never overwritten.",
            )

    def _make_directories(self) -> None:
        missing = []
        directory = self.destination.parent
        while not directory.exists():
            missing.append(directory)
            directory = directory.parent
        for path in reversed(missing):
            path.mkdir(exist_ok=True)
            self._made.append(path)

    def _take(self) -> None:
        self._lock = open_locked(self.path)
        if self._lock is None:
            raise StorageError(
                f"Another process is writing the output {self.destination} at this moment.",
                hint="Wait for it, stop it, or name another output.",
            )
        prefix, ending = _prefix(self.destination), f".part{self.destination.suffix}"
        for path in self.path.parent.iterdir():
            if path != self.path and path.name.startswith(prefix) and path.name.endswith(ending):
                remove_abandoned(path)

    def _prove_writable(self) -> None:
        assert self._lock is not None
        os.write(self._lock, bytes(_PROBE_BYTES))
        os.fsync(self._lock)  # some file systems say only now that they are full
        os.ftruncate(self._lock, 0)
        free = shutil.disk_usage(self.path.parent).free
        if free < self._needed_bytes:
            raise ResourceError(
                f"{self.path.parent} has {free / 1e6:,.0f} MB free, "
                f"but the output may need {self._needed_bytes / 1e6:,.0f} MB.",
                hint="Free some space, or choose an output on another disk.",
            )

    def _abort(self) -> None:
        if self._lock is not None:
            if not self._committed:
                with contextlib.suppress(OSError):  # the reason for stopping is the one to report
                    self.path.unlink()
            os.close(self._lock)
            self._lock = None
        if not self._committed:
            for directory in reversed(self._made):
                with contextlib.suppress(OSError):  # not empty: somebody else uses it already
                    directory.rmdir()
        self._made = []


def check_writable(destination: Path, *, source: str = "", needed_bytes: int = 0) -> None:
    """Prove that `destination` can be written, and leave no trace.

    Raises StorageError or ResourceError with the reason.
    """
    with OutputFile(destination, f"check-{os.getpid()}", source=source, needed_bytes=needed_bytes):
        pass


def _prefix(destination: Path) -> str:
    # Of fixed length: a name may use all of the 255 bytes that it may have.
    return f".ecg-render-{hashlib.sha256(os.fsencode(destination.name)).hexdigest()[:8]}-"


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
