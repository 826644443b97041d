"""Texts, families, colours, and the order of words."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from ecg_renderer.scenario import Scenario, prepare
from ecg_renderer.scenario.css import is_colour, is_invisible, readable_families
from ecg_renderer.scenario.flat import balanced_lines, text_width

Caption = Callable[..., dict[str, Any]]


def prepared(raw: dict[str, Any]) -> Scenario:
    return prepare(raw, duration=10.0, known_plugins={"cwi-color": {}})


@pytest.mark.parametrize(
    ("text", "expected"),
    [(0, "0"), (15, "15"), (-1.5, "-1.5"), (2026.0, "2026"), (True, "true"), (False, "false"), ("", ""), ("0", "0")],
    ids=repr,
)
def test_numbers_are_text(text: object, expected: str, caption: Caption, look_at: Any) -> None:
    scenario = prepared(caption(word={"text": text}))
    assert look_at(scenario.data, [1.5])[0].text == expected
    flat = prepared({"cues": [{"text": text, "start": 1, "end": 2}]})
    assert look_at(flat.data, [1.5])[0].text == expected


def test_control_characters_are_left_out_and_named(caption: Caption) -> None:
    for raw in (caption(word={"text": "a\x07b\x00\nc\t"}), {"cues": [{"text": "a\x07b\nc\t", "start": 1, "end": 2}]}):
        scenario = prepared(raw)
        assert "\x07" not in json.dumps(scenario.data).encode().decode("unicode_escape")
        assert sum("had control characters" in line for line in scenario.warnings) == 1


@pytest.mark.parametrize(
    ("name", "hint"),
    [("fontStyle", "Leave it out."), ("font-size", 'Did you mean "fontSize"?'), ("colour", 'Did you mean "color"?')],
)
def test_a_property_that_is_no_slip_for_another_is_not_taken_for_one(name: str, hint: str, caption: Caption) -> None:
    raw = caption()
    raw["cues"][0]["root"]["children"][0]["style"] = {name: "italic"}
    [finding] = [found for found in prepared(raw).findings if found.kind == "property of a style"]
    assert finding.hint == hint


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ({"style": {"colour": "red"}}, "style.colour: is nothing that MotionText reads there: it does not count"),
        ({"style": {"opacity": 0}}, "style.opacity: is nothing that MotionText reads there: it does not count"),
        (
            {"boxStyle": {"padding": "4px"}},
            "boxStyle.padding: is nothing that MotionText reads there: it does not count",
        ),
        ({"style": "color: red"}, "style: is 'color: red', not an object: it does not count"),
        ({"layout": "bottom"}, "layout: is 'bottom', not an object: it does not count"),
        (
            {"style": {"color": "#ff000000"}},
            "'#ff000000' is transparent: only the shadow of the text is seen, but where a plugin",
        ),
        ({"style": {"color": "#ff0000", "fontFamily": ["Arial", "Exo"]}}, ""),
        ({"eType": "txt"}, "'txt' is no eType, and was taken for text"),
        ({"children": [{"eType": "text", "text": "b"}]}, "only a group shows what stands in it: they are not shown"),
    ],
    ids=str,
)
def test_what_would_not_be_seen_in_silence_is_told(word: dict[str, Any], told: str, caption: Caption) -> None:
    warnings = prepared(caption(word=word)).warnings
    assert [told in line for line in warnings] == ([True] if told else [])


@pytest.mark.parametrize(
    ("field", "value", "path"),
    [
        ("style", {"fontSizeRel": 1e308}, ".style.fontSizeRel"),
        ("style", {"fontSizeRel": 48}, ".style.fontSizeRel"),
        ("style", {"fontSizeRel": 1e-9}, ".style.fontSizeRel"),
        ("style", {"lineHeight": 1e300}, ".style.lineHeight"),
        ("style", {"fontSize": "1e300px"}, ".style.fontSize"),
        ("style", {"textShadow": "0 99999999px 2px #000"}, ".style.textShadow"),
        ("style", {"stroke": {"widthRel": -1e308, "color": "#000"}}, ".style.stroke.widthRel"),
        ("layout", {"position": {"x": 1e308, "y": 0.5}}, ".layout.position.x"),
        ("layout", {"size": {"width": 1e308}}, ".layout.size.width"),
        ("layout", {"childrenLayout": {"gap": 960}}, ".layout.childrenLayout.gap"),
        ("layout", {"childrenLayout": {"maxWidth": "1e300%"}}, ".layout.childrenLayout.maxWidth"),
        ("layout", {"transform": {"scale": {"x": 1e308}}}, ".layout.transform.scale.x"),
        ("layout", {"transform": {"rotate": {"deg": -1e308}}}, ".layout.transform.rotate.deg"),
        ("pluginChain", [{"name": "cwi-color", "params": {"waveHeight": 1e308}}], ".pluginChain[0].params.waveHeight"),
        ("pluginChain", [{"name": "cwi-color", "timeOffset": [0, 1e308]}], ".pluginChain[0].timeOffset[1]"),
    ],
    ids=str,
)
def test_a_number_beyond_anything_on_a_picture_is_told(field: str, value: Any, path: str, caption: Caption) -> None:
    findings = prepared(caption(word={field: value})).findings
    assert [(found.path, bool(found.hint)) for found in findings] == [
        (f"cues[0].root.children[0]{path}", True),
    ]


@pytest.mark.parametrize(
    ("field", "value", "path"),
    [
        ("layout", {"position": [0.5, 0.9]}, ".layout.position"),
        ("layout", {"size": {"width": "50%"}}, ".layout.size.width"),
        ("layout", {"childrenLayout": {"gap": "10px"}}, ".layout.childrenLayout.gap"),
        ("layout", {"childrenLayout": {"direction": "row"}}, ".layout.childrenLayout.direction"),
        ("layout", {"childrenLayout": {"align": "middle"}}, ".layout.childrenLayout.align"),
        ("pluginChain", [{"name": "cwi-color", "params": "red"}], ".pluginChain[0].params"),
    ],
    ids=str,
)
def test_what_a_layout_or_a_plugin_does_not_take_is_told(field: str, value: Any, path: str, caption: Caption) -> None:
    findings = prepared(caption(word={field: value})).findings
    assert [(found.path, bool(found.hint)) for found in findings] == [(f"cues[0].root.children[0]{path}", True)]


def test_what_a_flat_cue_is_given_in_vain_is_told() -> None:
    words = [{"word": "a", "start": 1, "end": 2}]
    vain = {"color": "red", "position": "top", "words": words, "style": "big"}
    findings = prepared({"cues": [{"text": "a", "start": 1, "end": 2, **vain}]}).findings
    assert {f"cues[0].{name}" for name in vain} == {found.path for found in findings if found.hint}
    shown = {"text": "a", "start": 1, "end": 2, "style": {"opacity": -1}}
    assert "text that is not seen" in {found.kind for found in prepared({"cues": [shown]}).findings}


def test_ordinary_numbers_are_not_told(caption: Caption) -> None:
    style = {"fontSizeRel": 0.3, "fontSize": "200px", "lineHeight": 1.4, "fontWeight": 900, "color": "#123456"}
    turned = {"scale": {"x": 3, "y": 0.5}, "rotate": {"deg": 720}, "translate": {"x": -0.5, "y": 1.2}}
    layout = {"position": {"x": 0.5, "y": 1.1}, "zIndex": 1000, "transform": turned}
    params = {"seed": 4294967295, "clipId": 1732838400000, "durationMs": 200_000}
    chain = [{"name": "cwi-color", "params": params}]
    raw = caption(word={"style": style, "layout": layout, "pluginChain": chain})
    for radius in ("999999px", 9999):
        raw["cues"][0]["root"]["boxStyle"] = {"borderRadius": radius}
        assert not prepared(raw).findings


@pytest.mark.parametrize(
    ("style", "hint"),
    [
        ({"fontSize": 48}, "with its unit"),
        ({"fontSizeRel": -5}, "such as 0.05"),
        ({"lineHeight": -1e300}, "such as 1.4"),
    ],
)
def test_a_value_is_told_once(style: dict[str, Any], hint: str, caption: Caption) -> None:
    [found] = prepared(caption(word={"style": style})).findings
    assert hint in found.hint


def test_what_is_found_in_a_flat_cue_has_a_path_of_its_own_file() -> None:
    cue = {"text": "a", "start": 1, "end": 1e308, "style": {"fontSizeRel": 12, "padding": "1e300px"}}
    found = [finding for finding in prepared({"cues": [cue]}).findings if finding.kind != "flat cue"]
    paths = {finding.path for finding in found}
    assert {"cues[0] (start, end)", "cues[0].style.fontSizeRel", "cues[0].style.padding"} <= paths
    assert not any(".root" in path for path in paths)


def test_a_group_takes_its_box_from_its_style_and_one_that_is_not_seen_is_told(caption: Caption) -> None:
    raw = caption()
    raw["cues"][0]["root"].pop("boxStyle", None)
    raw["cues"][0]["root"]["style"] = {"opacity": 0, "padding": "4px"}
    [line] = prepared(raw).warnings
    assert line.startswith("cues[0].root.style.opacity: is 0: nothing in it is seen")


def test_a_track_gives_boxes_by_its_style_unless_it_has_a_style_for_boxes(caption: Caption) -> None:
    raw = caption()
    raw["tracks"][0] |= {"defaultStyle": {"backgroundColor": "#111111", "padding": "4px"}}
    raw["tracks"][0].pop("defaultBoxStyle", None)
    assert not prepared(raw).warnings
    raw["tracks"][0]["defaultBoxStyle"] = {"padding": "4px"}
    raw["cues"][0]["root"]["style"] = {"opacity": 0}
    vain = [line.partition(":")[0] for line in prepared(raw).warnings if "nothing that MotionText reads" in line]
    of_track = ["tracks[0].defaultStyle.backgroundColor", "tracks[0].defaultStyle.padding"]
    assert vain == [*of_track, "cues[0].root.style.opacity"]


@pytest.mark.parametrize("name", ["editor", "valid", "version_1_3", "flat"])
def test_what_editors_write_has_no_property_in_vain(name: str, sample: Callable[[str], bytes]) -> None:
    findings = prepare(sample(name), duration=10.0, known_plugins={"cwi-color": {}}).findings
    assert [found for found in findings if found.kind == "property of a style"] == []


def test_a_flat_cue_without_a_text_shows_no_box() -> None:
    scenario = prepared({"cues": [{"text": " \n ", "start": 1, "end": 2, "style": {"backgroundColor": "red"}}]})
    (box,) = scenario.data["cues"][0]["root"]["children"]
    assert box["boxStyle"] == {"backgroundColor": "transparent", "padding": "0px"}
    assert any("has no text: nothing is shown" in line for line in scenario.warnings)


def test_a_flat_cue_may_say_how_long_it_lasts_and_times_in_another_unit_are_noticed() -> None:
    scenario = prepared({"cues": [{"text": "a", "start": 1, "duration": 2.5}]})
    assert scenario.data["cues"][0]["root"]["displayTime"] == [1, 3.5]
    late = prepared({"cues": [{"text": "a", "start": 1000, "end": 2500}]})
    assert '"unit": "ms"' in late.findings[-1].hint


@pytest.mark.parametrize(
    ("said", "readable"),
    [
        ("Arial, sans-serif", "Arial, sans-serif"),
        ("'Noto Sans KR', serif", "'Noto Sans KR', serif"),
        ('"Font, With Comma", monospace', '"Font, With Comma", monospace'),
        ("inherit", "inherit"),
        ("없는글꼴이름, sans-serif", "없는글꼴이름, sans-serif"),
        ("-apple-system, BlinkMacSystemFont", "-apple-system, BlinkMacSystemFont"),
        ("42dot Sans, sans-serif", '"42dot Sans", sans-serif'),
        ("Exo 2", '"Exo 2"'),
        ("S-Core Dream 9, sans-serif", '"S-Core Dream 9", sans-serif'),
        ("Rock & Roll, O'Reilly Sans", '"Rock & Roll", "O\'Reilly Sans"'),
        ("Noto Sans KR:wght@700, sans-serif", '"Noto Sans KR", sans-serif'),
        ('"unclosed', '"unclosed"'),
        ('Say "Hi" Font', '"Say \\"Hi\\" Font"'),
        ("Arial, inherit", 'Arial, "inherit"'),
        ("var(--brand, Arial)", "var(--brand, Arial)"),
    ],
)
def test_families_that_css_cannot_read_are_quoted(
    said: str, readable: str, caption: Caption, motiontext_page: Any
) -> None:
    assert readable_families(said) == readable
    assert readable_families(readable) == readable
    assert motiontext_page.evaluate("list => CSS.supports('font-family', list)", readable)
    scenario = prepared(caption(word={"style": {"fontFamily": said}}))
    assert any("CSS cannot read" in line for line in scenario.warnings) == (said != readable)


def test_families_of_tracks_are_quoted_too(caption: Caption) -> None:
    raw = caption(tracks=[{"id": "caption", "defaultStyle": {"fontFamily": "Exo 2, serif"}}])
    scenario = prepared(raw)
    assert scenario.data["tracks"][0]["defaultStyle"]["fontFamily"] == '"Exo 2", serif'
    assert scenario.fonts[0].families == ("Exo 2", "serif")


COLOURS = [
    "#f80", "#FF8800", "#f808", "#ff880080", "orange", "RebeccaPurple", "transparent", "CanvasText", " red ",
    "rgb(255 136 0)", "rgb(255,136,0)", "rgba(255,136,0,.5)", "rgb(100% 50% 0% / 50%)", "rgb(none 0 0)",
    "hsl(32 100% 50%)", "hsla(32deg, 100%, 50%, 1)", "hsl(0.1turn 100% 50%)", "hwb(32 0% 0%)",
    "lab(70% 40 60)", "lch(70% 60 60)", "oklab(0.7 0.1 0.1)", "oklch(0.75 0.18 60)", "oklch(75% 0.18 60deg / 0.5)",
    "color(srgb 1 0.53 0)", "color(display-p3 1 0.5 0 / 50%)", "color(xyz-d50 0.3 0.3 0.3)",
    "color-mix(in srgb, red 40%, yellow)", "color-mix(in oklch longer hue, #f00, hsl(120 100% 50%) 20%)",
    "rgb(from red r g b)", "rgb(1 2 3", "oklch(from #ff8800 l c h / 0.5)", "rgb(calc(100 + 50) 0 0)",
]  # fmt: skip
NO_COLOURS = [
    "", "주황", "0xff8800", "#ff88", "#ff880", "#gggggg", "orangered2", "rgb()", "rgb(1 2)", "rgb(a b c)", "oklch(red)",
    "color(srgb)", "color(nowhere 1 0 0)", "color-mix(red, oops)", "color-mix(in rgbish, red, blue)", "url(x)",
    "var(--x, red)", "currentColor", "red blue", "red;", "rgb(1 2 3) url(x)", "#ff8800 !important",
]  # fmt: skip


@pytest.mark.parametrize("text", COLOURS + NO_COLOURS)
def test_what_is_a_colour_is_what_chromium_takes_for_one(text: str, motiontext_page: Any) -> None:
    if text == "#ff88":
        assert is_colour(text)  # four digits: with alpha
        return
    said = motiontext_page.evaluate("text => CSS.supports('color', text)", text)
    depends = "var(" in text or text == "currentColor"  # on what is around it
    assert is_colour(text) == (said and not depends)
    assert is_colour(text) == (text in COLOURS)


@pytest.mark.parametrize(
    ("text", "invisible"),
    [
        ("transparent", True), ("#f800", True), ("#ff880000", True), ("rgba(1, 2, 3, 0)", True),
        ("rgb(1 2 3 / 0%)", True),
        ("oklch(0.7 0.1 60 / .0)", True), ("rgb(0, 0, 0)", False), ("rgb(0 0 0)", False), ("hsl(0, 0%, 0%)", False),
        ("#ff0", False), ("#000000", False), ("rgba(0,0,0,.5)", False), ("rgba(0,0,0,1.0)", False),
    ],
)  # fmt: skip
def test_a_wholly_transparent_colour_is_known(text: str, invisible: bool) -> None:
    assert is_invisible(text) == invisible


@pytest.mark.parametrize(
    "value", ["주황", "0xff8800", 16744448, ["#ff8800"], "currentColor", "var(--x, orange)", "#f800"]
)
def test_a_colour_that_no_effect_can_take_is_named(value: object, caption: Caption) -> None:
    raw = caption(word={"pluginChain": [{"name": "cwi-color", "params": {"color": value}, "timeOffset": [0, 0]}]})
    (line,) = prepared(raw).warnings
    assert line.startswith("cues[0].root.children[0].pluginChain[0].params.color: ")
    assert "the effect goes without" in line
    assert 'cue "c", "word"' in line


@pytest.mark.parametrize(
    ("style", "named"),
    [
        ({"color": "주황"}, ".style.color"),
        ({"color": 16744448}, ".style.color"),
        ({"stroke": {"widthRel": 0.01, "color": "blakc"}}, ".style.stroke.color"),
        ({"color": "currentColor"}, None),
        ({"color": "var(--x, orange)"}, None),
        ({"color": "oklch(0.75 0.18 60)"}, None),
    ],
    ids=str,
)
def test_a_colour_of_a_style_that_is_none_is_named(style: dict[str, Any], named: str | None, caption: Caption) -> None:
    warnings = prepared(caption(word={"style": style})).warnings
    assert [line.split(":")[0] for line in warnings] == ([f"cues[0].root.children[0]{named}"] if named else [])


STYLES = {
    "fontSize": ["24px", "1.5em", "2e1px", "80%", "x-large", "calc(1em + 4px)", "0", "12quux", "24", "-3px", "big"],
    "fontWeight": ["bold", "700", "1", "1000", "350.5", "0", "1001", "boldest", "bolder bold"],
    "lineHeight": ["1.4", "normal", "20px", "-1", "tall"],
    "padding": ["4px 8px", "0", "1em 2px 3% 4vw", "-5px", "4 px", "x"],
    "borderRadius": ["4px", "1px 2px / 3px", "-1px", "round"],
    "opacity": ["0.5", "50%", "-1", "half"],
    "align": ["left", "center", "justify", "middle"],
    "whiteSpace": ["nowrap", "pre-line", "wrapped"],
}
PROPERTIES = {"align": "text-align", "whiteSpace": "white-space", "fontSize": "font-size", "fontWeight": "font-weight",
              "lineHeight": "line-height", "borderRadius": "border-radius"}  # fmt: skip


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in STYLES.items() for value in values])
def test_a_value_that_chromium_drops_is_named(name: str, value: str, caption: Caption, motiontext_page: Any) -> None:
    kept = motiontext_page.evaluate("said => CSS.supports(...said)", [PROPERTIES.get(name, name), value])
    findings = prepared(caption(word={"style": {name: value}})).findings
    named = [found.path for found in findings if found.kind == "value of a style"]
    assert named == ([] if kept else [f"cues[0].root.children[0].style.{name}"])


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ({"style": {"fontSizeRel": "0.05"}}, "style.fontSizeRel: '0.05' is no share of the picture's height"),
        (
            {"style": {"fontSizeRel": 0}},
            "style.fontSizeRel: '0' is no share of the picture's height: the text is one pixel",
        ),
        ({"style": {"stroke": {"width": 3}}}, "style.stroke: has no widthRel"),
        ({"layout": {"position": {"x": 0.5}}}, "layout.position: has no x and y that are numbers"),
        ({"layout": {"anchor": "bottom"}}, "layout.anchor: 'bottom' is no anchor"),
        ({"style": {"fontSizeRel": 0.1, "stroke": {}}, "layout": {"anchor": "bc", "position": {"x": 0, "y": 2}}}, ""),
    ],
)
def test_sizes_and_places_that_do_not_count_are_named(word: Any, said: str, caption: Caption) -> None:
    lines = prepared(caption(word=word)).warnings
    assert len(lines) == bool(said)
    assert all(line.startswith(f"cues[0].root.children[0].{said}") for line in lines)


@pytest.mark.parametrize(
    ("params", "warns"),
    [
        ({"speaker": "Ann", "palette": {"Bo": "#ff0000"}}, True),
        ({"speaker": "Ann", "palette": {"Bo": "#ff0000"}, "color": "red"}, False),
        ({"speaker": "Ann", "palette": {"Ann": "#ff0000"}}, False),
        ({"speaker": "Ann", "palette": {"Ann": "rot"}}, True),
        ({"speaker": "Ann", "palette": {}}, False),
        ({"palette": {"Bo": "#ff0000"}}, False),
    ],
    ids=str,
)
def test_a_speaker_without_a_colour_is_named(params: dict[str, Any], warns: bool, caption: Caption) -> None:
    raw = caption(word={"pluginChain": [{"name": "cwi-color", "params": params, "timeOffset": [0, 0]}]})
    assert bool(prepared(raw).warnings) == warns


FLOW = {"childrenLayout": {"mode": "flow", "direction": "horizontal"}}


@pytest.mark.parametrize(
    ("texts", "layout", "warns"),
    [
        (["תודה", "לכל", "הצופים"], FLOW, True),
        (["أهلا", "بكم"], FLOW, True),
        (["نزور", "Seoul", "Tower"], FLOW, True),
        (["سنة", "2026"], FLOW, True),
        (["see", "שלום", "עולם", "there"], FLOW, True),
        (["see", "שלום", "and", "עולם"], FLOW, False),
        (["오늘의", "낱말은", "(שלום)", "입니다"], FLOW, False),
        (["مرحبا بكم"], FLOW, False),
        (["أهلا", "بكم"], {"childrenLayout": {"mode": "flow", "direction": "vertical"}}, False),
        (["أهلا", "بكم"], {}, False),
    ],
    ids=str,
)
def test_right_to_left_words_in_nodes_of_their_own_are_named(
    texts: list[str], layout: dict[str, Any], warns: bool, caption: Caption
) -> None:
    children = [{"id": f"w{index}", "eType": "text", "text": text} for index, text in enumerate(texts)]
    scenario = prepared(caption(root={"layout": layout, "children": children}))
    assert any("right to left" in line and 'cue "c"' in line for line in scenario.warnings) == warns
    assert all(finding.hint for finding in scenario.findings)


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("short", ["short"]),
        ("이것은 한 줄에 들어가는 말", ["이것은 한 줄에 들어가는 말"]),
        (
            "우리는 아침마다 강가를 따라 천천히 걸으며 이야기를 나누고 새들의 노래를 들었다",
            ["우리는 아침마다 강가를 따라 천천히 걸으며", "이야기를 나누고 새들의 노래를 들었다"],
        ),
    ],
)
def test_flat_captions_have_lines_of_about_equal_length(text: str, lines: list[str]) -> None:
    scenario = prepared({"cues": [{"text": text, "start": 1, "end": 2}]})
    node = scenario.data["cues"][0]["root"]["children"][0]["children"][0]
    assert node["text"].split("\n") == lines
    assert len(lines) == 1 or max(map(text_width, lines)) < 1.3 * min(map(text_width, lines))


def test_lines_are_as_few_as_fit_and_as_equal_as_they_can_be() -> None:
    assert balanced_lines([3, 3, 3, 3], [0.3] * 4, 20) == [0]
    assert balanced_lines([3, 3, 3, 3], [0.3] * 4, 10) == [0, 2]
    assert balanced_lines([9, 1, 1, 1], [0.3] * 4, 10) == [0, 1]
    assert balanced_lines([30, 1], [0.3] * 2, 10) == [0, 1]
    assert balanced_lines([2] * 9, [0] * 9, 6) == [0, 3, 6]
