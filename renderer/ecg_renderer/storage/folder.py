"""A folder of pictures that appears under its final name only when it is whole."""

from __future__ import annotations

import os
import re
import shutil
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from ecg_common.lock import open_locked
from ecg_renderer.errors import StorageError
from ecg_renderer.storage.base import TransferProgress
from ecg_renderer.storage.failures import refusal

_OURS = re.compile(r"captions-\d+\.png")
_KEY_LENGTH = 16
_LOCK = ".lock"


class FolderStorage:
    """A folder on this machine that a job writes."""

    def __init__(self, path: Path) -> None:
        self.path = Path(os.path.abspath(path))  # noqa: PTH100 - Path.absolute() keeps ".."

    @property
    def name(self) -> str:
        """The absolute path, with a slash at its end."""
        return f"{self.path}/"

    def public_url(self, base: str | None, presign_seconds: int) -> str | None:
        """Return None: a folder has no address of its own."""
        return None

    def output(self, key: str, *, source: str = "", needed_bytes: int = 0) -> FolderOutput:
        """Return the output folder of the job `key` (see `Storage.output`)."""
        return FolderOutput(self.path, key)


class FolderOutput:
    """The temporary folder of one output; see `Output`."""

    def __init__(self, destination: Path, key: str) -> None:
        self.destination = destination
        self.path = destination.with_name(f".ecg-render-{destination.name}-{key[:_KEY_LENGTH]}.part")
        self._lock: int | None = None

    def __enter__(self) -> Self:
        """Make the temporary folder, empty; refuse a destination that holds anything but an earlier result."""
        try:
            self._refuse_destination()
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = open_locked(self.path / _LOCK)
            if self._lock is None:
                raise StorageError(
                    f"Another process is writing the output {self.destination}/ at this moment.",
                    hint="Wait for it, stop it, or name another output.",
                )
            for left in self.path.glob("*.png"):  # of a process that was killed
                left.unlink()
        except OSError as error:
            self._abort()
            raise refusal(error, "write", self.destination) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove what was not committed."""
        self._abort()

    def commit(self, progress: TransferProgress | None = None) -> str:
        """Put the folder under its final name, in place of an earlier result, and return that name with a slash."""
        old = self.path.with_suffix(".old")
        try:
            (self.path / _LOCK).unlink()
            if self.destination.exists():
                self.destination.rename(old)
            self.path.rename(self.destination)
        except OSError as error:
            if old.exists() and not self.destination.exists():
                old.rename(self.destination)
            raise refusal(error, "write", self.destination) from error
        shutil.rmtree(old, ignore_errors=True)
        return f"{self.destination}/"

    def _refuse_destination(self) -> None:
        folder = self.destination
        if not folder.exists():
            return
        if not folder.is_dir() or folder.is_symlink():
            raise StorageError(f"The output {folder}/ is not a folder.", hint="Name another one.")
        strange = next((path.name for path in folder.iterdir() if not _OURS.fullmatch(path.name)), None)
        if strange:
            raise StorageError(
                f"The output {folder}/ holds {strange}, which no render wrote.",
                hint="Name a folder that is not there, or is empty: what it holds would be replaced.",
            )

    def _abort(self) -> None:
        if self._lock is not None:
            shutil.rmtree(self.path, ignore_errors=True)
            with suppress(OSError):
                os.close(self._lock)
            self._lock = None
