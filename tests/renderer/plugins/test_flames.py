"""flames: flames burn behind the text, drawn of gradients."""

from __future__ import annotations

import itertools
import re

import pytest

from plugin_page import PluginPage

MOMENTS = [0, 0.25, 0.5, 0.75, 1]
TONGUES = """() => [...test.root().querySelectorAll('[data-ecg="below flames"] > span')].map((e) => {
    const { left, right, top, bottom, height } = e.getBoundingClientRect();
    return { left, right, top, bottom, height };
})"""
TEXT = """() => {
    const { left, right, top, bottom } = test.root().getBoundingClientRect();
    return { left, right, top, bottom };
}"""


@pytest.mark.parametrize(
    ("params", "opacities"),
    [
        ({}, [0.8] * 5),
        ({"cycles": 1}, [0.8, 1, 0.8, 0.5, 0.8]),
        ({"cycles": 1, "baseOpacity": 0.5, "flicker": 0.2}, [0.5, 0.7, 0.5, 0.3, 0.5]),
        ({"cycles": 1, "baseOpacity": 0.2, "flicker": 0.9}, [0.2, 1, 0.2, 0, 0.2]),
        ({"flicker": 0}, [0.8] * 5),
    ],
)
def test_they_flicker_around_their_opacity(page: PluginPage, params: dict[str, object], opacities: list[float]) -> None:
    page.show("word", ("flames", params))
    assert page.paths("below", "opacity", MOMENTS) == [pytest.approx(opacities)]


def test_they_stand_behind_the_text_along_all_of_it_and_rise_above_it(page: PluginPage) -> None:
    page.show("Caption text", "flames", p=0.5)
    assert page.evaluate("() => [...test.root().firstChild.children].map((e) => e.dataset.ecg)") == [
        "below flames",
        "whole flames text",
    ]
    text, tongues = page.evaluate(TEXT), page.evaluate(TONGUES)
    assert all(text["top"] < tongue["bottom"] < text["bottom"] + 1 for tongue in tongues)
    assert min(tongue["top"] for tongue in tongues) < text["top"]
    middles = sorted((tongue["left"] + tongue["right"]) / 2 for tongue in tongues)
    gaps = [b - a for a, b in itertools.pairwise(middles)]
    assert middles[0] - text["left"] < 40
    assert text["right"] - middles[-1] < 40
    assert max(gaps) < 30


def test_every_tongue_licks_in_its_own_rhythm(page: PluginPage) -> None:
    page.show("Caption text", "flames")
    heights = []
    for frame in range(41):
        page.seek(frame / 40)
        heights.append([tongue["height"] for tongue in page.evaluate(TONGUES)])
    paths = list(zip(*heights, strict=True))
    assert len({tuple(round(h / path[0], 3) for h in path) for path in paths}) == len(paths)
    for path in paths:
        assert 1.2 < max(path) / min(path) < 2.2


def test_fire_is_red_orange_and_yellow(page: PluginPage) -> None:
    page.show("word", "flames", p=0)
    backgrounds = page.evaluate(
        """() => [...test.root().querySelectorAll('[data-ecg="below flames"] > span')].map(
            (e) => getComputedStyle(e).backgroundImage)"""
    )
    colours = [map(int, found) for one in backgrounds for found in re.findall(r"rgba\((\d+), (\d+), (\d+)", one)]
    assert colours
    assert all(red > 200 and green <= red and blue < green + 1 for red, green, blue in colours)


def test_a_long_text_has_not_more_tongues_than_can_be_drawn_in_time(page: PluginPage) -> None:
    page.show("many words " * 30, "flames", p=0)
    assert len(page.evaluate(TONGUES)) <= 72
