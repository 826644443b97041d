"""What only the author can put right: structure, tracks, and the number of cues."""

from __future__ import annotations

from typing import Any

from ecg_renderer.scenario.report import Report, did_you_mean, listed
from ecg_renderer.scenario.tree import cues_of

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
