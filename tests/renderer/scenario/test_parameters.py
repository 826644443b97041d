"""Parameters of plugins that do not count, or not as they are written, are told with what counts instead."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from cpu_time import least_seconds
from ecg_renderer.scenario import Finding, PluginRules, Scenario, draft, prepare
from ecg_renderer.served import known_plugins

Caption = Callable[..., dict[str, Any]]
# Seconds of CPU time; comparing all with all took ten times as long.
SOON = 5
PLACE = "cues[0].root.children[0].pluginChain[0].params"
GLOW = {
    "color": {"type": "string", "default": "#00ffff"},
    "intensity": {"type": "number", "default": 0.4, "min": 0, "max": 1},
    "mode": {"type": "select", "enum": ["soft", "hard"]},
    "name": {"type": "string", "pattern": "(a+)+$"},
    "odd": 7,
    "halo": {"type": "object", "properties": {"size": {"type": "integer", "min": 1}}},
}


def told(raw: dict[str, Any], fetched: dict[str, dict[str, Any]] | None = None) -> list[Finding]:
    scenario: Scenario = draft(raw, duration=10.0).prepared(PluginRules(known_plugins(), "static", fetched))
    return list(scenario.findings)


@pytest.mark.parametrize(
    ("plugin", "params", "path", "problem"),
    [
        ("glow", {"cycles": 999}, ".cycles", "is 999, glow knows 1 to 120: 120 is used"),
        ("glow", {"cycles": "0.25"}, ".cycles", 'is "0.25", glow knows 1 to 120: 1 is used'),
        ("glow", {"cycles": "fast"}, ".cycles", 'is "fast", glow reads a number there: 8 is used'),
        ("glow", {"cycles": True}, ".cycles", "is true, glow reads a number there: 8 is used"),
        ("glow", {"cycles": "1e999"}, ".cycles", 'is "1e999", glow reads a number there: 8 is used'),
        ("glow", {"pulse": "no"}, ".pulse", 'is "no", glow reads true or false there: true is used'),
        ("glow", {"color": "brand"}, ".color", "'brand' is no colour: #00ffff is used"),
        ("glow@2.0.0", {"intensity": [1]}, ".intensity", "is [1], glow reads a number there: 0.4 is used"),
        ("spin", {"speed": 3}, ".speed", "is unknown to spin: it does not count"),
        ("spin", {"max speed": 3}, '["max speed"]', "is unknown to spin: it does not count"),
        ("cwi-loud", {"pulse": {"scale": 40}}, ".pulse.scale", "is 40, cwi-loud knows 1 to 6: 6 is used"),
        ("cwi-loud", {"pulse": {"size": 2}}, ".pulse.size", "is unknown to cwi-loud: it does not count"),
        ("cwi-loud", {"pulse": 2}, ".pulse", "is 2, cwi-loud reads an object there: it does not count"),
        ("cwi-color", {"speaker": 1}, ".speaker", "is 1, cwi-color reads text there: it does not count"),
        ("cwi-color", {"color": "brand"}, ".color", "'brand' is no colour: the effect goes without"),
        ("slideup", {"easeType": "hop"}, ".easeType", 'is "hop", slideup does not know that: power2.out is used'),
        (
            "fliptype",
            {"flipDirection": "up"},
            ".flipDirection",
            'is "up", fliptype knows horizontal, vertical: horizontal is used',
        ),
        ("typewriter", {"cursorChar": "too long a cursor"}, ".cursorChar", None),
        ("glow", "red", "", 'is "red", not an object: glow has what it has by itself'),
    ],
    ids=str,
)
def test_what_does_not_count_is_told_with_what_does(
    plugin: str, params: Any, path: str, problem: str | None, caption: Caption
) -> None:
    [found] = told(caption(word={"pluginChain": [{"name": plugin, "params": params}]}))
    assert found.path == PLACE + path
    assert problem in (None, found.problem)
    assert found.hint
    assert (found.cue, found.word) == ("c", "word")


@pytest.mark.parametrize(
    ("plugin", "params"),
    [
        ("glow", {"cycles": 120, "intensity": "0.5", "color": "", "pulse": False}),
        ("spin", {"fullTurns": "0x10"}),
        ("cwi-loud", {"speaker": "Ann", "palette": {"Ann": "#ffd400"}, "tremble": {"freq": 0}}),
        ("typewriter", {"cursorChar": "👨‍👩‍👧"}),
        ("fadein", {"ease": "elastic.inOut"}),
        ("bobY", {}),
    ],
    ids=str,
)
def test_what_counts_as_it_is_written_is_not_told(plugin: str, params: Any, caption: Caption) -> None:
    assert told(caption(word={"pluginChain": [{"name": plugin, "params": params}]})) == []


@pytest.mark.parametrize(
    ("params", "path", "problem"),
    [
        (
            {"intensity": 7},
            ".intensity",
            "is 7, glow@2.0.0 knows 0 to 1: what becomes of it is up to the plugin",
        ),
        ({"mode": "loud"}, ".mode", 'is "loud", glow@2.0.0 knows hard, soft: what becomes of it is up to the plugin'),
        (
            {"halo": {"size": 0}},
            ".halo.size",
            "is 0, glow@2.0.0 knows from 1: what becomes of it is up to the plugin",
        ),
        ({"intensty": 1}, ".intensty", "is unknown to glow@2.0.0: whether it counts is up to the plugin"),
        ({"color": "brand"}, ".color", "'brand' is no colour: the effect goes without"),
        ({"name": "a" * 60 + "!", "odd": 3}, "", ""),
    ],
    ids=str,
)
def test_the_manifest_of_a_plugin_from_an_origin_is_what_its_parameters_are_held_against(
    params: dict[str, Any], path: str, problem: str, caption: Caption
) -> None:
    found = told(caption(word={"pluginChain": [{"name": "glow", "params": params}]}), {"glow@2.0.0": GLOW})
    assert [(one.path, one.problem) for one in found] == ([(PLACE + path, problem)] if problem else [])


def test_a_plugin_from_an_origin_that_declares_nothing_reads_what_it_likes(caption: Caption) -> None:
    raw = caption(word={"pluginChain": [{"name": "sparks", "params": {"amount": "much", "cycles": -1}}]})
    assert told(raw, {"sparks@2.0.0": {}}) == []


def test_a_mistake_in_every_word_is_told_a_few_times_and_counted(caption: Caption) -> None:
    raw = caption()
    word = raw["cues"][0]["root"]["children"][0] | {"pluginChain": [{"name": "spin", "params": {"speed": 2}}]}
    raw["cues"][0]["root"]["children"] = [word | {"id": f"word-{number}"} for number in range(50)]
    warnings = prepare(raw, duration=10.0, known_plugins=known_plugins()).warnings
    assert len(warnings) == 4
    assert warnings[-1] == "parameters of spin: 47 more like this"


def test_an_integer_that_is_infinite_to_a_browser_is_no_number(caption: Caption) -> None:
    raw = caption(word={"pluginChain": [{"name": "glow", "params": {"cycles": "0x" + "f" * 300}}]})
    [finding] = told(raw)
    assert "glow reads a number there: 8 is used" in finding.problem


def test_a_bound_that_is_infinite_to_a_browser_is_none(caption: Caption) -> None:
    raw = caption(word={"pluginChain": [{"name": "glow", "params": {"size": 7}}]})
    [finding] = told(raw, {"glow@2.0.0": {"size": {"type": "number", "min": 10**400, "max": 5}}})
    assert "glow@2.0.0 knows up to 5" in finding.problem


def test_a_schema_of_an_origin_may_be_one_of_json_schema(caption: Caption) -> None:
    raw = caption(word={"pluginChain": [{"name": "glow", "params": {"intensity": 7, "mode": "soft", "sparks": 1}}]})
    found = told(raw, {"glow@2.0.0": {"type": "object", "properties": GLOW}})
    assert [finding.path for finding in found] == [f"{PLACE}.intensity", f"{PLACE}.sparks"]


@pytest.mark.parametrize(("names", "unknown", "words"), [(40_000, 20, 20), (150, 5_000, 1)], ids=["schema", "both"])
def test_however_much_strangers_declare_and_give_it_is_told_soon(
    names: int, unknown: int, words: int, caption: Caption
) -> None:
    schema = {f"parameter number {number}": {"type": "number"} for number in range(names)}
    raw = caption()
    chain = [{"name": "glow", "params": {f"parameter nummer {number}": 1 for number in range(unknown)}}]
    word = raw["cues"][0]["root"]["children"][0] | {"pluginChain": chain}
    raw["cues"][0]["root"]["children"] = [word | {"id": f"word-{number}"} for number in range(words)]
    found: list[Any] = []
    assert least_seconds(lambda: found.append(told(raw, {"glow@2.0.0": schema})), SOON) < SOON
    assert len(found[0]) == unknown * words


def test_a_list_of_choices_that_nobody_can_read_is_not_held_against_each_word(caption: Caption) -> None:
    raw = caption(word={"pluginChain": [{"name": "glow", "params": {"mode": "loud"}}]})
    assert told(raw, {"glow@2.0.0": {"mode": {"enum": [str(number) for number in range(40_000)]}}}) == []


def test_a_plugin_of_a_group_is_told_of_as_it_moves_none_of_its_texts(caption: Caption) -> None:
    [found] = told(caption(root={"pluginChain": [{"name": "pulse"}]}))
    assert (found.path, found.cue) == ("cues[0].root.pluginChain", "c")
    assert found.problem == "is on a group, where MotionText gives a plugin an empty element: its texts stand still"
    assert found.hint == "Give it to the texts in the group."
    assert told(caption(root={"pluginChain": []})) == []
