"""When a cue is alive, when its plugins run, and what a slice holds."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest

from ecg_renderer.model import FrameGrid, FrameRange
from ecg_renderer.planning import alive_frames
from ecg_renderer.scenario import CueSpan, FontUse, Scenario, canonical_hash, prepare
from ecg_renderer.scenario.times import plugin_window
from ecg_renderer.scenario.writing import families

Caption = Callable[..., dict[str, Any]]


def prepared(raw: dict[str, Any], duration: Fraction | float = 10.0) -> Scenario:
    return prepare(raw, duration=duration, known_plugins={"fadein": {}, "elastic": {}})


@pytest.mark.parametrize(
    ("offset", "window"),
    [
        (None, (2, 6)),
        (["0%", "100%"], (2, 6)),
        (["0%", "0%"], (2, 4)),
        ([-0.3, 0.3], (1.7, 4.3)),
        (["0%", "-10%"], (2, 3.8)),
        ([" 0.5 ", "1e-1s"], (2.5, 4.1)),
        (["half", "none%"], (2, 4)),
        ([1], (3, 4)),
        ("soon", (2, 6)),
        ([[], {}], (2, 4)),
        ([3, 0], (5, 4)),
    ],
    ids=str,
)
def test_each_offset_moves_its_own_end_of_the_base_time(offset: object, window: tuple[float, float]) -> None:
    assert plugin_window([2, 4], offset) == pytest.approx(window)


@pytest.mark.parametrize(
    ("changes", "span", "animated"),
    [
        ({}, (1, 2), ()),
        ({"cue": {"domLifetime": [1.2, 1.5]}}, (1.2, 1.5), ()),
        ({"cue": {"domLifetime": None}, "root": {"displayTime": [-1, 2]}}, (0, 2), ()),
        ({"cue": {"domLifetime": None}, "root": {"displayTime": [9, 30]}}, (9, 10), ()),
        ({"word": {"displayTime": [1.5, 1.8]}}, (1, 2), ()),
        ({"word": {"displayTime": [1.5, 2.8]}, "cue": {"domLifetime": [1, 3]}}, (1, 2.8), ()),
        ({"word": {"pluginChain": [{"name": "fadein", "timeOffset": [0, 0]}]}}, (1, 2), ((1, 2),)),
        (
            {"word": {"baseTime": [1.4, 1.6], "pluginChain": [{"name": "fadein", "timeOffset": [-0.1, 0.1]}]}},
            (1, 2),
            ((1.3, 1.7),),
        ),
        (
            {"word": {"pluginChain": [{"name": "fadein", "baseTime": [1.1, 1.2], "timeOffset": [0, 0]}]}},
            (1, 2),
            ((1.1, 1.2),),
        ),
        (
            {
                "word": {
                    "pluginChain": [
                        {"name": "fadein", "timeOffset": [0, -0.6]},
                        {"name": "elastic", "timeOffset": [0.3, -0.5]},
                        {"name": "elastic", "timeOffset": [0.9, 5]},
                    ]
                }
            },
            (1, 2),
            ((1, 1.5), (1.9, 2)),
        ),
        ({"word": {"pluginChain": [{"name": "fadein", "timeOffset": [5, 5]}]}}, (1, 2), ()),
        ({"root": {"pluginChain": [{"name": "fadein", "timeOffset": ["50%", "0%"]}]}}, (1, 2), ((1.5, 2),)),
    ],
    ids=str,
)
def test_a_span_holds_the_cue_and_its_plugins(
    changes: dict[str, Any], span: tuple[float, float], animated: tuple[Any, ...], caption: Caption
) -> None:
    (cue,) = prepared(caption(**changes)).cues
    assert (cue.start, cue.end) == pytest.approx(span)
    assert cue.animated == tuple(pytest.approx(window) for window in animated)


def test_a_cue_that_runs_over_the_end_keeps_its_times_and_is_named(caption: Caption) -> None:
    raw = caption(cue={"domLifetime": [0, 99]}, root={"displayTime": [1, 30]})
    scenario = prepared(raw, Fraction(30030, 1001) / 10)
    assert scenario.cues == (CueSpan(0, "c", 1.0, 3.0, (), changes=(1.0, 3.0)),)
    assert scenario.data["cues"][0]["root"]["displayTime"] == [1, 30]
    assert scenario.warnings == ('cues[0]: ends at 30 s and was cut to the video\'s 3 s (cue "c")',)


def three(caption: Caption, **fields: Any) -> dict[str, Any]:
    def cue(name: str, start: float, end: float, track: str) -> dict[str, Any]:
        word = {"id": f"{name}-word", "eType": "text", "text": name}
        return {"id": name, "track": track, "root": {**word, "displayTime": [start, end]}}

    tracks = [{"id": "caption", "type": "subtitle"}, {"id": "overlay", "type": "free"}]
    cues = [cue("one", 1, 2, "caption"), cue("long", 1.5, 8, "overlay"), cue("late", 6, 7, "caption")]
    return caption(cues=cues, tracks=tracks, **fields)


@pytest.mark.parametrize(
    ("start", "end", "names", "tracks"),
    [
        (0, 0.9, [], []),
        (0, 1, ["one"], ["caption"]),
        (1.9, 3, ["one", "long"], ["caption", "overlay"]),
        (2, 3, ["long"], ["overlay"]),
        (2.1, 5.9, ["long"], ["overlay"]),
        (5, 10, ["long", "late"], ["caption", "overlay"]),
        (Fraction(799, 100), Fraction(9), ["long"], ["overlay"]),
        (8, 9, [], []),
    ],
)
def test_a_slice_holds_the_cues_that_can_be_seen_in_their_order(
    start: Any, end: Any, names: list[str], tracks: list[str], caption: Caption
) -> None:
    part = prepared(three(caption)).slice(start, end)
    assert [cue["id"] for cue in part["cues"]] == names
    assert [track["id"] for track in part["tracks"]] == tracks


def test_a_cue_that_is_sampled_at_its_very_end_is_in_the_slice(caption: Caption) -> None:
    raw = three(caption)
    raw["cues"][0]["root"]["displayTime"] = [1, 4.300501]  # the double may lie on either side of 43/10 + 501/10^6
    assert "one" in [cue["id"] for cue in prepared(raw).slice(Fraction(43, 10), Fraction(5))["cues"]]


@pytest.mark.parametrize(
    ("base", "frame", "kept"),
    [
        ([1.21, 1.23], 37, False),
        ([1.22, 1.22], 37, False),
        ([1.2, 1.2], 36, False),
        ([1.21, 1.24], 37, True),
        ([1.2, 1.21], 36, True),
        ([1.999, 1.9999], 60, False),
    ],
    ids=str,
)
def test_a_plugin_between_two_frames_is_given_the_later_one(
    base: list[float], frame: int, kept: bool, caption: Caption
) -> None:
    def at_30(raw: dict[str, Any]) -> Scenario:
        return prepare(raw, duration=10, rate=Fraction(30), known_plugins={"fadein": {}})

    chain = [{"name": "fadein", "baseTime": base, "timeOffset": [0, 0]}]
    once = at_30(caption(word={"pluginChain": chain}))

    plugin = once.data["cues"][0]["root"]["children"][0]["pluginChain"][0]
    window = plugin_window(plugin["baseTime"], plugin["timeOffset"])
    assert alive_frames(*window, FrameGrid(Fraction(30), 300)) == FrameRange(frame, frame + 1)
    assert (plugin["baseTime"] == base) == kept
    assert at_30(once.data).data == once.data


def test_a_plugin_that_ends_before_it_starts_never_runs_at_any_rate(caption: Caption) -> None:
    raw = caption(word={"pluginChain": [{"name": "fadein", "timeOffset": [0.51, -0.5]}]})
    assert prepare(raw, duration=10, rate=Fraction(30), known_plugins={"fadein": {}}).cues[0].animated == ()


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({}, True),
        ({"createdAt": "today"}, True),
        ({"define": {"unused": 3}}, True),
        ({"define": {"F": {"type": "font", "url": "data:font/woff2;base64,AA"}}}, False),
        ({"stage": {"baseAspect": "9:16"}}, False),
    ],
    ids=str,
)
def test_only_what_can_change_the_picture_changes_the_hash_of_a_slice(
    change: dict[str, Any], same: bool, caption: Caption
) -> None:
    before = canonical_hash(prepared(three(caption)).slice(2.1, 5))
    assert (canonical_hash(prepared(three(caption, **change)).slice(2.1, 5)) == before) == same


def test_a_change_in_one_cue_changes_the_hash_only_where_it_can_be_seen(caption: Caption) -> None:
    raw = three(caption)
    before = prepared(raw)
    raw["cues"][2]["root"]["text"] = "LATE"
    after = prepared(raw)
    assert canonical_hash(before.slice(0, 5.9)) == canonical_hash(after.slice(0, 5.9))
    assert canonical_hash(before.slice(0, 6)) != canonical_hash(after.slice(0, 6))


def test_the_hash_is_that_of_sorted_json_and_takes_2_0_for_2() -> None:
    written = r'{"a":[1,"\u00e9"],"b":{}}'
    expected = hashlib.sha256(written.encode()).hexdigest()
    assert canonical_hash({"b": {}, "a": [1.0, "é"]}) == expected
    assert canonical_hash({"b": {}, "a": [1.5, "é"]}) != expected


def test_prepared_data_prepared_again_is_the_same(sample: Callable[[str], bytes]) -> None:
    for name in ("editor", "valid", "version_1_3", "flat"):
        known = {plugin: {} for plugin in ("cwi-color", "cwi-loud", "fadein", "elastic")}
        once = prepare(sample(name), duration=5.0, known_plugins=known)
        again = prepare(json.dumps(once.data), duration=5.0, known_plugins=known)
        assert again.data == once.data
        assert again.cues == once.cues


@pytest.mark.parametrize(
    ("css", "names"),
    [
        ("Arial, sans-serif", ("Arial", "sans-serif")),
        ("'Noto Sans KR', \"A, B\" ,serif", ("Noto Sans KR", "A, B", "serif")),
        ("  Black Han Sans  ", ("Black Han Sans",)),
        ("", ()),
        (None, ()),
        (",,", ()),
    ],
)
def test_families_are_read_as_css_reads_them(css: object, names: tuple[str, ...]) -> None:
    assert families(css) == names


def test_fonts_are_those_of_the_texts_with_their_characters(caption: Caption) -> None:
    track = {"id": "caption", "type": "subtitle", "defaultStyle": {"fontFamily": "Jua", "fontSizeRel": 0.05}}
    children = [
        {"id": "1", "eType": "text", "text": "가나"},
        {"id": "2", "eType": "text", "text": "나ab", "style": {"fontWeight": 900}},
        {
            "id": "3",
            "eType": "group",
            "style": {"fontFamily": "Arial, serif"},
            "children": [{"id": "4", "eType": "text", "text": 42}],
        },
    ]
    scenario = prepared(caption(tracks=[track], root={"children": children}))
    assert scenario.fonts == (
        FontUse(("Arial", "serif"), "normal", "24"),
        FontUse(("Jua",), "900", "ab나"),
        FontUse(("Jua",), "normal", "가나"),
    )


def test_text_without_any_size_is_bold_as_in_motiontext(caption: Caption) -> None:
    assert prepared(caption()).fonts == (FontUse((), "bold", "dorw"),)
