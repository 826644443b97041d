"""Mistakes that only the author can correct: an error with the path, the numbers, and the way out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ecg_renderer.errors import ScenarioError
from ecg_renderer.scenario import prepare
from ecg_renderer.served import known_plugins

PLUGINS = {name: known_plugins()[name] for name in ("cwi-color", "cwi-loud", "elastic", "fadein")}
Caption = Callable[..., dict[str, Any]]


def chain(*plugins: Any) -> dict[str, Any]:
    return {"word": {"pluginChain": list(plugins)}}


@pytest.mark.parametrize(
    ("changes", "message", "hint"),
    [
        ({"root": {"displayTime": [1]}}, "cues[0].root.displayTime: must be [start, end] in seconds", ""),
        ({"root": {"displayTime": [None, 2]}}, "cues[0].root.displayTime: has no start", ""),
        ({"root": {"displayTime": [1, "soon"]}}, "cues[0].root.displayTime: the end 'soon' is not a number", ""),
        ({"root": {"displayTime": [1, True]}}, "cues[0].root.displayTime: the end 'True' is not a number", ""),
        (
            {"word": {"baseTime": "1", "pluginChain": [{"name": "fadein"}]}},
            "cues[0].root.children[0].baseTime: must be [start, end] in seconds",
            "",
        ),
        ({"cue": {"track": "captoin"}}, 'cues[0].track: no track is called "captoin" (there: caption)', '"caption"'),
        ({"tracks": []}, 'cues[0].track: no track is called "caption" (there: none)', ""),
        ({"tracks": [{"id": "caption"}, {"id": "caption"}]}, 'tracks[1].id: "caption" is the id of another', ""),
        ({"tracks": [{"type": "free"}]}, "tracks[0].id: is missing", ""),
        ({"tracks": ["caption"]}, "tracks[0]: must be an object, not 'caption'", ""),
        (
            chain({"name": "fadein"}, {"name": "fadeIn2"}),
            'cues[0].root.children[0].pluginChain[1]: no plugin is called "fadeIn2" '
            "(there: cwi-color, cwi-loud, elastic, fadein)",
            'Did you mean "fadein"?',
        ),
        (chain({"name": "wave@2.0.0"}), 'no plugin is called "wave"', "spec.options.unknownPlugins"),
        (chain({"params": {}}), "pluginChain[0]: names no plugin", "name"),
        (chain(3), "pluginChain[0]: must be an object with a name, not '3'", ""),
        ({"word": {"pluginChain": 3}}, "pluginChain: must be a list of plugins", ""),
        ({"cue": {"root": "text"}}, "cues[0].root: must be an object, not 'text'", ""),
        ({"cue": {"root": None}}, "cues[0]: has neither a root nor a text", ""),
        ({"root": {"children": {}}}, "cues[0].root.children: must be a list", ""),
        ({"root": {"children": ["text"]}}, "cues[0].root.children[0]: must be an object, not 'text'", ""),
        (
            {"word": {"style": "define.lok"}, "define": {"look": {}}},
            'cues[0].root.children[0].style: refers to "define.lok", which is not in define (there: look)',
            'Did you mean "define.look"?',
        ),
        ({"word": {"style": "define."}}, 'refers to "define."', ""),
        ({"word": {"style": "define.a.b"}, "define": {"a": {"c": 1}}}, 'refers to "define.a.b"', ""),
        (
            {"define": {"a": "define.b", "b": ["define.c"], "c": {"x": "define.a"}}},
            "refers to itself in a circle: a -> b -> c -> a",
            "",
        ),
        ({"define": []}, "define: must be an object", ""),
        ({"define": {"unused": "define.missing"}}, 'define.unused: refers to "define.missing"', ""),
        ({"timebase": {"unit": "frames"}}, 'timebase.unit: "frames" is not a unit of time', '"seconds" or "ms"'),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_mistake_is_refused_with_its_path(changes: dict[str, Any], message: str, hint: str, caption: Caption) -> None:
    with pytest.raises(ScenarioError) as caught:
        prepare(caption(**changes), duration=10.0, known_plugins=PLUGINS, unknown_plugins="fail")
    assert message in caught.value.message
    assert hint in caught.value.hint


def test_references_that_expand_without_end_are_refused() -> None:
    define: dict[str, Any] = {"level0": ["x" * 100] * 10}
    for level in range(1, 12):
        define[f"level{level}"] = [f"define.level{level - 1}"] * 10
    with pytest.raises(ScenarioError, match="expand to more than 20,000,000 characters"):
        prepare({"version": "2.0", "cues": [], "define": define}, duration=1.0, known_plugins={})


def test_a_chain_of_references_that_nests_without_end_is_refused() -> None:
    define: dict[str, Any] = {"link0": {}}
    for link in range(1, 3000):
        define[f"link{link}"] = {"next": f"define.link{link - 1}"}
    raw = {"version": "2.0", "cues": [], "define": dict(reversed(define.items()))}
    with pytest.raises(ScenarioError, match="nested deeper than 100 levels"):
        prepare(raw, duration=1.0, known_plugins={})


@pytest.mark.parametrize(
    ("version", "cue", "message"),
    [
        ("1.3", {"root": {"e_type": "group", "children": []}}, "cues[0]: has no time"),
        ("1.3", {"hintTime": {"start": 3, "end": 1}, "root": {"e_type": "text"}}, "cues[0].hintTime: ends at 1 s"),
        ("1.3", {"root": {"e_type": "text", "absStart": 1}}, "cues[0].root (absStart, absEnd): has no end"),
        ("1.0", {"text": "flat", "end": 2}, "cues[0] (start, end): has no start"),
        ("1.0", {"text": "flat", "start": "soon", "end": 2}, "cues[0] (start, end): the start 'soon' is not a number"),
        ("1.0", {"text": ["flat"], "start": 1, "end": 2}, "cues[0].text: must be text"),
        ("2.0", {"track": "caption"}, "cues[0]: has neither a root nor a text"),
    ],
)
def test_an_older_cue_without_a_time_is_refused(version: str, cue: dict[str, Any], message: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        prepare({"version": version, "cues": [cue]}, duration=10.0, known_plugins=PLUGINS)
    assert message in caught.value.message
