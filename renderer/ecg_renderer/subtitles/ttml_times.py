"""When something is shown that TTML says: clock times, counts of frames and ticks, time codes of tapes."""

from __future__ import annotations

import math
import re

from ecg_renderer.scenario import Report

TIME_HINT = "Write 12.5s, or 00:00:12.500."
_CLOCK = re.compile(r"(\d+):(\d{1,2}):(\d{1,2}(?:\.\d+)?)(?::(\d+)(?:\.(\d+))?)?")
_OFFSET = re.compile(r"(\d+(?:\.\d+)?)(h|ms|m|s|f|t|)")
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_LATEST = 1e10  # seconds; live streams count from 1970
_DEFAULT_RATE = "30"  # TTML's own


class Clock:
    """What the root says of times: frames, ticks, and whether times are counts of frames, as on tapes."""

    def __init__(self, said: dict[str, str], report: Report) -> None:
        """Errors: ValueError for rates that are none, and for the time of day."""
        self._report = report
        self._told = False
        self._rate = _positive("frameRate", said.get("frameRate", _DEFAULT_RATE))
        factors = said.get("frameRateMultiplier", "1 1").replace(":", " ").split()
        above, below = (_positive("frameRateMultiplier", factor) for factor in (factors if len(factors) == 2 else "00"))
        self._parts = _positive("subFrameRate", said.get("subFrameRate", "1"))
        tick = 1 / self._rate / self._parts if "frameRate" in said else 1.0
        if "tickRate" in said:
            tick = 1 / _positive("tickRate", said["tickRate"])
        self._units = _UNITS | {"f": below / above / self._rate, "t": tick}
        base = said.get("timeBase", "media")
        if base == "clock":
            raise ValueError('timeBase is "clock": times are those of a day, not of a video')
        self._counts_frames = base == "smpte"
        # Numbers that are left out: so many every so many minutes, but not every so many.
        drops = {"dropNTSC": (2, 1, 10), "dropPAL": (4, 2, 20)}
        self._dropped, self._every, self._kept = drops.get(said.get("dropMode", ""), (0, 1, 10))

    def seconds(self, key: str, said: str, place: str) -> float:
        """Return the time expression at `place` in seconds; raises ValueError for none."""
        seconds = math.inf
        if clock := _CLOCK.fullmatch(said.strip()):
            hours, minutes, rest, frames, parts = (float(part or 0) for part in clock.groups())
            frames += parts / self._parts
            minutes += hours * 60
            if self._counts_frames and minutes < math.inf:
                frames += (minutes * 60 + rest) * self._rate
                frames -= self._dropped * (minutes // self._every - minutes // self._kept)
                minutes = rest = 0.0
            seconds = minutes * 60 + rest + frames * self._units["f"]
        elif offset := _OFFSET.fullmatch(said.strip()):
            seconds = float(offset[1]) * self._units[offset[2] or "s"]
            if not offset[2] and not self._told:
                self._told = True
                done = f'{key}="{said[:40]}" has no unit: this and all like it were read as seconds'
                self._report.warn("time without a unit", place, done, hint=TIME_HINT)
        if not seconds < _LATEST:
            raise ValueError(f'{key}="{said[:40]}", which is no time')
        return seconds


def _positive(name: str, said: str) -> float:
    try:
        rate = float(said)
    except ValueError:
        rate = 0.0
    if not 0 < rate < math.inf:
        raise ValueError(f'{name} is "{said[:40]}", and has to be a number above 0')
    return rate
