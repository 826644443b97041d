"""Captions whose times cannot be read: each is left out, with its words, and told; the others are shown."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

import pysubs2

from ecg_renderer.scenario import Report

_BEGINS_AS_TIMES = re.compile(r"[ \t]*(?=[^\n]*\d:\d)(?:[-\d]|-->)[^\n]*")
_NUMBER = re.compile(r"[ \t]*\d{1,9}[ \t]*")
_DIALOGUE = re.compile(r"[ \t]*Dialogue:", re.IGNORECASE)
_FORMAT = re.compile(r"[ \t]*Format:", re.IGNORECASE)
_TOLD = 40


def without_untimed(text: str, is_times: Callable[[str], object], report: Report) -> str:
    """Return SubRip or WebVTT without the captions that have an arrow in a line of no times, by `is_times`."""
    lines = text.split("\n")
    broken = [
        index
        for index, line in enumerate(lines)
        if "-->" in line and _BEGINS_AS_TIMES.match(line) and not is_times(line)
    ]
    left_out: set[int] = set()
    for index in broken:
        _tell(index + 1, lines[index], report)
        left_out.update(_block(lines, index))
    return "\n".join(line for index, line in enumerate(lines) if index not in left_out) if broken else text


def _block(lines: Sequence[str], index: int) -> Iterable[int]:
    """Return the lines of the caption whose times stand at `index`: its number before, its words after."""
    first = index - 1 if index and _NUMBER.fullmatch(lines[index - 1]) else index
    after = next((later for later in range(index, len(lines)) if not lines[later].strip()), len(lines))
    return range(first, after)


def timed_lines(text: str, kind: str, report: Report) -> str:
    """Return .ass or .ssa without the lines of dialogue that cannot be read."""
    kept, form = [], ""
    for number, line in enumerate(text.split("\n"), 1):
        if _FORMAT.match(line):
            form = line
        if _DIALOGUE.match(line) and not _is_read(f"[Events]\n{form}\n{line}", kind):
            _tell(number, line, report)
        else:
            kept.append(line)
    return "\n".join(kept)


def _is_read(text: str, kind: str) -> bool:
    try:
        pysubs2.SSAFile.from_string(text, format_=kind)
    except ValueError:
        return False
    return True


def _tell(number: int, line: str, report: Report) -> None:
    done = f"has times that cannot be read, `{line.strip()[:_TOLD]}`, and was left out with its words"
    report.warn("times of a caption", f"line {number}", done, hint="Write them as in the other captions.")
