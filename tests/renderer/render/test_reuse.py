"""What was rendered once is not rendered again, and nobody can tell it from what is new."""

from __future__ import annotations

import copy
import itertools
import shutil
import zipfile
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from captions import Json, frame_numbers, number_cue, render_job, talk
from clips import Clip, Numbers, counter, frames, read_counters
from ecg_api.rendering import RenderResult
from ecg_api.renderjob import RenderJob
from ecg_api.renditions import Rendition
from renders import SETTINGS, NoBrowser, rendered

FRAMES = 96
CELLS = 6
CELL = FRAMES // CELLS
RATE = Fraction(30)
NUMBERS = frame_numbers(RATE, FRAMES)


def job_of(folder: Path, captions: Json, **options: object) -> RenderJob:
    return render_job(counter(Clip(frames=FRAMES)), captions, folder / "out.mp4", quality=90, **options)


def render(folder: Path, captions: Json, **options: object) -> RenderResult:
    """Render `captions` in cells of `CELL` frames; `folder` keeps them."""
    return rendered(job_of(folder, captions, **options), folder, segments=CELLS)


def render_with_pictures(folder: Path, captions: Json) -> RenderResult:
    """Render `captions` in cells of `CELL` frames, and as pictures alone."""
    job = job_of(folder, captions)
    alone = [Rendition(uri=(folder / "alone.zip").as_uri())]
    job = job.model_copy(update={"spec": job.spec.model_copy(update={"renditions": alone})})
    return rendered(job, folder, segments=CELLS)


def caption_pictures(folder: Path) -> list[bytes]:
    with zipfile.ZipFile(folder / "alone.zip") as pictures:
        return [pictures.read(name) for name in sorted(pictures.namelist())]


def steps(path: Path) -> list[Fraction]:
    """Return how long after the one before each picture is shown, in seconds, and when the first is."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        times = sorted(packet.pts * stream.time_base for packet in container.demux(stream) if packet.pts is not None)
    return [times[0], *(after - before for before, after in itertools.pairwise(times))]


def stored(folder: Path) -> set[str]:
    return {path.name for path in (folder / "cells").glob("*.mp4")}


def apart(one: list[NDArray[np.uint8]], other: list[NDArray[np.uint8]]) -> list[int]:
    """Return how far the pictures are from each other, frame by frame, in steps of luma."""
    pairs = zip(one, other, strict=True)
    return [int(np.abs(picture.astype(int) - wanted).max()) for picture, wanted in pairs]


@pytest.fixture(scope="module")
def numbered_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the cells of a video that shows the number of each frame."""
    folder = tmp_path_factory.mktemp("numbered")
    assert render(folder, NUMBERS).cells_reused == 0
    return folder


@pytest.fixture
def numbered(numbered_once: Path, tmp_path: Path) -> Path:
    """The same, for this test alone."""
    shutil.copytree(numbered_once / "cells", tmp_path / "cells")
    return tmp_path


def test_a_word_that_is_changed_costs_the_cells_in_which_it_is_seen(tmp_path: Path) -> None:
    captions = talk(float(FRAMES / RATE), plugins=("cwi-color", "cwi-loud", "elastic", "fadein"))
    changed = copy.deepcopy(captions)
    # The third cue, 1.6 to 2.4 s, is seen in the frames 48 to 71: in the cells 3 and 4.
    changed["cues"][2]["root"]["children"][1]["text"] = "CORRECTED"
    (tmp_path / "anew").mkdir()

    first = render_with_pictures(tmp_path, captions)
    before = frames(Path(first.output))
    again = render_with_pictures(tmp_path, changed)
    anew = render_with_pictures(tmp_path / "anew", changed)

    assert (first.cells, first.cells_reused) == (CELLS, 0)
    assert (again.cells, again.cells_reused, anew.cells_reused) == (CELLS, 4, 0)
    assert len(stored(tmp_path)) == CELLS + 2
    drawn = [caption_pictures(folder) for folder in (tmp_path, tmp_path / "anew")]
    assert len(drawn[0]) == FRAMES
    assert drawn[0] == drawn[1], "captions of old and new cells differ from those that are all new"
    after, wanted = frames(Path(again.output)), frames(Path(anew.output))
    seen = range(3 * CELL, 5 * CELL)
    kept = [number for number in range(FRAMES) if number not in seen]
    assert all(np.array_equal(before[number], after[number]) for number in kept)
    assert max(apart([after[n] for n in seen], [before[n] for n in seen])) > 100, "nothing was changed"
    assert max(apart(after, wanted)) <= 24, "more than an encoder's noise"
    assert steps(Path(again.output)) == steps(Path(anew.output)) == [0, *[1 / RATE] * (FRAMES - 1)]


@pytest.mark.parametrize("segments", [1, 4])
def test_every_frame_between_old_and_new_cells_shows_its_own_caption(segments: int, numbered: Path) -> None:
    shown = {17: 1017, 64: 1064, 95: 1095}
    changed = copy.deepcopy(NUMBERS)
    for frame, number in shown.items():
        changed["cues"][frame] = number_cue(frame, RATE, number)
    # As many cells as before, shared out among fewer processes.
    job = job_of(numbered, changed)
    job = job.model_copy(update={"spec": job.spec.model_copy(update={"segments": limited(job, segments)})})

    again = rendered(job, numbered, segments=CELLS)

    # Cells 1, 4 and 5 hold a change.
    assert (again.cells, again.cells_reused) == (CELLS, CELLS - (3 if segments > 1 else 5))
    assert read_counters(Path(again.output)) == [Numbers(n, shown.get(n, n)) for n in range(FRAMES)]
    assert steps(Path(again.output)) == [0, *[1 / RATE] * (FRAMES - 1)]


def limited(job: RenderJob, segments: int) -> object:
    return job.spec.segments.model_copy(update={"max": segments})


def test_a_render_of_which_nothing_is_missing_only_merges(numbered: Path) -> None:
    again = rendered(job_of(numbered, NUMBERS), numbered, segments=CELLS, launcher=NoBrowser())

    assert (again.cells_reused, again.segments, again.distinct_frames) == (CELLS, 0, 0)
    assert read_counters(Path(again.output)) == [Numbers(n, n) for n in range(FRAMES)]


def test_a_cell_that_was_damaged_is_rendered_again_and_no_other(numbered: Path) -> None:
    victim = sorted((numbered / "cells").glob("*.mp4"))[2]
    whole = victim.read_bytes()
    victim.write_bytes(whole[: len(whole) // 2] + b"\x00" * (len(whole) - len(whole) // 2 - 4096) + whole[-4096:])

    again = render(numbered, NUMBERS)

    assert again.cells_reused == CELLS - 1
    assert read_counters(Path(again.output)) == [Numbers(n, n) for n in range(FRAMES)]
    assert victim.exists()


def test_who_asks_for_no_reuse_uses_and_leaves_nothing(numbered: Path) -> None:
    kept = stored(numbered)
    job = job_of(numbered, talk(float(FRAMES / RATE)))
    job = job.model_copy(update={"spec": job.spec.model_copy(update={"reuse": False})})

    results = [rendered(job, numbered, segments=CELLS) for _ in range(2)]

    assert [result.cells_reused for result in results] == [0, 0]
    assert stored(numbered) == kept


def test_the_store_is_brought_down_to_its_limit(tmp_path: Path) -> None:
    nothing = SETTINGS.model_copy(update={"cells_gb": 0})

    result = rendered(job_of(tmp_path, NUMBERS), tmp_path, segments=CELLS, settings=nothing)

    assert stored(tmp_path) == set()
    assert read_counters(Path(result.output)) == [Numbers(n, n) for n in range(FRAMES)]


def test_other_sizes_qualities_and_rates_have_cells_of_their_own(tmp_path: Path) -> None:
    captions = talk(1.0)
    source = counter(Clip(frames=30))
    job = render_job(source, captions, tmp_path / "out.mp4")
    rendered(job, tmp_path)
    for options in ({"quality": 30}, {"width": 160, "height": 90}, {"fps": 15}, {"preset": "fast"}):
        other = render_job(source, captions, tmp_path / "out.mp4", **options)
        assert rendered(other, tmp_path).cells_reused == 0, options
    assert rendered(job, tmp_path).cells_reused == 1


CODECS = {
    "h264": ({}, "out.mp4", "h264", "avc1"),
    "hevc": ({"codec": "hevc", "encoder": "cpu"}, "out.mp4", "hevc", "hvc1"),
    "hevc in mov": ({"codec": "hevc", "encoder": "cpu", "format": "mov"}, "out.mov", "hevc", "hvc1"),
    "av1": ({"codec": "av1", "encoder": "cpu"}, "out.mp4", "av1", "av01"),
    "vp9": ({"format": "webm", "encoder": "cpu"}, "out.webm", "vp9", ""),
    "av1 in webm": ({"format": "webm", "codec": "av1", "encoder": "cpu"}, "out.webm", "av1", ""),
}


@pytest.mark.parametrize("name", CODECS)
def test_whatever_the_codec_cells_join_without_a_seam(name: str, tmp_path: Path) -> None:
    options, file, codec, tag = CODECS[name]
    rate, count = Fraction(30000, 1001), 45
    source = counter(Clip(rate="30000/1001", frames=count))
    job = render_job(source, frame_numbers(rate, count), tmp_path / file, **{"quality": 90, **options})

    result = rendered(job, tmp_path, segments=3)
    again = rendered(job, tmp_path, segments=3, launcher=NoBrowser())

    assert (result.segments, result.cells, again.cells_reused) == (3, 3, 3)
    for path in (Path(result.output), Path(again.output)):
        assert read_counters(path) == [Numbers(n, n) for n in range(count)]
        with av.open(str(path)) as container:
            context = container.streams.video[0].codec_context
            assert context.name.removeprefix("lib").startswith((codec, "dav1d", "aom")), context.name
            assert tag in (context.codec_tag, "")
        first, *others = steps(path)
        if tag:
            assert (first, set(others)) == (0, {1 / rate})
        else:  # WebM counts milliseconds, and its pictures wait for the delay of Opus
            assert first <= Fraction(7, 1000)
            assert all(abs(step - 1 / rate) <= Fraction(1, 1000) for step in others)
