"""Every option that we pass arrives in the driver's structures, and what comes back fits together."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import pytest

from clips import Clip, counter, derived, read_counters
from driver_double import Driver
from ecg_api.options import EncoderName, Preset
from ecg_renderer.media.codecs import CODECS, constant_rate_factor
from encodes import Render

SHORT = Clip(frames=30)
ENCODERS: list[EncoderName] = ["nvenc", "hevc-nvenc"]
VARIABLE_BITRATE, HIGH_QUALITY = 1, 1  # the driver's numbers
SMPTE170M = 6  # what a small video without tags is taken for


def packets(path: Path) -> list[tuple[int, int, bool]]:
    """Return decode time, time and whether it is a key frame of each picture, in ticks of the file."""
    with av.open(str(path)) as container:
        found = [(packet.dts, packet.pts, packet.is_keyframe) for packet in container.demux(video=0) if packet.size]
    return [(dts, pts, key) for dts, pts, key in found if dts is not None and pts is not None]


@pytest.mark.parametrize("encoder", ENCODERS)
def test_every_option_arrives(encoder: EncoderName, driver: Driver, tmp_path: Path) -> None:
    driver.install()
    Render(counter(SHORT), tmp_path, options={"encoder": encoder, "quality": 60, "preset": "slow"}).segment(0, 30)
    (session,) = driver.sessions
    hevc = encoder == "hevc-nvenc"
    expected = {
        "codec": "hevc" if hevc else "h264",
        "profile": "main" if hevc else "high",
        "width": 320,
        "height": 180,
        "rate": "30/1",
        "preset": "p5",
        "tuning": HIGH_QUALITY,
        "rc": VARIABLE_BITRATE,
        "cq": constant_rate_factor(60) + 3 + 4 * hevc,
        "average_bitrate": 0,
        "max_bitrate": 0,
        "spatial_aq": 1,
        "lookahead": 0,
        "strict_gop": 1,
        "gop": 60,
        "idr_period": 60,
        "frame_interval_p": 1,
        "bit_depth": 8,
        "full_range": 0,
        "primaries": SMPTE170M,
        "transfer": SMPTE170M,
        "matrix": SMPTE170M,
    }
    assert {name: session[name] for name in expected} == expected


def test_presets_reach_all_of_the_drivers(driver: Driver, tmp_path: Path) -> None:
    driver.install()
    presets: dict[Preset, str] = {
        "ultrafast": "p1",
        "veryfast": "p2",
        "faster": "p3",
        "medium": "p4",
        "slow": "p5",
        "slower": "p6",
        "placebo": "p7",
    }
    for preset in presets:
        Render(counter(SHORT), tmp_path, options={"encoder": "nvenc", "preset": preset}).segment(0, 2)
    assert [session["preset"] for session in driver.sessions] == list(presets.values())


@pytest.mark.parametrize(("quality", "cq"), [(100, 17), (60, 26), (10, 37)])
def test_quality_is_the_drivers_target(quality: int, cq: int, driver: Driver, tmp_path: Path) -> None:
    driver.install()
    Render(counter(SHORT), tmp_path, options={"encoder": "nvenc", "quality": quality}).segment(0, 2)
    assert [session["cq"] for session in driver.sessions] == [cq]


def test_ten_bits_stay_ten(driver: Driver, tmp_path: Path) -> None:
    driver.install()
    encoder = ("-c:v", "libx265", "-pix_fmt", "yuv420p10le", "-x265-params", "log-level=none")
    ten_bit = derived(counter(SHORT), encoder, ".mp4")
    render = Render(ten_bit, tmp_path, options={"encoder": "hevc-nvenc", "quality": 100})
    path, _ = render.merged(render.segments(1))
    (session,) = driver.sessions
    assert (session["profile"], session["bit_depth"]) == ("main10", 10)
    with av.open(str(path)) as container:
        assert container.streams.video[0].pix_fmt == "yuv420p10le"
    assert [numbers.source for numbers in read_counters(path)] == list(range(30))


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("b_frames", [0, 2])
def test_cells_begin_with_forced_key_frames_and_join(
    encoder: EncoderName, b_frames: int, driver: Driver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """B-frames are not asked for; should they ever be, their decode times must not spoil the seams."""
    codec = CODECS[encoder]
    monkeypatch.setitem(  # type: ignore[arg-type]
        CODECS, encoder, replace(codec, setup=lambda coding: {**codec.setup(coding), "bf": b_frames})
    )
    driver.install()
    render = Render(counter(SHORT), tmp_path, options={"encoder": encoder}, captions=[(0, 7), (12, 9)])
    cells = render.cells(10)
    assert driver.forced == [0, 10, 20]
    assert [session["frame_interval_p"] for session in driver.sessions] == [1 + b_frames]
    assert all([key for _, _, key in packets(cell)] == [True, *[False] * 9] for cell in cells)
    assert all(dts >= 0 for dts, _, _ in packets(cells[0]))
    path, _ = render.merged(cells)
    times = packets(path)
    assert all(earlier < later for (earlier, *_), (later, *_) in pairwise(times))
    assert any(dts != pts for dts, pts, _ in times) == bool(b_frames)
    numbers = read_counters(path)
    assert [number.source for number in numbers] == list(range(30))
    assert [number.caption for number in numbers] == [7] * 12 + [9] * 18


def test_segments_of_several_processes_join(driver: Driver, tmp_path: Path) -> None:
    driver.install()
    render = Render(counter(Clip(frames=30, rate="30000/1001")), tmp_path, options={"encoder": "nvenc"})
    path, _ = render.merged(render.segments(3))
    assert len(driver.sessions) == 3
    assert [number.source for number in read_counters(path)] == list(range(30))
    assert render.rate == Fraction(30000, 1001)
