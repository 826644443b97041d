"""What people can read: how long lines are, how fast they change, what stands at one place at a time.

Wide characters (Hangul, Han, Kana) take two columns, and as long to read as two letters.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence

from ecg_renderer.scenario import Finding
from ecg_renderer.subtitles.spoken import Spoken

LINE_COLUMNS = 42
LINES = 2
COLUMNS_A_SECOND = 24.0
_OVERLAP_SECONDS = 0.02  # less than a frame: rounded times


def columns(text: str) -> int:
    """Return how many columns a text takes."""
    return sum(
        0 if unicodedata.combining(letter) else 2 if unicodedata.east_asian_width(letter) in "WF" else 1
        for letter in text
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
            yield _finding("subtitles at one time", cue, done, "Let one end before the other begins.", "")
        if latest is None or cue.end > latest.end:
            latest = cue


def _finding(kind: str, cue: Spoken, problem: str, hint: str, word: str) -> Finding:
    return Finding(kind, f"cues[{cue.index}]", problem, hint, cue.id, word[:40])
