"""One frame as a PNG: as the video shows it, or its captions alone.

1. plan     as for a render
2. caption  the stage is brought to the frame as in a cell that begins there, with what has to be replayed
3. compose  FFmpeg lays the captions over the source's frame, as it does for a cell
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass, replace
from fractions import Fraction
from math import floor, isfinite
from pathlib import Path

import av
import numpy as np

from ecg_api.renderjob import RenderJob
from ecg_renderer.browser import BrowserLauncher
from ecg_renderer.capture.patches import Bytes
from ecg_renderer.capture.ways import open_capture
from ecg_renderer.colour import Conversion
from ecg_renderer.drawing import draw
from ecg_renderer.errors import OptionsError
from ecg_renderer.frames import CaptionFrame
from ecg_renderer.hashes import normalised
from ecg_renderer.media.arguments import LEAD_FRAMES, Overlay, Pictures, still_arguments
from ecg_renderer.media.placing import Placing
from ecg_renderer.media.process import run_ffmpeg
from ecg_renderer.media.tonemapping import tone_map_of
from ecg_renderer.model import FrameGrid, FrameRange
from ecg_renderer.nut import NutWriter
from ecg_renderer.picture import RgbaPicture, YuvaPicture
from ecg_renderer.preparation import PreparedJob, prepare_job
from ecg_renderer.request import RunRequest
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
