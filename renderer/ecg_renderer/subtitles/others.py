"""Lyrics (LRC) and MicroDVD: what is said when, written as SubRip and WebVTT write it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

from ecg_renderer.scenario import Report


class Said(NamedTuple):
    """From when to when, in seconds, and the text: tags as in HTML, lines parted by N, stamps of words as in WebVTT."""

    start: float
    end: float
    text: str
    speaker: str = ""


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
# Of a line of lyrics that nothing follows, seconds.
_LAST_LINE = 4.0


def literal(said: str) -> str:
    """Return text in which no backslash breaks a line, or begins a tag of .ass."""
    return said.replace("\\", "&#92;")


def stamped(seconds: float) -> str:
    """Return WebVTT's stamp of a time within a cue."""
    minutes, rest = divmod(round(seconds * 1000), 60_000)
    return f"<{minutes // 60:02d}:{minutes % 60:02d}:{rest // 1000:02d}.{rest % 1000:03d}>"


def format_of_others(head: bytes) -> str:
    """Return "lrc" or "microdvd" by the content; "" for something else."""
    return "microdvd" if _MICRODVD_HEAD.match(head) else "lrc" if _LRC.search(head) else ""


# --- lyrics ---------------------------------------------------------------------------------------


def from_lrc(text: str, report: Report) -> Iterator[Said]:
    """Yield lines of lyrics, each until the next later one, be that empty."""
    shift = _LRC_OFFSET.search(text)
    late = -int(shift[1]) / 1000 if shift else 0.0
    lines: list[tuple[float, str]] = []
    for number, line in enumerate(text.split("\n"), 1):
        if times := _LRC_TIMES.match(line):
            said = literal(line[times.end() :].strip())
            lines += [(max(0.0, _minutes(*stamp) + late), said) for stamp in _LRC_TIME.findall(times[0])]
        elif line.strip() and not _LRC_TAG.fullmatch(line):
            done, hint = "begins with no time, and was left out", "Write when it is sung before it, such as [00:12.50]."
            report.warn("line without a time", f"line {number}", done, hint=hint)
    lines.sort(key=lambda line: line[0])
    starts = sorted({start for start, _ in lines})
    ends = dict(pairwise([*starts, *(start + _LAST_LINE for start in starts[-1:])]))
    for start, said in lines:
        if said:
            yield Said(start, ends[start], _words_held(said, start, ends[start], late))


def _words_held(said: str, start: float, end: float, late: float) -> str:
    """Return a line with WebVTT's stamps for those of its words, none before the one before it, or out of the line."""
    at = start

    def stamp(word: re.Match[str]) -> str:
        nonlocal at
        at = min(end, max(at, _minutes(word[1] or word[3], word[2] or word[4]) + late))
        return stamped(at)

    return _LRC_WORD.sub(stamp, said)


def _minutes(minutes: str, seconds: str) -> float:
    return int(minutes) * 60 + float(seconds.replace(":", "."))


# --- MicroDVD -------------------------------------------------------------------------------------


def from_microdvd(text: str, report: Report) -> Iterator[Said]:
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
        parts = [_leaning(part, whole or "{y:i}" in part) for part in literal(said).split("|")]
        yield Said(first / rate, last / rate, "\\N".join(parts))


def _leaning(line: str, italic: bool) -> str:
    plain = _MICRODVD_TAG.sub("", line).strip()
    return f"<i>{plain}</i>" if italic else plain
