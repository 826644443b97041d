"""Taking a text apart for an effect moves no letter of it."""

from __future__ import annotations

import pytest

from plugin_page import PluginPage

TEXTS = {
    "kerning": "Hello, AVATAR To. We",
    "ligatures": "office fill waffle",
    "Korean over lines": "안녕하세요 반갑습니다 자막을 만들어요 여러분",
    "Japanese over lines": "これは、日本語の字幕です。改行の位置を確かめる。",
    "English over lines": "A very long caption that surely has to break over more than one line",
    "emoji": "👨‍👩‍👧 e\u0301 🇰🇷 ok",
    "Arabic": "مرحبا بالعالم",
    "Hebrew in English": "say שלום עולם now",
    "Thai": "สวัสดีชาวโลก",
    "spaces": "  two   words a\u00a0b ",
}

RIGHT_TO_LEFT = {"Arabic", "Hebrew in English"}

STYLES: dict[str, dict[str, object]] = {
    "default": {},
    "serif with ligatures": {"fontFamily": "DejaVu Serif"},
    "stroke": {"stroke": {"widthRel": 0.01, "color": "#ff0000"}},
    "spaces kept": {"whiteSpace": "pre-wrap", "lineHeight": 1.1},
    "centred": {"align": "center"},
}

# Plugin chains and the progress at which all their effects are at rest.
AT_REST = {
    "cwi-color": ([("cwi-color", {"color": "#ffffff"})], 0),
    "cwi-bouncing": (["cwi-bouncing"], 0),
    "fadein": (["fadein"], 1),
    "elastic": (["elastic"], 1),
    "letters split while the words have no size": (["elastic", "fadein"], 1),
    "letters coloured, then moved": ([("cwi-color", {"color": "#ffffff"}), "fadein"], 1),
    "letters split inside an enlarged word": (["cwi-loud", "cwi-bouncing"], 1),
}

PIXELS = 0.5

# The left end and the middle line of every letter; one sign for two letters counts as its first.
LETTERS = """() => {
    const walker = document.createTreeWalker(test.root(), NodeFilter.SHOW_TEXT);
    const found = [];
    while (walker.nextNode()) {
        const node = walker.currentNode;
        if (node.parentElement.dataset.ecg === 'shadow') continue;
        for (const { segment, index } of new Intl.Segmenter('en').segment(node.data)) {
            const range = document.createRange();
            range.setStart(node, index);
            range.setEnd(node, index + segment.length);
            const { left, top, bottom } = range.getBoundingClientRect();
            if (segment.trim() && !/[fil]/.test(segment)) found.push([left, (top + bottom) / 2]);
        }
    }
    return found;
}"""


@pytest.mark.parametrize("style", STYLES.values(), ids=STYLES.keys())
@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS.keys())
def test_letters_stay_where_they_are(page: PluginPage, text: str, style: dict[str, object]) -> None:
    page.show(text, **style)
    untouched = page.evaluate(LETTERS)
    for name, (chain, rest) in AT_REST.items():
        page.show(text, *chain, p=0, **style)
        page.seek(rest)
        for now, before in zip(page.evaluate(LETTERS), untouched, strict=True):
            assert now == pytest.approx(before, abs=PIXELS), name


@pytest.mark.parametrize("style", STYLES.values(), ids=STYLES.keys())
@pytest.mark.parametrize("text", [text for name, text in TEXTS.items() if name not in RIGHT_TO_LEFT])
def test_text_that_runs_left_to_right_moves_in_parts(page: PluginPage, text: str, style: dict[str, object]) -> None:
    page.show(text, "fadein", p=0, **style)
    assert page.parts("whole") == []
    page.show(text, "elastic", p=0, **style)
    assert len(page.parts("whole")) == (0 if " " in text else 1)


@pytest.mark.parametrize("spacing", [1, 1.25, 1.6])
def test_text_of_any_size_moves_in_parts(page: PluginPage, spacing: float) -> None:
    for pixels in range(12, 80):  # larger ones are wider than the picture lets them be
        page.show("Large AVATAR", "fadein", p=0, fontSizeRel=pixels / 360, lineHeight=spacing)
        assert page.parts("whole") == [], f"{pixels} px"


@pytest.mark.parametrize(("scale", "tolerance"), [(0.25, PIXELS), (3, PIXELS), (0, 3 * len("AVATAR"))])
def test_letters_stay_where_they_are_while_the_word_is_scaled_from_outside(
    page: PluginPage, scale: float, tolerance: float
) -> None:
    page.show("AVATAR")
    untouched = page.evaluate(LETTERS)
    set_scale = "scale => test.root().parentElement.style.setProperty('--mtx-sx', scale)"
    page.show("AVATAR", "fadein")
    page.evaluate(set_scale, scale)
    page.seek(0)
    page.evaluate(set_scale, 1)
    page.seek(1)
    for now, before in zip(page.evaluate(LETTERS), untouched, strict=True):
        assert now == pytest.approx(before, abs=tolerance)


@pytest.mark.parametrize(
    ("text", "letters"),
    [
        ("né", ["n", "é"]),
        ("e\u0301👨‍👩‍👧🇰🇷", ["e\u0301", "👨‍👩‍👧", "🇰🇷"]),
        ("한글", ["한", "글"]),
        ("a b\u00a0c", ["a", "b", "\u00a0", "c"]),
        ("مرحبا بك", ["مرحبا", "بك"]),
        ("नमस्ते", ["नमस्ते"]),
        ("שלום", list("שלום")),
    ],
)
def test_a_letter_is_what_a_reader_sees_as_one(page: PluginPage, text: str, letters: list[str]) -> None:
    page.show(text, ("cwi-color", {"color": "#0000ff"}), p=0)
    assert [part["text"] for part in page.parts("letter")] == letters


@pytest.mark.parametrize("text", ["مرحبا بالعالم", "שלום עולם"])
@pytest.mark.parametrize("name", ["fadein", "elastic", "cwi-bouncing"])
def test_text_that_runs_right_to_left_moves_as_a_whole(page: PluginPage, name: str, text: str) -> None:
    page.show(text, name, p=0.5)
    assert page.parts("letter") == page.parts("word") == []
    assert [part["text"] for part in page.parts("whole")] == [text]


def test_words_broken_over_lines_spring_line_by_line(page: PluginPage) -> None:
    text = "안녕하세요 반갑습니다 자막을"
    page.show(text, "elastic", p=1)
    words = [part["text"] for part in page.parts("word")]
    assert "".join(words) == text.replace(" ", "")
    assert len(words) == 4


def test_signs_that_a_font_draws_as_one_move_as_one(page: PluginPage) -> None:
    page.show("fin", "fadein", p=0, fontFamily="DejaVu Serif")
    assert [part["text"] for part in page.parts("letter")] == ["fi", "n"]


def test_a_very_long_text_is_not_taken_apart(page: PluginPage) -> None:
    page.show("many letters " * 100, "fadein", p=0)
    assert page.evaluate("() => test.root().querySelectorAll('*').length") == 1


def test_letters_that_move_take_their_shadow_with_them(page: PluginPage) -> None:
    page.show("two words", ("cwi-color", {"color": "#0000ff"}), "fadein", p=0)
    assert page.parts("shadow") == []
    letter_shadow = "() => getComputedStyle(test.root().querySelector('[data-ecg=letter]')).textShadow"
    assert page.evaluate(letter_shadow) != "none"
