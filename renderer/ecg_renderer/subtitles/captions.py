"""What every file of subtitles comes down to: captions of words with times; cut into pages of two balanced lines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from ecg_renderer.scenario import Picture
from ecg_renderer.scenario.flat import SPACE_EM, balanced_lines, text_width

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


# --- pages of at most two balanced lines, as wide as the picture lets them be ---------------------


MOST_LINES = 2
# Estimated widths, of bold letters too, stay this far within the line.
FILL = 0.9


@dataclass(frozen=True)
class Frame:
    """Where captions stand, in shares of the picture, and how large they are.

    Attributes:
        size: of the font, a share of the height.
        side, top, bottom: what is kept free at the edges, where players and apps put their buttons.
    """

    size: float
    side: float
    top: float
    bottom: float

    def line_em(self, picture: Picture) -> float:
        """Return the width of a line in em."""
        return FILL * (1 - 2 * self.side) * picture.width / (self.size * picture.height)


# Upright pictures are watched in apps with buttons below and on the right; wide ones in players with a bar below.
_WIDE = Frame(size=0.055, side=0.05, top=0.05, bottom=0.075)
_SQUARE = Frame(size=0.045, side=0.06, top=0.06, bottom=0.09)
_UPRIGHT = Frame(size=0.032, side=0.1, top=0.11, bottom=0.2)


def frame_of(picture: Picture, scale: float = 1.0) -> Frame:
    """Return where captions stand on `picture`, their font `scale` times the usual."""
    aspect = picture.width / picture.height
    frame = _WIDE if aspect > 1.25 else _SQUARE if aspect > 0.8 else _UPRIGHT
    return Frame(frame.size * scale, frame.side, frame.top, frame.bottom)


@dataclass(frozen=True)
class Page:
    """What is seen at once: lines of words, from `start` to `end` in seconds."""

    caption: Caption
    lines: tuple[tuple[Word, ...], ...]
    start: float
    end: float


def paginated(captions: Sequence[Caption], frame: Frame, picture: Picture) -> list[Page]:
    """Return the pages of `captions`."""
    most = frame.line_em(picture)
    pages: list[Page] = []
    for caption in captions:
        words = [piece for word in caption.words for piece in _pieces(word, most)]
        pages += _pages(caption, words, most)
    return pages


def _pieces(word: Word, most: float) -> Iterator[Word]:
    """Yield the word, in pieces where it is wider than a line."""
    if text_width(word.text) <= most:
        yield word
        return
    pieces, piece = [], ""
    for letter in word.text:
        if piece and text_width(piece + letter) > most:
            pieces.append(piece)
            piece = ""
        piece += letter
    pieces.append(piece)
    done, total = 0, len(word.text)
    for index, text in enumerate(pieces):
        begin = word.start + (word.end - word.start) * done / total
        done += len(text)
        end = word.start + (word.end - word.start) * done / total
        yield Word(text, begin, end, joined=bool(index) or word.joined)


def _pages(caption: Caption, words: list[Word], most: float) -> Iterator[Page]:
    lines = _as_written(caption, words, most) or _lines(words, most)
    if len(lines) <= MOST_LINES:
        yield Page(caption, tuple(map(tuple, lines)), caption.start, max(caption.end, caption.start))
        return
    parts = _parts(words, most, -(-len(lines) // MOST_LINES))
    start = caption.start
    for index, part in enumerate(parts):
        following = parts[index + 1][0].start if index + 1 < len(parts) else caption.end
        end = max(start, following)
        yield Page(caption, tuple(map(tuple, _lines(part, most))), start, end)
        start = end


def _parts(words: list[Word], most: float, count: int) -> list[list[Word]]:
    """Return the words in `count` about equal parts, or a few more, so that each fits the lines of a page."""
    widths, gaps = _measure(words)
    while True:
        parts = _cut(words, balanced_lines(widths, gaps, sum(widths) + sum(gaps), at_least=count))
        if count >= len(words) or all(len(_lines(part, most)) <= MOST_LINES for part in parts):
            return parts
        count += 1


def _as_written(caption: Caption, words: list[Word], most: float) -> list[list[Word]]:
    """Return the lines as their author broke them, if they are few, and fit; else none."""
    if not caption.line_starts or len(words) != len(caption.words):
        return []
    lines = _cut(words, [0, *caption.line_starts])
    fits = all(sum(sum(part) for part in zip(*_measure(line), strict=True)) <= most for line in lines)
    return lines if len(lines) <= MOST_LINES and fits else []


def _lines(words: list[Word], most: float) -> list[list[Word]]:
    widths, gaps = _measure(words)
    return _cut(words, balanced_lines(widths, gaps, most))


def _measure(words: list[Word]) -> tuple[list[float], list[float]]:
    return [text_width(word.text) for word in words], [0.0 if word.joined else SPACE_EM for word in words]


def _cut(words: list[Word], starts: list[int]) -> list[list[Word]]:
    return [words[first:last] for first, last in zip(starts, [*starts[1:], len(words)], strict=True)]
