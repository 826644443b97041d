"""What preparing a scenario gives: MotionText 2.0 data, and when it shows what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

# Frame times and caption times are doubles in the browser, but a plan has exact fractions: a cue whose edge lies
# this close to a frame is counted in, which costs nothing and can never lose it.
EDGE = 1e-6

READ_BY_MOTIONTEXT = ("version", "pluginApiVersion", "timebase", "stage", "behavior")
ASSET_TYPES = ("font", "image", "video", "audio")

Window = tuple[float, float]


@dataclass(frozen=True)
class CueSpan:
    """When a cue matters. Times are seconds within the video, both ends inclusive.

    `index` is the cue's place in `Scenario.data["cues"]`. `start` to `end` is when any of its elements can be
    in the page. `animated` are the windows in it in which a plugin runs, in order, not overlapping.
    """

    index: int
    id: str
    start: float
    end: float
    animated: tuple[Window, ...]

    def touches(self, start: float, end: float) -> bool:
        """Tell whether the cue can be alive at some time from `start` to `end` (seconds, inclusive)."""
        return self.start <= end + EDGE and self.end >= start - EDGE


@dataclass(frozen=True)
class FontUse:
    """A font as captions ask for it, and what they write in it.

    `families` is the CSS list, best first, and empty where the scenario names none. `weight` is a CSS weight.
    `characters` are the distinct characters, sorted.
    """

    families: tuple[str, ...]
    weight: str
    characters: str


@dataclass(frozen=True)
class Scenario:
    """A scenario that MotionText 1.5.0 accepts, with what a plan needs to know about it.

    `data` is version 2.0 without references, JSON-serialisable; treat it as read-only. `plugins` are bare names.
    """

    data: dict[str, Any]
    cues: tuple[CueSpan, ...]
    plugins: frozenset[str]
    fonts: tuple[FontUse, ...]
    warnings: tuple[str, ...]

    def slice(self, start: float, end: float) -> dict[str, Any]:
        """Return what can be seen from `start` to `end` (seconds, both inclusive), as a scenario of its own.

        Cues keep their order. What cannot change a picture is left out, so that equal slices have equal
        hashes. Parts are shared with `data`: treat the result as read-only.
        """
        cues = [self.data["cues"][cue.index] for cue in self.cues if cue.touches(start, end)]
        used = {cue["track"] for cue in cues}
        kept = {key: self.data[key] for key in READ_BY_MOTIONTEXT if key in self.data}
        assets = {key: value for key, value in self.data["define"].items() if is_asset(value)}
        tracks = [track for track in self.data["tracks"] if track["id"] in used]
        return {**kept, "define": assets, "tracks": tracks, "cues": cues}


def is_asset(value: object) -> bool:
    """Tell whether an entry of `define` is a file for MotionText to load, not a value to refer to."""
    return isinstance(value, dict) and value.get("type") in ASSET_TYPES and isinstance(value.get("url"), str)
