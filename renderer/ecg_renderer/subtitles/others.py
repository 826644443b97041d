"""TTML, lyrics (LRC) and MicroDVD: what is said when, written as SubRip and WebVTT write it."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from itertools import pairwise
from xml.etree import ElementTree

from ecg_renderer.scenario import Report

Said = tuple[float, float, str]
"""From when to when, in seconds, and the text: tags as in HTML, lines parted by N, stamps of words as in WebVTT."""

_TTML = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*+(?:<\?xml[^>]*+>\s*+)?(?:<!--(?>.*?-->)\s*+|<!DOCTYPE[^>\[]*+>\s*+)*+<(?:\w+:)?tt[\s>]",
    re.DOTALL,
)
_LRC_TIME = re.compile(r"\[(\d{1,3}):(\d{1,2}(?:[.:]\d{1,3})?)\]")
_LRC = re.compile(rb"^[ \t]*\[\d{1,3}:\d{2}(?:[.:]\d{1,3})?\]", re.MULTILINE)
_LRC_WORD = re.compile(r"<(\d{1,3}):(\d{1,2}(?:[.:]\d{1,3})?)>")
_LRC_OFFSET = re.compile(r"\[offset:[ \t]*([+-]?\d{1,7})[ \t]*\]", re.IGNORECASE)
_MICRODVD = re.compile(r"^\{(\d{1,9})\}\{(\d{0,9})\}(.*)$", re.MULTILINE)
_MICRODVD_TAG = re.compile(r"\{[A-Za-z]:[^{}]*\}")
_CLOCK = re.compile(r"(\d+):(\d{1,2}):(\d{1,2}(?:\.\d+)?)(?::(\d+))?")
_OFFSET = re.compile(r"(\d+(?:\.\d+)?)(h|ms|m|s|f|t)")
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_DEFAULT_RATE = 30.0  # TTML's own
# Of a line of lyrics that nothing follows, seconds.
_LAST_LINE = 4.0


def format_of_others(head: bytes) -> str:
    """Return "ttml", "lrc" or "microdvd" by the content; "" for something else."""
    if _TTML.match(head):
        return "ttml"
    if _MICRODVD.match(head[:200].decode("utf-8", "replace").lstrip("\ufeff \r\n")):
        return "microdvd"
    return "lrc" if _LRC.search(head) else ""


def read_other(text: str, kind: str, report: Report) -> Iterator[Said]:
    """Yield what a file of `kind` says; raises ValueError, or ScenarioError for one that does not say when."""
    return {"ttml": _from_ttml, "lrc": _from_lrc, "microdvd": _from_microdvd}[kind](text, report)


def _from_lrc(text: str, report: Report) -> Iterator[Said]:
    """Yield lines of lyrics, each until the next one, be that empty."""
    shift = _LRC_OFFSET.search(text)
    late = -int(shift[1]) / 1000 if shift else 0.0
    lines = []
    for line in text.splitlines():
        stamps = _LRC_TIME.findall(line)
        lines += [(max(0.0, _minutes(*stamp) + late), _LRC_TIME.sub("", line).strip()) for stamp in stamps]
    lines.sort(key=lambda line: line[0])
    for (start, said), (end, _) in pairwise([*lines, (lines[-1][0] + _LAST_LINE, "")] if lines else []):
        if said:
            yield start, end, _LRC_WORD.sub(lambda word: _stamp(_minutes(word[1], word[2]) + late), said)


def _minutes(minutes: str, seconds: str) -> float:
    return int(minutes) * 60 + float(seconds.replace(":", "."))


def _stamp(seconds: float) -> str:
    minutes, rest = divmod(round(max(0.0, seconds) * 1000), 60_000)
    return f"<{minutes // 60:02d}:{minutes % 60:02d}:{rest // 1000:02d}.{rest % 1000:03d}>"


def _from_microdvd(text: str, report: Report) -> Iterator[Said]:
    """Yield lines whose times are frames of a rate that the first line says."""
    lines = [(int(first), int(last or first), said.strip()) for first, last, said in _MICRODVD.findall(text)]
    rate = 0.0
    if lines[0][0] <= 1 and re.fullmatch(r"\d{1,3}(?:[.,]\d{1,3})?", lines[0][2]):
        rate = float(lines.pop(0)[2].replace(",", "."))
    if not rate:
        hint = "Write that of its video as a first line, such as {1}{1}25."
        raise report.error("", "counts its times in frames, and does not say how many there are a second", hint)
    for first, last, said in lines:
        whole = "{Y:i}" in said
        parts = [_leaning(part, whole or "{y:i}" in part) for part in said.split("|")]
        yield first / rate, last / rate, "\\N".join(parts)


def _leaning(line: str, italic: bool) -> str:
    plain = _MICRODVD_TAG.sub("", line).strip()
    return f"<i>{plain}</i>" if italic else plain


def _from_ttml(text: str, report: Report) -> Iterator[Said]:
    """Yield the paragraphs of TTML, DFXP and IMSC."""
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise report.error("", "is TTML that defines entities, which are not read", "Export it without a DOCTYPE.")
    try:
        root = ElementTree.fromstring(text)  # noqa: S314  there are no entities in it
        rates = {_local(name): value for name, value in root.attrib.items()}
        yield from (
            said for element in root.iter() if _local(element.tag) == "p" and (said := _paragraph(element, rates))
        )
    except (ElementTree.ParseError, RecursionError) as error:
        raise ValueError(str(error)) from None


def _local(name: object) -> str:
    return str(name).rpartition("}")[2]


def _paragraph(element: ElementTree.Element, rates: dict[str, str]) -> Said | None:
    """Return a paragraph with its times, or those of what is in it; None where nothing says when."""
    inner = list(element.iter())
    starts = [_seconds(part.get("begin"), rates) for part in inner if part.get("begin")][
        : 1 if element.get("begin") else None
    ]
    if not starts:
        return None
    ends = [_end_of(part, rates) for part in ([element] if element.get("begin") else inner) if part.get("begin")]
    return min(starts), max(ends), _written(element)


def _end_of(element: ElementTree.Element, rates: dict[str, str]) -> float:
    start = _seconds(element.get("begin"), rates)
    if element.get("end"):
        return _seconds(element.get("end"), rates)
    return start + (_seconds(element.get("dur"), rates) if element.get("dur") else 0.0)


def _written(element: ElementTree.Element) -> str:
    said = [html.escape(" ".join((element.text or "").split(" ")), quote=False)]
    for part in element:
        said += ["\\N" if _local(part.tag) == "br" else "" if _local(part.tag) == "metadata" else _written(part)]
        said += [html.escape(part.tail or "", quote=False)]
    text = "".join(said)
    styles = {_local(name): value for name, value in element.attrib.items()}
    tags = [tag for tag, wanted in _TAGS.items() if styles.get(wanted[0]) == wanted[1]]
    for tag in tags:
        text = f"<{tag}>{text}</{tag}>"
    colour = styles.get("color", "")
    return f'<font color="{html.escape(colour)}">{text}</font>' if colour else text


_TAGS = {"i": ("fontStyle", "italic"), "b": ("fontWeight", "bold"), "u": ("textDecoration", "underline")}


def _seconds(said: str | None, rates: dict[str, str]) -> float:
    """Return a time expression in seconds; raises ValueError."""
    rate = float(rates.get("frameRate", _DEFAULT_RATE))
    above, below = (float(part) for part in rates.get("frameRateMultiplier", "1 1").replace(":", " ").split())
    frame = below / (rate * above)
    if clock := _CLOCK.fullmatch((said or "").strip()):
        return int(clock[1]) * 3600 + int(clock[2]) * 60 + float(clock[3]) + int(clock[4] or 0) * frame
    if offset := _OFFSET.fullmatch((said or "").strip()):
        ticks = {"f": frame, "t": 1 / float(rates.get("tickRate", 1))}
        return float(offset[1]) * (_UNITS | ticks)[offset[2]]
    raise ValueError(f"{said!r} is no time")
