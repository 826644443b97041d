"""Encode a target: FFmpeg, and what a GPU adds to the ways in which it fails."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from ecg_api.plan import Target
from ecg_renderer.errors import FfmpegError, GpuMemoryError, GpuUnavailable, RenderError
from ecg_renderer.media.codecs import CODECS, Codec
from ecg_renderer.media.encoder import NO_MEMORY, meaning_of
from ecg_renderer.media.process import Progress, run_ffmpeg

STALL_SECONDS = 180
"""How long a GPU may take for a frame. Longer than FFmpeg waits for a source and a browser is waited for, which come
first and fail in words of their own."""

_HINT = "Another try may work; options.encoder: cpu needs no GPU."


async def encode(
    arguments: list[str],
    target: Target,
    *,
    action: str,
    stdin: int | None,
    on_progress: Callable[[Progress], None],
    redact: Mapping[str, str],
) -> None:
    """Run FFmpeg as `run_ffmpeg` does.

    Where a GPU encodes, raises GpuUnavailable or GpuMemoryError for what is its fault, also when no frame comes out of
    it for STALL_SECONDS: no driver has a time limit of its own.
    """
    codec = CODECS[target.encoder]
    if not codec.hardware:
        await run_ffmpeg(arguments, action=action, stdin=stdin, on_progress=on_progress, redact=redact)
        return
    loop, frames = asyncio.get_running_loop(), 0

    def note(progress: Progress) -> None:
        nonlocal frames
        if progress.frame > frames:
            frames = progress.frame
            limit.reschedule(loop.time() + STALL_SECONDS)
        on_progress(progress)

    try:
        async with asyncio.timeout(STALL_SECONDS) as limit:
            await run_ffmpeg(arguments, action=action, stdin=stdin, on_progress=note, redact=redact)
    except TimeoutError:
        raise GpuUnavailable(f"No frame came out of NVENC for {STALL_SECONDS} s while {action}.", hint=_HINT) from None
    except FfmpegError as error:
        raise _gpu_failure(error, codec, target, action) from error


def _gpu_failure(error: FfmpegError, codec: Codec, target: Target, action: str) -> RenderError:
    meaning = meaning_of(error.log_tail, codec, (target.width, target.height))
    if not meaning:
        return error
    kind = GpuMemoryError if meaning == NO_MEMORY else GpuUnavailable
    return kind(f"NVENC failed while {action}: {meaning}.", hint=_HINT, log_tail=error.log_tail)
