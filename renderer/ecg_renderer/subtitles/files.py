"""Subtitle files: SubRip, YouTube's .sbv, SAMI, WebVTT, Advanced SubStation Alpha; those of `ttml` and `others`."""

from __future__ import annotations

import html
import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import accumulate

import pysubs2
import webvtt

from ecg_renderer.errors import ScenarioError
from ecg_renderer.scenario import Report
from ecg_renderer.subtitles.captions import Caption, Place, Word, faced_out, in_lines, in_order, tell_empty, told_at
from ecg_renderer.subtitles.decoding import NUMBER, bytes_of_text, nothing_left, readable_lines, without_untimed
from ecg_renderer.subtitles.faces import PLAIN, Face, faced, marked, marks_of, seen_colour, unmarked
from ecg_renderer.subtitles.others import format_of_others, from_lrc, from_microdvd
from ecg_renderer.subtitles.ttml import TTML, from_ttml

# Also as word processors correct it; these arrows stand in what is said, too.
_OTHER = "(?:-{1,3}>|[\u2013\u2014]-?>|\u2192)"
_WHOLE = r"-?\d{1,4}:\d{1,2}:\d{1,2}[.,:]\d{1,9}"
_BY_OTHER = rf"{_WHOLE}[ \t]*{_OTHER}[ \t]*{_WHOLE}"
_ARROW = re.compile(rf"\d{{1,2}}:\d{{1,2}}(?:[.,:]\d{{1,9}})?[ \t]*-->|{_BY_OTHER}".encode())
_SRT_STAMP = r"(-?)(?:(\d{1,4}):)?(\d{1,2}):(\d{1,2})(?:([.,:])(\d{1,9}))?"
_SRT_TIMES = re.compile(
    rf"^(?=[-\d:., \t]*-->|[ \t]*{_BY_OTHER})[ \t]*{_SRT_STAMP}[ \t]*{_OTHER}[ \t]*{_SRT_STAMP}(?![\d:])[^\n]*$",
    re.MULTILINE,
)
_SBV_TIMES = re.compile(r"^\d{1,3}:\d\d:\d\d\.\d{3},\d{1,3}:\d\d:\d\d\.\d{3}[ \t]*$", re.MULTILINE)
_VTT_TIMES = re.compile(
    rf"^((?:\d+:)?\d\d:\d\d)[,.](\d{{3}})[ \t]*{_OTHER}[ \t]*((?:\d+:)?\d\d:\d\d)[,.](\d{{3}})", re.MULTILINE
)
_VTT_READ = webvtt.vtt.WebVTTCueBlock.CUE_TIMINGS_PATTERN
_VTT_LINE = re.compile(r"(?:^|\s)line:(-?\d+(?:\.\d+)?)(%?)")
_RUBY = re.compile(r"<rt>.*?(?:</rt>|(?=</ruby>)|$)", re.DOTALL)
_SYNC = re.compile(
    r"<sync\s+start\s*=\s*[\"']?(-?\d{1,12})[^<>]*>(.*?)(?=</?sync\b|</body|\Z)", re.IGNORECASE | re.DOTALL
)
_SAMI = re.compile(rb"(?:\s++|<!--(?>.*?-->)|<[?!](?!--)[^<>]*+>)*+<sami", re.IGNORECASE | re.DOTALL)
_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)
_SAMI_CLASS = re.compile(r"<p\b[^<>]*?class\s*=\s*[\"']?(\w+)", re.IGNORECASE)
_ASS_SECTION = re.compile(rb"^\[(?:script info|v4\+? styles|events)\]", re.IGNORECASE | re.MULTILINE)
_SSA = re.compile(r"^\[v4 styles\]", re.IGNORECASE | re.MULTILINE)
VTT_LINES = 15

_ASS_TAGS = re.compile(r"\{([^{}]*)\}")
_BRACES = re.compile(r"\{([^}]*)\}")
_KARAOKE = re.compile(r"\\[kK][fo]?(\d{1,7})")
_ALIGNED = re.compile(r"\\an?(\d{1,2})")
_DRAWING = re.compile(r"\\p(\d{1,4})")
_SAID_BY = re.compile(
    r"^((?:[\U000f0000-\U000fffff]|\{[^{}]*\})*)\[?((?:speaker|화자|spk)[ _]?\w{1,12})\]?:\s*", re.IGNORECASE
)
_VTT_STAMP = re.compile(r"<((?:\d+:)?\d{2}:\d{2}\.\d{3})>")
_VTT_TAG = re.compile(r"</?[^<>]*>")
_VOICE = re.compile(r"<v(?:\.[^\s<>]*)?\s+([^<>]+)>")
_HTML_BREAK = re.compile(r"<br\s*/?>", re.IGNORECASE)
_ASS_PLACED = re.compile(r"\\(?:pos|move)\(\s*-?[\d.]+\s*,\s*(-?[\d.]+)")


def format_of(raw: bytes) -> str:
    """Return "srt", "vtt", "ass", "sbv", "sami", "ttml", "lrc" or "microdvd" by the content; "" for something else."""
    head = bytes_of_text(raw).replace(b"\r", b"\n")
    if head.lstrip().startswith(b"WEBVTT"):
        return "vtt"
    if TTML.match(head):  # before what its comments may hold
        return "ttml"
    if _ASS_SECTION.search(head):
        return "ass"
    if _SAMI.match(head):
        return "sami"
    if _ARROW.search(head):
        return "srt"
    sbv = _SBV_TIMES.match(head.decode("utf-8", "replace").lstrip("\n"))
    return "sbv" if sbv else format_of_others(head)


def read_file(text: str, kind: str, report: Report) -> list[Caption]:
    """Return the captions of a file of `kind`, in the order of their starts; `report` is told what was put right.

    Errors: ScenarioError for a file without a caption, or one that its library cannot read.
    """
    name = report.origin
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # pysubs2 warns of fields that nobody reads here
            readers = {"vtt": _from_vtt, "ass": _from_ass, "sami": _from_sami, "srt": _from_srt, "sbv": _from_srt}
            captions = list(readers[kind](text, report) if kind in readers else _from_other(text, kind, report))
    except (pysubs2.Pysubs2Error, webvtt.errors.MalformedFileError, webvtt.errors.MalformedCaptionError) as error:
        raise ScenarioError(f"{name} cannot be read as .{kind}: {error}.", hint="Export the subtitles again.") from None
    except (ValueError, KeyError, IndexError, OverflowError) as error:
        raise ScenarioError(
            f"{name} cannot be read as .{kind}: {str(error)[:200]}.", hint="Export the subtitles again."
        ) from None
    if not captions:
        raise nothing_left("captions", report)
    return in_order(captions, report)


def _from_srt(text: str, report: Report) -> Iterator[Caption]:
    """Yield the cues of SubRip, and of .sbv: each is what stands between its line of times and that of the next."""
    if _SBV_TIMES.search(text):
        text = _SBV_TIMES.sub(lambda times: times[0].replace(",", " --> "), text).replace("[br]", "\n")
    text = without_untimed(text, _SRT_TIMES.match, report)
    cues = list(_SRT_TIMES.finditer(text))
    if frames := _frames_a_second(cues):
        done = f"times end in frames, which were taken to be {frames} a second"
        report.warn("frames in times", report.origin, done, hint="Export them with milliseconds.")
    heads = text[: cues[0].start()].split("\n") if cues else []
    number = next((int(line) for line in heads if NUMBER.fullmatch(line)), None)
    for index, cue in enumerate(cues):
        following = cues[index + 1].start() if index + 1 < len(cues) else None
        lines = text[cue.end() : following].strip("\n \t").split("\n")
        number = _without_number(lines, number, index + 2, following is None)
        start, end = _srt_seconds(cue.groups()[:6], frames), _srt_seconds(cue.groups()[6:], frames)
        if start < 0:
            report.warn("time of a caption", told_at(start), "begins before the video, and is shown from 0 s")
        said = _HTML_BREAK.sub(r"\\N", "\\N".join(lines))
        caption = _marked_up(said, max(0.0, start), max(0.0, end))
        if caption:
            yield caption
        else:
            tell_empty(start, report)


def _without_number(lines: list[str], number: int | None, count: int, last: bool) -> int | None:
    """Take the number of the next cue off `lines`, and return it; `number` is this one's, None where cues have none.

    The first cue may have lost its number, then the next has its place as one; a file may have been cut after one.
    """
    if not NUMBER.fullmatch(lines[-1]):
        return number
    following = int(lines[-1])
    if last:
        cut = number is not None and number == following - 1 and len(lines) > 1 and not lines[-2].strip()
    else:
        cut = number is not None or following == count
    if cut:
        lines.pop()
        return following
    return number


def _marked_up(said: str, start: float, end: float, speaker: str = "", *, stamps: bool = False) -> Caption | None:
    """Return a caption of text with tags of HTML and ASS, and lines parted by N; None where it has no words.

    `stamps`: times of words within it are as WebVTT writes them.
    """
    plain, faces = marked(said)
    plain, speaker = _speaker(_ASS_TAGS.sub(_only_tags, plain), speaker)
    lines = plain.replace("\\h", " ").split("\\N")
    if stamps and _VTT_STAMP.search(plain):
        words, starts = _stamped(lines, start, end, faces)
    else:
        words, starts = _lines(lines, start, end, faces)
    return _captioned(words, start, end, speaker, _place(said, 2), starts) if words else None


def _captioned(
    words: Sequence[Word], start: float, end: float, speaker: str, place: Place, starts: tuple[int, ...] = ()
) -> Caption:
    """Return a caption; a colour that all of its words have is the caption's."""
    colours = {word.face.colour for word in words}
    if len(colours) == 1:
        words = [replace(word, face=replace(word.face, colour="")) for word in words]
    return Caption(tuple(words), start, end, speaker, colours.pop() if len(colours) == 1 else "", place, starts)


def _only_tags(braces: re.Match[str]) -> str:
    """Return nothing for tags in braces, and as they are braces that somebody wrote."""
    return "" if braces[1].startswith("\\") or not braces[1] else braces[0]


def _frames_a_second(cues: Sequence[re.Match[str]]) -> int:
    """Return how many frames a second the last numbers of all times count, 00:00:01:12; 0 where they are fractions."""
    last = [cue.groups()[place : place + 2] for cue in cues for place in (4, 10)]
    if not last or any(sign != ":" or len(count or "") != 2 for sign, count in last):
        return 0
    most = max(int(count or 0) for _, count in last)
    return next((rate for rate in (25, 30, 60) if most < rate), 0)


def _srt_seconds(stamp: Sequence[str | None], frames: int) -> float:
    sign, hours, minutes, seconds, _, fraction = stamp
    whole = int(hours or 0) * 3600 + int(minutes or 0) * 60 + int(seconds or 0)
    part = int(fraction or 0) / frames if frames else int((fraction or "0")[:3].ljust(3, "0")) / 1000
    return (whole + part) * (-1 if sign else 1)


def _from_other(text: str, kind: str, report: Report) -> Iterator[Caption]:
    readers = {"ttml": from_ttml, "lrc": from_lrc, "microdvd": from_microdvd}
    for start, end, said, speaker in readers[kind](text, report):
        caption = _marked_up(said, start, end, speaker, stamps=kind != "microdvd")
        if caption:
            yield caption
        else:
            tell_empty(start, report)


def _from_sami(text: str, report: Report) -> Iterator[Caption]:
    """Yield the captions of the first language of a SAMI file; each ends where the next, or a blank one, begins."""
    text = _COMMENT.sub("", text)
    first = _SAMI_CLASS.search(text)
    syncs = [
        (int(sync[1]) / 1000, said)
        for sync in _SYNC.finditer(text)
        if (said := _of_class(sync[2], first[1].lower() if first else "")) is not None
    ]
    for index, (start, said) in enumerate(syncs):
        end = syncs[index + 1][0] if index + 1 < len(syncs) else start
        said = re.sub(r"<p\b[^<>]*>", "", said, flags=re.IGNORECASE)
        lines = " ".join(said.split())
        if caption := _marked_up(_HTML_BREAK.sub(r"\\N", lines), start, end):
            yield caption


def _of_class(said: str, first: str) -> str | None:
    """Return the paragraphs of a class, and those of none, one a line; None where all are of others."""
    parts = [part for part in re.split(r"(?=<p\b)", said, flags=re.IGNORECASE) if part.strip()]
    classes = [_SAMI_CLASS.search(part) for part in parts]
    kept = [part for part, its in zip(parts, classes, strict=True) if its is None or its[1].lower() == first]
    return "<br>".join(kept) if kept or not parts else None


def _from_ass(text: str, report: Report) -> Iterator[Caption]:
    kind = "ssa" if _SSA.search(text) else "ass"
    try:
        file = pysubs2.SSAFile.from_string(text, format_=kind)
    except ValueError:
        file = pysubs2.SSAFile.from_string(readable_lines(text, kind, report), format_=kind)
    height = next((int(value) for value in [file.info.get("PlayResY", "")] if re.fullmatch(r"\d{1,6}", value)), 288)
    styles = {name: _face(style) for name, style in file.styles.items()}
    for event in file:
        if event.is_comment:
            continue
        style = file.styles.get(event.style)
        spoken, faces = marked(_undrawn(event.text), styles.get(event.style, PLAIN), styles)
        place = _ass_place(spoken, int(style.alignment) if style else 2, height)
        start, end = event.start / 1000, event.end / 1000
        said, speaker = _speaker(spoken, event.name)
        if _KARAOKE.search(said):
            words = tuple(_karaoke(said, start, end, faces))
            starts: tuple[int, ...] = ()
        else:
            lines = _ASS_TAGS.sub("", said).replace("\\n", "\\N").replace("\\h", " ").split("\\N")
            words, starts = _lines(lines, start, end, faces)
        if words:
            yield _captioned(words, start, end, speaker, place, starts)
        else:
            tell_empty(start, report)


def _face(style: pysubs2.SSAStyle) -> Face:
    said = style.primarycolor
    colour = seen_colour(f"#{said.r:02x}{said.g:02x}{said.b:02x}")
    return Face(colour, bold=bool(style.bold), italic=bool(style.italic), underline=bool(style.underline))


def _ass_place(text: str, alignment: int, height: int) -> Place:
    """Return where a line stands: as it is aligned, or where it is put on a picture of that height."""
    placed = _ASS_PLACED.search(text)
    if not placed or not height:
        return _place(text, alignment)
    share = float(placed[1]) / height
    return "top" if share < 1 / 3 else "middle" if share < 2 / 3 else "bottom"


def _undrawn(text: str) -> str:
    """Return the text of an .ass line without what its vectors draw: the numbers after `p1`, up to `p0`."""
    kept, drawing = [], False
    for index, part in enumerate(re.split(r"(\{[^}]*\})", text)):
        if index % 2:
            for match in _DRAWING.finditer(part):
                drawing = int(match[1]) > 0
        if index % 2 or not drawing:
            kept.append(part)
    return "".join(kept)


def _speaker(text: str, name: str) -> tuple[str, str]:
    """Return the text without its speaker, and who that is."""
    match = None if name else _SAID_BY.match(text)
    return (match[1] + text[match.end() :], match[2]) if match else (text, name.strip())


def _place(text: str, alignment: int) -> Place:
    match = _ALIGNED.search(text)
    number = int(match[1]) if match else alignment
    if match and not match[0].startswith("\\an"):  # \a, the older way: 5 to 7 are at the top, 9 to 11 in the middle
        return "top" if 5 <= number <= 7 else "middle" if number > 8 else "bottom"
    return "top" if number >= 7 else "middle" if number >= 4 else "bottom"


def _lines(
    lines: list[str], start: float, end: float, faces: Sequence[Face]
) -> tuple[tuple[Word, ...], tuple[int, ...]]:
    return in_lines(map(html.unescape, lines), start, end, faces)


def _karaoke(text: str, start: float, end: float, faces: Sequence[Face]) -> Iterator[Word]:
    """Yield the syllables of an .ass karaoke line, each with the time that its tag gives it."""
    at, length, spaced = start, 0.0, True
    parts = [
        re.sub(r"\\[Nnh]", " ", part) if index % 2 == 0 else part for index, part in enumerate(_BRACES.split(text))
    ]
    words = faced(parts[::2], faces)
    for index, part in enumerate(parts):
        if index % 2:
            for match in _KARAOKE.finditer(part):
                at, length = at + length, int(match[1]) / 100
            continue
        plain = unmarked(part)
        joins = not plain[:1].isspace() and not spaced
        for word in faced_out(next(words), min(at, end), min(end, at + length)):
            yield replace(word, joined=joins)
            spaced, joins = True, False
        spaced = not plain or plain[-1:].isspace() or (spaced and not plain.strip())


def _from_vtt(text: str, report: Report) -> Iterator[Caption]:
    before: list[str] = []
    rolling = _VTT_STAMP.search(text) is not None
    text = without_untimed(_VTT_TIMES.sub(r"\1.\2 --> \3.\4", text), _VTT_READ.match, report)
    for cue in webvtt.from_string(text).captions:
        start, end = _seconds(cue.start), _seconds(cue.end)
        raw, faces = marked(_RUBY.sub("", cue.raw_text))
        lines = _said_lines(raw, before)
        if rolling:  # what was said before stays above, and is written again in every cue
            before = [_plain(line) for line in raw.split("\n") if _plain(line)]
        voices = {html.unescape(voice).strip() for voice in _VOICE.findall(raw)}
        speaker = voices.pop() if len(voices) == 1 else ""  # of several, no colour is that of all
        if not any(_VTT_STAMP.search(line) for line in lines):
            said, by = _speaker("\\N".join(_VTT_TAG.sub("", line) for line in lines), speaker)
            words, starts = _lines(said.split("\\N"), start, end, faces)
        else:
            (words, starts), by = _stamped(lines, start, end, faces), speaker
        if words:
            place = _vtt_place(str(getattr(cue, "settings", "") or ""))
            yield _captioned(words, start, end, by, place, starts)
        elif not _plain(raw):
            tell_empty(start, report)


def _said_lines(raw: str, before: list[str]) -> list[str]:
    """Return the lines with text other than `before`, each with the marks of what is left out above it."""
    lines, above = [], ""
    for line in raw.split("\n"):
        if _plain(line) and _plain(line) not in before:
            lines.append(above + line)
            above = ""
        else:
            above += marks_of(line)
    return lines


def _vtt_place(settings: str) -> Place:
    """Return where a cue stands: lines count from the top, or from the bottom where they are negative."""
    match = _VTT_LINE.search(settings)
    if not match:
        return "bottom"
    share = float(match[1]) / (100 if match[2] else VTT_LINES)
    share += 1 if share < 0 else 0
    return "top" if share < 1 / 3 else "middle" if share < 2 / 3 else "bottom"


def _plain(line: str) -> str:
    return html.unescape(unmarked(_VTT_TAG.sub("", line))).strip()


def _stamped(
    lines: Sequence[str], start: float, end: float, faces: Sequence[Face]
) -> tuple[tuple[Word, ...], tuple[int, ...]]:
    """Return the words of lines that hold the time of each, <00:01.500>, and where lines after the first begin."""
    parts = _VTT_STAMP.split("\n".join(lines))
    stamps = [start, *map(_seconds, parts[1::2]), end]
    said = [html.unescape(_VTT_TAG.sub("", part)) for part in parts[::2]]
    words: list[Word] = []
    starts: set[int] = set()
    spaced = True
    for index, found in enumerate(faced(said, faces)):
        plain = unmarked(said[index])
        before = accumulate((len(line.split()) for line in plain.split("\n")), initial=len(words))
        starts.update(list(before)[1:-1])
        joined = not spaced and not plain[:1].isspace()
        for word in faced_out(found, stamps[index], max(stamps[index], stamps[index + 1])):
            words.append(replace(word, joined=joined))
            joined = False
        spaced = plain[-1:].isspace() if plain else spaced
    return tuple(words), tuple(sorted(starts & {*range(1, len(words))}))


def _seconds(stamp: str) -> float:
    *hours, minutes, seconds = stamp.replace(",", ".").split(":")
    return (int(hours[0]) if hours else 0) * 3600 + int(minutes) * 60 + float(seconds)
