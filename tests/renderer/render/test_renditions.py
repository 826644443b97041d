"""One job, several results: shapes, captions alone, subtitles; drawn once a size, and each kept for itself."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import webvtt
from numpy.typing import NDArray

from captions import box_cue, render_job, talk
from clips import Clip, counter, read_counters
from ecg_api.rendering import RenderResult
from ecg_api.renderjob import RenderJob
from ecg_api.status import RenditionStatus
from ecg_renderer import rendering
from ecg_renderer.capture.patches import Capture, draw
from ecg_renderer.errors import ManifestError, StorageError
from ecg_renderer.media import prores
from ecg_renderer.media.alone import _ProRes
from ecg_renderer.model import Area, Block, Box
from plan_facts import a_source, a_target
from renders import rendered

RATE = Fraction(30)
FRAMES = 60
SPOKEN = range(48)  # two cues of 0.8 s; nothing is shown after them
RENDITIONS: list[dict[str, Any]] = [
    {"uri": "alone.mov"},
    {"uri": "alone.webm", "content": "captions"},
    {"uri": "alone.zip"},
    {"uri": "pictures/"},
    {"uri": "vertical.mp4", "width": 180, "height": 320, "focus": {"x": 0}},
    {"uri": "words.srt"},
    {"uri": "words.vtt"},
]


def job_of(folder: Path, renditions: list[dict[str, Any]], **options: object) -> RenderJob:
    captions = talk(1.6, plugins=("cwi-color", "fadein"))
    captions["cues"].append(box_cue("top", 0.3, 1.2, (0.1, 0, 0.3, 0.1), "rgba(0, 200, 80, 0.7)"))
    job = render_job(counter(Clip(frames=FRAMES)), captions, folder / "out.mp4", quality=100, **options)
    data = json.loads(job.model_dump_json(exclude_none=True))
    data["spec"]["renditions"] = renditions
    return RenderJob.model_validate(data, strict=False)


@dataclass(frozen=True)
class Made:
    folder: Path
    result: RenderResult
    areas: list[Area]
    """What was captured, each time that all was drawn anew."""

    def output(self, name: str) -> RenditionStatus:
        return next(output for output in self.result.outputs if output.name == name)


class NotedDraws:
    """Draws as ever, and notes what is captured each time that all is drawn anew."""

    def __init__(self) -> None:
        self.areas: list[Area] = []

    def __call__(self, capture: Capture, blocks: Sequence[Block], area: Area, *more: Any, **rest: Any) -> Any:
        self.areas.append(area)
        return draw(capture, blocks, area, *more, **rest)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("renditions")
    draws = NotedDraws()
    with pytest.MonkeyPatch.context() as patches:
        patches.setattr(rendering, "draw", draws)
        result = rendered(job_of(folder, RENDITIONS, softSubtitles=True), folder)
    return Made(folder, result, draws.areas)


def planes(path: Path, pixels: str) -> list[list[NDArray[np.float64]]]:
    """Return the planes of all frames, decoded by FFmpeg's own decoders (libvpx for alpha in VP9)."""
    shown = []
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        context = stream.codec_context
        if stream.codec_context.name == "vp9":
            context = av.CodecContext.create("libvpx-vp9", "r")
        for packet in container.demux(stream):
            for frame in context.decode(packet if packet.size else None):
                assert frame.format.name == pixels
                shown.append([_values(plane, frame.format.components[0].bits) for plane in frame.planes])
    return shown


def _values(plane: Any, bits: int) -> NDArray[np.float64]:
    kind = np.uint8 if bits == 8 else np.uint16
    rows = np.frombuffer(memoryview(plane), kind).reshape(plane.height, -1)[:, : plane.width]
    return rows.astype(float) / (1 << (bits - 8))


def burnt(source: list[NDArray[np.float64]], alone: list[NDArray[np.float64]]) -> list[NDArray[np.float64]]:
    """Lay captions with chroma of full resolution over a picture, as an editor does."""
    alpha = alone[3] / alone[3].max() if alone[3].any() else alone[3]
    halved = [_halved(part) for part in (alone[1], alone[2], alpha)]
    return [
        source[0] + (alone[0] - source[0]) * alpha,
        source[1] + (halved[0] - source[1]) * halved[2],
        source[2] + (halved[1] - source[2]) * halved[2],
    ]


def _halved(part: NDArray[np.float64]) -> NDArray[np.float64]:
    height, width = part.shape
    return part.reshape(height // 2, 2, width // 2, 2).mean(axis=(1, 3))


def psnr(one: list[NDArray[np.float64]], other: list[NDArray[np.float64]]) -> float:
    errors = np.concatenate([(a - b).ravel() ** 2 for a, b in zip(one, other, strict=True)])
    return float(10 * np.log10(255**2 / max(errors.mean(), 1e-9)))


def test_every_result_is_listed_with_what_it_is(made: Made) -> None:
    names = ["main", *(rendition["uri"].rstrip("/") for rendition in RENDITIONS)]
    assert [output.name for output in made.result.outputs] == names
    for output in made.result.outputs:
        assert output.failure is None
        path = Path(output.uri)
        if path.is_file():
            assert output.size_bytes == path.stat().st_size
            assert output.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
        assert output.frames == (0 if output.content == "subtitles" else FRAMES)
    assert not list(made.folder.glob(".ecg-render-*"))


def test_captions_of_one_size_are_drawn_once(made: Made) -> None:
    assert len(made.areas) == 2  # the main video's size, and the vertical one's


def test_captions_at_the_top_and_the_bottom_are_captured_apart(made: Made) -> None:
    for area, height in zip(made.areas, (180, 320), strict=True):
        above, below = area.parts
        assert below.y - (above.y + above.height) > height // 8
        assert area.height == above.height + below.height


def test_captions_alone_over_the_source_are_the_burnt_in_frames(made: Made) -> None:
    source = planes(counter(Clip(frames=FRAMES)), "yuv420p")
    main = planes(made.folder / "out.mp4", "yuv420p")
    alone = planes(made.folder / "alone.mov", "yuva444p12le")
    assert len(source) == len(main) == len(alone) == FRAMES
    assert min(psnr(burnt(below, over), shown) for below, over, shown in zip(source, alone, main, strict=True)) >= 45
    assert any(over[3].any() for over in alone)
    assert not any(over[3].any() for number, over in enumerate(alone) if number not in SPOKEN)


@pytest.mark.parametrize("name", ["alone.webm", "alone.zip", "pictures"])
def test_all_kinds_of_captions_alone_show_the_same(made: Made, name: str) -> None:
    wanted = [over[3] * 255 / (4095 / 16) for over in planes(made.folder / "alone.mov", "yuva444p12le")]
    if name == "alone.webm":
        found = [over[3] for over in planes(made.folder / name, "yuva420p")]
    else:
        found = [picture[..., 3].astype(float) for picture in pngs(made.folder / name)]
    assert len(found) == FRAMES
    apart = [np.abs(one - other) for one, other in zip(found, wanted, strict=True)]
    assert max(part.mean() for part in apart) < 1.0
    if name != "alone.webm":  # alpha in ProRes and PNG is without loss
        assert max(part.max() for part in apart) < 0.51


def pngs(place: Path) -> list[NDArray[np.uint8]]:
    if place.is_dir():
        data = [path.read_bytes() for path in sorted(place.glob("*.png"))]
    else:
        with zipfile.ZipFile(place) as file:
            data = [file.read(name) for name in sorted(file.namelist())]
    pictures = []
    for one in data:
        decoder = av.CodecContext.create("png", "r")
        frames = [*decoder.decode(av.Packet(one)), *decoder.decode(None)]
        pictures.append(frames[0].to_ndarray(format="rgba"))
    return pictures


def test_captions_alone_are_as_long_as_the_video_and_silent(made: Made) -> None:
    for name in ("alone.mov", "alone.webm"):
        with av.open(str(made.folder / name)) as container:
            (stream,) = container.streams
            assert stream.average_rate == RATE
            times = [packet.pts * packet.time_base for packet in container.demux(stream) if packet.pts is not None]
        assert [round(time * RATE) for time in sorted(times)] == list(range(FRAMES))


def test_the_box_is_where_captions_are_seen(made: Made) -> None:
    box = made.output("alone.mov").box
    seen = np.max([over[3] for over in planes(made.folder / "alone.mov", "yuva444p12le")], axis=0) > 2
    rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
    assert box is not None
    assert (box.x <= columns[0], box.x + box.width > columns[-1]) == (True, True)
    assert (box.y <= rows[0], box.y + box.height > rows[-1]) == (True, True)
    assert box.width < 320
    assert made.output("main").box is None


def test_another_shape_is_laid_out_anew_around_its_focus(made: Made) -> None:
    vertical = planes(made.folder / "vertical.mp4", "yuv420p")
    assert vertical[0][0].shape == (320, 180)
    # 320x180 covers 180x320 as 568x320; with the focus at the left edge its first 180 columns stay. Frame 1 has its
    # white cell, of 16, at the left.
    assert vertical[1][0][60, 10] > 200
    assert vertical[1][0][60, 100] < 40


def test_soft_subtitles_are_a_track_of_the_main_video_alone(made: Made) -> None:
    with av.open(str(made.folder / "out.mp4")) as container:
        assert [stream.codec_context.name for stream in container.streams.subtitles] == ["mov_text"]
    with av.open(str(made.folder / "vertical.mp4")) as container:
        assert not container.streams.subtitles


def test_subtitles_say_what_is_shown(made: Made) -> None:
    said = [caption.text for caption in webvtt.read(str(made.folder / "words.vtt"))]
    assert said == ["every word moves in", "its own time and"]


def test_what_was_drawn_serves_the_next_run(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    draws = NotedDraws()
    monkeypatch.setattr(rendering, "draw", draws)
    before = made.output("alone.mov").sha256
    result = rendered(job_of(made.folder, RENDITIONS[:1]), made.folder)
    assert draws.areas == []
    assert result.outputs[1].sha256 == before
    assert [numbers.source for numbers in read_counters(made.folder / "out.mp4")] == list(range(FRAMES))


class CountedEncoder:
    """A ProRes encoder as ever; counts how many there are."""

    alive = most = 0
    make = staticmethod(prores.encoder)

    def __init__(self, width: int, height: int, colours: list[int]) -> None:
        self.encode = self.make(width, height, colours).encode
        CountedEncoder.alive += 1
        CountedEncoder.most = max(CountedEncoder.most, self.alive)

    def __del__(self) -> None:
        CountedEncoder.alive -= 1


def test_however_many_sizes_pictures_have_only_a_few_encoders_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prores, "encoder", CountedEncoder)
    heights = [16, 32, 48, 64, 80, 96, 16, 48]
    maker = _ProRes(a_target(width=256, height=96), a_source(), Fraction(0), tmp_path / "alone.mov")
    for height in heights:
        luma, chroma = np.full((height, 64), 200, np.uint8), np.full((height // 2, 32), 128, np.uint8)
        maker.show([(Box(0, 0, 64, height), (luma, chroma, chroma, np.full_like(luma, 255)))], 1)
    maker.close()
    shown = planes(tmp_path / "alone.mov", "yuva444p12le")
    assert [int((alpha[:, 0] > 0).sum()) for _, _, _, alpha in shown] == heights
    assert 1 <= CountedEncoder.most <= 5


def test_a_rendition_that_fails_does_not_lose_the_others(
    tmp_path: Path, made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cells").symlink_to(made.folder / "cells")
    monkeypatch.setitem(prores.SETTINGS, "profile", "no profile")
    result = rendered(job_of(tmp_path, [{"uri": "alone.mov"}, {"uri": "alone.zip"}, {"uri": "words.srt"}]), tmp_path)
    failures = [output.failure and output.failure.code for output in result.outputs]
    assert failures == [None, "FFMPEG_ERROR", None, None]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["alone.zip", "cells", "out.mp4", "words.srt"]


@pytest.mark.parametrize(
    ("rendition", "kind", "words"),
    [
        ({"uri": "folder.mp4"}, StorageError, r"spec.renditions\[0\]: The output .* is a directory"),
        ({"uri": "taken/"}, StorageError, "holds notes.txt, which no render wrote"),
        ({"uri": "here/../out.mp4"}, ManifestError, "where spec.output is written too"),
    ],
)
def test_a_place_that_cannot_be_written_is_refused_before_anything_is_rendered(
    tmp_path: Path, rendition: dict[str, Any], kind: type[Exception], words: str
) -> None:
    (tmp_path / "folder.mp4").mkdir()
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "notes.txt").touch()
    with pytest.raises(kind, match=words):
        rendered(job_of(tmp_path, [rendition]), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cells", "folder.mp4", "taken"]
