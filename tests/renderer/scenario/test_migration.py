"""Version 1 and flat scenarios: the same times, places and looks, said in the words of 2.0."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ecg_renderer.scenario import Scenario, prepare

FOREVER = 9007199254740991


def prepared(raw: bytes | dict[str, Any]) -> Scenario:
    return prepare(raw, duration=5.0, known_plugins={"cwi-color": {}, "elastic": {}, "fadein": {}})


def text(**fields: Any) -> dict[str, Any]:
    return {"e_type": "text", "text": "word", "layout": {"position": {"x": 0.5, "y": 0.5}}, **fields}


def migrated_root(root: dict[str, Any], **cue: Any) -> dict[str, Any]:
    data = prepared({"version": "1.3", "cues": [{"id": "c", "root": root, **cue}]}).data
    return dict(data["cues"][0]["root"])


@pytest.mark.parametrize(
    ("plugin", "offset", "window"),
    [
        ({"relStartPct": 0, "relEndPct": 1}, [0, 0], (1.0, 3.0)),
        ({}, [0, 0], (1.0, 3.0)),
        ({"relStartPct": 0.25, "relEndPct": 0.75}, ["25%", "-25%"], (1.5, 2.5)),
        ({"relStartPct": 0.1}, ["10%", 0], (1.2, 3.0)),
        ({"relStart": -0.5, "relEnd": 0.25}, [-0.5, 0.25], (1.0, 3.0)),
        ({"relStart": 0.5, "relEnd": -0.25}, [0.5, -0.25], (1.5, 2.75)),
        ({"params": {"t0": 0.5, "t1": 1}, "relStartPct": 0, "relEndPct": 1}, [0, 0], (1.5, 2.0)),
        ({"timeOffset": ["0%", "0%"], "relStart": 1}, ["0%", "0%"], (1.0, 3.0)),
    ],
    ids=str,
)
def test_a_plugin_runs_when_it_did(plugin: dict[str, Any], offset: list[Any], window: tuple[float, float]) -> None:
    node = text(absStart=1, absEnd=3, pluginChain=[{"name": "fadein", **plugin}])
    scenario = prepared({"version": "1.3", "cues": [{"id": "c", "root": node}]})
    migrated = scenario.data["cues"][0]["root"]["pluginChain"][0]
    assert migrated["timeOffset"] == offset
    assert not {"relStart", "relEnd", "relStartPct", "relEndPct"} & set(migrated)
    assert scenario.cues[0].animated == (pytest.approx(window),)


@pytest.mark.parametrize(
    ("cue", "root", "shown", "lifetime"),
    [
        ({}, {"children": [text(absStart=1, absEnd=2), text(absStart=1.5, absEnd=3)]}, [1, 3], [0.5, 3.5]),
        ({"hintTime": {"start": 0.5, "end": 4}}, {"children": [text(absStart=1, absEnd=2)]}, [1, 2], [0.5, 4]),
        ({"hintTime": [1.2, 1.5]}, {"children": [text(absStart=1, absEnd=2)]}, [1, 2], [1, 2]),
        ({"hintTime": {"start": 1, "end": 2}}, {"children": [text()]}, [1, 2], [1, 2]),
        ({"hintTime": 1}, {"absStart": 1, "absEnd": 4, "children": [text()]}, [1, 4], [0.5, 4.5]),
        ({"hintTime": {"start": 1, "end": FOREVER}}, {"children": [text(absStart=2)]}, [2, 5.0], [1, 5.0]),
    ],
    ids=str,
)
def test_a_group_is_there_while_what_it_holds_is(
    cue: dict[str, Any], root: dict[str, Any], shown: list[float], lifetime: list[float]
) -> None:
    raw = {"version": "1.3", "cues": [{"id": "c", **cue, "root": {"e_type": "group", **root}}]}
    migrated = prepared(raw).data["cues"][0]
    assert migrated["root"]["displayTime"] == shown
    assert migrated["domLifetime"] == lifetime
    assert "hintTime" not in migrated


@pytest.mark.parametrize(
    ("layout", "expected"),
    [
        ({"position": [0.5, 0.3]}, {"position": {"x": 0.5, "y": 0.3}}),
        ({"position": [0.1, 0.9], "transform": {"anchor": [0, 1]}}, {"anchor": "bl"}),
        ({"position": [0.1, 0.9], "transform": {"anchor": [0.5, 0.5]}}, {"anchor": "cc"}),
        ({"position": [0.1, 0.9], "transform": {"anchor": [1, 0]}}, {"anchor": "tr"}),
        ({"position": [0.1, 0.9], "transform": {"anchor": ["a", 0]}}, {"position": {"x": 0.1, "y": 0.9}}),
        ({"position": [0.1, 0.9], "anchor": "tl", "transform": {"anchor": [1, 1]}}, {"anchor": "tl"}),
        ({}, {"position": {"x": 0.5, "y": 0.925}, "anchor": "bc"}),
    ],
    ids=str,
)
def test_a_place_given_as_a_list_is_kept(layout: dict[str, Any], expected: dict[str, Any]) -> None:
    root = migrated_root(text(absStart=1, absEnd=2, layout=layout))
    assert expected.items() <= root["layout"].items()


def test_a_plugin_that_is_written_as_a_style_runs() -> None:
    root = migrated_root(text(absStart=1, absEnd=2, style={"plugin": "elastic", "options": {"overshoot": 2}}))
    assert root["pluginChain"] == [{"name": "elastic", "params": {"overshoot": 2}, "timeOffset": [0, 0]}]


def test_the_sample_of_version_1_3_comes_out_whole(sample: Callable[[str], bytes]) -> None:
    scenario = prepared(sample("version_1_3"))
    first, second, sticker, last = scenario.data["cues"]
    assert scenario.data["version"] == "2.0"
    assert [track["id"] for track in scenario.data["tracks"]] == ["editor", "subtitle"]
    assert first["root"]["children"][0]["style"]["color"] == "#ffffff"
    assert first["domLifetime"] == [0.5, 2.0]
    assert second["root"]["children"][0]["text"] == "letter by letter"
    assert second["root"]["children"][0]["pluginChain"][0] == {
        "name": "cwi-color",
        "params": {"color": "#ffffff"},
        "baseTime": [2.75, 3.5],
        "timeOffset": [0, 0],
    }
    assert second["root"]["children"][0]["pluginChain"][2]["timeOffset"] == [-0.1, 0.2]
    assert sticker["root"]["displayTime"] == [3.0, 5.0]
    assert "src" not in sticker["root"]
    assert last["root"]["style"]["fontSize"] == "30px"
    assert last["track"] == "editor"
    assert not any("e_type" in node for node in (first["root"], second["root"], sticker["root"], last["root"]))


def test_the_flat_sample_becomes_captions_in_a_box(sample: Callable[[str], bytes]) -> None:
    scenario = prepared(sample("flat"))
    cue = scenario.data["cues"][0]
    box = cue["root"]["children"][0]
    assert (cue["id"], cue["track"], cue["speaker"], cue["emotion"]) == ("cue-1", "caption", "Ada", "happy")
    assert cue["root"]["style"] == {"fontSize": "28px", "color": "#ffee00", "fontFamily": "Arial"}
    assert box["boxStyle"]["backgroundColor"] == "#000000"
    assert box["boxStyle"]["borderRadius"] == "4px"
    assert box["children"][0]["text"] == "Hello there"
    assert scenario.data["cues"][1]["root"]["style"] == {"whiteSpace": "pre-line"}
    assert [(span.start, span.end, span.animated) for span in scenario.cues] == [(0.5, 2.0, ()), (2.2, 4.0, ())]


@pytest.mark.parametrize("version", ["2.0", "1.0", 1.3, None])
def test_flat_cues_are_read_under_any_version(version: object) -> None:
    raw = {"version": version, "cues": [{"id": "x", "text": "hi", "startTime": "0.5", "endTime": 1}]}
    scenario = prepared(raw)
    assert (scenario.cues[0].id, scenario.cues[0].start, scenario.cues[0].end) == ("x", 0.5, 1.0)


def test_a_2_0_scenario_keeps_fields_of_version_1_as_they_are() -> None:
    root = {"id": "r", "eType": "text", "text": "t", "displayTime": [1, 2], "absStart": 9, "absEnd": 8}
    raw = {"version": "2.0", "tracks": [{"id": "a"}], "cues": [{"id": "c", "track": "a", "hintTime": 4, "root": root}]}
    scenario = prepared(raw)
    assert scenario.data["cues"][0]["root"] == root
    assert scenario.data["cues"][0]["hintTime"] == 4
