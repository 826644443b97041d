"""Small values that several modules of the renderer hand to each other."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
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
class FrameGrid:
    """The output's frames: integer indices on an exact rate. Seconds exist only at the edges."""

    rate: Fraction
    frames: int

    def seconds(self, frame: int) -> Fraction:
        """Return the presentation time of `frame`, in seconds."""
        return frame / self.rate

    def first_at_or_after(self, seconds: Fraction) -> int:
        """Return the first frame shown at or after `seconds`, within 0 to `frames`."""
        return min(max(ceil(seconds * self.rate), 0), self.frames)


@dataclass(frozen=True)
class FrameRange:
    """Frames `start` up to, not including, `end`."""

    start: int
    end: int

    def __len__(self) -> int:
        return self.end - self.start


class CaptureWay(StrEnum):
    """How pixels leave Chromium."""

    CANVAS = "canvas"
    BEGINFRAME = "beginframe"
    SCREENSHOT = "screenshot"
