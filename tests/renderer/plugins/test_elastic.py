"""elastic: words spring into place one after another, each from a little tilt of its own."""

from __future__ import annotations

import itertools

import pytest

from plugin_page import PluginPage

PROGRESS = [frame / 200 for frame in range(201)]


def sizes(page: PluginPage, kind: str = "word") -> list[list[float]]:
    """Return the path of each word's size over the whole time."""
    return page.paths(kind, "scale", PROGRESS)


def test_words_start_from_nothing_and_end_in_their_place(page: PluginPage) -> None:
    page.show("three small words", "elastic")
    assert [part["scale"] for part in page.parts("word", 0)] == [0, 0, 0]
    for part in page.parts("word", 1):
        assert (part["x"], part["y"], part["scale"], part["rotate"], part["opacity"]) == (0, 0, 1, 0, 1)


def test_words_come_one_after_another(page: PluginPage) -> None:
    tops = [path.index(max(path)) for path in sizes(page.show("three small words", "elastic"))]
    assert tops == sorted(set(tops))


@pytest.mark.parametrize(
    ("params", "largest"), [({}, 1.3), ({"overshoot": 1.1}, 1.1), ({"overshoot": 1}, 1), ({"overshoot": 99}, 1.6)]
)
def test_overshoot_says_how_far_beyond_its_size_a_word_springs(
    page: PluginPage, params: dict[str, object], largest: float
) -> None:
    [path] = sizes(page.show("word", ("elastic", params)), "whole")
    assert max(path) == pytest.approx(largest, abs=0.04)


def test_a_stronger_bounce_swings_more_often(page: PluginPage) -> None:
    def swings(strength: float) -> int:
        [path] = sizes(page.show("word", ("elastic", {"bounceStrength": strength, "overshoot": 1.6})), "whole")
        return sum((a < 1 <= b) or (b < 1 <= a) for a, b in itertools.pairwise(path))

    assert swings(0) < swings(0.7) < swings(1.5)


def test_a_word_starts_from_the_size_it_is_given(page: PluginPage) -> None:
    [whole] = page.show("word", ("elastic", {"startScale": 0.5})).parts("whole", 0)
    assert whole["scale"] == pytest.approx(0.5, abs=1e-5)


def test_a_longer_delay_leaves_less_time_for_each_word(page: PluginPage) -> None:
    second = page.show("two words", ("elastic", {"staggerDelay": 1.5})).parts("word", 0.5)[1]
    assert second["scale"] == 0
    second = page.show("two words", ("elastic", {"staggerDelay": 1.5, "animationDuration": 15})).parts("word", 0.5)[1]
    assert second["scale"] > 0


def test_each_word_is_tilted_by_at_most_three_degrees(page: PluginPage) -> None:
    page.show("a lot of words that all have a tilt of their own here", ("elastic", {"startScale": 1}))
    tilts = [part["rotate"] for part in page.parts("word", 0)]
    assert max(abs(tilt) for tilt in tilts) <= 3
    assert len(set(tilts)) == len(tilts)
    assert min(tilts) < -0.5
    assert max(tilts) > 0.5


def test_a_word_shown_again_is_tilted_as_before(page: PluginPage) -> None:
    first = page.show("three small words", "elastic").html(0.3)
    again = page.show("three small words", "elastic").html(0.3)
    assert again == first
