"""When cues are in the page and when plugins run, by MotionText's own rules.

    shown     a node: its displayTime, else its parent's, else its cue's; within the cue's domLifetime
    window    a plugin: its base time (or the node's, or when the node is shown), each end moved by an offset
    alive     a cue: from its first shown node to its last

All ends are inclusive.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from math import ceil
from typing import Any, NamedTuple

from ecg_renderer.scenario.model import SAMPLED_AFTER, Cue, CueSpan, Node, Window, cues_of
from ecg_renderer.scenario.report import Report
from ecg_renderer.scenario.times import Running, plugin_window, reach_a_frame, settle_early_plugins

# Captions commonly end with the video, give or take rounding; only more than this is worth a word.
TOLERATED_OVERHANG = 1.0
_ELSEWHERE = (
    'Times are in seconds from the begin of the video. Write "timebase": {"unit": "ms"} where they are milliseconds; '
    "where they count from elsewhere, such as 01:00:00, move them: ffmpeg -itsoffset -3600 -i OLD.srt NEW.srt."
)


class _Shown(NamedTuple):
    """A node that is shown: `times` are what its plugins count from, `window` is when it is in the page."""

    path: str
    node: Node
    times: list[float]
    window: Window


def keep_visible(
    data: dict[str, Any], duration: float, rate: Fraction | None, first: Fraction, report: Report
) -> tuple[tuple[CueSpan, ...], tuple[int, ...], float]:
    """Drop the cues never seen in a video that ends at `duration` seconds, with its first frame at `first`.

    Return when the others are seen, where they stood, and when the last of all is over, also where that is after the
    video's end. Plugins whose window lies between two frames of `rate` are given one, and those that are over before
    their text is shown end as it appears.
    """
    kept: list[Cue] = []
    spans: list[CueSpan] = []
    origins: list[int] = []
    latest = 0.0
    for path, cue in cues_of(data):
        times, lifetime = cue.get("displayTime"), cue.get("domLifetime")
        shown = list(_shown(cue["root"], times, lifetime, f"{path}.root", report))
        settle_early_plugins(_plugins(shown), report)
        if not shown:
            report.warn("cue never shown", path, "has no time at which anything is shown, and was left out")
            continue
        latest = max(latest, *(item.window[1] for item in shown))
        if (alive := _alive(shown, duration, path, report)) is not None:
            if rate is not None:
                for running in _plugins(shown):
                    reach_a_frame(running.plugin, running.base, rate, first)
                _warn_unseen(alive, rate, first, path, report)
            animated = _merged(_plugin_windows(shown), alive)
            changes = {min(max(edge, alive[0]), alive[1]) for item in shown for edge in item.window}
            spans.append(CueSpan(len(kept), cue["id"], *alive, animated, tuple(sorted(changes))))
            kept.append(cue)
            origins.append(int(path.removeprefix("cues[").removesuffix("]")))
    data["cues"] = kept
    if not kept:
        hint = _ELSEWHERE if latest > duration else ""
        report.warn("no cues", "cues", "nothing to show: the video is rendered without captions", hint=hint)
    return tuple(spans), tuple(origins), latest


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
            yield _Shown(path, node, times, (float(start), float(end)))
    elif node["eType"] != "group":
        report.warn("node never shown", path, "has no displayTime, nor has its group: it is never shown")
    if node["eType"] == "group":
        for index, child in enumerate(node.get("children", ())):
            if child is not None:
                yield from _shown(child, times, lifetime, f"{path}.children[{index}]", report)


def _warn_unseen(alive: Window, rate: Fraction, first: Fraction, path: str, report: Report) -> None:
    after = Fraction(SAMPLED_AFTER)
    frame = max(0, ceil((Fraction(alive[0]) - after - first) * rate))
    if Fraction(alive[1]) < first + frame / rate + after:
        done = f"is shown from {alive[0]:g} to {alive[1]:g} s, between two frames: it is not seen"
        report.warn("cue between frames", path, done, hint="Let it last at least as long as a frame.")


def _plugins(shown: list[_Shown]) -> Iterator[Running]:
    """Yield every plugin with its base time, and when its node is in the page."""
    for path, node, times, window in shown:
        for index, plugin in enumerate(node.get("pluginChain", ())):
            base = plugin.get("baseTime", node.get("baseTime", times))
            yield Running(f"{path}.pluginChain[{index}]", plugin, base, window)


def _plugin_windows(shown: list[_Shown]) -> Iterator[Window]:
    """Yield when a plugin runs while its node is in the page."""
    for running in _plugins(shown):
        start, end = plugin_window(running.base, running.plugin.get("timeOffset"))
        yield max(start, running.shown[0]), min(end, running.shown[1])


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
