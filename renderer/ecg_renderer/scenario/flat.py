"""A flat cue {text, start, end, style} becomes a caption at the bottom, in a box, in balanced lines.

The layout is this renderer's own, so it may be better than MotionText's: lines break between words, also of Korean, and
are about equal; a word that is wider than the picture is broken; right-to-left sentences run from right to left. The
rules of style behind that are in page/index.html, for nodes whose ids begin as here.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from copy import deepcopy
from functools import lru_cache
from itertools import pairwise
from typing import Any

from ecg_renderer.scenario.model import Cue, Picture, cues_of, number
from ecg_renderer.scenario.report import Report
from ecg_renderer.scenario.times import CueTimes, open_range
from ecg_renderer.scenario.writing import OWN_NODE, as_text, direction, in_one_direction

CAPTION_POSITION = {"position": {"x": 0.5, "y": 0.925}, "anchor": "bc", "safeAreaClamp": True}
CAPTION_CHILDREN = {
    "mode": "flow",
    "direction": "horizontal",
    "wrap": True,
    "maxWidth": "90%",
    "gap": 0.005,
    "align": "center",
    "justify": "center",
}
# A box that takes its width from its text gets no wider than the picture right of its position, half of it. So the
# position belongs to a frame of fixed width, and the box stands in it. A gap would forbid the box to shrink.
FRAME_LAYOUT = {
    **CAPTION_POSITION,
    "size": {"width": 0.9},
    "childrenLayout": {**CAPTION_CHILDREN, "wrap": False, "gap": 0},
}
# Without a layout of its own, the box has an empty line above its text.
BOX_CHILDREN = {"mode": "flow", "direction": "vertical", "wrap": False, "gap": 0}
FRAME_BOX = {"backgroundColor": "transparent", "padding": "0px"}
CAPTION_STYLE = {
    "fontFamily": "Arial, sans-serif",
    "color": "#ffffff",
    "align": "center",
}
CAPTION_BOX = {
    "backgroundColor": "rgba(0, 0, 0, 0.6)",
    "padding": "4px 8px",
    "borderRadius": "4px",
    "opacity": 1,
}
BOX_FIELDS = ("backgroundColor", "boxBg", "border", "padding", "borderRadius", "opacity")
# What people give a flat cue in the hope that it counts.
_NOT_READ = {
    **dict.fromkeys(
        ("color", "fontFamily", "fontSize", "fontSizeRel", "fontWeight", *BOX_FIELDS), "Give it to the cue's style."
    ),
    **dict.fromkeys(
        ("position", "align", "anchor", "layout", "pluginChain", "plugins"), "Give the cue a root that has it."
    ),
    "words": "Words with times of their own are read in transcripts (segments with words), or as nodes of a root.",
}
FLAT_NODE = f"{OWN_NODE}flat-"
KOREAN_NODE = f"{OWN_NODE}flat-ko-"

FRAME_WIDTH = 0.9
# Lines that are measured by estimate keep a little away from the edge, where the browser would break them again.
LINE_FILL = 0.94
_PADDING = 16
_PIXELS = re.compile(r"\s*([\d.]+)px\s*")
_HANGUL = re.compile("[\u1100-\u11ff\u3130-\u318f\ua960-\ua97f\uac00-\ud7ff]")
_WRITTEN_TOGETHER = re.compile("[\u2e80-\u312f\u31a0-\u9fff\uf900-\ufaff\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff]")


def caption_size(picture: Picture) -> float:
    """Return the size of a caption's font, a share of the height: smaller where the picture is narrow."""
    aspect = picture.width / picture.height
    return 0.05 if aspect > 1.25 else 0.042 if aspect > 0.8 else 0.03


def settle_flat_times(data: dict[str, Any], report: Report) -> None:
    """Give every flat cue a start and an end, in place, by the cues around it where it has none.

    Errors: ScenarioError for times that are no numbers, or where no cue has a start.
    """
    flat = [(path, cue) for path, cue in cues_of(data) if "root" not in cue and "text" in cue]
    times = {path: open_range(_said(cue), f"{path} (start, end)", report) for path, cue in flat}
    known = CueTimes([start for start, _ in times.values() if start is not None])
    before: float | None = None
    for path, cue in flat:
        start, end = times[path]
        problem = "" if start is not None else "has no start"
        if start is None:
            start = before
        if start is None:
            raise report.error(f"{path} (start, end)", "has no start", "Give start and end in seconds.")
        if end is None or end < start:
            problem = problem or "does not end after its start"
            end = known.end_after(start, len(str(cue["text"])))
        if problem:
            done = f"{problem}, and was taken to be shown from {start:g} to {end:g} s"
            report.warn("time of a cue", f"{path} (start, end)", done, hint="Give start and end in seconds.")
        cue["start"], cue["end"] = start, end
        before = end


def _said(cue: Cue) -> list[Any]:
    start, end = [cue.pop(f"{bound}Time", cue.pop(bound, None)) for bound in ("start", "end")]
    begin, length = number(start), number(cue.pop("duration", None))
    return [start, begin + length if end is None and begin is not None and length is not None else end]


def build_flat(cue: Cue, path: str, picture: Picture, report: Report) -> None:
    """Give the flat cue `cue` a root, in place. Errors: ScenarioError if it has no text."""
    if "text" not in cue:
        raise report.error(path, "has neither a root nor a text", "A cue shows its root node.")
    said = cue.pop("style", None)
    style: dict[str, Any] = said if isinstance(said, dict) else {}
    if said is not None and said is not style:
        done = f"is {str(said)[:40]!r}, not an object: it does not count"
        report.warn("value of a style", f"{path}.style", done, hint='Write an object, such as {"color": "#ffffff"}.')
    for name, hint in _NOT_READ.items():
        if name in cue:
            report.warn("field of a flat cue", f"{path}.{name}", "is nothing that is read there", hint=hint)
    size_in_pixels(style)
    text = as_text(cue.pop("text"), f"{path}.text", report).replace("\r\n", "\n").replace("\r", "\n").strip()
    text = "\n".join(_in_lines(line, _line_em(style, picture)) for line in text.split("\n"))
    if "\n" in text:
        style.setdefault("whiteSpace", "pre-line")
    box = {**CAPTION_BOX, **{key: style[key] for key in BOX_FIELDS if key in style}}
    if not text:
        report.warn("empty caption", path, "has no text: nothing is shown", hint="Leave it out.")
        box = FRAME_BOX
    number_ = path.removeprefix("cues[").removesuffix("]")
    cue["root"] = {
        "eType": "group",
        "displayTime": [cue.pop("start"), cue.pop("end")],
        "layout": deepcopy(FRAME_LAYOUT),
        "style": {key: value for key, value in style.items() if key not in BOX_FIELDS},
        "boxStyle": dict(FRAME_BOX),
        "children": [
            {
                "eType": "group",
                "layout": {"childrenLayout": dict(BOX_CHILDREN)},
                "boxStyle": dict(box),
                "children": [
                    {
                        "id": f"{KOREAN_NODE if is_korean(text) else FLAT_NODE}{number_}",
                        "eType": "text",
                        "text": text,
                    }
                ],
            }
        ],
    }
    report.warn("flat cue", path, "has no root: its text is shown as a caption at the bottom")


def size_in_pixels(style: dict[str, Any]) -> None:
    """Give a bare font size its unit, without which CSS ignores it."""
    if number(style.get("fontSize")) is not None:
        style["fontSize"] = f"{style['fontSize']}px"


def is_korean(text: str) -> bool:
    """Tell whether `text` holds Korean, which breaks between words though its letters could be parted."""
    return _HANGUL.search(text) is not None


def _line_em(style: dict[str, Any], picture: Picture) -> float:
    """Return the width of a line in em of the caption's font."""
    pixels = _PIXELS.fullmatch(str(style.get("fontSize", "")))
    share = number(style.get("fontSizeRel")) or caption_size(picture)
    size = float(pixels[1]) if pixels else picture.height * share
    return LINE_FILL * (FRAME_WIDTH * picture.width - _PADDING) / max(size, 1.0)


def _in_lines(text: str, most: float) -> str:
    """Return `text` in balanced lines; what is written without spaces is left to the browser, which balances it too."""
    words = text.split()
    widths = [text_width(word) for word in words]
    if len(words) < 2 or _WRITTEN_TOGETHER.search(text) or max(widths) > most:
        return text
    starts = [*balanced_lines(widths, [SPACE_EM] * len(words), most), len(words)]
    if len(starts) == 2:
        return text
    return in_one_direction([" ".join(words[first:last]) for first, last in pairwise(starts)], direction(text))


# --- where lines end: as few as fit, and as equal as they can be ----------------------------------
# Widths are estimates in em, of a sans-serif face such as Arial: the browser knows better, and wraps what is still
# too wide.


SPACE_EM = 0.28
_JOINED_EMOJI = re.compile("\u200d[\u2190-\u2bff\U0001f000-\U0001faff]|[\U0001f3fb-\U0001f3ff]")
_FLAG = re.compile("[\U0001f1e6-\U0001f1ff]{2}")
_NARROW = frozenset("iIjlftr.,:;!|'`()[]{}-/\\ \u00b7\u2019")
_BROAD = frozenset("mwMWGOQCD@%&\u2026\u2014")


def text_width(text: str) -> float:
    """Return about how wide `text` is, in em."""
    return sum(map(_letter_width, _JOINED_EMOJI.sub("", text)))


@lru_cache(maxsize=8192)
def _letter_width(letter: str) -> float:
    if unicodedata.combining(letter) or unicodedata.category(letter) in ("Cf", "Mn", "Me"):
        return 0.0
    if unicodedata.east_asian_width(letter) in "WF":
        return 1.0
    if letter in _NARROW:
        return 0.3
    if letter in _BROAD:
        return 0.85
    if "\u1000" <= letter <= "\u109f":  # Burmese is broad, and Khmer a little
        return 0.8
    return 0.7 if letter.isupper() or "\u1780" <= letter <= "\u17ff" else 0.55


def clusters(text: str) -> list[str]:
    """Return what people take for letters: with the marks on them, and emoji that are put together."""
    found: list[str] = []
    for letter in text:
        marks = unicodedata.category(letter) in ("Mn", "Mc", "Me", "Cf") or "\U0001f3fb" <= letter <= "\U0001f3ff"
        flag = bool(found) and _FLAG.fullmatch(found[-1] + letter)
        if found and (marks or flag or found[-1].endswith("\u200d")):
            found[-1] += letter
        else:
            found.append(letter)
    return found


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
