"""What cannot be read in a file of captions: captions without times and styles are left out, and told, one by one."""

from __future__ import annotations

import re
from collections.abc import Callable

import pysubs2

from ecg_renderer.errors import ScenarioError
from ecg_renderer.scenario import Report

NUMBER = re.compile(r"[ \t]*\d{1,9}[ \t]*")
"""The line before the times of a caption of SubRip."""
_BEGINS_AS_TIMES = re.compile(r"[ \t]*+(?=.*\d:\d)(?:[-\d]|-->)")
_READ_ALONE = re.compile(r"[ \t]*+(Dialogue|Comment|Style):")
_TOLD = 40


def without_untimed(text: str, is_times: Callable[[str], object], report: Report) -> str:
    """Return SubRip or WebVTT without the captions that have an arrow in a line of no times, by `is_times`.

    Such a caption ends at an empty line, or where the next one begins. It takes as long as the text is.
    """
    kept: list[str] = []
    leaving, before = False, ""
    for number, line in enumerate(text.split("\n"), 1):
        times = "-->" in line and bool(is_times(line))
        if "-->" in line and not times and _BEGINS_AS_TIMES.match(line):
            _tell(number, line, report)
            if not leaving and kept and NUMBER.fullmatch(kept[-1]):
                kept.pop()
            leaving = True
        elif leaving and (times or not line.strip()):
            leaving = False
            if times and NUMBER.fullmatch(before):
                kept.append(before)
        if not leaving:
            kept.append(line)
        before = line
    return "\n".join(kept)


def readable_lines(text: str, kind: str, report: Report) -> str:
    """Return .ass or .ssa without the lines of styles, dialogue, and comments, that cannot be read."""
    kept = []
    for number, line in enumerate(text.split("\n"), 1):
        alone = _READ_ALONE.match(line)
        if not alone or _is_read(line, kind):
            kept.append(line)
        elif alone[1] == "Style":
            done = f"cannot be read, `{line.strip()[:_TOLD]}`, and was left out: what has it looks as without a style"
            report.warn("style of captions", f"line {number}", done, hint="Write it as the other styles.")
        else:
            _tell(number, line, report)
    return "\n".join(kept)


def _is_read(line: str, kind: str) -> bool:
    try:
        pysubs2.SSAFile.from_string(line, format_=kind)
    except ValueError:
        return False
    return True


def nothing_left(what: str, report: Report) -> ScenarioError:
    """Return the error to raise for a file without a caption, which says what was left out."""
    left_out = "".join(f" {line}" for line in report.warnings[:1])
    return ScenarioError(f"{report.origin} holds no {what}.{left_out}", hint="Check that it is the right file.")


def _tell(number: int, line: str, report: Report) -> None:
    done = f"has times that cannot be read, `{line.strip()[:_TOLD]}`, and was left out with its words"
    report.warn("times of a caption", f"line {number}", done, hint="Write them as in the other captions.")
