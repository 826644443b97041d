"""Three ways out of the browser, one picture."""

from __future__ import annotations

import asyncio

from captions import Json, talk
from captures import EVERY_PLUGIN, Picture, distinct, film, frames_of, open_way, pictures_of
from ecg_renderer.capture.selfcheck import TOLERANCE, compare
from ecg_renderer.film import Film
from ecg_renderer.model import CaptureWay

# One for each cue in turn. Words without a style have a shadow too, MotionText's own.
STYLES: list[Json] = [
    {"stroke": {"widthRel": 0.01, "color": "#402000"}},
    {"textShadow": "3px 4px 6px rgba(200, 0, 80, 0.9)"},
]


def styled() -> Film:
    captions = talk(1.6, plugins=EVERY_PLUGIN)
    for cue, style in zip(captions["cues"], STYLES, strict=True):
        for word in cue["root"]["children"]:
            word["style"] = style
    return film(1.6, captions=captions)


def captured(way: str, shot: Film) -> dict[int, Picture]:
    async def capture() -> dict[int, Picture]:
        async with open_way(way, shot) as opened:
            return await pictures_of(opened, shot.blocks, shot.whole)

    return asyncio.run(capture())


def test_every_way_gives_the_same_picture_of_every_plugin() -> None:
    shot = styled()

    canvas, beginframe, screenshot = (captured(way, shot) for way in CaptureWay)

    assert distinct(screenshot) > 40
    for frame in frames_of(shot):
        assert screenshot[frame].any()
        for other in (canvas, beginframe):
            comparison = compare(other[frame].ravel(), screenshot[frame].ravel(), shot.whole, None)
            assert comparison.pixels > 1000
            assert comparison.worst <= TOLERANCE, f"frame {frame}: {comparison}"


def test_letters_three_hundred_pixels_high_differ_on_their_edges_at_most() -> None:
    shot = film(1.6, size=(1080, 1920), rate="5")

    canvas, beginframe = captured("canvas", shot), captured("beginframe", shot)

    for frame in frames_of(shot):
        comparison = compare(canvas[frame].ravel(), beginframe[frame].ravel(), shot.whole, None)
        assert comparison.same, f"frame {frame}: {comparison}"
        assert comparison.pixels > 50_000
