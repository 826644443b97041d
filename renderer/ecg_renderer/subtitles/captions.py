"""What every file of subtitles comes down to: captions of words with times."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Place = Literal["top", "middle", "bottom"]


@dataclass(frozen=True)
class Word:
    """A word as it is spoken; times in seconds, `joined` to the word before without a space."""

    text: str
    start: float
    end: float
    joined: bool = False


@dataclass(frozen=True)
class Caption:
    """What is shown at a time, in seconds; `speaker` and `colour` (CSS) are empty where nobody says."""

    words: tuple[Word, ...]
    start: float
    end: float
    speaker: str = ""
    colour: str = ""
    place: Place = "bottom"
    line_starts: tuple[int, ...] = field(default=())
    """Where the author begins lines: indices of words after the first."""


def shared_out(texts: list[str], start: float, end: float, joined: list[bool] | None = None) -> tuple[Word, ...]:
    """Return words that share the time from `start` to `end` by their lengths."""
    lengths = [len(text) + 1 for text in texts]
    total, done = sum(lengths), 0
    words = []
    for index, text in enumerate(texts):
        begin = start + (end - start) * done / total
        done += lengths[index]
        finish = start + (end - start) * done / total
        words.append(Word(text, begin, finish, bool(joined and joined[index])))
    return tuple(words)
