"""When a plugin runs, by MotionText's rules; and windows so short that they lie between two frames."""

from __future__ import annotations

import re
from fractions import Fraction
from math import ceil
from typing import Any

from ecg_renderer.scenario.model import EDGE, SAMPLED_AFTER, Window

DEFAULT_OFFSET = ["0%", "100%"]

_LEADING_NUMBER = re.compile(r"\s*([+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)")


def reach_a_frame(plugin: dict[str, Any], base: list[float], rate: Fraction, first: Fraction) -> None:
    """Give a plugin that would run between two frames the half frame up to the later one, in place.

    MotionText starts a plugin when it is looked at within its window, and keeps what it leaves behind: a word of
    20 ms that no frame falls into would never take its colour. `base` is the plugin's base time, `rate` in frames
    a second, `first` the time of the first frame.
    """
    start, end = plugin_window(base, plugin.get("timeOffset"))
    frame = ceil((Fraction(start) - Fraction(SAMPLED_AFTER) - first) * rate)
    sampled = float(first + frame / rate) + SAMPLED_AFTER
    if frame >= 0 and start <= end < sampled + EDGE:
        plugin["baseTime"] = [sampled - float(1 / rate) / 2, sampled + EDGE]
        plugin["timeOffset"] = [0, 0]


def plugin_window(base: list[float], offset: object) -> Window:
    """Return from when to when (seconds) a plugin runs; from > to means never.

    `offset` holds seconds, or shares of the base time's length ("-10%"), each added to its own end of `base`.
    """
    bounds = offset if isinstance(offset, list) else DEFAULT_OFFSET
    first, second = [*bounds, None, None][:2]
    length = base[1] - base[0]
    return base[0] + _shift(first, length), base[1] + _shift(second, length)


def _shift(bound: object, length: float) -> float:
    if isinstance(bound, int | float):
        return float(bound)
    leading = _LEADING_NUMBER.match(bound) if isinstance(bound, str) else None
    if leading is None:
        return 0.0
    value = float(leading[1])
    return value / 100 * length if str(bound).strip().endswith("%") else value
