"""scalepop: letters pop up one after another, larger than they are, and bounce back to their size."""

from __future__ import annotations

import pytest

from plugin_page import PluginPage

PROGRESS = [frame / 200 for frame in range(201)]
YELLOW = "rgb(255, 255, 153)"


def test_letters_start_from_nothing_and_end_in_their_place(page: PluginPage) -> None:
    page.show("word", "scalepop", color="#00ff00")
    assert [(part["scale"], part["opacity"]) for part in page.parts("letter", 0)] == [(0, 0)] * 4
    for part in page.parts("letter", 1):
        assert (part["written"], part["opacity"], part["color"]) == ("none", 1, "rgb(0, 255, 0)")


def test_letters_come_one_after_another(page: PluginPage) -> None:
    paths = page.show("word", "scalepop").paths("letter", "scale", PROGRESS)
    tops = [path.index(max(path)) for path in paths]
    assert tops == sorted(set(tops))


@pytest.mark.parametrize(("params", "size"), [({}, 1.5), ({"popScale": 3}, 3), ({"popScale": 99}, 6)])
def test_two_fifths_on_a_letter_is_as_large_as_told_and_goes_a_tenth_beyond_before(
    page: PluginPage, params: dict[str, object], size: float
) -> None:
    page.show("I", ("scalepop", params))
    assert page.only("letter", 0.4)["scale"] == pytest.approx(size, abs=0.002)
    assert max(page.paths("letter", "scale", PROGRESS)[0]) == pytest.approx(1.1 * size, rel=0.01)


@pytest.mark.parametrize(("strength", "least"), [(0, 0.98), (0.6, 0.8), (1.5, 0.5)])
def test_the_stronger_the_bounce_the_smaller_it_gets_between(page: PluginPage, strength: float, least: float) -> None:
    page.show("I", ("scalepop", {"bounceStrength": strength}))
    [path] = page.paths("letter", "scale", PROGRESS[80:])
    assert least - 0.1 < min(path) < least + 0.1


def test_it_lights_up_while_popping(page: PluginPage) -> None:
    page.show("I", "scalepop", color="#00ff00")
    assert page.only("letter", 0)["color"] == "rgb(0, 255, 0)"
    assert page.only("letter", 0.3)["color"] == YELLOW
    assert page.only("letter", 0.8)["color"] == "rgb(0, 255, 0)"
    page.show("I", ("scalepop", {"colorPop": False}), color="#00ff00")
    assert page.only("letter", 0.3)["color"] == "rgb(0, 255, 0)"


@pytest.mark.parametrize("order", [1, -1])
def test_the_speakers_colour_of_another_plugin_stays(page: PluginPage, order: int) -> None:
    page.show("I", *["scalepop", ("cwi-color", {"color": "#0000ff"})][::order])
    assert page.only("letter", 1)["color"] == "rgb(0, 0, 255)"
