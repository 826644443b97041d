"""What a caption editor's preview shows: MotionText in a plain page, played from the start.

with open_preview() as preview:
    pictures = preview.pictures(film, [3, 7])      {frame: RGBA of shape (height, width, 4), straight alpha}
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray
from playwright.sync_api import Page, sync_playwright

from ecg_renderer.chromium import COMMON_ARGUMENTS, find_chromium
from ecg_renderer.model import Film
from ecg_renderer.scenario.model import SAMPLED_AFTER
from ecg_renderer.served import ServedFile
from plugin_page import ORIGIN, serve

Picture = NDArray[np.uint8]
HARNESS = Path(__file__).with_suffix(".html")


class Preview:
    """A page that nothing of ours is in but fonts and plugins, and their randomness; those of an origin are as is."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.fetched: dict[str, ServedFile] = {}

    def pictures(self, film: Film, frames: list[int]) -> dict[int, Picture]:
        """Play `film` from its first frame; return the pictures of `frames` (ascending)."""
        self.page.set_viewport_size({"width": film.width, "height": film.height})
        self.fetched = film.served()
        self.page.goto(f"{ORIGIN}/")
        self.page.wait_for_function("window.preview")
        config = film.page_config(stages=1, canvas=False)
        self.page.evaluate("c => preview.load(c.scenario, c.plugins, c.modules, c.fonts)", config)
        found = {}
        begun = 0
        for frame in frames:
            times = [float(n / film.rate) + SAMPLED_AFTER for n in range(begun, frame + 1)]
            self.page.evaluate("times => preview.play(times)", times)
            begun = frame + 1
            found[frame] = decoded(self.page.screenshot(omit_background=True, animations="allow"))
        return found


@contextmanager
def open_preview() -> Iterator[Preview]:
    """Start a browser for previews; close it at the end. A warning, an error or a refused request fails."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=list(COMMON_ARGUMENTS))
        try:
            page = browser.new_page()
            problems: list[str] = []
            page.on("pageerror", lambda error: problems.append(str(error)))
            preview = Preview(page)
            page.route("**/*", lambda route: serve(route, HARNESS, problems, preview.fetched))
            yield preview
            assert problems == []
        finally:
            browser.close()


def decoded(png: bytes) -> Picture:
    """Return a PNG's pixels."""
    codec = av.CodecContext.create("png", "r")
    assert isinstance(codec, av.VideoCodecContext)
    [picture] = codec.decode(av.Packet(png))
    return picture.to_ndarray(format="rgba")  # type: ignore[no-any-return]


def similarity(one: Picture, other: Picture) -> float:
    """Return the SSIM (luma, windows of 8x8 pixels) of two pictures of captions, each over the same grey ramp."""
    first, second = (_luma_over_grey(picture) for picture in (one, other))
    height, width = (side // 8 * 8 for side in first.shape)
    a, b = (_windows(luma[:height, :width]) for luma in (first, second))
    mean_a, mean_b = a.mean(-1), b.mean(-1)
    covariance = (a * b).mean(-1) - mean_a * mean_b
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    numerator = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
    return float((numerator / ((mean_a**2 + mean_b**2 + c1) * (a.var(-1) + b.var(-1) + c2))).mean())


def _windows(luma: NDArray[np.float64]) -> NDArray[np.float64]:
    height, width = luma.shape
    return luma.reshape(height // 8, 8, width // 8, 8).swapaxes(1, 2).reshape(height // 8, width // 8, 64)


def _luma_over_grey(picture: Picture) -> NDArray[np.float64]:
    alpha = picture[..., 3] / 255
    ramp = np.linspace(40, 200, picture.shape[1])
    weights = np.array([0.2126, 0.7152, 0.0722])
    return (picture[..., :3] @ weights) * alpha + ramp * (1 - alpha)
