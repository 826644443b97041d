"""Pictures of a job without its video: one frame as a PNG, or a hash of each caption picture.

A still is the frame as the video shows it, or its captions alone:

1. plan     as for a render
2. caption  the stage is brought to the frame as in a cell that begins there, with what has to be replayed
3. compose  FFmpeg lays the captions over the source's frame, as it does for a cell
"""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from fractions import Fraction
from math import floor, isfinite
from pathlib import Path

import av
import numpy as np

from ecg_api.plan import SegmentPlan
from ecg_api.renderjob import RenderJob
from ecg_renderer.browser import BrowserLauncher
from ecg_renderer.capture import open_capture
from ecg_renderer.capture.patches import Bytes, Capture, RgbaPicture, YuvaPicture, draw
from ecg_renderer.colour import Conversion, tone_map_of
from ecg_renderer.errors import OptionsError
from ecg_renderer.frames import CaptionFrame, NutWriter
from ecg_renderer.media.arguments import LEAD_FRAMES, Overlay, Pictures, still_arguments
from ecg_renderer.media.placing import Placing
from ecg_renderer.media.process import run_ffmpeg
from ecg_renderer.model import Box, Film, FrameGrid, FrameRange
from ecg_renderer.preparation import PreparedJob, prepare_job
from ecg_renderer.request import RunRequest, Settings
from ecg_renderer.storage import CellStore, OutputFile


@dataclass(frozen=True)
class StillRequest:
    """Which frame, and where the picture goes.

    Attributes:
        run: the job.
        seconds: time in the video.
        output: a PNG file.
        captions_only: without the source; transparent where there is no caption.
    """

    run: RunRequest
    seconds: float
    output: Path
    captions_only: bool = False


async def make_still(request: StillRequest) -> str:
    """Write the picture and return its path.

    Raises a RenderError; then there is no picture, or still the one that was there before.
    """
    run = request.run
    store = CellStore(run.cells.as_uri())
    prepared = await prepare_job(_in_sdr(run.job), run.base, run.cutting, store=store)
    frame = frame_at(request.seconds, prepared.grid)
    key = f"still-{os.getpid()}"
    with OutputFile(request.output, key, source=prepared.source_url) as output:
        target = prepared.plan.target
        if request.captions_only:
            rgba = RgbaPicture(target.width, target.height)
            await _draw(prepared, run, store, frame, rgba, None)
            output.path.write_bytes(encode_png(rgba.pixels.ravel(), target.width, target.height))
        else:
            yuva = YuvaPicture(target.width, target.height, prepared.conversion)
            drawn = await _draw(prepared, run, store, frame, yuva, prepared.conversion)
            await _compose(prepared, frame, yuva.to_bytes() if drawn else None, output.path)
        return output.commit()


def _in_sdr(job: RenderJob) -> RenderJob:
    """Return the job with SDR for its result: a PNG says nothing of HDR, and its viewers know nothing of it."""
    options = job.spec.options.model_copy(update={"dynamic_range": "sdr"})
    return job.model_copy(update={"spec": job.spec.model_copy(update={"options": options})})


def frame_at(seconds: float, grid: FrameGrid) -> int:
    """Return the frame that is shown at a time; raise OptionsError for one that the video does not have.

    The time is taken as it was written: 0.3 is meant to be exactly three tenths, where frame 9 of 30 begins.
    """
    frame = floor((Fraction(repr(seconds)) - grid.start) * grid.rate) if isfinite(seconds) else -1
    frame = 0 if 0 <= seconds < grid.start else frame
    if not 0 <= frame < grid.frames:
        raise OptionsError(
            f"--at {seconds:g} is outside of the video, which is {float(grid.end):.3f} s long.",
            hint=f"Its last frame is shown from {float(grid.seconds(grid.frames - 1)):.3f} s on.",
        )
    return frame


def encode_png(pixels: Bytes, width: int, height: int) -> bytes:
    """Return flat RGBA pixels, straight alpha, as a PNG."""
    codec = av.CodecContext.create("png", "w")
    assert isinstance(codec, av.VideoCodecContext)
    codec.width, codec.height, codec.pix_fmt, codec.time_base = width, height, "rgba", Fraction(1)
    rgba = np.ascontiguousarray(normalised(pixels).reshape(height, width, 4))
    picture = av.VideoFrame.from_ndarray(rgba, format="rgba")
    return b"".join(bytes(packet) for packet in [*codec.encode(picture), *codec.encode(None)])


async def _draw(
    prepared: PreparedJob,
    run: RunRequest,
    store: CellStore,
    frame: int,
    picture: RgbaPicture | YuvaPicture,
    conversion: Conversion | None,
) -> bool:
    """Draw the captions of `frame`; tell whether any can be alive."""
    film = prepared.film(FrameRange(frame, frame + 1))
    if not film.blocks:
        return False
    settings = run.settings.model_copy(update={"stages": 1})
    async with open_capture(film, conversion, settings, BrowserLauncher(), store) as choice:
        pictures = draw(choice.capture, film.blocks, film.whole, picture, end=frame + 1, on_distrust=lambda _: None)
        async for _ in pictures:
            pass
    return True


async def _compose(prepared: PreparedJob, frame: int, captions: bytes | None, output: Path) -> None:
    source, target = prepared.source, prepared.plan.target
    whole = prepared.film(FrameRange(frame, frame + 1)).whole
    pictures = Pictures(
        source=source,
        url=prepared.source_url,
        target=target,
        start=frame,
        end=frame + 1,
        seek=Placing.of(source, target).seek(source, frame),
        overlay=None if captions is None else Overlay(whole, "pipe:0"),
    )
    with tempfile.TemporaryFile() as nut, tempfile.TemporaryDirectory() as folder:
        pictures = replace(pictures, tone_map=tone_map_of(source, target.colour, Path(folder)))
        if captions is not None:
            writer = NutWriter(os.dup(nut.fileno()), whole, target.exact_rate)
            writer.write(CaptionFrame(LEAD_FRAMES + frame, captions))
            writer.close()
            nut.seek(0)
        redacted = {prepared.source_url: source.uri}
        arguments = still_arguments(pictures, output)
        await run_ffmpeg(arguments, action="composing a still", stdin=nut.fileno(), redact=redacted)


# --- a hash of each caption picture ---------------------------------------------------------------
# SHA-256, of the whole picture in RGBA, straight alpha. The pictures are captured as a render captures them: the same
# segments, pre-roll, blocks, boxes and patches. So equal listings prove that however the work is cut up, the same
# pictures come out.


log = logging.getLogger(__name__)

_BAND_ROWS = 64


class HashedPicture:
    """A picture that changes box by box, and its hash.

    The hash runs over the rows from top to bottom; its state before each band of rows is kept. After a change only
    the rows from the changed one down are hashed again: captions mostly stand at the bottom.
    """

    def __init__(self, width: int, height: int) -> None:
        self.box = Box(0, 0, width, height)
        self._picture = RgbaPicture(width, height)
        self._states = [hashlib.sha256()]
        self._digest: str | None = None

    def apply(self, box: Box, pixels: Bytes) -> None:
        """Replace `box` by flat RGBA `pixels`; the colour of what is wholly transparent does not count."""
        self._picture.apply(box, normalised(pixels))
        self._changed_from(box.y)

    def shows(self, box: Box, pixels: Bytes) -> bool:
        """Tell whether `box` of the picture is `pixels`, as `apply` would make it."""
        there = self._picture.pixels[box.y : box.y + box.height, box.x : box.x + box.width]
        return np.array_equal(there.ravel(), normalised(pixels))

    def clear(self) -> None:
        """Make the picture wholly transparent."""
        self._picture.clear()
        self._changed_from(0)

    def digest(self) -> str:
        """Return the SHA-256 of the picture as 64 hexadecimal digits."""
        if self._digest is None:
            rows = self._picture.pixels
            state = self._states[-1].copy()
            for top in range((len(self._states) - 1) * _BAND_ROWS, len(rows), _BAND_ROWS):
                state.update(rows[top : top + _BAND_ROWS].data)
                self._states.append(state.copy())
            self._digest = state.hexdigest()
        return self._digest

    def _changed_from(self, row: int) -> None:
        del self._states[row // _BAND_ROWS + 1 :]
        self._digest = None


def normalised(pixels: Bytes) -> Bytes:
    """Return flat RGBA pixels in which everything wholly transparent is 0, 0, 0, 0."""
    rgba = pixels.reshape(-1, 4)
    return np.where(rgba[:, 3:] == 0, np.uint8(0), rgba).ravel()


async def hash_frames(
    prepared: PreparedJob, settings: Settings, wanted: FrameRange, store: CellStore
) -> AsyncIterator[tuple[int, str]]:
    """Yield frame and hash of all `wanted` frames, in order.

    Raises BrowserError or FrameTimeout. Logs a warning when patches do not add up to the picture.
    """
    parts = [part for segment in prepared.plan.segments if (part := _common(segment, wanted))]
    films = [prepared.film(part) for part in parts]
    first = next((film for film in films if film.blocks), None)
    async with AsyncExitStack() as stack:
        capture: Capture | None = None
        if first:
            opened = open_capture(first, None, settings, BrowserLauncher(), store)
            choice = await stack.enter_async_context(opened)
            capture = choice.capture
            for note in choice.notes:
                log.warning("%s", note)
        for part, film in zip(parts, films, strict=True):
            async for line in _hash_part(capture, film, part):
                yield line


def _common(segment: SegmentPlan, wanted: FrameRange) -> FrameRange | None:
    start, end = max(segment.start, wanted.start), min(segment.end, wanted.end)
    return FrameRange(start, end) if start < end else None


async def _hash_part(capture: Capture | None, film: Film, part: FrameRange) -> AsyncIterator[tuple[int, str]]:
    # All of the picture, where a render takes the box that captions reach: what is outside of it is empty anyway.
    picture = HashedPicture(film.width, film.height)
    frame, digest = part.start, picture.digest()
    if capture and film.blocks:
        await capture.show(film)
        async for shown in draw(capture, film.blocks, film.whole, picture, end=part.end, on_distrust=_distrust):
            for number in range(frame, shown):
                yield number, digest
            frame, digest = shown, picture.digest()
    for number in range(frame, part.end):
        yield number, digest


def _distrust(frame: int) -> None:
    log.warning("At frame %d the changed boxes did not add up to the whole picture.", frame)
