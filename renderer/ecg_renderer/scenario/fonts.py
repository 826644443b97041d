"""Which fonts the captions ask for: they are loaded, and missing ones named, before the first frame.

MotionText merges styles from the track over the groups down to the text, the nearest winning.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ecg_renderer.fonts import FontUse
from ecg_renderer.scenario.css import split_families
from ecg_renderer.scenario.tree import Node, cues_of

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
