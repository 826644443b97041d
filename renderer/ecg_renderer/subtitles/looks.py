"""How captions look: words in lines, one node each, with what a look does to them as they are spoken."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import Any

from ecg_api.renderjob import Look
from ecg_renderer.scenario import Picture
from ecg_renderer.scenario.flat import FLAT_NODE, KOREAN_NODE, is_korean
from ecg_renderer.scenario.writing import OWN_NODE, direction, in_one_direction, running_against
from ecg_renderer.subtitles.captions import Frame, Page, Word
from ecg_renderer.subtitles.faces import Face

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
        "cues": [_cue(page, number, style, palette, frame) for number, page in enumerate(pages, 1)],
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


def _cue(page: Page, number: int, style: _Style, palette: dict[str, str], frame: Frame) -> dict[str, Any]:
    shown = [round(page.start, 3), round(page.end, 3)]
    colour = page.caption.colour or palette.get(page.caption.speaker, "")
    chain = _chain(page, style, palette)
    alike = len({word.face for line in page.lines for word in line}) == 1
    as_one = page.unbroken or (not chain and alike)
    lines = _one_text(page, number, style, chain) if as_one else _word_lines(page, number, style, chain)
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
            "layout": _layout(page, frame),
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


def _layout(page: Page, frame: Frame) -> Any:
    """Return where a page stands: at the place of all, or beside what is there."""
    if not page.offset:
        return f"define.{page.caption.place}"
    layout = _places(frame)[page.caption.place]
    y = layout["position"]["y"] + (-page.offset if page.caption.place == "bottom" else page.offset)
    return {**layout, "position": {"x": 0.5, "y": round(y, 4)}}


def _one_text(page: Page, number: int, style: _Style, chain: list[dict[str, Any]]) -> list[dict[str, Any]]:
    lines = [
        "".join(("" if word.joined or not index else " ") + word.text for index, word in enumerate(line))
        for line in page.lines
    ]
    text = in_one_direction(lines, _base(page))
    face = page.lines[0][0].face
    worn = _worn(face, style)
    name = f"{KOREAN_NODE if is_korean(text) else FLAT_NODE}{_shape(face)}{number}"
    node = {"id": name, "eType": "text", "text": text}
    if not chain:
        return [{**node, "style": worn} if worn else node]
    spoken = [round(page.lines[0][0].start, 3), round(page.lines[-1][-1].end, 3)]
    return [{**node, "style": {"whiteSpace": "pre-line", **worn}, "baseTime": spoken, "pluginChain": chain}]


def _shape(face: Face) -> str:
    """Return what a node's name says of its shape, which MotionText has no style for; see page/index.html."""
    return ("italic-" if face.italic else "") + ("underline-" if face.underline else "")


def _worn(face: Face, style: _Style) -> dict[str, Any]:
    """Return the style by which a word differs from the others; its colour comes as it is spoken, if any does."""
    weight = {"fontWeight": "bold"} if face.bold and style.weight != "bold" else {}
    return {**weight, **({"color": face.colour} if face.colour and not style.plugins else {})}


def _chain(page: Page, style: _Style, palette: dict[str, str]) -> list[dict[str, Any]]:
    """Return what runs on a page's words; nothing that grows a text as wide as the picture."""
    speaker = page.caption.speaker
    own = page.caption.colour or ("" if speaker in palette else SPEAKER_COLOURS[0])
    params: dict[str, Any] = {"color": own} if own else {"speaker": speaker, "palette": "define.speakerPalette"}
    return [
        {"name": name, "params": params | more, "timeOffset": [0, 0]}
        for name, more in style.plugins
        if not (page.unbroken and name == "cwi-loud")
    ]


def _word_lines(page: Page, number: int, style: _Style, chain: list[dict[str, Any]]) -> list[dict[str, Any]]:
    lines, done, base = [], 0, _base(page)
    against = running_against([word.text for line in page.lines for word in line], base)
    for row, line in enumerate(page.lines, 1):
        words = [
            _word(line[index], text, f"word-{number}-{done + index + 1}", style, chain)
            for index, text in _side_by_side(line, base, against[done : done + len(line)])
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


def _word(word: Word, text: str, name: str, style: _Style, chain: list[dict[str, Any]]) -> dict[str, Any]:
    worn = {**_worn(word.face, style), **({} if chain else {"whiteSpace": "pre"})}
    if word.face.colour:
        chain = [{**plugin, "params": {**plugin["params"], "color": word.face.colour}} for plugin in chain]
    # Also where nothing runs by it: by it words are read in their order again.
    spoken = {"baseTime": [round(word.start, 3), round(word.end, 3)], **({"pluginChain": chain} if chain else {})}
    node = {"id": f"{OWN_NODE}{_shape(word.face)}{name}", "eType": "text", "text": text}
    return {**node, **({"style": worn} if worn else {}), **spoken}


def _base(page: Page) -> str:
    """Return the direction of a caption, in which all of its lines run, on every page."""
    return direction(" ".join(word.text for word in page.caption.words)) or "ltr"


def _side_by_side(line: tuple[Word, ...], base: str, against: list[bool]) -> list[tuple[int, str]]:
    """Return the words of a line as they stand from left to right: index, and text with the spaces beside it.

    Those that run `against` the line keep their order among themselves; what else has no direction follows the line's.
    A space is at the word that is read first, but at the other where that is underlined.
    """
    runs = [list(run) for _, run in groupby(range(len(line)), against.__getitem__)]
    first = {index: run[0] for run in runs for index in run}
    order = [index for run in runs for index in (run[::-1] if against[run[0]] else run)]
    if base == "rtl":
        order.reverse()
    spaces = {index: ["", ""] for index in order}
    for left, right in pairwise(order):
        after = max(left, right) if first[left] == first[right] else first[max(left, right)]
        owner = min(left, right)
        if line[left].face.underline != line[right].face.underline:
            owner = right if line[left].face.underline else left
        if not line[after].joined:
            spaces[owner][owner == left] = " "
    standing = []
    for index in order:
        backwards = (base == "rtl") != against[index]
        mark = RIGHT_TO_LEFT_MARK if backwards and not direction(line[index].text) else ""
        before, after_it = spaces[index][::-1] if backwards else spaces[index]
        standing.append((index, before + mark + line[index].text + after_it))
    return standing
