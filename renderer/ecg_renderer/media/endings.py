"""Does a file end where its kind of file ends? FFmpeg renders what is there, and says nothing of what is not.

Some containers promise: so many bytes, an end mark. A file that breaks off in the middle of a picture is cut; one that
lacks a mark, or breaks off behind the last picture, may be whole: not all programs write marks, some write what is no
part of the video, and recorders are switched off.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO, FileIO
from pathlib import Path
from typing import BinaryIO

from ecg_renderer.errors import RenderError
from ecg_renderer.media.damage import TAG_HEAD_BYTES, tag_length
from ecg_renderer.media.process import input_name, is_remote, local_path, option_words, read_ffmpeg, source_options

_FETCH_SECONDS = 60
# Of a source on the web no more than this is fetched once more: its beginning, or its end.
_PART = 1 << 20
# That is a GIF of 250 MB; what has more parts is not looked through to its end.
_MOST_PARTS = 1_000_000

_GIF_PICTURE, _GIF_EXTENSION, _GIF_END = 0x2C, 0x21, 0x3B
# Bytes that end a picture and hold none of it: the end code of a GIF's, what closes and checks the pixels of a PNG's.
_GIF_CLOSING, _PNG_CLOSING = 2, 12
_UNCOUNTED = 0xFFFFFFFF  # as FFmpeg writes an animated PNG into a pipe
_IVF_LONGEST_STEP = 1 << 32
_ASF_FILE = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
_ASF_DATA = bytes.fromhex("3626b2758e66cf11a6d900aa0062ce6c")
# By some programs the length of a RIFF counts its own head of eight bytes too; and one byte may be left out at its end.
_RIFF_SLACK = 9
_FLV_TAGS = (8, 9, 18)
_OGG_LAST = 4
_MPEG_PACK = b"\0\0\1\xba"
_TS_SYNC = 0x47
_TS_PACKETS = (188, 192, 204)


@dataclass(frozen=True)
class EarlyEnd:
    """The end of a file that ends too early, or seems to: `how`, after "it ends"; `certain` that pictures are lost."""

    how: str
    certain: bool


class _CutError(Exception):
    """A part is shorter than it must be."""


_Look = Callable[[BinaryIO, int], EarlyEnd | None]


async def early_end(url: str, container: str, size: int, pictures_end: int) -> EarlyEnd | None:
    """Tell how the file of `size` bytes ends early, None where it does not or nobody can know.

    `pictures_end` is where its last whole picture ends, in bytes; 0 where that is not known.
    """
    look = _LOOKS.get(container)
    if look is None or (container in _AFTER_PICTURES and not 0 < pictures_end < size):
        return None
    start = pictures_end if container in _AFTER_PICTURES else max(0, size - _PART)
    start = 0 if container in (*_WHOLE, "asf") else start
    if is_remote(url):  # a second download of all of it would cost more than the answer is worth
        part = None if container in _WHOLE else await fetched(url, start, min(_PART, size - start))
        return await asyncio.to_thread(look, part, size) if part else None
    path = local_path(url)
    with path.open("rb") as file:
        tag = 0 if start else tag_length(file.read(TAG_HEAD_BYTES))
        file.seek(start)
        if not tag:
            return await asyncio.to_thread(look, file, size)
    with _Behind(path, tag) as untagged:
        return await asyncio.to_thread(look, untagged, size - tag)


async def fetched(url: str, start: int, length: int, *, least: int | None = None) -> BinaryIO | None:
    """Return `length` bytes of what is on the web; None if less than that comes: the network may have failed.

    `least`: so many will do, where nobody knows how many there are.
    """
    options = source_options(url, insist=True) | {"format_whitelist": "data", "f": "data", "skip_initial_bytes": start}
    words = option_words(options)
    copied = ["-i", input_name(url), "-map", "0", "-c", "copy", "-f", "data", "-fs", str(length), "pipe:1"]
    with suppress(RenderError, TimeoutError):
        found = (await read_ffmpeg([*words, *copied], seconds=_FETCH_SECONDS)).output
        return BytesIO(found[:length]) if len(found) >= (length if least is None else least) else None
    return None


class _Behind(FileIO):
    """A file as if it began behind its first `tag` bytes."""

    def __init__(self, path: Path, tag: int) -> None:
        super().__init__(path)
        self._tag = tag
        self.seek(0)

    def seek(self, place: int, whence: int = os.SEEK_SET) -> int:
        return super().seek(place + (self._tag if whence == os.SEEK_SET else 0), whence) - self._tag

    def tell(self) -> int:
        return super().tell() - self._tag


def _read(file: BinaryIO, length: int) -> bytes:
    found = file.read(length)
    if len(found) < length:
        raise _CutError
    return found


def _pass(file: BinaryIO, length: int, size: int) -> None:
    if file.seek(length, os.SEEK_CUR) > size:
        raise _CutError


# --- kinds that are looked through from the beginning ---------------------------------------------


def _gif(file: BinaryIO, size: int) -> EarlyEnd | None:
    file.seek(10)
    kind = parts = 0
    try:
        _pass_palette(file, size, _read(file, 3)[0])
        while parts < _MOST_PARTS:
            kind = _read(file, 1)[0]
            if kind in (_GIF_END, 0):  # some fill up with zeros
                return None
            if kind == _GIF_PICTURE:
                _pass_palette(file, size, _read(file, 9)[8])
            elif kind != _GIF_EXTENSION:  # where FFmpeg stops reading
                return EarlyEnd("at something that is no GIF any more", certain=False)
            _pass(file, 1, size)
            parts += 1
            while parts < _MOST_PARTS and (length := _read(file, 1)[0]):
                _pass(file, length, size)
                parts += 1
    except _CutError:
        if kind == _GIF_PICTURE and file.tell() > size + _GIF_CLOSING:
            return EarlyEnd("in the middle of a picture", certain=True)
        return EarlyEnd("without the mark that ends a GIF", certain=False)
    return None


def _pass_palette(file: BinaryIO, size: int, flags: int) -> None:
    if flags & 0x80:
        _pass(file, 3 << (flags & 7) + 1, size)


def _apng(file: BinaryIO, size: int) -> EarlyEnd | None:
    file.seek(8)
    promised, pictures, kind, whole = _UNCOUNTED, 0, b"", True
    try:
        for _ in range(_MOST_PARTS):
            length, kind = int.from_bytes(_read(file, 4), "big"), _read(file, 4)
            pictures += kind == b"fcTL"
            if kind == b"acTL":
                promised = int.from_bytes(_read(file, 4), "big")
                length -= 4
            if kind == b"IEND":
                break
            _pass(file, length + 4, size)
        else:
            return None
    except _CutError:
        whole = False
    if kind in (b"IDAT", b"fdAT") and file.tell() > size + _PNG_CLOSING:
        return EarlyEnd("in the middle of a picture", certain=True)
    if pictures < promised != _UNCOUNTED:
        return EarlyEnd(f"after {pictures} of {promised} pictures", certain=True)
    return None if whole else EarlyEnd("without the chunk that ends a PNG", certain=False)


def _ivf(file: BinaryIO, size: int) -> EarlyEnd | None:
    file.seek(32)
    latest = 0
    for _ in range(_MOST_PARTS):
        head = file.read(12)
        length, time = int.from_bytes(head[:4], "little"), int.from_bytes(head[4:], "little")
        if len(head) < 12 or not length or not 0 <= time - latest < _IVF_LONGEST_STEP:  # the end, or no picture
            return None
        if file.seek(length, os.SEEK_CUR) > size:
            return EarlyEnd("in the middle of a picture", certain=True)
        latest = time
    return None


def _flv(file: BinaryIO, size: int) -> EarlyEnd | None:
    file.seek(13)
    for _ in range(_MOST_PARTS):
        head = file.read(11)
        if len(head) < 11 or head[0] not in _FLV_TAGS:  # the end, or no tag
            return None
        if file.seek(int.from_bytes(head[1:4], "big"), os.SEEK_CUR) > size:
            return EarlyEnd("in the middle of a tag", certain=False)
        file.seek(4, os.SEEK_CUR)  # once more the length
    return None


def _boxes(name: bytes) -> _Look:
    """Return what looks whether the box `name` of an MP4, or chunk of an AVI, is as long as it says."""
    little = name == b"RIFF"

    def look(file: BinaryIO, size: int) -> EarlyEnd | None:
        for kind, end in _parts(file, size, little=little):
            if kind == name and end > size + (_RIFF_SLACK if little else 0):
                return EarlyEnd("in the middle of its pictures or sound", certain=False)
        return None

    return look


def _parts(file: BinaryIO, size: int, *, little: bool) -> Iterator[tuple[bytes, int]]:
    """Yield the name and the end of each of the parts that a file is made of, one after the other."""
    place = 0
    for _ in range(_MOST_PARTS):
        if place >= size:
            return
        file.seek(place)
        head = file.read(16)
        if len(head) < 16:
            return
        name, length = (head[:4], head[4:8]) if little else (head[4:8], head[:4])
        whole = int.from_bytes(length, "little" if little else "big")
        if not little and whole == 1:
            whole = int.from_bytes(head[8:], "big")
        if whole < 8 or whole == _UNCOUNTED:  # to the end
            return
        place += whole + (8 + whole % 2 if little else 0)
        yield name, place


# --- kinds of which a part tells ------------------------------------------------------------------


def _asf(file: BinaryIO, size: int) -> EarlyEnd | None:
    head = file.read(_PART)
    properties = head.partition(_ASF_FILE)[2]
    live = int.from_bytes(properties[72:76], "little") & 1
    start = int.from_bytes(head[16:24], "little")
    end = start + int.from_bytes(head[start + 16 : start + 24], "little")
    if head[start : start + 16] == _ASF_DATA and not live and end > size:
        return EarlyEnd("in the middle of its pictures or sound", certain=True)
    return None


def _picture(mark: bytes, *, certain: bool) -> _Look:
    """Return what looks whether another picture begins behind the last whole one."""

    def look(file: BinaryIO, _: int) -> EarlyEnd | None:
        return EarlyEnd("in the middle of a picture", certain) if file.read(len(mark)) == mark else None

    return look


def _ogg(file: BinaryIO, _: int) -> EarlyEnd | None:
    tail = file.read(_PART)
    place = tail.rfind(b"OggS")
    if place < 0:
        return None
    head = tail[place : place + 27]
    lengths = tail[place + 27 : place + 27 + head[26]] if len(head) == 27 else b""
    if len(head) < 27 or len(lengths) < head[26] or place + 27 + head[26] + sum(lengths) > len(tail):
        return EarlyEnd("in the middle of an Ogg page", certain=False)
    if head[5] & _OGG_LAST:
        return None
    return EarlyEnd("without a page that is marked as the last", certain=False)


def _mpeg(file: BinaryIO, _: int) -> EarlyEnd | None:
    # Many programs leave out the end code, so that only the lengths of packets tell.
    tail = file.read(_PART)
    place = tail.find(_MPEG_PACK)
    while 0 <= place < len(tail):
        head = tail[place : place + 14]
        if head.startswith(_MPEG_PACK):
            two = len(head) > 4 and head[4] & 0xC0 == 0x40
            place += (14 + (head[13] & 7) if len(head) == 14 else 15) if two else 12
        elif head.startswith(b"\0\0\1") and len(head) > 5 and head[3] > 0xBA:
            place += 6 + int.from_bytes(head[4:6], "big")
        else:
            return None
    return EarlyEnd("in the middle of a packet", certain=False) if place > len(tail) else None


def _nut(file: BinaryIO, size: int) -> EarlyEnd | None:
    tail = file.read(_PART)
    length = int.from_bytes(tail[-12:-4], "big")  # of the index, from its start code on
    if len(tail) < length <= size or tail[max(0, len(tail) - length) :].startswith(b"NX"):
        return None
    return EarlyEnd("without NUT's index", certain=False)


def _mpegts(file: BinaryIO, _: int) -> EarlyEnd | None:
    tail = file.read(_PART)
    length, first = _ts_packets(tail)
    if not length:
        return None
    # In packets of 192 bytes, four come before what begins with the sync byte.
    if (len(tail) - first) % length not in (0, _TS_PACKETS[0]):
        return EarlyEnd("in the middle of a packet", certain=False)
    missing: dict[int, int] = {}
    for start in range(first, len(tail), length):
        packet = tail[start : start + 188]
        number = int.from_bytes(packet[1:3], "big") & 0x1FFF
        payload = _ts_payload(packet)
        if packet[1] & 0x40 and payload.startswith(b"\0\0\1"):
            said = int.from_bytes(payload[4:6], "big")
            missing[number] = 6 + said - len(payload) if said else 0
        elif number in missing:
            missing[number] -= len(payload)
    if any(left > 0 for left in missing.values()):
        return EarlyEnd("in the middle of a packet", certain=False)
    return None


def _ts_packets(tail: bytes) -> tuple[int, int]:
    """Return the length of packets, and where the first one starts; zeros where there are none."""
    for length in _TS_PACKETS:
        for first in range(length):
            syncs = tail[first::length]
            if len(syncs) > 2 and syncs.count(_TS_SYNC) == len(syncs):
                return length, first
    return 0, 0


def _ts_payload(packet: bytes) -> bytes:
    if not packet[3] & 0x10:
        return b""
    return packet[5 + packet[4] :] if packet[3] & 0x20 else packet[4:]


_LOOKS: dict[str, _Look] = {
    "gif": _gif,
    "apng": _apng,
    "ivf": _ivf,
    "flv": _flv,
    "mov,mp4,m4a,3gp,3g2,mj2": _boxes(b"mdat"),
    "avi": _boxes(b"RIFF"),
    "asf": _asf,
    "yuv4mpegpipe": _picture(b"FRAME", certain=True),
    "dv": _picture(b"\x1f\7", certain=False),
    "ogg": _ogg,
    "mpeg": _mpeg,
    "nut": _nut,
    "mpegts": _mpegts,
}
_WHOLE = ("gif", "apng", "ivf", "flv", "mov,mp4,m4a,3gp,3g2,mj2", "avi")
_AFTER_PICTURES = ("yuv4mpegpipe", "dv")
