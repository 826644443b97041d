"""spin: the text turns around its middle, and the last angle stays."""

from __future__ import annotations

import pytest

from plugin_page import PluginPage

# What MotionText draws of the channel: the wrapper's transform as a matrix.
MATRIX = """() => {
    const { a, b } = new DOMMatrix(getComputedStyle(test.root().parentElement).transform);
    return [a, b];
}"""


def angle(page: PluginPage, p: float) -> str:
    page.seek(p)
    return str(page.evaluate("() => test.root().parentElement.style.getPropertyValue('--mtx-rot')"))


@pytest.mark.parametrize(
    ("params", "angles"),
    [
        ({}, [0, 90, 180, 270, 360]),
        ({"fullTurns": 2}, [0, 180, 360, 540, 720]),
        ({"fullTurns": -0.5}, [0, -45, -90, -135, -180]),
        ({"fullTurns": "nothing"}, [0, 90, 180, 270, 360]),
    ],
)
def test_it_turns_at_one_pace(page: PluginPage, params: dict[str, object], angles: list[int]) -> None:
    page.show("word", ("spin", params))
    assert [angle(page, p) for p in (0, 0.25, 0.5, 0.75, 1)] == [f"{angle}deg" for angle in angles]


def test_the_middle_of_the_text_stays_where_it_is(page: PluginPage) -> None:
    page.show("word", "spin", p=0.25)
    assert page.evaluate(MATRIX) == pytest.approx([0, 1], abs=1e-6)
    middle = (
        "() => { const b = test.root().getBoundingClientRect(); return [b.left + b.width / 2, b.top + b.height / 2]; }"
    )
    turned = page.evaluate(middle)
    page.seek(0)
    assert turned == pytest.approx(page.evaluate(middle), abs=0.1)


def test_the_last_angle_stays(page: PluginPage) -> None:
    page.show("word", "spin")
    assert angle(page, 0.75) == angle(page, 1.5) == "270deg"
