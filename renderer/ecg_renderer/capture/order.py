"""Putting the blocks, which several stages render at once, back into the order of frames."""

from __future__ import annotations

from collections.abc import Iterator

from ecg_renderer.capture.patches import Patch
from ecg_renderer.capture.records import Kind, Record
from ecg_renderer.model import Block


class BlockOrder:
    """Takes records as they come and gives patches in frame order.

    Records of later blocks are kept (copied) until their turn. The page bounds how far they run ahead.
    """

    def __init__(self, blocks: list[Block]) -> None:
        self._blocks = blocks
        self._current = 0
        self._kept: dict[int, list[Record]] = {block.frames.start: [] for block in blocks}
        self._delivered: int | None = None

    def take(self, record: Record) -> Iterator[Patch]:
        """Yield the patches whose turn has come with `record`."""
        if self._current >= len(self._blocks):
            return
        if record.block != self._blocks[self._current].frames.start:
            self._kept[record.block].append(record.kept())
            return
        yield from self._deliver(record)

    def _deliver(self, record: Record) -> Iterator[Patch]:
        if record.kind is not Kind.BLOCK_END:
            yield record.patch()
            self._delivered = record.frame
            return
        self._current += 1
        self._delivered = None
        if self._current < len(self._blocks):
            kept = self._kept.pop(self._blocks[self._current].frames.start)
            for waiting in kept:
                yield from self._deliver(waiting)

    def remaining(self) -> list[Block]:
        """Return the blocks that are still to be rendered, the current one from its next frame."""
        rest = self._blocks[self._current :]
        if not rest or self._delivered is None:
            return rest
        first = rest[0]
        head = [first.from_frame(self._delivered + 1)] if self._delivered + 1 < first.frames.end else []
        return head + rest[1:]
