"""Finished pieces of video that later renders use again, whole or not at all, shared by everybody who may see them.

    KEY-captions.zip        a cell of captions alone, sealed likewise
    KEY-ENCODER.mp4         a cell; its last box is a seal: name, frames, and the SHA-256 of all that comes before
    probes/KEY.json         what was found out about a source
    selfcheck/KEY.json      that a way to capture gives the reference's pictures
    looks/KEY.json          which fonts captions got, and where they reach

On one machine the store is a folder of the user's cache, of limited size; in a cluster a folder of the namespace, which
the bucket's lifecycle rule limits. Two writers write the same; a reader has a file or has it not.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp

from ecg_common.folders import cache_folder
from ecg_common.lock import open_locked, remove_abandoned
from ecg_renderer.errors import StorageError
from ecg_renderer.storage.base import TransferProgress, refusal
from ecg_renderer.storage.work_store import Work, WorkStore

LOOKS = 16
TRANSFERS = 4
NOTE_DAYS = 30
_SEAL_KIND = b"free"  # a box that every reader of MP4 passes over
_SEAL_BYTES = 512
_SCRATCH = ".run-"
_READ_BYTES = 1 << 20


@dataclass(frozen=True)
class Cell:
    """What a finished cell is called, and the frames that it must have."""

    name: str
    frames: int

    @classmethod
    def of(cls, key: str, encoder: str, frames: int) -> Cell:
        """Return the cell with the key of its plan, made by `encoder`."""
        return cls(f"{key}-{encoder}.mp4", frames)

    @classmethod
    def of_captions(cls, key: str, frames: int) -> Cell:
        """Return the cell of captions alone with the key of its plan."""
        return cls(f"{key}-captions.zip", frames)


class CellStore:
    """The store behind a URI, `s3://bucket/folder` or `file:///folder`.

    Every method raises a StorageError when storage says no, and its kin; see `WorkStore`.
    """

    def __init__(self, uri: str) -> None:
        self._work = Work(uri)

    async def present(self, cells: Sequence[Cell]) -> set[int]:
        """Return which of `cells` are there, by their numbers in the sequence: whole ones, by their seals."""
        found = await self._work.do_all([partial(_has_seal, cell) for cell in cells], at_once=LOOKS)
        return {number for number, there in enumerate(found) if there}

    async def fetch(
        self, wanted: Mapping[Path, Cell], on_done: Callable[[int], None] = lambda frames: None
    ) -> set[Path]:
        """Write cells to local paths; return those that were there and whole, and remove what is damaged.

        `on_done` is told the frames of each.
        """

        def fetch(path: Path, cell: Cell, store: WorkStore) -> Path | None:
            return path if _fetch(cell, path, store) else None

        def tell(path: Path | None) -> None:
            if path:
                on_done(wanted[path].frames)

        requests = [partial(fetch, path, cell) for path, cell in wanted.items()]
        return {path for path in await self._work.do_all(requests, at_once=TRANSFERS, on_done=tell) if path}

    async def keep(self, cell: Cell, path: Path, progress: TransferProgress | None = None) -> None:
        """Seal a finished cell and put it into the store; `path` must not be written to afterwards."""
        await self._work.do(partial(_keep, cell, path, progress))

    async def recall(self, name: str) -> bytes | None:
        """Return a note of that name (`probes/...`), or None: also where the store cannot be read just now."""
        with suppress(StorageError):
            return await self._work.get(name)
        return None

    async def note(self, name: str, data: bytes) -> None:
        """Leave a note for later renders, if that can be done: nothing depends on it."""
        with suppress(StorageError):
            await self._work.put(name, data)


def _has_seal(cell: Cell, store: WorkStore) -> bool:
    found = store.tail(cell.name, _SEAL_BYTES)
    if found is None:
        return False
    end, size = found
    seal = _read_seal(end)
    return seal is not None and seal.names(cell, size)


def _fetch(cell: Cell, path: Path, store: WorkStore) -> bool:
    if not store.exists(cell.name):
        return False
    try:
        store.download(cell.name, path)
    except StorageError:
        if store.exists(cell.name):
            raise
        return False  # removed in between
    if is_sealed(cell, path):
        return True
    store.remove(cell.name)
    path.unlink(missing_ok=True)
    return False


def _keep(cell: Cell, path: Path, progress: TransferProgress | None, store: WorkStore) -> None:
    seal_cell(cell, path)
    store.upload(path, cell.name, progress)


@dataclass(frozen=True)
class _Seal:
    name: str
    frames: int
    size: int
    sha256: str

    def names(self, cell: Cell, size: int) -> bool:
        return (self.name, self.frames, self.size) == (cell.name, cell.frames, size)


def seal_cell(cell: Cell, path: Path) -> None:
    """Append the seal to a finished cell's file, as a box that readers of MP4 pass over."""
    try:
        with path.open("r+b") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            size = file.seek(0, os.SEEK_END) + _SEAL_BYTES
            text = json.dumps({"name": cell.name, "frames": cell.frames, "size": size, "sha256": digest})
            file.write(_SEAL_BYTES.to_bytes(4) + _SEAL_KIND + text.encode().ljust(_SEAL_BYTES - 8))
    except OSError as error:
        raise refusal(error, "write", path) from error


def is_sealed(cell: Cell, path: Path) -> bool:
    """Tell whether a file is `cell`, whole and unchanged."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        if size < _SEAL_BYTES:
            return False
        file.seek(size - _SEAL_BYTES)
        seal = _read_seal(file.read())
        if seal is None or not seal.names(cell, size):
            return False
        file.seek(0)
        digest, left = hashlib.sha256(), size - _SEAL_BYTES
        while left and (chunk := file.read(min(left, _READ_BYTES))):
            digest.update(chunk)
            left -= len(chunk)
    return digest.hexdigest() == seal.sha256


def _read_seal(end: bytes) -> _Seal | None:
    if len(end) != _SEAL_BYTES or end[:8] != _SEAL_BYTES.to_bytes(4) + _SEAL_KIND:
        return None
    try:
        return _Seal(**json.loads(end[8:]))
    except (ValueError, TypeError):
        return None


# --- on one machine --------------------------------------------------------------------------------


def default_cells() -> Path:
    """Return the store of the user's own renders."""
    return cache_folder() / "cells"


@contextmanager
def run_folder(store: Path) -> Iterator[Path]:
    """Give an empty folder on the store's file system, and remove it in the end; those of killed runs go too."""
    try:
        store.mkdir(parents=True, exist_ok=True)
        for left in store.glob(f"{_SCRATCH}*"):
            if remove_abandoned(left / "lock"):
                rmtree(left, ignore_errors=True)
        folder = Path(mkdtemp(prefix=_SCRATCH, dir=store))
        lock = open_locked(folder / "lock")
    except OSError as error:
        raise refusal(error, "keep finished pieces in", store) from error
    try:
        yield folder
    finally:
        rmtree(folder, ignore_errors=True)
        if lock is not None:
            os.close(lock)


@dataclass(frozen=True)
class Kept:
    """What a store on this machine holds."""

    cells: int
    bytes: int


def kept_in(store: Path) -> Kept:
    """Return what is in a store."""
    sizes = [status.st_size for _, status in _cells(store)]
    return Kept(len(sizes), sum(sizes))


def limit_cells(store: Path, most_bytes: int) -> int:
    """Remove the cells that were not used for longest until `most_bytes` are left; return how many that were.

    Who reads one meanwhile has a link to it, or finds it missing and renders it. Notes older than NOTE_DAYS go too:
    what they say is found out again.
    """
    found = sorted(_cells(store), key=lambda cell: cell[1].st_mtime)
    size = sum(status.st_size for _, status in found)
    removed = 0
    for path, status in found:
        if size <= most_bytes:
            break
        with suppress(OSError):
            path.unlink()
            removed += 1
        size -= status.st_size
    oldest = time.time() - NOTE_DAYS * 86400
    for note in _notes(store):
        with suppress(OSError):
            if note.stat().st_mtime < oldest:
                note.unlink()
    return removed


def clear_cells(store: Path) -> Kept:
    """Remove all cells and notes; return what cells were there."""
    kept = kept_in(store)
    limit_cells(store, 0)
    for note in _notes(store):
        note.unlink(missing_ok=True)
    return kept


def _notes(store: Path) -> list[Path]:
    return [path for folder in ("probes", "selfcheck", "looks") for path in (store / folder).glob("*.json")]


def _cells(store: Path) -> Iterator[tuple[Path, os.stat_result]]:
    for path in (*store.glob("*.mp4"), *store.glob("*.zip")):
        with suppress(OSError):
            yield path, path.stat()
