"""Does a video change its size, the shape of its pixels, or its turn on the way? Browsers and conferences write such.

Packets look alike. What tells is their headers, which are compared without decoding anything; only where those differ,
and for VP8 and VP9, whose sizes are in each key frame, key frames are decoded. Where reading all would mean to fetch
all, and for turns, which no header has, a few key frames have to do.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ecg_renderer.errors import RenderError
from ecg_renderer.media.process import input_name, option_words, read_ffmpeg, run_ffprobe, source_options

SECONDS = 300
_SAMPLE_SECONDS = 60
_SAMPLES = 12
# The units of each codec that hold a picture's size.
_HEADERS = {"h264": "7", "hevc": "33", "mpeg2video": "179", "av1": "1"}
_IN_KEY_FRAMES = ("vp8", "vp9")
# Further codecs that may have fields, of which not every container tells.
_FIELDS = ("dvvideo", "mpeg4", "prores", "dnxhd")
MOST_SHAPES = 8
_ENCRYPTED = "Encryption info"


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
            samples = Samples()
            await _key_frames(url, video, samples)
            return samples.later_shapes
    return []


@dataclass
class Samples:
    """What some key frames tell of themselves."""

    shapes: dict[str, None] = field(default_factory=dict)
    """Their sizes, as those of `later_shapes`, each once, in order."""

    turns: list[int] = field(default_factory=list)
    """By how many degrees clockwise they ask to be turned."""

    fields: list[bool] = field(default_factory=list)
    """Whether each is two fields."""

    encrypted: bool = False
    """Only who has a key can decode them."""

    def line(self, line: bytes) -> None:
        """Take a line of ffprobe's."""
        words = line.decode(errors="replace").strip().split(",")
        self.encrypted |= _ENCRYPTED in words
        if "side_data" in words:
            turns = words[words.index("side_data") :]
            self.turns += [-int(word) % 360 for word in turns if word.lstrip("-").isdigit()]
        if words[0] != "frame" or len(words) < 5 or not (words[1].isdigit() and words[2].isdigit()):
            return
        pixels = "" if words[3] in ("", "N/A", "0:1", "1:1") else f" with pixels of {words[3]}"
        if len(self.shapes) < MOST_SHAPES:
            self.shapes.setdefault(f"{words[1]}x{words[2]}{pixels}")
        self.fields.append(words[4] == "1")

    @property
    def later_shapes(self) -> list[str]:
        """Sizes that are not that of the first."""
        return list(self.shapes)[1:]

    @property
    def interlaced(self) -> bool:
        """Most of them are two fields, whatever the file's header says."""
        return sum(self.fields) * 2 > len(self.fields)

    def turn(self, stream: dict[str, Any]) -> int:
        """Return a turn that is not the header's, which FFmpeg 7 hands on to all pictures; 0 where there is none."""
        header = [-int(data["rotation"]) % 360 for data in stream.get("side_data_list", []) if "rotation" in data]
        return next((turn for turn in self.turns if turn not in header), 0)


async def sampled(url: str, report: dict[str, Any], stream: dict[str, Any], video: str) -> Samples:
    """Return what key frames between beginning and end tell; nothing where none of it is to be expected."""
    length = float(stream.get("duration") or report["format"].get("duration") or 0)
    samples = Samples()
    if stream["codec_name"] in (*_HEADERS, *_IN_KEY_FRAMES, *_FIELDS) and length > 0:
        start = float(report["format"].get("start_time") or 0)
        shares = [*range(_SAMPLES), _SAMPLES - 0.5]
        places = ",".join(f"{start + length * share / _SAMPLES:.3f}%+#1" for share in shares)
        with contextlib.suppress(RenderError, TimeoutError):
            await _key_frames(url, video, samples, ["-read_intervals", places], seconds=_SAMPLE_SECONDS)
    if stream["codec_name"] == "hevc":  # of which FFmpeg calls single fields interlaced, that it does not put together
        samples.fields.clear()
    return samples


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


async def _key_frames(
    url: str, video: str, samples: Samples, places: Sequence[str] = (), seconds: int = SECONDS
) -> None:
    entries = "frame=width,height,sample_aspect_ratio,interlaced_frame:frame_side_data=rotation"
    entries += ":packet_side_data=side_data_type"
    words = ["-skip_frame", "nokey", "-select_streams", video, "-show_entries", entries, "-of", "csv", *places]
    await run_ffprobe([*words, *_input(url)], seconds=seconds, on_line=samples.line)


def _input(url: str) -> list[str]:
    return [*option_words(source_options(url, insist=True)), "-i", input_name(url)]
