"""The directory in which an interrupted render finds its finished segments again.

<root>/<key>/lock                    held by the process that renders
<root>/<key>/segments/<key>.<ext>    finished segments, by content key
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from types import TracebackType
from typing import Self

from ecg_common.folders import cache_folder
from ecg_renderer.errors import StorageError
from ecg_renderer.storage.failures import refusal
from ecg_renderer.storage.lock import open_locked
from ecg_renderer.storage.output import OutputFile


def default_work_root() -> Path:
    """Return the directory for work directories: `ecg-render/work` in the user's cache."""
    return cache_folder() / "work"


def default_upload_root() -> Path:
    """Return the directory in which outputs wait for their upload: `ecg-render/uploads` in the user's cache."""
    return cache_folder() / "uploads"


class WorkDir:
    """One job's work directory: a context manager that holds it for this process.

    Entering raises StorageError if another process holds it, StorageError or ResourceError if it cannot
    be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._segments = path / "segments"
        self._lock: int | None = None

    def __enter__(self) -> Self:
        """Make and lock the directory; remove the half-written files of processes that were killed."""
        try:
            self._lock = self._open_locked()
            for leftover in self._segments.glob(".*"):  # we hold the lock: nobody is writing them
                leftover.unlink()
        except OSError as error:
            self._release()
            raise refusal(error, "use the work directory", self.path) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let the directory go; finished segments stay for the next run."""
        self._release()

    def segment_path(self, key: str, extension: str) -> Path:
        """Return where the finished segment with the content `key` lies or will lie."""
        return self._segments / f"{key}.{extension}"

    def finished(self, key: str, extension: str) -> Path | None:
        """Return the finished segment with the content `key`, or None if it is still to be rendered."""
        path = self.segment_path(key, extension)
        return path if path.is_file() else None

    def segment(self, key: str, extension: str) -> OutputFile:
        """Return the file to write a segment to; its `commit()` makes it a finished one."""
        return OutputFile(self.segment_path(key, extension), key)

    def clean(self) -> None:
        """Remove the directory with all that is in it, after the output was committed.

        Raises StorageError if something cannot be removed.
        """
        try:
            shutil.rmtree(self.path)
        except OSError as error:
            raise refusal(error, "remove the work directory", self.path) from error

    def _open_locked(self) -> int:
        while True:
            self._segments.mkdir(parents=True, exist_ok=True)
            try:
                lock = open_locked(self.path / "lock")
            except FileNotFoundError:  # the process that just finished has cleaned it away
                continue
            break
        if lock is None:
            raise StorageError(
                f"Another process is rendering in the work directory {self.path}.",
                hint="Wait for it, stop it, or give this render its own with --work-dir.",
            )
        return lock

    def _release(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
