"""pulse: the text swells and shrinks back; the preview scales it twice."""

from __future__ import annotations

import pytest

from plugin_page import PluginPage

MOMENTS = [0, 0.25, 0.5, 0.75, 1]


@pytest.mark.parametrize(
    ("params", "sizes"),
    [
        ({}, [1, 1.21, 1.44, 1.21, 1]),
        ({"maxScale": 2}, [1, 2.25, 4, 2.25, 1]),
        ({"maxScale": 0.5}, [1, 0.5625, 0.25, 0.5625, 1]),
        ({"cycles": 2}, [1, 1.44, 1, 1.44, 1]),
        ({"maxScale": 1}, [1] * 5),
        ({"maxScale": None, "cycles": -3}, [1, 1.21, 1.44, 1.21, 1]),
    ],
)
def test_it_is_largest_in_the_middle_of_each_cycle(
    page: PluginPage, params: dict[str, object], sizes: list[float]
) -> None:
    page.show("word", ("pulse", params))
    assert page.paths("whole", "scale", MOMENTS) == [pytest.approx(sizes, abs=0.002)]


def test_it_swells_around_its_middle(page: PluginPage) -> None:
    page.show("word", "pulse", p=0.5)
    assert (page.only("whole")["x"], page.only("whole")["y"]) == (0, 0)
    assert page.only("whole", 1.5)["written"] == "none"
