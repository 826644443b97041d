"""The weights that take the browser's RGBA to the Y, U, V of a source: exact matrix, exact range.

FFmpeg would convert RGBA with the BT.601 matrix whatever the video's own is, convert the whole box for every frame,
and average the chroma of transparent pixels into the edges of letters. Here only changed boxes are converted (in the
page, see page/yuva.js, or by `rgba_to_yuva`), and chroma is averaged by alpha, which is what compositing at full
chroma resolution would give.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_LUMA = {  # (Kr, Kb) of ITU-R BT.601, BT.709 and BT.2020
    "bt601": (0.299, 0.114),
    "bt709": (0.2126, 0.0722),
    "bt2020": (0.2627, 0.0593),
}
_ONE = 1 << 16

Weights = tuple[int, int, int]


@dataclass(frozen=True)
class Conversion:
    """Integer weights from 8-bit R, G, B to Y, U and V, times 65536, and the luma of black."""

    y: Weights
    u: Weights
    v: Weights
    black: int

    @classmethod
    def of(cls, matrix: str, *, full_range: bool) -> Conversion:
        """Return the weights of `matrix` ("bt601", "bt709" or "bt2020"), for full or limited range."""
        kr, kb = _LUMA[matrix]
        kg = 1 - kr - kb
        luma, chroma, black = (255, 255, 0) if full_range else (219, 224, 16)
        u_scale, v_scale = 0.5 / (1 - kb), 0.5 / (1 - kr)
        return cls(
            y=_scaled((kr, kg, kb), luma),
            u=_scaled((-kr * u_scale, -kg * u_scale, (1 - kb) * u_scale), chroma),
            v=_scaled(((1 - kr) * v_scale, -kg * v_scale, -kb * v_scale), chroma),
            black=black,
        )

    def as_page_config(self) -> dict[str, Any]:
        """Return the weights as the page's scripts take them."""
        return {"y": self.y, "u": self.u, "v": self.v, "black": self.black}


def _scaled(weights: tuple[float, float, float], swing: int) -> Weights:
    r, g, b = (round(weight * swing / 255 * _ONE) for weight in weights)
    return r, g, b


def rgba_to_yuva(rgba: NDArray[np.uint8], conversion: Conversion) -> NDArray[np.uint8]:
    """Convert (height, width, 4) straight-alpha pixels to yuva420p planes, one flat array of height * width * 5 / 2.

    Height and width are even. Gives the same bytes as page/yuva.js.
    """
    red, green, blue, alpha = (rgba[..., channel].astype(np.int64) for channel in range(4))
    y = red * conversion.y[0] + green * conversion.y[1] + blue * conversion.y[2]
    y = (y + (conversion.black << 16) + (_ONE >> 1)) >> 16
    opacity = _quad_sum(alpha)
    divisor = np.maximum(opacity, 1).astype(np.float64)
    means = [_quad_sum(channel * alpha) / divisor for channel in (red, green, blue)]
    u, v = (
        # In full range, half a step above 255 is left for pure blue and pure red.
        np.minimum(sum(mean * (weight / _ONE) for mean, weight in zip(means, weights, strict=True)) + 128.5, 255)
        for weights in (conversion.u, conversion.v)
    )
    planes = [np.asarray(plane).astype(np.uint8).ravel() for plane in (y, u, v, alpha)]
    return np.concatenate(planes)


def _quad_sum(plane: NDArray[np.int64]) -> NDArray[np.int64]:
    return plane[0::2, 0::2] + plane[0::2, 1::2] + plane[1::2, 0::2] + plane[1::2, 1::2]
