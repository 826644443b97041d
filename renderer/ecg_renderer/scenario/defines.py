"""References into `define` are replaced by what they stand for.

MotionText does the same, but throws where this says what is missing and where; and a slice without references
depends only on what its own cues use.

    "define.caption.position"  ->  {"x": 0.5, "y": 0.925}
"""

from __future__ import annotations

from typing import Any

from ecg_renderer.scenario.load import join, refuse_deep, too_deep
from ecg_renderer.scenario.report import Report, did_you_mean, listed

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
