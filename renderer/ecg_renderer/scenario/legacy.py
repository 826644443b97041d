"""One cue of a version 1 scenario becomes one of version 2.0.

    hintTime {start, end}          -> domLifetime
    absStart, absEnd               -> displayTime [start, end]
    relStart, relEnd               -> timeOffset [seconds, seconds]
    relStartPct 0, relEndPct 1     -> timeOffset ["0%", "0%"]      2.0 counts the end from the end
    params.t0, t1 (seconds)        -> baseTime [absStart + t0, absStart + t1]
    position [x, y]                -> {x, y}
    style.plugin, style.options    -> pluginChain

Types, ids and plugin names are put right elsewhere, as for any scenario.
"""

from __future__ import annotations

from typing import Any

from ecg_renderer.scenario.report import Report
from ecg_renderer.scenario.tree import Cue, Node, number, time_range, walk

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


def size_in_pixels(style: dict[str, Any]) -> None:
    """Give a bare font size its unit, without which CSS ignores it."""
    if number(style.get("fontSize")) is not None:
        style["fontSize"] = f"{style['fontSize']}px"


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
