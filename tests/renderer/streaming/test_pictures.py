"""Patches become a picture."""

from __future__ import annotations

import numpy as np
import pytest

from ecg_renderer.capture.patches import RgbaPicture, YuvaPicture
from ecg_renderer.colour import Conversion, rgba_to_yuva
from ecg_renderer.model import Box

LIMITED = Conversion.of("bt709", full_range=False)
FULL = Conversion.of("bt709", full_range=True)
WIDTH, HEIGHT = 32, 18
WHOLE = Box(0, 0, WIDTH, HEIGHT)
PATCHES = [Box(0, 0, 8, 4), Box(24, 14, 8, 4), Box(10, 6, 2, 2), Box(4, 2, 20, 14), Box(0, 16, 32, 2)]

chance = np.random.default_rng(1)


def noise(box: Box) -> np.ndarray[tuple[int, int, int], np.dtype[np.uint8]]:
    return chance.integers(0, 256, (box.height, box.width, 4), np.uint8)


@pytest.mark.parametrize(("conversion", "black"), [(LIMITED, 16), (FULL, 0)], ids=["limited range", "full range"])
def test_an_empty_picture_is_transparent_black(conversion: Conversion, black: int) -> None:
    planes = YuvaPicture(WIDTH, HEIGHT, conversion).to_bytes()

    luma, chroma = WIDTH * HEIGHT, WIDTH * HEIGHT // 4
    assert planes == bytes([black]) * luma + bytes([128]) * 2 * chroma + bytes(luma)


@pytest.mark.parametrize("order", [PATCHES, PATCHES[::-1]], ids=["one order", "the other"])
def test_patches_of_planes_give_what_the_patched_pixels_convert_to(order: list[Box]) -> None:
    planes, pixels = YuvaPicture(WIDTH, HEIGHT, LIMITED), RgbaPicture(WIDTH, HEIGHT)
    background = noise(WHOLE)
    planes.apply(WHOLE, rgba_to_yuva(background, LIMITED))
    pixels.apply(WHOLE, background.ravel())

    for box in order:
        patch = noise(box)
        planes.apply(box, rgba_to_yuva(patch, LIMITED))
        pixels.apply(box, patch.ravel())

    assert planes.to_bytes() == rgba_to_yuva(pixels.pixels, LIMITED).tobytes()


@pytest.mark.parametrize("box", [*PATCHES, WHOLE])
def test_a_picture_shows_what_was_applied_and_nothing_else(box: Box) -> None:
    picture = YuvaPicture(WIDTH, HEIGHT, LIMITED)
    patch = rgba_to_yuva(noise(box), LIMITED)
    assert not picture.shows(box, patch)

    picture.apply(box, patch)
    assert picture.shows(box, patch)

    for plane_byte in (0, box.area, box.area + box.area // 4, patch.size - 1):
        other = patch.copy()
        other[plane_byte] ^= 1
        assert not picture.shows(box, other)


def test_a_picture_can_be_cleared() -> None:
    planes, pixels = YuvaPicture(WIDTH, HEIGHT, LIMITED), RgbaPicture(WIDTH, HEIGHT)
    empty = planes.to_bytes()
    patch = noise(WHOLE)
    planes.apply(WHOLE, rgba_to_yuva(patch, LIMITED))
    pixels.apply(WHOLE, patch.ravel())

    planes.clear()
    pixels.clear()

    assert planes.to_bytes() == empty
    assert not pixels.pixels.any()


def test_the_bytes_of_a_picture_do_not_change_later() -> None:
    picture = YuvaPicture(WIDTH, HEIGHT, LIMITED)
    before = picture.to_bytes()

    picture.apply(WHOLE, rgba_to_yuva(noise(WHOLE), LIMITED))

    assert before == YuvaPicture(WIDTH, HEIGHT, LIMITED).to_bytes()
