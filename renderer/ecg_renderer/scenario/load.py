"""From bytes, text or an object to a clean tree of plain JSON values, within limits.

Clean means: str keys, finite numbers, text that can be written as UTF-8, no null fields (a null in a list
keeps its place, so that paths stay those of the user's file), at most `MAX_DEPTH` levels. The tree is the
caller's to change.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from typing import Any

from ecg_renderer.errors import ScenarioError
from ecg_renderer.scenario.report import Report

MAX_BYTES = 32 * 1024 * 1024
# A list takes 30 times the memory of the two signs that it is written with.
MAX_VALUES = 3_000_000
MAX_DEPTH = 100
SNIPPET = 30

_SURROGATE = re.compile("[\ud800-\udfff]")
_WORD = re.compile(r"[A-Za-z_][\w-]*")


class _Repeated(dict[str, Any]):
    """An object that was written with the same key more than once."""

    keys_repeated: tuple[str, ...] = ()


def load(raw: bytes | str | dict[str, Any], report: Report) -> dict[str, Any]:
    """Return the scenario as a new, clean tree.

    Errors: ScenarioError for what is not JSON (line, column, snippet), too large, too deep, not finite, or
    not an object.
    """
    if isinstance(raw, dict):
        tree = _Cleaner(report).clean(raw, "", 0)
        _refuse_large(len(json.dumps(tree, separators=(",", ":"))), report)
    else:
        written = raw if isinstance(raw, bytes) else raw.encode("utf-8", "surrogatepass")
        _refuse_large(len(written), report)
        if is_crowded(written):
            raise report.error("", f"holds more than {MAX_VALUES:,} values", "Split the video.")
        tree = _Cleaner(report).clean(_parse(_decode(raw, report), report), "", 0)
    if not isinstance(tree, dict):
        raise report.error("", f"is {_kind(tree)}, but a scenario is an object with a list of cues")
    return tree


def is_crowded(written: bytes) -> bool:
    """Tell whether JSON holds more than `MAX_VALUES` values, before it is built."""
    return sum(map(written.count, (b",", b"[", b"{"))) > MAX_VALUES


def _refuse_large(size: int, report: Report) -> None:
    if size > MAX_BYTES:
        raise report.error(
            "",
            f"{size:,} bytes of JSON are more than the limit of {MAX_BYTES:,} (32 MB)",
            "Split the video, or leave out what the captions do not need.",
        )


def _decode(raw: bytes | str, report: Report) -> str:
    if isinstance(raw, str):
        return raw.removeprefix("\ufeff")
    encoding = json.detect_encoding(raw)
    try:
        return raw.decode(encoding)
    except UnicodeDecodeError as error:
        raise report.error(
            "", f"is not {encoding.upper()} text (byte {error.start})", "Save the scenario as UTF-8 JSON."
        ) from None


def _parse(text: str, report: Report) -> object:
    try:
        return json.loads(text, object_pairs_hook=_object, parse_int=_integer)
    except json.JSONDecodeError as error:
        raise _broken(text, error, report) from None
    except RecursionError:
        raise too_deep("", report) from None


def _broken(text: str, error: json.JSONDecodeError, report: Report) -> ScenarioError:
    if not text.strip():
        return report.error("", "is empty", "A scenario is a JSON object with a list of cues.")
    line = text.split("\n")[error.lineno - 1]
    start = max(error.colno - 1 - SNIPPET, 0)
    snippet = line[start : error.colno - 1 + SNIPPET].strip()
    where = f"line {error.lineno}, column {error.colno}"
    near = f", near `{snippet}`" if snippet else ""
    hint = "This looks like HTML or XML, not JSON." if text.lstrip().startswith("<") else ""
    return report.error("", f"is not JSON: {error.msg} at {where}{near}", hint)


def too_deep(path: str, report: Report) -> ScenarioError:
    """Return the error for what is nested too deep at `path`."""
    return report.error(path, f"is nested deeper than {MAX_DEPTH} levels")


def refuse_deep(tree: object, report: Report) -> None:
    """Raise ScenarioError if `tree` has more than `MAX_DEPTH` levels."""
    level = [tree]
    for _ in range(MAX_DEPTH + 1):
        level = [
            item
            for value in level
            if isinstance(value, dict | list)
            for item in (value.values() if isinstance(value, dict) else value)
        ]
    if level:
        raise too_deep("", report)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    plain = dict(pairs)
    if len(plain) == len(pairs):
        return plain
    repeated = _Repeated(plain)
    repeated.keys_repeated = tuple(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
    return repeated


def _integer(digits: str) -> int | float:
    # A browser reads every number as a double; int() refuses thousands of digits with an error of its own.
    number = float(digits)
    return int(digits) if abs(number) <= 2**53 else number


def _kind(value: object) -> str:
    names = {list: "a list", str: "text", bool: "true or false", int: "a number", float: "a number"}
    return "null" if value is None else names[type(value)]


def join(path: str, key: str) -> str:
    """Return the path of field `key` of the object at `path`, as in `cues[3].root`."""
    if not _WORD.fullmatch(key):
        return f"{path}[{json.dumps(key)}]"
    return f"{path}.{key}" if path else key


class _Cleaner:
    """Copies a tree, putting right or refusing what JSON for a browser cannot hold."""

    def __init__(self, report: Report) -> None:
        self.report = report

    def clean(self, value: object, path: str, depth: int) -> Any:
        if depth > MAX_DEPTH:
            raise too_deep(path, self.report)
        if isinstance(value, str):
            return self._text(value, path)
        if isinstance(value, dict):
            return self._fields(value, path, depth)
        if isinstance(value, list):
            return [self.clean(item, f"{path}[{index}]", depth + 1) for index, item in enumerate(value)]
        if isinstance(value, bool) or value is None:
            return value
        return self._number(value, path)

    def _fields(self, fields: dict[Any, Any], path: str, depth: int) -> dict[str, Any]:
        for key in getattr(fields, "keys_repeated", ()):
            self.report.warn("repeated key", join(path, key), "is given more than once, the last one counts")
        cleaned: dict[str, Any] = {}
        for raw_key, value in fields.items():
            key = raw_key if isinstance(raw_key, str) else str(raw_key)
            if value is None:
                self.report.warn("null field", join(path, key), "is null and was dropped")
            else:
                cleaned[_SURROGATE.sub("\ufffd", key)] = self.clean(value, join(path, key), depth + 1)
        return cleaned

    def _text(self, text: str, path: str) -> str:
        if not _SURROGATE.search(text):
            return text
        self.report.warn("broken character", path, "half of a surrogate pair was replaced by U+FFFD")
        return _SURROGATE.sub("\ufffd", text)

    def _number(self, value: object, path: str) -> int | float:
        if not isinstance(value, int | float):
            raise self.report.error(path, f"holds a Python {type(value).__name__}, which JSON does not have")
        try:
            finite = math.isfinite(value)
        except OverflowError:
            finite = False
        if not finite:
            said = value if isinstance(value, float) else "too large"
            raise self.report.error(path, f"is {said}, not a finite number", "Write numbers with digits only.")
        return value
