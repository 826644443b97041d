"""What every capture way yields: boxes of pixels that turn one caption picture into the next."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ecg_renderer.browser import Page
from ecg_renderer.film import Film
from ecg_renderer.model import Block, Box, CaptureWay

Bytes = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Patch:
    """New pixels of the picture of `frame`; outside `box` it is that of the frame before.

    `box` is relative to the captured box. `pixels` is flat: RGBA with straight alpha, or yuva420p planes. It may be a
    view into memory that is reused: use it before asking for the next patch.
    `proof` marks a repetition: the whole box of `frame` as it is, to compare with the sum of the patches.
    """

    frame: int
    box: Box
    pixels: Bytes
    proof: bool = False


@dataclass
class CaptureStatistics:
    """What a capture did; times are the page's, in milliseconds. `warnings`: what a person should know, each once."""

    frames_sought: int = 0
    patches: int = 0
    pixels: int = 0
    paints: int = 0
    restarts: int = 0
    milliseconds: dict[str, float] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

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

    async def measure(self, frames: list[int]) -> Box | None:
        """Return the box in output px around all that is painted at any of `frames` (ascending), None if nothing is."""
        ...

    def patches(self, blocks: list[Block], box: Box) -> AsyncIterator[Patch]:
        """Yield patches in frame order; each block begins with its whole box.

        A capture that was made with a `Conversion` gives pixels as yuva420p planes, one without as RGBA.

        Raises:
            BoxOutgrownError: `box` is too small.
            BrowserError, FrameTimeout: the browser failed more often than it may.
        """
        ...

    async def send_whole_boxes(self) -> None:
        """Send whole boxes from now on: the patches were found not to add up."""
        ...
