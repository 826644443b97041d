"""What is wrong with a manifest, in words: one line a problem, the path first."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

Location = tuple[int | str, ...]
FIELD = 3
"""What may be nested at will has a path of so many parts: spec.scenario.inline, spec.placement.podTemplateOverrides."""


class ManifestProblems(ValueError):
    """A manifest that breaks rules; `problems` holds lines such as `spec.output.uri: is missing`."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = list(problems)
        super().__init__("\n".join(self.problems))


def describe(error: ValidationError, model: type[BaseModel]) -> list[str]:
    """Return one line for each problem that `error` found while reading `model`."""
    return [_line(dict(detail), model) for detail in error.errors(include_url=False)]


def unknown_word(word: str, known: Iterable[str]) -> str:
    """Return `; did you mean X?` when one of `known` is close to `word`, else nothing."""
    by_letters = {_letters(name): name for name in known}
    close = get_close_matches(_letters(word), by_letters, n=1, cutoff=0.7)
    return f"; did you mean {by_letters[close[0]]}?" if close else ""


def dotted(location: Location) -> str:
    """Return `spec.placement.tolerations[0].key` for its parts; `manifest` for the whole."""
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.removeprefix(".") or "manifest"


def _line(detail: Mapping[str, Any], model: type[BaseModel]) -> str:
    location: Location = detail["loc"]
    if detail["type"] == "extra_forbidden":
        return f"{dotted(location)}: unknown field{_intended_field(location, model)}"
    if detail["type"] in ("recursion_depth_exceeded", "recursion_loop"):
        return f"{dotted(location[:FIELD])}: is nested too deeply"
    return f"{dotted(location)}: {_words(detail)}"


def _words(detail: Mapping[str, Any]) -> str:
    """Return what is wrong with one value; pydantic's own sentence where ours would say no more."""
    kind, value, context = detail["type"], detail["input"], detail.get("ctx", {})
    match kind:
        case "missing":
            return "is missing"
        case "greater_than_equal":
            return f"{value} is below {context['ge']}"
        case "less_than_equal":
            return f"{value} is above {context['le']}"
        case "literal_error" | "enum":
            return _not_one_of(value, context["expected"])
        case "value_error":
            return str(context["error"])
    return _wrong_type_or_size(kind, value, context) or detail["msg"]


NOUNS = {
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a number",
    "bool_type": "true or false",
    "string_type": "text",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
}


def _wrong_type_or_size(kind: str, value: object, context: Mapping[str, Any]) -> str | None:
    match kind:
        case "string_too_long":
            return f"is longer than {context['max_length']} characters"
        case "string_too_short":
            return "is empty" if value == "" else f"is shorter than {context['min_length']} characters"
        case "too_long":
            return f"has more than {context['max_length']} entries"
    return f"{_shown(value)} is not {NOUNS[kind]}" if kind in NOUNS else None


def _not_one_of(value: object, expected: str) -> str:
    words = re.findall(r"'([^']*)'", expected)
    allowed = words[0] if len(words) == 1 else f"one of {', '.join(words)}"
    hint = unknown_word(value, words) if isinstance(value, str) else ""
    return f"{_shown(value)} is not {allowed}{hint}"


def _shown(value: object) -> str:
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _intended_field(location: Location, model: type[BaseModel]) -> str:
    """Return a hint: a sibling spelt nearly so, or the same word at another place of the manifest."""
    *parents, word = location
    paths = list(_field_paths(model))
    siblings = [path[-1] for path in paths if path[:-1] == _names(parents)]
    near = unknown_word(str(word), siblings)
    if near:
        return near
    elsewhere = [".".join(path) for path in paths if path[0] == "spec" and _letters(path[-1]) == _letters(str(word))]
    return f"; did you mean {elsewhere[0]}?" if elsewhere else ""


def _names(location: Iterable[int | str]) -> tuple[str, ...]:
    return tuple(part for part in location if isinstance(part, str))


def _letters(word: str) -> str:
    return re.sub(r"[^a-z0-9]", "", word.lower())


def _field_paths(model: type[BaseModel], above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, field in model.model_fields.items():
        path = (*above, field.alias or name)
        yield path
        for part in _models_in(field.annotation):
            yield from _field_paths(part, path)


def _models_in(annotation: object) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif get_origin(annotation) in (Union, UnionType, Annotated, list):
        for argument in get_args(annotation):
            yield from _models_in(argument)
