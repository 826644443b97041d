"""Mistakes that a renderer puts right, each named in a warning; and what stays as it is."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import reduce
from typing import Any

import pytest

from ecg_renderer.scenario import Scenario, prepare
from ecg_renderer.served import known_plugins

PLUGINS = {name: known_plugins()[name] for name in ("cwi-color", "elastic", "fadein")}
FOREVER = 9007199254740991
WORD = ("cues", 0, "root", "children", 0)
Caption = Callable[..., dict[str, Any]]


def prepared(raw: dict[str, Any]) -> Scenario:
    return prepare(raw, duration=10.0, known_plugins=PLUGINS)


def at(data: Any, path: tuple[str | int, ...]) -> Any:
    return reduce(lambda value, key: value[key], path, data)


PALETTE = [{"name": "cwi-color", "params": {"palette": "define.speakerPalette"}}]


@pytest.mark.parametrize(
    ("changes", "path", "expected", "warning"),
    [
        (
            {"word": {"pluginChain": PALETTE}},
            (*WORD, "pluginChain", 0, "params", "palette"),
            {},
            "define.speakerPalette: is referred to but missing, {} was put there",
        ),
        (
            {"word": {"id": "r"}},
            (*WORD, "id"),
            "r-2",
            'cues[0].root.children[0].id: "r" is taken and became "r-2"',
        ),
        ({"cue": {"id": "a:b"}}, ("cues", 0, "id"), "a-b", 'cues[0].id: "a:b" holds a colon and became "a-b"'),
        ({"cue": {"id": 7}}, ("cues", 0, "id"), "7", None),
        ({"word": {"id": ""}}, (*WORD, "id"), "c.root[0]", None),
        (
            {"word": {"pluginChain": [{"pluginId": "fadein"}]}},
            (*WORD, "pluginChain"),
            [{"name": "fadein"}],
            'cues[0].root.children[0].pluginChain[0]: pluginId "fadein" was read as name',
        ),
        ({"word": {"pluginChain": [{"name": "fadein@2.0.0"}]}}, (*WORD, "pluginChain", 0, "name"), "fadein", None),
        (
            {"word": {"pluginChain": [{"name": "fadein@1.4.0"}]}},
            (*WORD, "pluginChain", 0, "name"),
            "fadein",
            "cues[0].root.children[0].pluginChain[0]: asks for fadein 1.4.0, the only version there was taken",
        ),
        ({"word": {"pluginChain": ["fadein", None]}}, (*WORD, "pluginChain"), [{"name": "fadein"}], None),
        (
            {"word": {"pluginChain": {"name": "fadein"}}},
            (*WORD, "pluginChain"),
            [{"name": "fadein"}],
            "cues[0].root.children[0].pluginChain: is one plugin, not a list, and was made a list",
        ),
        (
            {"word": {"pluginChain": [{"name": "fadein", "time_offset": "soon"}]}},
            (*WORD, "pluginChain", 0),
            {"name": "fadein"},
            "cues[0].root.children[0].pluginChain[0].time_offset: is not an offset and was dropped",
        ),
        ({"word": {"style": None}}, WORD, {"id": "w", "eType": "text", "text": "word"}, "style: is null"),
        (
            {"root": {"children": [None, {"id": "w", "eType": "text", "text": "b"}]}},
            ("cues", 0, "root", "children"),
            [{"id": "w", "eType": "text", "text": "b"}],
            None,
        ),
        (
            {"stage": {"baseAspect": "4:3", "safeArea": {"top": 0.1}}},
            ("stage",),
            {"baseAspect": "auto", "safeArea": {"top": 0.1}},
            'stage.baseAspect: "4:3" was replaced by "auto"',
        ),
        ({"stage": None}, ("stage", "baseAspect"), "auto", None),
        ({"timebase": {"unit": "seconds", "fps": 0}}, ("timebase",), {"unit": "seconds"}, "timebase.fps: 0 is not"),
        ({"timebase": None}, ("timebase",), {"unit": "seconds"}, None),
        (
            {"root": {"displayTime": [1, FOREVER]}, "cue": {"domLifetime": [-FOREVER, FOREVER]}},
            ("cues", 0, "root", "displayTime"),
            [1, 10.0],
            "cues[0].root.displayTime: [1, 9.0072e+15] was cut to [1, 10]",
        ),
        (
            {"root": {"displayTime": ["1", "2.5"]}, "cue": {"domLifetime": None}},
            ("cues", 0, "domLifetime"),
            [0.5, 3.0],
            None,
        ),
        (
            {"define": {"logo": {"type": "image", "url": "https://example.org/a.png"}}},
            ("define", "logo"),
            {"type": "image"},
            'define.logo.url: "https://example.org/a.png" was removed',
        ),
        (
            {"define": {"Font": {"type": "font", "url": "data:font/woff2;base64,AA"}}},
            ("define", "Font", "url"),
            "data:font/woff2;base64,AA",
            None,
        ),
        (
            {"word": {"eType": "image", "src": "/logo.png"}},
            WORD,
            {"id": "w", "eType": "image", "text": "word"},
            'cues[0].root.children[0].src: "/logo.png" was removed',
        ),
        (
            {"word": {"eType": None, "type": "text"}},
            (*WORD, "eType"),
            "text",
            "cues[0].root.children[0]: has no eType and was taken for text",
        ),
        (
            {"root": {"displayTime": None}},
            ("cues", 0, "root", "displayTime"),
            [1, 2],
            "cues[0]: says only [1, 2] and is shown for that time",
        ),
        ({"cue": {"track": None}}, ("cues", 0, "track"), "caption", 'cues[0]: names no track and was put on "caption"'),
        (
            {"word": {"text": "define."}},
            (*WORD, "text"),
            "\u2060define.",
            'cues[0].root.children[0].text: "define." names no text in define',
        ),
        ({"word": {"text": "define.hello"}, "define": {"hello": "Hello"}}, (*WORD, "text"), "Hello", None),
        ({"version": 2}, ("version",), "2.0", "version: is 2, the scenario was read as 2.0"),
        (
            {"word": {"baseTime": [1.8, 1.2], "pluginChain": [{"name": "fadein"}]}},
            (*WORD, "baseTime"),
            [1.8, 2],
            "cues[0].root.children[0].baseTime: ends at 1.2 s, before it starts at 1.8 s: taken to be [1.8, 2] s",
        ),
        ({"x-note": {"author": ["me", None]}, "cue": {"emotion": "joy"}}, ("x-note", "author", 0), "me", None),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_repair_leaves_what_motiontext_reads(
    changes: dict[str, Any],
    path: tuple[str | int, ...],
    expected: Any,
    warning: str | None,
    caption: Caption,
    look_at: Any,
) -> None:
    scenario = prepared(caption(**changes))
    assert at(scenario.data, path) == expected
    assert (warning is None) or any(warning in line for line in scenario.warnings), scenario.warnings
    json.dumps(scenario.data, allow_nan=False)
    assert look_at(scenario.data, [1.5])[0].cues == [scenario.cues[0].id]


def test_a_valid_scenario_passes_without_a_warning_and_unchanged(caption: Caption) -> None:
    raw = caption(
        word={"pluginChain": [{"name": "elastic", "params": {"overshoot": 1.5}, "timeOffset": ["0%", "-10%"]}]}
    )
    scenario = prepared(raw)
    assert scenario.data == raw
    assert scenario.warnings == ()
    assert scenario.plugins == {"elastic"}


def test_unknown_plugins_are_left_out(caption: Caption) -> None:
    raw = caption(word={"pluginChain": [{"name": "wave"}, {"name": "fadein"}, {"name": "pop@2.0.0"}]})
    scenario = prepare(raw, duration=10.0, known_plugins=PLUGINS)
    assert at(scenario.data, (*WORD, "pluginChain")) == [{"name": "fadein"}]
    assert scenario.plugins == {"fadein"}
    assert scenario.warnings == (
        'cues[0].root.children[0].pluginChain[0]: "wave" is not there: the text is shown without it (cue "c", "word")',
        'cues[0].root.children[0].pluginChain[2]: "pop" is not there: the text is shown without it (cue "c", "word")',
    )


def test_milliseconds_become_seconds_everywhere(caption: Caption) -> None:
    plugin = {
        "name": "fadein",
        "timeOffset": [-300, "50%"],
        "baseTime": [1200, 1400],
        "params": {"animationDuration": 9},
    }
    raw = caption(
        cue={"domLifetime": [900, 2100]},
        root={"displayTime": [1000, 2000]},
        word={"baseTime": [1100, 1500], "pluginChain": [plugin]},
        timebase={"unit": "ms"},
    )
    scenario = prepared(raw)
    word = at(scenario.data, WORD)
    assert word["baseTime"] == [1.1, 1.5]
    assert word["pluginChain"][0] == {
        "name": "fadein",
        "timeOffset": [-0.3, "50%"],
        "baseTime": [1.2, 1.4],
        "params": {"animationDuration": 9},
    }
    assert (scenario.cues[0].start, scenario.cues[0].end) == (1.0, 2.0)
    assert scenario.warnings == ("timebase.unit: times in ms were converted to seconds",)


def test_letters_that_were_lost_before_are_told(caption: Caption) -> None:
    raw = caption()
    raw["cues"][0]["root"]["children"][0]["text"] = "\ufffda\ufffd"
    [finding] = [finding for finding in prepared(raw).findings if finding.kind == "lost letter"]
    assert "2 times" in finding.problem


def test_captions_that_count_from_elsewhere_are_told_how_to_move_them(caption: Caption) -> None:
    [cue] = caption(root={"displayTime": [3601, 3602]}, cue={"domLifetime": None})["cues"]
    [finding] = [finding for finding in prepared(caption(cues=[cue])).findings if finding.kind == "no cues"]
    assert "-itsoffset" in finding.hint


def test_ids_are_unique_over_cues_and_nodes(caption: Caption) -> None:
    first, second = caption()["cues"][0], caption()["cues"][0]
    raw = caption(cues=[first, second, {**second, "id": "w"}])
    nodes = [(cue["id"], cue["root"]["id"], cue["root"]["children"][0]["id"]) for cue in prepared(raw).data["cues"]]
    assert nodes == [("c", "r", "w"), ("c-2", "r-2", "w-2"), ("w-3", "r-3", "w-4")]


@pytest.mark.parametrize(
    ("changes", "warning"),
    [
        ({"cues": []}, "cues: nothing to show"),
        ({"root": {"displayTime": [10, 12]}, "cue": {"domLifetime": None}}, "cues[0]: is shown from 10 to 12 s, out"),
        ({"root": {"displayTime": [-3, -1]}, "cue": {"domLifetime": None}}, "cues[0]: is shown from -3 to -1 s, out"),
        ({"cue": {"domLifetime": [5, 6]}}, "cues[0]: has no time at which anything is shown"),
        ({"root": {"displayTime": None}, "cue": {"domLifetime": None}}, "cues[0]: has no time at which"),
    ],
)
def test_a_video_without_visible_captions_is_fine(
    changes: dict[str, Any], warning: str, caption: Caption, look_at: Any
) -> None:
    scenario = prepared(caption(**changes))
    assert scenario.cues == ()
    assert scenario.data["cues"] == []
    assert any(warning in line for line in scenario.warnings)
    assert "cues: nothing to show: the video is rendered without captions" in scenario.warnings
    assert look_at(scenario.data, [1])[0].text == ""
