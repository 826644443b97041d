"""What is written, and how: texts are text, families can be read, colours are colours, words stand in their order."""

from __future__ import annotations

import itertools
import unicodedata
from collections.abc import Iterator
from typing import Any

from ecg_renderer.scenario.css import WIDE_KEYWORDS, is_colour, is_invisible, readable_families
from ecg_renderer.scenario.report import Report
from ecg_renderer.scenario.tree import Node, cues_of, nodes_of

# Nodes that this renderer makes are laid out by rules of its own; see page/index.html.
OWN_NODE = "ecg-"

_COLOUR_HINT = "Write a CSS colour, such as #ff8800 or oklch(0.75 0.18 60)."
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
                node["text"] = as_text(node["text"], f"{node_path}.text", report)
            _repair_families(node.get("style"), f"{node_path}.style", report)


def _repair_families(style: object, path: str, report: Report) -> None:
    said = style.get("fontFamily") if isinstance(style, dict) else None
    if not isinstance(style, dict) or not isinstance(said, str):
        return
    readable = readable_families(said)
    if readable != said:
        done = f"CSS cannot read {said[:80]!r}, it was read as {readable[:80]}"
        report.warn("font family", f"{path}.fontFamily", done, hint="Put the family's name in quotes.")
        style["fontFamily"] = readable


def check_writing(data: dict[str, Any], report: Report) -> None:
    """Warn of colours that are none, and of words that stand in the wrong order."""
    for index, track in enumerate(data["tracks"]):
        for name in ("defaultStyle", "defaultBoxStyle"):
            _check_style(track.get(name), f"tracks[{index}].{name}", report)
    for path, cue in cues_of(data):
        for node_path, node in nodes_of(cue, path):
            for name in ("style", "boxStyle"):
                _check_style(node.get(name), f"{node_path}.{name}", report)
            for index, plugin in enumerate(node.get("pluginChain", ())):
                _check_effect(plugin, f"{node_path}.pluginChain[{index}]", report)
            _check_order(node, node_path, report)


def _check_style(style: object, path: str, report: Report) -> None:
    if not isinstance(style, dict):
        return
    for name, value in _colours_of(style):
        said = value.strip().lower() if isinstance(value, str) else ""
        inherited = said in WIDE_KEYWORDS or said == "currentcolor" or "var(" in said
        if value != "" and not inherited and not is_colour(value):
            done = f"{str(value)[:40]!r} is no colour: the text keeps the one around it"
            report.warn("colour", f"{path}.{name}", done, hint=_COLOUR_HINT)


def _colours_of(style: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for name in ("color", "backgroundColor", "boxBg"):
        if name in style:
            yield name, style[name]
    for name in ("stroke", "border"):
        nested = style.get(name)
        if isinstance(nested, dict) and "color" in nested:
            yield f"{name}.color", nested["color"]


def _check_effect(plugin: dict[str, Any], path: str, report: Report) -> None:
    params = plugin.get("params")
    if not isinstance(params, dict):
        return
    for name, value in params.items():
        if name == "color" or name.endswith("Color"):
            _check_effect_colour(value, f"{path}.params.{name}", report)
    palette, speaker = params.get("palette"), params.get("speaker")
    if not isinstance(palette, dict) or not palette or not isinstance(speaker, str) or not speaker:
        return
    if speaker in palette:
        _check_effect_colour(palette[speaker], f"{path}.params.palette", report)
    elif not is_colour(params.get("color")):
        done = f'speaker "{speaker}" has no colour in the palette: the word is never coloured'
        report.warn("speaker without colour", f"{path}.params.speaker", done, hint="Add the speaker to the palette.")


def _check_effect_colour(value: object, path: str, report: Report) -> None:
    if value == "" or isinstance(value, bool):
        return
    if not is_colour(value):
        done = f"{str(value)[:40]!r} is no colour: the effect goes without"
        report.warn("colour of an effect", path, done, hint=_COLOUR_HINT)
    elif is_invisible(str(value)):
        report.warn(
            "colour of an effect", path, f"{value!r} is transparent: the effect goes without", hint=_COLOUR_HINT
        )


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


def in_one_direction(lines: list[str]) -> str:
    """Return the lines of one sentence, marked to run as the whole does where their first letters say otherwise."""
    base = direction(" ".join(lines))
    mark = "\u200f" if base == "rtl" else "\u200e"
    plain = ("ltr", "") if base != "rtl" else ("rtl",)
    return "\n".join(line if direction(line) in plain else mark + line for line in lines)


def direction(text: str) -> str:
    """Return "rtl" or "ltr" by the first letter of `text` that has a direction; "" if none has."""
    for letter in text:
        kind = unicodedata.bidirectional(letter)
        if kind in ("R", "AL"):
            return "rtl"
        if kind == "L":
            return "ltr"
    return ""
