"""cwi-whisper: the word shrinks and sinks, flutters, and returns."""

from __future__ import annotations

import itertools

import pytest

from plugin_page import PluginPage

STILL = {"flutter": {"amp": 0}}


@pytest.mark.parametrize("p", [0, 1])
def test_at_both_ends_the_word_is_as_it_was(page: PluginPage, p: float) -> None:
    [seen] = page.show("word", "cwi-whisper").parts("whole", p)
    assert (seen["x"], seen["y"], seen["scale"], seen["rotate"], seen["opacity"]) == (0, 0, 1, 0, 1)


@pytest.mark.parametrize(
    ("params", "scale", "y"),
    [
        ({}, 0.6, 6),
        ({"shrink": {"scale": 0.3}}, 0.3, 6),
        ({"shrink": {"drop": 20}}, 0.6, 20),
        ({"shrink": {"scale": -4, "drop": None}}, 0.05, 6),
    ],
)
def test_it_holds_small_and_low_in_the_middle(
    page: PluginPage, params: dict[str, object], scale: float, y: float
) -> None:
    page.show("word", ("cwi-whisper", {**STILL, **params}))
    quiet = (0.3, 0.5, 0.75)
    assert page.paths("whole", "scale", quiet) == [pytest.approx([scale] * 3, abs=0.002)]
    assert page.paths("whole", "y", quiet) == [pytest.approx([y] * 3, abs=0.02)]


def test_it_goes_and_comes_back_without_a_jump(page: PluginPage) -> None:
    page.show("word", ("cwi-whisper", STILL))
    [path] = page.paths("whole", "scale", [i / 100 for i in range(101)])
    assert path[:29] == sorted(path[:29], reverse=True)
    assert path[76:] == sorted(path[76:])
    assert max(abs(a - b) for a, b in itertools.pairwise(path)) < 0.03


@pytest.mark.parametrize(("flutter", "most"), [({}, 0.02), ({"amp": 0.1}, 0.1), ({"amp": 0.1, "freq": 0}, 0)])
def test_it_flutters_around_its_small_size(page: PluginPage, flutter: dict[str, object], most: float) -> None:
    page.show("word", ("cwi-whisper", {"flutter": flutter}))
    [path] = page.paths("whole", "scale", [0.3 + i * 0.0045 for i in range(101)])
    assert max(path) - 0.6 == pytest.approx(most, abs=0.002)
    assert min(path) - 0.6 == pytest.approx(-most, abs=0.002)
