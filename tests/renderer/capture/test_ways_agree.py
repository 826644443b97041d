"""Three ways out of the browser, one picture."""

from __future__ import annotations

import asyncio
import itertools

from captions import Json, talk
from captures import EVERY_PLUGIN, Picture, distinct, film, frames_of, open_way, pictures_of
from ecg_renderer.capture import compare
from ecg_renderer.model import CaptureWay, Film

# The share of pixels that differ by more than 3/255: ends of curves that Skia snaps another way (see `EDGE_SHARE`).
MOST_EDGES = 0.002

# For the cues in turn. Words without a style have a shadow too, MotionText's own.
STYLES: list[Json] = [
    {"stroke": {"widthRel": 0.01, "color": "#402000"}},
    {"textShadow": "3px 4px 6px rgba(200, 0, 80, 0.9)"},
]


def styled() -> Film:
    captions = talk(4.0, plugins=EVERY_PLUGIN)
    assert 4 * len(captions["cues"]) >= len(EVERY_PLUGIN)
    for cue, style in zip(captions["cues"], itertools.cycle(STYLES), strict=False):
        for word in cue["root"]["children"]:
            word["style"] = style
    return film(4.0, captions=captions, rate="12")


def captured(way: str, shot: Film) -> dict[int, Picture]:
    async def capture() -> dict[int, Picture]:
        async with open_way(way, shot) as opened:
            return await pictures_of(opened, shot.blocks, shot.whole)

    return asyncio.run(capture())


def test_every_way_gives_the_same_picture_of_every_plugin() -> None:
    shot = styled()

    canvas, beginframe, screenshot = (captured(way, shot) for way in CaptureWay)

    assert distinct(screenshot) > 0.9 * len(frames_of(shot))
    for frame in frames_of(shot):
        assert screenshot[frame].any()
        for other in (canvas, beginframe):
            comparison = compare(other[frame].ravel(), screenshot[frame].ravel(), shot.whole, None)
            assert comparison.pixels > 1000
            assert comparison.same, f"frame {frame}: {comparison}"
            assert comparison.edges <= MOST_EDGES * comparison.pixels, f"frame {frame}: {comparison}"


def test_letters_three_hundred_pixels_high_differ_on_their_edges_at_most() -> None:
    shot = film(1.6, size=(1080, 1920), rate="5")

    canvas, beginframe = captured("canvas", shot), captured("beginframe", shot)

    for frame in frames_of(shot):
        comparison = compare(canvas[frame].ravel(), beginframe[frame].ravel(), shot.whole, None)
        assert comparison.same, f"frame {frame}: {comparison}"
        assert comparison.pixels > 50_000
