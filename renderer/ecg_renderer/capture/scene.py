"""What the page is asked to lay out."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor
from typing import Any

from ecg_renderer.model import Box

PREVIEW_HEIGHT = 360


@dataclass(frozen=True)
class Scene:
    """A prepared scenario and the picture it is laid out for.

    Attributes:
        scenario: version 2.0, as `ecg_renderer.scenario` prepares it.
        plugins: names of the caption plugins in use.
        width, height: of the output, px, even.
        rate: of the output, frames per second.
        preview_layout: lay out at 360 px height, as the editor's preview does, and scale up.
    """

    scenario: dict[str, Any]
    plugins: tuple[str, ...]
    width: int
    height: int
    rate: Fraction
    preview_layout: bool = False

    def page_config(self, *, stages: int, canvas: bool) -> dict[str, Any]:
        """Return the argument of the page's `ecg.load`."""
        return {
            "scenario": self.scenario,
            "plugins": list(self.plugins),
            "width": self.width,
            "height": self.height,
            "scale": self.height / PREVIEW_HEIGHT if self.preview_layout else 1,
            "rate": [self.rate.numerator, self.rate.denominator],
            "stages": stages,
            "canvas": canvas,
        }

    def even_box(self, bounds: list[float] | None) -> Box | None:
        """Return page bounds [left, top, right, bottom] as a box on even pixels inside the picture."""
        if bounds is None:
            return None
        left, top = (max(0, floor(value / 2) * 2) for value in bounds[:2])
        right = min(self.width, ceil(bounds[2] / 2) * 2)
        bottom = min(self.height, ceil(bounds[3] / 2) * 2)
        return Box(left, top, right - left, bottom - top) if right > left and bottom > top else None
