"""Captions alone, made of their cells: ProRes 4444, VP9 with alpha, PNG pictures. Straight alpha, no sound.

    cells ─ pictures_of ─> planes of boxes ─> the whole picture ─┬─ ProRes ─> packets, one for each frame ─> .mov
                                                                 ├─ VP9 ────────────────────────────────> .webm
                                                                 └─ PNG ──> files, one for each frame ───> .zip, folder/

ProRes and PNG know no other frame: each picture is encoded once, and written as often as it is shown. Done inside this
process by libav, whose pictures hold ten bits of alpha exactly; what is read here we wrote ourselves.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Literal, Protocol, cast

import av
import numpy as np
from av.error import FFmpegError as LibavError
from numpy.typing import NDArray

from ecg_api.plan import Matrix, SourceFacts, Target
from ecg_api.renditions import RenditionFormat
from ecg_renderer.errors import Cancelled, FfmpegError
from ecg_renderer.frames import ShownPicture, area_of, pictures_of
from ecg_renderer.media import prores
from ecg_renderer.media.arguments import movie_timescale
from ecg_renderer.media.codecs import constant_rate_factor
from ecg_renderer.media.filters import colour_names
from ecg_renderer.media.merge import Verified, check_result, sha256_of
from ecg_renderer.media.placing import output_start
from ecg_renderer.model import Area, Box, FrameRange, around, packed
from ecg_renderer.storage.base import refusal

# ISO/IEC 23091-2, by FFmpeg's names; 2 is unspecified.
_NUMBERS = {
    "bt709": 1, "gamma22": 4, "bt470m": 4, "bt470bg": 5, "gamma28": 5, "smpte170m": 6, "smpte240m": 7,
    "bt2020nc": 9, "bt2020": 9, "bt2020c": 10, "smpte431": 11, "smpte432": 12, "iec61966-2-1": 13,
    "bt2020-10": 14, "bt2020-12": 15, "smpte2084": 16, "arib-std-b67": 18,
}  # fmt: skip
_CURVES_OF_709 = (6, 14, 15)
_VP9_FACTOR = 1.35  # its scale of quality runs to 63 where x264's ends at 51
_PNG_LEVEL = "2"
_ENCODERS = 4
"""Encoders of ProRes kept, each of one size of parts; each holds about 3 MB, and there may be hundreds of sizes."""

Packet = Any  # of libav; its class takes a parameter for mypy only
Planes = tuple[NDArray[np.uint8], ...]
Parts = Sequence[tuple[Box, Planes]]


@dataclass(frozen=True)
class Alone:
    """Captions alone as they were written; `box` is where in the picture they are, None if none is ever seen."""

    verified: Verified
    box: Box | None


class _Maker(Protocol):
    def show(self, parts: Parts, frames: int) -> None:
        """Add so many frames that show `parts`, and nothing else."""

    def close(self) -> None:
        """Write what is left."""


def write_alone(
    cells: Sequence[tuple[Path, FrameRange]],
    *,
    written: RenditionFormat,
    quality: int,
    target: Target,
    source: SourceFacts,
    output: Path,
    stopped: Callable[[], bool] = lambda: False,
) -> Alone:
    """Write the captions in `cells`, all of a job's, to `output`, a file or for PNG also a folder that is there.

    Its frames are those of `target`, its start that of the video which is made of `source`. Blocks; `stopped` is asked
    before each cell. Raises FfmpegError if the result is not as planned, StorageError, ResourceError, Cancelled.
    """
    target = target.model_copy(update={"quality": quality, "format": "webm" if written == "webm" else "mov"})
    rate, lead = target.exact_rate, target.lead_frames
    start = source.start - lead / rate - output_start(source, rate, lead)
    seen: Box | None = None
    try:
        maker = _maker(written, target, source, start, output)
        try:
            for cell, frames in cells:
                if stopped():
                    raise Cancelled("Stopped while captions alone were written.")
                area = area_of(cell)
                for shown in pictures_of(cell, frames):
                    parts = _parts(shown, area)
                    seen = around([*([seen] if seen else []), *(box for box, _ in parts)])
                    maker.show(parts, len(shown.frames))
        finally:
            maker.close()
    except LibavError as error:
        raise FfmpegError(f"The captions alone could not be encoded: {error.strerror or error}.") from error
    except OSError as error:
        raise refusal(error, "write", output) from error
    if written == "png":
        return Alone(_counted(output, target), seen)
    return Alone(check_result(output, target, start=start, sounds=0), seen)


def _maker(written: RenditionFormat, target: Target, source: SourceFacts, start: Fraction, output: Path) -> _Maker:
    if written == "png":
        return _Png(target, source, output)
    return (_ProRes if written == "mov" else _Vp9)(target, source, start, output)


class _Film:
    """What ProRes and VP9 have in common: a file with one stream, whose frame n is shown at start + n / rate."""

    def __init__(
        self,
        path: Path,
        encoder: str,
        pixels: str,
        target: Target,
        source: SourceFacts,
        start: Fraction,
        settings: dict[str, str],
    ) -> None:
        rate = target.exact_rate
        ticks = {"movflags": "+faststart", "movie_timescale": str(movie_timescale(rate))}
        of_mov = {**ticks, "video_track_timescale": ticks["movie_timescale"]}
        is_mov = encoder == "prores"
        self.container = av.open(
            str(path), "w", format="mov" if is_mov else "webm", options=of_mov if is_mov else {"cues_to_front": "1"}
        )
        stream = self.container.add_stream(encoder, rate=rate, options=settings)
        assert isinstance(stream, av.VideoStream)
        self.stream = stream
        self.stream.width, self.stream.height, self.stream.pix_fmt = target.width, target.height, pixels
        self.stream.time_base = self.stream.codec_context.time_base = 1 / rate
        stream.codec_context.thread_count = 2
        self._start = round(start * rate)
        names = colour_names(source, target.colour)
        self.colours = [_NUMBERS.get(names[name], 2) for name in ("colorspace", "color_primaries", "color_trc")]
        if encoder == "prores" and self.colours[2] in _CURVES_OF_709:
            self.colours[2] = 1  # ProRes has no number for the others
        self.tag(stream.codec_context)
        self._rate = rate

    def mux(self, packet: Packet, frame: int | None = None) -> None:
        """Write a packet, at the frame that it says or at another one."""
        if frame is not None:
            packet.pts = packet.dts = frame
            packet.time_base = 1 / self._rate
        for name in ("pts", "dts"):
            value = getattr(packet, name)
            if value is not None:
                setattr(packet, name, value + self._start)
        packet.stream = self.stream
        self.container.mux(packet)

    def tag(self, tagged: av.VideoFrame | av.VideoCodecContext) -> None:
        """Say what the numbers mean; some encoders ask the picture, some their own settings."""
        tagged.colorspace, tagged.color_primaries, tagged.color_trc = self.colours
        tagged.color_range = av.video.reformatter.ColorRange.MPEG

    def encode(self, frame: av.VideoFrame | None, number: int = 0) -> list[Packet]:
        """Give a picture to the encoder, the `number`th, or None for the end; return what comes out."""
        if frame is not None:
            frame.pts, frame.time_base = number, 1 / self._rate
            self.tag(frame)
        return self.stream.encode(frame)


class _ProRes:
    """Each picture is encoded once, as far as it shows anything; its packet is written for all frames that show it."""

    def __init__(self, target: Target, source: SourceFacts, start: Fraction, output: Path) -> None:
        self._target = target
        self._film = _Film(output, "prores", prores.PIXELS, target, source, start, prores.SETTINGS)
        self._luts = _limited(10, full_range=_full_range(target, source))
        self._encoder = lru_cache(_ENCODERS)(partial(prores.encoder, colours=self._film.colours))
        self._empty = prores.Frame.read(self._encoded(Box(0, 0, target.width, target.height), []), target.width)
        self._nothing = self._empty.with_part(self._empty, Box(0, 0, target.width, target.height))
        self._frame = 0

    def show(self, parts: Parts, frames: int) -> None:
        packet = self._packet(parts) if parts else self._nothing
        for _ in range(frames):
            copy = av.Packet(packet)
            copy.is_keyframe = True
            copy.duration = 1
            self._film.mux(copy, self._frame)
            self._frame += 1

    def close(self) -> None:
        self._film.container.close()

    def _packet(self, parts: Parts) -> bytes:
        box = around(box for box, _ in parts)
        assert box
        part = prores.part_around(box, self._target.width, self._target.height)
        inside = [(Box(box.x - part.x, box.y - part.y, box.width, box.height), planes) for box, planes in parts]
        frame = prores.Frame.read(self._encoded(part, inside), part.width)
        return self._empty.with_part(frame, part)

    def _encoded(self, part: Box, shown: Parts) -> bytes:
        size = part.width, part.height
        whole = [np.full(size[::-1], value, np.uint16) for value in _EMPTY_10]
        for box, planes in shown:
            for index, (plane, lut) in enumerate(zip(planes, self._luts, strict=True)):
                values = lut[plane]
                # Repeated, not blended: halved again, chroma is what was burnt in.
                values = values.repeat(2, 0).repeat(2, 1) if index in _CHROMA else values
                whole[index][_region(box, halved=False)] = values
        frame = _to_frame(whole, prores.PIXELS)
        self._film.tag(frame)
        return b"".join(bytes(packet) for packet in self._encoder(*size).encode(frame))


class _Vp9:
    """Every frame is encoded; what does not change costs next to nothing."""

    def __init__(self, target: Target, source: SourceFacts, start: Fraction, output: Path) -> None:
        crf = min(63, round(constant_rate_factor(target.quality) * _VP9_FACTOR))
        speed = {"deadline": "good", "cpu-used": "5", "row-mt": "1", "auto-alt-ref": "0", "lag-in-frames": "0"}
        settings = {**speed, "crf": str(crf), "b": "0"}
        self._film = _Film(output, "libvpx-vp9", "yuva420p", target, source, start, settings)
        self._film.stream.metadata["alpha_mode"] = "1"
        self._planes = _empty_420(target)
        self._luts = _limited(8, full_range=_full_range(target, source))
        self._frame = 0

    def show(self, parts: Parts, frames: int) -> None:
        for index, (whole, empty) in enumerate(zip(self._planes, _EMPTY_8, strict=True)):
            whole[:] = empty
            for box, planes in parts:
                whole[_region(box, halved=index in _CHROMA)] = self._luts[index][planes[index]]
        for _ in range(frames):
            for packet in self._film.encode(_to_frame(self._planes, "yuva420p"), self._frame):
                self._film.mux(packet)
            self._frame += 1

    def close(self) -> None:
        try:
            if self._frame:
                for packet in self._film.encode(None):
                    self._film.mux(packet)
        finally:
            self._film.container.close()


class _Png:
    """RGBA pictures `captions-000000.png` and so on, into a ZIP or a folder; each is encoded once."""

    def __init__(self, target: Target, source: SourceFacts, output: Path) -> None:
        self._target = target
        self._to_rgb = _ToRgb(target.colour.matrix, full_range=_full_range(target, source))
        self._folder = output if output.is_dir() else None
        self._zip = None if self._folder else zipfile.ZipFile(output, "w")
        self._frame = 0
        self._empty = b""

    def show(self, parts: Parts, frames: int) -> None:
        data = self._encoded(parts) if parts else self._nothing()
        for _ in range(frames):
            name = f"captions-{self._frame:06d}.png"
            if self._zip:
                self._zip.writestr(zipfile.ZipInfo(name), data)
            elif self._folder:
                (self._folder / name).write_bytes(data)
            self._frame += 1

    def close(self) -> None:
        if self._zip:
            self._zip.close()

    def _nothing(self) -> bytes:
        self._empty = self._empty or self._encoded([])
        return self._empty

    def _encoded(self, parts: Parts) -> bytes:
        rgba = np.zeros((self._target.height, self._target.width, 4), np.uint8)
        for box, planes in parts:
            rgba[_region(box, halved=False)] = self._to_rgb(planes)
        encoder = av.CodecContext.create("png", "w")
        assert isinstance(encoder, av.VideoCodecContext)
        encoder.width, encoder.height, encoder.pix_fmt = self._target.width, self._target.height, "rgba"
        encoder.time_base = Fraction(1, 25)
        encoder.options = {"compression_level": _PNG_LEVEL, "pred": "up"}
        frame = av.VideoFrame.from_ndarray(rgba, "rgba")
        return b"".join(bytes(packet) for part in (frame, None) for packet in encoder.encode(part))


# --- pictures --------------------------------------------------------------------------------------

_CHROMA = (1, 2)
_EMPTY_8 = (16, 128, 128, 0)
_EMPTY_10 = (64, 512, 512, 0)


def _parts(shown: ShownPicture, area: Area) -> Parts:
    if shown.planes is None:
        return []
    pixels = np.frombuffer(shown.planes, np.uint8)
    luma = area.width * area.height
    planes = np.split(pixels, [luma, luma * 5 // 4, luma * 3 // 2])
    shapes = (area.height, area.width), (area.height // 2, area.width // 2)
    whole = [plane.reshape(shapes[index in _CHROMA]) for index, plane in enumerate(planes)]
    places = [(part, Box(0, top, part.width, part.height)) for part, top in packed(area)]
    parts = [
        (part, tuple(plane[_region(place, halved=index in _CHROMA)] for index, plane in enumerate(whole)))
        for part, place in places
    ]
    return [(box, planes) for part in parts for box, planes in _visible(*part)]


def _visible(part: Box, planes: Planes) -> Parts:
    """Return what shows anything of a part, on even pixels: little of what captions reach over the whole time."""
    rows, columns = (np.flatnonzero(planes[3].any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return []
    top, left = (int(places[0]) // 2 * 2 for places in (rows, columns))
    height, width = int(rows[-1]) // 2 * 2 + 2 - top, int(columns[-1]) // 2 * 2 + 2 - left
    inside = Box(left, top, width, height)
    shown = tuple(plane[_region(inside, halved=index in _CHROMA)] for index, plane in enumerate(planes))
    return [(Box(part.x + left, part.y + top, width, height), shown)]


def _full_range(target: Target, source: SourceFacts) -> bool:
    """Tell whether captions were drawn with luma from 0 to 255, as the pictures are over which they are laid."""
    return source.full_range and not target.colour.tone_mapped


def _region(box: Box, *, halved: bool) -> tuple[slice, slice]:
    by = 2 if halved else 1
    return slice(box.y // by, (box.y + box.height) // by), slice(box.x // by, (box.x + box.width) // by)


def _empty_420(target: Target) -> list[NDArray[np.uint8]]:
    shapes = (target.height, target.width), (target.height // 2, target.width // 2)
    return [np.full(shapes[index in _CHROMA], value, np.uint8) for index, value in enumerate(_EMPTY_8)]


def _limited(depth: Literal[8, 10], *, full_range: bool) -> list[NDArray[np.uint16]]:
    """Return what each value of Y, U, V and alpha becomes: limited range of `depth` bits; alpha uses all of them."""
    values, scale, most = np.arange(256.0), 1 << (depth - 8), (1 << depth) - 1
    luma = (16 + values * 219 / 255 if full_range else values) * scale
    chroma = (128 + (values - 128) * 224 / 255 if full_range else values) * scale
    return [np.rint(curve).astype(np.uint16) for curve in (luma, chroma, chroma, values * most / 255)]


def _to_frame(planes: Sequence[NDArray[np.uint8] | NDArray[np.uint16]], pixels: str) -> av.VideoFrame:
    height, width = planes[0].shape
    frame = av.VideoFrame(width, height, pixels)
    for plane, values in zip(frame.planes, planes, strict=True):
        rows = np.frombuffer(memoryview(cast(Any, plane)), values.dtype).reshape(plane.height, -1)
        rows[:, : values.shape[1]] = values
    return frame


class _ToRgb:
    """From Y, U, V of a source's matrix and range to RGB."""

    def __init__(self, matrix: Matrix, *, full_range: bool) -> None:
        red, blue = {"bt709": (0.2126, 0.0722), "bt601": (0.299, 0.114), "bt2020": (0.2627, 0.0593)}[matrix]
        green = 1 - red - blue
        self._scales = (1.0, 1.0, 0) if full_range else (255 / 219, 255 / 224, 16)
        self._red, self._blue = 2 * (1 - red), 2 * (1 - blue)
        self._green = -2 * (1 - blue) * blue / green, -2 * (1 - red) * red / green

    def __call__(self, planes: Planes) -> NDArray[np.uint8]:
        luma, chroma, black = self._scales
        y = (planes[0].astype(np.float32) - black) * luma
        u, v = (
            ((plane.astype(np.float32) - 128) * chroma).repeat(2, 0).repeat(2, 1) for plane in (planes[1], planes[2])
        )
        rgb = y + self._red * v, y + self._green[0] * u + self._green[1] * v, y + self._blue * u
        colours = [np.clip(np.rint(part), 0, 255).astype(np.uint8) for part in rgb]
        rgba = np.dstack([*colours, planes[3]])
        rgba[planes[3] == 0] = 0
        return rgba


# --- checks ----------------------------------------------------------------------------------------


def _counted(output: Path, target: Target) -> Verified:
    """Count the pictures of a ZIP or a folder, and hash the ZIP."""
    sizes = list(_sizes(output))
    if len(sizes) != target.frames:
        raise FfmpegError(f"The result has {len(sizes)} pictures instead of {target.frames}.")
    if output.is_dir():
        return Verified(len(sizes), float(target.duration), sum(sizes), "")
    return Verified(len(sizes), float(target.duration), output.stat().st_size, sha256_of(output))


def _sizes(output: Path) -> Iterator[int]:
    if output.is_dir():
        yield from (path.stat().st_size for path in output.glob("captions-*.png"))
    else:
        with zipfile.ZipFile(output) as file:
            yield from (entry.file_size for entry in file.infolist())
