"""From a prepared scenario back to what is said: lines of words with times; what nobody can read in them; files."""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from ecg_api.renditions import RenditionFormat
from ecg_renderer.scenario import Finding, Picture, Scenario
from ecg_renderer.scenario.flat import clusters
from ecg_renderer.scenario.model import PICTURE
from ecg_renderer.scenario.writing import OWN_NODE, direction
from ecg_renderer.subtitles.captions import Place

_COLOUR = re.compile(r"#([0-9a-fA-F]{6})(?:[0-9a-fA-F]{2})?|#([0-9a-fA-F]{3})")
_BREAKS = re.compile("\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]")
_MARKUP = re.compile(r"<(?=[/A-Za-z!])|\{(?=\\)|\\(?=[Nnh])")
_MARKS = re.compile("[\u200e\u200f\u202a-\u202e\u2066-\u2069]")


@dataclass(frozen=True)
class SpokenWord:
    """A piece of a line as one node writes it, with the spaces beside it; times in seconds, None where it has none."""

    text: str
    start: float | None
    end: float | None
    colour: str = ""


@dataclass(frozen=True)
class Spoken:
    """One cue as text: its lines, from `start` to `end` in seconds of the video.

    `colour` is `#rrggbb`, empty for the usual; `place` is where on the picture it stands. `index` is the cue's place in
    the user's own file.
    """

    index: int
    id: str
    start: float
    end: float
    lines: tuple[tuple[SpokenWord, ...], ...]
    speaker: str = ""
    colour: str = ""
    place: Place = "bottom"

    @property
    def text_lines(self) -> list[str]:
        """The lines without times."""
        return ["".join(word.text for word in line).strip() for line in self.lines]


def spoken_of(scenario: Scenario) -> list[Spoken]:
    """Return what the cues of a prepared scenario say, in the order of their starts; cues without text are left out."""
    places = scenario.origins or range(len(scenario.cues))
    cues = [
        spoken
        for span in scenario.cues
        if (spoken := _spoken(scenario.data["cues"][span.index], places[span.index], span.start, span.end))
    ]
    return sorted(cues, key=lambda cue: (cue.start, cue.index))


def _spoken(cue: dict[str, Any], index: int, start: float, end: float) -> Spoken | None:
    root = cue["root"]
    lines = tuple(tuple(line) for line in _lines(root) if "".join(word.text for word in line).strip())
    if not lines:
        return None
    words = [word for line in lines for word in line]
    colours = {word.colour for word in words}
    named = (params["speaker"] for node in _nodes(root) for params in _params(node) if params.get("speaker"))
    speaker = str(cue.get("speaker") or next(named, ""))
    colour = colours.pop() if len(colours) == 1 else ""
    return Spoken(index, str(cue["id"]), start, end, lines, speaker, colour, _place(root))


def _lines(node: dict[str, Any]) -> Iterator[list[SpokenWord]]:
    """Yield the lines of a node: a group whose children are groups with text has one or more for each of them."""
    if node.get("eType") == "text":
        yield from _text_lines(node)
        return
    children = node.get("children", ())
    if any(child.get("children") for child in children):
        for child in children:
            yield from _lines(child)
        return
    line: list[SpokenWord] = []
    layout = node.get("layout")
    row = layout.get("childrenLayout") if isinstance(layout, dict) else None
    close = isinstance(row, dict) and row.get("gap") == 0  # spaces are in the texts then, where there are any
    each = close and str(node.get("id")).startswith(OWN_NODE)
    for child in children:
        parts = list(_lines(child))
        for number, part in enumerate(parts):
            if number:
                yield _as_read(line, each)
                line = []
            line = [*line, *part] if close else _joined(line, part)
    yield _as_read(line, each)


def _as_read(line: list[SpokenWord], each: bool) -> list[SpokenWord]:
    """Return a line with words from right to left in the order of its reading: its nodes stand as they are seen.

    With `each`, every node runs in the direction of its own text (page/index.html), else all run from left to right.
    """
    order = sorted(range(len(line)), key=lambda place: line[place].start or 0.0)
    kinds = [direction(word.text) for word in line]
    base = next((kinds[place] for place in order if kinds[place]), "")
    if len(line) < 2 or any(word.start is None for word in line) or "rtl" not in (kinds if each else [base]):
        return line
    onward = [(kind or base) == "ltr" for kind in kinds]
    for last, place in pairwise(order):  # a number goes on where the word before it does
        if not kinds[place] and place == last + (1 if onward[last] else -1):
            onward[place] = onward[last]
    edges = [(word.text[:1].isspace(), word.text[-1:].isspace()) for word in line]
    sides = [edge if right or not each else edge[::-1] for edge, right in zip(edges, onward, strict=True)]
    spaces = [left[1] or right[0] for left, right in pairwise(sides)]
    words, forward = [replace(line[order[0]], text=line[order[0]].text.strip())], base == "ltr"
    for last, place in pairwise(order):
        # Reading goes on beside a word; from the last of words that run against the line, beside their first.
        between = place - forward if onward[last] != forward else last - (not forward)
        between = between if (place > last) == forward else min(last, place)
        text = line[place].text.strip()
        words.append(replace(line[place], text=f" {text}" if text and spaces[between] else text))
    return words


def _joined(line: list[SpokenWord], more: list[SpokenWord]) -> list[SpokenWord]:
    """Return a line with more words, a space between where the nodes have none: a gap parts them on the picture."""
    if not line or not more or line[-1].text[-1:].isspace() or more[0].text[:1].isspace():
        return [*line, *more]
    return [*line, SpokenWord(f" {more[0].text}", more[0].start, more[0].end, more[0].colour), *more[1:]]


def _text_lines(node: dict[str, Any]) -> Iterator[list[SpokenWord]]:
    times, colour = _times(node), _colour_of(node)
    for text in _BREAKS.split(_MARKS.sub("", str(node.get("text", "")))):
        yield [SpokenWord(text, *times, colour)]


def _times(node: dict[str, Any]) -> tuple[float | None, float | None]:
    base = node.get("baseTime")
    if isinstance(base, dict):
        base = [base.get("start"), base.get("end")]
    if isinstance(base, list) and len(base) == 2 and all(isinstance(bound, int | float) for bound in base):
        return float(base[0]), float(base[1])
    return None, None


def _nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for child in node.get("children", ()):
        yield from _nodes(child)


def _params(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for plugin in node.get("pluginChain", ()):
        if isinstance(plugin.get("params"), dict):
            yield plugin["params"]


def _colour_of(node: dict[str, Any]) -> str:
    """Return the colour that a word takes as it is spoken, else that of its style; empty for none that is plain."""
    for params in _params(node):
        palette = params.get("palette")
        spoken = palette.get(params.get("speaker")) if isinstance(palette, dict) else None
        if colour := _plain_colour(params.get("color") or spoken):
            return colour
    style = node.get("style")
    return _plain_colour(style.get("color")) if isinstance(style, dict) else ""


def _plain_colour(value: object) -> str:
    match = _COLOUR.fullmatch(value.strip()) if isinstance(value, str) else None
    if not match:
        return ""
    digits = match[1] or "".join(digit * 2 for digit in match[2])
    return f"#{digits.lower()}"


def _place(root: dict[str, Any]) -> Place:
    """Return where on the picture a cue stands, by the layout of its root."""
    layout = root.get("layout")
    layout = layout if isinstance(layout, dict) else {}
    position = layout.get("position")
    y = position.get("y") if isinstance(position, dict) else None
    if isinstance(y, int | float):
        return "top" if y < 1 / 3 else "middle" if y < 2 / 3 else "bottom"
    anchor = str(layout.get("anchor", ""))
    return "top" if anchor.startswith("t") else "middle" if anchor in ("cc", "cl", "cr") else "bottom"


# --- what people can read -------------------------------------------------------------------------


LINE_COLUMNS = 42
LINES = 2
COLUMNS_A_SECOND = 24.0
AT_ONE_TIME = "subtitles at one time"
_OVERLAP_SECONDS = 0.02  # less than a frame: rounded times


def columns(text: str) -> int:
    """Return how many columns a text takes: wide characters (Hangul, Han, Kana) two, as long to read as two letters."""
    return sum(
        2 if any(unicodedata.east_asian_width(sign) in "WF" for sign in letter) else 1 for letter in clusters(text)
    )


def wrapped(lines: Sequence[str]) -> list[str]:
    """Return lines with those that are too long broken between words, into parts of about equal length."""
    return [part for line in lines for part in _broken(line)]


def _broken(line: str) -> Iterator[str]:
    while columns(line) > LINE_COLUMNS and " " in line:
        wished = columns(line) / -(-columns(line) // LINE_COLUMNS)
        cuts = [place for place, letter in enumerate(line) if letter == " "]
        fitting = [cut for cut in cuts if columns(line[:cut]) <= LINE_COLUMNS] or cuts[:1]
        cut = min(fitting, key=lambda place: abs(columns(line[:place]) - wished))
        yield line[:cut].rstrip()
        line = line[cut:].strip()
    yield line


def hard_to_read(cues: Sequence[Spoken]) -> Iterator[Finding]:
    """Yield what is wrong with cues as subtitles, in the order of the cues."""
    for cue in cues:
        yield from _too_long(cue)
        yield from _too_fast(cue)
    for place in ("top", "middle", "bottom"):
        yield from _at_once([cue for cue in cues if cue.place == place])


def _too_long(cue: Spoken) -> Iterator[Finding]:
    lines = wrapped(cue.text_lines)
    longest = max(lines, key=columns)
    hint = "Break it into more cues."
    if columns(longest) > LINE_COLUMNS:
        done = f"has a line of {columns(longest)} columns; players show about {LINE_COLUMNS}"
        yield _finding("long subtitle lines", cue, done, hint, longest)
    elif len(lines) > LINES and len(lines) > len(cue.text_lines):
        yield _finding("long subtitle lines", cue, f"takes {len(lines)} lines of {LINE_COLUMNS} columns", hint, "")


def _too_fast(cue: Spoken) -> Iterator[Finding]:
    seconds = cue.end - cue.start
    read = sum(map(columns, cue.text_lines))
    if seconds > 0 and read / seconds > COLUMNS_A_SECOND:
        done = f"has {read} letters in {seconds:.2f} s, {read / seconds:.0f} a second; people read about 20"
        yield _finding("read too fast", cue, done, "Show it for longer, or say it in fewer words.", "")


def _at_once(cues: Sequence[Spoken]) -> Iterator[Finding]:
    latest: Spoken | None = None
    for cue in cues:
        if latest and cue.start < latest.end - _OVERLAP_SECONDS:
            done = f'begins {latest.end - cue.start:.2f} s before cue "{latest.id}" ends, at the same place'
            yield _finding(AT_ONE_TIME, cue, done, "Let one end before the other begins.", "")
        if latest is None or cue.end > latest.end:
            latest = cue


def _finding(kind: str, cue: Spoken, problem: str, hint: str, word: str) -> Finding:
    return Finding(kind, f"cues[{cue.index}]", problem, hint, cue.id, word[:40])


# --- files of subtitles: SubRip, WebVTT, Advanced SubStation Alpha with times of words ------------


_SHARE_OF_HEIGHT = 0.055
_MARGIN = 0.05
_ALIGNMENTS = {"top": 8, "middle": 5, "bottom": 2}


def written_subtitles(scenario: Scenario, written: RenditionFormat, picture: Picture = PICTURE) -> str:
    """Return the text of a file of `written` with what a prepared scenario says; `picture` is what sizes are for."""
    cues = spoken_of(scenario)
    if written == "srt":
        return _srt(cues)
    return _vtt(cues) if written == "vtt" else _ass(cues, picture)


def _srt(cues: Sequence[Spoken]) -> str:
    blocks = (
        f"{number}\n{_clock(cue.start, ',')} --> {_clock(cue.end, ',')}\n{_srt_text(cue)}\n"
        for number, cue in enumerate(cues, 1)
    )
    return "\n".join(blocks)


def _srt_text(cue: Spoken) -> str:
    return "\n".join(_MARKUP.sub(_lookalike, line.replace("-->", "→")) for line in wrapped(cue.text_lines))


def _lookalike(match: re.Match[str]) -> str:
    # SubRip has no escape either: players take these for tags of HTML and of ASS.
    return {"<": "\u2039", "{": "\uff5b", "\\": "\u29f5"}[match[0]]


def _vtt(cues: Sequence[Spoken]) -> str:
    blocks = ["WEBVTT\n"]
    for number, cue in enumerate(cues, 1):
        place = {"top": " line:5%", "middle": " line:50%,center", "bottom": ""}[cue.place]
        text = "\n".join(html.escape(line, quote=False) for line in wrapped(cue.text_lines))
        voice = html.escape(" ".join(cue.speaker.split()), quote=False)
        spoken = f"<v {voice}>{text}</v>" if voice else text
        blocks.append(f"{number}\n{_clock(cue.start, '.')} --> {_clock(cue.end, '.')}{place}\n{spoken}\n")
    return "\n".join(blocks)


def _clock(seconds: float, point: str) -> str:
    milliseconds = max(0, round(seconds * 1000))
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{rest // 1000:02}{point}{rest % 1000:03}"


def _ass(cues: Sequence[Spoken], picture: Picture) -> str:
    import pysubs2  # only here: other results start faster without it

    unspoken = pysubs2.Color(255, 255, 255)
    file = pysubs2.SSAFile()
    file.info.update(
        {
            "PlayResX": str(picture.width),
            "PlayResY": str(picture.height),
            "WrapStyle": "0",
            "ScaledBorderAndShadow": "yes",
        }
    )
    file.styles["Default"] = pysubs2.SSAStyle(
        fontname="Arial",
        fontsize=round(picture.height * _SHARE_OF_HEIGHT),
        primarycolor=unspoken,
        secondarycolor=unspoken,
        outlinecolor=pysubs2.Color(0, 0, 0),
        backcolor=pysubs2.Color(0, 0, 0, 128),
        bold=True,
        outline=max(1.0, picture.height / 400),
        shadow=0,
        marginl=round(picture.width * _MARGIN),
        marginr=round(picture.width * _MARGIN),
        marginv=round(picture.height * _MARGIN),
    )
    for cue in cues:
        event = pysubs2.SSAEvent(
            start=max(0, round(cue.start * 100)) * 10, end=max(0, round(cue.end * 100)) * 10, text=_karaoke(cue)
        )
        event.name = " ".join(cue.speaker.replace(",", " ").split())
        file.events.append(event)
    return file.to_string("ass")


def _karaoke(cue: Spoken) -> str:
    """Return the text of an event, in which tags `k` count hundredths from its start on, without gaps."""
    place = f"{{\\an{_ALIGNMENTS[cue.place]}}}" if cue.place != "bottom" else ""
    if all(word.start is None for line in cue.lines for word in line):
        colour = f"{{\\c{_ass_colour(cue.colour)}}}" if cue.colour else ""
        return place + colour + "\\N".join(map(_escaped, wrapped(cue.text_lines)))
    now, coloured, lines = cue.start, False, []
    for line in cue.lines:
        pieces = []
        for word in line:
            tags, now = _word_tags(word, now, coloured)
            coloured = bool(word.colour)
            pieces.append(f"{{{tags}}}{_escaped(word.text)}" if tags else _escaped(word.text))
        lines.append("".join(pieces).strip())
    return place + "\\N".join(lines)


def _word_tags(word: SpokenWord, now: float, coloured: bool) -> tuple[str, float]:
    """Return a word's tags, and the time up to which the event is counted after it; `coloured`: the one before is."""
    colour = f"\\c{_ass_colour(word.colour)}" if word.colour else "\\c" if coloured else ""
    if word.start is None or word.end is None:
        return colour, now
    wait = max(0, _hundredths(word.start) - _hundredths(now))
    end = max(word.end, now, word.start)
    length = _hundredths(end) - max(_hundredths(word.start), _hundredths(now))
    pause = f"\\k{wait}" if wait else ""
    return f"{pause}{colour}\\k{max(0, length)}", end


def _hundredths(seconds: float) -> int:
    return round(seconds * 100)


def _ass_colour(colour: str) -> str:
    return f"&H{colour[5:7]}{colour[3:5]}{colour[1:3]}&".upper()


def _escaped(text: str) -> str:
    """Return text in which nothing is a tag: ASS has no escape for braces, so others that look alike stand in."""
    return text.replace("\\", "\u29f5").replace("{", "\uff5b").replace("}", "\uff5d").replace("\n", "\\N")
