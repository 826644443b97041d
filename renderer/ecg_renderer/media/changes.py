"""Does a video change its size, the shape of its pixels, or its turn on the way? Browsers and conferences write such.

Packets look alike. What tells is their headers, which are compared without decoding anything; only where those differ,
and for VP8 and VP9, whose sizes are in each key frame, key frames are decoded. Where reading all would mean to fetch
all, and for turns, which no header has, a few key frames have to do.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np

from ecg_renderer.errors import RenderError
from ecg_renderer.media.process import (
    INDEXED_FORMATS,
    input_name,
    option_words,
    read_ffmpeg,
    run_ffprobe,
    source_options,
)
from ecg_renderer.media.timing import FrameTimes

SECONDS = 300
# What has not been found by then is not worth waiting for.
_SAMPLE_SECONDS = 15
_SAMPLES = 12
# Of counted sources the sizes are known by headers; what is left to ask is not worth the time of decoding as many.
_COUNTED_SAMPLES = 4
# What lies a little behind a key frame leads to it, also where its time was rounded.
_BEHIND_SECONDS = 0.001
# The units of each codec that hold a picture's size.
_HEADERS = {"h264": "7", "hevc": "33", "mpeg2video": "179", "av1": "1"}
# That of H.264 which holds a picture with which decoding begins anew.
_ANEW = "5"
_IN_KEY_FRAMES = ("vp8", "vp9")
# Further codecs that may have fields, of which not every container tells.
_FIELDS = ("dvvideo", "mpeg4", "prores", "dnxhd")
MOST_SHAPES = 8
_ENCRYPTED = "Encryption info"


def may_change(stream: dict[str, Any]) -> bool:
    """Tell whether pictures of a stream's codec may change their size on the way."""
    return stream["codec_name"] in (*_IN_KEY_FRAMES, *_HEADERS)


@dataclass
class Headers:
    """What the headers of all packets tell. Nothing where all are alike, or when it could not be found out."""

    later_shapes: list[str] = field(default_factory=list)
    """The sizes that later pictures have, as 360x640, or 720x576 with pixels of 16:15."""

    anew: set[int] = field(default_factory=set)
    """When pictures of H.264 are shown with which decoding begins anew (IDR), in ticks of the stream's clock."""


async def read_headers(url: str, stream: dict[str, Any], video: str) -> Headers:
    """Return what the headers of all packets of the stream `video` tell."""
    codec, headers = stream["codec_name"], Headers()
    with contextlib.suppress(RenderError, TimeoutError):
        if codec in _IN_KEY_FRAMES or (codec in _HEADERS and await _headers_differ(url, stream, video, headers.anew)):
            samples = Samples()
            await _key_frames(url, video, samples)
            headers.later_shapes = samples.later_shapes
    return headers


class _SameError(Exception):
    """Ends ffprobe: it returns what it has returned."""


@dataclass
class Samples:
    """What some key frames tell of themselves."""

    shapes: dict[str, None] = field(default_factory=dict)
    """Their sizes, as those of `Headers`, each once, in order."""

    turns: list[int] = field(default_factory=list)
    """By how many degrees clockwise they ask to be turned."""

    fields: list[bool] = field(default_factory=list)
    """Whether each is two fields."""

    encrypted: bool = False
    """Only who has a key can decode them."""

    looked_for: bool = False
    """They were looked for at places: if the second leads to the first key frame, others would only cost time."""

    _first: str = ""

    def line(self, line: bytes) -> None:
        """Take a line of ffprobe's."""
        words = line.decode(errors="replace").strip().split(",")
        self.encrypted |= _ENCRYPTED in words
        if "side_data" in words:
            turns = words[words.index("side_data") :]
            self.turns += [-int(word) % 360 for word in turns if word.lstrip("-").isdigit()]
        if words[0] != "frame" or len(words) < 6 or not (words[2].isdigit() and words[3].isdigit()):
            return
        if self.looked_for and len(self.fields) == 1 and words[1] == self._first != "N/A":
            raise _SameError
        self._first = self._first or words[1]
        pixels = "" if words[4] in ("", "N/A", "0:1", "1:1") else f" with pixels of {words[4]}"
        if len(self.shapes) < MOST_SHAPES:
            self.shapes.setdefault(f"{words[2]}x{words[3]}{pixels}")
        self.fields.append(words[5] == "1")

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


async def sampled(
    url: str, report: dict[str, Any], stream: dict[str, Any], video: str, times: FrameTimes | None
) -> Samples:
    """Return what key frames between beginning and end tell; nothing where none of it is to be expected.

    Nothing, too, where they cannot be read soon: some alone may be unlike the rest. `times`: of counted packets.
    """
    samples = Samples(looked_for=True)
    if stream["codec_name"] in (*_HEADERS, *_IN_KEY_FRAMES, *_FIELDS):
        places = _declared_places(report, stream) if times is None else _known_places(report, stream, times)
        words = ["-read_intervals", ",".join(["%+#1", *(f"{place:.6f}%+#1" for place in places)])]
        try:
            await _key_frames(url, video, samples, words, seconds=_SAMPLE_SECONDS)
        except (RenderError, TimeoutError):
            return Samples(encrypted=samples.encrypted)
        except _SameError:
            pass
    if stream["codec_name"] == "hevc":  # of which FFmpeg calls single fields interlaced, that it does not put together
        samples.fields.clear()
    return samples


def _known_places(report: dict[str, Any], stream: dict[str, Any], times: FrameTimes) -> list[float]:
    """Return where the key frames of a few parts lie that are not the first: others take reading on and on."""
    keys = times.key_frames
    indexed = report["format"]["format_name"] in INDEXED_FORMATS
    ticks = np.array(keys.shown if indexed and not times.decoding_times else keys.decoded, np.int64)
    if not len(ticks):
        return []
    wanted = np.linspace(times.ticks[0], times.ticks[-1], _COUNTED_SAMPLES, endpoint=False)
    latest = np.searchsorted(ticks, [*wanted, times.ticks[-1]], side="right") - 1
    tick = float(Fraction(stream["time_base"]))
    return [int(ticks[place]) * tick + _BEHIND_SECONDS for place in np.unique(latest[latest > 0])]


def _declared_places(report: dict[str, Any], stream: dict[str, Any]) -> list[float]:
    """Return the middle of the last of a dozen parts, and where those behind the first begin; none without an index.

    If even the end leads to the first key frame, there is no other.
    """
    length = float(stream.get("duration") or report["format"].get("duration") or 0)
    if report["format"]["format_name"] not in INDEXED_FORMATS or length <= 0:
        return []
    start = float(report["format"].get("start_time") or 0)
    return [start + length * share / _SAMPLES for share in (_SAMPLES - 0.5, *range(1, _SAMPLES))]


async def _headers_differ(url: str, stream: dict[str, Any], video: str, anew: set[int]) -> bool:
    """Tell whether the packets have more than one header, or their first one only later; fill `anew` of `Headers`.

    Containers have a header of their own, from which one that comes later may differ.
    """
    codec = stream["codec_name"]
    units = [_HEADERS[codec], *([_ANEW] if codec == "h264" else [])]
    filtered = [
        word for number, unit in enumerate(units) for word in (f"-bsf:{number}", f"filter_units=pass_types={unit}")
    ]
    first: dict[str, str] = {}

    def take(line: bytes) -> None:
        number, _, time, _, _, digest, *_ = [*line.decode(errors="replace").split(","), *[""] * 6]
        if not digest or line.startswith(b"#"):
            return
        if number != "0":
            anew.add(int(time))
        elif len(first) < MOST_SHAPES:
            first.setdefault(digest.strip(), time.strip())

    maps = ["-map", f"0:{video}"] * len(units)
    words = ["-copyts", *_input(url), *maps, "-c", "copy", *filtered, "-f", "framehash", "-hash", "murmur3", "pipe:1"]
    await read_ffmpeg(words, seconds=SECONDS, on_line=take)
    return len(first) > 1 or (bool(first) and str(stream.get("start_pts")) not in first.values())


async def _key_frames(
    url: str, video: str, samples: Samples, places: Sequence[str] = (), seconds: int = SECONDS
) -> None:
    entries = "frame=best_effort_timestamp,width,height,sample_aspect_ratio,interlaced_frame:frame_side_data=rotation"
    entries += ":packet_side_data=side_data_type"
    words = ["-skip_frame", "nokey", "-select_streams", video, "-show_entries", entries, "-of", "csv", *places]
    await run_ffprobe([*words, *_input(url)], seconds=seconds, on_line=samples.line)


def _input(url: str) -> list[str]:
    return [*option_words(source_options(url, insist=True)), "-i", input_name(url)]
