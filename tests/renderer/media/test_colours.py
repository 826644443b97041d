"""Colours of captions and source come out as they went in; so do bits, range and tags."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import av
import imageio_ffmpeg
import numpy as np
import pytest

from clips import Clip, counter, ffmpeg, plain_yuva, write_nut
from ecg_renderer.colour import Conversion, rgba_to_yuva
from ecg_renderer.media.arguments import Overlay
from encodes import Render

GREEN = (0, 255, 0, 255)
BT709 = ("-color_primaries", "bt709", "-color_trc", "bt709", "-colorspace", "bt709")
PAL = ("-color_primaries", "bt470bg", "-color_trc", "gamma28", "-colorspace", "bt470bg")
# The same green as (155, 246, 84) in BT.2020 and (117, 251, 76) in Display P3.
WIDE = ("-color_primaries", "bt2020", "-color_trc", "bt2020-10", "-colorspace", "bt2020nc")
P3 = ("-color_primaries", "smpte432", "-color_trc", "bt709", "-colorspace", "bt709")
HD = {"width": 1280, "height": 720, "frames": 3}
SD = {"frames": 3}

# Name: (clip, decoded Y, U, V of pure green, pixel format of the result)
PATCHES: dict[str, tuple[Clip, tuple[int, int, int], str]] = {
    "HD without tags": (Clip(**HD), (173, 42, 27), "yuv420p"),
    "SD without tags": (Clip(**SD), (145, 54, 34), "yuv420p"),
    "SD tagged as BT.709": (Clip(**SD, output=BT709), (173, 42, 27), "yuv420p"),
    "HD tagged as PAL": (Clip(**HD, output=PAL), (145, 54, 34), "yuv420p"),
    "10 bits, BT.2020": (Clip(**SD, pixel_format="yuv420p10le", output=WIDE), (198 * 4, 68 * 4, 94 * 4), "yuv420p10le"),
    "Display P3": (Clip(**SD, output=P3), (196, 65, 76), "yuv420p"),
    "full range": (Clip(**SD, pixel_format="yuvj420p"), (150, 44, 21), "yuvj420p"),
    "10 bits, full range": (
        Clip(**SD, pixel_format="yuv420p10le", output=("-color_range", "pc")),
        (600, 175, 83),
        "yuv420p10le",
    ),
    "10 bits of grey": (
        Clip(**SD, codec="ffv1", video=(), pixel_format="gray10le", suffix=".mkv"),
        (600, 175, 83),
        "yuv420p10le",
    ),
    "full chroma": (Clip(**SD, pixel_format="yuv444p", output=BT709), (173, 42, 27), "yuv420p"),
    "RGB": (Clip(**HD, codec="libx264rgb", pixel_format="bgr24", suffix=".mkv"), (173, 42, 27), "yuv420p"),
    "VP9": (
        Clip(**SD, suffix=".webm", codec="libvpx-vp9", audio=None, video=("-crf", "10", "-b:v", "0")),
        (145, 54, 34),
        "yuv420p",
    ),
}


@pytest.fixture(autouse=True, params=["installed", "newest"])
def program(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Render with the system's FFmpeg, and with the newest one that a Python package brings."""
    if request.param == "newest":
        monkeypatch.setenv("ECG_FFMPEG", imageio_ffmpeg.get_ffmpeg_exe())
    return str(request.param)


def rendered(render: Render, pixels: bytes) -> av.VideoFrame:
    """Return the first frame of `render` with one caption picture in its box."""
    nut = render.folder / "caption.nut"
    write_nut(str(nut), (render.box.width, render.box.height), render.rate, [(0, pixels)])
    job = render.job(0, 3, Overlay(render.box, str(nut)), "patch.mp4")
    render.encode(job)
    return first_frame(job.output)


def first_frame(path: Path) -> av.VideoFrame:
    with av.open(str(path)) as container:
        return next(container.decode(video=0))


def sample(frame: av.VideoFrame, x: float, y: float) -> tuple[int, ...]:
    """Return Y, U, V at a place given as shares of width and height."""
    kind = np.uint16 if "10" in frame.format.name else np.uint8
    values = []
    for plane in frame.planes:
        rows = np.frombuffer(bytes(plane), kind).reshape(plane.height, -1)
        values.append(int(rows[int(y * plane.height), int(x * plane.width)]))
    return tuple(values)


def caption(render: Render, rgba: tuple[int, int, int, int]) -> bytes:
    colour, full_range = render.target.colour, render.job(0, 1, None, "").pictures.full_range
    conversion = Conversion.of(
        colour.matrix, full_range=full_range, transfer=colour.transfer, primaries=colour.primaries
    )
    pixels = np.full((render.box.height, render.box.width, 4), rgba, np.uint8)
    return rgba_to_yuva(pixels, conversion).tobytes()


def test_vp9_takes_the_limited_range_only(tmp_path: Path) -> None:
    render = Render(counter(Clip(**SD, pixel_format="yuvj420p")), tmp_path, options={"quality": 100, "encoder": "vp9"})
    frame = rendered(render, caption(render, GREEN))
    assert sample(frame, 0.5, 0.7) == pytest.approx((145, 54, 34), abs=2)
    assert (frame.format.name, first_stream_tags(tmp_path / "patch.mp4")["color_range"]) == ("yuv420p", "tv")


@pytest.mark.parametrize("name", PATCHES)
def test_a_pure_green_caption_decodes_to_that_green_in_the_sources_colours(name: str, tmp_path: Path) -> None:
    clip, expected, pixel_format = PATCHES[name]
    render = Render(counter(clip), tmp_path, options={"quality": 100})
    frame = rendered(render, caption(render, GREEN))
    slack = 8 if "10" in pixel_format else 2
    assert sample(frame, 0.5, 0.7) == pytest.approx(expected, abs=slack)
    assert frame.format.name == pixel_format


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        (BT709, ("bt709", "bt709", "bt709")),
        (PAL, ("bt470bg", "bt470bg", "bt470bg")),
        (WIDE, ("bt2020nc", "bt2020", "bt2020-10")),
        ((), ("smpte170m", "smpte170m", "smpte170m")),
    ],
)
def test_the_result_is_tagged_as_the_source_or_as_players_guess(
    tags: tuple[str, ...], expected: tuple[str, str, str], tmp_path: Path
) -> None:
    render = Render(counter(Clip(**SD, output=tags)), tmp_path, captions=[(0, 1)])
    path, _ = render.merged(render.segments(2))
    stream = first_stream_tags(path)
    assert [stream[name] for name in ("color_space", "color_primaries", "color_transfer")] == list(expected)


def first_stream_tags(path: Path) -> dict[str, str]:
    command = ["ffprobe", "-v", "error", "-select_streams", "v", "-show_streams", "-of", "json", str(path)]
    report = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
    stream: dict[str, str] = json.loads(report)["streams"][0]
    return stream


def test_pictures_outside_the_caption_are_those_of_the_source(tmp_path: Path) -> None:
    path = counter(Clip(**SD, video=("-qp", "0", "-preset", "ultrafast")))
    render = Render(path, tmp_path, options={"quality": 100, "preset": "medium"})
    source, result = first_frame(path).to_ndarray(), rendered(render, caption(render, GREEN)).to_ndarray()
    above = render.box.y
    difference = source[:above].astype(int) - result[:above].astype(int)
    assert np.abs(difference).max() <= 4


@pytest.mark.parametrize("pixel_format", ["yuv422p10le", "yuv420p10le", "yuvj420p", "yuvj422p"])
@pytest.mark.parametrize("size", [(320, 180), (160, 90)], ids=["its own size", "half its size"])
def test_full_range_stays_full(pixel_format: str, size: tuple[int, int], tmp_path: Path) -> None:
    full = Clip(**SD, pixel_format=pixel_format, output=("-color_range", "pc"))
    render = Render(counter(full), tmp_path, options={"quality": 100, "width": size[0], "height": size[1]})
    frame = rendered(render, caption(render, (0, 0, 0, 0)))
    before = sample(first_frame(counter(full)), 0.5, 0.7)[0]
    assert sample(frame, 0.5, 0.7)[0] == pytest.approx(before, abs=2 if frame.format.name == "yuvj420p" else 4)
    assert first_stream_tags(tmp_path / "patch.mp4")["color_range"] == "pc"


@pytest.mark.parametrize(("alpha", "luma"), [(0, 128), (128, 182), (255, 235)])
def test_alpha_is_straight(alpha: int, luma: int, tmp_path: Path) -> None:
    render = Render(counter(Clip(**SD)), tmp_path, options={"quality": 100})
    picture = plain_yuva(235, 128, 128, alpha, (render.box.width, render.box.height))
    assert sample(rendered(render, picture), 0.5, 0.7)[0] == pytest.approx(luma, abs=2)


def test_a_still_has_the_rgb_that_was_drawn(tmp_path: Path) -> None:
    render = Render(counter(Clip(**HD)), tmp_path)
    nut = tmp_path / "caption.nut"
    write_nut(str(nut), (render.box.width, render.box.height), render.rate, [(0, caption(render, (200, 60, 30, 255)))])
    job = render.job(1, 2, Overlay(render.box, str(nut)), "still.png")
    render.still(job)
    rgb = ffmpeg("-i", str(job.output), "-f", "rawvideo", "-pix_fmt", "rgb24", "-")
    pixels = np.frombuffer(rgb, np.uint8).reshape(720, 1280, 3)
    assert pixels[560, 640].tolist() == pytest.approx([200, 60, 30], abs=3)
    # The source's own number, 1, is in the upper half: its first cell is bright, the rest black.
    assert pixels[180, 20].tolist() == pytest.approx([235, 235, 235], abs=3)
    assert pixels[180, 640].tolist() == pytest.approx([0, 0, 0], abs=3)
