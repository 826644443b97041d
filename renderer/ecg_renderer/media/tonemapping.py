"""HDR becomes SDR by a table that FFmpeg's `lut3d` looks every pixel up in.

A table of our own rather than the filters `zscale` and `tonemap`: they need an FFmpeg built with zimg, take longer, and
give another picture with each version; white paper came out at 202 with FFmpeg 5.1, at 217 with 9.

    signal ─> light in nits ─> highlights rolled off (ITU-R BT.2390) ─> BT.709 primaries ─> display gamma 2.4
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ecg_api.plan import OutputColour, SourceFacts
from ecg_renderer import curves
from ecg_renderer.curves import Floats

# Between the points of the table colours are interpolated; 65 points differ from 33 by less than a step of 8 bits.
POINTS = 33
# Of masters that do not say how bright they get. Those that claim less than the lower bound leave nothing to roll off.
_USUAL_PEAK_NITS = 1000.0
_LEAST_PEAK_NITS = 400.0
_DISPLAY_GAMMA = 2.4
_TO_BT709 = np.linalg.inv(curves.BT709_TO_BT2020)


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
        return curves.HLG_PEAK_NITS
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
    light = curves.hlg_to_nits(signal) if transfer == "arib-std-b67" else curves.pq_to_nits(signal)
    # By the brightest of the three, hues stay; by each of them, highlights turn white, as film and eyes have it.
    brightest = light.max(axis=-1, keepdims=True)
    alike = light * _rolled_off(brightest, peak) / np.maximum(brightest, 1e-6)
    white, top = curves.nits_to_pq(np.array([curves.WHITE_NITS, peak]))
    share = np.clip((curves.nits_to_pq(brightest) - white) / (top - white), 0, 1)
    shown = (alike * (1 - share) + _rolled_off(light, peak) * share) / curves.WHITE_NITS @ _TO_BT709.T
    sdr: Floats = np.clip(shown, 0, 1) ** (1 / _DISPLAY_GAMMA)
    return sdr


def _rolled_off(light: Floats, peak: float) -> Floats:
    """Return light of at most WHITE_NITS: dark and middle as it is, `peak` as the brightest."""
    top = curves.nits_to_pq(np.array(peak))
    signal = curves.nits_to_pq(np.minimum(light, peak)) / top
    most = curves.nits_to_pq(np.array(curves.WHITE_NITS)) / top
    knee = 1.5 * most - 0.5
    t = np.maximum(signal - knee, 0) / (1 - knee)
    bent = (2 * t**3 - 3 * t**2 + 1) * knee + (t**3 - 2 * t**2 + t) * (1 - knee) + (3 * t**2 - 2 * t**3) * most
    return curves.pq_to_nits(np.where(signal < knee, signal, bent) * top)
