"""typewriter: letters appear one by one, followed by a cursor."""

from __future__ import annotations

import pytest

from plugin_page import PluginPage

LEFT = "e => [...test.root().querySelectorAll('[data-ecg=letter]')].map((e) => e.getBoundingClientRect())"


def written(page: PluginPage, p: float) -> str:
    return "".join(part["text"] for part in page.parts("letter", p) if part["opacity"] == 1)


@pytest.mark.parametrize(
    ("text", "params", "states"),
    [
        ("Caption", {}, ["", "Capti", "Caption", "Caption", "Caption"]),
        ("Caption", {"typingSpeed": 0.1}, ["", "Ca", "Capti", "Caption", "Caption"]),
        ("to be or", {"typingSpeed": 0.125}, ["", "to", "tob", "tobe", "tobeor"]),
        ("more than twenty letters", {}, ["", "more", "morethan", "morethantwent", "morethantwentylet"]),
        ("안녕하세요", {"typingSpeed": 0.25}, ["", "안", "안녕", "안녕하", "안녕하세"]),
    ],
)
def test_signs_are_typed_in_their_time_and_spaces_count(
    page: PluginPage, text: str, params: dict[str, object], states: list[str]
) -> None:
    page.show(text, ("typewriter", params))
    assert [written(page, p) for p in (0, 0.25, 0.5, 0.75, 1)] == states


def test_what_is_not_typed_yet_casts_no_shadow(page: PluginPage) -> None:
    page.show("", p=0)
    empty = page.picture()
    page.show("word", ("cwi-color", {"color": "#0000ff"}), ("typewriter", {"showCursor": False}), p=0)
    assert page.picture() == empty


def test_letters_do_not_move_while_others_are_typed(page: PluginPage) -> None:
    page.show("word and word", "typewriter", p=0)
    before = page.evaluate(LEFT)
    page.seek(0.9)
    assert page.evaluate(LEFT) == before


CURSOR = """() => {
    const sign = test.root().querySelector('[data-ecg="above typewriter"] span').getBoundingClientRect();
    const shown = [...test.root().querySelectorAll('[data-ecg=letter]')].filter((e) => e.style.opacity === '1');
    const last = (shown.at(-1) ?? test.root().querySelector('[data-ecg=letter]')).getBoundingClientRect();
    const edge = shown.length ? last.right : last.left;
    return { gap: sign.left - edge, drop: sign.top - last.top, high: sign.height - last.height };
}"""


@pytest.mark.parametrize("text", ["word", "words that are so many that they surely take up more than one line"])
@pytest.mark.parametrize("spacing", [1, 1.6, 3])
def test_the_cursor_stands_behind_the_last_letter(page: PluginPage, text: str, spacing: float) -> None:
    page.show(text, ("typewriter", {"typingSpeed": 0.015}), lineHeight=spacing)
    for p in (0, 0.1, 0.45, 1):
        page.seek(p)
        place = page.evaluate(CURSOR)
        assert place == {
            "gap": pytest.approx(0, abs=1),
            "drop": pytest.approx(0, abs=1),
            "high": pytest.approx(0, abs=1),
        }


@pytest.mark.parametrize(
    ("params", "seen"), [({}, [1, 1, 0, 0, 1]), ({"cursorBlink": False}, [1] * 5), ({"showCursor": False}, None)]
)
def test_the_cursor_blinks_unless_told_otherwise(
    page: PluginPage, params: dict[str, object], seen: list[int] | None
) -> None:
    page.show("word", ("typewriter", params))
    paths = page.paths("above", "opacity", [0, 0.25, 0.5, 0.75, 1])
    assert paths == ([seen] if seen else [])


@pytest.mark.parametrize(("char", "text"), [("_", "_"), ("<b>", "<b>"), ("", "|"), ("x" * 9, "|"), (5, "|")])
def test_the_cursor_looks_as_told(page: PluginPage, char: object, text: str) -> None:
    page.show("word", ("typewriter", {"cursorChar": char}), p=0)
    assert page.only("above")["text"] == text
