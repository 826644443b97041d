"""Small real videos, made by FFmpeg once a test run, whose processes share them: nobody changes one.

Each frame carries its own number, in binary, as cells.

counter(Clip(rate="30000/1001"))   a video; its upper half tells the source's frame number
derived(path, ("-c", "copy"), ".ts")   the same in another container, cut, tagged, rotated
read_counters(path)                    the numbers that a video shows, frame by frame
caption_pictures(...)                  a NUT file of caption pictures, with numbers in the lower half
"""

from __future__ import annotations

import atexit
import fcntl
import functools
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

CELLS = 16
FOLDER = "TEST_CLIPS"  # which variable names it


@dataclass(frozen=True)
class Clip:
    """A video to make. `video` and `output` are more FFmpeg options, for the encoder and for the file."""

    rate: str = "30"
    frames: int = 60
    width: int = 320
    height: int = 180
    suffix: str = ".mp4"
    codec: str = "libx264"
    pixel_format: str = "yuv420p"
    audio: str | None = "aac"
    filters: str = ""
    video: tuple[str, ...] = ("-preset", "ultrafast", "-crf", "16", "-g", "12", "-bf", "2")
    output: tuple[str, ...] = ()

    @property
    def seconds(self) -> Fraction:
        """Length."""
        return self.frames / Fraction(self.rate)


@functools.cache
def folder() -> Path:
    """Return the folder of all clips: of the first process that asks, and of those that it starts."""
    if found := os.environ.get(FOLDER):
        return Path(found)
    directory = tempfile.TemporaryDirectory(prefix="ecg-clips-")
    atexit.register(directory.cleanup)
    os.environ[FOLDER] = directory.name
    return Path(directory.name)


def made(kind: str, facts: object, suffix: str, make: Callable[[Path], object]) -> Path:
    """Return the clip of that kind and those facts; `make` writes it to a path if none of the processes has."""
    digest = hashlib.sha1(repr(facts).encode()).hexdigest()[:16]
    path = folder() / f"{kind}-{digest}{suffix}"
    if not path.exists():
        with (folder() / f"{path.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not path.exists():
                unfinished = folder() / f"{kind}-{digest}-unfinished{suffix}"
                make(unfinished)
                unfinished.rename(path)
    return path


def counter(clip: Clip = Clip()) -> Path:
    """Return a video whose frame n shows n, with a tone that changes (so that every moment sounds different)."""
    return made("counter", clip, clip.suffix, lambda path: _write_counter(clip, path))


def _write_counter(clip: Clip, path: Path) -> None:
    # The numbers are in the upper half; the lower is grey, for captions.
    picture = f"color=gray:s={CELLS}x2:r={clip.rate},format=gray,"
    picture += f"geq=lum='if(lt(Y,1),235*mod(floor(N/pow(2,X)),2),128)',scale={clip.width}:{clip.height}:flags=neighbor"
    picture += f",setsar=1,format={clip.pixel_format}" + (f",{clip.filters}" if clip.filters else "")
    tone = f"aevalsrc=0.3*sin(600*t*(1+t)):s=48000:d={float(clip.seconds)}"
    sound = ["-f", "lavfi", "-i", tone] if clip.audio else []
    coding = ["-c:v", clip.codec, *clip.video, "-frames:v", str(clip.frames)]
    hearing = ["-c:a", clip.audio] if clip.audio else []
    ffmpeg("-f", "lavfi", "-i", picture, *sound, *coding, *hearing, *clip.output, str(path))


def derived(source: Path, options: tuple[str, ...], suffix: str, *, before: tuple[str, ...] = ()) -> Path:
    """Return a file made from `source` by FFmpeg; `before` are options of the input, `options` of the output."""
    words = (*before, "-i", str(source), *options)
    return made("derived", words, suffix, lambda path: ffmpeg(*words, str(path)))


def turned(source: Path, matrix: tuple[float, float, float, float] = (0, 1, -1, 0)) -> Path:
    """Return the MP4 `source` with a note for players to turn it, if not said otherwise by 90 degrees clockwise."""
    content = bytearray(source.read_bytes())
    # Track header, version 0: its matrix stands 44 bytes after the box's name; 16.16 and, in the last column, 2.30.
    place = content.index(b"tkhd") + 44
    a, b, c, d = (round(value * 65536) for value in matrix)
    values = (a, b, 0, c, d, 0, 0, 0, 1 << 30)
    content[place : place + 36] = b"".join(value.to_bytes(4, signed=True) for value in values)
    return made("turned", (source, matrix), source.suffix, lambda path: path.write_bytes(content))


def ffmpeg(*arguments: str) -> bytes:
    """Run FFmpeg; return what it wrote to standard output."""
    command = ["ffmpeg", "-hide_banner", "-loglevel", "error", "-nostdin", "-y", *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout


@contextmanager
def known_to(cells: Path) -> Iterator[None]:
    """Let the store in `cells` know meanwhile what was found out about the same clips before, and remember what is new.

    Looking at a clip takes five processes, longer than encoding it; of the damage that was found nothing is told.
    """
    known = folder() / f"probes-{os.getpid()}"
    _copy_notes(known, cells / "probes")
    yield
    _copy_notes(cells / "probes", known)


def _copy_notes(notes: Path, target: Path) -> None:
    if notes.is_dir():
        shutil.copytree(notes, target, ignore=shutil.ignore_patterns("damage-*"), dirs_exist_ok=True)


def packets(path: Path, **stream: int) -> list[av.Packet[Any]]:
    """Return the packets of a stream, which is named as `audio=0`."""
    with av.open(str(path)) as container:
        return [packet for packet in container.demux(**stream) if packet.size]


def slow_ffmpeg(folder: Path, speed: float) -> Path:
    """Return an FFmpeg, a file in `folder`, that takes what is piped to it at `speed` times real time.

    When `hurry` was told its path, it is as fast as any.
    """
    program = folder / "slow-ffmpeg"
    program.write_text(
        f"#!{sys.executable}\nimport os, sys\n"
        "arguments = sys.argv[1:]\n"
        "if 'pipe:0' in arguments and not os.path.exists(__file__ + '.hurry'):\n"
        "    first = arguments.index('-i')\n"
        f"    arguments[first:first] = ['-readrate', '{speed}']\n"
        f"os.execv({shutil.which('ffmpeg')!r}, ['ffmpeg', *arguments])\n"
    )
    program.chmod(0o755)
    return program


def hurry(slow: Path) -> None:
    """Let an FFmpeg of `slow_ffmpeg` be slow no more; it is still the same to whoever asks which one is used."""
    slow.with_name(f"{slow.name}.hurry").touch()


def frames(path: Path, pixel_format: str = "gray") -> list[NDArray[np.uint8]]:
    """Return all frames of a video: (height, width) arrays of luma, or what `pixel_format` gives."""
    with av.open(str(path)) as container:
        return [np.asarray(frame.to_ndarray(format=pixel_format)) for frame in container.decode(video=0)]


@dataclass(frozen=True)
class Numbers:
    """What a frame shows: its source's number, and its caption's (None where there is no caption)."""

    source: int
    caption: int | None


def read_counters(path: Path) -> list[Numbers]:
    """Return the numbers in the cells of every frame."""
    return [_numbers(frame) for frame in frames(path)]


def _numbers(picture: NDArray[np.uint8]) -> Numbers:
    height, width = picture.shape
    upper, lower = picture[height // 8 : height * 3 // 8], picture[height * 5 // 8 : height * 7 // 8]
    marker = _cells(lower, width)
    # Without a caption the lower half is grey.
    has_caption = bool(np.all(np.abs(marker - 128) > 40))
    return Numbers(_as_number(_cells(upper, width)), _as_number(marker) if has_caption else None)


def _cells(rows: NDArray[np.uint8], width: int) -> NDArray[np.float64]:
    cell = width / CELLS
    centres = [(int(cell * (index + 0.3)), int(cell * (index + 0.7)) + 1) for index in range(CELLS)]
    return np.array([rows[:, left:right].mean() for left, right in centres])


def _as_number(cells: NDArray[np.float64]) -> int:
    return sum(1 << index for index, value in enumerate(cells) if value > 110)


def number_picture(number: int, width: int, height: int) -> bytes:
    """Return an opaque yuva420p picture whose cells show `number`."""
    bits = [235 if number >> index & 1 else 16 for index in range(CELLS)]
    row = np.array([bits[x * CELLS // width] for x in range(width)], np.uint8)
    return plain_yuva(np.tile(row, (height, 1)), 128, 128, 255)


def plain_yuva(luma: NDArray[np.uint8] | int, u: int, v: int, alpha: int, size: tuple[int, int] = (0, 0)) -> bytes:
    """Return a yuva420p picture of one colour, or of one chroma over the (height, width) array `luma`."""
    pixels: NDArray[np.uint8] = np.full(size[::-1], luma, np.uint8) if isinstance(luma, int) else luma
    height, width = pixels.shape
    chroma = bytes([u]) * (width // 2 * height // 2) + bytes([v]) * (width // 2 * height // 2)
    return bytes(pixels.tobytes() + chroma + bytes([alpha]) * (width * height))


def write_nut(target: str, size: tuple[int, int], rate: Fraction, pictures: list[tuple[int, bytes]]) -> None:
    """Write caption pictures, (frame from which it is shown, yuva420p bytes), as the pipeline does."""
    with av.open(target, "w", format="nut", options={"flush_packets": "1"}) as container:
        stream = container.add_stream("rawvideo", rate=rate)
        stream.width, stream.height = size
        stream.pix_fmt = "yuva420p"
        stream.time_base = 1 / rate
        for frame, pixels in pictures:
            packet = av.Packet(pixels)
            packet.stream = stream
            packet.pts = packet.dts = frame
            packet.time_base = 1 / rate
            packet.is_keyframe = True
            container.mux(packet)
