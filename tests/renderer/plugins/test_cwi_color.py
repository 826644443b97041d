"""cwi-color: letters turn from white to the speaker's colour, left to right."""

from __future__ import annotations

import pytest

from plugin_page import PluginPage

WHITE = "rgb(255, 255, 255)"
BLUE = "rgb(0, 0, 255)"
HALF = "rgb(128, 128, 255)"
TO_BLUE = ("cwi-color", {"color": "#0000ff"})


def colors(page: PluginPage, p: float, kind: str = "letter") -> list[str]:
    return [part["color"] for part in page.parts(kind, p)]


@pytest.mark.parametrize(
    ("p", "expected"),
    [
        (0, [WHITE] * 4),
        (0.125, [HALF, WHITE, WHITE, WHITE]),
        (0.25, [BLUE, WHITE, WHITE, WHITE]),
        (0.5, [BLUE, BLUE, WHITE, WHITE]),
        (0.625, [BLUE, BLUE, HALF, WHITE]),
        (1, [BLUE] * 4),
    ],
)
def test_letters_are_swept_one_after_another(page: PluginPage, p: float, expected: list[str]) -> None:
    assert colors(page.show("word", TO_BLUE), p) == expected


def test_in_bulk_the_whole_word_turns_at_once(page: PluginPage) -> None:
    page.show("word", ("cwi-color", {"color": "#0000ff", "bulk": True}))
    assert [colors(page, p, "whole") for p in (0, 0.5, 1)] == [[WHITE], [HALF], [BLUE]]
    assert page.parts("letter") == []


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"color": "#00f"}, BLUE),
        ({"color": "blue"}, BLUE),
        ({"color": "hsl(240 100% 50%)"}, BLUE),
        ({"color": "rgba(0, 0, 255, 0.5)"}, BLUE),
        ({"color": "#00f8"}, BLUE),
        ({"color": "color(srgb 0 0 1)"}, BLUE),
        ({"color": "oklch(0.452 0.3132 264.05)"}, BLUE),
        ({"color": "lab(29.57% 68.3 -112.03)"}, BLUE),
        ({"color": "color-mix(in srgb, blue 100%, red)"}, BLUE),
        ({"color": "hwb(240 0% 0% / 50%)"}, BLUE),
        ({"color": "oklch(0.452 0.3132 264.05 / 0)"}, WHITE),
        ({"speaker": "Ann", "palette": {"Ann": "#0000ff", "Bo": "#ff0000"}}, BLUE),
        ({"speaker": "Ann", "palette": {"Ann": "#ff0000"}, "color": "#0000ff"}, BLUE),
        ({"speaker": "Ann", "palette": {"Ann": "#0000ff"}, "color": "no colour"}, BLUE),
        ({"speaker": "Ann", "palette": {"Bo": "#0000ff"}}, WHITE),
        ({"speaker": "toString", "palette": {}}, WHITE),
        ({"speaker": "Ann", "palette": {"Ann": "transparent"}}, WHITE),
        ({"speaker": "Ann", "palette": {"Ann": "currentcolor"}}, WHITE),
        ({"speaker": "Ann", "palette": {"Ann": "var(--x, red)"}}, WHITE),
        ({"speaker": "Ann", "palette": "no palette"}, WHITE),
        ({}, WHITE),
    ],
)
def test_the_colour_is_the_given_one_or_the_speakers_or_none(
    page: PluginPage, params: dict[str, object], expected: str
) -> None:
    page.show("word", ("cwi-color", params), p=1)
    seen = page.evaluate("() => getComputedStyle(test.root().querySelector('[data-ecg=letter]') ?? test.root()).color")
    assert seen == expected


def test_at_most_two_letters_change_between_frames_and_each_has_few_colours(page: PluginPage) -> None:
    frames = [frame / 120 for frame in range(121)]
    page.show("caption", TO_BLUE)
    changes = page.evaluate("all => all.map((p) => test.seek(p))", frames)
    assert max(changes[1:]) <= 2
    assert max(len(set(path)) for path in page.paths("letter", "color", frames)) == 7


def test_the_colour_stays_after_the_word_was_spoken(page: PluginPage) -> None:
    page.show("word", TO_BLUE, p=0.5)
    assert colors(page, 2) == [BLUE] * 4


def test_a_stroke_does_not_hide_the_colour(page: PluginPage) -> None:
    page.show("word", TO_BLUE, stroke={"widthRel": 0.01, "color": "#ff0000"})
    assert [part["fill"] for part in page.parts("letter", 1)] == [BLUE] * 4


def test_the_shadow_lies_below_all_letters(page: PluginPage) -> None:
    white = ("cwi-color", {"color": "#ffffff"})
    hard_shadow = "-6px 0 0 #ff00ff"
    # Letters far apart: where glyphs are drawn at quarters of a pixel, spans may round to another quarter.
    page.show("HHH", textShadow=hard_shadow)
    untouched = page.picture()
    page.show("HHH", white, p=0.5, textShadow=hard_shadow)
    assert page.picture() == untouched
