"""What is wrong with a source: no video is what it begins with, or pictures are damaged or missing; in words.

Uploads keep the headers of a form, downloads those of HTTP; programs for music put tags before whatever they are given;
an address that has expired gives a page. FFmpeg calls all of it invalid data. That pictures are damaged it says while
it renders, but not which: only then the stretch is decoded once more, with FFmpeg telling the time of every packet and
picture.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from contextlib import suppress
from fractions import Fraction
from itertools import pairwise
from math import ceil
from typing import Any

from ecg_api.plan import SourceFacts
from ecg_renderer.errors import RenderError
from ecg_renderer.media.facts import specifier
from ecg_renderer.media.placing import FREE_CLOCKS, presentation_zero, seek_seconds
from ecg_renderer.media.process import UNTIMED_FORMATS, input_name, option_words, read_ffmpeg, source_options

# What is searched for the beginning of a video.
HEAD_BYTES = 1 << 16
TAG_HEAD_BYTES = 10
_VIDEOS = {
    "MP4": rb"\x00\x00[\x00-\xff]{2}ftyp",
    "Matroska or WebM": rb"\x1aE\xdf\xa3",
    "AVI": rb"RIFF[\x00-\xff]{4}AVI ",
    "FLV": rb"FLV\x01[\x00-\x07]\x00{3}\x09",
    "ASF or WMV": rb"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9",
    "Ogg": rb"OggS\x00\x02",
    "IVF": rb"DKIF\x00\x00\x20\x00",
    "GIF": rb"GIF8[79]a",
    "Y4M": rb"YUV4MPEG2 ",
    "RealMedia": rb"\.RMF\x00\x00",
}
_BY_PLACES = "MP4"  # its tables tell places in the file; of the others FFmpeg itself passes over a tag
_VIDEO = re.compile(b"|".join(b"(%b)" % pattern for pattern in _VIDEOS.values()))
_OTHERS = {
    rb"PK\x03\x04": "a ZIP archive",
    rb"Rar!\x1a\x07": "a RAR archive",
    rb"7z\xbc\xaf\x27\x1c": "a 7z archive",
    rb"\x1f\x8b\x08": "compressed with gzip",
    rb"%PDF-": "a PDF document",
    rb"(?i)(\xef\xbb\xbf)?\s*<(!doctype html|html)": "a web page",
    rb"(\xef\xbb\xbf)?\s*<\?xml": "an XML document",
    rb"(\xef\xbb\xbf)?\s*[{\[]\s*[\"{\[]": "a JSON document",
}
_FRAGMENT = re.compile(rb"[\x00-\xff]{4}(styp|sidx|moof|emsg|prft)")
_FRAGMENTS_HEAD = re.compile(rb"[\x00-\xff]{4}(ftyp|moov)[\x00-\xff]*mvex")
_MEDIA = re.compile(rb"moof|mdat")
_TOGETHER = "Put head and parts together: cat HEAD PART... > VIDEO"
_NO_TEXT = re.compile(rb"[\x00-\x08\x0e-\x1f]|^$")
_NAME_IT = "Name the video itself; of a link, the one that downloads it."


def tag_length(head: bytes) -> int:
    """Return the bytes of an ID3 tag at a file's beginning, which FFmpeg passes over; 0 where there is none."""
    if len(head) < TAG_HEAD_BYTES or not head.startswith(b"ID3") or max(head[6:TAG_HEAD_BYTES]) > 0x7F:
        return 0
    length = 0
    for seven in head[6:TAG_HEAD_BYTES]:
        length = length << 7 | seven
    return TAG_HEAD_BYTES + length + (TAG_HEAD_BYTES if head[5] & 0x10 else 0)


def what_begins(head: bytes) -> tuple[str, str] | None:
    """Return what is said of a file that begins with `head`, and what can be done; None where that tells nothing.

    After "the file".
    """
    for pattern, kind in _OTHERS.items():
        if re.match(pattern, head):
            return f"is {kind}, not a video", _NAME_IT
    if not _NO_TEXT.search(head):
        return "is a text, not a video", _NAME_IT
    if _FRAGMENT.match(head):
        return "is a part of a stream (HLS, DASH), without its head", _TOGETHER
    if len(head) < HEAD_BYTES and _FRAGMENTS_HEAD.match(head) and not _MEDIA.search(head):
        return "is the head of a segmented film (HLS, DASH), without its parts", _TOGETHER
    tag = tag_length(head)
    found = _VIDEO.match(head, tag) if tag else _VIDEO.search(head)
    if not found or not found.start():
        return None
    kind = list(_VIDEOS)[(found.lastindex or 1) - 1]
    if tag and kind != _BY_PLACES:
        return None
    before = "a tag (ID3)" if tag else "something else"
    return (
        f"begins with {found.start()} bytes of {before}; only behind them is a video ({kind})",
        f"Cut them off first: tail -c +{found.start() + 1} SOURCE > VIDEO",
    )


# --- which pictures are damaged or missing --------------------------------------------------------


DECODE_SECONDS = 600
_APART_SECONDS = 1.0
_MOST_STRETCHES = 4

_PACKET = re.compile(r"demuxer -> .*type:video .*pkt_pts:(-?\d+)")
_PICTURE = re.compile(r"decoder -> .*best_effort_ts:(-?\d+)|decoder -> pts:(-?\d+)")
_CORRUPT = "corrupt decoded frame"
_FILLED = re.compile(r"concealing \d+ DC")


async def damaged_pictures(source: SourceFacts, url: str, start: Fraction, end: Fraction) -> list[float]:
    """Return the presentation times (seconds) of pictures that are damaged or missing, in order.

    Those are looked at that are shown from `start` to `end`, in seconds after the first picture. Empty when it cannot
    be found out.
    """
    options: dict[str, Any] = dict(source_options(url, insist=True))
    seek = seek_seconds(source, start)
    if seek is not None:
        options |= {"ss": seek, "seek_timestamp": 1, "noaccurate_seek": ""}
    words = [word for word in option_words(options) if word]
    log = ["-copyts", "-debug_ts", "-loglevel", "repeat+info"]
    untimed = source.container in UNTIMED_FORMATS
    reader = _LogReader(ceil((source.returned + end) / source.tick), counting=untimed)
    with suppress(RenderError, TimeoutError, _EndError):
        await read_ffmpeg(
            [*log, *words, "-threads", "1", "-i", input_name(url), "-map", f"0:{specifier(source)}", "-f", "null", "-"],
            seconds=DECODE_SECONDS,
            on_log=reader.take,
        )
        reader.at_end = True
    first, last = (round((source.returned + time) / source.tick) for time in (start, end))
    lost = reader.lost(source)
    zero = presentation_zero(source) + source.returned - source.start
    return sorted(float(tick * source.tick - zero) for tick in reader.corrupt | lost if first <= tick < last)


class _EndError(Exception):
    """Ends FFmpeg: all that was asked for has been decoded."""


class _LogReader:
    """Reads what FFmpeg says about packets and pictures up to tick `end`; `counting` pictures that have no times."""

    def __init__(self, end: int, *, counting: bool) -> None:
        self._end = end
        self._counting = counting
        self._rest = ""
        self._is_corrupt = False
        self._packet: int | None = None
        self.at_end = False
        self.packets: set[int] = set()
        self.pictures: set[int] = set()
        self.corrupt: set[int] = set()

    def take(self, chunk: bytes) -> None:
        """Take a part of the log, which may break off within a line."""
        *lines, self._rest = (self._rest + chunk.decode(errors="replace")).split("\n")
        for line in lines:
            self._line(line)

    def _line(self, line: str) -> None:
        if found := _PACKET.search(line):
            if not self._counting:
                self.packets.add(int(found[1]))
                # Newer versions, which read ahead, begin the line otherwise, and say themselves that it is corrupt.
                self._packet = int(found[1]) if line.startswith("demuxer") else None
        elif _FILLED.search(line) and self._packet is not None:
            self.corrupt.add(self._packet)
        elif found := _PICTURE.search(line):
            tick = len(self.pictures) if self._counting else int(found[1] or found[2])
            self.pictures.add(tick)
            if self._is_corrupt:
                self.corrupt.add(tick)
            self._is_corrupt = False
            if tick > self._end:
                raise _EndError
        elif _CORRUPT in line:
            self._is_corrupt = True

    def lost(self, source: SourceFacts) -> set[int]:
        """Return the ticks at which there was a packet, or room for one, but no picture."""
        if not self.pictures:
            return set()
        last = max(self.pictures)
        lost = {tick for tick in self.packets - self.pictures if self.at_end or tick < last}
        if source.container in FREE_CLOCKS:  # there whole packets vanish on the way
            step = 1 / source.exact_rate / source.tick
            for before, after in pairwise(sorted(self.pictures | lost)):
                lost |= {round(before + number * step) for number in range(1, round((after - before) / step))}
        return lost


def damage_note(source: SourceFacts) -> str:
    """Return the name of the note that a store has about the damage of a source."""
    return f"probes/damage-{hashlib.sha256(source.identity.encode()).hexdigest()}.json"


def read_damage(note: bytes | None) -> set[float]:
    """Return the times of such a note; none if there is none."""
    with suppress(ValueError, TypeError):
        return {float(time) for time in json.loads(note or "[]")}
    return set()


def write_damage(times: Iterable[float]) -> bytes:
    """Return a note of the times of damaged pictures."""
    return json.dumps(sorted(times)).encode()


def damage_words(times: Iterable[float]) -> str:
    """Return a warning: how many pictures are damaged, and when."""
    ordered = sorted(times)
    stretches = [[ordered[0], ordered[0]]]
    for time in ordered[1:]:
        if time - stretches[-1][1] > _APART_SECONDS:
            stretches.append([time, time])
        stretches[-1][1] = time
    said = [f"{first:.2f} s" if first == last else f"{first:.2f} to {last:.2f} s" for first, last in stretches]
    shown = ", ".join(said[:_MOST_STRETCHES])
    more = f", and {len(said) - _MOST_STRETCHES} more places" if len(said) > _MOST_STRETCHES else ""
    count = f"{len(ordered)} picture{'s' if len(ordered) > 1 else ''}"
    are = "are" if len(ordered) > 1 else "is"
    return f"{count} of the source {are} damaged or missing, at {shown}{more}; the result shows what could be decoded."
