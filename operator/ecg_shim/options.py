"""The options of a request: what clients leave out, write differently, or get wrong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError
from pydantic.alias_generators import to_snake

from ecg_api.problems import describe
from ecg_shim.model import RequestOptions

DEFAULTS: Mapping[str, Any] = {"width": 1920, "height": 1080, "fps": 30, "quality": 90, "format": "mp4"}
OTHER_NAMES = {"layout_mode": "layout", "container": "format"}
SWITCH = {"true": True, "false": False}
WHOLE = ("width", "height", "quality")


class InvalidOptions(ValueError):
    """Options that no render can have; the text names each one and its bounds."""


def render_options(given: Mapping[str, Any], *, gpu_encoding: bool = True, layout: str = "viewport") -> RequestOptions:
    """Return what to render with: what the client gave, the service's defaults, such as `layout`, for the rest.

    Names may be in camelCase or snake_case; unknown ones and nulls are passed over. Numbers may be text. Odd sizes
    become even, as the pixel format of most players needs. Raises InvalidOptions.
    """
    named = {_field(name): value for name, value in given.items() if value is not None}
    known = {name: _value(name, value) for name, value in named.items() if name in RequestOptions.model_fields}
    values = {**DEFAULTS, "layout": layout, **known}
    if not gpu_encoding:
        values["encoder"] = "cpu"
    try:
        options = RequestOptions.model_validate(values)
    except ValidationError as error:
        raise InvalidOptions("; ".join(f"options.{line}" for line in describe(error, RequestOptions))) from error
    return options.model_copy(update={"width": _even(options.width), "height": _even(options.height)})


def _field(name: str) -> str:
    word = to_snake(name)
    return OTHER_NAMES.get(word, word)


def _value(name: str, value: object) -> object:
    """Return `value` in the type that its field has, where it only is written in another one."""
    if name in WHOLE:
        return _whole(value)
    if name == "fps":
        return value
    if name == "live":
        return SWITCH.get(value.strip().lower(), value) if isinstance(value, str) else value
    return value.lower() if isinstance(value, str) else value


def _whole(value: object) -> object:
    if isinstance(value, str) and value.strip().isascii() and value.strip().isdigit() and len(value) < 10:
        return int(value)
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _even(side: int | None) -> int | None:
    return None if side is None else side + side % 2
