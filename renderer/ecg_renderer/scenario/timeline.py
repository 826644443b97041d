"""When cues are in the page and when plugins run, by MotionText's own rules.

    shown     a node: its displayTime, else its parent's, else its cue's; within the cue's domLifetime
    window    a plugin: its base time (or the node's, or when the node is shown), each end moved by an offset
    alive     a cue: from its first shown node to its last

All ends are inclusive.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any, NamedTuple

from ecg_renderer.scenario.model import SAMPLED_AFTER, CueSpan, Window
from ecg_renderer.scenario.report import Report
from ecg_renderer.scenario.tree import Cue, Node, cues_of
from ecg_renderer.scenario.windows import plugin_window, reach_a_frame

# Captions commonly end with the video, give or take rounding; only more than this is worth a word.
TOLERATED_OVERHANG = 1.0


class _Shown(NamedTuple):
    """A node that is shown: `times` are what its plugins count from, `window` is when it is in the page."""

    node: Node
    times: list[float]
    window: Window


def keep_visible(data: dict[str, Any], duration: float, rate: Fraction | None, report: Report) -> tuple[CueSpan, ...]:
    """Drop the cues never seen in a video of `duration` seconds, and return when the others are.

    Plugins whose window lies between two frames of `rate` are given one.
    """
    kept: list[Cue] = []
    spans: list[CueSpan] = []
    for path, cue in cues_of(data):
        times, lifetime = cue.get("displayTime"), cue.get("domLifetime")
        shown = list(_shown(cue["root"], times, lifetime, f"{path}.root", report))
        if not shown:
            report.warn("cue never shown", path, "has no time at which anything is shown, and was left out")
        elif (alive := _alive(shown, duration, path, report)) is not None:
            if rate is not None:
                for plugin, base, _ in _plugins(shown):
                    reach_a_frame(plugin, base, rate)
            animated = _merged(_plugin_windows(shown), alive)
            changes = {min(max(edge, alive[0]), alive[1]) for item in shown for edge in item.window}
            spans.append(CueSpan(len(kept), cue["id"], *alive, animated, tuple(sorted(changes))))
            kept.append(cue)
    data["cues"] = kept
    if not kept:
        report.warn("no cues", "cues", "nothing to show: the video is rendered without captions")
    return tuple(spans)


def _alive(shown: list[_Shown], duration: float, path: str, report: Report) -> Window | None:
    """Return when anything is shown within the video, or None."""
    start, end = min(item.window[0] for item in shown), max(item.window[1] for item in shown)
    if start >= duration or end < SAMPLED_AFTER:
        done = f"is shown from {start:g} to {end:g} s, outside the video of {duration:g} s, and was left out"
        report.warn("cue outside the video", path, done)
        return None
    if end > duration + TOLERATED_OVERHANG:
        done = f"ends at {end:g} s and was cut to the video's {duration:g} s"
        report.warn("cue beyond the end", path, done)
    return max(start, 0.0), min(end, duration)


def _shown(
    node: Node, inherited: list[float] | None, lifetime: list[float] | None, path: str, report: Report
) -> Iterator[_Shown]:
    times = node.get("displayTime", inherited)
    if times is not None and lifetime is not None:
        start, end = max(times[0], lifetime[0]), min(times[1], lifetime[1])
        if start <= end:
            yield _Shown(node, times, (float(start), float(end)))
    elif node["eType"] != "group":
        report.warn("node never shown", path, "has no displayTime, nor has its group: it is never shown")
    if node["eType"] == "group":
        for index, child in enumerate(node.get("children", ())):
            if child is not None:
                yield from _shown(child, times, lifetime, f"{path}.children[{index}]", report)


def _plugins(shown: list[_Shown]) -> Iterator[tuple[dict[str, Any], list[float], Window]]:
    """Yield every plugin with its base time, and when its node is in the page."""
    for node, times, window in shown:
        for plugin in node.get("pluginChain", ()):
            yield plugin, plugin.get("baseTime", node.get("baseTime", times)), window


def _plugin_windows(shown: list[_Shown]) -> Iterator[Window]:
    """Yield when a plugin runs while its node is in the page."""
    for plugin, base, window in _plugins(shown):
        start, end = plugin_window(base, plugin.get("timeOffset"))
        yield max(start, window[0]), min(end, window[1])


def _merged(windows: Iterator[Window], alive: Window) -> tuple[Window, ...]:
    """Return `windows` within `alive`, in order, overlapping ones joined."""
    merged: list[Window] = []
    for start, end in sorted((max(start, alive[0]), min(end, alive[1])) for start, end in windows):
        if end < start:
            continue
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((start, end))
    return tuple(merged)
