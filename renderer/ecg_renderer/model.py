"""Small values that several modules of the renderer hand to each other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from functools import reduce
from math import ceil


@dataclass(frozen=True)
class Box:
    """A rectangle in output pixels; `x`, `y` is its upper left corner."""

    x: int
    y: int
    width: int
    height: int

    @property
    def area(self) -> int:
        """Pixels inside."""
        return self.width * self.height

    @property
    def parts(self) -> tuple[Box, ...]:
        """The box itself, as those of `Boxes`."""
        return (self,)

    def contains(self, other: Box) -> bool:
        """Tell whether `other` lies wholly inside."""
        return (
            self.x <= other.x
            and self.y <= other.y
            and self.x + self.width >= other.x + other.width
            and self.y + self.height >= other.y + other.height
        )

    def union(self, other: Box) -> Box:
        """Return the smallest box around both."""
        x, y = min(self.x, other.x), min(self.y, other.y)
        right = max(self.x + self.width, other.x + other.width)
        bottom = max(self.y + self.height, other.y + other.height)
        return Box(x, y, right - x, bottom - y)


@dataclass(frozen=True)
class Boxes:
    """Parts of the picture, from top to bottom with room between them.

    What is seen in them is packed into one picture of `width` x `height`: one part below the other, at the left edge.
    """

    parts: tuple[Box, ...]

    @property
    def width(self) -> int:
        """Of the packed picture, px."""
        return max(part.width for part in self.parts)

    @property
    def height(self) -> int:
        """Of the packed picture, px."""
        return sum(part.height for part in self.parts)


Area = Box | Boxes
"""What is captured, and laid over the video."""


def around(boxes: Iterable[Box]) -> Box | None:
    """Return the smallest box around all `boxes`; None if there are none."""
    return reduce(Box.union, boxes) if (boxes := list(boxes)) else None


def apart(boxes: Iterable[Box], gap: int = 0) -> list[Box]:
    """Return boxes around `boxes`, from top to bottom, with more than `gap` rows between each and the next."""
    bands: list[Box] = []
    for box in sorted(boxes, key=lambda box: box.y):
        if bands and box.y - (bands[-1].y + bands[-1].height) <= gap:
            bands[-1] = bands[-1].union(box)
        else:
            bands.append(box)
    return bands


def packed(area: Area) -> Iterator[tuple[Box, int]]:
    """Yield the parts of an area, each with the row at which it lies in the packed picture."""
    top = 0
    for part in area.parts:
        yield part, top
        top += part.height


@dataclass(frozen=True)
class FrameGrid:
    """The output's frames: integer indices on an exact rate. Seconds exist only at the edges.

    `start` is the presentation time of frame 0, in seconds; `lead` how many frames are black before the source's first.
    """

    rate: Fraction
    frames: int
    start: Fraction = Fraction(0)
    lead: int = 0

    def seconds(self, frame: int) -> Fraction:
        """Return the presentation time of `frame`, in seconds."""
        return self.start + frame / self.rate

    @property
    def end(self) -> Fraction:
        """When the last frame is over: presentation time, in seconds."""
        return self.seconds(self.frames)

    def first_at_or_after(self, seconds: Fraction) -> int:
        """Return the first frame shown at or after `seconds`, within 0 to `frames`."""
        return min(max(ceil((seconds - self.start) * self.rate), 0), self.frames)


@dataclass(frozen=True)
class FrameRange:
    """Frames `start` up to, not including, `end`."""

    start: int
    end: int

    def __len__(self) -> int:
        return self.end - self.start


@dataclass(frozen=True)
class Block:
    """Consecutive frames in which captions can be alive, rendered by one stage.

    `replay` are frames to seek before, without capture, so that the stage has the history of a render from the start:
    those on which what is alive at the first frame came, went or moved.
    """

    frames: FrameRange
    replay: tuple[FrameRange, ...] = ()

    @property
    def replayed(self) -> int:
        """Frames to seek before the first."""
        return sum(map(len, self.replay))

    def from_frame(self, frame: int) -> Block:
        """Return the part from `frame` on; what lies before it is replayed."""
        passed = FrameRange(self.frames.start, frame)
        return Block(FrameRange(frame, self.frames.end), (*self.replay, passed) if len(passed) else self.replay)


class SelfCheck(StrEnum):
    """When a fast way to capture is compared with the reference; the values of ECG_SELFCHECK."""

    CACHED = "cached"
    ALWAYS = "always"
    NEVER = "never"


class CaptureWay(StrEnum):
    """How pixels leave Chromium."""

    CANVAS = "canvas"
    BEGINFRAME = "beginframe"
    SCREENSHOT = "screenshot"
