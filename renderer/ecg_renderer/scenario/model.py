"""What preparing a scenario gives and walks through: MotionText 2.0 data, when it shows what, its structure."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecg_renderer.scenario.load import WHAT_IS_READ
from ecg_renderer.scenario.report import Finding, Report, did_you_mean, listed
from ecg_renderer.served import FontUse

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
Node = dict[str, Any]
Cue = dict[str, Any]

_NUMBER = re.compile(r"\s*[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?\s*")


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


# --- ways through a scenario, and how its times are read; paths are those of the user's own file ---


def cues_of(data: dict[str, Any]) -> Iterator[tuple[str, Cue]]:
    """Yield every cue with its path; holes (null) are passed over."""
    for index, cue in enumerate(data["cues"]):
        if cue is not None:
            yield f"cues[{index}]", cue


def walk(node: Node, path: str) -> Iterator[tuple[str, Node]]:
    """Yield `node` and all nodes below it with their paths, parents first, as MotionText does."""
    yield path, node
    if node.get("eType") == "group":
        for index, child in enumerate(node.get("children", ())):
            if child is not None:
                yield from walk(child, f"{path}.children[{index}]")


def nodes_of(cue: Cue, path: str) -> Iterator[tuple[str, Node]]:
    """Yield all nodes of the cue at `path`."""
    return walk(cue["root"], f"{path}.root")


def drop_holes(data: dict[str, Any]) -> None:
    """Remove the nulls from lists of nodes; only afterwards do paths differ from the user's."""
    for path, cue in cues_of(data):
        for _, node in nodes_of(cue, path):
            if "children" in node:
                node["children"] = [child for child in node["children"] if child is not None]


def number(value: object) -> int | float | None:
    """Return a number, or a number written as text, as a number; None for anything else."""
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        return float(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    return None


def pair_of(value: object) -> list[Any] | None:
    """Return start and end of [start, end] and of {start, end}; None for anything else."""
    pair = [value.get("start"), value.get("end")] if isinstance(value, dict) else value
    return pair if isinstance(pair, list) and len(pair) == 2 else None


def time_range(value: object, path: str, report: Report, *, ordered: bool = True) -> list[int | float]:
    """Return `value` as [start, end] in seconds.

    Accepts [start, end] and {start, end}. Errors: ScenarioError if it is neither, holds something else than
    numbers, or (if `ordered`) ends before it starts.
    """
    pair = pair_of(value)
    if pair is None:
        raise report.error(path, "must be [start, end] in seconds")
    start, end = number(pair[0]), number(pair[1])
    if start is None or end is None:
        name, wrong = ("start", pair[0]) if start is None else ("end", pair[1])
        problem = f"has no {name}" if wrong is None else f"the {name} {str(wrong)[:40]!r} is not a number"
        raise report.error(path, problem, "Times are [start, end] in seconds.")
    if ordered and end < start:
        problem = f"ends at {end:g} s, before it starts at {start:g} s"
        raise report.error(path, problem, "Write [start, end] with start <= end.")
    return [start, end]


# --- what only the author can put right -----------------------------------------------------------


MAX_CUES = 10_000


def check_structure(data: dict[str, Any], report: Report) -> None:
    """Check that cues, nodes and tracks are lists of objects; afterwards every part can be walked.

    Errors: ScenarioError with the path of what is not, or with the number of cues if it is above `MAX_CUES`.
    """
    if "cues" not in data:
        has = listed(name[:40] for name in data if name not in ("version", "define"))
        raise report.error("cues", f"is missing; there is {has}", WHAT_IS_READ)
    _check_objects(data["cues"], "cues", report)
    if len(data["cues"]) > MAX_CUES:
        problem = f"{len(data['cues']):,} cues are more than the limit of {MAX_CUES:,}"
        raise report.error("cues", problem, "Split the video.")
    for path, cue in cues_of(data):
        if "root" in cue:
            _check_node(cue["root"], f"{path}.root", report)
    if "tracks" in data:
        _check_tracks(data, report)


def _check_objects(value: object, path: str, report: Report) -> None:
    if not isinstance(value, list):
        raise report.error(path, "must be a list")
    for index, item in enumerate(value):
        if item is not None and not isinstance(item, dict):
            raise report.error(f"{path}[{index}]", f"must be an object, not {str(item)[:40]!r}")


def _check_node(node: object, path: str, report: Report) -> None:
    if not isinstance(node, dict):
        raise report.error(path, f"must be an object, not {str(node)[:40]!r}")
    if "children" in node:
        _check_objects(node["children"], f"{path}.children", report)
        for index, child in enumerate(node["children"]):
            if child is not None:
                _check_node(child, f"{path}.children[{index}]", report)


def _check_tracks(data: dict[str, Any], report: Report) -> None:
    _check_objects(data["tracks"], "tracks", report)
    data["tracks"] = [track for track in data["tracks"] if track is not None]
    seen: set[str] = set()
    for index, track in enumerate(data["tracks"]):
        name = track.get("id")
        if not isinstance(name, str) or not name:
            raise report.error(f"tracks[{index}].id", "is missing", "Cues name their track by its id.")
        if name in seen:
            raise report.error(f"tracks[{index}].id", f'"{name}" is the id of another track too')
        seen.add(name)


def check_tracks(data: dict[str, Any], report: Report) -> None:
    """Check that every cue lies on a track that exists; a cue that names none goes on the only one there is.

    Errors: ScenarioError with the cue's path, the known tracks, and the closest name.
    """
    known = [track["id"] for track in data.setdefault("tracks", [])]
    for path, cue in cues_of(data):
        if "track" not in cue and len(known) == 1:
            cue["track"] = known[0]
            report.warn("cue without track", path, f'names no track and was put on "{known[0]}"')
        name = cue.get("track")
        if name not in known:
            problem = f'no track is called "{name}"' if name is not None else "names no track"
            where = f"{path}.track" if name is not None else path
            raise report.error(where, f"{problem} (there: {listed(known)})", did_you_mean(str(name), known))
