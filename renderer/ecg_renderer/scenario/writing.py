"""What is written, and how: texts are text, families can be read, colours are colours, words stand in their order."""

from __future__ import annotations

import itertools
import math
import re
import unicodedata
from collections.abc import Iterator
from typing import Any, TypeGuard

from ecg_renderer.scenario.css import (
    COLOUR_HINT,
    WIDE_KEYWORDS,
    is_colour,
    is_invisible,
    readable_families,
    split_families,
)
from ecg_renderer.scenario.load import join
from ecg_renderer.scenario.model import Node, cues_of, nodes_of, number
from ecg_renderer.scenario.report import Report, did_you_mean
from ecg_renderer.served import FontUse

# Nodes that this renderer makes are laid out by rules of its own; see page/index.html.
OWN_NODE = "ecg-"

_LOST = "\ufffd"
# fontStyle is no slip for fontSize, but font-size is.
_A_SLIP = 0.8
_NUMERAL = re.compile("[0-9]")
_CONTROL = re.compile("[\x00-\x08\x0e-\x1f\x7f\x80-\x84\x86-\x9f]")
_LENGTH = (
    r"(?:\+?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?"
    r"(?:px|r?em|r?ex|r?ch|r?cap|r?ic|r?lh|[sdl]?v(?:w|h|i|b|min|max)|cq(?:w|h|i|b|min|max)|cm|mm|q|in|p[tc]|%)"
    r"|\+?0+(?:\.0*)?|(?:calc|clamp|min|max|var|env)\(.*\))"
)
_NUMBER = r"\+?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?"
_FOUR = rf"{_LENGTH}(?:\s+{_LENGTH}){{0,3}}"
# What MotionText hands on to CSS, which drops what it does not know without a word.
_VALUES = {
    "fontSize": (
        re.compile(rf"{_LENGTH}|(?:xx?-)?(?:small|large)|xxx-large|medium|larger|smaller|math|"),
        "Write a length with its unit, such as 24px, or fontSizeRel.",
    ),
    "fontWeight": (
        re.compile(r"normal|bold|bolder|lighter|1000(?:\.0*)?|[1-9]\d{0,2}(?:\.\d*)?|var\(.*\)|"),
        "Write normal, bold, or a number from 1 to 1000.",
    ),
    "lineHeight": (re.compile(rf"normal|{_NUMBER}|{_LENGTH}|"), "Write a number, such as 1.4, or a length."),
    "padding": (re.compile(rf"{_FOUR}|{_NUMBER}|"), 'Write lengths, such as "4px 8px", or {"x": 0.01, "y": 0.005}.'),
    "borderRadius": (
        re.compile(rf"{_FOUR}(?:\s*/\s*{_FOUR})?|{_NUMBER}|"),
        "Write a length, such as 4px, or a share of the picture's height.",
    ),
    "opacity": (re.compile(rf"-?{_NUMBER}%?|var\(.*\)|calc\(.*\)"), "Write a number from 0 to 1."),
    "align": (
        re.compile("left|right|center|justify|start|end|match-parent|"),
        "Write left, center or right.",
    ),
    "whiteSpace": (
        re.compile("wrap|normal|nowrap|pre|pre-wrap|pre-line|break-spaces|"),
        "Write normal, nowrap or pre-wrap.",
    ),
}
# What MotionText reads of a style, and of a box; of a group without a box of its own it takes both from the style.
_OF_TEXT = frozenset((
    "color", "textShadow", "fontFamily", "fontWeight", "lineHeight", "fontSize", "fontSizeRel", "stroke", "align",
    "whiteSpace",
))  # fmt: skip
_UNSEEN = "{!r} is transparent: only the shadow of the text is seen, but where a plugin colours it"
_OF_BOXES = frozenset(("backgroundColor", "boxBg", "border", "padding", "borderRadius", "opacity"))
_ANCHORS = frozenset(("tl", "tc", "tr", "cl", "cc", "cr", "bl", "bc", "br"))
# Numbers are shares of the picture unless they are these: beyond them nothing is seen as it was meant, or at all.
_MOST_SHARE, _MOST_OF_ALL = 10.0, 1e5
# Parameters may also be seeds and ids: as far as numbers are exact.
_MOST_PARAM = 2.0**53
_RANGES = {
    **dict.fromkeys(
        ("defaultStyle", "defaultBoxStyle", "defaultConstraints", "style", "boxStyle", "layout"), _MOST_SHARE
    ),
    **dict.fromkeys(("layer", "timeOffset"), _MOST_OF_ALL),
    "params": _MOST_PARAM,
}
_MOST = {
    "fontSizeRel": 1.0, "lineHeight": 100.0, "scale": 100.0, "deg": 36_000.0, "xDeg": 36_000.0, "yDeg": 36_000.0,
    "zIndex": 2.0**31, "fontWeight": math.inf, "opacity": math.inf, "fontFamily": math.inf, "color": math.inf,
    "borderRadius": math.inf,  # a pill
}  # fmt: skip
_WRITTEN_NUMBER = re.compile(r"(?<![\w.#])[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?", re.IGNORECASE)
# Smaller letters than this share of the height are none.
_LEAST_SIZE = 0.001
# Of the layout of children: the words that MotionText knows, or none for a number.
_OF_CHILDREN: dict[str, tuple[str, ...]] = {
    "mode": ("flow", "grid", "stack", "absolute", "path", "polar"), "direction": ("horizontal", "vertical"), "gap": (),
    "align": ("start", "center", "end"), "justify": ("start", "center", "end", "space-between"),
}  # fmt: skip
_RTL_HINT = (
    "Write the sentence into one text node, or as a flat cue, or put the words into the group in the order in which "
    "they stand from left to right."
)


def as_text(value: object, path: str, report: Report) -> str:
    """Return a text as it is written, a number or truth value as a browser writes it.

    Errors: ScenarioError for a list or an object.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e21:
        return str(int(value))
    if isinstance(value, int | float):
        return str(value)
    raise report.error(path, f"must be text, not {str(value)[:40]!r}", 'Write "text": "...".')


def repair_writing(data: dict[str, Any], report: Report) -> None:
    """Make every text text, and every list of font families one that CSS can read, in place.

    Errors: ScenarioError for a text that is a list or an object.
    """
    for index, track in enumerate(data["tracks"]):
        _repair_families(track.get("defaultStyle"), f"tracks[{index}].defaultStyle", report)
    for path, cue in cues_of(data):
        for node_path, node in nodes_of(cue, path):
            if node["eType"] == "text" and "text" in node:
                node["text"] = _without_control(as_text(node["text"], f"{node_path}.text", report), node_path, report)
            _repair_families(node.get("style"), f"{node_path}.style", report)


def _without_control(text: str, path: str, report: Report) -> str:
    """Return the text without control characters, which no font has: they would become boxes."""
    plain = _CONTROL.sub("", text)
    if plain != text:
        report.warn("broken character", f"{path}.text", "had control characters, which were left out")
    if _LOST in plain:
        done = f"has {plain.count(_LOST)} times the sign {_LOST} instead of a letter, which is shown"
        report.warn(
            "lost letter", f"{path}.text", done, hint="The letter was lost before: export the text again as UTF-8."
        )
    return plain


def _repair_families(style: object, path: str, report: Report) -> None:
    said = style.get("fontFamily") if isinstance(style, dict) else None
    if isinstance(style, dict) and isinstance(said, list):  # as a browser writes it
        style["fontFamily"] = said = ",".join(map(str, said))
    if not isinstance(style, dict) or not isinstance(said, str):
        return
    readable = readable_families(said)
    if readable != said:
        done = f"CSS cannot read {said[:80]!r}, it was read as {readable[:80]}"
        report.warn("font family", f"{path}.fontFamily", done, hint="Put the family's name in quotes.")
        style["fontFamily"] = readable


def check_writing(data: dict[str, Any], report: Report) -> None:
    """Warn of colours that are none, and of words that stand in the wrong order."""
    boxed: set[str] = set()
    for index, track in enumerate(data["tracks"]):
        if track.get("defaultBoxStyle"):
            boxed.add(track["id"])
        # A style makes the box of a group that has none of its own.
        of_style = _OF_TEXT if track["id"] in boxed else _OF_TEXT | _OF_BOXES
        for name, known in (("defaultStyle", of_style), ("defaultBoxStyle", _OF_BOXES)):
            _check_style(track.get(name), f"tracks[{index}].{name}", report)
            _check_names(track, name, known, f"tracks[{index}]", report)
        _check_ranges(track, f"tracks[{index}]", report)
    for path, cue in cues_of(data):
        for node_path, node in nodes_of(cue, path):
            for name in ("style", "boxStyle"):
                _check_style(node.get(name), f"{node_path}.{name}", report)
            box = node["eType"] == "group" and not node.get("boxStyle") and cue["track"] not in boxed
            _check_names(node, "style", _OF_TEXT | _OF_BOXES if box else _OF_TEXT, node_path, report)
            _check_names(node, "boxStyle", _OF_BOXES if node["eType"] == "group" else frozenset(), node_path, report)
            _check_names(node, "layout", None, node_path, report)
            _check_place(node.get("layout"), f"{node_path}.layout", report)
            _check_ranges(node, node_path, report)
            for index, plugin in enumerate(node.get("pluginChain", ())):
                _check_ranges(plugin, f"{node_path}.pluginChain[{index}]", report)
            _check_order(node, node_path, report)


def _check_style(style: object, path: str, report: Report) -> None:
    if not isinstance(style, dict):
        return
    for name, value in _colours_of(style):
        said = value.strip().lower() if isinstance(value, str) else ""
        inherited = said in WIDE_KEYWORDS or said == "currentcolor" or "var(" in said
        if value != "" and not inherited and not is_colour(value):
            done = f"{str(value)[:40]!r} is no colour: the text keeps the one around it"
            report.warn("colour", f"{path}.{name}", done, hint=COLOUR_HINT)
    if isinstance(style.get("color"), str) and is_invisible(style["color"]) and not style.get("stroke"):
        report.warn("text that is not seen", f"{path}.color", _UNSEEN.format(style["color"]))
    for name, (pattern, hint) in _VALUES.items():
        value = style.get(name)
        said = str(value).strip().lower()
        if isinstance(value, bool | str | int | float) and said not in WIDE_KEYWORDS and not pattern.fullmatch(said):
            done = f"{str(value)[:40]!r} is nothing that CSS knows for it: it does not count"
            report.warn("value of a style", f"{path}.{name}", done, hint=hint)
    share, stroke = style.get("fontSizeRel"), style.get("stroke")
    if share is not None and not (_is_number(share) and share >= _LEAST_SIZE) and not style.get("fontSize"):
        done = f"{str(share)[:40]!r} is no share of the picture's height: " + (
            "the text is one pixel high" if _is_number(share) else "it does not count"
        )
        report.warn("value of a style", f"{path}.fontSizeRel", done, hint="Write a number, such as 0.05.")
    if isinstance(stroke, dict) and stroke and not _is_number(stroke.get("widthRel")):
        done = "has no widthRel that is a number: the text gets no outline"
        report.warn("value of a style", f"{path}.stroke", done, hint='Write {"widthRel": 0.003, "color": "#000"}.')


def _check_ranges(holder: dict[str, Any], path: str, report: Report) -> None:
    for name, most in _RANGES.items():
        _check_numbers(holder.get(name), f"{path}.{name}", most, report)


def _check_numbers(value: object, path: str, most: float, report: Report) -> None:
    """Warn of numbers, also within texts, that are further from 0 than anything on a picture."""
    if isinstance(value, dict | list):
        for name, inner in value.items() if isinstance(value, dict) else enumerate(value):
            place = f"{path}[{name}]" if isinstance(name, int) else join(path, name)
            _check_numbers(inner, place, _MOST.get(str(name), most), report)
        return
    texts = _WRITTEN_NUMBER.findall(value) if isinstance(value, str) and most < _MOST_OF_ALL else ()
    wrong = any(abs(float(said)) > _MOST_OF_ALL for said in texts)
    if (wrong or (_is_number(value) and abs(value) > most)) and not report.tells(path):
        done = f"{str(value)[:40]} is beyond {_MOST_OF_ALL if wrong else most:g}: it is not seen as it was meant"
        share = most <= _MOST_SHARE and not wrong
        hint = "Write a share of the picture, such as 0.05." if share else "Write a number nearer to 0."
        report.warn("number out of range", path, done, hint=hint)


def _check_names(holder: dict[str, Any], field: str, known: frozenset[str] | None, path: str, report: Report) -> None:
    """Warn of what is no object, and of properties that MotionText does not read there; None: it reads any."""
    value = holder.get(field)
    if value is not None and not isinstance(value, dict):
        done = f"is {str(value)[:40]!r}, not an object: it does not count"
        report.warn("value of a style", f"{path}.{field}", done, hint='Write an object, such as {"color": "#ffffff"}.')
    if known is None or not isinstance(value, dict):
        return
    if "opacity" in known and (seen := number(value.get("opacity"))) is not None and seen <= 0:
        report.warn("text that is not seen", f"{path}.{field}.opacity", f"is {seen:g}: nothing in it is seen")
    for name in sorted(value.keys() - known):
        hint = "Give it to the boxStyle of its group." if name in _OF_BOXES else did_you_mean(name, known, _A_SLIP)
        done = "is nothing that MotionText reads there: it does not count"
        report.warn("property of a style", f"{path}.{field}.{name}", done, hint=hint or "Leave it out.")


def _check_place(layout: object, path: str, report: Report) -> None:
    if not isinstance(layout, dict):
        return
    position, children = layout.get("position"), _as_style(layout.get("childrenLayout"))
    if "anchor" in layout and str(layout["anchor"]) not in _ANCHORS:
        done = f"{str(layout['anchor'])[:40]!r} is no anchor: the middle is taken"
        report.warn("place", f"{path}.anchor", done, hint="Write one of tl, tc, tr, cl, cc, cr, bl, bc and br.")
    placed = isinstance(position, dict) and _is_number(position.get("x")) and _is_number(position.get("y"))
    if position is not None and not placed:
        done = "has no x and y that are numbers: it does not count"
        report.warn("place", f"{path}.position", done, hint='Write shares of the picture: {"x": 0.5, "y": 0.9}.')
    for name, value in _as_style(layout.get("size")).items():
        if not _is_number(value) and value != "auto":
            done = f"{str(value)[:40]!r} is no share of the picture: it does not count"
            report.warn("place", f"{path}.size.{name}", done, hint="Write a share of the picture, such as 0.8.")
    for name, known in _OF_CHILDREN.items():
        value = children.get(name)
        if value is not None and not (value in known if known and isinstance(value, str) else _is_number(value)):
            hint = f"Write one of {', '.join(known)}." if known else "Write a share of the picture, such as 0.01."
            done = f"{str(value)[:40]!r} is nothing that MotionText knows for it: it does not count"
            report.warn("place", f"{path}.childrenLayout.{name}", done, hint=hint)


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _colours_of(style: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for name in ("color", "backgroundColor", "boxBg"):
        if name in style:
            yield name, style[name]
    for name in ("stroke", "border"):
        nested = style.get(name)
        if isinstance(nested, dict) and "color" in nested:
            yield f"{name}.color", nested["color"]


def _check_order(group: Node, path: str, report: Report) -> None:
    """Warn of words of a right-to-left sentence that stand side by side: from left to right, in reversed order."""
    layout = group.get("layout")
    arranged = layout.get("childrenLayout") if isinstance(layout, dict) else None
    if group["eType"] != "group" or not isinstance(arranged, dict) or str(group.get("id")).startswith(OWN_NODE):
        return
    if arranged.get("mode", "flow") != "flow" or arranged.get("direction", "horizontal") != "horizontal":
        return
    texts = [str(child.get("text", "")) for child in group.get("children", ()) if child and child["eType"] == "text"]
    words = [direction(text) for text in texts if text.strip()]
    strong = [word for word in words if word]
    backwards = strong[:1] == ["rtl"] and len(words) > 1
    pair = any(left == right == "rtl" for left, right in itertools.pairwise(strong))
    if backwards or pair:
        done = "its words run from right to left but are nodes of their own, which stand from left to right"
        report.warn("right-to-left words", path, done, hint=_RTL_HINT)


def in_one_direction(lines: list[str], base: str) -> str:
    """Return the lines of a sentence that runs in `base`, marked to do so where their first letters say otherwise.

    A number that a line begins with is marked to go with the words before it.
    """
    mark, other = ("\u200f", "\u200e") if base == "rtl" else ("\u200e", "\u200f")
    plain = ("rtl",) if base == "rtl" else ("ltr", "")
    against, done, marked = running_against(" ".join(lines).split(), base), 0, []
    for line in lines:
        words = line.split()
        if words and against[done] and not direction(words[0]):
            line = other + line
        done += len(words)
        marked.append(line if direction(line) in plain else mark + line)
    return "\n".join(marked)


def running_against(words: list[str], base: str) -> list[bool]:
    """Tell of each word of a sentence whether it runs against `base`; numbers after one that does go with it."""
    against: list[bool] = []
    for word in words:
        kind = direction(word)
        against.append(kind != base if kind else against[-1:] == [True] and _NUMERAL.search(word) is not None)
    return against


def direction(text: str) -> str:
    """Return "rtl" or "ltr" by the first letter of `text` that has a direction; "" if none has."""
    for letter in text:
        kind = unicodedata.bidirectional(letter)
        if kind in ("R", "AL"):
            return "rtl"
        if kind == "L":
            return "ltr"
    return ""


# --- which fonts texts ask for --------------------------------------------------------------------
# MotionText merges styles from the track over the groups down to the text, the nearest winning.


# Text without any size gets MotionText's own look, which is bold.
UNSIZED_WEIGHT = "bold"
DEFAULT_WEIGHT = "normal"


def font_uses(data: dict[str, Any]) -> tuple[FontUse, ...]:
    """Return every font that a text of `data` asks for, sorted, with the characters written in it."""
    written: dict[tuple[tuple[str, ...], str], set[str]] = {}
    for _, _, text, names, weight in texts_of(data):
        written.setdefault((names, weight), set()).update(text)
    return tuple(
        FontUse(names, weight, "".join(sorted(characters))) for (names, weight), characters in sorted(written.items())
    )


def texts_of(data: dict[str, Any]) -> Iterator[tuple[Node, Node, str, tuple[str, ...], str]]:
    """Yield every text: its cue's root node, its node, what is written, and the families and the weight it asks for."""
    tracks = {track["id"]: track for track in data["tracks"]}
    for _, cue in cues_of(data):
        style = _as_style(tracks[cue["track"]].get("defaultStyle"))
        for node, used in _texts(cue["root"], style):
            yield cue["root"], node, str(node.get("text", "")), families(used.get("fontFamily")), _weight(used)


def _texts(node: Node, inherited: dict[str, Any]) -> Iterator[tuple[Node, dict[str, Any]]]:
    style = {**inherited, **_as_style(node.get("style"))}
    if node.get("eType") == "text":
        yield node, style
    if node.get("eType") == "group":
        for child in node.get("children", ()):
            if child is not None:
                yield from _texts(child, style)


def _as_style(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def families(css: object) -> tuple[str, ...]:
    """Return the family names of a CSS font-family list, without quotes."""
    if not isinstance(css, str):
        return ()
    return tuple(name for name, _ in split_families(css))


def _weight(style: dict[str, Any]) -> str:
    weight = style.get("fontWeight")
    if weight:
        return str(weight)
    return DEFAULT_WEIGHT if style.get("fontSize") or style.get("fontSizeRel") else UNSIZED_WEIGHT
