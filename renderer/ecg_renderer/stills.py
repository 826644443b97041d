"""One frame as a PNG: as the video shows it, or its captions alone.

1. plan     as for a render
2. caption  the stage is brought to the frame as in a segment that begins there, pre-roll included
3. compose  FFmpeg lays the captions over the source's frame, as it does for a segment
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
from ecg_renderer.errors import BrowserError, OptionsError
from ecg_renderer.frames import CaptionFrame
from ecg_renderer.hashes import normalised
from ecg_renderer.media.arguments import Overlay, SegmentEncode, still_arguments
from ecg_renderer.media.process import run_ffmpeg
from ecg_renderer.model import Box, FrameGrid, FrameRange
from ecg_renderer.nut import NutWriter
from ecg_renderer.planning import Cutting
from ecg_renderer.preparation import PreparedJob, prepare_job
from ecg_renderer.settings import Settings
from ecg_renderer.storage import OutputFile


@dataclass(frozen=True)
class StillRequest:
    """Which frame, and where the picture goes.

    Attributes:
        base: the folder that relative paths in the manifest start from.
        seconds: time in the video.
        output: a PNG file.
        captions_only: without the source; transparent where there is no caption.
    """

    job: RenderJob
    base: Path
    settings: Settings
    seconds: float
    output: Path
    captions_only: bool = False


async def make_still(request: StillRequest) -> str:
    """Write the picture and return its path.

    Raises a RenderError; then there is no picture, or still the one that was there before.
    """
    prepared = await prepare_job(request.job, request.base, Cutting(forced=1))
    frame = frame_at(request.seconds, prepared.grid)
    key = f"still-{os.getpid()}"
    with OutputFile(request.output, key, source=prepared.source_url) as output:
        if request.captions_only:
            pixels = await _captions(prepared, request.settings, frame, None)
            output.path.write_bytes(encode_png(pixels, prepared.plan.width, prepared.plan.height))
        else:
            pixels = await _captions(prepared, request.settings, frame, prepared.conversion)
            await _compose(prepared, frame, pixels, output.path)
        return output.commit()


def frame_at(seconds: float, grid: FrameGrid) -> int:
    """Return the frame that is shown at a time; raise OptionsError for one that the video does not have.

    The time is taken as it was written: 0.3 is meant to be exactly three tenths, where frame 9 of 30 begins.
    """
    frame = floor(Fraction(repr(seconds)) * grid.rate) if isfinite(seconds) else -1
    if not 0 <= frame < grid.frames:
        raise OptionsError(
            f"--at {seconds:g} is outside of the video, which is {float(grid.seconds(grid.frames)):.3f} s long.",
            hint=f"Its last frame is shown from {float(grid.seconds(grid.frames - 1)):.3f} s on.",
        )
    return frame


def encode_png(pixels: Bytes | None, width: int, height: int) -> bytes:
    """Return flat RGBA pixels, straight alpha, as a PNG; None is a transparent picture."""
    rgba = np.zeros(width * height * 4, np.uint8) if pixels is None else normalised(pixels)
    codec = av.CodecContext.create("png", "w")
    assert isinstance(codec, av.VideoCodecContext)
    codec.width, codec.height, codec.pix_fmt, codec.time_base = width, height, "rgba", Fraction(1)
    picture = av.VideoFrame.from_ndarray(rgba.reshape(height, width, 4), format="rgba")
    return b"".join(bytes(packet) for packet in [*codec.encode(picture), *codec.encode(None)])


async def _captions(
    prepared: PreparedJob, settings: Settings, frame: int, conversion: Conversion | None
) -> Bytes | None:
    """Return the whole caption picture of `frame`, or None if no caption is alive."""
    blocks = prepared.blocks(FrameRange(frame, frame + 1))
    if not blocks:
        return None
    pixels = None
    first, last = (prepared.grid.seconds(number) for number in (blocks[0].pre_roll, frame))
    # What cannot be seen is not laid out: a still of a long video costs no more than one of a short.
    scene = replace(prepared.scene(), scenario=prepared.scenario.slice(float(first), float(last)))
    async with open_capture(
        settings.capture,
        scene,
        conversion,
        stages=1,
        frame_timeout=settings.frame_timeout,
        launcher=BrowserLauncher(),
        blocks=blocks,
    ) as choice:
        async for patch in choice.capture.patches(blocks, _whole(prepared)):
            pixels = patch.pixels.copy()  # a block of one frame is one patch, all of the picture
    if pixels is None:
        raise BrowserError(f"The browser gave no picture of frame {frame}.", frame=frame)
    return pixels


async def _compose(prepared: PreparedJob, frame: int, captions: Bytes | None, output: Path) -> None:
    plan, options = prepared.plan, prepared.job.spec.options
    box = _whole(prepared)
    encode = SegmentEncode(
        source=plan.source,
        url=prepared.source_url,
        start=frame,
        end=frame + 1,
        rate=plan.exact_rate,
        width=plan.width,
        height=plan.height,
        quality=options.quality,
        preset=options.preset,
        encoder="x264",
        output=output,
        fit=options.fit,
        overlay=Overlay(box, "pipe:0") if captions is not None else None,
    )
    with tempfile.TemporaryFile() as nut:
        if captions is not None:
            writer = NutWriter(os.dup(nut.fileno()), box, plan.exact_rate)
            writer.write(CaptionFrame(0, captions.tobytes()))
            writer.close()
            nut.seek(0)
        redacted = {prepared.source_url: plan.source.uri}
        await run_ffmpeg(still_arguments(encode), action="composing a still", stdin=nut.fileno(), redact=redacted)


def _whole(prepared: PreparedJob) -> Box:
    return Box(0, 0, prepared.plan.width, prepared.plan.height)
