"""Which encoder a job gets: decided once, by a test encode rather than by what is said to be installed."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ecg_api.options import EncoderName, Options, VideoCodec
from ecg_api.plan import Target
from ecg_renderer.errors import FfmpegError, GpuMemoryError, GpuUnavailable, OptionsError
from ecg_renderer.media.codecs import CODECS, Codec, pixel_format
from ecg_renderer.media.process import Finished, Progress, run_ffmpeg

TEST_SECONDS = 20
_NAMES: Mapping[VideoCodec | None, str] = {"h264": "H.264", "hevc": "HEVC", "av1": "AV1", None: "H.264"}
TOO_OLD = "the NVIDIA driver is too old for this FFmpeg"
NO_DEVICE = "no NVIDIA device"
NO_MEMORY = "the GPU's memory is full"
NO_NVENC = "this GPU has no NVENC for {video} (A100, H100 and H200 have none at all)"
Size = tuple[int, int]
TEST_SIZE: Size = (320, 240)
# What FFmpeg and the driver say, and what it means to whoever runs the machine. Of several lines the first here counts:
# whatever the reason, FFmpeg also says that it found no capable device.
_MEANINGS = {
    "Unknown encoder": "this FFmpeg is built without {encoder}",
    "Cannot load libnvidia-encode": "the driver's video library is not in this container; "
    "set NVIDIA_DRIVER_CAPABILITIES=compute,video,utility",
    "Cannot load libcuda": "the NVIDIA driver is not installed",
    "Cannot load cu": TOO_OLD,
    "Driver does not support the required nvenc API": TOO_OLD,
    "CUDA_ERROR_NO_DEVICE": "the driver sees no GPU",
    "device does not exist": "the driver lost the GPU",
    "CUDA_ERROR_OUT_OF_MEMORY": NO_MEMORY,
    "InitializeEncoder failed: out of memory": NO_MEMORY,
    "OpenEncodeSessionEx failed: out of memory": "the GPU opens no further encoding session",
    "OpenEncodeSessionEx failed: incompatible client key": "the GPU opens no further encoding session",
    "OpenEncodeSessionEx failed: unsupported device": NO_NVENC,
    "exceeds": "its NVENC makes no {video} of {width}x{height}, which is too large for it",
    "less than the minimum": "its NVENC makes no {video} of {width}x{height}, which is too small for it",
    "10 bit encode not supported": "its NVENC makes no {video} with 10 bits",
    "No capable devices found": NO_NVENC,
    "OpenEncodeSessionEx failed": "the GPU opens no encoding session",
    "EncodePicture failed": "the GPU failed to encode a picture",
}


@dataclass(frozen=True)
class EncoderChoice:
    """The encoder of a job, and in words why it is that one."""

    encoder: EncoderName
    reason: str


async def choose_encoder(options: Options, *, bit_depth: int = 8, size: Size = TEST_SIZE) -> EncoderChoice:
    """Return the encoder for what is asked, a source's bit depth and the result's size in pixels.

    `auto` takes NVENC where it works and says why where it does not. Raises OptionsError when what is asked for cannot
    be made, FfmpegError when it does not work on this machine.
    """
    settled = settled_encoder(options, bit_depth=bit_depth)
    if settled:
        return settled
    codec = hardware_codec(options)
    problem = await nvenc_problem(codec, size=size, bit_depth=bit_depth)
    if not problem:
        return EncoderChoice(codec.name, WORKS)
    if options.encoder == "nvenc":
        raise FfmpegError(
            f"The NVENC encoder does not work on this machine: {problem}.",
            hint="Set options.encoder to auto to fall back to the CPU, or run on a machine with a fitting GPU.",
        )
    return without_nvenc(options, problem)


WORKS = "a test encode on this GPU worked"


def settled_encoder(options: Options, *, bit_depth: int = 8) -> EncoderChoice | None:
    """Return the encoder if the job alone decides it, None if that takes a test encode.

    Raises OptionsError when the options contradict each other.
    """
    cpu = cpu_codec(options)
    if options.encoder == "x264" and cpu.name != "x264":
        raise OptionsError(
            "options.encoder is x264, which makes H.264, and "
            + (f"options.codec is {options.codec}." if options.codec else "WebM holds none."),
            hint="Set options.encoder to auto or cpu.",
        )
    unsuited = _unsuited_for_nvenc(options, bit_depth)
    if options.encoder == "nvenc" and unsuited:
        raise OptionsError(f"The NVENC encoder cannot be used: {unsuited}.", hint="Set options.encoder to auto or cpu.")
    if options.encoder in {"cpu", "x264"}:
        return EncoderChoice(cpu.name, "as asked")
    if cpu.name == "vp9":
        return EncoderChoice("vp9", "WebM holds no H.264; VP9 is encoded on the CPU")
    return without_nvenc(options, unsuited) if unsuited else None


def without_nvenc(options: Options, problem: str) -> EncoderChoice:
    """Return the CPU's encoder with the reason why it is not NVENC."""
    return EncoderChoice(cpu_codec(options).name, f"NVENC is not available: {problem}")


def cpu_codec(options: Options) -> Codec:
    """Return the encoder on the CPU; raises OptionsError for a codec that the container does not hold."""
    return _codec(options, hardware=False)


def hardware_codec(options: Options) -> Codec:
    """Return the encoder on the GPU, which may not be there."""
    return _codec(options, hardware=True)


def _codec(options: Options, *, hardware: bool) -> Codec:
    video = _video(options)
    for codec in CODECS.values():
        if codec.video == video and codec.hardware == hardware and options.format in codec.containers:
            return codec
    held = sorted({codec.video or codec.name for codec in CODECS.values() if options.format in codec.containers})
    raise OptionsError(
        f"{options.format} holds no {_wanted(options)}.",
        hint=f"Set options.codec to one of {', '.join(held)}, or options.format to another container.",
    )


def _video(options: Options) -> VideoCodec | None:
    return options.codec or (None if options.format == "webm" else "h264")


def _wanted(options: Options) -> str:
    return _NAMES[_video(options)]


def _unsuited_for_nvenc(options: Options, bit_depth: int) -> str:
    if _video(options) is None:
        return "WebM holds no H.264"
    if bit_depth > max(hardware_codec(options).depths):
        return f"NVENC encodes {_wanted(options)} with 8 bits only, and the source has {bit_depth}"
    return ""


class _NvencTests:
    """The answers of this process's test encodes, one for each kind of picture; all who ask meanwhile wait for it."""

    def __init__(self) -> None:
        self._problems: dict[tuple[EncoderName, Size, bool], str] = {}

    async def problem(self, codec: Codec, size: Size, *, ten_bit: bool) -> str:
        key = codec.name, size, ten_bit
        if key not in self._problems:
            self._problems[key] = await _test_nvenc(codec, size, ten_bit=ten_bit)
        return self._problems[key]


_nvenc_tests = _NvencTests()


async def nvenc_problem(codec: Codec = CODECS["nvenc"], *, size: Size = TEST_SIZE, bit_depth: int = 8) -> str:
    """Return why an encoder of the GPU does not make such pictures here, or nothing when it does.

    They are tried once a process: a GPU has a smallest and a largest picture, and older ones no 10 bits.
    """
    return await _nvenc_tests.problem(codec, size, ten_bit=bit_depth > 8)


async def _test_nvenc(codec: Codec, size: Size, *, ten_bit: bool) -> str:
    if not _has_nvidia_device():
        return NO_DEVICE
    pictures = ["-f", "lavfi", "-i", "color=s={}x{}:r=30".format(*size)]
    pixels = pixel_format(ten_bit=ten_bit, hardware=True)
    encode = ["-frames:v", "10", "-c:v", codec.ffmpeg, "-bf", "0", "-pix_fmt", pixels, "-f", "null", "-"]
    try:
        async with asyncio.timeout(TEST_SECONDS):
            await run_ffmpeg([*pictures, *encode], action="testing NVENC")
    except TimeoutError:
        return f"a test encode did not end within {TEST_SECONDS} seconds"
    except FfmpegError as error:
        return meaning_of(error.log_tail, codec, size) or f"a test encode failed ({_first(error.log_tail)})"
    return ""


def _has_nvidia_device() -> bool:
    # dxg is how Windows lends its GPU to Linux. A driver that is not installed is named by LD_LIBRARY_PATH.
    own_driver = shutil.which("libcuda.so.1", os.F_OK, os.environ.get("LD_LIBRARY_PATH", ""))
    return any(Path("/dev").glob("nvidia[0-9]*")) or Path("/dev/dxg").exists() or own_driver is not None


def meaning_of(log: Sequence[str], codec: Codec, size: Size) -> str:
    """Return in words what the log of a failed encode on a GPU says, or nothing if it says nothing known."""
    # The rest is about files and decoders, which fail in the same words.
    said = [line for line in log if codec.ffmpeg in line or "AVHWDeviceContext" in line]
    for words, meaning in _MEANINGS.items():
        if any(words in line for line in said):
            return meaning.format(encoder=codec.ffmpeg, video=_NAMES[codec.video], width=size[0], height=size[1])
    return ""


def _first(log: Sequence[str]) -> str:
    return log[0] if log else "no reason given"


# --- encode a target: FFmpeg, and what a GPU adds to the ways in which it fails -------------------


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
) -> Finished:
    """Run FFmpeg as `run_ffmpeg` does.

    Where a GPU encodes, raises GpuUnavailable or GpuMemoryError for what is its fault, also when no frame comes out of
    it for STALL_SECONDS: no driver has a time limit of its own.
    """
    codec = CODECS[target.encoder]
    if not codec.hardware:
        return await run_ffmpeg(arguments, action=action, stdin=stdin, on_progress=on_progress, redact=redact)
    loop, frames = asyncio.get_running_loop(), 0

    def note(progress: Progress) -> None:
        nonlocal frames
        # Before the first one FFmpeg may have to decode for minutes, from the last key frame on.
        if (progress.frame > frames or not frames) and not limit.expired():
            frames = progress.frame
            limit.reschedule(loop.time() + STALL_SECONDS)
        on_progress(progress)

    try:
        async with asyncio.timeout(STALL_SECONDS) as limit:
            return await run_ffmpeg(arguments, action=action, stdin=stdin, on_progress=note, redact=redact)
    except TimeoutError:
        raise GpuUnavailable(f"No frame came out of NVENC for {STALL_SECONDS} s while {action}.", hint=_HINT) from None
    except FfmpegError as error:
        meaning = meaning_of(error.log_tail, codec, (target.width, target.height))
        if not meaning:
            raise
        kind = GpuMemoryError if meaning == NO_MEMORY else GpuUnavailable
        raise kind(f"NVENC failed while {action}: {meaning}.", hint=_HINT, log_tail=error.log_tail) from error
