"""However the work is cut up and sent, the pictures are the same to the byte."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import numpy as np
import pytest

from captions import box_cue, scenario, talk
from captures import Picture, Tampering, cut, differing, distinct, film, frames_of, open_way, pictures_of
from ecg_renderer.capture import TOLERANCE, compare
from ecg_renderer.capture.patches import BoxOutgrownError
from ecg_renderer.model import Box, Boxes, CaptureWay, Film

SECONDS = 1.6


@pytest.fixture(scope="module")
def shot() -> Film:
    """Two captions, one block each."""
    return film(SECONDS)


@pytest.fixture(scope="module")
def whole(shot: Film) -> dict[int, Picture]:
    """The picture of every frame, each drawn and read as a whole, one after the other."""
    return captured(shot, whole_boxes=True)


def captured(
    shot: Film, *, way: str = "canvas", stages: int = 1, ring: bool = True, whole_boxes: bool = False
) -> dict[int, Picture]:
    async def capture() -> dict[int, Picture]:
        async with open_way(way, shot, stages=stages, ring=ring) as opened:
            if whole_boxes:
                await opened.send_whole_boxes()
            pictures = await pictures_of(opened, shot.blocks, shot.whole)
            whole_area = opened.statistics.patches * shot.whole.area
            assert (opened.statistics.pixels == whole_area) == whole_boxes
            return pictures

    return asyncio.run(capture())


def test_the_captions_keep_moving(whole: dict[int, Picture]) -> None:
    assert distinct(whole) > 0.9 * len(whole)


@pytest.mark.parametrize("way", CaptureWay)
def test_patches_add_up_to_the_whole_picture_of_every_frame(way: str) -> None:
    shot = film(0.8, plugins=("cwi-bouncing", "cwi-loud", "elastic", "fadein"))

    assert differing(captured(shot, way=way), captured(shot, way=way, whole_boxes=True)) == []


@pytest.mark.parametrize("radius", ["4px", "40px"])
def test_patches_add_up_across_round_corners(radius: str) -> None:
    captions = talk(SECONDS, plugins=("cwi-bouncing", "cwi-color", "cwi-loud", "fadein"))
    for cue in captions["cues"]:
        cue["root"]["boxStyle"]["borderRadius"] = radius
    shot = film(SECONDS, captions=captions)

    assert differing(captured(shot), captured(shot, whole_boxes=True)) == []


def test_a_canvas_that_is_shown_gives_the_same_pictures(whole: dict[int, Picture], shot: Film) -> None:
    show = "() => document.head.insertAdjacentHTML('beforeend', '<style>#surface { visibility: visible }</style>')"

    async def shown() -> dict[int, Picture]:
        async with open_way("canvas", shot, launcher=Tampering(show)) as capture:
            return await pictures_of(capture, shot.blocks, shot.whole)

    assert differing(asyncio.run(shown()), whole) == []


def test_parts_that_are_captured_apart_are_those_of_the_whole_picture() -> None:
    below = talk(SECONDS)
    above = box_cue("above", 0.3, 1.2, (0.1, 0.05, 0.3, 0.1), "rgba(0, 200, 80, 0.7)")
    between = box_cue("between", 1.3, 1.4, (0.15, 0.23, 0.1, 0.05), "#ffffff")
    apart = film(SECONDS, captions=scenario([*below["cues"], above]))
    full = film(SECONDS, captions=scenario([*below["cues"], above, between]))
    area = Boxes((Box(20, 0, 300, 80), Box(0, 120, 640, 240)))

    async def capture() -> tuple[dict[int, Picture], Box]:
        async with open_way("canvas", apart, stages=2) as opened:
            pictures = await pictures_of(opened, apart.blocks, area)
            await opened.show(full)
            with pytest.raises(BoxOutgrownError) as caught:
                await pictures_of(opened, full.blocks, area)
            return pictures, caught.value.box

    pictures, lost = asyncio.run(capture())
    together = captured(apart)
    above_all, below_all = area.parts

    assert distinct(pictures) > 30
    for frame, picture in pictures.items():
        assert np.array_equal(picture[:80, :300], together[frame][rows(above_all), columns(above_all)])
        assert np.array_equal(picture[80:], together[frame][rows(below_all), columns(below_all)])
        assert not picture[:80, 300:].any()
    assert Box(60, 60, 220, 60).contains(lost)


def rows(box: Box) -> slice:
    return slice(box.y, box.y + box.height)


def columns(box: Box) -> slice:
    return slice(box.x, box.x + box.width)


@pytest.mark.parametrize("stages", [1, 4, 8])
def test_any_number_of_stages_gives_the_same_pictures(stages: int, shot: Film, whole: dict[int, Picture]) -> None:
    assert differing(captured(cut(shot, 9), stages=stages), whole) == []


@pytest.mark.parametrize("blocks", [1, 3, 13])
def test_blocks_cut_anywhere_give_the_same_pictures(blocks: int, shot: Film, whole: dict[int, Picture]) -> None:
    pieces = cut(shot, blocks)
    assert len(pieces.blocks) == blocks

    assert differing(captured(pieces, stages=2), whole) == []


def test_frames_on_command_depend_little_on_the_frames_before_them(shot: Film) -> None:
    """Chromium's compositor keeps some of the last frame: opacities are rounded in another order after a jump."""
    through, jumping = captured(shot, way="beginframe"), captured(cut(shot, 3), way="beginframe")

    for frame in frames_of(shot):
        comparison = compare(jumping[frame].ravel(), through[frame].ravel(), shot.whole, None)
        assert comparison.worst <= TOLERANCE, f"frame {frame}: {comparison}"


def test_the_blocks_that_a_plan_makes_give_the_same_pictures(whole: dict[int, Picture]) -> None:
    planned = film(SECONDS, cell_frames=8)
    assert len(planned.blocks) > 5

    assert differing(captured(planned, stages=4), whole) == []


def test_a_part_of_the_video_alone_gives_the_same_pictures(shot: Film, whole: dict[int, Picture]) -> None:
    part = replace(shot, blocks=cut(shot, 4).blocks[2:3])

    alone = captured(part)

    assert differing(alone, {frame: whole[frame] for frame in alone}) == []


def test_the_debugging_protocol_gives_the_same_pictures_as_shared_memory(shot: Film, whole: dict[int, Picture]) -> None:
    assert differing(captured(shot, ring=False, stages=2), whole) == []


@pytest.mark.parametrize("ring", [True, False])
def test_a_capture_can_be_used_again(ring: bool, shot: Film, whole: dict[int, Picture]) -> None:
    async def twice() -> list[dict[int, Picture]]:
        async with open_way("canvas", shot, ring=ring) as capture:
            return [await pictures_of(capture, shot.blocks, shot.whole) for _ in range(2)]

    first, second = asyncio.run(twice())

    assert differing(first, whole) == []
    assert differing(second, whole) == []


@pytest.mark.parametrize("way", ["canvas", "screenshot"])
def test_what_moves_without_a_trace_in_the_document_is_captured_whole_on_every_frame(way: str) -> None:
    shot = film(0.8, plugins=())
    moving = "async () => { (await import('/stage.js')).Stage.prototype.movesByItself = () => true; }"

    async def patches(script: str) -> int:
        async with open_way(way, shot, launcher=Tampering(script)) as capture:
            await pictures_of(capture, shot.blocks, shot.whole)
            assert capture.statistics.pixels == capture.statistics.patches * shot.whole.area
            return capture.statistics.patches

    assert asyncio.run(patches("() => {}")) == 1
    assert asyncio.run(patches(moving)) == len(frames_of(shot))
