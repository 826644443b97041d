"""slideup: words slide up into their place one after another, and become clear."""

from __future__ import annotations

import pytest

from plugin_page import PluginPage

SLOW = {"easeType": "none", "staggerDelay": 0}


def test_words_start_below_unseen_and_blurred_and_end_in_their_place(page: PluginPage) -> None:
    page.show("three small words", "slideup")
    assert [(part["y"], part["opacity"], part["blur"]) for part in page.parts("word", 0)] == [(30, 0, 3)] * 3
    assert [(part["written"], part["opacity"], part["blur"]) for part in page.parts("word", 1)] == [("none", 1, 0)] * 3


def test_words_come_one_after_another(page: PluginPage) -> None:
    for p in (0.25, 0.5, 0.75):
        heights = [part["y"] for part in page.show("three small words", "slideup").parts("word", p)]
        assert heights == sorted(set(heights))


@pytest.mark.parametrize(
    ("params", "y", "blur"),
    [
        ({}, 15, 1.5),
        ({"slideDistance": 100}, 50, 1.5),
        ({"slideDistance": -100}, -50, 1.5),
        ({"blurEffect": False}, 15, 0),
        ({"easeType": "power2.out"}, 3.75, 0.5),
        ({"easeType": "url(//a.invalid)"}, 3.75, 0.5),
    ],
)
def test_half_way(page: PluginPage, params: dict[str, object], y: float, blur: float) -> None:
    seen = page.show("word", ("slideup", {**SLOW, **params})).only("whole", 0.5)
    assert (seen["y"], seen["blur"]) == (pytest.approx(y), blur)


def test_a_springing_ease_goes_beyond_but_no_blur_is_below_nothing(page: PluginPage) -> None:
    page.show("word", ("slideup", {"easeType": "back.out"}))
    progress = [frame / 50 for frame in range(51)]
    assert min(page.paths("whole", "y", progress)[0]) < -2
    assert min(page.paths("whole", "blur", progress)[0]) == 0
    assert max(page.paths("whole", "opacity", progress)[0]) == 1


def test_few_blurs_differ(page: PluginPage) -> None:
    page.show("word", ("slideup", SLOW))
    assert len(set(page.paths("whole", "blur", [frame / 100 for frame in range(101)])[0])) <= 7
