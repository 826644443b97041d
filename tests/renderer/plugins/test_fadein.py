"""fadein: letters come up one after another, growing a little."""

from __future__ import annotations

import pytest

from plugin_page import PluginPage


def test_letters_start_unseen_and_end_in_their_place(page: PluginPage) -> None:
    page.show("word", "fadein")
    assert [(part["opacity"], part["scale"]) for part in page.parts("letter", 0)] == [(0, 0.9)] * 4
    assert [(part["opacity"], part["scale"]) for part in page.parts("letter", 1)] == [(1, 1)] * 4


def test_letters_come_one_after_another(page: PluginPage) -> None:
    halfway = [part["opacity"] for part in page.show("caption", "fadein").parts("letter", 0.5)]
    assert halfway == sorted(set(halfway), reverse=True)


@pytest.mark.parametrize(
    ("params", "opacity", "scale"),
    [
        ({"startOpacity": 0.4}, 0.4, 0.9),
        ({"scaleStart": 2}, 0, 2),
        ({"startOpacity": -1, "scaleStart": "nothing"}, 0, 0.9),
    ],
)
def test_a_letter_starts_as_it_is_told(
    page: PluginPage, params: dict[str, object], opacity: float, scale: float
) -> None:
    first = page.show("word", ("fadein", params)).parts("letter", 0)[0]
    assert (first["opacity"], first["scale"]) == (opacity, pytest.approx(scale))


@pytest.mark.parametrize(
    ("ease", "halfway"),
    [("none", 0.5), ("power2.out", 0.88), ("power2.in", 0.13), ("sine.inOut", 0.5), ("gsap.to(1)", 0.88), (None, 0.88)],
)
def test_the_ease_is_one_of_gsaps_or_the_default(page: PluginPage, ease: str | None, halfway: float) -> None:
    [letter] = page.show("I", ("fadein", {"ease": ease})).parts("letter", 0.5)
    assert letter["opacity"] == pytest.approx(halfway, abs=0.011)


def test_delay_and_duration_share_the_time(page: PluginPage) -> None:
    together = ("fadein", {"staggerDelay": 0, "ease": "none"})
    assert [part["opacity"] for part in page.show("word", together).parts("letter", 0.5)] == [0.5] * 4
    apart = ("fadein", {"staggerDelay": 1, "animationDuration": 1, "ease": "none"})
    assert [part["opacity"] for part in page.show("word", apart).parts("letter", 0.625)] == [1, 1, 0.5, 0]


def test_the_ease_may_go_beyond_but_letters_are_never_more_than_opaque(page: PluginPage) -> None:
    page.show("word", ("fadein", {"ease": "elastic.out"}))
    opacities = page.paths("letter", "opacity", [i / 50 for i in range(51)])
    assert max(map(max, opacities)) == 1
    assert min(map(min, opacities)) == 0
