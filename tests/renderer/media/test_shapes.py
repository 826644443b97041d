"""Sources of every shape fill the result upright, undistorted, without blur where none is needed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clips import Clip, counter, derived, ffmpeg, frames, read_counters, turned
from ecg_renderer.media import changes
from ecg_renderer.media.counting import ffprobe, frame_times
from ecg_renderer.media.process import Finished
from encodes import Render, probe
from sources import ONE_KEY, X264, cut, marked

FEW = {"frames": 4}


def picture(render: Render) -> np.ndarray:
    return frames(render.segments(1)[0])[1].astype(int)


def test_a_turned_source_is_shown_upright(tmp_path: Path) -> None:
    render = Render(turned(counter(Clip(**FEW))), tmp_path)
    assert (render.source.rotation, render.width, render.height) == (90, 180, 320)
    shown = picture(render)
    assert shown.shape == (320, 180)
    # Frame 1: what was the white cell at the upper left is now at the upper right; grey has come to the left.
    assert shown[10, 135] > 220
    assert shown[200, 135] < 30
    assert abs(shown[160, 20] - 128) < 6


@pytest.mark.parametrize(
    ("matrix", "rotation", "row", "white"),
    [
        ((-1, 0, 0, 1), 180, 0, -10),  # mirrored, as front cameras do
        ((1, 0, 0, -1), 0, -10, 10),  # upside down
        ((0.94, 0.34, -0.34, 0.94), 0, 0, 10),  # by 20 degrees, which nobody heeds
    ],
)
def test_a_mirrored_source_is_mirrored_and_an_odd_angle_passed_over(
    matrix: tuple[float, float, float, float], rotation: int, row: int, white: int, tmp_path: Path
) -> None:
    render = Render(turned(counter(Clip(**FEW)), matrix), tmp_path)
    assert (render.source.rotation, render.width, render.height) == (rotation, 320, 180)
    shown = picture(render)
    assert shown[row, white] > 220
    assert shown[row, -white] < 30


def test_captions_lie_on_the_turned_picture(tmp_path: Path) -> None:
    render = Render(turned(counter(Clip(**FEW))), tmp_path, captions=[(0, 5)])
    assert picture(render)[280, 6] > 220


def test_pixels_that_are_not_square_are_made_square(tmp_path: Path) -> None:
    wide = counter(Clip(**FEW, width=240, filters="setsar=4/3"))
    render = Render(wide, tmp_path)
    assert (render.source.sample_aspect, render.width, render.height) == ("4/3", 320, 180)
    result = render.segments(1)[0]
    assert [numbers.source for numbers in read_counters(result)] == [0, 1, 2, 3]
    again = Render(result, tmp_path)
    assert again.source.sample_aspect == "1/1"


@pytest.mark.parametrize(("shapes", "found"), [(1, []), (2, ["90x160"])])
def test_key_frames_are_decoded_only_of_a_source_whose_headers_differ(
    shapes: int, found: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, parts = tmp_path / "source.ts", tmp_path / "parts.txt"
    for size in ("160x90", "90x160")[:shapes]:
        pictures = ["-f", "lavfi", "-i", f"testsrc=s={size}:r=25:d=0.4"]
        ffmpeg(*pictures, "-c:v", "libx264", "-pix_fmt", "yuv420p", str(tmp_path / f"{size}.ts"))
        with parts.open("a") as listed:
            listed.write(f"file '{size}.ts'\n")
    ffmpeg("-f", "concat", "-i", str(parts), "-c", "copy", str(source))
    decoded: list[str] = []
    decode = changes._key_frames

    async def noted(url: str, video: str, samples: changes.Samples, *places: object, **more: object) -> None:
        decoded.extend([] if places else [url])
        await decode(url, video, samples, *places, **more)

    monkeypatch.setattr(changes, "_key_frames", noted)
    assert probe(source).other_shapes == found
    assert bool(decoded) == bool(found)


def test_cover_crops_both_sides_equally(tmp_path: Path) -> None:
    shown = picture(Render(counter(Clip(**FEW)), tmp_path, options={"width": 180, "height": 180}))
    # Frame 1: the white cell is the leftmost of 16 and is cut off; the lower half is grey from edge to edge.
    assert shown.shape == (180, 180)
    assert shown[40].max() < 30
    assert np.abs(shown[140] - 128).max() < 6


def test_contain_adds_black_bars(tmp_path: Path) -> None:
    options = {"width": 320, "height": 320, "fit": "contain"}
    shown = picture(Render(counter(Clip(**FEW)), tmp_path, options=options))
    assert shown[:66].max() < 20
    assert shown[254:].max() < 20
    assert abs(shown[220, 160] - 128) < 6
    assert shown[100, 10] > 220


@pytest.mark.parametrize("fit", ["cover", "contain"])
@pytest.mark.parametrize("size", [(360, 640), (640, 360), (426, 240), (64, 64)])
def test_every_size_is_met_exactly(size: tuple[int, int], fit: str, tmp_path: Path) -> None:
    render = Render(counter(Clip(**FEW)), tmp_path, options={"width": size[0], "height": size[1], "fit": fit})
    assert picture(render).shape == size[::-1]


@pytest.mark.parametrize("known", [True, False])
def test_an_odd_size_gains_a_row_and_a_column_and_stays_sharp(known: bool, tmp_path: Path) -> None:
    odd = counter(Clip(**FEW, width=321, height=181, codec="ffv1", video=(), suffix=".mkv"))
    render = Render(odd, tmp_path, options={"width": 322, "height": 182, "quality": 100})
    render.source = render.source.model_copy(update={"shapes_known": known})
    source, shown = frames(odd)[1].astype(int), picture(render)
    assert shown.shape == (182, 322)
    assert np.abs(shown[:180, :320] - source[:180, :320]).max() <= 6
    for added in (180, 181):
        assert np.abs(shown[added] - shown[179]).max() <= 6
    for added in (320, 321):
        assert np.abs(shown[:, added] - shown[:, 319]).max() <= 6


def test_a_turned_source_in_another_container_is_found_upright_too(tmp_path: Path) -> None:
    render = Render(derived(turned(counter(Clip(**FEW))), ("-c", "copy"), ".mov"), tmp_path)
    assert (render.source.rotation, render.source.width, render.source.height) == (90, 180, 320)


def sampled(path: Path, *, counted: bool) -> tuple[changes.Samples, list[str]]:
    """Return what key frames tell, and the places at which they were looked for."""
    asked: list[str] = []

    async def ask() -> changes.Samples:
        report = json.loads((await ffprobe(str(path), ["-show_format", "-show_streams", "-of", "json"], 60)).output)
        stream = next(each for each in report["streams"] if each["codec_type"] == "video")
        times = (await frame_times(str(path), "clip", "v:0"))[0] if counted else None
        return await changes.sampled(str(path), report, stream, "v:0", times)

    run = changes.run_ffprobe

    async def noted(words: list[str], **more: Any) -> Finished:
        asked.extend(words[words.index("-read_intervals") + 1].split(","))
        return await run(words, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(changes, "run_ffprobe", noted)
        return asyncio.run(ask()), asked


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi", ".ts"])
def test_each_key_frame_of_a_counted_source_is_looked_for_where_it_is(suffix: str) -> None:
    samples, asked = sampled(cut(suffix, base=marked(coding=(*X264[:-4], "-g", "10", *X264[-2:]))), counted=True)
    assert (len(samples.fields), len(asked)) == (5, 5)
    samples, asked = sampled(cut(suffix, base=marked(coding=ONE_KEY)), counted=True)
    assert (len(samples.fields), asked) == (1, ["%+#1"])


def test_a_single_key_frame_is_looked_at_once_where_only_headers_are_read() -> None:
    samples, asked = sampled(cut(".mkv", base=marked(coding=ONE_KEY)), counted=False)
    assert (len(samples.fields), len(asked)) == (1, 13)
    samples, _ = sampled(cut(".mkv", base=marked(coding=(*X264[:-4], "-g", "20", *X264[-2:]))), counted=False)
    assert len(samples.fields) == 13


def test_key_frames_that_are_not_read_in_time_tell_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    async def slow(words: list[str], *, on_line: Callable[[bytes], None], **_: object) -> Finished:
        on_line(b"frame,0,720,576,1:1,1\n")
        on_line(b"frame,9,576,720,1:1,1,side_data,90\n")
        raise TimeoutError

    monkeypatch.setattr(changes, "run_ffprobe", slow)
    stream = {"codec_name": "h264", "time_base": "1/25", "duration": "60"}
    report = {"format": {"format_name": "matroska,webm", "duration": "60"}}
    samples = asyncio.run(changes.sampled("https://example.org/a.mkv", report, stream, "v:0", None))
    assert (samples.later_shapes, samples.interlaced, samples.turn(stream)) == ([], False, 0)
