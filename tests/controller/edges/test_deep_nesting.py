"""Objects that are nested deeper than parsers go: what is too deep is cut, and nothing else."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import msgspec
import pytest

from ecg_cluster.nesting import LEVELS, parsed, shallow

DEEP = (LEVELS + 1, 600, 880, 900, 940, 960, 980, 1000, 2000, 9000)


def nested(levels: int) -> str:
    return "[" * levels + "]" * levels


@pytest.mark.parametrize(
    "text",
    ['{"a": [1, {"b": "]}[{"}], "c": "\\"[[[", "d\\\\": {}}', "[]", "7", nested(LEVELS), '"' + "[" * 400 + '"'],
)
def test_what_is_not_too_deep_stays_as_it_is(text: str) -> None:
    assert shallow(text.encode()) == text.encode()


def test_what_is_too_deep_is_cut_and_what_stands_beside_it_stays() -> None:
    text = f'{{"a": "[", "b": {nested(2000)}, "c": [{nested(9000)}, {{"d": "]"}}], "e": 1}}'
    found = json.loads(shallow(text.encode()))
    assert (found["a"], found["c"][1], found["e"]) == ("[", {"d": "]"}, 1)
    inner, levels = found["b"], 1
    while inner[0] is not None:
        inner, levels = inner[0], levels + 1
    assert levels == LEVELS - 1


@pytest.mark.parametrize("levels", DEEP)
def test_what_is_parsed_can_be_parsed_again_from_further_down(levels: int) -> None:
    text = nested(levels).encode()
    again = asyncio.run(parsed(lambda text: (text, msgspec.json.decode(text)), text))[0]
    for parse in (json.loads, msgspec.json.decode):
        _from_further_down(lambda parse=parse: parse(again), 60)  # type: ignore[misc]


def _from_further_down(ask: Any, frames: int) -> Any:
    return _from_further_down(ask, frames - 1) if frames else ask()
