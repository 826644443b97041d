"""The options of a request: what clients leave out, write differently, or get wrong."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError
from pydantic.alias_generators import to_snake

from ecg_api.problems import describe
from ecg_api.renditions import NAME_PATTERN, check_addresses
from ecg_shim.model import RequestOptions

DEFAULTS: Mapping[str, Any] = {"width": 1920, "height": 1080, "fps": 30, "quality": 90, "format": "mp4"}
OTHER_NAMES = {"layout_mode": "layout", "container": "format"}
LONGEST_NAME = 63
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
    if "renditions" in named:
        values["renditions"] = _renditions(named["renditions"])
    if not gpu_encoding:
        values["encoder"] = "cpu"
    try:
        options = RequestOptions.model_validate(values)
        check_addresses(f"output.{options.format}", options.renditions)
    except ValidationError as error:
        raise InvalidOptions("; ".join(f"options.{line}" for line in describe(error, RequestOptions))) from error
    except ValueError as error:
        raise InvalidOptions(f"options.{error}") from error
    return options.model_copy(update={"width": _even(options.width), "height": _even(options.height)})


def _renditions(given: object) -> object:
    """Return renditions as a manifest has them: clients name a file, and the service decides where it lies."""
    if not isinstance(given, list):
        return given
    return [_rendition(one, f"options.renditions[{number}]") for number, one in enumerate(given)]


def _rendition(given: object, place: str) -> object:
    if not isinstance(given, dict):
        raise InvalidOptions(f"{place}: is not a mapping with the name of a file, such as vertical.mp4")
    named = {to_snake(name): value for name, value in given.items() if value is not None}
    name = named.pop("name", None)
    if "uri" in named:
        raise InvalidOptions(f"{place}.uri: the service decides where results lie; give a name, such as vertical.mp4")
    if not isinstance(name, str) or not re.fullmatch(NAME_PATTERN, name) or len(name) > LONGEST_NAME:
        raise InvalidOptions(f"{place}.name: is no name of a file, such as vertical.mp4 or captions.mov")
    if name.startswith("output."):
        raise InvalidOptions(f"{place}.name: {name} is what the video itself is called")
    return {**{field: _value(field, value) for field, value in named.items()}, "uri": name}


def _field(name: str) -> str:
    word = to_snake(name)
    return OTHER_NAMES.get(word, word)


def _value(name: str, value: object) -> object:
    """Return `value` in the type that its field has, where it only is written in another one."""
    if name in WHOLE:
        return _whole(value)
    if name == "fps":
        return value
    if name in ("live", "soft_subtitles"):
        return SWITCH.get(value.strip().lower(), value) if isinstance(value, str) else value
    return value.lower() if isinstance(value, str) else value


def _whole(value: object) -> object:
    if isinstance(value, str) and value.strip().isascii() and value.strip().isdigit() and len(value) < 10:
        return int(value)
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _even(side: int | None) -> int | None:
    return None if side is None else side + side % 2
