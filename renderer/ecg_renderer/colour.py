"""The weights that take the browser's RGBA to the Y, U, V of a source: exact matrix, exact range.

FFmpeg would convert RGBA with the BT.601 matrix whatever the video's own is, convert the whole box for every frame,
and average the chroma of transparent pixels into the edges of letters. Here only changed boxes are converted (in the
page, see page/yuva.js, or by `rgba_to_yuva`), and chroma is averaged by alpha, which is what compositing at full
chroma resolution would give.

In HDR, and in SDR of wide primaries, the same R, G, B would be another colour: there each colour is first taken to the
one of the video that looks alike (`Relighting`).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecg_renderer import curves

_LUMA = {  # (Kr, Kb) of ITU-R BT.601, BT.709 and BT.2020
    "bt601": (0.299, 0.114),
    "bt709": (0.2126, 0.0722),
    "bt2020": (0.2627, 0.0593),
}
_ONE = 1 << 16

Weights = tuple[int, int, int]

# Primaries that are wider than the browser's, and HDR's curves; all else is near enough to sRGB.
_WIDE = {
    "bt2020": (curves.BT709_TO_BT2020, curves.BT2020_LUMA),
    "smpte431": (curves.BT709_TO_P3, curves.BT709_LUMA),
    "smpte432": (curves.BT709_TO_P3, curves.BT709_LUMA),
}
_LIGHT = (1 << 16) - 1
_GAINS = 4096
_GAIN_ONE = 1 << 12


@dataclass(frozen=True)
class Relighting:
    """From an sRGB colour to the one that looks alike in a video's primaries and curve, in integers.

    Attributes:
        light: of each of 256 values, 65535 for white.
        mix: weights of R, G, B, times 65536, for each of the video's primaries.
        luma: weights, times 65536, of the luminance that `gain` goes by.
        gain: HLG only: 4096 factors, times 4096, by luminance; what its displays do to a picture, undone.
        steps: the light from which on each of the values 1 to 255 is meant.
    """

    light: tuple[int, ...]
    mix: tuple[Weights, Weights, Weights]
    luma: Weights
    gain: tuple[int, ...]
    steps: tuple[int, ...]

    @classmethod
    def of(cls, transfer: str | None, primaries: str | None) -> Relighting | None:
        """Return that of a video's transfer curve and primaries, as FFmpeg names them; None where sRGB does."""
        hdr = transfer in ("smpte2084", "arib-std-b67")
        if primaries not in _WIDE and not hdr:
            return None
        mix, luma = _WIDE.get(primaries or "", _WIDE["bt2020"])
        borders = (np.arange(1, 256) - 0.5) / 255
        if transfer == "smpte2084":
            steps = curves.pq_to_nits(borders) / curves.WHITE_NITS
        elif transfer == "arib-std-b67":
            steps = curves.hlg_to_scene(borders) / curves.hlg_white()
        else:  # grey stays the same grey
            steps = curves.srgb_to_light(borders)
        gains = curves.scene_gain(np.maximum(np.arange(_GAINS), 1) / (_GAINS - 1))
        return cls(
            light=_whole(curves.srgb_to_light(np.arange(256) / 255) * _LIGHT),
            mix=tuple(_shares(row) for row in mix),  # type: ignore[arg-type]
            luma=_shares(luma),
            gain=_whole(gains * _GAIN_ONE) if transfer == "arib-std-b67" else (),
            steps=_whole(np.ceil(steps * _LIGHT)),
        )

    def apply(self, rgb: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the video's R, G, B, 0 to 255, of sRGB values of shape (..., 3). Gives the same as page/yuva.js."""
        light = np.array(self.light, np.int64)[rgb]
        mixed = np.minimum((light @ np.array(self.mix, np.int64).T + (_ONE >> 1)) >> 16, _LIGHT)
        if self.gain:
            luma = mixed @ np.array(self.luma, np.int64) >> 20
            mixed = mixed * np.array(self.gain, np.int64)[luma][..., None] >> 12
        values: NDArray[np.int64] = np.searchsorted(np.array(self.steps, np.int64), mixed, side="right")
        return values


def _whole(numbers: curves.Floats) -> tuple[int, ...]:
    return tuple(map(int, np.rint(numbers)))


def _shares(row: curves.Floats) -> Weights:
    """Return three weights that add up to 65536: white stays white."""
    red, blue = round(float(row[0]) * _ONE), round(float(row[2]) * _ONE)
    return red, _ONE - red - blue, blue


@dataclass(frozen=True)
class Conversion:
    """Integer weights from 8-bit R, G, B to Y, U and V, times 65536, and the luma of black."""

    y: Weights
    u: Weights
    v: Weights
    black: int
    relighting: Relighting | None = None

    @classmethod
    def of(
        cls, matrix: str, *, full_range: bool, transfer: str | None = None, primaries: str | None = None
    ) -> Conversion:
        """Return the weights of `matrix` ("bt601", "bt709" or "bt2020"), for full or limited range.

        `transfer` and `primaries` are FFmpeg's names of what the video has, None where it does not say.
        """
        kr, kb = _LUMA[matrix]
        kg = 1 - kr - kb
        luma, chroma, black = (255, 255, 0) if full_range else (219, 224, 16)
        u_scale, v_scale = 0.5 / (1 - kb), 0.5 / (1 - kr)
        return cls(
            y=_scaled((kr, kg, kb), luma),
            u=_scaled((-kr * u_scale, -kg * u_scale, (1 - kb) * u_scale), chroma),
            v=_scaled(((1 - kr) * v_scale, -kg * v_scale, -kb * v_scale), chroma),
            black=black,
            relighting=Relighting.of(transfer, primaries),
        )

    def as_page_config(self) -> dict[str, Any]:
        """Return the weights as the page's scripts take them."""
        relighting = asdict(self.relighting) if self.relighting else None
        return {"y": self.y, "u": self.u, "v": self.v, "black": self.black, "relighting": relighting}


def _scaled(weights: tuple[float, float, float], swing: int) -> Weights:
    r, g, b = (round(weight * swing / 255 * _ONE) for weight in weights)
    return r, g, b


def rgba_to_yuva(rgba: NDArray[np.uint8], conversion: Conversion) -> NDArray[np.uint8]:
    """Convert (height, width, 4) straight-alpha pixels to yuva420p planes, one flat array of height * width * 5 / 2.

    Height and width are even. Gives the same bytes as page/yuva.js.
    """
    rgb, alpha = rgba[..., :3].astype(np.int64), rgba[..., 3].astype(np.int64)
    if conversion.relighting:
        rgb = conversion.relighting.apply(rgb)
    red, green, blue = (rgb[..., channel] for channel in range(3))
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
