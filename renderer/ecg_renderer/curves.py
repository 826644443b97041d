"""Curves and colour spaces of the standards, as functions over arrays. Light is in candela per square metre (nits).

sRGB     what the browser draws in; also how displays show SDR video that says BT.709
PQ       SMPTE ST 2084, of HDR10 and Dolby Vision: a signal of 0 to 1 is a light of 0 to 10,000 nits
HLG      ARIB STD-B67, of phones and broadcasts: of the scene, shown on a display of 1,000 nits
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

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
