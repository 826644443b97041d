"""Where the pods of one job leave files for each other: a folder in S3, or on a disk that all of them see.

Every file is there whole or not at all, whoever is killed when; a file that all want to write has one winner.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkstemp
from typing import Protocol, TypeVar

from ecg_renderer.errors import StorageError, plain_failures
from ecg_renderer.storage.base import TransferProgress, in_thread, printable, refusal
from ecg_renderer.storage.local import FileStorage, file_uri_path

_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*")
_UNFINISHED = ".unfinished-"


class WorkStore(Protocol):
    """The work files of one job, by names such as `plan.json` or `segments/abc.mp4`.

    Every method may be called from any thread, and raises StorageError when storage says no, ResourceError when a
    disk is full, ServiceUnreachable (or UploadFailed, from `upload`) when storage is away for long, Cancelled after
    `stop()`.
    """

    @property
    def name(self) -> str:
        """The folder's URI; it holds no secrets."""

    def get(self, name: str) -> bytes | None:
        """Return the content of a file, or None if it is not there."""

    def put(self, name: str, data: bytes) -> None:
        """Write a file, in place of the one that was there."""

    def put_if_absent(self, name: str, data: bytes) -> bytes:
        """Write a file unless it is there; return its content, which is the same for all who ask, whoever was first."""

    def exists(self, name: str) -> bool:
        """Tell whether a file is there."""

    def address(self, name: str) -> str:
        """Return what FFmpeg opens as a file that is there: a path, or an address that is signed for a day."""

    def tail(self, name: str, size: int) -> tuple[bytes, int] | None:
        """Return the last `size` bytes of a file, or fewer, and how many it has in all; None if it is not there."""

    def download(self, name: str, path: Path, progress: TransferProgress | None = None) -> None:
        """Write a file's content to the local `path`, whose folder exists; StorageError if the file is not there.

        On a disk both may be one file then: neither is written to afterwards, only replaced.
        """

    def upload(self, path: Path, name: str, progress: TransferProgress | None = None) -> None:
        """Write a file from the local `path`, which may be the same file then."""

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""

    def clean(self, keep: str = "") -> int:
        """Remove the folder with everything in it, half-written files too; return how many files that were.

        `keep` names a file that stays: a note for whoever comes after a removal that was cut short.
        """

    def stop(self) -> None:
        """End what other threads are doing here, and every further wait for storage: the process is to end."""


def open_work_store(uri: str) -> WorkStore:
    """Return the store in the folder `uri`: `s3://bucket/folder` or `file:///folder`. Opens nothing yet.

    Raises StorageError for a URI that names no folder, or cannot be written.
    """
    if uri.lower().startswith("s3://"):
        # Imported here: the client takes time to load that others need not wait for.
        from ecg_renderer.storage.s3 import S3WorkStore

        return S3WorkStore(uri)
    if not uri.lower().startswith("file://"):
        raise StorageError(f"Work files cannot be kept in {printable(uri)}.", hint="Use s3:// or file://.")
    folder = FileStorage(file_uri_path(uri)).path
    if folder == Path(folder.anchor):
        raise StorageError(f"{uri} is the whole disk, not a folder on it.", hint="Write file:///folder.")
    return FolderWorkStore(folder)


def checked_name(name: str) -> str:
    """Return `name` if it names a file within the folder, else raise ValueError: our own code made it."""
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no name for a work file")
    return name


class FolderWorkStore:
    """Work files in a folder on a disk; see `WorkStore`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def name(self) -> str:
        """The folder's URI."""
        return self._folder.as_uri()

    def get(self, name: str) -> bytes | None:
        """Return the content of a file, or None if it is not there."""
        path = self._path(name)
        with _said("read", path):
            try:
                return path.read_bytes()
            except FileNotFoundError:
                return None

    def put(self, name: str, data: bytes) -> None:
        """Write a file, in place of the one that was there."""
        path = self._path(name)
        with self._unfinished(path) as unfinished:
            unfinished.write_bytes(data)
            unfinished.replace(path)

    def put_if_absent(self, name: str, data: bytes) -> bytes:
        """Write a file unless it is there; return the content of what is there then."""
        path = self._path(name)
        with self._unfinished(path) as unfinished:
            unfinished.write_bytes(data)
            with contextlib.suppress(FileExistsError):
                path.hardlink_to(unfinished)  # unlike a rename, it never replaces
            return path.read_bytes()

    def exists(self, name: str) -> bool:
        """Tell whether a file is there."""
        path = self._path(name)
        with _said("read", path):
            return path.is_file()

    def address(self, name: str) -> str:
        """Return the path of a file."""
        return str(self._path(name))

    def tail(self, name: str, size: int) -> tuple[bytes, int] | None:
        """Return the last `size` bytes of a file and how many it has in all, or None if it is not there."""
        path = self._path(name)
        with _said("read", path):
            try:
                with path.open("rb") as file:
                    whole = file.seek(0, os.SEEK_END)
                    file.seek(max(0, whole - size))
                    return file.read(), whole
            except FileNotFoundError:
                return None

    def download(self, name: str, path: Path, progress: TransferProgress | None = None) -> None:
        """Put a file at the local `path`, which has its name when it is complete; it counts as used just now."""
        source = self._path(name)
        _place(source, path, progress)
        with contextlib.suppress(OSError):
            os.utime(source)

    def upload(self, path: Path, name: str, progress: TransferProgress | None = None) -> None:
        """Write a file from the local `path`."""
        target = self._path(name)
        with _said("write", target):
            target.parent.mkdir(parents=True, exist_ok=True)
        _place(path, target, progress)

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        path = self._path(name)
        with _said("remove", path):
            path.unlink(missing_ok=True)

    def clean(self, keep: str = "") -> int:
        """Remove the folder with everything in it but the file `keep`; return how many files that were."""
        kept = self._path(keep) if keep else None
        with _said("remove", self._folder):
            files = [path for path in self._folder.rglob("*") if path.is_symlink() or not path.is_dir()]
            files = [path for path in files if path != kept]
            with contextlib.suppress(FileNotFoundError):
                if kept is None:
                    shutil.rmtree(self._folder)
            for path in files:
                path.unlink(missing_ok=True)
            return sum(not path.name.startswith(_UNFINISHED) for path in files)

    def stop(self) -> None:
        """Do nothing: a disk is not waited for."""

    def _path(self, name: str) -> Path:
        return self._folder / checked_name(name)

    @contextmanager
    def _unfinished(self, path: Path) -> Iterator[Path]:
        with _said("write", path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with _temporary(path) as unfinished:
                yield unfinished


def _place(source: Path, target: Path, progress: TransferProgress | None) -> None:
    """Make `target` the file `source`: the same one where the file system can, else a copy."""
    with _said("write", target), _temporary(target) as unfinished:
        try:
            unfinished.unlink()
            unfinished.hardlink_to(source)
        except FileNotFoundError as error:
            raise refusal(error, "read", source) from error
        except OSError:  # another file system, or one without links
            shutil.copyfile(source, unfinished)
        unfinished.replace(target)
        target.chmod(0o644)
        if progress:
            size = target.stat().st_size
            progress(size, size)


@contextmanager
def _temporary(path: Path) -> Iterator[Path]:
    """Make a file of its own beside `path`, and remove it if it is still there in the end."""
    descriptor, name = mkstemp(prefix=_UNFINISHED, dir=path.parent)
    os.close(descriptor)
    unfinished = Path(name)
    try:
        unfinished.chmod(0o644)  # the pods of one job may run as different users
        yield unfinished
    finally:
        unfinished.unlink(missing_ok=True)


@contextmanager
def _said(action: str, path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise refusal(error, action, path) from error


# --- for asynchronous callers ---------------------------------------------------------------------


T = TypeVar("T")


class Work:
    """Work files for asynchronous callers: each request in a thread of its own."""

    def __init__(self, uri: str) -> None:
        self._store = open_work_store(uri)

    @property
    def name(self) -> str:
        """The folder's URI; it holds no secrets."""
        return self._store.name

    async def do(self, request: Callable[[WorkStore], T]) -> T:
        """Return what `request` returns for the store."""
        return await in_thread(lambda: request(self._store), self._store.stop)

    async def do_all(
        self,
        requests: Sequence[Callable[[WorkStore], T]],
        *,
        at_once: int,
        on_done: Callable[[T], None] = lambda result: None,
    ) -> list[T]:
        """Return what `requests` return, in their order; `at_once` of them are under way at a time.

        The first failure is raised, and ends the rest.
        """
        turns = asyncio.Semaphore(at_once)

        async def take(request: Callable[[WorkStore], T]) -> T:
            async with turns:
                result = await self.do(request)
            on_done(result)
            return result

        with plain_failures():
            async with asyncio.TaskGroup() as tasks:
                running = [tasks.create_task(take(request)) for request in requests]
        return [task.result() for task in running]

    async def get(self, name: str) -> bytes | None:
        """Return the content of a work file, or None if it is not there."""
        return await self.do(lambda store: store.get(name))

    async def put(self, name: str, data: bytes) -> None:
        """Write a work file, in place of the one that was there."""
        await self.do(lambda store: store.put(name, data))
