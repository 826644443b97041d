"""Plugins of an origin: their pictures depend on the video's time alone, and are those of a plain page."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from captions import Json
from captures import Picture, differing, film, open_way, pictures_of
from ecg_renderer.capture import TOLERANCE, compare
from ecg_renderer.model import Film
from own_thread import in_own_thread
from plugin_origin import KEYS, module
from plugin_page import scenario
from preview_page import open_preview, similarity

EACH = 1.2
"""Seconds of a caption: its plugin runs in the middle, and what runs by itself goes on."""
RATE = 15
SIZE = (320, 180)
SOUGHT = ("hop@1.0.0", "slide@2.0.0")
"""Those whose pictures depend on their progress alone, in a plain page too."""


def film_with(keys: tuple[str, ...] = KEYS, cell_frames: int | None = None) -> Film:
    """Return a caption for each plugin, one after the other; the version that is meant without one is left out."""
    captions = scenario("", [], {})
    captions["cues"] = [
        cue for index, key in enumerate(keys) for cue in scenario_of(key.removesuffix("@2.0.0"), EACH * index)["cues"]
    ]
    modules = [module(key) for key in keys]
    return film(
        EACH * len(keys), captions=captions, rate=str(RATE), size=SIZE, cell_frames=cell_frames, modules=modules
    )


def scenario_of(name: str, start: float) -> Json:
    captions = scenario("Caption", [(name, {})], {"fontSizeRel": 0.2})
    [cue] = captions["cues"]  # type: ignore[misc]
    span = [start + 0.05, start + EACH - 0.05]
    [text] = cue["root"]["children"]
    text.update(id=f"text-{name}", displayTime=span, baseTime=[start + 0.2, start + 0.8])
    cue["root"].update(id=f"group-{name}", displayTime=span)
    cue.update(id=f"cue-{name}", domLifetime=span)
    return captions


def captured(shot: Film, way: str = "canvas", stages: int = 1) -> dict[int, Picture]:
    async def capture() -> dict[int, Picture]:
        async with open_way(way, shot, stages=stages) as opened:
            pictures = await pictures_of(opened, shot.blocks, shot.whole)
            assert opened.statistics.failures == {}
            return pictures

    return asyncio.run(capture())


def frames_of(key: str) -> range:
    first = round(EACH * RATE) * KEYS.index(key)
    return range(first + 2, first + round(EACH * RATE) - 2)


@pytest.fixture(scope="module")
def whole(node_modules: Path) -> dict[int, Picture]:
    return captured(film_with())


@pytest.mark.parametrize("key", KEYS)
def test_a_plugin_moves(key: str, whole: dict[int, Picture]) -> None:
    assert len({whole[frame].tobytes() for frame in frames_of(key)}) > 5


@pytest.mark.parametrize("stages", [1, 8])
def test_many_blocks_and_stages_give_the_same_pictures(stages: int, whole: dict[int, Picture]) -> None:
    pieces = film_with(cell_frames=4)
    assert len(pieces.blocks) > 3 * len(KEYS)

    assert differing(captured(pieces, stages=stages), whole) == []


def test_a_segment_alone_gives_the_same_pictures(whole: dict[int, Picture]) -> None:
    pieces = film_with(cell_frames=4)
    alone = captured(replace(pieces, blocks=pieces.blocks[1::2]))

    assert differing(alone, {frame: whole[frame] for frame in alone}) == []


@pytest.mark.parametrize("way", ["beginframe", "screenshot"])
def test_another_way_shows_them_alike(way: str, whole: dict[int, Picture]) -> None:
    shot = film_with()
    for frame, picture in captured(shot, way).items():
        comparison = compare(picture.ravel(), whole[frame].ravel(), shot.whole, None)
        assert comparison.same or comparison.worst <= TOLERANCE, f"frame {frame}: {comparison}"


def test_a_plugin_that_is_sought_looks_as_in_a_plain_page() -> None:
    shot = film_with(SOUGHT)
    found = captured(shot)
    moments = [frame for frame in found if frame % 3 == 0]
    with in_own_thread(open_preview()) as preview:
        wanted = preview.pictures(shot, moments)
    for frame in moments:
        comparison = compare(found[frame].ravel(), wanted[frame].ravel(), shot.whole, None)
        assert comparison.same, f"frame {frame}: {comparison}"
        assert similarity(found[frame], wanted[frame]) >= 0.99
