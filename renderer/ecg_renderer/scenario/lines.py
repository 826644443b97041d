"""Where a caption's lines end: as few as fit, and as equal as they can be.

Widths are estimates in em, of a sans-serif face such as Arial: the browser knows better, and wraps what is still too
wide.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

SPACE_EM = 0.28
_NARROW = frozenset("iIjlftr.,:;!|'`()[]{}-/\\ \u00b7\u2019")
_BROAD = frozenset("mwMWGOQCD@%&\u2026\u2014")


def text_width(text: str) -> float:
    """Return about how wide `text` is, in em."""
    return sum(map(_letter_width, text))


def _letter_width(letter: str) -> float:
    if unicodedata.combining(letter) or unicodedata.category(letter) in ("Cf", "Mn", "Me"):
        return 0.0
    if unicodedata.east_asian_width(letter) in "WF":
        return 1.0
    if letter in _NARROW:
        return 0.3
    if letter in _BROAD:
        return 0.85
    return 0.7 if letter.isupper() else 0.55


def balanced_lines(widths: Sequence[float], gaps: Sequence[float], most: float, at_least: int = 1) -> list[int]:
    """Return at which words the lines begin, the first of them 0.

    `widths` are those of the words in em, `gaps[i]` is what stands before word i within a line, `most` is the width of
    a line. A word wider than a line has one of its own. `at_least` so many lines, if there are words.
    """
    count = max(len(_starts(widths, gaps, most)), min(at_least, len(widths)))
    if count == 1:
        return [0]
    # The narrowest lines that are as many: found by halving, since a wider line never needs more of them.
    low, high = max(widths), most
    while high - low > 0.05:
        middle = (low + high) / 2
        if len(_starts(widths, gaps, middle)) > count:
            low = middle
        else:
            high = middle
    return _starts(widths, gaps, max(high, low))


def _starts(widths: Sequence[float], gaps: Sequence[float], most: float) -> list[int]:
    starts, width = [0], 0.0
    for index, word in enumerate(widths):
        wider = width + gaps[index] + word if width else word
        if width and wider > most + 1e-9:
            starts.append(index)
            wider = word
        width = wider
    return starts
