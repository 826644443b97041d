"""What clients get wrong and a renderer can put right without changing what a valid scenario shows.

Everything is done in place, and said in the report where somebody might want to know.
"""

from __future__ import annotations

from typing import Any

from ecg_renderer.scenario.model import ASSET_TYPES
from ecg_renderer.scenario.report import Report
from ecg_renderer.scenario.tree import Cue, Node, cues_of, nodes_of, time_range

TYPES = ("group", "text", "image", "video")
ASPECTS = ("16:9", "9:16", "auto")
MOTIONTEXT_MARGIN = 0.5

# Nobody means eleven days: such times (Number.MAX_SAFE_INTEGER is one) stand for the start and the end.
FOREVER = 1e6


def name_types(data: dict[str, Any], *, legacy: bool, report: Report) -> None:
    """Give every node its `eType`; version 1 calls it otherwise, which is not worth a warning there."""
    for path, cue in cues_of(data):
        if "root" in cue:
            _name_type(cue["root"], f"{path}.root", legacy, report)


def _name_type(node: Node, path: str, legacy: bool, report: Report) -> None:
    if not isinstance(node.get("eType"), str):
        said = node.pop("e_type", node.get("type"))
        guess = "group" if "children" in node else "text"
        node["eType"] = said if said in TYPES else guess
        if not legacy:
            report.warn("node type", path, f"has no eType and was taken for {node['eType']}")
    if node["eType"] == "group":
        for index, child in enumerate(node.get("children", ())):
            if child is not None:
                _name_type(child, f"{path}.children[{index}]", legacy, report)


def repair_frame(data: dict[str, Any], report: Report) -> None:
    """Put the scenario's own fields right: stage and assets."""
    stage = data.get("stage")
    aspect = stage.get("baseAspect") if isinstance(stage, dict) else None
    if aspect not in ASPECTS:
        data["stage"] = {**(stage if isinstance(stage, dict) else {}), "baseAspect": "auto"}
        if aspect is not None:
            report.warn("aspect", "stage.baseAspect", f'"{aspect}" was replaced by "auto", the video sets it')
    for name, value in data["define"].items():
        if isinstance(value, dict) and value.get("type") in ASSET_TYPES:
            _take_offline(value, ("url", "src"), f"define.{name}", report)


def _take_offline(fields: dict[str, Any], names: tuple[str, ...], path: str, report: Report) -> None:
    for name in names:
        url = fields.get(name)
        if isinstance(url, str) and url and not url.lower().startswith("data:"):
            del fields[name]
            said = f'"{url[:100]}" was removed: only data: URLs are loaded while rendering'
            report.warn("file to load", f"{path}.{name}", said)


def repair_cues(data: dict[str, Any], duration: float, report: Report) -> None:
    """Put every cue right: sources, times, ids.

    `duration` is that of the video in seconds. Errors: ScenarioError for times that end before they start, or
    are no numbers.
    """
    for path, cue in cues_of(data):
        for node_path, node in nodes_of(cue, path):
            if node["eType"] in ("image", "video"):
                report.warn("picture", node_path, "MotionText 1.5.0 draws no pictures, at most their alt text")
                _take_offline(node, ("src",), node_path, report)
            _repair_times(node, duration, node_path, report)
        _give_lifetime(cue, duration, path, report)
    _repair_ids(data, report)


def _repair_times(node: Node, duration: float, path: str, report: Report) -> None:
    if "displayTime" in node:
        place = f"{path}.displayTime"
        node["displayTime"] = _bounded(time_range(node["displayTime"], place, report), duration, place, report)
    chain = node.get("pluginChain", ())
    for index, plugin in enumerate(chain):
        _repair_base(plugin, duration, f"{path}.pluginChain[{index}].baseTime", report)
    if chain:
        _repair_base(node, duration, f"{path}.baseTime", report)


def _repair_base(holder: dict[str, Any], duration: float, path: str, report: Report) -> None:
    if "baseTime" in holder:
        base = time_range(holder["baseTime"], path, report, ordered=False)
        if base[1] < base[0]:
            report.warn("base time", path, f"ends at {base[1]:g} s, before it starts at {base[0]:g} s")
        holder["baseTime"] = _bounded(base, duration, path, report)


def _bounded(times: list[int | float], duration: float, path: str, report: Report) -> list[int | float]:
    start, end = times
    if max(abs(start), abs(end)) <= FOREVER:
        return times
    start = 0 if start < -FOREVER else min(start, FOREVER)
    end = max(duration, start) if end > FOREVER else end
    report.warn("endless time", path, f"[{times[0]:g}, {times[1]:g}] was cut to [{start:g}, {end:g}]")
    return [start, end]


def _give_lifetime(cue: Cue, duration: float, path: str, report: Report) -> None:
    """Give the cue the lifetime that MotionText would, and a time to show if it has none of its own."""
    for name in ("domLifetime", "displayTime"):
        if name in cue:
            place = f"{path}.{name}"
            cue[name] = _bounded(time_range(cue[name], place, report), duration, place, report)
    own = [node["displayTime"] for _, node in nodes_of(cue, path) if "displayTime" in node]
    shown = own or ([cue["displayTime"]] if "displayTime" in cue else [])
    if not shown:
        shown = _time_from_elsewhere(cue, path, report)
        if shown:
            shown = [_bounded(shown[0], duration, path, report)]
            cue["root"]["displayTime"] = shown[0]
            report.warn("no display time", path, f"says only {shown[0]} and is shown for that time")
    if shown:
        margin = MOTIONTEXT_MARGIN
        cue.setdefault("domLifetime", [min(a for a, _ in shown) - margin, max(b for _, b in shown) + margin])


def _time_from_elsewhere(cue: Cue, path: str, report: Report) -> list[list[int | float]]:
    for name in ("domLifetime", "hintTime"):
        if isinstance(cue.get(name), list | dict):
            return [time_range(cue[name], f"{path}.{name}", report)]
    bases = [
        time_range(node["baseTime"], f"{place}.baseTime", report, ordered=False)
        for place, node in nodes_of(cue, path)
        if "baseTime" in node
    ]
    return [[min(min(base) for base in bases), max(max(base) for base in bases)]] if bases else []


def _repair_ids(data: dict[str, Any], report: Report) -> None:
    ids = _Ids(report)
    for index, (path, cue) in enumerate(cues_of(data)):
        cue["id"] = ids.claim(cue.get("id"), f"cue-{index + 1}", f"{path}.id")
        for node_path, node in nodes_of(cue, path):
            generated = cue["id"] + node_path.removeprefix(path).replace(".children", "")
            node["id"] = ids.claim(node.get("id"), generated, f"{node_path}.id")


class _Ids:
    """Ids of cues and nodes, which share one name space in MotionText.

    It joins them by a colon and takes them apart there: with a colon inside, a plugin's state outlives its node.
    """

    def __init__(self, report: Report) -> None:
        self.report = report
        self.taken: set[str] = set()
        self.copies: dict[str, int] = {}

    def claim(self, wanted: object, generated: str, path: str) -> str:
        given = str(wanted) if isinstance(wanted, str | int | float) and wanted != "" else generated
        name = given.replace(":", "-")
        free = name
        while free in self.taken:
            self.copies[name] = self.copies.get(name, 1) + 1
            free = f"{name}-{self.copies[name]}"
        if free != given and given != generated:
            why = "is taken" if free != name else "holds a colon"
            self.report.warn("id", path, f'"{given}" {why} and became "{free}"')
        self.taken.add(free)
        return free
