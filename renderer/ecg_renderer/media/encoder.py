"""Which encoder a job gets: decided once, by a test encode rather than by what is said to be installed."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

from ecg_api.options import Encoder, Format
from ecg_renderer.errors import FfmpegError, OptionsError
from ecg_renderer.media.codecs import EncoderName
from ecg_renderer.media.process import run_ffmpeg

TEST_SECONDS = 20
_TEST = [
    *("-f", "lavfi", "-i", "color=s=320x240:r=30"),
    *("-frames:v", "10", "-c:v", "h264_nvenc", "-pix_fmt", "yuv420p", "-f", "null", "-"),
]
# What FFmpeg and the driver say, and what it means to whoever runs the machine.
_MEANINGS = {
    "Unknown encoder": "this FFmpeg is built without h264_nvenc",
    "Cannot load libnvidia-encode": "the driver's video library is not in this container; "
    "set NVIDIA_DRIVER_CAPABILITIES=compute,video,utility",
    "Cannot load libcuda": "the NVIDIA driver is not installed",
    "Driver does not support the required nvenc API": "the NVIDIA driver is too old for this FFmpeg",
    "No capable devices found": "this GPU has no NVENC (A100, H100 and H200 have none)",
    "OpenEncodeSessionEx failed": "the GPU opens no further encoding session",
    "Permission denied": "the GPU may not be used from here",
}


@dataclass(frozen=True)
class EncoderChoice:
    """The encoder of a job, and in words why it is that one."""

    encoder: EncoderName
    reason: str


async def choose_encoder(wanted: Encoder, format: Format, *, bit_depth: int = 8) -> EncoderChoice:  # noqa: A002
    """Return the encoder for a container and a source's bit depth.

    `auto` takes NVENC where it works and says why where it does not. Raises OptionsError when `nvenc` cannot make
    what is asked for, FfmpegError when it does not work on this machine.
    """
    settled = settled_encoder(wanted, format, bit_depth=bit_depth)
    if settled:
        return settled
    problem = await nvenc_problem()
    if not problem:
        return EncoderChoice("nvenc", "a test encode on this GPU worked")
    if wanted == "nvenc":
        raise FfmpegError(
            f"The NVENC encoder does not work on this machine: {problem}.",
            hint="Set options.encoder to auto to fall back to x264, or run on a machine with a fitting GPU.",
        )
    return without_nvenc(problem)


def settled_encoder(wanted: Encoder, format: Format, *, bit_depth: int = 8) -> EncoderChoice | None:  # noqa: A002
    """Return the encoder if the job alone decides it, None if that takes a test encode.

    Raises OptionsError when `nvenc` cannot make what is asked for.
    """
    unsuited = _unsuited(format, bit_depth)
    if wanted == "nvenc" and unsuited:
        raise OptionsError(
            f"The NVENC encoder cannot be used: {unsuited}.", hint="Set options.encoder to auto or x264."
        )
    if format == "webm":
        return EncoderChoice("vp9", "WebM holds no H.264; VP9 is encoded on the CPU")
    if wanted == "x264":
        return EncoderChoice("x264", "as asked")
    return without_nvenc(unsuited) if unsuited else None


def without_nvenc(problem: str) -> EncoderChoice:
    """Return x264 with the reason why it is not NVENC."""
    return EncoderChoice("x264", f"NVENC is not available: {problem}")


def _unsuited(format: Format, bit_depth: int) -> str:  # noqa: A002
    if format == "webm":
        return "WebM holds no H.264"
    if bit_depth > 8:
        return f"NVENC encodes H.264 with 8 bits only, and the source has {bit_depth}"
    return ""


class _NvencTest:
    """The answer of this process's one test encode; all who ask meanwhile wait for it."""

    def __init__(self) -> None:
        self._problem: str | None = None

    async def problem(self) -> str:
        if self._problem is None:
            self._problem = await _test_nvenc()
        return self._problem


_nvenc_test = _NvencTest()


async def nvenc_problem() -> str:
    """Return why NVENC does not work here, or nothing when it does. The test runs once a process."""
    return await _nvenc_test.problem()


async def _test_nvenc() -> str:
    if not _has_nvidia_device():
        return "no NVIDIA device"
    try:
        async with asyncio.timeout(TEST_SECONDS):
            await run_ffmpeg(_TEST, action="testing NVENC")
    except TimeoutError:
        return f"a test encode did not end within {TEST_SECONDS} seconds"
    except FfmpegError as error:
        return meaning_of(error.log_tail)
    return ""


def _has_nvidia_device() -> bool:
    # dxg is how Windows lends its GPU to Linux.
    return any(Path("/dev").glob("nvidia[0-9]*")) or Path("/dev/dxg").exists()


def meaning_of(log: list[str]) -> str:
    """Return in words what a failed test encode's log says."""
    for words, meaning in _MEANINGS.items():
        if any(words in line for line in log):
            return meaning
    return f"a test encode failed ({log[0] if log else 'no reason given'})"
