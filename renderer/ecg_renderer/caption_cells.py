"""Cells of captions alone: the pictures that FFmpeg gets for the overlay, kept without loss.

A cell is a ZIP of the pictures in its frames, each by the frame from which it is shown, as planes Y, U, V, A of an
area, packed; `area` says which. Before its first picture a cell shows nothing. Sparse and deflated, ten seconds take
some hundred kilobytes, and none where nothing is said. Video with alpha and pictures are made of cells when all are
there: however many are asked for, the browser draws once.
"""

from __future__ import annotations

import asyncio
import json
import zipfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from ecg_renderer.errors import StorageError
from ecg_renderer.model import Area, Box, Boxes, FrameRange
from ecg_renderer.storage.base import refusal

_AREA = "area"
_LEVEL = 1  # the next one takes twice as long, and saves a tenth


@dataclass(frozen=True)
class ShownPicture:
    """What is seen on `frames`: planes Y, U, V, A (4:2:0) of the cell's area, packed; None is nothing."""

    frames: FrameRange
    planes: bytes | None


class CaptionCellWriter:
    """Writes the cells with `ranges`, consecutive frames, from pictures of `area` that come in the order of frames.

    Deflating is done in a thread, one picture behind. Use as an asynchronous context manager; cells that were not
    finished are removed.
    """

    def __init__(self, paths: Sequence[Path], ranges: Sequence[FrameRange], area: Area) -> None:
        self._cells = list(zip(paths, ranges, strict=True))
        self._area = area
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="ecg-captions")
        self._behind: asyncio.Future[None] | None = None
        self._open: zipfile.ZipFile | None = None
        self._shown: bytes | None = None

    async def __aenter__(self) -> CaptionCellWriter:
        """Begin the first cell."""
        return self

    async def __aexit__(self, *failure: object) -> None:
        """Remove the cell that was not finished."""
        self._thread.shutdown(wait=True)
        if self._open:
            self._open.close()
            self._cells[0][0].unlink(missing_ok=True)

    async def put(self, frame: int, planes: bytes) -> int:
        """Show a picture from `frame` on; return how many cells are finished by that."""
        return await self._do(frame, planes)

    async def finish(self) -> int:
        """Finish the rest of the cells; return how many."""
        finished = await self._do(self._cells[-1][1].end, None) if self._cells else 0
        await self._settle()
        return finished

    async def _do(self, frame: int, planes: bytes | None) -> int:
        await self._settle()
        passed = sum(frame >= frames.end for _, frames in self._cells)
        done, self._cells = self._cells[:passed], self._cells[passed:]
        loop = asyncio.get_running_loop()
        if done:
            await loop.run_in_executor(self._thread, self._pass, done)
        if planes is not None:
            self._behind = loop.run_in_executor(self._thread, self._add, frame, planes)
        return passed

    async def _settle(self) -> None:
        if self._behind:
            behind, self._behind = self._behind, None
            await behind

    def _pass(self, cells: list[tuple[Path, FrameRange]]) -> None:
        for path, frames in cells:
            self._begin(path, frames)
            assert self._open
            self._open.close()
            self._open = None

    def _add(self, frame: int, planes: bytes) -> None:
        path, frames = self._cells[0]
        if frame == frames.start:
            self._shown = None  # what stood before is replaced at once
        file = self._begin(path, frames)
        self._write(file, frame, planes)
        self._shown = planes if _is_seen(planes) else None

    def _begin(self, path: Path, frames: FrameRange) -> zipfile.ZipFile:
        if self._open is None:
            try:
                self._open = zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=_LEVEL)
                self._open.writestr(_AREA, json.dumps([astuple(part) for part in self._area.parts]))
            except OSError as error:
                raise refusal(error, "write", path) from error
            if self._shown is not None:
                self._write(self._open, frames.start, self._shown)
        return self._open

    def _write(self, file: zipfile.ZipFile, frame: int, planes: bytes) -> None:
        try:
            file.writestr(zipfile.ZipInfo(str(frame)), planes, zipfile.ZIP_DEFLATED, _LEVEL)
        except OSError as error:
            raise refusal(error, "write", Path(str(file.filename))) from error


def area_of(cell: Path) -> Boxes:
    """Return the area of a cell's pictures; raises StorageError for a damaged cell."""
    with _opened(cell) as file:
        return Boxes(tuple(Box(*part) for part in json.loads(file.read(_AREA))))


def pictures_of(cell: Path, frames: FrameRange) -> Iterator[ShownPicture]:
    """Yield what is seen on `frames`, those of a cell, from the first to the last; raises StorageError."""
    with _opened(cell) as file:
        starts = sorted(int(name) for name in file.namelist() if name != _AREA)
        if not starts or starts[0] > frames.start:
            yield ShownPicture(FrameRange(frames.start, starts[0] if starts else frames.end), None)
        for start, end in pairwise([*starts, frames.end]):
            planes = file.read(str(start))
            yield ShownPicture(FrameRange(start, end), planes if _is_seen(planes) else None)


def _is_seen(planes: bytes) -> bool:
    """Tell whether anything of a picture is not wholly transparent."""
    return bool(np.frombuffer(planes, np.uint8, offset=len(planes) * 3 // 5).any())


def _opened(cell: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(cell)
    except (OSError, zipfile.BadZipFile) as error:
        raise StorageError(
            f"The piece {cell.name} cannot be read: {error}.", hint="Render the job once more."
        ) from error
