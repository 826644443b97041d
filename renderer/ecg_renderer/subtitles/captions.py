"""What every file of subtitles comes down to, and on to cues: captions of words with times, pages of lines, a look."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from ecg_api.renderjob import Look
from ecg_renderer.scenario import Picture
from ecg_renderer.scenario.flat import FLAT_NODE, KOREAN_NODE, SPACE_EM, balanced_lines, is_korean, text_width
from ecg_renderer.scenario.writing import OWN_NODE, direction, in_one_direction

LEAST_SECONDS = 1.0
LETTERS_A_SECOND = 15.0

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


def in_order(captions: Iterable[Caption]) -> list[Caption]:
    """Return captions by their starts; one that is over before it begins lasts until the next, or until it is read."""
    ordered = sorted(captions, key=lambda caption: caption.start)
    mended = []
    for caption, following in zip(ordered, [*ordered[1:], None], strict=True):
        if caption.end <= caption.start:
            letters = sum(len(word.text) + 1 for word in caption.words)
            end = caption.start + max(LEAST_SECONDS, letters / LETTERS_A_SECOND)
            if following and following.start > caption.start:
                end = min(end, following.start)
            texts, joined = [word.text for word in caption.words], [word.joined for word in caption.words]
            caption = replace(caption, end=end, words=shared_out(texts, caption.start, end, joined))
        mended.append(caption)
    return mended


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


# --- cues: words in lines, one node each, with what the look does to them as they are spoken ------


TRACK = "caption"
RIGHT_TO_LEFT_MARK = "\u200f"
# Light colours that can be told apart on a dark box, the usual first; a ninth speaker begins again.
SPEAKER_COLOURS = ("#ffd54a", "#6ee7ff", "#ff9ecb", "#a5f28c", "#ffb26b", "#c9b3ff", "#ff8a80", "#8fd3c8")


@dataclass(frozen=True)
class _Style:
    """How words look: `scale` times the usual size; `plugins`, names and parameters, run while each is spoken."""

    scale: float
    weight: str
    plugins: tuple[tuple[str, dict[str, Any]], ...]
    box: bool = True


_COLOUR: tuple[str, dict[str, Any]] = ("cwi-color", {})
_STYLES: dict[Look, _Style] = {
    "plain": _Style(1.0, "normal", ()),
    "karaoke": _Style(1.0, "bold", (_COLOUR,)),
    "pop": _Style(1.15, "bold", (_COLOUR, ("cwi-bouncing", {})), box=False),
    "loud": _Style(1.4, "bold", (_COLOUR, ("cwi-loud", {"pulse": {"scale": 1.35, "lift": 4}})), box=False),
}


def scale_of(look: Look) -> float:
    """Return how much larger than usual the words of `look` are."""
    return _STYLES[look].scale


def build(pages: list[Page], frame: Frame, picture: Picture, look: Look) -> dict[str, Any]:
    """Return the scenario, version 2.0, that shows `pages` in `frame`."""
    style = _STYLES[look]
    speakers = list(dict.fromkeys(page.caption.speaker for page in pages if page.caption.speaker))
    palette = {name: SPEAKER_COLOURS[index % len(SPEAKER_COLOURS)] for index, name in enumerate(speakers)}
    aspect = picture.width / picture.height
    return {
        "version": "2.0",
        "pluginApiVersion": "3.0",
        "timebase": {"unit": "seconds"},
        "stage": {"baseAspect": "16:9" if aspect > 1.7 else "9:16" if aspect < 0.6 else "auto"},
        "define": {"speakerPalette": palette, **_places(frame)},
        "tracks": [_track(frame, style)],
        "cues": [_cue(page, number, style, palette) for number, page in enumerate(pages, 1)],
    }


def _places(frame: Frame) -> dict[str, Any]:
    across = {
        "mode": "flow",
        "direction": "horizontal",
        "wrap": False,
        "gap": 0,
        "align": "center",
        "justify": "center",
    }
    down = {**across, "direction": "vertical"}
    wide = {"size": {"width": round(1 - 2 * frame.side, 4)}, "safeAreaClamp": True}
    heights = {"top": ("tc", frame.top), "middle": ("cc", 0.5), "bottom": ("bc", 1 - frame.bottom)}
    places = {
        name: {"anchor": anchor, "position": {"x": 0.5, "y": round(y, 4)}, **wide, "childrenLayout": across}
        for name, (anchor, y) in heights.items()
    }
    return {**places, "box": {"childrenLayout": down}, "line": {"childrenLayout": across}}


def _track(frame: Frame, style: _Style) -> dict[str, Any]:
    return {
        "id": TRACK,
        "type": "subtitle",
        "layer": 1,
        "defaultStyle": {
            "fontSizeRel": round(frame.size, 4),
            "fontFamily": "Arial, sans-serif",
            "fontWeight": style.weight,
            "color": "#ffffff",
            "align": "center",
            "whiteSpace": "pre-line" if not style.plugins else "pre",
        },
        "defaultConstraints": {
            "safeArea": {"top": frame.top, "bottom": frame.bottom, "left": frame.side, "right": frame.side}
        },
    }


def _cue(page: Page, number: int, style: _Style, palette: dict[str, str]) -> dict[str, Any]:
    shown = [round(page.start, 3), round(page.end, 3)]
    colour = page.caption.colour or palette.get(page.caption.speaker, "")
    lines = _one_text(page, number) if not style.plugins else _word_lines(page, number, style, palette)
    box = {
        "backgroundColor": "rgba(0, 0, 0, 0.6)" if style.box else "transparent",
        "padding": {"x": 0.015, "y": 0.008},
        "borderRadius": 0.012,
    }
    tinted = {"style": {"color": colour}} if colour and not style.plugins else {}
    return {
        "id": f"cue-{number}",
        "track": TRACK,
        "domLifetime": shown,
        **({"speaker": page.caption.speaker} if page.caption.speaker else {}),
        "root": {
            "id": f"page-{number}",
            "eType": "group",
            "displayTime": shown,
            "layout": f"define.{page.caption.place}",
            "boxStyle": {"backgroundColor": "transparent", "padding": "0px"},
            "children": [
                {
                    "id": f"box-{number}",
                    "eType": "group",
                    "layout": "define.box",
                    "boxStyle": box,
                    **tinted,
                    "children": lines,
                }
            ],
        },
    }


def _one_text(page: Page, number: int) -> list[dict[str, Any]]:
    lines = [
        "".join(("" if word.joined or not index else " ") + word.text for index, word in enumerate(line))
        for line in page.lines
    ]
    text = in_one_direction(lines)
    return [{"id": f"{KOREAN_NODE if is_korean(text) else FLAT_NODE}{number}", "eType": "text", "text": text}]


def _word_lines(page: Page, number: int, style: _Style, palette: dict[str, str]) -> list[dict[str, Any]]:
    speaker = page.caption.speaker
    own = page.caption.colour or ("" if speaker in palette else SPEAKER_COLOURS[0])
    params: dict[str, Any] = {"color": own} if own else {"speaker": speaker, "palette": "define.speakerPalette"}
    chain = [{"name": name, "params": params | more, "timeOffset": [0, 0]} for name, more in style.plugins]
    lines, done = [], 0
    for row, line in enumerate(page.lines, 1):
        words = [
            {
                "id": f"{OWN_NODE}word-{number}-{done + index + 1}",
                "eType": "text",
                "text": text,
                "baseTime": [round(line[index].start, 3), round(line[index].end, 3)],
                "pluginChain": chain,
            }
            for index, text in _side_by_side(line)
        ]
        done += len(line)
        clear = {"backgroundColor": "transparent", "padding": "0px"}
        lines.append(
            {
                "id": f"{OWN_NODE}line-{number}-{row}",
                "eType": "group",
                "layout": "define.line",
                "boxStyle": clear,
                "children": words,
            }
        )
    return lines


def _side_by_side(line: tuple[Word, ...]) -> list[tuple[int, str]]:
    """Return the words of a line as they stand from left to right: index, and text with the space beside it.

    In a line that runs from right to left, left-to-right words keep their order among themselves, and what has no
    direction, such as a number, follows the line's.
    """
    spaces = ["" if index + 1 == len(line) or line[index + 1].joined else " " for index in range(len(line))]
    if direction(" ".join(word.text for word in line)) != "rtl":
        return [(index, word.text + spaces[index]) for index, word in enumerate(line)]
    standing: list[tuple[int, str]] = []
    last = len(line)
    while last > 0:
        first = last - 1
        if direction(line[first].text) != "ltr":
            mark = "" if direction(line[first].text) else RIGHT_TO_LEFT_MARK
            standing.append((first, mark + line[first].text + spaces[first]))
            last = first
            continue
        while first > 0 and direction(line[first - 1].text) == "ltr":
            first -= 1
        # The space towards what follows the run is on its left, as the line goes on there.
        run = [(index, line[index].text + (spaces[index] if index + 1 < last else "")) for index in range(first, last)]
        standing += [(index, (spaces[last - 1] if index == first else "") + text) for index, text in run]
        last = first
    return standing
