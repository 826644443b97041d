"""cwi-bouncing: a wave runs through the letters while the word swells a little."""

from __future__ import annotations

import pytest

from plugin_page import PluginPage

PROGRESS = [frame / 60 for frame in range(61)]


@pytest.mark.parametrize("p", [0, 1])
def test_at_both_ends_everything_is_in_its_place(page: PluginPage, p: float) -> None:
    page.show("word", "cwi-bouncing", p=p)
    for part in page.parts("letter") + page.parts("whole"):
        assert (part["x"], part["y"], part["scale"], part["rotate"], part["opacity"]) == (0, 0, 1, 0, 1)


def test_letters_reach_the_top_one_after_another(page: PluginPage) -> None:
    paths = page.show("word", "cwi-bouncing").paths("letter", "y", PROGRESS)
    tops = [path.index(min(path)) for path in paths]
    assert tops == sorted(set(tops))


@pytest.mark.parametrize(("params", "highest"), [({}, 12), ({"waveHeight": 30}, 30), ({"waveHeight": 0}, 0)])
def test_letters_hop_as_high_as_the_wave_and_never_below_the_line(
    page: PluginPage, params: dict[str, object], highest: float
) -> None:
    paths = page.show("word", ("cwi-bouncing", params)).paths("letter", "y", PROGRESS)
    heights = [-y for path in paths for y in path]
    assert max(heights) == pytest.approx(highest, abs=0.1)
    assert min(heights) == pytest.approx(0, abs=0.001)


def test_the_word_swells_by_a_tenth_in_the_middle(page: PluginPage) -> None:
    [whole] = page.show("word", "cwi-bouncing").parts("whole", 0.5)
    assert whole["scale"] == pytest.approx(1.1, abs=0.001)


def test_letters_keep_the_speakers_colour_as_the_wave_passes(page: PluginPage) -> None:
    page.show("word", ("cwi-bouncing", {"speaker": "Ann", "palette": {"Ann": "#0000ff"}}))
    start, middle, end = ([part["color"] for part in page.parts("letter", p)] for p in (0, 0.4, 1))
    assert start == ["rgb(255, 255, 255)"] * 4
    assert middle[0] == "rgb(0, 0, 255)"
    assert middle[-1] == "rgb(255, 255, 255)"
    assert end == ["rgb(0, 0, 255)"] * 4


def test_without_a_speaker_letters_keep_their_own_colour(page: PluginPage) -> None:
    page.show("word", "cwi-bouncing", p=0.5, color="#00ff00")
    assert {part["color"] for part in page.parts("letter")} == {"rgb(0, 255, 0)"}


def test_beside_cwi_color_a_letter_shows_the_one_that_is_further_on(page: PluginPage) -> None:
    slow = ("cwi-bouncing", {"color": "#ff0000"})
    fast = ("cwi-color", {"color": "#0000ff"})
    page.show("word", slow, fast)
    assert page.parts("letter", 0.25)[0]["color"] == "rgb(0, 0, 255)"
