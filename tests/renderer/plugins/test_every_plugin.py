"""What holds for every plugin in the folder, and so for each one that is added."""

from __future__ import annotations

import random
import re
from typing import Any

import pytest

from docs.gallery import DOCUMENT, parameter_table
from ecg_renderer.scenario.plugins import complaint, value_used
from ecg_renderer.served import PLUGINS_FOLDER, known_plugins
from plugin_page import PluginPage

NAMES = list(known_plugins())
EXPORTS = {"dom": {"animate", "cleanup"}, "channel": {"evalChannels"}}
EXPORTS["hybrid"] = EXPORTS["dom"] | EXPORTS["channel"]

# Plugins that colour do nothing without a colour; the others do not know these parameters.
PARAMS = {"speaker": "Ann", "palette": {"Ann": "#ffd400"}}

PROGRESS = [0, 0.05, 0.1, 0.2, 1 / 3, 0.5, 0.62, 0.75, 0.9, 1]

TEXTS = {
    "one word": "caption",
    "kerned words": "AVATAR To We, office",
    "Korean over two lines": "안녕하세요 반갑습니다 자막을 만들어요",
    "Japanese over two lines": "これは日本語の字幕です。改行の位置を確かめる。",
    "emoji and combined signs": "👨‍👩‍👧 e\u0301 🇰🇷 ok",
    "Arabic": "مرحبا بالعالم",
    "Hebrew in English": "say שלום עולם now",
    "Hindi": "नमस्ते दुनिया",
    "markup": "<img src=http://a.invalid/x onerror=alert(1)> <b>&amp;",
    "spaces": "  two   words ",
    "nothing": "",
    "very long": "words and words " * 60,
}

HOSTILE: list[object] = [
    None,
    7,
    "text",
    [],
    {"__proto__": {"polluted": 1}, "constructor": 5, "toString": None},
]
HOSTILE_VALUES: list[object] = [
    None,
    -1e308,
    1e308,
    "1e999",
    "NaN",
    "",
    "url(http://a.invalid/x.png)",
    "javascript:alert(1)",
    "expression(1)",
    "red;background:url(//a.invalid)",
    "<img src=x onerror=alert(1)>",
    [],
    [1, 2],
    {"scale": 1e9, "lift": -1e9, "amp": "x", "freq": None, "properties": {}},
    True,
    "x" * 100_000,
]

# What people may mean well.
GIVEN: list[object] = [
    0,
    1,
    -1,
    0.5,
    3,
    1e6,
    "2",
    " 2.5 ",
    "0x10",
    "-3",
    "1e1",
    "1_0",
    "fast",
    "vertical",
    "back.out",
    False,
    {"freq": 3},
]

# What a plugin draws besides the text (a shadow, a cursor, flames) is marked and goes at the end.
ADDED = "[data-ecg-added]"

# The text is whole, and every part is drawn within a few screens by finite numbers.
IS_SANE = """all => all.every((p) => {
    test.seek(p);
    const copy = test.root().cloneNode(true);
    for (const added of copy.querySelectorAll('[data-ecg-added]')) added.remove();
    return copy.textContent === 'caption' &&
        [...test.root().querySelectorAll('*')].every((element) => {
            const { left, top, width, height } = element.getBoundingClientRect();
            return Math.abs(left) < 4000 && Math.abs(top) < 4000 && width < 4000 && height < 4000 &&
                !/url|NaN|Infinity|undefined/.test(element.style.cssText);
        });
})"""

FORBIDDEN = re.compile(
    r"setTimeout|setInterval|requestAnimationFrame|\bDate\b|performance|gsap\.(to|from|timeline|ticker|utils\.random)"
    r"|innerHTML|outerHTML|insertAdjacentHTML|\beval\b|new Function|will-change|willChange|https?:|url\("
    r"|^(let|var) |setProperty\(|fetch\(|XMLHttpRequest",
    re.MULTILINE,
)


def test_all_plugins_of_the_caption_editor_are_there() -> None:
    editors = "bobY cwi-bouncing cwi-color cwi-loud cwi-whisper elastic fadein flames fliptype glitch glow magnetic"
    assert set(NAMES) == {*editors.split(), "pulse", "rotation", "scalepop", "slideup", "spin", "typewriter"}


@pytest.mark.parametrize("file", sorted(PLUGINS_FOLDER.rglob("*.mjs")), ids=lambda file: str(file.name))
def test_a_plugin_reads_no_clock_keeps_no_state_and_reaches_for_no_network(file: Any) -> None:
    assert FORBIDDEN.findall(file.read_text()) == []


@pytest.mark.parametrize("name", NAMES)
def test_a_plugin_says_what_it_is(page: PluginPage, name: str) -> None:
    page.show("text", name)
    module = page.evaluate(
        """name => {
            const { manifest, ...rest } = test.modules[name];
            return { manifest, functions: Object.keys(rest).filter((key) => typeof rest[key] === 'function') };
        }""",
        name,
    )
    manifest = module["manifest"]
    assert manifest["name"] == name
    assert manifest["version"] == "2.0.0"
    assert manifest["description"].endswith(".")
    assert set(module["functions"]) - {"init"} == EXPORTS[manifest["type"]]
    for rule in _rules(manifest["schema"]):
        assert rule["description"]
        assert rule["type"] in {"number", "boolean", "string", "color", "palette"}
        if rule["type"] == "number":
            assert rule["min"] <= rule["default"] <= rule["max"]
        assert value_used(rule, rule["default"]) == rule["default"]


@pytest.mark.parametrize("name", NAMES)
def test_an_effect_is_seen(page: PluginPage, name: str) -> None:
    page.show("caption", (name, PARAMS))
    pictures = set()
    for p in (0, 0.3, 0.5):
        page.seek(p)
        pictures.add(page.picture())
    assert len(pictures) > 1


@pytest.mark.parametrize("text", ["caption", "AVATAR To We", "자막을 만들어요 여러분 안녕하세요"])
@pytest.mark.parametrize("name", NAMES)
def test_a_progress_gives_the_same_dom_in_whatever_order_it_comes(page: PluginPage, name: str, text: str) -> None:
    first = dict(zip(PROGRESS, page.show(text, (name, PARAMS)).htmls(PROGRESS), strict=True))
    for seed in range(3):
        order = random.Random(seed).sample(PROGRESS, len(PROGRESS))
        page.show(text, (name, PARAMS))
        assert dict(zip(order, page.htmls(order), strict=True)) == first


@pytest.mark.parametrize("name", NAMES)
def test_a_progress_that_did_not_change_changes_nothing(page: PluginPage, name: str) -> None:
    page.show("AVATAR To We", (name, PARAMS))
    changes = page.evaluate("all => all.map((p) => (test.seek(p), test.seek(p)))", PROGRESS)
    assert changes == [0] * len(PROGRESS)


@pytest.mark.parametrize("name", NAMES)
def test_before_its_time_an_effect_is_at_its_start_and_after_it_at_its_end(page: PluginPage, name: str) -> None:
    page.show("two words", (name, PARAMS))
    start, end = page.html(0), page.html(1)
    page.seek(0.4)
    assert page.html(1.7) == end
    page.seek(0.6)
    assert page.html(-0.2) == start


@pytest.mark.parametrize("name", NAMES)
def test_randomness_is_drawn_at_the_start_only(page: PluginPage, name: str) -> None:
    page.show("three small words", (name, PARAMS), p=0)
    page.evaluate("() => { test.random = Math.random; Math.random = () => { throw new Error('drawn late'); }; }")
    try:
        page.htmls(PROGRESS)
    finally:
        page.evaluate("() => { Math.random = test.random; }")


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS.keys())
@pytest.mark.parametrize("name", NAMES)
def test_any_text_is_kept_and_given_back_whole(page: PluginPage, name: str, text: str) -> None:
    page.show(text)
    untouched = page.html()
    page.show(text, (name, PARAMS))
    shown = page.evaluate(
        """selector => [0, 0.5, 1].map((p) => {
            test.seek(p);
            const copy = test.root().cloneNode(true);
            for (const added of copy.querySelectorAll(selector)) added.remove();
            return { text: copy.textContent, others: copy.querySelectorAll(':not(span)').length };
        })""",
        ADDED,
    )
    assert shown == [{"text": text, "others": 0}] * 3
    page.evaluate("name => test.cleanup(name)", name)
    assert page.html() == untouched
    assert page.evaluate("() => test.root().childNodes.length") == (1 if text else 0)


@pytest.mark.parametrize("name", NAMES)
def test_hostile_parameters_are_tamed(page: PluginPage, name: str) -> None:
    page.show("caption", name)
    params = page.evaluate("name => Object.keys(test.modules[name].manifest.schema)", name)
    for given in [*HOSTILE, *(dict.fromkeys(params, value) for value in HOSTILE_VALUES)]:
        page.show("caption", (name, given))
        assert page.evaluate(IS_SANE, PROGRESS), given
    assert page.evaluate("() => ({}).polluted === undefined")


@pytest.mark.parametrize("name", NAMES)
def test_what_is_said_to_be_used_instead_of_a_parameter_is_what_the_page_uses(page: PluginPage, name: str) -> None:
    page.show("caption", name)
    for param, rule in known_plugins()[name].items():
        if rule["type"] == "color":  # told by scenario/css.py
            continue
        values = [value for value in [*HOSTILE[1:-1], *HOSTILE_VALUES, *GIVEN] if value is not None]
        read = page.evaluate(
            """async ([schema, name, values]) => {
                const { readParams } = await import('/plugins/lib/params.mjs');
                return values.map((value) => readParams(schema, { [name]: value })[name]);
            }""",
            [{param: rule}, param, values],
        )
        for value, used in zip(values, read, strict=True):
            assert value_used(rule, value) == used, (param, value)
            if not complaint(rule, value) and rule["type"] not in ("number", "object"):
                assert used == value


def test_the_documentation_has_every_parameter() -> None:
    assert parameter_table() in DOCUMENT.read_text(), "make gallery writes it"


@pytest.mark.parametrize("name", NAMES)
def test_cleaning_up_an_element_that_it_never_saw_does_no_harm(page: PluginPage, name: str) -> None:
    page.show("caption", name)
    page.evaluate("name => test.modules[name].cleanup?.(document.createElement('div'))", name)


@pytest.mark.parametrize("name", NAMES)
def test_it_is_started_once_and_not_on_every_frame(page: PluginPage, name: str) -> None:
    page.show("two words", (name, PARAMS), p=0)
    parts = page.evaluate("() => (window.before = [...test.root().querySelectorAll('*')]).length")
    page.htmls(PROGRESS)
    assert (
        page.evaluate("() => [...test.root().querySelectorAll('*')].filter((e) => before.includes(e)).length") == parts
    )


@pytest.mark.parametrize("plugin_is_first", [True, False], ids=["first", "second"])
@pytest.mark.parametrize("other", ["cwi-color", "cwi-bouncing", "cwi-loud", "flames", "typewriter"])
@pytest.mark.parametrize("name", NAMES)
def test_effects_on_the_same_word_do_not_disturb_each_other(
    page: PluginPage, name: str, other: str, plugin_is_first: bool
) -> None:
    chain = [(name, PARAMS), *([(other, PARAMS)] if name != other else [])]
    page.show("two words", *(chain if plugin_is_first else reversed(chain)))
    seen = page.htmls(PROGRESS)
    assert page.htmls(reversed(PROGRESS)) == seen[::-1]
    page.evaluate("name => test.cleanup(name)", name)
    assert page.evaluate("() => [test.root().textContent, test.root().children.length]") == ["two words", 0]


def _rules(params: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the rules of all parameters, those inside objects too."""
    found = []
    for rule in params.values():
        found += _rules(rule["properties"]) if rule["type"] == "object" else [rule]
    return found
