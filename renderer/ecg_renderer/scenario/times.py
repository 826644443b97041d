"""When a scenario shows what, by MotionText's own rules; times that it lacks are taken from their neighbours.

    a word without times       the gap between the words around it, shared out by length
    no end, or a reversed one  where the next word, or the next cue, begins; else as long as the text takes
    over before its cue shows  the moment in which the cue appears

    shown     a node: its displayTime, else its parent's, else its cue's; within the cue's domLifetime
    window    a plugin: its base time (or the node's, or when the node is shown), each end moved by an offset
    alive     a cue: from its first shown node to its last

All ends are inclusive. Speech recognition leaves times out in every longer transcript: played as they are, the word
would sweep over the whole cue, or never take its colour.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from typing import Any, NamedTuple

from ecg_renderer.scenario.model import (
    EDGE,
    SAMPLED_AFTER,
    Cue,
    CueSpan,
    Node,
    Window,
    cues_of,
    number,
    pair_of,
    time_range,
)
from ecg_renderer.scenario.report import Report

# A word whose end nobody knows lasts no longer than this, in seconds.
LONGEST_WORD = 1.0
# How long a caption stands whose end nobody knows: the time in which it can be read.
READING_SECONDS_PER_LETTER = 1 / 15
SHORTEST_READING, LONGEST_READING = 1.0, 7.0

_HINT = "Give [start, end] in seconds."

Range = list[int | float]


def open_range(value: object, path: str, report: Report) -> tuple[float | None, float | None]:
    """Return start and end of `value`, None for what is missing; an end before its start is missing, with a warning.

    Errors: ScenarioError for what is neither a pair nor an object of start and end, or holds other things than numbers.
    """
    pair = pair_of(value)
    if pair is not None and None in pair:
        start, end = (None if bound is None else number(bound) for bound in pair)
        for bound, said in zip((start, end), pair, strict=True):
            if said is not None and bound is None:
                raise report.error(path, f"{str(said)[:40]!r} is not a number", _HINT)
        return start, end
    start, end = time_range(value, path, report, ordered=False)
    return (start, end) if end >= start else (start, None)


def runs_as_it_is(base: object, plugins: list[dict[str, Any]]) -> bool:
    """Tell whether all `plugins` run by `base`, though it ends before it starts: their offsets can turn it again."""
    bounds = [number(bound) for bound in pair_of(base) or (None, None)]
    if bounds[0] is None or bounds[1] is None or not plugins:
        return False
    windows = [plugin_window([bounds[0], bounds[1]], plugin.get("timeOffset")) for plugin in plugins]
    return all(start <= end for start, end in windows)


def reading_seconds(letters: int) -> float:
    """Return how long it takes to read `letters` letters."""
    return min(max(letters * READING_SECONDS_PER_LETTER, SHORTEST_READING), LONGEST_READING)


class CueTimes:
    """When cues begin: what a cue without an end ends at."""

    def __init__(self, starts: list[float]) -> None:
        self._starts = sorted(starts)

    def end_after(self, start: float, letters: int) -> float:
        """Return the end of a cue that begins at `start`: the next cue's start, or when its `letters` are read."""
        read = start + reading_seconds(letters)
        later = bisect_right(self._starts, start)
        return min(read, self._starts[later]) if later < len(self._starts) else read


@dataclass
class _Word:
    """A text with the time in which it is shown; `start` and `end` are when it is spoken, None if nobody says."""

    path: str
    node: Node
    shown: Range
    start: float | None = None
    end: float | None = None
    given: str = ""

    @property
    def letters(self) -> int:
        return max(1, len(str(self.node.get("text", "")).strip()))


def settle_word_times(cue: Cue, path: str, report: Report) -> None:
    """Give every word of `cue` that has plugins a whole base time, in place, if any of its words has one."""
    words = list(_words(cue["root"], cue.get("displayTime") or cue.get("domLifetime"), f"{path}.root"))
    for word in words:
        _read(word, report)
    if not any(word.start is not None for word in words if word.given != "shown"):
        return
    _close(words)
    _fill(words)
    for word in words:
        if word.given in ("whole", "shown") or not word.node.get("pluginChain"):
            continue
        assert word.start is not None and word.end is not None
        word.node["baseTime"] = [word.start, word.end]
        said = f"[{word.start:g}, {word.end:g}] s, by the words around it"
        report.warn("word time", f"{word.path}.baseTime", f"{word.given}: taken to be {said}", hint=_HINT)


def _words(node: Node, shown: Range | None, path: str) -> Iterator[_Word]:
    own = node.get("displayTime", shown)
    if node["eType"] == "text" and own is not None:
        yield _Word(path, node, own, given="shown" if "displayTime" in node and own != shown else "")
    if node["eType"] == "group":
        for index, child in enumerate(node.get("children", ())):
            if child is not None:
                yield from _words(child, own, f"{path}.children[{index}]")


def _read(word: _Word, report: Report) -> None:
    base = word.node.get("baseTime")
    if base is None:
        if word.given == "shown":  # a word with a time of its own to be shown in is animated in that
            word.start, word.end = word.shown
        else:
            word.given = "is missing"
        return
    if not word.node.get("pluginChain") and None in map(number, pair_of(base) or (None,)):
        word.given = "is missing"  # nothing runs by it
        return
    word.start, word.end = open_range(base, f"{word.path}.baseTime", report)
    if word.start is not None and (word.end is not None or runs_as_it_is(base, word.node.get("pluginChain", []))):
        word.end = word.start if word.end is None else word.end
        word.given = "whole"
    elif word.start is None:
        word.given = "has no start" if word.end is not None else "is missing"
    else:
        ends = number(base[1] if isinstance(base, list) else base.get("end"))
        reversed_words = f"ends at {ends:g} s, before it starts at {word.start:g} s" if ends is not None else ""
        word.given = reversed_words or "has no end"


def _close(words: list[_Word]) -> None:
    """Give an end to every word that has only a start, and a start to every one that has only an end."""
    following: float | None = None
    for word in reversed(words):
        if word.start is not None and word.end is None:
            known = following if following is not None and following >= word.start else word.shown[1]
            word.end = max(word.start, min(known, word.start + LONGEST_WORD))
        following = word.start if word.start is not None else following
    before: float | None = None
    for word in words:
        if word.start is None and word.end is not None:
            begin = before if before is not None else word.shown[0]
            word.start = min(word.end, max(begin, word.end - LONGEST_WORD))
        before = word.end if word.end is not None else before


def _fill(words: list[_Word]) -> None:
    """Share the gaps out among the words in them, by their length."""
    index = 0
    while index < len(words):
        if words[index].start is not None:
            index += 1
            continue
        last = index
        while last < len(words) and words[last].start is None:
            last += 1
        _share(
            words[index:last], words[index - 1].end if index else None, words[last].start if last < len(words) else None
        )
        index = last


def _share(gap: list[_Word], left: float | None, right: float | None) -> None:
    longest = LONGEST_WORD * len(gap)
    if left is None:
        # One of the words has a start, so a gap has a word on one side at least.
        assert right is not None
        left = min(right, max(gap[0].shown[0], right - longest))
    elif right is None:
        right = max(left, min(gap[-1].shown[1], left + longest))
    right = max(left, right)
    total = sum(word.letters for word in gap)
    done = 0
    for word in gap:
        word.start = left + (right - left) * done / total
        done += word.letters
        word.end = left + (right - left) * done / total


# --- when a plugin runs, by MotionText's rules ----------------------------------------------------


DEFAULT_OFFSET = ["0%", "100%"]

_LEADING_NUMBER = re.compile(r"\s*([+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)")


class Running(NamedTuple):
    """A plugin with its path, its base time, and when its node is in the page."""

    path: str
    plugin: dict[str, Any]
    base: list[float]
    shown: Window


def settle_early_plugins(plugins: Iterable[Running], report: Report) -> None:
    """Let a plugin that is over before its node is shown end in the moment in which that appears, in place.

    MotionText would never start it: a word spoken before its cue would never take its colour.
    """
    for path, plugin, base, (begin, end) in plugins:
        first, last = plugin_window(base, plugin.get("timeOffset"))
        if first <= last < begin:
            done = f"is over at {last:g} s, before its text is shown at {begin:g} s, and is shown as done"
            report.warn("early plugin", path, done, hint="Let the cue begin with its first word.")
            plugin["baseTime"], plugin["timeOffset"] = [begin, begin], [0, 0]
        elif end < first <= last:
            done = f"would begin at {first:g} s, after its text is gone at {end:g} s, and is never seen"
            report.warn("late plugin", path, done, hint="Let the cue end with its last word.")


def reach_a_frame(plugin: dict[str, Any], base: list[float], rate: Fraction, first: Fraction) -> None:
    """Give a plugin that would run between two frames the half frame up to the later one, in place.

    MotionText starts a plugin when it is looked at within its window, and keeps what it leaves behind: a word of
    20 ms that no frame falls into would never take its colour. `base` is the plugin's base time, `rate` in frames
    a second, `first` the time of the first frame.
    """
    start, end = plugin_window(base, plugin.get("timeOffset"))
    frame = ceil((Fraction(start) - Fraction(SAMPLED_AFTER) - first) * rate)
    sampled = float(first + frame / rate) + SAMPLED_AFTER
    if frame >= 0 and start <= end < sampled + EDGE:
        plugin["baseTime"] = [sampled - float(1 / rate) / 2, sampled + EDGE]
        plugin["timeOffset"] = [0, 0]


def plugin_window(base: list[float], offset: object) -> Window:
    """Return from when to when (seconds) a plugin runs; from > to means never.

    `offset` holds seconds, or shares of the base time's length ("-10%"), each added to its own end of `base`.
    """
    bounds = offset if isinstance(offset, list) else DEFAULT_OFFSET
    first, second = [*bounds, None, None][:2]
    length = base[1] - base[0]
    return base[0] + _shift(first, length), base[1] + _shift(second, length)


def _shift(bound: object, length: float) -> float:
    if isinstance(bound, int | float):
        return float(bound)
    leading = _LEADING_NUMBER.match(bound) if isinstance(bound, str) else None
    if leading is None:
        return 0.0
    value = float(leading[1])
    return value / 100 * length if str(bound).strip().endswith("%") else value


# --- when a cue is in the page --------------------------------------------------------------------


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
