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
    size_in_pixels,
)
from ecg_renderer.scenario.model import Cue, Node, Picture, cues_of, number, time_range, walk
from ecg_renderer.scenario.report import Report

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


# --- one cue of version 1 -------------------------------------------------------------------------
#     hintTime {start, end}          -> domLifetime
#     absStart, absEnd               -> displayTime [start, end]
#     relStart, relEnd               -> timeOffset [seconds, seconds]
#     relStartPct 0, relEndPct 1     -> timeOffset ["0%", "0%"]      2.0 counts the end from the end
#     params.t0, t1 (seconds)        -> baseTime [absStart + t0, absStart + t1]
#     position [x, y]                -> {x, y}
#     style.plugin, style.options    -> pluginChain
#
# Types, ids and plugin names are put right elsewhere, as for any scenario.


# A version 1 cue is built a little before it shows and taken down a little after, as MotionText does by itself.
MARGIN = 0.5

Range = list[int | float]


def migrate_cue(cue: Cue, path: str, report: Report) -> None:
    """Rewrite `cue` in place. Errors: ScenarioError if it says no time, or a time is not one."""
    root: Node = cue["root"]
    hint = _hint(cue.pop("hintTime", None), path, report)
    for node_path, node in walk(root, f"{path}.root"):
        _migrate_node(node, hint, node_path, report)
    shown: list[Range] = [node["displayTime"] for _, node in walk(root, path) if "displayTime" in node]
    if not shown and hint:
        shown = [hint]
    if not shown:
        raise report.error(path, "has no time", "Give its nodes absStart and absEnd, or the cue a hintTime.")
    hull: Range = [min(start for start, _ in shown), max(end for _, end in shown)]
    root.setdefault("displayTime", hull)
    alive = [min(hull[0], hint[0]), max(hull[1], hint[1])] if hint else [hull[0] - MARGIN, hull[1] + MARGIN]
    cue.setdefault("domLifetime", alive)
    # Without one of its own, MotionText makes the track's text background the root's, around nothing.
    if "layout" not in root and root["eType"] == "group":
        root.setdefault("boxStyle", {})


def _hint(value: object, path: str, report: Report) -> Range | None:
    if value is None or number(value) is not None:
        return None  # a bare number says when to start, not until when
    return time_range(value, f"{path}.hintTime", report)


def _migrate_node(node: Node, hint: Range | None, path: str, report: Report) -> None:
    start, end = node.pop("absStart", None), node.pop("absEnd", None)
    if (start is not None or end is not None) and "displayTime" not in node:
        fill = hint or [start, end]
        pair = [fill[0] if start is None else start, fill[1] if end is None else end]
        node["displayTime"] = time_range(pair, f"{path} (absStart, absEnd)", report)
    if "displayTime" in node:
        node["displayTime"] = time_range(node["displayTime"], f"{path}.displayTime", report)
    if "text" not in node and "content" in node:
        node["text"] = node.pop("content")
    if isinstance(node.get("layout"), dict):
        _migrate_layout(node["layout"])
    if isinstance(node.get("style"), dict):
        _migrate_style(node)
    chain = node.get("pluginChain")
    for plugin in chain if isinstance(chain, list) else ():
        if isinstance(plugin, dict):
            _migrate_plugin(plugin, node.get("displayTime") or hint)


def _migrate_layout(layout: dict[str, Any]) -> None:
    position = layout.get("position")
    if isinstance(position, list) and len(position) == 2:
        layout["position"] = {"x": position[0], "y": position[1]}
    transform = layout.get("transform")
    point = transform.get("anchor") if isinstance(transform, dict) else None
    x, y = (number(value) for value in point) if isinstance(point, list) and len(point) == 2 else (None, None)
    if x is not None and y is not None:
        layout.setdefault("anchor", "tcb"[_third(y)] + "lcr"[_third(x)])


def _third(fraction: float) -> int:
    return round(min(max(fraction, 0), 1) * 2)


def _migrate_style(node: Node) -> None:
    style = node["style"]
    size_in_pixels(style)
    if isinstance(style.get("plugin"), str):
        plugin = {"name": style.pop("plugin"), "params": style.pop("options", {}), "timeOffset": [0, 0]}
        node.setdefault("pluginChain", []).append(plugin)


def _migrate_plugin(plugin: dict[str, Any], shown: Range | None) -> None:
    params = plugin.get("params")
    offsets = [number(params.get(key)) if isinstance(params, dict) else None for key in ("t0", "t1")]
    if shown and isinstance(params, dict) and offsets[0] is not None and offsets[1] is not None:
        plugin["baseTime"] = [shown[0] + offsets[0], shown[0] + offsets[1]]
        plugin["params"] = {key: value for key, value in params.items() if key not in ("t0", "t1")}
    seconds = [number(plugin.pop(key, None)) for key in ("relStart", "relEnd")]
    shares = [number(plugin.pop(key, None)) for key in ("relStartPct", "relEndPct")]
    offset = [_offset(seconds[boundary], shares[boundary], boundary) for boundary in (0, 1)]
    plugin.setdefault("timeOffset", offset)


def _offset(seconds: float | None, share: float | None, boundary: int) -> float | str:
    """Return a 2.0 offset, which counts from its own boundary (0 the start, 1 the end of the base time)."""
    if share is not None and share != boundary:
        return f"{round((share - boundary) * 100, 6):g}%"
    return seconds or 0


# --- the time base: MotionText counts in seconds, some clients in milliseconds --------------------


PER_SECOND = {"seconds": 1, "second": 1, "sec": 1, "s": 1, "milliseconds": 1000, "ms": 1000}

_CUE_TIMES = ("domLifetime", "displayTime", "hintTime", "start", "end", "startTime", "endTime", "duration")
_NODE_TIMES = ("displayTime", "baseTime", "absStart", "absEnd")
_PLUGIN_TIMES = ("baseTime", "timeOffset", "relStart", "relEnd")
_PARAM_TIMES = ("t0", "t1")


def to_seconds(data: dict[str, Any], report: Report) -> None:
    """Convert all times of cues, nodes and plugins to seconds, in place, and say so in `timebase`.

    Errors: ScenarioError for a unit that is not known.
    """
    said = data.get("timebase", {})
    timebase: dict[str, Any] = said if isinstance(said, dict) else {"unit": said}
    unit = timebase.get("unit", "seconds")
    if not isinstance(unit, str) or unit not in PER_SECOND:
        raise report.error("timebase.unit", f'"{unit}" is not a unit of time', 'Write "seconds" or "ms".')
    fps = timebase.get("fps")
    if fps is not None and not (isinstance(fps, int | float) and fps > 0):
        report.warn("time base", "timebase.fps", f"{fps} is not a frame rate and was dropped")
        del timebase["fps"]
    data["timebase"] = {**timebase, "unit": "seconds"}
    if PER_SECOND[unit] == 1:
        return
    report.warn("time base", "timebase.unit", f"times in {unit} were converted to seconds")
    for _, cue in cues_of(data):
        _divide(cue, _CUE_TIMES, PER_SECOND[unit])
        if "root" in cue:
            _divide_node(cue["root"], PER_SECOND[unit])


def _divide_node(node: dict[str, Any], per_second: int) -> None:
    _divide(node, _NODE_TIMES, per_second)
    chain = node.get("pluginChain")
    for plugin in chain if isinstance(chain, list) else ():
        if isinstance(plugin, dict):
            _divide(plugin, _PLUGIN_TIMES, per_second)
            if isinstance(plugin.get("params"), dict):
                _divide(plugin["params"], _PARAM_TIMES, per_second)
    for child in node.get("children", ()):
        if child is not None:
            _divide_node(child, per_second)


def _divide(fields: dict[str, Any], names: tuple[str, ...], per_second: int) -> None:
    for name in names:
        if name in fields:
            fields[name] = _divided(fields[name], per_second)


def _divided(value: Any, per_second: int) -> Any:
    if isinstance(value, list):
        return [_divided(item, per_second) for item in value]
    if isinstance(value, dict):
        return {key: _divided(item, per_second) for key, item in value.items()}
    plain = number(value)
    return value if plain is None else plain / per_second
