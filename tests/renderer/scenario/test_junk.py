"""Anything may stand anywhere in a scenario: either MotionText plays what comes out, or the error names a place."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any

import pytest

from ecg_renderer.errors import ScenarioError
from ecg_renderer.scenario import Scenario, prepare
from ecg_renderer.served import known_plugins

PLUGINS = {name: known_plugins()[name] for name in ("cwi-color", "cwi-loud", "fadein", "elastic")}
JUNK: list[Any] = [
    None, True, False, 0, -1, 1.5, 1e308, "", "text", "define.caption", "define.", "group", "1", [], {}, [None],
    [1, 2], [2, 1], [0, "x"], [[1, 2]], {"start": 1, "end": 2}, {"name": "fadein"}, ["fadein"], {"id": "w"},
]  # fmt: skip
PER_SAMPLE = 400
PLAYED_PER_SAMPLE = 15


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield every (container, key) in a tree."""
    for key, item in list(value.items() if isinstance(value, dict) else enumerate(value)):
        yield value, key
        if isinstance(item, dict | list):
            yield from places(item)


def broken(original: dict[str, Any], dice: random.Random) -> dict[str, Any]:
    scenario = {**deepcopy(original), "note": "always there"}
    for _ in range(dice.choice([1, 1, 2])):
        container, key = dice.choice(list(places(scenario)))
        change = dice.random()
        if change < 0.15:
            del container[key]
        elif change < 0.25 and isinstance(container, dict):
            container[dice.choice(list(container))] = deepcopy(container[key])
        else:
            container[key] = deepcopy(dice.choice(JUNK))
    return scenario


def prepared_or_refused(raw: dict[str, Any]) -> Scenario | None:
    try:
        return prepare(raw, duration=5.0, known_plugins=PLUGINS, origin="junk")
    except ScenarioError as error:
        assert error.message.startswith("junk: ")
        assert len(error.message) < 700
        return None


@pytest.mark.parametrize("name", ["editor", "valid", "version_1_3", "flat"])
def test_junk_is_played_or_refused(name: str, sample: Callable[[str], bytes], look_at: Any) -> None:
    dice = random.Random(name)
    original = json.loads(sample(name))
    outcomes = [prepared_or_refused(broken(original, dice)) for _ in range(PER_SAMPLE)]
    survivors = [scenario for scenario in outcomes if scenario is not None]
    assert PER_SAMPLE / 10 < len(survivors) < PER_SAMPLE
    for scenario in survivors:
        json.dumps(scenario.data, allow_nan=False)
        assert scenario.slice(0, 5)["cues"] == scenario.data["cues"]
    for scenario in dice.sample(survivors, PLAYED_PER_SAMPLE):
        for look in look_at(scenario.data, [n / 5 for n in range(25)]):
            assert set(look.cues) <= {cue.id for cue in scenario.cues if cue.start <= look.time <= cue.end}
