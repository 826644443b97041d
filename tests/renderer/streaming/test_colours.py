"""RGBA becomes planes by the source's own matrix and range, in the page and here alike."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from captures import block, film, open_way, pictures_of
from ecg_renderer.browser import Browser
from ecg_renderer.colour import (
    BT709_TO_BT2020,
    Conversion,
    Relighting,
    hlg_to_nits,
    pq_to_nits,
    rgba_to_yuva,
    srgb_to_light,
)

Pixels = NDArray[np.uint8]

CONVERSIONS = [
    pytest.param(Conversion.of(matrix, full_range=full_range), id=f"{matrix} {'full' if full_range else 'limited'}")
    for matrix in ("bt601", "bt709", "bt2020")
    for full_range in (False, True)
]
CONVERSIONS += [
    pytest.param(Conversion.of("bt2020", full_range=False, transfer=transfer, primaries=primaries), id=f"{transfer}")
    for transfer, primaries in (("smpte2084", "bt2020"), ("arib-std-b67", None), ("bt709", "bt2020"))
]
CONVERT = """async ([encoded, width, height, weights]) => {
    const { toYuva } = await import('/yuva.js');
    const rgba = Uint8Array.from(atob(encoded), (letter) => letter.charCodeAt(0));
    const planes = toYuva(rgba.buffer, width, height, weights);
    let text = '';
    for (const byte of planes) text += String.fromCharCode(byte);
    return btoa(text);
}"""


def one_colour(*rgba: int) -> Pixels:
    return np.full((2, 2, 4), rgba, np.uint8)


def planes(rgba: Pixels, conversion: Conversion) -> tuple[int, int, int, int]:
    """Return Y, U, V and A of a picture of two by two pixels of one colour."""
    y, u, v, alpha = np.split(rgba_to_yuva(rgba, conversion), [4, 5, 6])
    assert len(set(y)) == len(set(alpha)) == 1
    return int(y[0]), int(u[0]), int(v[0]), int(alpha[0])


@pytest.mark.parametrize(
    ("matrix", "full_range", "colour", "expected"),
    [
        ("bt709", False, (0, 255, 0), (173, 42, 26)),
        ("bt709", False, (255, 0, 0), (63, 102, 240)),
        ("bt709", False, (0, 0, 255), (32, 240, 118)),
        ("bt709", False, (255, 255, 255), (235, 128, 128)),
        ("bt709", False, (0, 0, 0), (16, 128, 128)),
        ("bt709", False, (128, 128, 128), (126, 128, 128)),
        ("bt709", True, (255, 255, 255), (255, 128, 128)),
        ("bt709", True, (0, 0, 0), (0, 128, 128)),
        ("bt709", True, (255, 0, 0), (54, 99, 255)),
        ("bt709", True, (0, 0, 255), (18, 255, 116)),
        ("bt601", False, (0, 255, 0), (145, 54, 34)),
        ("bt601", False, (255, 0, 0), (81, 90, 240)),
        ("bt601", False, (0, 0, 255), (41, 240, 110)),
        ("bt2020", False, (0, 255, 0), (165, 47, 25)),
        ("bt2020", False, (255, 0, 0), (74, 97, 240)),
    ],
)
def test_pure_colours_have_the_values_of_their_standard(
    matrix: str, full_range: bool, colour: tuple[int, int, int], expected: tuple[int, int, int]
) -> None:
    conversion = Conversion.of(matrix, full_range=full_range)

    found = planes(one_colour(*colour, 255), conversion)

    assert found[:3] == pytest.approx(expected, abs=1)
    assert found[3] == 255


@pytest.mark.parametrize(
    ("transfer", "primaries", "share"),
    [("smpte2084", "bt2020", 0.58), ("arib-std-b67", "bt2020", 0.75), ("bt709", "bt2020", 1), ("bt709", "bt709", 1)],
)
def test_white_is_the_graphics_white_of_the_video(transfer: str, primaries: str, share: float) -> None:
    conversion = Conversion.of("bt2020", full_range=False, transfer=transfer, primaries=primaries)
    y, u, v, _ = planes(one_colour(255, 255, 255, 255), conversion)
    assert y == pytest.approx(16 + 219 * share, abs=0.6)
    assert (u, v) == (128, 128)
    assert planes(one_colour(0, 0, 0, 255), conversion)[:3] == (16, 128, 128)


@pytest.mark.parametrize("primaries", ["bt2020", "smpte432"])
def test_greys_of_wide_sdr_stay_the_same(primaries: str) -> None:
    plain = Conversion.of("bt709", full_range=False)
    wide = Conversion.of("bt709", full_range=False, transfer="bt709", primaries=primaries)
    for level in range(256):
        grey = one_colour(level, level, level, 255)
        assert planes(grey, wide) == planes(grey, plain)


@pytest.mark.parametrize(
    ("transfer", "colour"),
    [
        ("smpte2084", (255, 0, 0)),
        ("smpte2084", (0, 128, 255)),
        ("arib-std-b67", (255, 0, 0)),
        ("arib-std-b67", (40, 200, 90)),
    ],
)
def test_a_colour_of_hdr_has_the_light_of_srgb(transfer: str, colour: tuple[int, int, int]) -> None:
    relighting = Relighting.of(transfer, "bt2020")
    assert relighting
    signal = relighting.apply(np.array([colour], np.int64)) / 255
    nits = hlg_to_nits(signal) if transfer == "arib-std-b67" else pq_to_nits(signal)
    wanted = 203 * BT709_TO_BT2020 @ srgb_to_light(np.array(colour) / 255)
    assert nits[0] == pytest.approx(wanted, rel=0.05, abs=1)


@pytest.mark.parametrize("conversion", CONVERSIONS)
def test_greys_have_no_colour(conversion: Conversion) -> None:
    for level in range(256):
        _, u, v, _ = planes(one_colour(level, level, level, 255), conversion)
        assert (u, v) == (128, 128)


def test_the_colour_of_an_edge_is_that_of_the_letter_not_of_what_is_transparent() -> None:
    conversion = Conversion.of("bt709", full_range=False)
    edge = one_colour(0, 0, 0, 0)
    edge[0, 0] = (0, 255, 0, 255)

    planar = rgba_to_yuva(edge, conversion)

    assert planar[4:6] == pytest.approx([42, 26], abs=1)
    assert list(planar[6:]) == [255, 0, 0, 0]


def pictures() -> Iterator[tuple[str, Pixels]]:
    chance = np.random.default_rng(7)
    yield "noise", chance.integers(0, 256, (36, 64, 4), np.uint8)
    yield "few colours in large areas", chance.integers(0, 256, (6, 8, 4), np.uint8).repeat(8, 0).repeat(6, 1)
    hard_edges = chance.integers(0, 2, (36, 64, 4), np.uint8) * 255
    yield "all or nothing", hard_edges
    faint = chance.integers(0, 256, (36, 64, 4), np.uint8)
    faint[..., 3] = chance.integers(0, 4, (36, 64), np.uint8)
    yield "nearly transparent", faint
    yield (
        "pure",
        np.array([[255, 0, 0, 255], [0, 0, 255, 255], [0, 255, 0, 255]], np.uint8)[None].repeat(2, 1).repeat(2, 0),
    )
    yield "the smallest", chance.integers(0, 256, (2, 2, 4), np.uint8)
    yield "nothing", np.zeros((36, 64, 4), np.uint8)


async def captured() -> Pixels:
    shot = film(0.8)
    async with open_way("canvas", shot) as capture:
        return (await pictures_of(capture, [block(12, 13)], shot.whole))[12]


async def converted_in_the_page(cases: list[tuple[Pixels, Conversion]]) -> list[Pixels]:
    browser = await Browser.start()
    try:
        page = await browser.open_page(64, 36)
        found = []
        for rgba, conversion in cases:
            height, width, _ = rgba.shape
            encoded = base64.b64encode(rgba.tobytes()).decode()
            answer = await page.evaluate(CONVERT, [encoded, width, height, conversion.as_page_config()])
            found.append(np.frombuffer(base64.b64decode(answer), np.uint8))
        return found
    finally:
        await browser.close()


def test_the_page_converts_to_the_same_bytes() -> None:
    cases = {"a caption": asyncio.run(captured()), **dict(pictures())}
    pairs = [(name, rgba, parameters.values[0]) for name, rgba in cases.items() for parameters in CONVERSIONS]
    assert cases["a caption"].any()

    found = asyncio.run(converted_in_the_page([(rgba, conversion) for _, rgba, conversion in pairs]))

    for (name, rgba, conversion), planar in zip(pairs, found, strict=True):
        assert planar.tobytes() == rgba_to_yuva(rgba, conversion).tobytes(), f"{name}, {conversion}"
