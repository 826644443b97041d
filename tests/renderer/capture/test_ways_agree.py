"""Three ways out of the browser, one picture."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from captions import scenario, talk, word_cue
from captures import EVERY_PLUGIN, Film, Picture, distinct, film, open_way, pictures_of
from ecg_renderer.capture.selfcheck import TOLERANCE, differences_of

STYLES = {
    "the default shadow": {},
    "a stroke": {"stroke": {"widthRel": 0.01, "color": "#402000"}},
    "a coloured shadow": {"textShadow": "3px 4px 6px rgba(200, 0, 80, 0.9)"},
}


async def sampled(way: str, shot: Film, frames: list[int]) -> dict[int, Picture]:
    async with open_way(way, shot) as capture:
        pictures = await pictures_of(capture, shot.blocks, shot.box)
    assert distinct(pictures) > 10
    return {frame: pictures[frame] for frame in frames}


@pytest.mark.parametrize("style", STYLES)
def test_canvas_beginframe_and_screenshot_show_the_same(style: str) -> None:
    captions = talk(1.6, plugins=EVERY_PLUGIN)
    captions["tracks"][0]["defaultStyle"].update(STYLES[style])
    shot = film(1.6, captions=captions)
    frames = shot.frames[2::5]

    screenshot, beginframe, canvas = (
        asyncio.run(sampled(way, shot, frames)) for way in ("screenshot", "beginframe", "canvas")
    )

    assert all(picture.any() for picture in screenshot.values())
    for frame in frames:
        for other in (beginframe, canvas):
            differences, compared = differences_of(screenshot[frame], other[frame], shot.box, None)
            assert compared > 1000
            assert differences.max() <= TOLERANCE, f"frame {frame}"
    assert {f: int(np.abs(screenshot[f].astype(int)-canvas[f]).max()) for f in frames} == {f:0 for f in frames}
