"""magnetic: letters appear, scatter as if something pulled at them, and snap back."""

from __future__ import annotations

import itertools

import pytest

from plugin_page import PluginPage

PROGRESS = [frame / 100 for frame in range(101)]
TEXT = "abcdefghijklmnopqrstuvwxyz"
TOGETHER = {"attractionDelay": 0}


def test_letters_start_unseen_in_their_place_and_end_there(page: PluginPage) -> None:
    page.show("word", "magnetic")
    assert [(part["written"], part["opacity"]) for part in page.parts("letter", 0)] == [("none", 0)] * 4
    assert [(part["written"], part["opacity"]) for part in page.parts("letter", 1)] == [("none", 1)] * 4


@pytest.mark.parametrize(("params", "most"), [({}, 15), ({"magnetStrength": 100}, 100), ({"magnetStrength": 0}, 0)])
def test_they_scatter_as_far_as_told_half_of_it_up_and_down(
    page: PluginPage, params: dict[str, object], most: float
) -> None:
    letters = page.show(TEXT, ("magnetic", {**TOGETHER, **params})).parts("letter", 0.4)
    for look, farthest in (("x", most), ("y", most / 2), ("rotate", 15)):
        found = [part[look] for part in letters]
        assert max(map(abs, found)) <= farthest + 0.01
        assert max(found) >= 0.6 * farthest
        assert min(found) <= -0.6 * farthest


def test_letters_go_one_after_another(page: PluginPage) -> None:
    shown = [part["opacity"] for part in page.show("caption", "magnetic").parts("letter", 0.25)]
    assert shown == sorted(shown, reverse=True)
    assert shown[0] == 1
    assert shown[-1] == 0


def test_they_snap_back_faster_and_swing_more_the_more_elastic(page: PluginPage) -> None:
    def swings(elasticity: float) -> int:
        page.show("I", ("magnetic", {"elasticity": elasticity}))
        [path] = page.paths("letter", "x", PROGRESS[40:])
        return sum(a * b < 0 for a, b in itertools.pairwise(path))

    assert swings(0) < swings(0.8) < swings(2)
