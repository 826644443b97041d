"""glow: a halo around and behind the text that may swell and fade."""

from __future__ import annotations

import pytest

from plugin_page import PluginPage

PULSE_ONCE = {"cycles": 1}
MOMENTS = [0, 0.25, 0.5, 0.75, 1]


def halo(page: PluginPage, look: str) -> list[object]:
    return page.paths("below", look, MOMENTS)[0]


@pytest.mark.parametrize(
    ("params", "strengths"),
    [
        (PULSE_ONCE, [0.4, 0.7, 0.4, 0.2, 0.4]),
        ({**PULSE_ONCE, "intensity": 0.9}, [0.9, 1, 0.9, 0.7, 0.9]),
        ({**PULSE_ONCE, "intensity": 0.1}, [0.1, 0.4, 0.1, 0, 0.1]),
        ({"cycles": 2}, [0.4] * 5),
        ({"pulse": False}, [0.4] * 5),
        ({"pulse": False, "intensity": 7}, [1] * 5),
    ],
)
def test_it_swells_and_fades_around_its_intensity(
    page: PluginPage, params: dict[str, object], strengths: list[float]
) -> None:
    page.show("word", ("glow", params))
    assert halo(page, "opacity") == pytest.approx(strengths)


@pytest.mark.parametrize(
    ("params", "rgb"),
    [({}, "0, 255, 255"), ({"color": "#ffaa00"}, "255, 170, 0"), ({"color": "no colour"}, "0, 255, 255")],
)
def test_halo_and_letters_shine_in_the_colour(page: PluginPage, params: dict[str, object], rgb: str) -> None:
    page.show("word", ("glow", {**params, "pulse": False}), p=0.5)
    background = page.evaluate("() => getComputedStyle(test.root().querySelector('[data-glow]')).backgroundImage")
    assert background == f"radial-gradient(closest-side, rgba({rgb}, 0.4) 30%, rgba({rgb}, 0))"
    shadow = page.parts("whole glow text")[0]["shadow"]
    assert shadow == ", ".join(f"rgba({rgb}, {a}) 0px 0px {px}px" for a, px in ((0.4, 6), (0.32, 12), (0.24, 18)))


def test_the_halo_lies_behind_the_text_and_reaches_beyond_it_on_all_sides(page: PluginPage) -> None:
    page.show("word", "glow", p=0)
    order = page.evaluate("() => [...test.root().firstChild.children].map((e) => e.dataset.ecg)")
    assert order == ["below glow", "whole glow text"]
    inside, outside = page.evaluate(
        """() => ['whole glow text', 'below glow'].map((kind) => {
            const element = test.root().querySelector(`[data-ecg="${kind}"]`);
            const { left, top, right, bottom } = element.getBoundingClientRect();
            return [left, top, -right, -bottom];
        })"""
    )
    assert all(beyond < own - 5 for own, beyond in zip(inside, outside, strict=True))


def test_few_pictures_differ(page: PluginPage) -> None:
    page.show("word", "glow")
    assert len(set(page.paths("below", "opacity", [frame / 200 for frame in range(201)])[0])) <= 11
