"""What every file of subtitles comes down to: captions of words with times, and pages of lines."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate, groupby
from typing import Literal, TypeVar

from ecg_renderer.scenario import Picture, Report
from ecg_renderer.scenario.flat import SPACE_EM, balanced_lines, clusters, text_width
from ecg_renderer.subtitles.faces import PLAIN, Face, faced

LEAST_SECONDS = 1.0
LETTERS_A_SECOND = 15.0

Place = Literal["top", "middle", "bottom"]


@dataclass(frozen=True)
class Word:
    """A word as it is spoken; times in seconds, `joined` to the word before without a space.

    `part`: a piece of the word before, cut so that a line can end there.
    """

    text: str
    start: float
    end: float
    joined: bool = False
    part: bool = False
    face: Face = PLAIN


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


def in_lines(
    lines: Iterable[str], start: float, end: float, faces: Sequence[Face] = (PLAIN,)
) -> tuple[tuple[Word, ...], tuple[int, ...]]:
    """Return the words of lines, which share the time, and where lines after the first begin.

    `faces` are those that marks in the lines stand for.
    """
    filled = [line for line in faced(lines, faces) if line]
    starts = accumulate(map(len, filled[:-1])) if filled else ()
    return faced_out([word for line in filled for word in line], start, end), tuple(starts)


def faced_out(words: Sequence[tuple[str, Face]], start: float, end: float) -> tuple[Word, ...]:
    """Return words with their faces that share the time, see `shared_out`."""
    shared = shared_out([text for text, _ in words], start, end)
    return tuple(replace(word, face=face) for word, (_, face) in zip(shared, words, strict=True))


def in_order(captions: Iterable[Caption], report: Report) -> list[Caption]:
    """Return captions by their starts; one that is over before it begins lasts until the next, or until it is read."""
    ordered = sorted(captions, key=lambda caption: caption.start)
    ordered = [group[0] for group in _alike(ordered, report)]
    mended = []
    for caption, following in zip(ordered, [*ordered[1:], None], strict=True):
        if caption.end <= caption.start:
            letters = sum(len(word.text) + 1 for word in caption.words)
            end = caption.start + max(LEAST_SECONDS, letters / LETTERS_A_SECOND)
            if following and following.start > caption.start:
                end = min(end, following.start)
            turned = "as it begins" if caption.end == caption.start else f"at {caption.end:g} s, before it begins"
            said = f"ends {turned}, and was taken to be shown until {end:g} s"
            report.warn("time of a caption", told_at(caption.start), said, hint="Give it an end after its start.")
            times = shared_out([word.text for word in caption.words], caption.start, end)
            pairs = zip(caption.words, times, strict=True)
            words = tuple(replace(word, start=time.start, end=time.end) for word, time in pairs)
            caption = replace(caption, end=end, words=words)
        mended.append(caption)
    return mended


def _alike(captions: list[Caption], report: Report) -> Iterable[list[Caption]]:
    """Return captions with those that say the same at the same time: layers of .ass, for outlines and glows."""
    groups: dict[object, list[Caption]] = {}
    for caption in captions:
        said = tuple(word.text for word in caption.words)
        groups.setdefault((said, caption.start, caption.end, caption.place), []).append(caption)
    for group in groups.values():
        if len(group) > 1:
            report.warn("repeated caption", told_at(group[0].start), f"is there {len(group)} times, and is shown once")
    return groups.values()


def tell_empty(start: float, report: Report) -> None:
    """Tell that a caption without words was left out."""
    report.warn("empty caption", told_at(start), "has no text that can be shown, and was left out")


def told_at(start: float) -> str:
    """Return how messages name the caption that begins at `start` s."""
    return f"caption at {start:g} s"


# --- pages of at most two balanced lines, as wide as the picture lets them be ---------------------


MOST_LINES = 2
# Estimated widths, of bold letters too, stay this far within the line.
FILL = 0.9
# In em of the font, and what a box adds in shares of the picture's height; measured, and a little more.
LINE_HEIGHT = 1.6
BOX_HEIGHT = 0.022
# Pages that share less than this time are meant to follow each other.
TOUCHING_SECONDS = 0.1
MOST_AT_ONCE = 20
MOST_STACKED = 0.8

T = TypeVar("T")

ZERO_WIDTH_SPACE = "\u200b"
_BY_DICTIONARY = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\ua9e0-\ua9ff\uaa60-\uaa7f]")
_BY_SIGN = re.compile("[\u2e80-\u312f\u31a0-\u9fff\uf900-\ufaff\uff00-\uff60\U0001f000-\U0003ffff]")
# Signs that no line begins with, and that none ends with.
_ENDING = frozenset(
    "\u3001\u3002\uff0c\uff0e\uff01\uff1f\uff1b\uff1a\u300d\u300f\u300b\u3009\u3011\u3015\u201d\u2019\uff09)]}!?,.:;%"
    "\u2026\u30fc\u3005\u301c\uff5e\u30fb\u3041\u3043\u3045\u3047\u3049\u3063\u3083\u3085\u3087\u308e"
    "\u30a1\u30a3\u30a5\u30a7\u30a9\u30c3\u30e3\u30e5\u30e7\u30ee\u3099\u309a"
)
_BEGINNING = frozenset("\u300c\u300e\u300a\u3008\u3010\u3014\u201c\u2018\uff08([{")
# What a line begins with that somebody else says.
_TURN = frozenset("-\u2010\u2013\u2014\u2022\u266a[(")
# What stays together of a text that may be parted anywhere else: words of other scripts.
_PLAIN = re.compile("[0-9A-Za-z\u00c0-\u024f'\u2019.-]+")


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
    """What is seen at once: lines of words, from `start` to `end` in seconds.

    `unbroken`: its one line is too long, and where it may end only the browser knows. `offset` is how far from its
    usual place it stands, in shares of the picture's height, as another page is there: towards the middle, in the
    middle downwards, or upwards where it is negative.
    """

    caption: Caption
    lines: tuple[tuple[Word, ...], ...]
    start: float
    end: float
    unbroken: bool = False
    offset: float = 0.0


def paginated(captions: Sequence[Caption], frame: Frame, picture: Picture, report: Report) -> list[Page]:
    """Return the pages of `captions`, in the order of their starts, none of them on another."""
    most = frame.line_em(picture)
    pages: list[Page] = []
    for caption in captions:
        words = [piece for word in caption.words for piece in _pieces(word, most)]
        if any(text_width(word.text) > most for word in words):
            parts = _unbroken(words, most)
            pages += _in_turn(caption, [Page(caption, (tuple(part),), 0, 0, unbroken=True) for part in parts])
        else:
            pages += _pages(caption, words, most)
    return _stacked(sorted(pages, key=lambda page: page.start), frame, most, report)


def _pieces(word: Word, most: float) -> Iterator[Word]:
    """Yield the word, in pieces where it is wider than a line.

    Thai, Lao, Khmer and Burmese stay whole: where a line may end in them only a dictionary knows.
    """
    if text_width(word.text) <= most:
        yield word
        return
    if ZERO_WIDTH_SPACE in word.text:
        pieces = [piece for piece in word.text.split(ZERO_WIDTH_SPACE) if piece]
    elif _BY_DICTIONARY.search(word.text):
        pieces = [word.text]
    elif _BY_SIGN.search(word.text):
        pieces = _signs(word.text)
    else:
        pieces = _filled(clusters(word.text), most)
    done, total = 0, sum(map(len, pieces))
    for index, text in enumerate(pieces):
        begin = word.start + (word.end - word.start) * done / total
        done += len(text)
        end = word.start + (word.end - word.start) * done / total
        joined = bool(index) or word.joined
        yield replace(word, text=text, start=begin, end=end, joined=joined, part=index > 0)


def _signs(text: str) -> list[str]:
    signs: list[str] = []
    for plain, run in groupby(clusters(text), key=lambda letter: _PLAIN.fullmatch(letter) is not None):
        letters = list(run)
        signs += ["".join(letters)] if plain else letters
    return signs


def _filled(letters: list[str], most: float) -> list[str]:
    pieces, width = [""], 0.0
    for letter in letters:
        width += text_width(letter)
        if pieces[-1] and width > most:
            pieces.append("")
            width = text_width(letter)
        pieces[-1] += letter
    return pieces


def _unbroken(words: list[Word], most: float) -> list[list[Word]]:
    """Return the words in parts of about two lines each; a part ends only between words."""
    parts: list[list[Word]] = [[]]
    for word in words:
        if parts[-1] and sum(map(sum, zip(*_measure([*parts[-1], word]), strict=True))) > MOST_LINES * most:
            parts.append([])
        parts[-1].append(word)
    return parts


def _pages(caption: Caption, words: list[Word], most: float) -> list[Page]:
    if written := _as_written(caption, words, most):
        pairs = [written[first : first + MOST_LINES] for first in range(0, len(written), MOST_LINES)]
        return _in_turn(caption, [Page(caption, _whole_words(lines), 0, 0) for lines in pairs])
    lines = _lines(words, most)
    if len(lines) <= MOST_LINES:
        return _in_turn(caption, [Page(caption, _whole_words(lines), 0, 0)])
    parts = _parts(words, most, -(-len(lines) // MOST_LINES))
    return _in_turn(caption, [Page(caption, _whole_words(_lines(part, most)), 0, 0) for part in parts])


def _in_turn(caption: Caption, pages: list[Page]) -> list[Page]:
    """Give the pages of a caption their times, each until the next one's first word."""
    starts = [caption.start, *(page.lines[0][0].start for page in pages[1:])]
    ends = [*starts[1:], caption.end]
    timed, begin = [], caption.start
    for page, end in zip(pages, ends, strict=True):
        timed.append(replace(page, start=begin, end=max(begin, end)))
        begin = timed[-1].end
    return timed


def _whole_words(lines: list[list[Word]]) -> tuple[tuple[Word, ...], ...]:
    """Return lines in which the pieces of a word that came to stand on one are put together again."""
    whole: list[tuple[Word, ...]] = []
    for line in lines:
        words: list[Word] = []
        for word in line:
            if words and word.part:
                words[-1] = replace(words[-1], text=words[-1].text + word.text, end=word.end)
            else:
                words.append(word)
        whole.append(tuple(words))
    return tuple(whole)


def _stacked(pages: list[Page], frame: Frame, most: float, report: Report) -> list[Page]:
    """Return the pages, each that begins before another at its place has ended beside it, as players do."""
    done: list[Page] = []
    for page in pages:
        height = _height(page, frame, most)
        lately = range(max(0, len(done) - MOST_AT_ONCE), len(done))
        beside: list[tuple[float, float]] = []
        for index in lately:
            other = done[index]
            if other.caption.place != page.caption.place or other.end <= page.start:
                continue
            if other.end - page.start <= TOUCHING_SECONDS and other.start < page.start:
                done[index] = replace(other, end=page.start)
            else:
                beside.append((other.offset, _height(other, frame, most)))
        offset = _free(beside, height, middle=page.caption.place == "middle")
        if offset != 0.0:
            fits = offset is not None
            said = f"begins before the one before it ends, and stands {'clear of' if fits else 'on'} it"
            report.warn("captions at one time", told_at(page.start), said, hint="Let one end before the other begins.")
            page = replace(page, offset=round(offset or 0.0, 4))
        done.append(page)
    return done


def _free(beside: list[tuple[float, float]], height: float, *, middle: bool) -> float | None:
    """Return the least offset at which a page of `height` is clear of those beside it; None for none on the picture.

    `beside` are offsets and heights. From the edges offsets are where pages begin, in the middle where their middle is.
    """
    back, most = (0.5, MOST_STACKED / 2) if middle else (0.0, MOST_STACKED)
    taken = [(offset - back * other, offset - back * other + other) for offset, other in beside]
    ends = [last + back * height for _, last in taken]
    ends += [first - back * height for first, _ in taken] if middle else []
    for offset in sorted([0.0, *ends], key=abs):
        first, last = offset - back * height, offset - back * height + height
        clear = all(last <= other[0] + 1e-4 or other[1] <= first + 1e-4 for other in taken)
        if clear and (offset == 0.0 or max(-first if middle else 0.0, last) < most):
            return offset
    return None


def _height(page: Page, frame: Frame, most: float) -> float:
    """Return how high a page is with its box, in shares of the picture's height."""
    width = sum(map(sum, zip(*_measure(list(page.lines[0])), strict=True)))
    lines = -(-width // most) if page.unbroken else len(page.lines)
    return lines * LINE_HEIGHT * frame.size + BOX_HEIGHT


def _parts(words: list[Word], most: float, count: int) -> list[list[Word]]:
    """Return the words in `count` about equal parts, or a few more, so that each fits the lines of a page."""
    widths, gaps = _measure(words)
    while True:
        parts = _balanced(words, sum(widths) + sum(gaps), at_least=count)
        if count >= len(words) or all(len(_lines(part, most)) <= MOST_LINES for part in parts):
            return parts
        count += max(1, count // 50)


def _as_written(caption: Caption, words: list[Word], most: float) -> list[list[Word]]:
    """Return the lines as their author broke them, if they fit, and are few or of different sayers; else none."""
    if not caption.line_starts or len(words) != len(caption.words):
        return []
    lines = _cut(words, [0, *caption.line_starts])
    fits = all(sum(sum(part) for part in zip(*_measure(line), strict=True)) <= most for line in lines)
    turns = sum(line[0].text[:1] in _TURN for line in lines)
    return lines if fits and (len(lines) <= MOST_LINES or 2 * turns > len(lines)) else []


def _lines(words: list[Word], most: float) -> list[list[Word]]:
    return _balanced(words, most)


def _balanced(words: list[Word], most: float, at_least: int = 1) -> list[list[Word]]:
    """Return the words in lines, of which none begins with a sign that ends something, or the other way round."""
    together: list[list[Word]] = []
    for word in words:
        stays = word.joined and together and (word.text[:1] in _ENDING or together[-1][-1].text[-1:] in _BEGINNING)
        together.append([*together.pop(), word] if stays else [word])
    widths = [sum(_measure(group)[0]) for group in together]
    gaps = [0.0 if group[0].joined else SPACE_EM for group in together]
    lines = _cut(together, balanced_lines(widths, gaps, most, at_least))
    return [[word for group in line for word in group] for line in lines]


def _measure(words: list[Word]) -> tuple[list[float], list[float]]:
    return [text_width(word.text) for word in words], [0.0 if word.joined else SPACE_EM for word in words]


def _cut(words: list[T], starts: list[int]) -> list[list[T]]:
    return [words[first:last] for first, last in zip(starts, [*starts[1:], len(words)], strict=True)]
