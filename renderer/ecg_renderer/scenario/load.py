"""From bytes, text or an object to a clean tree of plain JSON values, within limits, and without references.

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
from ecg_renderer.scenario.report import Report, did_you_mean, listed

MAX_BYTES = 32 * 1024 * 1024
# A list takes 30 times the memory of the two signs that it is written with.
MAX_VALUES = 3_000_000
MAX_DEPTH = 100
SNIPPET = 30
WHAT_IS_READ = (
    "What is read: a scenario, a JSON object with a list of cues, maybe empty; subtitles; and transcripts with times, "
    "as speech recognition writes them in JSON. docs/captions.md lists them."
)

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
        raise report.error("", f"is {_kind(tree)}, but a scenario is an object with a list of cues", WHAT_IS_READ)
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
        # By its zeros other data, as of a video, looks like a wide encoding.
        said = f"is not UTF-8 text (byte {error.start})" if encoding.startswith("utf-8") else "is not text"
        raise report.error("", said, f"Save it as UTF-8. {WHAT_IS_READ}") from None


def _parse(text: str, report: Report) -> object:
    try:
        return json.loads(text, object_pairs_hook=_object, parse_int=_integer)
    except json.JSONDecodeError as error:
        raise _broken(text, error, report) from None
    except RecursionError:
        raise too_deep("", report) from None


def _broken(text: str, error: json.JSONDecodeError, report: Report) -> ScenarioError:
    if not text.strip():
        return report.error("", "is empty", WHAT_IS_READ)
    line = text.split("\n")[error.lineno - 1]
    start = max(error.colno - 1 - SNIPPET, 0)
    snippet = line[start : error.colno - 1 + SNIPPET].strip()
    where = f"line {error.lineno}, column {error.colno}"
    near = f", near `{snippet}`" if snippet else ""
    begins = text.lstrip()
    if begins[0] not in "{[":
        hint = f"This looks like HTML or XML. {WHAT_IS_READ}" if begins[0] == "<" else WHAT_IS_READ
        first = begins.split("\n")[0][: 2 * SNIPPET].strip()
        return report.error(
            "", f"is no scenario, and no subtitles or transcript that are known: it begins with `{first}`", hint
        )
    return report.error("", f"is not JSON: {error.msg} at {where}{near}")


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


# --- references into `define` are replaced by what they stand for ---------------------------------
# MotionText does the same, but throws where this says what is missing and where; and a slice without references
# depends only on what its own cues use.
#
#     "define.caption.position"  ->  {"x": 0.5, "y": 0.925}


PREFIX = "define."
LEGACY_PREFIX = "definitions."
MAX_EXPANDED = 20_000_000
COST_PER_VALUE = 8

# MotionText reads any text that begins with "define." as a reference, also a word that ends a sentence.
# This character has no width and no glyph; before the word, it makes it text again.
WORD_JOINER = "\u2060"

# The caption editor always refers to the palette but leaves it out when no speaker has a colour.
OPTIONAL = "speakerPalette"

_WRITTEN_TEXT = ("text", "content", "alt")


def inline_defines(data: dict[str, Any], report: Report) -> dict[str, Any]:
    """Return `data` with every reference replaced, `define` included.

    Errors: ScenarioError for a reference to nothing, a circle, or references that expand to more than
    `MAX_EXPANDED` characters.
    """
    defines = data.setdefault("define", {})
    if not isinstance(defines, dict):
        raise report.error("define", "must be an object of named values")
    resolver = _Resolver(defines, report)
    try:
        inlined: dict[str, Any] = {
            key: resolver.resolve(value, key, key) for key, value in data.items() if key != "define"
        }
        for key in list(defines):
            resolver.root(key, join("define", key))
    except RecursionError:
        raise too_deep("define", report) from None
    inlined["define"] = {key: resolver.resolved[key] for key in defines}
    refuse_deep(inlined, report)
    return inlined


def adopt_definitions(data: dict[str, Any]) -> dict[str, Any]:
    """Return a version 1 scenario with `definitions` and references to it renamed to `define`."""
    definitions = data.get("definitions")
    if not isinstance(definitions, dict):
        return data
    renamed: dict[str, Any] = {key: _renamed(value, definitions) for key, value in data.items() if key != "definitions"}
    renamed["define"] = {**_renamed(definitions, definitions), **renamed.get("define", {})}
    return renamed


def _renamed(value: Any, definitions: dict[str, Any]) -> Any:
    if isinstance(value, dict):
        return {key: _renamed(item, definitions) for key, item in value.items()}
    if isinstance(value, list):
        return [_renamed(item, definitions) for item in value]
    if isinstance(value, str) and value.startswith(LEGACY_PREFIX):
        target = value.removeprefix(LEGACY_PREFIX)
        return PREFIX + target if target.split(".")[0] in definitions else value
    return value


class _Resolver:
    def __init__(self, defines: dict[str, Any], report: Report) -> None:
        self.defines = defines
        self.report = report
        self.resolved: dict[str, Any] = {}
        self.open: list[str] = []
        self.spent = 0

    def resolve(self, value: Any, path: str, key: str) -> Any:
        """Return a copy of `value` without references; `key` is the field that holds it."""
        if isinstance(value, dict):
            return {name: self.resolve(item, join(path, name), name) for name, item in value.items()}
        if isinstance(value, list):
            return [self.resolve(item, f"{path}[{index}]", key) for index, item in enumerate(value)]
        if isinstance(value, str) and value.startswith(PREFIX):
            return self._text(value, path) if key in _WRITTEN_TEXT else self._target(value, path)
        return value

    def root(self, name: str, path: str) -> Any:
        """Return the value called `name`, without references. Errors: ScenarioError for a circle."""
        if name in self.resolved:
            return self.resolved[name]
        if name in self.open:
            circle = " -> ".join([*self.open[self.open.index(name) :], name])
            raise self.report.error(path, f"refers to itself in a circle: {circle}")
        self.open.append(name)
        self.resolved[name] = self.resolve(self.defines[name], join("define", name), name)
        self.open.pop()
        return self.resolved[name]

    def _text(self, text: str, path: str) -> Any:
        target = self._find(text, path)
        if isinstance(target, str | int | float):
            return target
        done = f'"{text[:40]}" names no text in define and is shown as it is'
        self.report.warn("text like a reference", path, done)
        return WORD_JOINER + text

    def _target(self, reference: str, path: str) -> Any:
        target = self._find(reference, path)
        if target is not None:
            return self._copy(target, path)
        problem = f'refers to "{reference[:80]}", which is not in define (there: {listed(self.defines)})'
        raise self.report.error(path, problem, did_you_mean(reference, (PREFIX + name for name in self.defines)))

    def _find(self, reference: str, path: str) -> Any:
        name, *fields = reference.removeprefix(PREFIX).split(".")
        if name == OPTIONAL and name not in self.defines:
            done = "is referred to but missing, {} was put there"
            self.report.warn("missing palette", f"define.{OPTIONAL}", done)
            self.defines[OPTIONAL] = {}
        if name not in self.defines:
            return None
        target = self.root(name, path)
        for field in fields:
            if isinstance(target, list) and field.isdecimal() and int(field) < len(target):
                target = target[int(field)]
            elif isinstance(target, dict) and field in target:
                target = target[field]
            else:
                return None
        return target

    def _copy(self, value: Any, path: str) -> Any:
        self.spent += COST_PER_VALUE + (len(value) if isinstance(value, str) else 0)
        if self.spent > MAX_EXPANDED:
            problem = f"the references to define expand to more than {MAX_EXPANDED:,} characters"
            raise self.report.error(path, problem)
        if isinstance(value, dict):
            return {key: self._copy(item, path) for key, item in value.items()}
        if isinstance(value, list):
            return [self._copy(item, path) for item in value]
        return value
