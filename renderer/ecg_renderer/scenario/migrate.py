"""Version 1 scenarios and flat cue lists become version 2.0.

    1.x    {e_type, absStart, absEnd, hintTime, ...}   ->  {eType, displayTime, domLifetime, ...}
    flat   {text, start, end, style}                   ->  a caption at the bottom, in a box

MotionText 1.5.0 reads 2.0 only. Cues of a 2.0 scenario are left as they are, but for those without a root.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from ecg_renderer.scenario.flat import (
    CAPTION_CHILDREN,
    CAPTION_POSITION,
    CAPTION_STYLE,
    build_flat,
    caption_size,
    settle_flat_times,
)
from ecg_renderer.scenario.legacy import migrate_cue
from ecg_renderer.scenario.model import Picture
from ecg_renderer.scenario.report import Report
from ecg_renderer.scenario.tree import Cue, cues_of, number

CAPTION_TRACK = "caption"
SAFE_AREA = {"bottom": 0.075, "left": 0.05, "right": 0.05}


def is_legacy(data: dict[str, Any], report: Report) -> bool:
    """Tell whether the scenario is of version 1, or says no version and is not built like 2.0.

    Errors: ScenarioError for a version that is neither 1.x nor 2.0.
    """
    version = data.get("version")
    if version is None:
        cues = data.get("cues")
        return isinstance(cues, list) and not any(_built_like_2(cue) for cue in cues)
    said = number(version.removeprefix("v").removesuffix(".0") if isinstance(version, str) else version)
    if said == 2:
        return False
    if said is not None and 1 <= said < 2:
        return True
    raise report.error("version", f'"{version}" cannot be rendered', "Versions 1.0 to 1.3 and 2.0 can.")


def _built_like_2(cue: object) -> bool:
    root = cue.get("root") if isinstance(cue, dict) else None
    return isinstance(root, dict) and "eType" in root


def migrate(data: dict[str, Any], *, legacy: bool, picture: Picture, report: Report) -> None:
    """Bring every cue of `data` to the shape of 2.0, in place, and add the tracks that migrated cues lack."""
    migrated: list[Cue] = []
    settle_flat_times(data, report)
    for path, cue in cues_of(data):
        if "root" not in cue:
            build_flat(cue, path, picture, report)
            migrated.append(cue)
        elif legacy:
            migrate_cue(cue, path, report)
            _give_place(cue["root"])
            migrated.append(cue)
    if data.get("version") != "2.0":
        said = f"is {data['version']}" if "version" in data else "is missing"
        read_as = "was migrated to" if legacy else "was read as"
        report.warn("version", "version", f"{said}, the scenario {read_as} 2.0")
        data["version"] = "2.0"
    if migrated:
        _add_tracks(data, migrated, picture, report)


def _give_place(root: dict[str, Any]) -> None:
    """Put a version 1 cue where captions go, if neither its root nor anything in it says where."""
    nodes = [root, *(child for child in root.get("children", ()) if child is not None)]
    layouts = [node["layout"] for node in nodes if isinstance(node.get("layout"), dict)]
    if any("position" in layout for layout in layouts):
        return
    layout: dict[str, Any] = {"childrenLayout": CAPTION_CHILDREN} if root["eType"] == "group" else {}
    if root.get("layout") in layouts:
        layout.update(root["layout"])
    root["layout"] = {**deepcopy(layout), **CAPTION_POSITION}


def _add_tracks(data: dict[str, Any], migrated: list[Cue], picture: Picture, report: Report) -> None:
    tracks: list[dict[str, Any]] = data.setdefault("tracks", [])
    known = {track.get("id") for track in tracks}
    for cue in migrated:
        name = cue.setdefault("track", tracks[0].get("id") if tracks else CAPTION_TRACK)
        if not isinstance(name, str) or name in known:
            continue
        known.add(name)
        subtitle = name in (CAPTION_TRACK, "subtitle")
        track = {"id": name, "type": "subtitle" if subtitle else "free", "layer": len(tracks) + 1}
        constraints = {"safeArea": dict(SAFE_AREA)}
        style = {"fontSizeRel": caption_size(picture), **CAPTION_STYLE}
        tracks.append({**track, "defaultStyle": style, "defaultConstraints": constraints})
        report.warn("missing track", "tracks", f'"{name}" is used but missing, and was added')
