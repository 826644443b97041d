"""Whole jobs on a machine with a GPU and in pods on GPU nodes: what encodes, what is said about it, how it ends."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from clips import Clip, counter, read_counters
from command_line import SECONDS, ecg_render, scenario, workplace
from driver_double import Driver
from ecg_api.failures import FailureCode
from ecg_api.pods import FailureReport, SegmentReport
from ecg_renderer import doctor
from ports import free_ports
from worker_pods import PodEnd, Pods, asked, job_of

WORKED = "a test encode on this GPU worked"


def test_a_run_encodes_on_the_gpu(driver: Driver, tmp_path: Path) -> None:
    folder = workplace(tmp_path)
    ended = ecg_render("run", "job.yaml", "--segments", "2", "--json", cwd=folder, changes=driver.environment())
    assert ended.code == 0, ended.err
    result = json.loads(ended.out.splitlines()[-1])
    assert (result["encoder"], result["encoderReason"]) == ("nvenc", WORKED)
    assert [number.source for number in read_counters(folder / "out/captioned.mp4")] == list(range(30))
    assert len(driver.sessions) == 3, "a test encode and two segments"


def test_hevc_is_tagged_as_players_expect(driver: Driver, tmp_path: Path) -> None:
    folder = workplace(tmp_path, captions=scenario(), codec="hevc", encoder="nvenc")
    ended = ecg_render("run", "job.yaml", cwd=folder, changes=driver.environment(GPU="L4"))
    assert ended.code == 0, ended.err
    command = ["ffprobe", "-v", "error", "-select_streams", "v", "-show_entries", "stream=codec_name,codec_tag_string"]
    done = subprocess.run([*command, "-of", "csv=p=0", folder / "out/captioned.mp4"], capture_output=True, text=True)
    assert done.stdout.strip() == "hevc,hvc1"


def test_a_gpu_that_fails_in_a_run_says_what_to_do(driver: Driver, tmp_path: Path) -> None:
    folder = workplace(tmp_path, captions=scenario())
    ended = ecg_render("run", "job.yaml", cwd=folder, changes=driver.environment(FAULT="lose@15"))
    assert "GPU_NOT_AVAILABLE" in ended.err
    assert "NVENC failed while encoding frames 0 to 29: the driver lost the GPU." in ended.err
    assert "options.encoder: cpu needs no GPU" in ended.err
    assert not (folder / "out/captioned.mp4").exists()


@pytest.mark.parametrize(
    ("settings", "found", "fix"),
    [
        ({"GPU": "L40S"}, "a test encode worked", ""),
        ({"GPU": "A100"}, "not used: this GPU has no NVENC for H.264", "docs/troubleshooting.md"),
    ],
)
def test_the_doctor_tries_the_gpu(
    settings: dict[str, str], found: str, fix: str, driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver.install(**settings)
    check = asyncio.run(doctor._nvenc())
    assert found in check.found
    assert fix in check.fix


@pytest.fixture
def pods(tmp_path: Path) -> Pods:
    """The pods of a planned job of two segments without captions."""
    shutil.copy2(counter(Clip(frames=50, rate="25")), tmp_path / "video.mp4")
    pods = Pods(tmp_path, job_of(tmp_path, scenario()))
    end = pods.run("plan")
    assert end.code == 0, end.log
    return pods


def reported(end: PodEnd) -> SegmentReport:
    assert isinstance(end.report, SegmentReport), end.log
    return end.report


def refused(end: PodEnd) -> str:
    """Return why this node left the segment to another one."""
    assert isinstance(end.report, FailureReport), end.log
    assert (end.report.failure.code, end.report.failure.retryable) == (FailureCode.GPU_NOT_AVAILABLE, True)
    return end.report.failure.message


def test_the_first_segment_claims_nvenc_and_nodes_that_cannot_follow_leave_it(driver: Driver, pods: Pods) -> None:
    first = reported(pods.segment(0, **driver.environment()))
    assert (first.encoder, first.encoder_reason) == ("nvenc", WORKED)
    assert "no NVIDIA device" in refused(pods.segment(1))
    with driver.in_use():
        assert "no further encoding session" in refused(pods.segment(1, **driver.environment(SESSIONS="1")))
    assert "the GPU failed to encode a picture" in refused(pods.segment(1, **driver.environment(FAULT="fail@12")))
    assert reported(pods.segment(1, **driver.environment(GPU="A10G"))).encoder == "nvenc"
    merged = pods.run("merge")
    assert merged.code == 0, merged.log
    output = pods.folder / "out/captioned.mp4"
    assert [number.source for number in read_counters(output)] == list(range(50))


def test_a_pod_says_that_it_encodes_on_the_gpu_and_one_beside_it_waits_for_its_session(
    driver: Driver, pods: Pods
) -> None:
    pods.environment["ECG_PROGRESS_PORT"] = str(free_ports(1)[0])
    shared, deadline = driver.environment(SESSIONS="1"), time.monotonic() + SECONDS
    with pods.started("segment", **pods.round(0), **driver.environment(SESSIONS="1", FAULT="hang@20")):
        while len(driver.sessions) < 2:  # a test encode, and from now on the segment
            assert time.monotonic() < deadline
            time.sleep(0.05)
        told = f'ecg_worker_encoder_info{{encoder="nvenc",reason="{WORKED}"}} 1.0'
        while told not in asked(pods, "/metrics"):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        pods.environment["ECG_PROGRESS_PORT"] = "0"
        assert "no further encoding session" in refused(pods.segment(1, **shared))
    assert reported(pods.segment(1, **shared)).encoder == "nvenc"


def test_the_first_segment_claims_the_cpu_where_there_is_no_nvenc(driver: Driver, pods: Pods) -> None:
    first = reported(pods.segment(0, **driver.environment(GPU="A100")))
    assert first.encoder == "x264"
    assert "this GPU has no NVENC" in first.encoder_reason
    assert reported(pods.segment(1, **driver.environment())).encoder == "x264", "it follows, although NVENC works"
    assert driver.sessions == []
