"""What clients get wrong and a renderer can put right without changing what a valid scenario shows.

Everything is done in place, and said in the report where somebody might want to know.
"""

from __future__ import annotations

from typing import Any

from ecg_renderer.scenario.model import ASSET_TYPES, Cue, Node, cues_of, nodes_of, number, time_range
from ecg_renderer.scenario.report import Report
from ecg_renderer.scenario.times import CueTimes, open_range, runs_as_it_is, settle_word_times

TYPES = ("group", "text", "image", "video")
ASPECTS = ("16:9", "9:16", "auto")
MOTIONTEXT_MARGIN = 0.5

# Nobody means eleven days: such times (Number.MAX_SAFE_INTEGER is one) stand for the start and the end.
FOREVER = 1e6

_TIME_HINT = "Write [start, end] in seconds, with start <= end."


def name_types(data: dict[str, Any], *, legacy: bool, report: Report) -> None:
    """Give every node its `eType`; version 1 calls it otherwise, which is not worth a warning there."""
    for path, cue in cues_of(data):
        if "root" in cue:
            _name_type(cue["root"], f"{path}.root", legacy, report)


def _name_type(node: Node, path: str, legacy: bool, report: Report) -> None:
    if node.get("eType") not in TYPES:
        wrong = node.get("eType")
        said = node.pop("e_type", node.get("type"))
        guess = "group" if "children" in node else "text"
        node["eType"] = said if said in TYPES else guess
        if wrong is not None:
            report.warn("type of a node", path, f"{str(wrong)[:40]!r} is no eType, and was taken for {node['eType']}")
        elif not legacy:
            report.warn("node type", path, f"has no eType and was taken for {node['eType']}")
    if node["eType"] == "group":
        for index, child in enumerate(node.get("children", ())):
            if child is not None:
                _name_type(child, f"{path}.children[{index}]", legacy, report)
    elif node.get("children"):
        done = (
            f"stand in a node of the type {node['eType']}, and only a group shows what stands in it: they are not shown"
        )
        report.warn(
            "children of no group", f"{path}.children", done, hint="Make the node a group, its text one of them."
        )


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
            is_font = value["type"] == "font"
            _take_offline(value, ("src",) if is_font and _is_https(value) else ("url", "src"), f"define.{name}", report)


def _is_https(asset: dict[str, Any]) -> bool:
    """Tell whether an asset has an address that is read while planning: https, or http of this machine for tests."""
    return str(asset.get("url", "")).lower().startswith(("https://", "http://127.0.0.1"))


def _take_offline(fields: dict[str, Any], names: tuple[str, ...], path: str, report: Report) -> None:
    for name in names:
        url = fields.get(name)
        if isinstance(url, str) and url and not url.lower().startswith("data:"):
            del fields[name]
            said = f'"{url[:100]}" was removed: only data: URLs, and fonts of https://, are loaded'
            report.warn("file to load", f"{path}.{name}", said)


def repair_cues(data: dict[str, Any], duration: float, report: Report) -> None:
    """Put every cue right: sources, times, ids.

    `duration` is that of the video in seconds. Errors: ScenarioError for times that are no numbers.
    """
    times = CueTimes([start for _, cue in cues_of(data) if (start := _start_of(cue)) is not None])
    for path, cue in cues_of(data):
        for node_path, node in nodes_of(cue, path):
            if node["eType"] in ("image", "video"):
                done = "MotionText 1.5.0 draws no pictures, at most their alt text"
                report.warn("picture", node_path, done, hint="Put the picture into the video, or leave it out.")
                _take_offline(node, ("src",), node_path, report)
            _repair_shown(node, duration, f"{node_path}.displayTime", cue, times, report)
        for name in ("domLifetime", "displayTime"):
            _repair_shown(cue, duration, f"{path}.{name}", cue, times, report)
        settle_word_times(cue, path, report)
        for node_path, node in nodes_of(cue, path):
            _repair_bases(node, duration, node_path, report)
        _give_lifetime(cue, duration, path, report)
    _repair_ids(data, report)


def _start_of(cue: Cue) -> float | None:
    for holder, name in ((cue["root"], "displayTime"), (cue, "displayTime"), (cue, "domLifetime")):
        value = holder.get(name)
        pair = [value.get("start")] if isinstance(value, dict) else value
        if isinstance(pair, list) and pair:
            return number(pair[0])
    return None


def _repair_shown(
    holder: dict[str, Any], duration: float, path: str, cue: Cue, times: CueTimes, report: Report
) -> None:
    """Put right when `holder`, a node or the cue, is shown, by the field that `path` ends with."""
    name = path.rpartition(".")[2]
    if name not in holder:
        return
    start, end = open_range(holder[name], path, report)
    if start is None:
        raise report.error(path, "has no start", "Write [start, end] in seconds.")
    if end is None and name == "domLifetime":
        del holder[name]
        report.warn("lifetime", path, f"does not end after its start at {start:g} s and was left out", hint=_TIME_HINT)
        return
    if end is None:
        letters = sum(len(str(node.get("text", ""))) for _, node in nodes_of(cue, ""))
        end = times.end_after(start, letters)
        done = f"does not end after its start at {start:g} s, and was taken to end at {end:g} s"
        report.warn("end of a cue", path, done, hint=_TIME_HINT)
    holder[name] = _bounded([start, end], duration, path, report)


def _repair_bases(node: Node, duration: float, path: str, report: Report) -> None:
    chain = node.get("pluginChain", ())
    for index, plugin in enumerate(chain):
        _repair_base(plugin, [plugin], duration, f"{path}.pluginChain[{index}].baseTime", report)
    if chain:
        _repair_base(
            node, [plugin for plugin in chain if "baseTime" not in plugin], duration, f"{path}.baseTime", report
        )


def _repair_base(
    holder: dict[str, Any], plugins: list[dict[str, Any]], duration: float, path: str, report: Report
) -> None:
    """Put the base time of `holder` right, by which `plugins` run."""
    if "baseTime" not in holder:
        return
    start, end = open_range(holder["baseTime"], path, report)
    if end is None and runs_as_it_is(holder["baseTime"], plugins):
        start, end = time_range(holder["baseTime"], path, report, ordered=False)
    if start is None or end is None:
        known = next((bound for bound in (start, end) if bound is not None), None)
        if known is None:
            del holder["baseTime"]
            return
        report.warn("base time", path, f"does not end after it starts, and was taken for {known:g} s", hint=_TIME_HINT)
        start = end = known
    holder["baseTime"] = _bounded([start, end], duration, path, report)


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
        open_range(node["baseTime"], f"{place}.baseTime", report)
        for place, node in nodes_of(cue, path)
        if "baseTime" in node
    ]
    bounds = [bound for base in bases for bound in base if bound is not None]
    return [[min(bounds), max(bounds)]] if bounds else []


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
