"""spin: the text turns around its middle, and the last angle stays."""

from __future__ import annotations

import pytest

from plugin_page import PluginPage

MIDDLE = """() => {
    const { left, top, width, height } = test.root().firstChild.getBoundingClientRect();
    return [left + width / 2, top + height / 2];
}"""


@pytest.mark.parametrize(
    ("params", "angles"),
    [
        ({}, [0, 90, 180, 270, 0]),
        ({"fullTurns": 2}, [0, 180, 0, 180, 0]),
        ({"fullTurns": -0.5}, [0, -45, -90, -135, -180]),
        ({"fullTurns": "nothing"}, [0, 90, 180, 270, 0]),
    ],
)
def test_it_turns_at_one_pace(page: PluginPage, params: dict[str, object], angles: list[int]) -> None:
    page.show("word", ("spin", params))
    for p, angle in zip((0, 0.25, 0.5, 0.75, 1), angles, strict=True):
        assert page.only("whole", p)["written"] == (f"rotate({angle}deg)" if angle else "none")


def test_the_middle_of_the_text_stays_where_it_is(page: PluginPage) -> None:
    page.show("word", "spin", p=0)
    middle = page.evaluate(MIDDLE)
    for p in (0.2, 0.25, 0.6):
        page.seek(p)
        assert page.evaluate(MIDDLE) == pytest.approx(middle, abs=0.1)


def test_the_last_angle_stays(page: PluginPage) -> None:
    page.show("word", ("spin", {"fullTurns": 0.25}), p=0.7)
    assert page.only("whole", 1.5)["written"] == "rotate(90deg)"
