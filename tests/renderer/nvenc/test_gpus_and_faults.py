"""Which GPU gets a job, in which words another encoder is announced, and how a GPU that fails ends a render."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import imageio_ffmpeg
import pytest

from clips import Clip, counter
from driver_double import Driver
from ecg_api.options import Options
from ecg_renderer.errors import GpuMemoryError, GpuUnavailable, RenderError
from ecg_renderer.media import encoder
from ecg_renderer.media.encoder import EncoderChoice, choose_encoder
from encodes import Render

SHORT = Clip(frames=30)


def chosen(size: tuple[int, int] = (1920, 1080), bit_depth: int = 8, codec: str = "h264") -> EncoderChoice:
    """Return what `auto` takes, asked for the first time."""
    encoder._nvenc_tests = encoder._NvencTests()
    return asyncio.run(choose_encoder(Options(codec=codec), size=size, bit_depth=bit_depth))


@pytest.mark.parametrize("gpu", ["T4", "A10G", "L4", "L40S"])
def test_gpus_with_nvenc_get_the_job(gpu: str, driver: Driver) -> None:
    driver.install(GPU=gpu)
    assert chosen() == EncoderChoice("nvenc", "a test encode on this GPU worked")
    assert [(session["gpu"], session["width"], session["height"]) for session in driver.sessions] == [(gpu, 1920, 1080)]


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"GPU": "A100"}, "this GPU has no NVENC for H.264 (A100, H100 and H200 have none at all)"),
        ({"FAULT": "no-device"}, "the driver sees no GPU"),
        ({"FAULT": "old-driver"}, "the NVIDIA driver is too old for this FFmpeg"),
        ({"FAULT": "no-session"}, "the GPU opens no further encoding session"),
        ({"FAULT": "no-memory"}, "the GPU's memory is full"),
        ({"FAULT": "no-buffers"}, "the GPU's memory is full"),
        ({"FAULT": "fail@3"}, "the GPU failed to encode a picture"),
        ({"FAULT": "hang@3"}, "a test encode did not end within 1 seconds"),
    ],
)
def test_another_encoder_is_announced_with_the_reason(
    settings: dict[str, str], reason: str, driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "hang@3" in settings.values():
        monkeypatch.setattr(encoder, "TEST_SECONDS", 1)
    driver.install(**settings)
    assert chosen() == EncoderChoice("x264", f"NVENC is not available: {reason}")


def test_a_container_without_the_drivers_video_library(driver: Driver, tmp_path: Path) -> None:
    shutil.copy2(driver.libraries / "libcuda.so.1", tmp_path)
    Driver(tmp_path, driver.folder).install()
    assert chosen().reason.startswith("NVENC is not available: the driver's video library is not in this container")


def test_an_ffmpeg_that_is_newer_than_the_driver(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    """The double is as old as the headers that come with this machine's FFmpeg."""
    driver.install()
    monkeypatch.setenv("ECG_FFMPEG", imageio_ffmpeg.get_ffmpeg_exe())
    assert chosen().reason == "NVENC is not available: the NVIDIA driver is too old for this FFmpeg"


@pytest.mark.parametrize(
    ("size", "codec", "taken", "reason"),
    [
        ((4224, 160), "h264", "x264", "its NVENC makes no H.264 of 4224x160, which is too large for it"),
        ((4224, 160), "hevc", "hevc-nvenc", ""),
        ((120, 40), "h264", "x264", "its NVENC makes no H.264 of 120x40, which is too small for it"),
    ],
)
def test_pictures_that_a_gpu_does_not_take_are_left_to_the_cpu(
    size: tuple[int, int], codec: str, taken: str, reason: str, driver: Driver
) -> None:
    driver.install()
    choice = chosen(size, codec=codec)
    assert choice.encoder == taken
    assert choice.reason.endswith(reason)


def test_ten_bits_are_tried_with_ten_bits(driver: Driver) -> None:
    driver.install()
    assert chosen(bit_depth=10, codec="hevc").encoder == "hevc-nvenc"
    assert [session["bit_depth"] for session in driver.sessions] == [10]


def test_a_gpu_without_a_free_session_is_tried_again_later(driver: Driver) -> None:
    driver.install(SESSIONS="1")
    with driver.in_use():
        assert chosen().reason.endswith("the GPU opens no further encoding session")
    assert chosen().encoder == "nvenc"


def rendered(tmp_path: Path) -> None:
    """Encode a clip as a segment is."""
    render = Render(counter(SHORT), tmp_path, options={"encoder": "nvenc"})
    job = render.job(0, 30, None, "")
    asyncio.run(
        encoder.encode(
            job.arguments,
            render.target,
            action="encoding frames 0 to 29",
            stdin=None,
            on_progress=lambda progress: None,
            redact={},
        )
    )


@pytest.mark.parametrize(
    ("fault", "kind", "words"),
    [
        ("fail@20", GpuUnavailable, "the GPU failed to encode a picture"),
        ("lose@20", GpuUnavailable, "the driver lost the GPU"),
        ("hang@20", GpuUnavailable, "No frame came out of NVENC for 1 s"),
        ("no-session", GpuUnavailable, "the GPU opens no further encoding session"),
        ("no-buffers", GpuMemoryError, "the GPU's memory is full"),
    ],
)
def test_a_gpu_that_fails_in_a_render_is_named(
    fault: str, kind: type[RenderError], words: str, driver: Driver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if fault == "hang@20":
        monkeypatch.setattr(encoder, "STALL_SECONDS", 1)
    driver.install(FAULT=fault)
    with pytest.raises(kind, match=words) as raised:
        rendered(tmp_path)
    assert "while encoding frames 0 to 29" in raised.value.message
    assert "options.encoder: cpu" in raised.value.hint
    assert raised.value.failure().retryable


def test_a_lost_gpu_stays_lost(driver: Driver, tmp_path: Path) -> None:
    driver.install(FAULT="lose@20")
    with pytest.raises(GpuUnavailable):
        rendered(tmp_path)
    assert chosen().reason.endswith("the driver sees no GPU")
