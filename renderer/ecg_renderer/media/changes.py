"""Does a video change its size, or the shape of its pixels, on the way? Browsers and conference servers write such.

Packets look alike. What tells is their headers, which are compared without decoding anything; only where those differ,
and for VP8 and VP9, whose sizes are in each key frame, key frames are decoded.
"""

from __future__ import annotations

import contextlib
from typing import Any

from ecg_renderer.errors import RenderError
from ecg_renderer.media.process import input_name, option_words, read_ffmpeg, run_ffprobe, source_options

SECONDS = 300
# The units of each codec that hold a picture's size.
_HEADERS = {"h264": "7", "hevc": "33", "mpeg2video": "179", "av1": "1"}
_IN_KEY_FRAMES = ("vp8", "vp9")
MOST_SHAPES = 8


def may_change(stream: dict[str, Any]) -> bool:
    """Tell whether pictures of a stream's codec may change their size on the way."""
    return stream["codec_name"] in (*_IN_KEY_FRAMES, *_HEADERS)


async def later_shapes(url: str, stream: dict[str, Any], video: str) -> list[str]:
    """Return the sizes that later pictures of the stream `video` have, as 360x640, or 720x576 with pixels of 16:15.

    Empty where all are alike, or when it could not be found out.
    """
    codec = stream["codec_name"]
    with contextlib.suppress(RenderError, TimeoutError):
        if codec in _IN_KEY_FRAMES or (codec in _HEADERS and await _headers_differ(url, stream, video)):
            return (await _key_frame_shapes(url, video))[1:]
    return []


async def _headers_differ(url: str, stream: dict[str, Any], video: str) -> bool:
    """Tell whether the packets have more than one header, or their first one only later.

    Containers have a header of their own, from which one that comes later may differ.
    """
    filtered = ["-c", "copy", "-bsf:v", f"filter_units=pass_types={_HEADERS[stream['codec_name']]}"]
    first: dict[str, str] = {}

    def take(line: bytes) -> None:
        _, _, time, _, _, digest, *_ = [*line.decode(errors="replace").split(","), *[""] * 6]
        if digest and not line.startswith(b"#") and len(first) < MOST_SHAPES:
            first.setdefault(digest.strip(), time.strip())

    inputs = ["-copyts", *_input(url), "-map", f"0:{video}"]
    await read_ffmpeg([*inputs, *filtered, "-f", "framemd5", "pipe:1"], seconds=SECONDS, on_line=take)
    return len(first) > 1 or (bool(first) and str(stream.get("start_pts")) not in first.values())


async def _key_frame_shapes(url: str, video: str) -> list[str]:
    shapes: dict[str, None] = {}

    def take(line: bytes) -> None:
        width, height, aspect, *_ = [*line.decode(errors="replace").strip().split(","), "", "", ""]
        if width.isdigit() and height.isdigit() and len(shapes) < MOST_SHAPES:
            pixels = "" if aspect in ("", "N/A", "0:1", "1:1") else f" with pixels of {aspect}"
            shapes.setdefault(f"{width}x{height}{pixels}")

    entries = ["-select_streams", video, "-show_entries", "frame=width,height,sample_aspect_ratio", "-of", "csv=p=0"]
    await run_ffprobe(["-skip_frame", "nokey", *entries, *_input(url)], seconds=SECONDS, on_line=take)
    return list(shapes)


def _input(url: str) -> list[str]:
    return [*option_words(source_options(url, insist=True)), "-i", input_name(url)]
