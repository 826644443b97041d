"""What stands for an hour costs no more than what stands for a second: only what moved is sought again."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from captions import Json, scenario, word_cue
from captures import Picture, film, frames_of, open_way, pictures_of
from ecg_renderer.model import CaptureWay, Film

HOUR = 3600.0
RATE = 30


def logo(*, plugins: tuple[str, ...] = ()) -> Json:
    """Return captions in which four words stand for an hour; where they have plugins, those run in the first second."""
    cue = word_cue(0, 0, HOUR, plugins)
    for number, word in enumerate(cue["root"]["children"]):
        word["baseTime"] = [number / 4, (number + 1) / 4]
    return scenario([cue])


@pytest.fixture(scope="module")
def still() -> Film:
    return film(HOUR, captions=logo(), cell_frames=10 * RATE)


@pytest.fixture(scope="module")
def moving() -> Film:
    return film(HOUR, captions=logo(plugins=("elastic", "fadein")), cell_frames=10 * RATE)


@pytest.mark.parametrize("kind", ["still", "moving"])
def test_the_frames_sought_before_all_blocks_are_few_beside_those_captured(
    kind: str, request: pytest.FixtureRequest
) -> None:
    shot: Film = request.getfixturevalue(kind)

    frames = frames_of(shot)

    assert frames == list(range(round(HOUR) * RATE))
    assert max(block.replayed for block in shot.blocks) <= 2 * RATE, "the first second, and not the hour"
    # Each cell has a beginning of its own, and is drawn alike alone and among others.
    assert all(block.frames.end == after.frames.start for block, after in pairwise(shot.blocks))


def last(shot: Film) -> Film:
    return replace(shot, blocks=shot.blocks[-1:])


def captured(way: CaptureWay, shot: Film) -> tuple[dict[int, Picture], int]:
    """Return the pictures, and how many frames the page sought for them."""

    async def capture() -> tuple[dict[int, Picture], int]:
        async with open_way(way, shot) as opened:
            pictures = await pictures_of(opened, shot.blocks, shot.whole)
            return pictures, opened.statistics.frames_sought

    return asyncio.run(capture())


@pytest.mark.parametrize("way", [CaptureWay.CANVAS, CaptureWay.BEGINFRAME])
def test_the_last_frame_of_an_hour_is_there_at_once_and_is_that_of_a_render_from_the_start(
    way: CaptureWay, moving: Film
) -> None:
    end = last(moving)

    pictures, sought = captured(way, end)

    if way is CaptureWay.CANVAS:
        assert len(pictures) <= sought <= len(pictures) + 2 * RATE
    # The first seconds, drawn through, end with the same standing words.
    first, _ = captured(way, replace(moving, blocks=moving.blocks[:1]))
    assert first[max(first)].any()
    for picture in pictures.values():
        assert np.array_equal(picture, first[max(first)])
