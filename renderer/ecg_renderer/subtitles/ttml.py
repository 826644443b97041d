"""TTML, DFXP and IMSC: what is said when, where, by whom and how, written as SubRip and WebVTT write it."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple
from xml.parsers import expat

from ecg_renderer.scenario import Report
from ecg_renderer.subtitles.others import Said, literal, stamped

TTML = re.compile(
    rb"\s*+(?:(?:<\?(?>.*?\?>)|<!--(?>.*?-->)|<!DOCTYPE[^>\[]*+(?:>|\[(?>.*?\]\s*+>)))\s*+)*+<(?:\w+:)?tt[\s>/]",
    re.DOTALL,
)
_TIMED = ("body", "div", "p", "span")
_TIMES = ("begin", "end", "dur")
# Nothing inherits these: what is in an element is not shown, or stands beside the text.
_HIDING = {"display": ("none",), "ruby": ("text", "textContainer", "delimiter")}
_LOOKS = ("color", "fontStyle", "fontWeight", "textDecoration", "visibility")
_KNOWN = (*_LOOKS, "origin", "extent", "position", "displayAlign", *_HIDING)
LONGEST_CHAIN = 100
_LONGEST_NAME = 100
_LONGEST_VALUE = 200  # each paragraph may inherit it
_LENGTH = re.compile(r"([+-]?(?:\d+(?:\.\d+)?|\.\d+))(%|px|c|rh)")
_ROWS = re.compile(r"(\d{1,6})(?:px)?")
_OUTSIDE = "lies outside of the times of what it stands in"
_ALPHA = re.compile(r"rgba\(\s*(\d{1,3})\s*,\s*(\d{1,3})\s*,\s*(\d{1,3})\s*,\s*(\d{1,3})\s*\)")
_TIME_HINT = "Write 12.5s, or 00:00:12.500."
_CLOCK = re.compile(r"(\d+):(\d{1,2}):(\d{1,2}(?:\.\d+)?)(?::(\d+)(?:\.(\d+))?)?")
_OFFSET = re.compile(r"(\d+(?:\.\d+)?)(h|ms|m|s|f|t|)")
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_LATEST = 1e10  # seconds; live streams count from 1970
_DEFAULT_RATE = "30"  # TTML's own

Style = Mapping[str, str]


def from_ttml(text: str, report: Report) -> Iterator[Said]:
    """Yield what the paragraphs of TTML, DFXP and IMSC say; raises ValueError, or ScenarioError for entities."""
    try:
        yield from _Ttml(report).read(text)
    except expat.ExpatError as error:
        raise ValueError(str(error)) from None


@dataclass(slots=True)
class _Element:
    """An element that is open.

    Attributes:
        start, end: when it is shown at most; `ends`: whether it says itself until when.
        last: when what stands in it ends, so far, infinite for what has no end; in a sequence the next begins there.
        says: whether it, or what it stands in, says a time; `own`: whether it does; `timed`: whether it is a span that
            does, or stands in one.
    """

    start: float = 0.0
    end: float = math.inf
    last: float = 0.0
    ends: bool = False
    sequence: bool = False
    says: bool = False
    own: bool = False
    timed: bool = False
    inside: Literal["", "region", "p", "hidden", "metadata"] = ""
    style: Style = field(default_factory=dict)
    region: str = ""
    speaker: str = ""
    preserve: bool = False


class _Piece(NamedTuple):
    """A part of a paragraph: its words, when it is shown, and whether a span says so."""

    start: float
    end: float
    timed: bool
    text: str
    words: int


class _Ttml:
    """Takes elements as they are parsed, so that no nesting costs more than its letters: a p in a p is part of it."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._parser = expat.ParserCreate(namespace_separator="}")
        self._parser.buffer_text = True
        self._parser.StartDoctypeDeclHandler = self._refuse
        self._parser.StartElementHandler = self._start
        self._parser.CharacterDataHandler = self._data
        self._parser.EndElementHandler = self._end
        self._open = [_Element()]
        self._found: list[Said] = []
        self._clock: _Clock | None = None
        self._styles = _Styles(report)
        self._pictures = False
        # When a region is there, where it says that: nothing in it is seen before and after.
        self._active: dict[str, tuple[float, float]] = {}
        # Who speaks, by the name that paragraphs give them, and whose name is being read.
        self._speakers: dict[str, str] = {}
        self._named = ""
        # Of the paragraph that is open.
        self._pieces: list[_Piece] = []
        self._beneath: Style = {}

    def read(self, text: str) -> list[Said]:
        self._parser.Parse(text, True)
        if self._pictures and not self._found:
            raise self._report.error("", "has its captions as pictures, which are not read", "Export them as text.")
        return self._found

    def _refuse(self, *_: object) -> None:
        problem = "is TTML that defines entities, which are not read"
        raise self._report.error("", problem, "Export it without a DOCTYPE.")

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        space, _, name = tag.rpartition("}")
        said = {key.rpartition("}")[2]: value for key, value in attributes.items()}
        outer = self._open[-1]
        try:
            if self._clock is None:
                self._clock = _Clock(said, self._report)
                self._styles.measure(said)
            element = self._element(name, said, outer, self._clock)
        except ValueError as error:
            raise ValueError(f"line {self._parser.CurrentLineNumber}: {error}") from None
        if name == "metadata" or space.endswith("#metadata"):
            element.inside = "metadata"
            self._named = said.get("id", "") if name == "agent" else self._named if name == "name" else ""
        self._open.append(element)
        if element.inside != "p":
            return
        if outer.inside != "p":
            self._pieces, self._beneath = [], self._styles.of_region(element.region, self._place())
        elif name == "br":
            self._pieces.append(_Piece(0.0, 0.0, False, "\\N", 0))

    def _element(self, name: str, said: dict[str, str], outer: _Element, clock: _Clock) -> _Element:
        """Return an element that begins within `outer`; what is no content only passes on what it has from there."""
        element = replace(outer)
        if name in ("style", "region", "initial"):
            self._styles.define(name, said, outer.region if outer.inside == "region" else "", self._place())
            element.inside, element.region = ("region", said.get("id", "")) if name == "region" else ("", "")
            otherwise = "the region is taken to be there all the time"
            if name == "region" and (times := self._times(said, clock, otherwise)):
                begins = times.get("begin", 0.0)
                until = min(times.get("end", math.inf), begins + times.get("dur", math.inf))
                self._active[element.region] = begins, until
        elif name in ("set", "animate"):
            done = f"changes what it stands in by <{name}>, which is not read: that keeps the look that it begins with"
            hint = "Write a span or a paragraph for each look."
            self._report.warn("animation of TTML", self._place(), done, hint=hint)
        self._pictures |= name == "image" or "backgroundImage" in said
        if "space" in said:
            element.preserve = said["space"] == "preserve"
        if name not in _TIMED or outer.inside in ("metadata", "hidden"):
            return element
        style = self._styles.of(said, self._place())
        if style:
            element.style = {**outer.style, **{key: value for key, value in style.items() if key not in _HIDING}}
        element.region = said.get("region", outer.region)
        element.speaker = said.get("agent", outer.speaker)
        hidden = any(style.get(key) in values for key, values in _HIDING.items())
        element.inside = "hidden" if hidden else outer.inside or ("p" if name == "p" else "")
        times = self._times(said, clock, "what stands in it was left out with its words")
        if times is None:
            element.inside, times = "hidden", {}
        begins = outer.last if outer.sequence else outer.start
        element.start = element.last = begins + times.get("begin", 0.0)
        until = min(begins + times.get("end", math.inf), element.start + times.get("dur", math.inf))
        element.end, element.ends = min(outer.end, until), until < math.inf
        element.sequence = said.get("timeContainer") == "seq"
        element.own, element.says = bool(times), outer.says or bool(times)
        element.timed = outer.inside == "p" and (outer.timed or element.own)
        return element

    def _times(self, said: dict[str, str], clock: _Clock, otherwise: str) -> dict[str, float] | None:
        """Return the times that an element says; None where one cannot be read, and what is told to be done then."""
        try:
            return {key: clock.seconds(key, said[key], self._place()) for key in _TIMES if key in said}
        except ValueError as error:
            self._report.warn("times of a caption", self._place(), f"has {error}: {otherwise}", hint=_TIME_HINT)
            return None

    def _place(self) -> str:
        return f"line {self._parser.CurrentLineNumber}"

    def _data(self, said: str) -> None:
        element = self._open[-1]
        if element.inside == "metadata" and self._named:
            self._speakers[self._named] = (self._speakers.get(self._named, "") + said).strip()[:_LONGEST_NAME]
        if element.inside != "p":
            return
        look = {**self._beneath, **element.style}
        words = len(said.split())
        if words:
            element.last = math.inf
        if look.get("visibility") == "hidden":
            said, words = " ", 0
        text = literal(html.escape(said, quote=False)).replace("\n", "\\N" if element.preserve else " ")
        if words:
            tags = _tags(look)
            text = "".join(f"<{tag}>" for tag in tags) + text + "".join(f"</{tag.split()[0]}>" for tag in tags[::-1])
        self._pieces.append(_Piece(element.start, element.end, element.timed, text, words))

    def _end(self, tag: str) -> None:
        element, outer = self._open.pop(), self._open[-1]
        if element.inside == "p" and outer.inside != "p":
            self._say(element)
        if tag.rpartition("}")[2] in _TIMED:
            end = element.end if element.ends else min(element.end, element.last)
            outer.last = max(element.start, end) if outer.sequence else max(outer.last, end)

    def _say(self, paragraph: _Element) -> None:
        """Take a paragraph: as one caption where it has text or times of its own, else its spans as they are shown."""
        pieces = [piece for piece in self._pieces if not (piece.timed and piece.words and piece.start >= piece.end)]
        spoken = [piece for piece in pieces if piece.words]
        timed = [piece for piece in spoken if piece.timed]
        if len(pieces) < len(self._pieces):
            self._tell_unseen("a part of the paragraph", _OUTSIDE)
        elif not spoken and not paragraph.own:
            return
        start, end = paragraph.start, paragraph.end
        if timed and not paragraph.own:
            start, end = min(piece.start for piece in timed), max(piece.end for piece in timed)
        wrong = "follows one that has no end" if start == math.inf else _OUTSIDE if start >= self._open[-1].end else ""
        wrong = wrong or ("" if timed or paragraph.says else "says no time")
        if wrong:
            if spoken:
                self._tell_unseen("the paragraph", wrong)
        elif len(timed) < len(spoken) or (paragraph.own and all(piece.words == 1 for piece in timed)):
            self._take(pieces, start, end, paragraph)
        else:
            for group in _seen_together(pieces):
                starts, ends = zip(*((piece.start, piece.end) for piece in group if piece.words), strict=True)
                self._take(group, min(starts), max(ends), paragraph)

    def _tell_unseen(self, what: str, wrong: str) -> None:
        self._report.warn("paragraph without a time", self._place(), f"{what} {wrong}, and was left out")

    def _take(self, pieces: list[_Piece], start: float, end: float, paragraph: _Element) -> None:
        """Take a caption, with stamps where its spans begin, and where one ends before the next begins."""
        since, until = self._active.get(paragraph.region, (start, math.inf))
        if not (start < until and end > since) and paragraph.region in self._active:
            self._tell_unseen("the paragraph", "lies outside of the times of its region")
            return
        start, end = max(start, since), min(end, until)
        said, at, ended = [self._styles.aligned({**self._beneath, **paragraph.style})], start, math.inf
        for piece in pieces:
            if piece.timed and piece.words:
                if at < ended < piece.start:
                    said.append(stamped(ended))
                if at < piece.start:
                    at = piece.start
                    said.append(stamped(at))
                ended = piece.end
            said.append(piece.text)
        if at < ended < end:
            said.append(stamped(ended))
        speaker = self._speakers.get(paragraph.speaker, paragraph.speaker)
        self._found.append(Said(start, end if end < math.inf else start, "".join(said), speaker))


def _seen_together(pieces: list[_Piece]) -> list[list[_Piece]]:
    """Return pieces in groups, each of those that are all shown at one time; line ends go with the piece before."""
    groups: list[list[_Piece]] = []
    since, until = 0.0, -math.inf
    for piece in pieces:
        if piece.words and not (piece.start < until and piece.end > since):
            groups.append([])
            since, until = piece.start, piece.end
        if groups:
            groups[-1].append(piece)
        if piece.words:
            since, until = max(since, piece.start), min(until, piece.end)
    return groups


def _tags(style: Style) -> list[str]:
    """Return the tags of HTML for a look, the outermost first."""
    colour = _ALPHA.sub(
        lambda parts: "#" + "".join(f"{min(255, int(part)):02x}" for part in parts.groups()), style.get("color", "")
    )
    tags = [f'font color="{html.escape(colour)}"'] if colour else []
    tags += ["i"] if style.get("fontStyle") in ("italic", "oblique", "reverseOblique") else []
    tags += ["b"] if style.get("fontWeight") == "bold" else []
    return tags + (["u"] if style.get("textDecoration") == "underline" else [])


class _Styles:
    """The styles and regions that a head defines, for those that refer to them."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._heights: dict[str, float] = {}
        self._initial: Style = {}
        self._styles: dict[str, dict[str, str]] = {}
        self._resolved: dict[str, Style] = {}
        self._regions: dict[str, Style] = {}
        self._within: Style = {}
        self._unknown: set[str] = set()

    def measure(self, root: dict[str, str]) -> None:
        """Take from the root how many pixels, and cells, the picture is high."""
        for unit, said in (("px", root.get("extent", "")), ("c", root.get("cellResolution", "32 15"))):
            rows = _ROWS.fullmatch(said.split()[-1]) if said.strip() else None
            self._heights[unit] = float(rows[1] if rows else 0) or math.nan

    def define(self, name: str, said: dict[str, str], region: str, place: str) -> None:
        """Take an element of the head; a style within a region is the region's, below what that says itself."""
        if name == "initial":
            self._initial = {**self._initial, **_own(said)}
        elif name == "region":
            self._within = _own(said)
            self._regions[said.get("id", "")] = self.of(said, place)
        elif region:
            self._regions[region] = {**self._regions[region], **self.of(said, place), **self._within}
        else:
            self._styles.setdefault(said.get("id", ""), said)

    def of(self, said: dict[str, str], place: str, chain: tuple[str, ...] = ()) -> Style:
        """Return the style of an element: of those that it refers to, the later before the earlier, and its own.

        Raises ValueError for a style that refers to itself.
        """
        style: dict[str, str] = {}
        for name in said.get("style", "").split():
            if name in self._styles:
                style |= self._of_named(name, place, chain)
            else:
                self._tell_unknown("style", name, place)
        return style | _own(said)

    def _of_named(self, name: str, place: str, chain: tuple[str, ...]) -> Style:
        if name not in self._resolved:
            if name in chain or len(chain) == LONGEST_CHAIN:
                wrong = "refers to itself" if name in chain else f"is the end of a chain of more than {LONGEST_CHAIN}"
                raise ValueError(f'the style "{name[:40]}" {wrong}')
            self._resolved[name] = self.of(self._styles[name], place, (*chain, name))
        return self._resolved[name]

    def of_region(self, name: str, place: str) -> Style:
        """Return what stands in a region inherits, and where that is."""
        if name and name not in self._regions:
            self._tell_unknown("region", name, place)
        return {**self._initial, **self._regions.get(name, {})}

    def _tell_unknown(self, kind: str, name: str, place: str) -> None:
        if name not in self._unknown:
            self._unknown.add(name)
            said = f'refers to a {kind} "{name[:40]}", which is not there'
            self._report.warn(f"unknown {kind}", place, said, hint="Captions are shown as if nothing referred to it.")

    def aligned(self, style: Style) -> str:
        """Return the tag of .ass for where text of a style stands; none for below, and where nobody says."""
        if style.keys().isdisjoint(("origin", "position", "displayAlign")):
            return ""
        height = self._share(style.get("extent", "").split()[1:], 1.0)
        top = self._share(style.get("origin", "").split()[1:], 0.0)
        if "position" in style and "origin" not in style:
            parts = style["position"].split()
            named = [share for name, share in (("top", 0.0), ("bottom", 1.0)) if name in parts]
            top = (1 - height) * (named[0] if named else self._share(parts[1:], 0.5))
        at = top + height * {"center": 0.5, "after": 1.0}.get(style.get("displayAlign", ""), 0.0)
        return "{\\an8}" if at < 1 / 3 else "{\\an5}" if at < 2 / 3 else ""

    def _share(self, length: list[str], usual: float) -> float:
        """Return which share of the picture's height a length is; `usual` for none, and NaN where nobody can tell."""
        match = _LENGTH.fullmatch("".join(length[:1]))
        return float(match[1]) / self._heights.get(match[2], 100.0) if match else usual


def _own(said: dict[str, str]) -> dict[str, str]:
    """Return what of the attributes of an element is style; of decorations only whether there is a line below."""
    style = {key: value for key in _KNOWN if key in said and len(value := said[key].strip()) <= _LONGEST_VALUE}
    decorations = style.pop("textDecoration", "").split()
    if not {"underline", "none", "noUnderline"}.isdisjoint(decorations):
        style["textDecoration"] = "underline" if "underline" in decorations else "none"
    return style


class _Clock:
    """What the root says of times: frames, ticks, and whether times are counts of frames, as on tapes."""

    def __init__(self, said: dict[str, str], report: Report) -> None:
        """Errors: ValueError for rates that are none, and for the time of day."""
        self._report = report
        self._told = False
        self._rate = _positive("frameRate", said.get("frameRate", _DEFAULT_RATE))
        factors = said.get("frameRateMultiplier", "1 1").replace(":", " ").split()
        above, below = (_positive("frameRateMultiplier", factor) for factor in (factors if len(factors) == 2 else "00"))
        self._parts = _positive("subFrameRate", said.get("subFrameRate", "1"))
        tick = 1 / self._rate / self._parts if "frameRate" in said else 1.0
        if "tickRate" in said:
            tick = 1 / _positive("tickRate", said["tickRate"])
        self._units = _UNITS | {"f": below / above / self._rate, "t": tick}
        base = said.get("timeBase", "media")
        if base == "clock":
            raise ValueError('timeBase is "clock": times are those of a day, not of a video')
        self._counts_frames = base == "smpte"
        # Numbers that are left out: so many every so many minutes, but not every so many.
        drops = {"dropNTSC": (2, 1, 10), "dropPAL": (4, 2, 20)}
        self._dropped, self._every, self._kept = drops.get(said.get("dropMode", ""), (0, 1, 10))

    def seconds(self, key: str, said: str, place: str) -> float:
        """Return the time expression at `place` in seconds; raises ValueError for none."""
        seconds = math.inf
        if clock := _CLOCK.fullmatch(said.strip()):
            hours, minutes, rest, frames, parts = (float(part or 0) for part in clock.groups())
            frames += parts / self._parts
            minutes += hours * 60
            if self._counts_frames and minutes < math.inf:
                frames += (minutes * 60 + rest) * self._rate
                frames -= self._dropped * (minutes // self._every - minutes // self._kept)
                minutes = rest = 0.0
            seconds = minutes * 60 + rest + frames * self._units["f"]
        elif offset := _OFFSET.fullmatch(said.strip()):
            seconds = float(offset[1]) * self._units[offset[2] or "s"]
            if not offset[2] and not self._told:
                self._told = True
                done = f'{key}="{said[:40]}" has no unit: this and all like it were read as seconds'
                self._report.warn("time without a unit", place, done, hint=_TIME_HINT)
        if not seconds < _LATEST:
            raise ValueError(f'{key}="{said[:40]}", which is no time')
        return seconds


def _positive(name: str, said: str) -> float:
    try:
        rate = float(said)
    except ValueError:
        rate = 0.0
    if not 0 < rate < math.inf:
        raise ValueError(f'{name} is "{said[:40]}", and has to be a number above 0')
    return rate
