"""bobY: the text bobs down and up; the preview's two movements add up."""

from __future__ import annotations

import pytest

from plugin_page import PluginPage

MOMENTS = [0, 0.25, 0.5, 0.75, 1]


@pytest.mark.parametrize(
    ("params", "heights"),
    [
        ({}, [0, 12, 8, -4, 0]),
        ({"amplitudePx": 20}, [0, 30, 20, -10, 0]),
        ({"amplitudePx": -8}, [0, -12, -8, 4, 0]),
        ({"cycles": 2}, [0, 8, 0, 8, 0]),
        ({"cycles": 0}, [0, 12, 8, -4, 0]),
        ({"amplitudePx": 0}, [0] * 5),
    ],
)
def test_it_moves_by_a_sine_and_a_swell(page: PluginPage, params: dict[str, object], heights: list[float]) -> None:
    page.show("word", ("bobY", params))
    assert page.paths("whole", "y", MOMENTS) == [pytest.approx(heights, abs=0.01)]
    assert page.paths("whole", "x", MOMENTS) == [[0] * 5]


def test_it_returns_to_rest(page: PluginPage) -> None:
    page.show("word", "bobY", p=0.3)
    assert page.only("whole", 1.2)["written"] == "none"
