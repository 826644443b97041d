"""What the preview shows is what the video shows: every plugin, sample and drawn scenario, as in a plain page."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from captions import Json
from captures import EVERY_PLUGIN, Picture, differing, film, frames_of, open_way, pictures_of
from drawn_scenarios import SECONDS as DRAWN_SECONDS
from drawn_scenarios import drawn_scenario
from ecg_renderer.capture import TOLERANCE, compare
from ecg_renderer.model import Film
from own_thread import in_own_thread
from plugin_page import scenario
from preview_page import Preview, open_preview, similarity

HERE = Path(__file__).resolve().parent
SAMPLES = sorted(
    [*(HERE.parent / "scenario" / "samples").glob("*.json"), *(HERE.parents[2] / "examples").glob("*.json")]
)
PARAMS: Json = {"speaker": "anna", "palette": {"anna": "#ffcc00"}}

# Four frames a second, so that frames 4, 6, 8, 10 and 12 are the start, the quarters and the end of the effects.
RATE = "4"
SECONDS = 4
SAMPLE_SECONDS = 10
MOMENTS = [4, 6, 8, 10, 12]

CLOSE_ENOUGH = 0.99
# Pixels that differ by more than 3/255: now and then Skia snaps the end of a curve another way (see `EDGE_SHARE`).
MOST_EDGES = 0.001


@pytest.fixture(scope="module")
def preview(node_modules: Path) -> Iterator[Preview]:
    with in_own_thread(open_preview()) as page:
        yield page


def captured(shot: Film, way: str = "canvas", stages: int = 1) -> dict[int, Picture]:
    async def capture() -> dict[int, Picture]:
        async with open_way(way, shot, stages=stages) as opened:
            return await pictures_of(opened, shot.blocks, shot.whole)

    return asyncio.run(capture())


def all_plugins(cell_frames: int | None = None) -> Film:
    """Return a caption for each plugin, one after the other, with cells of so many frames."""
    captions = scenario("", [], {})
    captions["cues"] = []
    for index, name in enumerate(EVERY_PLUGIN):
        [cue] = scenario("Caption text", [(name, PARAMS)], {})["cues"]  # type: ignore[misc]
        captions["cues"].append(later(cue, name, SECONDS * index))  # type: ignore[attr-defined]
    return film(SECONDS * len(EVERY_PLUGIN), captions=captions, rate=RATE, cell_frames=cell_frames)


def later(cue: Json, name: str, seconds: int) -> Json:
    span = [seconds + 0.9, seconds + 3.1]
    [text] = cue["root"]["children"]
    text.update(id=f"text-{name}", displayTime=span, baseTime=[seconds + 1, seconds + 3])
    root = {**cue["root"], "id": f"group-{name}", "displayTime": span, "children": [text]}
    return {**cue, "id": f"cue-{name}", "domLifetime": span, "root": root}


@pytest.fixture(scope="module")
def plugins_shot() -> Film:
    return all_plugins()


@pytest.fixture(scope="module")
def plugins_captured(plugins_shot: Film) -> dict[int, Picture]:
    return captured(plugins_shot)


@pytest.fixture(scope="module")
def plugins_previewed(plugins_shot: Film, preview: Preview) -> dict[int, Picture]:
    frames = [SECONDS * int(RATE) * index + moment for index in range(len(EVERY_PLUGIN)) for moment in MOMENTS]
    return preview.pictures(plugins_shot, frames)


@pytest.mark.parametrize("name", EVERY_PLUGIN)
def test_a_plugin_looks_as_in_a_plain_page(
    name: str, plugins_shot: Film, plugins_captured: dict[int, Picture], plugins_previewed: dict[int, Picture]
) -> None:
    first = SECONDS * int(RATE) * EVERY_PLUGIN.index(name)
    frames = [first + moment for moment in MOMENTS]
    assert any(plugins_captured[frame].any() for frame in frames)
    for frame in frames:
        check(plugins_captured[frame], plugins_previewed[frame], plugins_shot, f"{name}, frame {frame - first}")


def check(found: Picture, wanted: Picture, shot: Film, label: str) -> None:
    comparison = compare(found.ravel(), wanted.ravel(), shot.whole, None)
    assert comparison.same, f"{label}: {comparison}"
    assert comparison.edges <= MOST_EDGES * comparison.pixels, f"{label}: {comparison}"
    assert similarity(found, wanted) >= CLOSE_ENOUGH, label


def test_similarity_tells_pictures_apart(plugins_captured: dict[int, Picture]) -> None:
    picture = plugins_captured[6]
    moved = picture.copy()
    moved[:, 2:] = picture[:, :-2]
    assert similarity(picture, picture) == pytest.approx(1)
    assert similarity(picture, moved) < CLOSE_ENOUGH


@pytest.fixture(scope="module")
def samples_captured() -> dict[Path, tuple[Film, dict[int, Picture]]]:
    """Every sample, shown by one browser after the other."""
    shots = {file: film(SAMPLE_SECONDS, captions=json.loads(file.read_text()), rate=RATE) for file in SAMPLES}

    async def capture() -> dict[Path, tuple[Film, dict[int, Picture]]]:
        found = {}
        async with open_way("canvas", shots[SAMPLES[0]]) as opened:
            for file, shot in shots.items():
                await opened.show(shot)
                found[file] = shot, await pictures_of(opened, shot.blocks, shot.whole)
        return found

    return asyncio.run(capture())


@pytest.mark.parametrize("file", SAMPLES, ids=lambda file: file.stem)
def test_a_sample_looks_as_in_a_plain_page(
    file: Path, preview: Preview, samples_captured: dict[Path, tuple[Film, dict[int, Picture]]]
) -> None:
    shot, found = samples_captured[file]
    chosen = [*found][:: max(1, len(found) // 12)]
    assert any(found[frame].any() for frame in chosen)
    for frame, wanted in preview.pictures(shot, chosen).items():
        check(found[frame], wanted, shot, f"{file.name}, frame {frame}")


@pytest.mark.parametrize("number", range(6))
def test_a_drawn_scenario_looks_as_in_a_plain_page(number: int, preview: Preview) -> None:
    shot = film(DRAWN_SECONDS, captions=drawn_scenario(number), rate=RATE)
    found = captured(shot)
    assert any(picture.any() for picture in found.values())
    for frame, wanted in preview.pictures(shot, [*found][::2]).items():
        # Layers that shine through each other round one after the other, so more edges differ than those of one text.
        comparison = compare(found[frame].ravel(), wanted.ravel(), shot.whole, None)
        assert comparison.same, f"frame {frame}: {comparison}"
        assert similarity(found[frame], wanted) >= CLOSE_ENOUGH, f"frame {frame}"


def test_another_way_shows_every_plugin_alike(plugins_shot: Film, plugins_captured: dict[int, Picture]) -> None:
    found = captured(plugins_shot, "beginframe")
    for frame in frames_of(plugins_shot):
        comparison = compare(found[frame].ravel(), plugins_captured[frame].ravel(), plugins_shot.whole, None)
        assert comparison.worst <= TOLERANCE, f"frame {frame}: {comparison}"


@pytest.mark.parametrize("stages", [1, 8])
def test_many_blocks_and_stages_give_the_same_pictures_of_every_plugin(
    stages: int, plugins_captured: dict[int, Picture]
) -> None:
    """Each block replays its cue up to its first frame, as a segment does that begins there."""
    pieces = all_plugins(cell_frames=3)
    assert len(pieces.blocks) >= 3 * len(EVERY_PLUGIN)

    assert differing(captured(pieces, stages=stages), plugins_captured) == []


def test_a_segment_alone_gives_the_same_pictures_of_every_plugin(plugins_captured: dict[int, Picture]) -> None:
    pieces = all_plugins(cell_frames=3)
    alone = captured(replace(pieces, blocks=pieces.blocks[1::2]))

    assert differing(alone, {frame: plugins_captured[frame] for frame in alone}) == []
