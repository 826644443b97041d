"""Does a file end where its kind of file ends? FFmpeg renders what is there, and says nothing of what is not.

Some containers promise: so many bytes, an end mark. A file that breaks off in the middle of what it promised is cut;
one that only lacks a mark may be whole, for not all programs write it, and recorders are switched off.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from typing import BinaryIO, Literal

from ecg_renderer.errors import RenderError
from ecg_renderer.media.process import input_name, is_remote, local_path, read_ffmpeg, source_options

_FETCH_SECONDS = 60
# Of a source on the web this much is fetched once more where all of it has to be looked through, or its last part.
_LARGEST_FETCHED = 64 << 20
_TAIL = 1 << 20
_MOST_PARTS = 4_000_000

_GIF_PICTURE, _GIF_EXTENSION, _GIF_END = 0x2C, 0x21, 0x3B
_UNCOUNTED = 0xFFFFFFFF  # as FFmpeg writes an animated PNG into a pipe
_ASF_FILE = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
_OGG_LAST = 4
_MPEG_PACK = b"\0\0\1\xba"
_TS_SYNC = 0x47
_TS_PACKETS = (188, 192, 204)


@dataclass(frozen=True)
class EarlyEnd:
    """The end of a file that ends too early, or seems to: `how`, after "it ends"; `certain` that it was cut off."""

    how: str
    certain: bool


class _CutError(Exception):
    """A part is shorter than it says, or that it must be."""


async def early_end(url: str, container: str, size: int, pictures_end: int) -> EarlyEnd | None:
    """Tell how the file of `size` bytes ends early, None where it does not or nobody can know.

    `pictures_end` is where its last whole picture ends, in bytes; 0 where that is not known.
    """
    if container in ("yuv4mpegpipe", "dv"):
        cut = 0 < pictures_end < size
        return EarlyEnd("in the middle of a picture", certain=container != "dv") if cut else None
    look = _LOOKS.get(container)
    if look is None:
        return None
    file = await _opened(url, size, whole=container in _WHOLE)
    if file is None:
        return None
    with file:
        return await asyncio.to_thread(look, file)


async def _opened(url: str, size: int, *, whole: bool) -> BinaryIO | None:
    if not is_remote(url):
        return local_path(url).open("rb")
    if whole and size > _LARGEST_FETCHED:
        return None
    options = source_options(url, insist=True) | {"format_whitelist": "data", "f": "data"}
    options["skip_initial_bytes"] = 0 if whole else max(0, size - _TAIL)
    words = [word for name, value in options.items() for word in (f"-{name}", str(value))]
    with suppress(RenderError, TimeoutError):
        copied = ["-i", input_name(url), "-map", "0", "-c", "copy", "-f", "data", "pipe:1"]
        fetched = await read_ffmpeg([*words, *copied], seconds=_FETCH_SECONDS)
        return BytesIO(fetched.output) if fetched.code == 0 else None
    return None


def _read(file: BinaryIO, length: int) -> bytes:
    found = file.read(length)
    if len(found) < length:
        raise _CutError
    return found


def _number(file: BinaryIO, length: int, order: Literal["big", "little"] = "big") -> int:
    return int.from_bytes(_read(file, length), order)


def _pass(file: BinaryIO, length: int, size: int) -> None:
    if file.seek(length, os.SEEK_CUR) > size:
        raise _CutError


def _tail(file: BinaryIO) -> bytes:
    file.seek(max(0, _size(file) - _TAIL))
    return file.read()


def _size(file: BinaryIO) -> int:
    return file.seek(0, os.SEEK_END)


# --- kinds that are looked through from the beginning ---------------------------------------------


def _gif(file: BinaryIO) -> EarlyEnd | None:
    size = _size(file)
    file.seek(10)
    try:
        _pass_palette(file, size, _read(file, 3)[0])
        for _ in range(_MOST_PARTS):
            kind = file.read(1)
            if not kind:
                return EarlyEnd("without the mark that ends a GIF", certain=False)
            if kind[0] == _GIF_END:
                return None
            if kind[0] == _GIF_PICTURE:
                _pass_palette(file, size, _read(file, 9)[8])
            elif kind[0] != _GIF_EXTENSION:  # where FFmpeg stops reading
                return EarlyEnd("at something that is no GIF any more", certain=False)
            _pass(file, 1, size)
            while length := _number(file, 1):
                _pass(file, length, size)
    except _CutError:
        return EarlyEnd("in the middle of a picture", certain=True)
    return None


def _pass_palette(file: BinaryIO, size: int, flags: int) -> None:
    if flags & 0x80:
        _pass(file, 3 << (flags & 7) + 1, size)


def _apng(file: BinaryIO) -> EarlyEnd | None:
    size = _size(file)
    file.seek(8)
    promised, pictures = _UNCOUNTED, 0
    try:
        for _ in range(_MOST_PARTS):
            length, kind = _number(file, 4), _read(file, 4)
            pictures += kind == b"fcTL"
            if kind == b"acTL":
                promised = _number(file, 4)
                length -= 4
            if kind == b"IEND":
                break
            _pass(file, length + 4, size)
    except _CutError:
        return EarlyEnd("in the middle of a picture" if pictures else "in its header", certain=True)
    if pictures < promised != _UNCOUNTED:
        return EarlyEnd(f"after {pictures} of {promised} pictures", certain=True)
    return None


def _ivf(file: BinaryIO) -> EarlyEnd | None:
    size = _size(file)
    file.seek(32)
    with suppress(_CutError):
        for _ in range(_MOST_PARTS):
            if file.tell() == size:
                break
            length = _number(file, 4, "little")
            _pass(file, 8 + length, size)
        return None
    return EarlyEnd("in the middle of a picture", certain=True)


def _asf(file: BinaryIO) -> EarlyEnd | None:
    size = _size(file)
    file.seek(0)
    _, found, rest = file.read(_TAIL).partition(_ASF_FILE)
    said, live = int.from_bytes(rest[24:32], "little"), int.from_bytes(rest[72:76], "little") & 1
    if found and len(rest) >= 76 and not live and said > size:
        return EarlyEnd(f"after {size:,} of {said:,} bytes", certain=True)
    return None


def _boxes(name: bytes) -> Callable[[BinaryIO], EarlyEnd | None]:
    """Return what looks whether the box `name` of an MP4, or chunk of an AVI, is as long as it says."""
    little = name == b"RIFF"

    def look(file: BinaryIO) -> EarlyEnd | None:
        size = _size(file)
        for kind, end in _parts(file, size, little=little):
            if kind == name and end > size:
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


# --- kinds of which the end alone tells -----------------------------------------------------------


def _ogg(file: BinaryIO) -> EarlyEnd | None:
    tail = _tail(file)
    place = tail.rfind(b"OggS")
    head = tail[place : place + 27]
    lengths = tail[place + 27 : place + 27 + head[26]] if len(head) == 27 else b""
    if place < 0 or len(head) < 27 or len(lengths) < head[26] or place + 27 + head[26] + sum(lengths) > len(tail):
        return EarlyEnd("in the middle of an Ogg page", certain=True)
    if head[5] & _OGG_LAST:
        return None
    return EarlyEnd("without a page that is marked as the last", certain=False)


def _mpeg(file: BinaryIO) -> EarlyEnd | None:
    # Many programs leave out the end code, so that only the lengths of packets tell.
    tail = _tail(file)
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


def _nut(file: BinaryIO) -> EarlyEnd | None:
    tail = _tail(file)
    length = int.from_bytes(tail[-12:-4], "big")  # of the index, from its start code on
    if len(tail) < length <= file.tell() or tail[max(0, len(tail) - length) :].startswith(b"NX"):
        return None
    return EarlyEnd("without NUT's index", certain=False)


def _flv(file: BinaryIO) -> EarlyEnd | None:
    tail = _tail(file)
    length = int.from_bytes(tail[-4:], "big")  # of the last tag
    start = max(0, len(tail) - 4 - length)
    if len(tail) < length + 4 <= file.tell() or int.from_bytes(tail[start + 1 : start + 4], "big") + 11 == length:
        return None
    return EarlyEnd("in the middle of a tag", certain=False)


def _mpegts(file: BinaryIO) -> EarlyEnd | None:
    tail = _tail(file)
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


_WHOLE = ("gif", "apng", "ivf", "asf", "mov,mp4,m4a,3gp,3g2,mj2", "avi")
_LOOKS: dict[str, Callable[[BinaryIO], EarlyEnd | None]] = {
    "gif": _gif,
    "apng": _apng,
    "ivf": _ivf,
    "asf": _asf,
    "mov,mp4,m4a,3gp,3g2,mj2": _boxes(b"mdat"),
    "avi": _boxes(b"RIFF"),
    "ogg": _ogg,
    "mpeg": _mpeg,
    "nut": _nut,
    "flv": _flv,
    "mpegts": _mpegts,
}
