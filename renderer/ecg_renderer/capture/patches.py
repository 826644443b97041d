"""What every capture way yields: boxes of pixels that turn one caption picture into the next, and the pictures."""

from __future__ import annotations

import struct
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from fractions import Fraction
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from ecg_renderer.browser import Page
from ecg_renderer.colour import Conversion
from ecg_renderer.model import Area, Block, Box, CaptureWay, Film

Bytes = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Patch:
    """New pixels of the picture of `frame`; outside `box` it is that of the frame before.

    `box` is one of the captured area's packed picture. `pixels` is flat: RGBA with straight alpha, or yuva420p planes.
    It may be a view into memory that is reused: use it before asking for the next patch.
    `proof` marks a repetition: the whole picture of `frame` as it is, to compare with the sum of the patches.
    """

    frame: int
    box: Box
    pixels: Bytes
    proof: bool = False


class PluginFailure(NamedTuple):
    """A plugin of an origin, by its `plugin` key, that was switched off: what happened, and a line that tells it.

    `cue` is the id of the cue on which it ran; empty where that is not known.
    """

    kind: str
    line: str
    plugin: str
    cue: str


@dataclass
class CaptureStatistics:
    """What a capture did; times are the page's, in milliseconds. `failures`: each once, in their order."""

    frames_sought: int = 0
    patches: int = 0
    pixels: int = 0
    paints: int = 0
    restarts: int = 0
    milliseconds: dict[str, float] = field(default_factory=dict)
    failures: dict[PluginFailure, None] = field(default_factory=dict)

    def add_page(self, page: dict[str, float]) -> None:
        """Add what the page counted in one session."""
        self.frames_sought += int(page["seeks"])
        self.patches += int(page["patches"])
        self.pixels += int(page["pixels"])
        self.paints += int(page["paints"])
        for key in ("seekMs", "paintMs", "readMs", "sendMs"):
            name = key.removesuffix("Ms")
            self.milliseconds[name] = self.milliseconds.get(name, 0.0) + page[key]


class BoxOutgrownError(Exception):
    """A caption reaches out of the captured box; `box` (output px) is where it reached."""

    def __init__(self, frame: int, box: Box) -> None:
        super().__init__(f"frame {frame} paints in {box}")
        self.frame = frame
        self.box = box


class Capture(Protocol):
    """A capture way, ready to give the pictures of a film.

    Attributes:
        way: which one it is.
        statistics: what was done so far.
    """

    way: CaptureWay
    statistics: CaptureStatistics

    @property
    def page(self) -> Page | None:
        """Where captions are laid out, for whoever wants to look closer; None where nobody else may."""
        ...

    async def show(self, film: Film) -> None:
        """Lay out another film of the same size in place of the one that is shown."""
        ...

    async def lay_out(self) -> None:
        """Lay out the film anew, after something else was shown in the page."""
        ...

    async def note_failures(self) -> None:
        """Take note, among the statistics, of the plugins of an origin that were switched off until now."""
        ...

    async def measure(self, frames: list[int]) -> list[Box]:
        """Return boxes in output px around all that is painted at any of `frames` (ascending).

        They go from top to bottom, with rows between them in which nothing is painted; there are none if nothing is.
        """
        ...

    def patches(self, blocks: list[Block], area: Area) -> AsyncIterator[Patch]:
        """Yield patches in frame order; each block begins with its whole area, of which only a canvas takes `Boxes`.

        A capture that was made with a `Conversion` gives pixels as yuva420p planes, one without as RGBA.

        Raises:
            BoxOutgrownError: `area` is too small.
            BrowserError, FrameTimeout: the browser failed more often than it may.
        """
        ...

    async def send_whole_boxes(self) -> None:
        """Send whole boxes from now on: the patches were found not to add up."""
        ...


# --- records, as the page writes them -------------------------------------------------------------


HEADER = struct.Struct("<8i")


class Kind(IntEnum):
    """Kinds of record; the page has the same numbers."""

    SKIP = 0
    PATCH = 1
    CHECK = 2
    BLOCK_END = 3
    END = 4
    OUTGROWN = 5
    REPLAYING = 6


@dataclass(frozen=True, slots=True)
class Record:
    """One record; `block` is the first frame of the block it belongs to."""

    kind: Kind
    frame: int
    box: Box
    block: int
    pixels: Bytes

    @property
    def size(self) -> int:
        """Bytes that the record takes in the ring."""
        return HEADER.size + -(-self.pixels.size // 8) * 8

    def patch(self) -> Patch:
        """Return a PATCH or CHECK record as a patch that shares its pixels."""
        return Patch(self.frame, self.box, self.pixels, proof=self.kind is Kind.CHECK)

    def kept(self) -> Record:
        """Return a record that owns its pixels."""
        return Record(self.kind, self.frame, self.box, self.block, self.pixels.copy())

    def outgrown(self) -> BoxOutgrownError:
        """Return the error that an OUTGROWN record stands for."""
        return BoxOutgrownError(self.frame, self.box)


def parse(data: Bytes, offset: int = 0) -> Record:
    """Read the record at `offset`; its pixels are a view into `data`."""
    kind, frame, x, y, width, height, block, payload = HEADER.unpack_from(data.data, offset)
    begin = offset + HEADER.size
    return Record(Kind(kind), frame, Box(x, y, width, height), block, np.asarray(data[begin : begin + payload]))


# --- blocks, which several stages render at once, in the order of frames --------------------------


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


# --- the caption picture as it stands, put together from patches ----------------------------------


class YuvaPicture:
    """Planes Y, U, V, A (4:2:0) in one buffer in FFmpeg's yuva420p order. `width`, `height` and all boxes are even."""

    def __init__(self, width: int, height: int, conversion: Conversion) -> None:
        self._black = conversion.black
        self._buffer = np.empty(width * height * 5 // 2, np.uint8)
        self._planes = _split(self._buffer, width, height)
        self.clear()

    def clear(self) -> None:
        """Make the picture wholly transparent."""
        for plane, value in zip(self._planes, (self._black, 128, 128, 0), strict=True):
            plane[:] = value

    def apply(self, box: Box, pixels: Bytes) -> None:
        """Replace `box` by yuva420p `pixels` (flat)."""
        for (rows, columns), plane, new in self._parts(box, pixels):
            plane[rows, columns] = new

    def shows(self, box: Box, pixels: Bytes) -> bool:
        """Tell whether `box` of this picture is exactly `pixels`."""
        return all(
            np.array_equal(plane[rows, columns], new) for (rows, columns), plane, new in self._parts(box, pixels)
        )

    def to_bytes(self) -> bytes:
        """Return the whole picture, `width * height * 5 / 2` bytes."""
        return self._buffer.tobytes()

    def _parts(self, box: Box, pixels: Bytes) -> list[tuple[tuple[slice, slice], Bytes, Bytes]]:
        news = _split(pixels, box.width, box.height)
        return [
            (_region(box, 2 if chroma else 1), plane, new)
            for plane, new, chroma in zip(self._planes, news, (False, True, True, False), strict=True)
        ]


class RgbaPicture:
    """Pixels of shape (height, width, 4), straight alpha."""

    def __init__(self, width: int, height: int) -> None:
        self.pixels: Bytes = np.zeros((height, width, 4), np.uint8)

    def clear(self) -> None:
        """Make the picture wholly transparent."""
        self.pixels[:] = 0

    def apply(self, box: Box, pixels: Bytes) -> None:
        """Replace `box` by RGBA `pixels` (flat)."""
        self.pixels[_region(box, 1)] = pixels.reshape(box.height, box.width, 4)

    def shows(self, box: Box, pixels: Bytes) -> bool:
        """Tell whether `box` of this picture is exactly `pixels`."""
        return np.array_equal(self.pixels[_region(box, 1)], pixels.reshape(box.height, box.width, 4))


def _region(box: Box, divisor: int) -> tuple[slice, slice]:
    return (
        slice(box.y // divisor, (box.y + box.height) // divisor),
        slice(box.x // divisor, (box.x + box.width) // divisor),
    )


def _split(buffer: Bytes, width: int, height: int) -> tuple[Bytes, Bytes, Bytes, Bytes]:
    """Return views of the four planes that lie one after the other in `buffer`."""
    luma, chroma = width * height, width * height // 4
    y, u, v, alpha = np.split(buffer[: 2 * luma + 2 * chroma], [luma, luma + chroma, luma + 2 * chroma])
    half = (height // 2, width // 2)
    return y.reshape(height, width), u.reshape(half), v.reshape(half), alpha.reshape(height, width)


# --- frame by frame -------------------------------------------------------------------------------


class Picture(Protocol):
    """A picture that changes box by box."""

    def clear(self) -> None:
        """Make it wholly transparent."""

    def apply(self, box: Box, pixels: Bytes, /) -> None:
        """Replace `box` by `pixels`."""

    def shows(self, box: Box, pixels: Bytes, /) -> bool:
        """Tell whether `box` is `pixels`, as `apply` would make it."""


async def draw(
    capture: Capture,
    blocks: Sequence[Block],
    area: Area,
    picture: Picture,
    *,
    end: int,
    on_distrust: Callable[[int], None],
) -> AsyncGenerator[int, None]:
    """Bring `picture` from frame to frame up to `end`; yield each frame from which it is shown as it stands then.

    Where patches do not add up to the whole picture, `on_distrust` is told the frame, and whole boxes are captured from
    there on. Raises BoxOutgrownError, BrowserError and FrameTimeout, as the capture does.
    """
    ends = clear_frames(blocks, end)
    corrected: int | None = None
    async for patch in capture.patches(list(blocks), area):
        if corrected is not None and corrected < min([patch.frame, *ends[:1]]):
            yield corrected
        corrected = None
        while ends and ends[0] <= patch.frame:
            picture.clear()
            yield ends.pop(0)
        if not patch.proof:
            picture.apply(patch.box, patch.pixels)
            yield patch.frame
        elif not picture.shows(patch.box, patch.pixels):
            on_distrust(patch.frame)
            await capture.send_whole_boxes()
            picture.apply(patch.box, patch.pixels)
            corrected = patch.frame + 1
    if corrected is not None and corrected < min([end, *ends[:1]]):
        yield corrected
    for frame in ends:
        picture.clear()
        yield frame


def clear_frames(blocks: Sequence[Block], end: int) -> list[int]:
    """Return the frames at which the captions go and none follow at once: there the picture becomes empty."""
    starts = {block.frames.start for block in blocks}
    return [block.frames.end for block in blocks if block.frames.end not in starts and block.frames.end < end]


def sample_frames(blocks: Sequence[Block], rate: Fraction) -> Iterator[int]:
    """Yield frames at which to measure how far captions reach: a few a second, and each block's first and last."""
    step = max(1, round(rate / 4))
    for block in blocks:
        frames = block.frames
        yield from range(frames.start, frames.end - 1, step)
        yield frames.end - 1
