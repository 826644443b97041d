"""What preparing a scenario gives: MotionText 2.0 data, and when it shows what."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecg_renderer.fonts import FontUse
from ecg_renderer.scenario.report import Finding

# How long after a frame's time its captions are asked for, in seconds; page/stage.js does it. Times are rounded to
# milliseconds, so those within half of one mean the frame; and MotionText shows a cue up to and including its end, so
# a little more: at a boundary that is rounded by all of the half, two cues would be seen at once.
SAMPLED_AFTER = 0.000501
# Times are doubles in the browser, but a plan has exact fractions: a cue whose edge lies this close to where a frame
# is sampled is counted in, which costs nothing and can never lose it.
EDGE = 1e-8

READ_BY_MOTIONTEXT = ("version", "pluginApiVersion", "timebase", "stage", "behavior")
ASSET_TYPES = ("font", "image", "video", "audio")

Window = tuple[float, float]


@dataclass(frozen=True)
class Picture:
    """What captions are laid out on, in px: the output, or the editor's stage."""

    width: int
    height: int


PICTURE = Picture(1920, 1080)


@dataclass(frozen=True)
class CueSpan:
    """When a cue matters. Times are seconds within the video, both ends inclusive.

    `index` is the cue's place in `Scenario.data["cues"]`. `start` to `end` is when any of its elements can be
    in the page. `animated` are the windows in it in which a plugin runs, in order, not overlapping. `changes` are the
    times at which one of its elements comes or goes, in order.
    """

    index: int
    id: str
    start: float
    end: float
    animated: tuple[Window, ...]
    changes: tuple[float, ...] = ()


@dataclass(frozen=True)
class Scenario:
    """A scenario that MotionText 1.5.0 accepts, with what a plan needs to know about it.

    `data` is version 2.0 without references, JSON-serialisable; treat it as read-only. `plugins` are bare
    names, or one with a number ("fadein#2") for a second one on a node. `findings` are all that was put right or
    will not look as it was meant, `warnings` the first few of each kind as lines, and `routine` those of them that tell
    only of what was put right without a loss. `origins` are the places that the cues of `data` have in the user's own
    file. `latest` is when the last caption is over, in seconds, also where that is after the video's end.
    """

    data: dict[str, Any]
    cues: tuple[CueSpan, ...]
    plugins: frozenset[str]
    fonts: tuple[FontUse, ...]
    warnings: tuple[str, ...]
    findings: tuple[Finding, ...] = ()
    origins: tuple[int, ...] = ()
    latest: float = 0.0
    routine: frozenset[str] = frozenset()

    def touching(self, start: float, end: float) -> list[CueSpan]:
        """Return the cues that can be alive on some frame of those at `start` to `end` (seconds, inclusive)."""
        starts, ends = self._edges
        touched = (starts <= end + SAMPLED_AFTER + EDGE) & (ends >= start + SAMPLED_AFTER - EDGE)
        return [self.cues[index] for index in np.flatnonzero(touched)]

    @cached_property
    def _edges(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        return np.array([cue.start for cue in self.cues]), np.array([cue.end for cue in self.cues])

    def slice(self, start: float, end: float) -> dict[str, Any]:
        """Return what can be seen on the frames at `start` to `end` (seconds, inclusive), as a scenario of its own.

        Cues keep their order. What cannot change a picture is left out, so that equal slices have equal
        hashes. Parts are shared with `data`: treat the result as read-only.
        """
        cues = [self.data["cues"][cue.index] for cue in self.touching(start, end)]
        used = {cue["track"] for cue in cues}
        kept = {key: self.data[key] for key in READ_BY_MOTIONTEXT if key in self.data}
        assets = {key: value for key, value in self.data["define"].items() if is_asset(value)}
        tracks = [track for track in self.data["tracks"] if track["id"] in used]
        return {**kept, "define": assets, "tracks": tracks, "cues": cues}


def is_asset(value: object) -> bool:
    """Tell whether an entry of `define` is a file for MotionText to load, not a value to refer to."""
    return isinstance(value, dict) and value.get("type") in ASSET_TYPES and isinstance(value.get("url"), str)


# --- one hash for scenarios that a browser cannot tell apart --------------------------------------


def canonical_hash(data: Any) -> str:
    """Return the SHA-256 (hex) of `data` as canonical JSON: sorted keys, no spaces, 2.0 written as 2."""
    text = json.dumps(_plain(data), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value
