"""rotation: letters turn into place in space one after another, and quiver a little when they arrive."""

from __future__ import annotations

import math
import re

import pytest

from plugin_page import PluginPage

PROGRESS = [frame / 100 for frame in range(101)]


def params(axis: str, **more: object) -> dict[str, object]:
    return {"axisX": False, "axisY": False, "axisZ": False, axis: True, **more}


def sizes(written: str) -> tuple[float, float]:
    found = re.search(r"scale\((.*?)\)", written)
    numbers = [float(number) for number in found[1].split(", ")] if found else [1.0]
    return numbers[0], numbers[-1]


def test_letters_start_turned_back_small_and_unseen_and_end_in_their_place(page: PluginPage) -> None:
    page.show("word", ("rotation", {"rotationDegrees": 240}))
    for part in page.parts("letter", 0):
        assert sizes(part["written"]) == (pytest.approx(0.25), pytest.approx(0.5))  # turned by 60 degrees
        assert part["opacity"] == 0
    assert [(part["written"], part["opacity"]) for part in page.parts("letter", 1)] == [("none", 1)] * 4


@pytest.mark.parametrize(("p", "degrees", "scale"), [(0, -45, 0.5), (0.35, 180 - 225 / 8, 1.025), (0.7, 180, 1.1)])
def test_the_axis_is_the_one_asked_for(page: PluginPage, p: float, degrees: float, scale: float) -> None:
    def seen(axis: str) -> str:
        return str(page.show("I", ("rotation", params(axis, rotationDegrees=180))).only("letter", p)["written"])

    narrow = pytest.approx(scale * math.cos(math.radians(degrees)), abs=0.001)
    full = pytest.approx(scale, abs=0.001)
    assert sizes(seen("axisY")) == (narrow, full)
    assert sizes(seen("axisX")) == (full, narrow)
    assert sizes(seen("axisZ")) == (full, full)
    assert f"rotate({degrees:g}deg)"[:11] == seen("axisZ")[:11]
    assert "rotate" not in seen("axisX") + seen("axisY")


def test_letters_come_one_after_another(page: PluginPage) -> None:
    for p in (0.25, 0.5):
        seen = [part["opacity"] for part in page.show("caption", "rotation").parts("letter", p)]
        assert seen == sorted(seen, reverse=True)
        assert len(set(seen)) > 3


def test_it_comes_a_tenth_too_large(page: PluginPage) -> None:
    assert page.show("I", "rotation").only("letter", 0.7)["written"] == "scale(1.1)"
    assert page.only("letter", 0.7)["opacity"] == 1


def test_what_is_turned_beyond_its_edge_is_seen_from_behind(page: PluginPage) -> None:
    page.show("I", ("rotation", {"rotationDegrees": 180}))
    assert sizes(page.only("letter", 0.7)["written"])[0] == pytest.approx(-1.1)


def test_every_letter_quivers_in_its_own_way(page: PluginPage) -> None:
    still = {"rotationDegrees": 0, "staggerDelay": 0}
    paths = page.show("caption", ("rotation", still)).paths("letter", "written", PROGRESS)
    quivers = [tuple(sizes(one)[0] / sizes(one)[1] for one in path) for path in paths]
    assert len(set(quivers)) == 7
    assert all(set(path[:80]) == {1} for path in quivers)
    assert 0.996 < min(min(path) for path in quivers) < 0.9995  # the cosine of 5 degrees, and of 2
