"""Files on this machine, and folders of pictures: a result has its final name only when it is complete."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import threading
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import unquote, urlsplit

from ecg_api.status import ReplicaStatus
from ecg_common.lock import open_locked, remove_abandoned
from ecg_renderer.errors import Cancelled, RenderError, ResourceError, SourceMissing, StorageError
from ecg_renderer.storage.base import TransferProgress, below, refusal

_IDENTITY_EDGE_BYTES = 1 << 20


def file_uri_path(uri: str) -> Path:
    """Return the path that a file:// URI names. Raises StorageError where that is none of this machine."""
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


class FileStorage:
    """One file, by its path."""

    replica: ReplicaStatus | None = None

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


# --- the output file ------------------------------------------------------------------------------


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
            self._made = _make_directories(self.destination.parent)
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
            _remove_directories(self._made)
        self._made = []


def _make_directories(directory: Path) -> list[Path]:
    """Make a directory and those above it; return those that were missing, the uppermost first. Raises OSError."""
    missing = [one for one in (directory, *directory.parents) if not one.exists()][::-1]
    made: list[Path] = []
    try:
        for path in missing:
            path.mkdir(exist_ok=True)
            made.append(path)
    except OSError:
        _remove_directories(made)
        raise
    return missing


def _remove_directories(made: list[Path]) -> None:
    for directory in reversed(made):
        with contextlib.suppress(OSError):  # not empty: somebody else uses it already
            directory.rmdir()


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


# --- a folder of pictures -------------------------------------------------------------------------


_OURS = re.compile(r"captions-\d+\.png")


class FolderStorage:
    """A folder on this machine that a job writes."""

    replica: ReplicaStatus | None = None

    def __init__(self, path: Path) -> None:
        self.path = Path(os.path.abspath(path))  # noqa: PTH100 - Path.absolute() keeps ".."

    @property
    def name(self) -> str:
        """The absolute path, with a slash at its end."""
        return os.path.join(self.path, "")  # noqa: PTH118 - Path has no slash at its end

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
        self.path = destination.parent / f".ecg-render-{destination.name}-{key[:_KEY_LENGTH]}.part"
        self._old = self.path.with_suffix(".old")
        # Beside the folder, so that it is held until the folder has its final name.
        self._lock_path = self.path.with_suffix(".lock")
        self._lock: int | None = None
        self._made: list[Path] = []
        self._changing = threading.Lock()

    def __enter__(self) -> Self:
        """Make the temporary folder, empty; refuse a destination that holds anything but an earlier result."""
        try:
            self._refuse_destination()
            self._made = _make_directories(self.destination.parent)
            self._lock = open_locked(self._lock_path)
            if self._lock is None:
                raise StorageError(
                    f"Another process is writing the output {self.destination}/ at this moment.",
                    hint="Wait for it, stop it, or name another output.",
                )
            self._clear()
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
        """Put the folder under its final name, in place of an earlier result, and return that name with a slash.

        A context that is left meanwhile, as by a caller that is cancelled, waits for it. Raises StorageError or
        ResourceError, and Cancelled where the context was left before.
        """
        with self._changing:
            if self._lock is None:
                raise Cancelled(f"The output {self.destination}/ is no longer wanted.")
            try:
                self._refuse_destination()  # somebody may have put something there meanwhile
                if self.destination.exists():
                    self.destination.rename(self._old)
                self.path.rename(self.destination)
            except OSError as error:
                if self._old.exists() and not self.destination.exists():
                    self._old.rename(self.destination)
                raise refusal(error, "write", self.destination) from error
            self._made = []
            shutil.rmtree(self._old, ignore_errors=True)
        return f"{self.destination}/"

    def _clear(self) -> None:
        """Make the temporary folder, and end what a process that was killed has left: the earlier result stays."""
        if self._old.exists():
            if self.destination.exists():
                shutil.rmtree(self._old)
            else:
                self._old.rename(self.destination)
        if self.path.exists():
            shutil.rmtree(self.path)
        self.path.mkdir()

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
        with self._changing:
            if self._lock is not None:
                shutil.rmtree(self.path, ignore_errors=True)
                with suppress(OSError):
                    self._lock_path.unlink()
                os.close(self._lock)
                self._lock = None
            _remove_directories(self._made)
            self._made = []
