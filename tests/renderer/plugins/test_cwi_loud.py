"""cwi-loud: the word grows fast, holds trembling, and shrinks back."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from plugin_page import PluginPage

STILL = {"tremble": {"ampPx": 0, "freq": 0}}


def word(page: PluginPage, p: float) -> dict[str, Any]:
    [whole] = page.parts("whole", p)
    return whole


@pytest.mark.parametrize("p", [0, 1])
def test_at_both_ends_the_word_is_as_it_was(page: PluginPage, p: float) -> None:
    seen = word(page.show("word", "cwi-loud"), p)
    assert (seen["x"], seen["y"], seen["scale"], seen["rotate"], seen["opacity"]) == (0, 0, 1, 0, 1)


def test_it_is_at_its_loudest_after_a_fifth_and_stays_so(page: PluginPage) -> None:
    page.show("word", ("cwi-loud", STILL))
    loud = (0.2, 0.3, 0.5, 0.7)
    assert page.paths("whole", "scale", loud) == [pytest.approx([2.15] * 4, abs=0.002)]
    assert page.paths("whole", "y", loud) == [pytest.approx([-12] * 4, abs=0.02)]


def test_it_grows_faster_than_it_shrinks(page: PluginPage) -> None:
    page.show("word", ("cwi-loud", STILL))
    assert word(page, 0.1)["scale"] > 2
    assert word(page, 0.9)["scale"] > 1.2
    [shrinking] = page.paths("whole", "scale", [0.72 + i * 0.028 for i in range(11)])
    assert shrinking == sorted(shrinking, reverse=True)


@pytest.mark.parametrize(
    ("params", "scale", "y"),
    [
        ({"pulse": {"scale": 3}}, 3, -12),
        ({"pulse": {"lift": 40}}, 2.15, -40),
        ({"pulse": {"scale": "1.5", "lift": 0}}, 1.5, 0),
        ({"pulse": {"scale": 1000}}, 6, -12),
        ({"pulse": "loud"}, 2.15, -12),
    ],
)
def test_pulse_says_how_large_and_how_high(page: PluginPage, params: dict[str, object], scale: float, y: float) -> None:
    seen = word(page.show("word", ("cwi-loud", {**STILL, **params})), 0.5)
    assert seen["scale"] == pytest.approx(scale, abs=0.002)
    assert seen["y"] == pytest.approx(y, abs=0.02)


@pytest.mark.parametrize(("params", "most"), [({}, 1.5), ({"tremble": {"ampPx": 5}}, 5)])
def test_it_trembles_as_far_as_told_and_only_while_it_is_loud(
    page: PluginPage, params: dict[str, object], most: float
) -> None:
    page.show("word", ("cwi-loud", params))
    [while_loud] = page.paths("whole", "x", [0.2 + i * 0.005 for i in range(100)])
    assert max(while_loud) == pytest.approx(most, rel=0.02)
    assert min(while_loud) == pytest.approx(-most, rel=0.02)
    assert page.paths("whole", "x", [0.05, 0.1, 0.85, 0.95]) == [[0, 0, 0, 0]]


def test_freq_counts_the_shakes(page: PluginPage) -> None:
    def turns(freq: float) -> int:
        page.show("word", ("cwi-loud", {"tremble": {"freq": freq}}))
        [path] = page.paths("whole", "x", [0.2 + i * 0.0025 for i in range(200)])
        return sum(a < 0 <= b for a, b in itertools.pairwise(path))

    assert turns(12) == pytest.approx(6, abs=1)
    assert turns(24) == pytest.approx(12, abs=1)
