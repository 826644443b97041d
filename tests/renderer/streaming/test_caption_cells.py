"""Cells of captions alone: whatever was put is read back, frame by frame, also of cells in which nothing is said."""

from __future__ import annotations

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import example, given
from hypothesis import strategies as st

from ecg_renderer.frames import CaptionCellWriter, area_of, pictures_of
from ecg_renderer.model import Box, FrameRange

CELL, CELLS = 4, 4
FRAMES = CELL * CELLS
AREA = Box(2, 4, 2, 2)
NOTHING = bytes(AREA.area * 5 // 2)


def picture(value: int) -> bytes:
    """Return planes of one colour, seen unless it is 0."""
    return bytes([value] * len(NOTHING))


def read_back(put: dict[int, bytes], folder: Path) -> list[bytes | None]:
    """Write the pictures `put`, by the frame from which each is shown; return what cells say of each frame."""
    ranges = [FrameRange(start, start + CELL) for start in range(0, FRAMES, CELL)]
    paths = [folder / f"{number}.zip" for number in range(CELLS)]

    async def write() -> int:
        async with CaptionCellWriter(paths, ranges, AREA) as writer:
            finished = [await writer.put(frame, planes) for frame, planes in sorted(put.items())]
            return sum(finished) + await writer.finish()

    assert asyncio.run(write()) == CELLS
    assert all(area_of(path).parts == AREA.parts for path in paths)
    shown = [piece for path, frames in zip(paths, ranges, strict=True) for piece in pictures_of(path, frames)]
    assert [piece.frames.start for piece in shown[1:]] == [piece.frames.end for piece in shown[:-1]]
    return [piece.planes for piece in shown for _ in range(len(piece.frames))]


@given(st.dictionaries(st.integers(0, FRAMES - 1), st.integers(0, 3)))
@example({})
@example({CELL: 1, CELL + 1: 0})
@example({CELL + 1: 1})
def test_each_frame_shows_what_was_put_last(values: dict[int, int]) -> None:
    with TemporaryDirectory() as folder:
        found = read_back({frame: picture(value) for frame, value in values.items()}, Path(folder))
    last = 0
    wanted = []
    for frame in range(FRAMES):
        last = values.get(frame, last)
        wanted.append(picture(last) if last else None)
    assert found == wanted
