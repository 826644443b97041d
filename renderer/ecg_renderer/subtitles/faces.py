"""Italic, bold, underlined and coloured words: what the tags of SubRip, WebVTT and .ass say of them.

Tags become marks in the text, each a sign of its own for the face of what follows, so that lines and words can be told
apart by spaces as before; then each word has the face that most of its letters have.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from colorsys import hls_to_rgb
from dataclasses import dataclass, field, replace
from typing import Any

from ecg_renderer.scenario.css import is_colour, is_invisible


@dataclass(frozen=True)
class Face:
    """How a word is written; `colour` (CSS) is empty where nobody says."""

    colour: str = ""
    bold: bool = False
    italic: bool = False
    underline: bool = False


PLAIN = Face()
_FIRST = 0xF0000
_MARK = re.compile("[\U000f0000-\U000fffff]")
_MOST_FACES = 0x10000
HTML_TAG = re.compile(
    r"(?:<|</\s*)(?:font|b|i|u|s|c|span|ruby|r[bpt]|p|em|strong|strike|del|ins|small|big|su[bp]|tt|code|mark|a|div"
    r"|center)\b[^<>]*>",
    re.IGNORECASE,
)
_TAG = re.compile(rf"\{{[^{{}}\\]*\\[^{{}}]*\}}|{HTML_TAG.pattern}", re.IGNORECASE)
_NAME = re.compile(r"\w+")
_KINDS = {"b": "bold", "strong": "bold", "i": "italic", "em": "italic", "u": "underline", "ins": "underline"}
_COLOUR = re.compile(r"(?<![\w-])colou?r\s*[=:]\s*[\"']?(#?\w+(?:\([^()<>]*\))?)", re.IGNORECASE)
_NUMBER = re.compile(r"(\d+\.?\d*|\.\d+)(%?)")
_CLASS_COLOUR = re.compile(r"\.(?:color([0-9A-Fa-f]{6})|(lime|cyan|red|yellow|magenta|blue))\b")
_ASS = re.compile(
    r"\\(?:1?c(?:&H(?P<colour>[0-9a-fA-F]{1,8})&?)?(?![A-Za-z])|r(?P<style>[^\\{}]*)|(?P<kind>[biu])(?P<on>\d{0,4})(?![A-Za-z]))"
)
_ASS_GRADUAL = re.compile(r"\\t\((?:[^()]|\([^()]*\))*\)")
_ASS_KINDS = {"b": "bold", "i": "italic", "u": "underline"}
# Of weights of letters.
_LEAST_BOLD = 600
# Darker than this nothing is seen on the dark box behind captions.
_DARKEST = 0x40


@dataclass
class _Reading:
    """What is open at a place of a text: of .ass, and how often of each kind of HTML."""

    usual: Face
    styles: Mapping[str, Face]
    braces: Face
    open: Counter[str] = field(default_factory=Counter)
    colours: list[str] = field(default_factory=list)

    def read(self, tag: str) -> None:
        if tag.startswith("{"):
            for match in _ASS.finditer(_ASS_GRADUAL.sub("", tag)):
                self._read_ass(match)
            return
        found = _NAME.search(tag)
        name, closes = found[0].lower() if found else "", tag.startswith("</")
        if kind := _KINDS.get(name):
            self.open[kind] = max(0, self.open[kind] + (-1 if closes else 1))
        elif name in ("font", "span", "c") and closes:
            del self.colours[-1:]
        elif name in ("font", "span", "c"):
            colour, of_class = _COLOUR.search(tag), _CLASS_COLOUR.search(tag) if name == "c" else None
            said = colour[1] if colour else (of_class[1] or of_class[2] if of_class else "")
            self.colours.append(_as_colour(said) if said else (self.colours or [self.braces.colour])[-1])

    def _read_ass(self, match: re.Match[str]) -> None:
        if match["style"] is not None:
            self.braces = self.styles.get(match["style"].strip(), self.usual)
        elif match["kind"]:
            kind = _ASS_KINDS[match["kind"]]
            changed: dict[str, Any] = {kind: _is_on(int(match["on"])) if match["on"] else getattr(self.usual, kind)}
            self.braces = replace(self.braces, **changed)
        else:
            code = int(match["colour"] or "0", 16)
            colour = f"#{code & 0xFF:02x}{code >> 8 & 0xFF:02x}{code >> 16 & 0xFF:02x}"
            self.braces = replace(self.braces, colour=seen_colour(colour) if match["colour"] else self.usual.colour)

    @property
    def face(self) -> Face:
        colour = self.colours[-1] if self.colours else self.braces.colour
        bold, italic, underline = (getattr(self.braces, kind) or self.open[kind] > 0 for kind in _ASS_KINDS.values())
        return Face(colour, bold, italic, underline)


def _is_on(value: int) -> bool:
    return value == 1 or value >= _LEAST_BOLD


def _as_colour(said: str) -> str:
    colour = said.lower()
    colour = f"#{colour}" if re.fullmatch("[0-9a-f]{6}", colour) else colour
    return seen_colour(colour) if is_colour(colour) else ""


def seen_colour(colour: str) -> str:
    """Return a colour of captions; none for the usual, and for those that are not seen on the box behind them."""
    if is_invisible(colour) or colour in ("white", "black"):
        return ""
    parts = _parts(colour)
    return colour if not parts or (max(parts) >= _DARKEST and min(parts) < 255) else ""


def _parts(colour: str) -> list[float]:
    """Return red, green and blue from 0 to 255 of a colour in hexadecimal digits or numbers; nothing for others."""
    if colour.startswith("#"):
        digits = colour[1:] if len(colour) > 5 else "".join(digit * 2 for digit in colour[1:])
        return [int(digits[first : first + 2], 16) for first in (0, 2, 4)]
    numbers = [float(number) * (2.55 if percent else 1) for number, percent in _NUMBER.findall(colour)[:3]]
    if colour.startswith("hsl") and len(numbers) == 3:
        hue, saturation, lightness = numbers[0] / 360, numbers[1] / 255, numbers[2] / 255
        return [part * 255 for part in hls_to_rgb(hue, lightness, saturation)]
    return numbers if colour.startswith("rgb") else []


def marked(said: str, usual: Face = PLAIN, styles: Mapping[str, Face] | None = None) -> tuple[str, list[Face]]:
    """Return a text with marks instead of tags of HTML, and after those of .ass, which stay; and what marks stand for.

    `usual` is that of text without tags, `styles` are those that `r` goes back to.
    """
    reading, faces = _Reading(usual, styles or {}, usual), [usual]

    def mark(tag: re.Match[str]) -> str:
        reading.read(tag[0])
        kept = tag[0] if tag[0].startswith("{") else ""
        if reading.face == faces[-1] or len(faces) == _MOST_FACES:
            return kept
        faces.append(reading.face)
        return kept + chr(_FIRST + len(faces) - 1)

    return _TAG.sub(mark, unmarked(said)), faces


def unmarked(text: str) -> str:
    """Return the text without marks."""
    return _MARK.sub("", text)


def marks_of(text: str) -> str:
    """Return the marks without the text."""
    return "".join(_MARK.findall(text))


def faced(parts: Iterable[str], faces: Sequence[Face]) -> Iterator[list[tuple[str, Face]]]:
    """Yield the words of each part of a text, without marks, and the face that most letters of a word have."""
    face, marks = faces[0], {chr(_FIRST + number): its for number, its in enumerate(faces)} if len(faces) > 1 else {}
    for part in parts:
        words = []
        for word in part.split():
            letters: Counter[Face] = Counter()
            for letter in word:
                face = marks.get(letter, face)
                letters[face] += letter not in marks
            if plain := "".join(letter for letter in word if letter not in marks):
                words.append((plain, max(letters, key=letters.__getitem__)))
        yield words
