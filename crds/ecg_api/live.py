"""A render that can be watched while it goes on: its finished pieces as an HLS event playlist. Pure.

    LiveStream   what all pieces are called ───────┐
    Track        the leading ones, as they lie ────┴─> playlists ─> live.m3u8 ─┬─> live/video.m3u8 ─> KEY-ENCODER.mp4
                 there, of video and of sound                                  └─> live/sound.m3u8 ─> KEY-aac.mp4

Nothing is copied: a playlist names stored pieces, which bytes of the first are the header, and which bytes of each are
media. An event playlist only grows, so it lists the longest finished beginning, and no rendition further than the
other: players stall at what one of them lacks.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Annotated

from pydantic import Field

from ecg_api.base import StoredModel
from ecg_api.rational import PositiveRational

MASTER, FOLDER = "live.m3u8", "live"
VIDEO, SOUND = "video.m3u8", "sound.m3u8"
MEDIA_TYPE = "application/vnd.apple.mpegurl"
END = "#EXT-X-ENDLIST\n"
DURATION = "dev.ecg.render.duration"
"""Session data of the master: seconds that all of it will play, which an event playlist cannot say itself."""
HEAD_BYTES = 8 * 1024
"""Of a piece; more than a header ever has."""
PIECE_NAME = re.compile(r"[0-9a-f]{64}-[a-z0-9-]+\.mp4")
PieceName = Annotated[str, Field(pattern=f"^{PIECE_NAME.pattern}$")]

_AAC = "mp4a.40.2"
# Else players begin near the end of what is there. Not in the master: FFmpeg then takes that for a stream, too.
_START = "#EXT-X-START:TIME-OFFSET=0,PRECISE=YES\n"


class LiveStream(StoredModel):
    """What the stream of a whole render will be."""

    rate: PositiveRational = Field(description="Frames per second.")
    frames: int = Field(ge=1)
    cell_frames: int = Field(ge=1, description="Frames of each piece; the last may be shorter.")
    width: int = Field(ge=2)
    height: int = Field(ge=2)
    video: list[PieceName] = Field(min_length=1, description="Names of the cells, in order.")
    sound: list[PieceName] = Field(
        description="Names of the pieces of sound, one for each cell; empty for a silent source."
    )

    def seconds(self, number: int) -> Fraction:
        """Return how long a piece plays."""
        start = number * self.cell_frames
        return (min(start + self.cell_frames, self.frames) - start) / Fraction(self.rate)

    @property
    def duration(self) -> Fraction:
        """How long all of it will play, in seconds."""
        return self.frames / Fraction(self.rate)


@dataclass(frozen=True)
class Track:
    """The leading pieces of one rendition: the header that all of them begin with, and the bytes of each in all."""

    header: bytes = b""
    sizes: tuple[int, ...] = ()


def playlists(
    stream: LiveStream, video: Track, sound: Track, *, ended: bool, address: Callable[[str], str] = str
) -> dict[str, str]:
    """Return the texts of the playlists, by their paths beside the master; none before there is something to play.

    `ended`: nothing more will come, be it complete or not. `address` returns where a piece is to be fetched.
    """
    count = min(len(video.sizes), len(sound.sizes)) if stream.sound else len(video.sizes)
    if not count:
        return {}
    found = {
        MASTER: _master(stream, video, count),
        f"{FOLDER}/{VIDEO}": _media(stream, stream.video[:count], video, ended=ended, address=address),
    }
    if stream.sound:
        found[f"{FOLDER}/{SOUND}"] = _media(stream, stream.sound[:count], sound, ended=ended, address=address)
    return found


def with_end(playlist: str, *, ended: bool) -> str:
    """Return a playlist that says that nothing more will come, or that does not say so."""
    return playlist.removesuffix(END) + (END if ended else "")


def _master(stream: LiveStream, video: Track, count: int) -> str:
    bits = max(8 * size / stream.seconds(number) for number, size in enumerate(video.sizes[:count]))
    codec = codec_of(video.header)
    codecs = f'CODECS="{codec}{"," + _AAC if stream.sound else ""}",' if codec else ""
    shape = f"RESOLUTION={stream.width}x{stream.height},FRAME-RATE={float(Fraction(stream.rate)):.3f}"
    lines = ["#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-INDEPENDENT-SEGMENTS\n"]
    lines.append(f'#EXT-X-SESSION-DATA:DATA-ID="{DURATION}",VALUE="{float(stream.duration):.3f}"\n')
    group = ""
    if stream.sound:
        group = ',AUDIO="sound"'
        lines.append(
            '#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="sound",NAME="Sound",DEFAULT=YES,AUTOSELECT=YES,CHANNELS="2",'
            f'URI="{FOLDER}/{SOUND}"\n'
        )
    lines.append(f"#EXT-X-STREAM-INF:BANDWIDTH={math.ceil(bits) + 200_000},{codecs}{shape}{group}\n{FOLDER}/{VIDEO}\n")
    return "".join(lines)


def _media(
    stream: LiveStream, names: Sequence[str], track: Track, *, ended: bool, address: Callable[[str], str]
) -> str:
    # The first is never shorter than another; known up front, since it may not change.
    longest = math.ceil(stream.seconds(0))
    header = len(track.header)
    lines = [
        f"#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:{longest}\n#EXT-X-MEDIA-SEQUENCE:0\n",
        f"#EXT-X-PLAYLIST-TYPE:EVENT\n#EXT-X-INDEPENDENT-SEGMENTS\n{_START}",
        f'#EXT-X-MAP:URI="{address(names[0])}",BYTERANGE="{header}@0"\n',
    ]
    for number, (name, size) in enumerate(zip(names, track.sizes, strict=False)):
        lines.append(f"#EXTINF:{float(stream.seconds(number)):.6f},\n")
        lines.append(f"#EXT-X-BYTERANGE:{size - header}@{header}\n{address(name)}\n")
    return with_end("".join(lines), ended=ended)


# --- what must be read of the pieces ---------------------------------------------------------------


def header_of(head: bytes) -> bytes:
    """Return the header of a piece whose first bytes are `head`: all before the media; empty if that is not there."""
    for kind, start, size in _boxes(head):
        if kind == b"moov":
            return head[: start + size] if start + size <= len(head) else b""
    return b""


def codec_of(header: bytes) -> str:
    """Return the codec of H.264 in the words of RFC 6381; empty for others, which players then ask the header for."""
    at = header.find(b"avcC")
    return f"avc1.{header[at + 5 : at + 8].hex()}" if at >= 0 else ""


def _boxes(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    position = 0
    while len(data) - position >= 8:
        size, kind = int.from_bytes(data[position : position + 4]), data[position + 4 : position + 8]
        if size < 8:
            return
        yield kind, position, size
        position += size
