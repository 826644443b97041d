"""Colours: the standards' curves, the weights that take the browser's RGBA to the Y, U, V of a source, HDR made SDR.

FFmpeg would convert RGBA with the BT.601 matrix whatever the video's own is, convert the whole box for every frame,
and average the chroma of transparent pixels into the edges of letters. Here only changed boxes are converted (in the
page, see page/yuva.js, or by `rgba_to_yuva`), and chroma is averaged by alpha, which is what compositing at full
chroma resolution would give.

In HDR, and in SDR of wide primaries, the same R, G, B would be another colour: there each colour is first taken to the
one of the video that looks alike (`Relighting`).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecg_api.plan import OutputColour, SourceFacts

Floats = NDArray[np.float64]

WHITE_NITS = 203.0
"""What white captions, and white paper in a picture, have in HDR: ITU-R BT.2408."""
HLG_PEAK_NITS = 1000.0
_HLG_SYSTEM_GAMMA = 1.2

_M1, _M2 = 2610 / 16384, 2523 / 32
_C1, _C2, _C3 = 3424 / 4096, 2413 / 128, 2392 / 128
_A, _B, _C = 0.17883277, 0.28466892, 0.55991073

# Luminance of red, green and blue; mixes of light from one set of primaries to another, with white at D65.
BT709_LUMA = np.array([0.2126, 0.7152, 0.0722])
BT2020_LUMA = np.array([0.2627, 0.6780, 0.0593])
BT709_TO_BT2020 = np.array([[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]])
BT709_TO_P3 = np.array([[0.8225, 0.1775, 0.0], [0.0332, 0.9668, 0.0], [0.0171, 0.0724, 0.9105]])


def srgb_to_light(signal: Floats) -> Floats:
    """Return the light, 0 to 1, of an sRGB signal of 0 to 1."""
    return np.where(signal <= 0.04045, signal / 12.92, ((signal + 0.055) / 1.055) ** 2.4)


def pq_to_nits(signal: Floats) -> Floats:
    """Return the light of a PQ signal of 0 to 1."""
    power = np.maximum(signal, 0) ** (1 / _M2)
    return 10_000 * (np.maximum(power - _C1, 0) / (_C2 - _C3 * power)) ** (1 / _M1)


def nits_to_pq(light: Floats) -> Floats:
    """Return the PQ signal of a light."""
    power = (np.clip(light, 0, 10_000) / 10_000) ** _M1
    return ((_C1 + _C2 * power) / (1 + _C3 * power)) ** _M2


def hlg_to_scene(signal: Floats) -> Floats:
    """Return the light of the scene, 0 to 1, of an HLG signal of 0 to 1."""
    return np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - _C) / _A) + _B) / 12)


def hlg_to_nits(signal: Floats) -> Floats:
    """Return the light of HLG signals of shape (..., 3), 0 to 1, BT.2020, on the display of the standard."""
    scene = hlg_to_scene(signal)
    luma = np.maximum(scene @ BT2020_LUMA, 1e-9)[..., None]
    nits: Floats = HLG_PEAK_NITS * scene * luma ** (_HLG_SYSTEM_GAMMA - 1)
    return nits


def scene_gain(luma: Floats) -> Floats:
    """Return by what the light of a display, relative to white, is multiplied for that of HLG's scene.

    `luma` is the luminance relative to white. White itself has a gain of 1: see `hlg_white`.
    """
    return luma ** (1 / _HLG_SYSTEM_GAMMA - 1)


def hlg_white() -> float:
    """Return the scene's light, 0 to 1, that the display of the standard shows at WHITE_NITS."""
    return float((WHITE_NITS / HLG_PEAK_NITS) ** (1 / _HLG_SYSTEM_GAMMA))


# --- to the colours of the source: exact matrix, exact range --------------------------------------


_LUMA = {  # (Kr, Kb) of ITU-R BT.601, BT.709 and BT.2020
    "bt601": (0.299, 0.114),
    "bt709": (0.2126, 0.0722),
    "bt2020": (0.2627, 0.0593),
}
_ONE = 1 << 16

Weights = tuple[int, int, int]

# Primaries that are wider than the browser's, and HDR's curves; all else is near enough to sRGB.
_WIDE = {
    "bt2020": (BT709_TO_BT2020, BT2020_LUMA),
    "smpte431": (BT709_TO_P3, BT709_LUMA),
    "smpte432": (BT709_TO_P3, BT709_LUMA),
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
            steps = pq_to_nits(borders) / WHITE_NITS
        elif transfer == "arib-std-b67":
            steps = hlg_to_scene(borders) / hlg_white()
        else:  # grey stays the same grey
            steps = srgb_to_light(borders)
        gains = scene_gain(np.maximum(np.arange(_GAINS), 1) / (_GAINS - 1))
        return cls(
            light=_whole(srgb_to_light(np.arange(256) / 255) * _LIGHT),
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


def _whole(numbers: Floats) -> tuple[int, ...]:
    return tuple(map(int, np.rint(numbers)))


def _shares(row: Floats) -> Weights:
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


# --- HDR becomes SDR by a table that FFmpeg's `lut3d` looks every pixel up in ---------------------
# A table of our own rather than the filters `zscale` and `tonemap`: they need an FFmpeg built with zimg, take longer,
# and give another picture with each version; white paper came out at 202 with FFmpeg 5.1, at 217 with 9.
#
#     signal ─> light in nits ─> highlights rolled off (ITU-R BT.2390) ─> BT.709 primaries ─> display gamma 2.4


# Between the points of the table colours are interpolated; 65 points differ from 33 by less than a step of 8 bits.
POINTS = 33
# Of masters that do not say how bright they get. Those that claim less than the lower bound leave nothing to roll off.
_USUAL_PEAK_NITS = 1000.0
_LEAST_PEAK_NITS = 400.0
_DISPLAY_GAMMA = 2.4
_TO_BT709 = np.linalg.inv(BT709_TO_BT2020)


def tone_map_of(source: SourceFacts, colour: OutputColour, folder: Path) -> Path | None:
    """Write the table that takes `source` to `colour` to a file in `folder`, unless it is there; return its path.

    None where nothing is tone-mapped.
    """
    if not colour.tone_mapped:
        return None
    peak = peak_nits(source)
    path = folder / f"{source.transfer}-{peak:.0f}.cube"
    if not path.exists():
        lines = "\n".join(" ".join(f"{value:.5f}" for value in row) for row in tone_map(source.transfer or "", peak))
        path.write_text(f"LUT_3D_SIZE {POINTS}\n{lines}\n")
    return path


def peak_nits(source: SourceFacts) -> float:
    """Return the light of the brightest pixels, as far as the source says."""
    if source.transfer == "arib-std-b67":
        return HLG_PEAK_NITS
    light = source.light
    said = (light and (light.content_nits or light.display_nits)) or _USUAL_PEAK_NITS
    return min(max(float(said), _LEAST_PEAK_NITS), 10_000.0)


def tone_map(transfer: str, peak: float) -> Floats:
    """Return the table of a transfer curve: SDR signals 0 to 1, of shape (POINTS ** 3, 3), red changing fastest."""
    axis = np.linspace(0, 1, POINTS)
    blue, green, red = np.meshgrid(axis, axis, axis, indexing="ij")
    return to_sdr(np.stack([red, green, blue], -1).reshape(-1, 3), transfer, peak)


def to_sdr(signal: Floats, transfer: str, peak: float) -> Floats:
    """Return the SDR signals, 0 to 1, of HDR signals of shape (..., 3), 0 to 1, BT.2020."""
    light = hlg_to_nits(signal) if transfer == "arib-std-b67" else pq_to_nits(signal)
    # By the brightest of the three, hues stay; by each of them, highlights turn white, as film and eyes have it.
    brightest = light.max(axis=-1, keepdims=True)
    alike = light * _rolled_off(brightest, peak) / np.maximum(brightest, 1e-6)
    white, top = nits_to_pq(np.array([WHITE_NITS, peak]))
    share = np.clip((nits_to_pq(brightest) - white) / (top - white), 0, 1)
    shown = (alike * (1 - share) + _rolled_off(light, peak) * share) / WHITE_NITS @ _TO_BT709.T
    sdr: Floats = np.clip(shown, 0, 1) ** (1 / _DISPLAY_GAMMA)
    return sdr


def _rolled_off(light: Floats, peak: float) -> Floats:
    """Return light of at most WHITE_NITS: dark and middle as it is, `peak` as the brightest."""
    top = nits_to_pq(np.array(peak))
    signal = nits_to_pq(np.minimum(light, peak)) / top
    most = nits_to_pq(np.array(WHITE_NITS)) / top
    knee = 1.5 * most - 0.5
    t = np.maximum(signal - knee, 0) / (1 - knee)
    bent = (2 * t**3 - 3 * t**2 + 1) * knee + (t**3 - 2 * t**2 + t) * (1 - knee) + (3 * t**2 - 2 * t**3) * most
    return pq_to_nits(np.where(signal < knee, signal, bent) * top)
