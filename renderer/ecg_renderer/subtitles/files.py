"""Subtitle files: SubRip, WebVTT, Advanced SubStation Alpha."""

from __future__ import annotations

import html
import re
import warnings
from collections.abc import Callable, Iterator

import pysubs2
import webvtt

from ecg_renderer.errors import ScenarioError
from ecg_renderer.scenario import Report
from ecg_renderer.subtitles.captions import Caption, Place, Word, in_order, shared_out, tell_empty

_ARROW = re.compile(rb"\d{1,2}:\d{1,2}(?:[.,:]\d{1,3})?[ \t]*-->")
_SRT_STAMP = r"(?:(\d{1,3}):)?(\d{1,2}):(\d{1,2})(?:[.,:](\d{1,3}))?"
_SRT_TIMES = re.compile(rf"^[ \t]*{_SRT_STAMP}[ \t]*-->[ \t]*{_SRT_STAMP}(?![\d:])[^\n]*$", re.MULTILINE)
_ASS_SECTION = re.compile(rb"^\[(?:script info|v4\+? styles|events)\]", re.IGNORECASE | re.MULTILINE)
_HEAD = 65536
_MARKS = {"utf-8-sig": b"\xef\xbb\xbf", "utf-16": b"\xff\xfe", "utf_16": b"\xfe\xff"}

_ASS_TAGS = re.compile(r"\{([^}]*)\}")
_KARAOKE = re.compile(r"\\[kK][fo]?(\d+)")
_ALIGNED = re.compile(r"\\an?(\d+)")
_DRAWING = re.compile(r"\\p(\d+)")
_SAID_BY = re.compile(r"^\[?((?:speaker|화자|spk)[ _]?\w{1,12})\]?:\s*", re.IGNORECASE)
_VTT_STAMP = re.compile(r"<((?:\d+:)?\d{2}:\d{2}\.\d{3})>")
_VTT_TAG = re.compile(r"</?[^>]*>")
_VOICE = re.compile(r"<v(?:\.[^\s>]*)?\s+([^>]+)>")
_HTML_TAG = re.compile(r"</?(?:font|b|i|u|s|c|span|ruby|rt)\b[^>]*>", re.IGNORECASE)


def format_of(raw: bytes) -> str:
    """Return "srt", "vtt" or "ass" by the content; "" for something else."""
    head = _bytes_of_text(raw[:_HEAD])
    if head.lstrip().startswith(b"WEBVTT"):
        return "vtt"
    if _ASS_SECTION.search(head):
        return "ass"
    return "srt" if _ARROW.search(head) else ""


def _bytes_of_text(raw: bytes) -> bytes:
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        return raw.decode("utf-16", "ignore").encode()
    if encoding := _unmarked_utf16(raw):
        return raw.decode(encoding, "ignore").encode()
    return raw.removeprefix(b"\xef\xbb\xbf")


def decoded(raw: bytes, report: Report) -> str:
    """Return the text of `raw`: UTF-8, UTF-16, else what it is most likely of what Windows writes; that is told."""
    marked = next((encoding for encoding, mark in _MARKS.items() if raw.startswith(mark)), "")
    encoding = marked or _unmarked_utf16(raw) or "utf-8"
    text = _decoded(raw, encoding)
    if text is None and not marked:
        text, language = _guessed(raw)
        said = f"is not UTF-8, and was read as {language}, as Windows writes it"
        report.warn("encoding", report.origin, said, hint="Save it as UTF-8 where letters are wrong.")
    if text is None:
        raise ScenarioError(f"{report.origin} is in no known encoding.", hint="Save the subtitles as UTF-8.")
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\x00", "")


def _decoded(raw: bytes, encoding: str) -> str | None:
    try:
        return raw.decode(encoding)
    except UnicodeDecodeError:
        return None


def _unmarked_utf16(raw: bytes) -> str:
    """Return the order of bytes of UTF-16 without its mark: one of the two of a letter or digit is zero."""
    head = raw[:_HEAD]
    zeros = [head[first::2].count(0) for first in (0, 1)]
    if max(zeros) < len(head) // 8 or min(zeros) * 8 > max(zeros):
        return ""
    return "utf-16-be" if zeros[0] > zeros[1] else "utf-16-le"


def _guessed(raw: bytes) -> tuple[str | None, str]:
    """Return the text, and the language, of the first encoding in which it looks like one."""
    for encoding, language, fits in _GUESSES:
        text = _decoded(raw, encoding)
        if text is not None and fits(text):
            return text, language
    return None, ""


def _mostly(share: float, encoding: str, *ranges: tuple[int, int]) -> Callable[[str], bool]:
    """Tell text in which that share of letters has codes of `encoding` in one of the ranges."""

    def fits(text: str) -> bool:
        codes = [int.from_bytes(letter.encode(encoding, "ignore")) for letter in text if letter > "\x7f"]
        return sum(any(first <= code <= last for first, last in ranges) for code in codes) >= share * len(codes)

    return fits


# Marks without a letter before them, vowels without one after them, letters alone among those of others.
_NO_THAI = re.compile(
    "(?:^|[^\u0e01-\u0e4e])[\u0e30-\u0e3a\u0e47-\u0e4e]|[\u0e40-\u0e44](?![\u0e01-\u0e2e])"
    "|[\u0e31\u0e34-\u0e3a\u0e47-\u0e4e]{3}|[A-Za-z][\u0e01-\u0e4e]|[^\x00-\x7f\u0e01-\u0e5b\u2013-\u201d\u2026\xa0]"
)
# In the order in which they are tried: text of one is often text of another, too, but with letters that nobody uses.
_GUESSES: tuple[tuple[str, str, Callable[[str], bool]], ...] = (
    ("cp874", "Thai", lambda text: not _NO_THAI.search(text)),
    ("cp949", "Korean", _mostly(0.8, "euc_kr", (0xB0A1, 0xC8FE))),
    ("cp932", "Japanese", _mostly(0.3, "cp932", (0x8140, 0x8396))),
    ("gb18030", "simplified Chinese", _mostly(0.8, "gb2312", (0xA1A1, 0xA3FE), (0xB0A1, 0xD7FE))),
    ("big5", "traditional Chinese", _mostly(0.8, "big5", (0xA140, 0xA3BF), (0xA440, 0xC67E))),
    ("cp1251", "Cyrillic", _mostly(0.9, "cp1251", (0xA8, 0xA8), (0xB8, 0xB9), (0xC0, 0xFF))),
    ("cp1252", "a Western language", lambda text: True),
)


def read_file(text: str, kind: str, report: Report) -> list[Caption]:
    """Return the captions of a file of `kind`, in the order of their starts; `report` is told what was put right.

    Errors: ScenarioError for a file without a caption, or one that its library cannot read.
    """
    name = report.origin
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # pysubs2 warns of fields that nobody reads here
            captions = list(_from_vtt(text, report) if kind == "vtt" else _from_pysubs2(text, kind, report))
    except (pysubs2.Pysubs2Error, webvtt.errors.MalformedFileError, webvtt.errors.MalformedCaptionError) as error:
        raise ScenarioError(f"{name} cannot be read as .{kind}: {error}.", hint="Export the subtitles again.") from None
    except (ValueError, KeyError, IndexError, OverflowError) as error:
        raise ScenarioError(
            f"{name} cannot be read as .{kind}: {str(error)[:200]}.", hint="Export the subtitles again."
        ) from None
    if not captions:
        raise ScenarioError(f"{name} holds no captions.", hint="Check that it is the right file.")
    return in_order(captions, report)


def _from_pysubs2(text: str, kind: str, report: Report) -> Iterator[Caption]:
    if kind == "srt":
        text = _SRT_TIMES.sub(_written_out, text)
    file = pysubs2.SSAFile.from_string(text, format_=kind)
    for event in file:
        if event.is_comment:
            continue
        style = file.styles.get(event.style) if kind == "ass" else None
        spoken = _HTML_TAG.sub("", _undrawn(event.text))
        place = _place(spoken, int(style.alignment) if style else 2)
        colour = _colour(style.primarycolor) if style else ""
        start, end = event.start / 1000, event.end / 1000
        said, speaker = _speaker(spoken, event.name)
        if _KARAOKE.search(said):
            words = tuple(_karaoke(said, start, end))
            starts: tuple[int, ...] = ()
        else:
            lines = _ASS_TAGS.sub("", said).replace("\\n", "\\N").replace("\\h", " ").split("\\N")
            words, starts = _lines(lines, start, end)
        if words:
            yield Caption(words, start, end, speaker, colour, place, starts)
        else:
            tell_empty(start, report)


def _written_out(times: re.Match[str]) -> str:
    """Return the line of times of a cue as SubRip has it; people write 1:02.5 and 0:1:2 as well."""
    stamps = []
    for hours, minutes, seconds, fraction in (times.groups()[:4], times.groups()[4:]):
        whole = min(int(hours or 0), 99)
        stamps.append(f"{whole:02}:{int(minutes):02}:{int(seconds):02},{(fraction or '').ljust(3, '0')}")
    return " --> ".join(stamps)


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
    return (text[match.end() :], match[1]) if match else (text, name.strip())


def _place(text: str, alignment: int) -> Place:
    match = _ALIGNED.search(text)
    number = int(match[1]) if match else alignment
    if match and not match[0].startswith("\\an"):  # \a, the older way: 5 to 7 are at the top, 9 to 11 in the middle
        return "top" if 5 <= number <= 7 else "middle" if number > 8 else "bottom"
    return "top" if number >= 7 else "middle" if number >= 4 else "bottom"


def _colour(said: pysubs2.Color) -> str:
    return "" if (said.r, said.g, said.b) == (255, 255, 255) else f"#{said.r:02x}{said.g:02x}{said.b:02x}"


def _lines(lines: list[str], start: float, end: float) -> tuple[tuple[Word, ...], tuple[int, ...]]:
    texts: list[str] = []
    starts: list[int] = []
    for line in lines:
        words = html.unescape(line).split()
        if words and texts:
            starts.append(len(texts))
        texts += words
    return shared_out(texts, start, end) if texts else (), tuple(starts)


def _karaoke(text: str, start: float, end: float) -> Iterator[Word]:
    """Yield the syllables of an .ass karaoke line, each with the time that its tag gives it."""
    at, length, spaced = start, 0.0, True
    for index, part in enumerate(re.split(r"\{([^}]*)\}", text)):
        if index % 2:
            for match in _KARAOKE.finditer(part):
                at, length = at + length, int(match[1]) / 100
            continue
        plain = part.replace("\\N", " ").replace("\\n", " ").replace("\\h", " ")
        for word in shared_out(plain.split(), at, min(end, at + length)):
            leads = not plain[:1].isspace() and not spaced
            yield Word(word.text, word.start, word.end, joined=leads)
            spaced, plain = True, " "
        spaced = not part or part[-1:].isspace() or (spaced and not part.strip())


def _from_vtt(text: str, report: Report) -> Iterator[Caption]:
    before: list[str] = []
    rolling = _VTT_STAMP.search(text) is not None
    for cue in webvtt.from_string(text).captions:
        start, end = _seconds(cue.start), _seconds(cue.end)
        lines = [line for line in cue.raw_text.split("\n") if _VTT_TAG.sub("", line).strip()]
        if rolling:  # what was said before stays above, and is written again in every cue
            lines, before = [line for line in lines if _plain(line) not in before], [_plain(line) for line in lines]
        voice = _VOICE.search(cue.raw_text)
        speaker = html.unescape(voice[1]).strip() if voice else ""
        if not any(_VTT_STAMP.search(line) for line in lines):
            said, by = _speaker("\\N".join(_plain(line) for line in lines), speaker)
            words, starts = _lines(said.split("\\N"), start, end)
        else:
            words, starts, by = tuple(_stamped(" ".join(lines), start, end)), (), speaker
        if words:
            top = re.search(r"line:\s*(\d+)%", str(getattr(cue, "settings", "") or ""))
            yield Caption(words, start, end, by, "", "top" if top and int(top[1]) < 40 else "bottom", starts)


def _plain(line: str) -> str:
    return html.unescape(_VTT_TAG.sub("", line)).strip()


def _stamped(text: str, start: float, end: float) -> Iterator[Word]:
    """Yield the words of a cue that holds the time of each: <00:01.500>."""
    parts = _VTT_STAMP.split(text)
    stamps = [start, *(_seconds(stamp) for stamp in parts[1::2]), end]
    for index, part in enumerate(parts[::2]):
        yield from shared_out(_plain(part).split(), stamps[index], max(stamps[index], stamps[index + 1]))


def _seconds(stamp: str) -> float:
    *hours, minutes, seconds = stamp.replace(",", ".").split(":")
    return (int(hours[0]) if hours else 0) * 3600 + int(minutes) * 60 + float(seconds)
