"""Finished pieces of video that later renders use again, whole or not at all, shared by everybody who may see them.

    KEY-captions.zip        a cell of captions alone, sealed likewise
    KEY-ENCODER.mp4         a cell; its last box is a seal: name, frames, the SHA-256 of all that comes before, and what
                            was found while it was rendered, for those who use it again
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
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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
_SEAL_BYTES = 4096
_FOUND_PER_KIND = 3
_KIND_LETTERS, _LINE_LETTERS = 40, 300
_SCRATCH = ".run-"
_READ_BYTES = 1 << 20


Found = tuple[str, str]
"""What was found wrong with a cell's captions while they were drawn: its kind, and a line for people."""


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

    async def present(self, cells: Sequence[Cell]) -> dict[int, tuple[Found, ...]]:
        """Return which of `cells` are there, whole by their seals, and what was found in each.

        They go by their numbers in the sequence.
        """
        seals = await self._work.do_all([partial(_seal_of, cell) for cell in cells], at_once=LOOKS)
        return {number: seal.findings for number, seal in enumerate(seals) if seal}

    async def fetch(
        self, wanted: Mapping[Path, Cell], on_done: Callable[[int], None] = lambda frames: None
    ) -> dict[Path, tuple[Found, ...]]:
        """Write cells to local paths, and remove what is damaged.

        Return those that were there and whole, with what was found in each. `on_done` is told the frames of each.
        """

        def tell(seal: _Seal | None) -> None:
            if seal:
                on_done(seal.frames)

        requests = [partial(_fetch, cell, path) for path, cell in wanted.items()]
        seals = await self._work.do_all(requests, at_once=TRANSFERS, on_done=tell)
        return {path: seal.findings for path, seal in zip(wanted, seals, strict=True) if seal}

    async def keep(
        self, cell: Cell, path: Path, progress: TransferProgress | None = None, found: Sequence[Found] = ()
    ) -> None:
        """Seal a finished cell, with what was found in it, and put it into the store.

        `path` must not be written to afterwards.
        """
        await self._work.do(partial(_keep, cell, path, progress, found))

    async def recall(self, name: str) -> bytes | None:
        """Return a note of that name (`probes/...`), or None: also where the store cannot be read just now."""
        with suppress(StorageError):
            return await self._work.get(name)
        return None

    async def note(self, name: str, data: bytes) -> None:
        """Leave a note for later renders, if that can be done: nothing depends on it."""
        with suppress(StorageError):
            await self._work.put(name, data)


def _seal_of(cell: Cell, store: WorkStore) -> _Seal | None:
    found = store.tail(cell.name, _SEAL_BYTES)
    if found is None:
        return None
    end, size = found
    seal = _read_seal(end)
    return seal if seal and seal.names(cell, size) else None


def _fetch(cell: Cell, path: Path, store: WorkStore) -> _Seal | None:
    if not store.exists(cell.name):
        return None
    try:
        store.download(cell.name, path)
    except StorageError:
        if store.exists(cell.name):
            raise
        return None  # removed in between
    if seal := whole_seal(cell, path):
        return seal
    store.remove(cell.name)
    path.unlink(missing_ok=True)
    return None


def _keep(cell: Cell, path: Path, progress: TransferProgress | None, found: Sequence[Found], store: WorkStore) -> None:
    seal_cell(cell, path, found)
    store.upload(path, cell.name, progress)


@dataclass(frozen=True)
class _Seal:
    name: str
    frames: int
    size: int
    sha256: str
    found: Sequence[Sequence[str]] = ()

    @property
    def findings(self) -> tuple[Found, ...]:
        """What was found in the cell, as far as it can be understood."""
        found = self.found if isinstance(self.found, list) else []
        pairs = [item for item in found if isinstance(item, list) and [type(text) for text in item] == [str, str]]
        return tuple((_plain(kind, _KIND_LETTERS), _plain(line, _LINE_LETTERS)) for kind, line in pairs)

    def names(self, cell: Cell, size: int) -> bool:
        return (self.name, self.frames, self.size) == (cell.name, cell.frames, size)


def seal_cell(cell: Cell, path: Path, found: Sequence[Found] = ()) -> None:
    """Append the seal to a finished cell's file, as a box that readers of MP4 pass over.

    It has room for the first of what was found of each kind, and one more that tells that there are others.
    """
    try:
        with path.open("r+b") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            size = file.seek(0, os.SEEK_END) + _SEAL_BYTES
            seal = {"name": cell.name, "frames": cell.frames, "size": size, "sha256": digest}
            file.write(_SEAL_BYTES.to_bytes(4) + _SEAL_KIND + _seal_text(seal, found).ljust(_SEAL_BYTES - 8))
    except OSError as error:
        raise refusal(error, "write", path) from error


def _seal_text(seal: dict[str, object], found: Sequence[Found]) -> bytes:
    short = [(_plain(kind, _KIND_LETTERS), _plain(line, _LINE_LETTERS)) for kind, line in found]
    kept = [pair for pairs in _by_kind(short).values() for pair in pairs[: _FOUND_PER_KIND + 1]]
    while True:
        text = json.dumps({**seal, "found": kept}, ensure_ascii=False).encode()
        if len(text) <= _SEAL_BYTES - 8:
            return text
        kept.pop()


def _plain(text: str, letters: int) -> str:
    """Return the first letters of a text of somebody's scenario, which may go to terminals."""
    return "".join(letter if letter.isprintable() else " " for letter in text[:letters])


def _by_kind(found: Iterable[Found]) -> dict[str, list[Found]]:
    kinds: dict[str, list[Found]] = {}
    for kind, line in dict.fromkeys(found):
        kinds.setdefault(kind, []).append((kind, line))
    return kinds


def told_again(found: Iterable[Found]) -> list[str]:
    """Return what was found in cells that are used again as lines, the first few of each kind."""
    lines = []
    for kind, pairs in _by_kind(found).items():
        lines += [line for _, line in pairs[:_FOUND_PER_KIND]]
        if len(pairs) > _FOUND_PER_KIND:
            lines.append(f"{kind}: more like this")
    return lines


def whole_seal(cell: Cell, path: Path) -> _Seal | None:
    """Return the seal of a file that is `cell`, whole and unchanged; None of any other."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        if size < _SEAL_BYTES:
            return None
        file.seek(size - _SEAL_BYTES)
        seal = _read_seal(file.read())
        if seal is None or not seal.names(cell, size):
            return None
        file.seek(0)
        digest, left = hashlib.sha256(), size - _SEAL_BYTES
        while left and (chunk := file.read(min(left, _READ_BYTES))):
            digest.update(chunk)
            left -= len(chunk)
    return seal if digest.hexdigest() == seal.sha256 else None


def _read_seal(end: bytes) -> _Seal | None:
    if len(end) != _SEAL_BYTES or end[:8] != _SEAL_BYTES.to_bytes(4) + _SEAL_KIND:
        return None
    try:
        return _Seal(**json.loads(end[8:]))
    except (ValueError, TypeError, RecursionError):
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
