"""Which encoder a job gets, and in which words another one is announced."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path

import imageio_ffmpeg
import pytest

from clips import Clip, counter
from ecg_api.options import Options
from ecg_renderer.errors import FfmpegError, OptionsError
from ecg_renderer.media import encoder
from ecg_renderer.media.codecs import CODECS
from ecg_renderer.media.encoder import EncoderChoice, choose_encoder, meaning_of
from encodes import Render

NO_DEVICES = "[h264_nvenc @ 0x5] No capable devices found"


@pytest.fixture(autouse=True)
def forgetful(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoder, "_nvenc_tests", encoder._NvencTests())


def chosen(wanted: str, container: str = "mp4", bit_depth: int = 8, codec: str | None = None) -> EncoderChoice:
    options = Options(encoder=wanted, format=container, codec=codec)
    return asyncio.run(choose_encoder(options, bit_depth=bit_depth))


def gpu(monkeypatch: pytest.MonkeyPatch, folder: Path, script: str) -> Path:
    """Pretend that there is a GPU, on which ffmpeg does what `script` does; return a file with a line a run."""
    runs = folder / "runs"
    tool = folder / "ffmpeg"
    tool.write_text(f"#!/bin/sh\necho run >> {runs}\n{script}\n")
    tool.chmod(0o755)
    monkeypatch.setenv("ECG_FFMPEG", str(tool))
    monkeypatch.setattr(encoder, "_has_nvidia_device", lambda: True)
    return runs


def test_without_a_gpu_auto_falls_back_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoder, "_has_nvidia_device", lambda: False)
    assert chosen("auto") == EncoderChoice("x264", "NVENC is not available: no NVIDIA device")


def test_without_a_gpu_nvenc_is_an_error_that_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoder, "_has_nvidia_device", lambda: False)
    with pytest.raises(FfmpegError, match="does not work on this machine: no NVIDIA device"):
        chosen("nvenc")


@pytest.mark.parametrize("wanted", ["auto", "nvenc"])
def test_a_test_encode_that_works_decides_for_nvenc(
    wanted: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    gpu(monkeypatch, tmp_path, 'case "$*" in *320x240*h264_nvenc*) exit 0;; *) exit 9;; esac')
    assert chosen(wanted).encoder == "nvenc"


def test_a_test_encode_that_fails_decides_for_x264(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    gpu(monkeypatch, tmp_path, 'echo "[h264_nvenc @ 0x1] No capable devices found" >&2; exit 1')
    assert chosen("auto").reason == (
        "NVENC is not available: this GPU has no NVENC for H.264 (A100, H100 and H200 have none at all)"
    )


def test_a_test_encode_that_fails_for_no_known_reason_shows_its_words(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    gpu(monkeypatch, tmp_path, "echo something else >&2; exit 1")
    assert chosen("auto").reason == "NVENC is not available: a test encode failed (something else)"


def test_a_test_encode_that_hangs_decides_for_x264(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(encoder, "TEST_SECONDS", 0.3)
    gpu(monkeypatch, tmp_path, "exec sleep 60")
    assert "did not end" in chosen("auto").reason


def test_the_test_encode_runs_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    runs = gpu(monkeypatch, tmp_path, "exit 0")
    chosen("auto")
    chosen("auto")
    assert runs.read_text() == "run\n"


def test_x264_is_taken_without_asking_the_gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    runs = gpu(monkeypatch, tmp_path, "exit 0")
    assert chosen("x264").encoder == "x264"
    assert not runs.exists()


def test_webm_is_vp9() -> None:
    assert chosen("auto", "webm").encoder == "vp9"
    assert chosen("cpu", "webm").encoder == "vp9"
    with pytest.raises(OptionsError, match=r"encoder is x264, which makes H\.264, and WebM holds none\."):
        chosen("x264", "webm")
    with pytest.raises(OptionsError, match=r"WebM holds no H\.264"):
        chosen("nvenc", "webm")


def test_ten_bits_are_left_to_x264(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    gpu(monkeypatch, tmp_path, "exit 0")
    assert chosen("auto", bit_depth=10).encoder == "x264"
    with pytest.raises(OptionsError, match="the source has 10"):
        chosen("nvenc", bit_depth=10)


@pytest.mark.parametrize(
    ("codec", "container", "cpu", "gpu_encoder"),
    [
        ("hevc", "mp4", "x265", "hevc-nvenc"),
        ("hevc", "mov", "x265", "hevc-nvenc"),
        ("av1", "mp4", "svt-av1", "av1-nvenc"),
        ("av1", "webm", "svt-av1", "av1-nvenc"),
        ("h264", "mov", "x264", "nvenc"),
    ],
)
def test_each_codec_has_an_encoder_on_the_cpu_and_one_on_the_gpu(
    codec: str, container: str, cpu: str, gpu_encoder: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert chosen("cpu", container, codec=codec).encoder == cpu
    monkeypatch.setattr(encoder, "_has_nvidia_device", lambda: False)
    assert chosen("auto", container, codec=codec).encoder == cpu
    monkeypatch.setattr(encoder, "_nvenc_tests", encoder._NvencTests())
    gpu(monkeypatch, tmp_path, f'case "$*" in *{CODECS[gpu_encoder].ffmpeg}*) exit 0;; *) exit 9;; esac')
    assert chosen("auto", container, codec=codec).encoder == gpu_encoder


def test_a_container_that_does_not_hold_the_codec_says_what_it_holds() -> None:
    with pytest.raises(OptionsError, match="mov holds no"):
        chosen("auto", "mov", codec="av1")


def test_ten_bits_of_hevc_go_to_the_gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    gpu(monkeypatch, tmp_path, "exit 0")
    assert chosen("auto", bit_depth=10, codec="hevc").encoder == "hevc-nvenc"


@pytest.mark.parametrize(
    ("log", "meaning"),
    [
        (["Unknown encoder 'h264_nvenc'"], "built without h264_nvenc"),
        (["[h264_nvenc @ 0x5] Cannot load libnvidia-encode.so.1"], "NVIDIA_DRIVER_CAPABILITIES=compute,video,utility"),
        (["[h264_nvenc @ 0x5] OpenEncodeSessionEx failed: out of memory (10)"], "no further encoding session"),
        (
            ["[h264_nvenc @ 0x5] OpenEncodeSessionEx failed: out of memory (10)", NO_DEVICES],
            "no further encoding session",
        ),
        ([NO_DEVICES], "has no NVENC for H.264"),
        (["[h264_nvenc @ 0x5] Cannot load cuCtxSynchronize"], "too old"),
        (["[in#0 @ 0x5] Size 5 exceeds 4", "[h264 @ 0x5] CUDA_ERROR_OUT_OF_MEMORY"], ""),
        ([], ""),
    ],
)
def test_the_drivers_words_are_translated(log: list[str], meaning: str) -> None:
    said = meaning_of(log, CODECS["nvenc"], (640, 360))
    assert meaning in said
    assert bool(said) == bool(meaning)


@pytest.mark.parametrize("name", [name for name, codec in CODECS.items() if codec.hardware])
def test_ffmpeg_knows_every_option_that_nvenc_is_given(name: str, tmp_path: Path) -> None:
    # Without a GPU the encoder cannot be opened, but its options are read before.
    arguments = Render(counter(Clip(frames=3)), tmp_path, options={"encoder": name}).job(0, 3, None, "x.mp4").arguments
    place = arguments.index("-hwaccel")
    del arguments[place : place + 2]
    ffmpeg = imageio_ffmpeg.get_ffmpeg_exe() if name == "av1-nvenc" else "ffmpeg"
    said = subprocess.run([ffmpeg, "-nostdin", "-y", *arguments], stderr=subprocess.PIPE, text=True).stderr
    assert CODECS[name].ffmpeg in said
    complaints = ("Unrecognized option", "Error setting option", "Unable to parse", "Undefined constant", "not found")
    for complaint in complaints:
        assert complaint not in said
