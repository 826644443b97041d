"""TTML, lyrics (LRC) and MicroDVD: what is said when, written as SubRip and WebVTT write it."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Literal, NamedTuple
from xml.parsers import expat

from ecg_renderer.scenario import Report

Said = tuple[float, float, str]
"""From when to when, in seconds, and the text: tags as in HTML, lines parted by N, stamps of words as in WebVTT."""

TTML = re.compile(
    rb"\s*+(?:(?:<\?(?>.*?\?>)|<!--(?>.*?-->)|<!DOCTYPE[^>\[]*+(?:>|\[(?>.*?\]\s*+>)))\s*+)*+<(?:\w+:)?tt[\s>/]",
    re.DOTALL,
)
_LRC_STAMP = r"(\d{1,3}):(\d{1,2}(?:[.:]\d{1,3})?)"
_LRC_TIME = re.compile(rf"\[{_LRC_STAMP}\]")
_LRC_TIMES = re.compile(rf"[ \t]*(?:\[{_LRC_STAMP}\][ \t]*)+")
_LRC_WORD = re.compile(rf"<{_LRC_STAMP}>|\[{_LRC_STAMP}\]")
_LRC = re.compile(rb"^[ \t]*\[\d{1,3}:\d{2}(?:[.:]\d{1,3})?\]", re.MULTILINE)
_LRC_TAG = re.compile(r"\s*\[[^\[\]:]*:[^\[\]]*\]\s*")
_LRC_OFFSET = re.compile(r"\[offset:[ \t]*([+-]?\d{1,7})[ \t]*\]", re.IGNORECASE)
_MICRODVD_HEAD = re.compile(rb"\s*+(?:\{DEFAULT\}[^\n]*+\s*+)*+\{\d{1,9}\}\{\d{0,9}\}", re.IGNORECASE)
_MICRODVD = re.compile(r"^[ \t]*\{(\d{1,9})\}\{(\d{0,9})\}(.*)$", re.MULTILINE)
_MICRODVD_TAG = re.compile(r"\{[A-Za-z]:[^{}]*\}")
_CLOCK = re.compile(r"(\d+):(\d{1,2}):(\d{1,2}(?:\.\d+)?)(?::(\d+))?")
_OFFSET = re.compile(r"(\d+(?:\.\d+)?)(h|ms|m|s|f|t)")
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_DEFAULT_RATE = "30"  # TTML's own
# Of a line of lyrics that nothing follows, seconds.
_LAST_LINE = 4.0


def format_of_others(head: bytes) -> str:
    """Return "lrc" or "microdvd" by the content; "" for something else."""
    return "microdvd" if _MICRODVD_HEAD.match(head) else "lrc" if _LRC.search(head) else ""


def read_other(text: str, kind: str, report: Report) -> Iterator[Said]:
    """Yield what a file of `kind` says; raises ValueError, or ScenarioError for one that does not say when."""
    return {"ttml": _from_ttml, "lrc": _from_lrc, "microdvd": _from_microdvd}[kind](text, report)


def _literal(said: str) -> str:
    """Return text in which no backslash breaks a line, or begins a tag of .ass."""
    return said.replace("\\", "&#92;")


# --- lyrics ---------------------------------------------------------------------------------------


def _from_lrc(text: str, report: Report) -> Iterator[Said]:
    """Yield lines of lyrics, each until the next later one, be that empty."""
    shift = _LRC_OFFSET.search(text)
    late = -int(shift[1]) / 1000 if shift else 0.0
    lines: list[tuple[float, str]] = []
    for number, line in enumerate(text.split("\n"), 1):
        if times := _LRC_TIMES.match(line):
            said = _literal(line[times.end() :].strip())
            lines += [(max(0.0, _minutes(*stamp) + late), said) for stamp in _LRC_TIME.findall(times[0])]
        elif line.strip() and not _LRC_TAG.fullmatch(line):
            done, hint = "begins with no time, and was left out", "Write when it is sung before it, such as [00:12.50]."
            report.warn("line without a time", f"line {number}", done, hint=hint)
    lines.sort(key=lambda line: line[0])
    starts = sorted({start for start, _ in lines})
    ends = dict(pairwise([*starts, *(start + _LAST_LINE for start in starts[-1:])]))
    for start, said in lines:
        if said:
            yield start, ends[start], _words_held(said, start, ends[start], late)


def _words_held(said: str, start: float, end: float, late: float) -> str:
    """Return a line with WebVTT's stamps for those of its words, none before the one before it, or out of the line."""
    at = start

    def stamp(word: re.Match[str]) -> str:
        nonlocal at
        at = min(end, max(at, _minutes(word[1] or word[3], word[2] or word[4]) + late))
        minutes, rest = divmod(round(at * 1000), 60_000)
        return f"<{minutes // 60:02d}:{minutes % 60:02d}:{rest // 1000:02d}.{rest % 1000:03d}>"

    return _LRC_WORD.sub(stamp, said)


def _minutes(minutes: str, seconds: str) -> float:
    return int(minutes) * 60 + float(seconds.replace(":", "."))


# --- MicroDVD -------------------------------------------------------------------------------------


def _from_microdvd(text: str, report: Report) -> Iterator[Said]:
    """Yield lines whose times are frames of a rate that the first line says."""
    lines = [(int(first), int(last or first), said.strip()) for first, last, said in _MICRODVD.findall(text)]
    rate = 0.0
    if lines[0][0] <= 1 and re.fullmatch(r"\d{1,3}(?:[.,]\d+)?", lines[0][2]):
        rate = float(lines.pop(0)[2].replace(",", "."))
    if rate < 1:
        hint = "Write that of its video as a first line, such as {1}{1}25."
        raise report.error("", "counts its times in frames, and does not say how many there are a second", hint)
    for first, last, said in lines:
        whole = "{Y:i}" in said
        parts = [_leaning(part, whole or "{y:i}" in part) for part in _literal(said).split("|")]
        yield first / rate, last / rate, "\\N".join(parts)


def _leaning(line: str, italic: bool) -> str:
    plain = _MICRODVD_TAG.sub("", line).strip()
    return f"<i>{plain}</i>" if italic else plain


# --- TTML, DFXP and IMSC --------------------------------------------------------------------------


def _from_ttml(text: str, report: Report) -> Iterator[Said]:
    """Yield the paragraphs of TTML, DFXP and IMSC."""
    try:
        yield from _Ttml(report).read(text)
    except expat.ExpatError as error:
        raise ValueError(str(error)) from None


class _Element(NamedTuple):
    """An element that is open: when it is shown, where its text stands, and what ends its look."""

    start: float
    end: float
    inside: Literal["", "p", "metadata"]
    closing: str = ""


class _Ttml:
    """Takes elements as they are parsed, so that no nesting costs more than its letters: a p in a p is part of it."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._parser = expat.ParserCreate(namespace_separator="}")
        self._parser.StartDoctypeDeclHandler = self._refuse
        self._parser.StartElementHandler = self._start
        self._parser.CharacterDataHandler = self._data
        self._parser.EndElementHandler = self._end
        self._open = [_Element(0.0, math.inf, "")]
        self._found: list[Said] = []
        self._units: dict[str, float] = {}
        # Of the paragraph that is open: its text, and the times that it, or the spans in it, say.
        self._text: list[str] = []
        self._own = False
        self._spans: list[tuple[float, float]] = []

    def read(self, text: str) -> list[Said]:
        self._parser.Parse(text, True)
        return self._found

    def _refuse(self, *_: object) -> None:
        problem = "is TTML that defines entities, which are not read"
        raise self._report.error("", problem, "Export it without a DOCTYPE.")

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        space, _, name = tag.rpartition("}")
        said = {key.rpartition("}")[2]: value for key, value in attributes.items()}
        outer = self._open[-1]
        try:
            self._units = self._units or _units(said)
            start, end = self._interval(said if name in _TIMED else {}, outer)
        except ValueError as error:
            raise ValueError(f"line {self._parser.CurrentLineNumber}: {error}") from None
        inside = outer.inside or ("p" if name == "p" else "")
        if name == "metadata" or space.endswith("#metadata"):
            inside = "metadata"
        tags = _tags(said) if inside == "p" else []
        self._open.append(_Element(start, end, inside, "".join(f"</{tag.split()[0]}>" for tag in reversed(tags))))
        if inside != "p":
            return
        timed = not said.keys().isdisjoint(("begin", "end", "dur"))
        if not outer.inside:
            self._text, self._own, self._spans = [], timed, []
        elif name == "span" and timed:
            self._spans.append((start, end))
        self._text += ["\\N" if name == "br" else "", *(f"<{tag}>" for tag in tags)]

    def _data(self, said: str) -> None:
        if self._open[-1].inside == "p":
            self._text.append(_literal(html.escape(said, quote=False)))

    def _end(self, _: str) -> None:
        element = self._open.pop()
        if element.inside == "p":
            self._text.append(element.closing)
            if not self._open[-1].inside:
                self._say(element, self._open[-1].end)

    def _say(self, paragraph: _Element, latest: float) -> None:
        """Take a paragraph with its own times, those of its spans, or those of what it stands in, up to `latest`."""
        start, end = paragraph.start, paragraph.end
        if self._spans and not self._own:
            start, end = min(start for start, _ in self._spans), max(end for _, end in self._spans)
        text = "".join(self._text)
        wrong = "lies outside of the times of what it stands in" if start >= latest else ""
        if not self._own and (start, end) == (0.0, math.inf):
            wrong = "says no time"
        if not wrong:
            self._found.append((start, end if end < math.inf else start, text))
        elif text.strip():
            place = f"line {self._parser.CurrentLineNumber}"
            self._report.warn("paragraph without a time", place, f"the paragraph {wrong}, and was left out")

    def _interval(self, said: dict[str, str], outer: _Element) -> tuple[float, float]:
        """Return from when to when an element is shown: its times count from the start of what it stands in."""
        times = {key: self._seconds(key, said[key]) for key in ("begin", "end", "dur") if key in said}
        start = outer.start + times.get("begin", 0.0)
        return start, min(outer.end, outer.start + times.get("end", math.inf), start + times.get("dur", math.inf))

    def _seconds(self, key: str, said: str) -> float:
        """Return a time expression in seconds; raises ValueError."""
        seconds = math.inf
        if clock := _CLOCK.fullmatch(said.strip()):
            hours, minutes, rest, frames = (float(part or 0) for part in clock.groups())
            seconds = hours * 3600 + minutes * 60 + rest + frames * self._units["f"]
        elif offset := _OFFSET.fullmatch(said.strip()):
            seconds = float(offset[1]) * self._units[offset[2]]
        if not math.isfinite(seconds):
            raise ValueError(f'{key}="{said[:40]}" is no time')
        return seconds


_TIMED = ("body", "div", "p", "span")
_TAGS = {"i": ("fontStyle", "italic"), "b": ("fontWeight", "bold"), "u": ("textDecoration", "underline")}


def _tags(styles: dict[str, str]) -> list[str]:
    """Return the tags of HTML for the look of an element, the outermost first."""
    colour = styles.get("color", "")
    tags = [tag for tag, (name, value) in _TAGS.items() if styles.get(name) == value]
    return [f'font color="{html.escape(colour)}"', *tags] if colour else tags


def _units(said: dict[str, str]) -> dict[str, float]:
    """Return how many seconds each unit of time has, by what the root says of rates; raises ValueError."""
    rate = _positive("frameRate", said.get("frameRate", _DEFAULT_RATE))
    factors = said.get("frameRateMultiplier", "1 1").replace(":", " ").split()
    above, below = (_positive("frameRateMultiplier", factor) for factor in (factors if len(factors) == 2 else "00"))
    tick = 1 / rate / _positive("subFrameRate", said.get("subFrameRate", "1")) if "frameRate" in said else 1.0
    if "tickRate" in said:
        tick = 1 / _positive("tickRate", said["tickRate"])
    return _UNITS | {"f": below / above / rate, "t": tick}


def _positive(name: str, said: str) -> float:
    try:
        rate = float(said)
    except ValueError:
        rate = 0.0
    if not 0 < rate < math.inf:
        raise ValueError(f'{name} is "{said[:40]}", and has to be a number above 0')
    return rate
