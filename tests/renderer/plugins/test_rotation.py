"""rotation: letters turn into place in space one after another, and quiver a little when they arrive."""

from __future__ import annotations

import re

import pytest

from plugin_page import PluginPage

PROGRESS = [frame / 100 for frame in range(101)]
ONE_AXIS = [("axisX", "rotateX"), ("axisY", "rotateY"), ("axisZ", "rotate")]


def angle(written: str, function: str) -> float:
    found = re.search(rf"\b{function}\((.*?)deg\)", written)
    return float(found[1]) if found else 0.0


def params(axis: str, **more: object) -> dict[str, object]:
    return {"axisX": False, "axisY": False, "axisZ": False, axis: True, **more}


def test_letters_start_turned_back_small_and_unseen_and_end_in_their_place(page: PluginPage) -> None:
    page.show("word", "rotation")
    for part in page.parts("letter", 0):
        assert part["written"] == "perspective(800px) rotateY(-90deg) scale(0.5)"
        assert part["opacity"] == 0
    assert [(part["written"], part["opacity"]) for part in page.parts("letter", 1)] == [("none", 1)] * 4


@pytest.mark.parametrize(("axis", "function"), ONE_AXIS)
def test_the_axis_is_the_one_asked_for(page: PluginPage, axis: str, function: str) -> None:
    page.show("I", ("rotation", params(axis, rotationDegrees=180)))
    for p, degrees in ((0, -45), (0.35, 180 - 225 / 8), (0.7, 180)):
        written = page.only("letter", p)["written"]
        assert angle(written, function) == pytest.approx(degrees, abs=0.01)
        assert [angle(written, other) for _, other in ONE_AXIS if other != function] == [0, 0]


def test_letters_come_one_after_another(page: PluginPage) -> None:
    for p in (0.25, 0.5):
        seen = [part["opacity"] for part in page.show("caption", "rotation").parts("letter", p)]
        assert seen == sorted(seen, reverse=True)
        assert len(set(seen)) > 3


def test_it_comes_a_tenth_too_large(page: PluginPage) -> None:
    written = page.show("I", "rotation").only("letter", 0.7)["written"]
    assert "scale(1.1)" in written
    assert page.only("letter", 0.7)["opacity"] == 1


def test_the_eye_is_as_far_away_as_told(page: PluginPage) -> None:
    assert "perspective(300px)" in page.show("I", ("rotation", {"perspective": 300})).only("letter", 0.2)["written"]
    flat = page.show("I", ("rotation", params("axisZ"))).only("letter", 0.2)["written"]
    assert "perspective" not in flat


def test_what_is_turned_in_space_is_seen_narrower(page: PluginPage) -> None:
    width = "() => test.root().querySelector('[data-ecg=letter]').getBoundingClientRect().width"
    page.show("M", ("rotation", {"rotationDegrees": 240}), p=1)
    at_rest = page.evaluate(width)
    page.seek(0)  # turned back by 60 degrees, at half its size
    assert page.evaluate(width) == pytest.approx(at_rest * 0.25, rel=0.05)


def test_every_letter_quivers_in_its_own_way_by_a_few_degrees(page: PluginPage) -> None:
    page.show("caption", ("rotation", {"rotationDegrees": 0, "staggerDelay": 0}))
    paths = [[angle(w, "rotateY") for w in path] for path in page.paths("letter", "written", PROGRESS)]
    assert max(abs(a) for path in paths for a in path) < 5
    assert len({tuple(path) for path in paths}) == 7
    assert all(path[:80] == [0] * 80 for path in paths)
