"""Two pictures count as the same when they differ on their edges at most, and as different when anything is wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest

from captions import Json, talk
from captures import Picture, block, film, open_way, pictures_of
from ecg_renderer.capture import Comparison, compare, frames_to_check, frames_to_measure
from ecg_renderer.colour import Conversion, rgba_to_yuva
from ecg_renderer.model import Block, Box, Film

CONVERSION = Conversion.of("bt709", full_range=False)


@pytest.fixture(scope="module")
def picture() -> Picture:
    """A real caption: white words with a soft shadow on a half-transparent black box."""
    return captured(talk(0.8))


def captured(captions: Json) -> Picture:
    shot = film(0.8, size=(1280, 720), captions=captions)

    async def capture() -> Picture:
        async with open_way("canvas", shot) as opened:
            return (await pictures_of(opened, [block(22, 23)], shot.whole))[22]

    return asyncio.run(capture())


def in_rgba(one: Picture, other: Picture) -> Comparison:
    return compare(one.ravel(), other.ravel(), box_of(one), None)


def in_planes(one: Picture, other: Picture) -> Comparison:
    flat_one, flat_other = (rgba_to_yuva(picture, CONVERSION) for picture in (one, other))
    return compare(flat_one, flat_other, box_of(one), CONVERSION)


def box_of(picture: Picture) -> Box:
    return Box(0, 0, picture.shape[1], picture.shape[0])


def bounds(picture: Picture) -> tuple[slice, slice]:
    rows, columns = np.nonzero(picture[..., 3])
    return slice(rows.min(), rows.max() + 1), slice(columns.min(), columns.max() + 1)


def moved(picture: Picture, down: int, right: int) -> Picture:
    return np.roll(picture, (down, right), axis=(0, 1))


def without_a_word(picture: Picture) -> Picture:
    changed = picture.copy()
    rows, columns = bounds(picture)
    quarter = (columns.stop - columns.start) // 4
    inner = slice(rows.start + 12, rows.stop - 12), slice(columns.start + 16, columns.start + quarter)
    changed[inner] = (0, 0, 0, 153)
    return changed


def with_a_spot(picture: Picture) -> Picture:
    changed = picture.copy()
    rows, columns = bounds(picture)
    changed[rows.start + 6 : rows.start + 10, columns.start + 40 : columns.start + 80] = (255, 0, 0, 255)
    return changed


def tinted(picture: Picture) -> Picture:
    changed = picture.copy()
    changed[..., 2] = changed[..., 2] * 0.9
    return changed


def fainter(picture: Picture) -> Picture:
    changed = picture.copy()
    changed[..., 3] = changed[..., 3] * 0.95
    return changed


WRONG: dict[str, Callable[[Picture], Picture]] = {
    "nothing there": np.zeros_like,
    "one pixel to the right": lambda picture: moved(picture, 0, 1),
    "one pixel up": lambda picture: moved(picture, -1, 0),
    "a word missing": without_a_word,
    "a spot left behind": with_a_spot,
    "a tint": tinted,
    "a little transparent": fainter,
}


@pytest.mark.parametrize("comparing", [in_rgba, in_planes])
@pytest.mark.parametrize("fault", WRONG)
def test_a_picture_is_wrong_with(
    fault: str, comparing: Callable[[Picture, Picture], Comparison], picture: Picture
) -> None:
    wrong = WRONG[fault](picture)

    assert not comparing(wrong, picture).same
    assert not comparing(picture, wrong).same


def test_a_missing_shadow_is_noticed(picture: Picture) -> None:
    captions = talk(0.8)
    captions["tracks"][0]["defaultStyle"]["textShadow"] = "none"

    bare = captured(captions)

    for comparing in (in_rgba, in_planes):
        assert not comparing(bare, picture).same


@pytest.mark.parametrize("comparing", [in_rgba, in_planes])
def test_a_picture_is_the_same_as_itself(comparing: Callable[[Picture, Picture], Comparison], picture: Picture) -> None:
    comparison = comparing(picture, picture.copy())

    assert comparison.same
    assert (comparison.worst, comparison.edges, comparison.strays) == (0, 0, 0)
    assert comparison.pixels == (picture[..., 3] > 0).sum() > 10_000


@pytest.mark.parametrize("comparing", [in_rgba, in_planes])
def test_the_colour_of_what_is_transparent_does_not_count(
    comparing: Callable[[Picture, Picture], Comparison], picture: Picture
) -> None:
    other = picture.copy()
    other[other[..., 3] == 0] = (255, 255, 255, 0)

    assert comparing(other, picture).worst == 0


def test_three_steps_of_255_are_no_difference(picture: Picture) -> None:
    other = picture.copy()
    other[..., 3][picture[..., 3] > 3] -= 3

    comparison = in_rgba(other, picture)

    assert comparison.same
    assert (comparison.worst, comparison.edges) == (3, 0)


def test_some_pixels_on_edges_may_lie_anywhere_between_their_neighbours(picture: Picture) -> None:
    other = picture.copy()
    slopes = np.abs(np.diff(picture[..., 0].astype(int), axis=1))
    rows, columns = (places[::40] for places in np.nonzero(slopes > 100))
    other[rows, columns] = picture[rows, columns + 1]

    comparison = in_rgba(other, picture)

    assert comparison.worst > 100
    assert comparison.edges == len(rows) > 20
    assert comparison.same


def test_an_empty_picture_compares_with_an_empty_one() -> None:
    empty = np.zeros((36, 64, 4), np.uint8)

    for comparing in (in_rgba, in_planes):
        assert comparing(empty, empty).same
        assert comparing(empty, empty).pixels == 0


def film_with(windows: list[tuple[float, float]], blocks: tuple[Block, ...]) -> Film:
    """Return a film in whose one cue plugins run in `windows`."""
    words = [{"eType": "text", "baseTime": list(window), "pluginChain": [{"name": "fadein"}]} for window in windows]
    root = {"eType": "group", "displayTime": [0, 100], "children": [{"eType": "text"}, *words]}
    return Film({"cues": [{"root": root}]}, (), 640, 360, Fraction(30), blocks)


@pytest.mark.parametrize(
    ("windows", "given", "wanted"),
    [
        ([], [], []),
        ([], [(0, 30, 0)], [15]),
        ([], [(0, 30, 0), (60, 90, 60), (90, 120, 90)], [15, 105]),
        ([(0.1, 0.3)], [(0, 30, 0)], [6, 15]),
        ([(0.1, 0.3), (2.1, 2.3)], [(0, 30, 0), (60, 90, 60)], [6, 15, 75]),
        ([(1.1, 1.3), (2.1, 2.3)], [(0, 30, 0), (60, 90, 60)], [15, 66, 75]),
        ([], [(0, 1, 0)], [0]),
        ([], [(0, 9000, 0)], [90]),
        ([], [(100, 200, 0), (300, 330, 300)], [315]),
        ([], [(1000, 1030, 0)], [1015]),
    ],
    ids=[
        "nothing to capture",
        "one block: its middle",
        "several blocks: the first and the last",
        "a plugin: the middle of its time too",
        "several plugins: the first",
        "a plugin outside the blocks does not count",
        "one frame",
        "a long block: not far from its start",
        "a block after much that would be replayed is passed over",
        "unless there is no other",
    ],
)
def test_frames_to_compare(
    windows: list[tuple[float, float]], given: list[tuple[int, int, int]], wanted: list[int]
) -> None:
    assert frames_to_check(film_with(windows, tuple(block(*each) for each in given))) == wanted


def test_the_frames_before_are_measured_too() -> None:
    assert frames_to_measure([0, 15, 16]) == [0, 13, 14, 15, 16]
