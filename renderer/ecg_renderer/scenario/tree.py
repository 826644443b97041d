"""Ways through a scenario, how its times are read, and what only its author can put right: structure, tracks.

Paths are those of the user's own file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from ecg_renderer.scenario.report import Report, did_you_mean, listed

Node = dict[str, Any]
Cue = dict[str, Any]

_NUMBER = re.compile(r"\s*[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?\s*")


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


def time_range(value: object, path: str, report: Report, *, ordered: bool = True) -> list[int | float]:
    """Return `value` as [start, end] in seconds.

    Accepts [start, end] and {start, end}. Errors: ScenarioError if it is neither, holds something else than
    numbers, or (if `ordered`) ends before it starts.
    """
    pair = [value.get("start"), value.get("end")] if isinstance(value, dict) else value
    if not isinstance(pair, list) or len(pair) != 2:
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
        raise report.error("cues", "is missing", "A scenario is an object with a list of cues, maybe empty.")
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
