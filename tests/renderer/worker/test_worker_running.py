"""A pod while it runs: what it shows on its port, and how it ends when it is told to."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import psutil
import pytest

import clips
import command_line
import processes
from command_line import SECONDS, scenario
from ecg_api.pods import PodProgress, SegmentReport
from ports import free_ports
from s3 import Bucket
from worker_pods import Pods, asked, job_of

SESSION = os.environ[processes.MARKER]
# As long as Kubernetes waits before it kills; a pod takes a tenth of it on a quiet machine.
SECONDS_TO_STOP = 30.0


@pytest.fixture
def long(folder: Path) -> Pods:
    """The pods of a job that takes seconds to render, as one segment."""
    clip = clips.Clip(frames=300, width=640, height=360)
    shutil.copy(clips.counter(clip), folder / "video.mp4")
    captions = scenario(*"abcdefghij", seconds=10, plugin="elastic")
    job = job_of(folder, captions, options={"preset": "slower"}, segments={"max": 1})
    pods = Pods(folder, job, environment={"ECG_PROGRESS_PORT": str(free_ports(1)[0])})
    assert pods.run("plan").code == 0
    return pods


def slowly(pods: Pods) -> AbstractContextManager[subprocess.Popen[str]]:
    """Start the segment's pod with an FFmpeg so slow that it is not done before the test has looked at it."""
    return pods.started("segment", **pods.round(0), ECG_FFMPEG=str(clips.slow_ffmpeg(pods.folder, 0.3)))


def wait_until_rendering(pods: Pods, pod: subprocess.Popen[str], frames: int = 10) -> PodProgress:
    deadline = time.monotonic() + SECONDS
    while True:
        progress = PodProgress.model_validate_json(asked(pods, "/progress"))
        if progress.frames_done >= frames:
            return progress
        assert pod.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_pod_that_is_told_to_stop_does_so_in_time_and_leaves_nothing_half_done(long: Pods) -> None:
    running = processes.survivors(SESSION)
    with slowly(long) as pod:
        wait_until_rendering(long, pod)
        began = time.monotonic()
        pod.send_signal(signal.SIGTERM)
        out, log = pod.communicate(timeout=SECONDS)
    assert pod.returncode == 143, log
    assert time.monotonic() - began < SECONDS_TO_STOP
    assert out == ""
    assert not (long.folder / "segment-message").exists(), "stopping is neither a result nor a failure"
    files = {str(path.relative_to(long.work)) for path in long.work.rglob("*") if path.is_file()}
    notes = ("cells/probes/", "cells/selfcheck/", "cells/looks/")
    assert {path for path in files if not path.startswith(notes)} == {"plan.json", "scenario.json", "encoder.json"}
    assert list(long.scratch.iterdir()) == []
    assert processes.wait_until_gone(SESSION, SECONDS_TO_STOP, running) == set()

    again = long.segment(0)
    assert isinstance(again.report, SegmentReport), again.log
    assert again.report.reused is False


def test_progress_is_served_while_a_segment_is_rendered(long: Pods) -> None:
    with slowly(long) as pod:
        seen = [wait_until_rendering(long, pod)]
        seen.append(wait_until_rendering(long, pod, frames=seen[0].frames_done + 1))
        metrics, health = asked(long, "/metrics"), asked(long, "/healthz")
        pod.send_signal(signal.SIGTERM)
        pod.communicate(timeout=SECONDS)
    for progress in seen:
        told = [progress.stage, progress.segment, progress.frames_total, progress.encoder, progress.capture]
        assert told == ["rendering", 0, 300, "x264", "canvas"]
    assert 10 <= seen[0].frames_done < seen[1].frames_done <= 300
    assert (seen[1].frames_per_second or 0) > 0
    assert seen[1].encoder_reason.startswith("NVENC is not available")
    assert health == "ok\n"
    values = dict(line.rsplit(" ", 1) for line in metrics.splitlines() if not line.startswith("#"))
    assert float(values["ecg_worker_frames_total"]) == 300
    assert seen[0].frames_done <= float(values["ecg_worker_frames_done"]) <= 300
    assert float(values["ecg_worker_queue_limit_frames"]) == 60
    assert 'ecg_worker_info{capture="canvas",encoder="x264",stage="rendering"}' in values
    with pytest.raises(URLError):
        urlopen(f"http://127.0.0.1:{long.environment['ECG_PROGRESS_PORT']}/healthz", timeout=1)


def test_a_pod_that_waits_for_a_storage_that_hangs_stops_in_time_too(planned: Pods, bucket: Bucket) -> None:
    planned.work_uri = bucket.uri("work")
    planned.environment |= {**bucket.server.environment(), "ECG_PROGRESS_PORT": str(free_ports(1)[0])}
    with bucket.server.paused(), planned.started("segment", **planned.round(0)) as pod:
        asked(planned, "/healthz")
        time.sleep(0.5)
        began = time.monotonic()
        pod.send_signal(signal.SIGTERM)
        _, log = pod.communicate(timeout=SECONDS)
    assert pod.returncode == 143, log
    assert time.monotonic() - began < SECONDS_TO_STOP


def test_the_first_process_of_a_container_hears_sigterm_while_it_still_loads(tmp_path: Path) -> None:
    container = ["unshare", "--user", "--map-root-user", "--pid", "--fork"]
    if subprocess.run([*container, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("this machine lends no namespaces")
    environment = command_line.environment(tmp_path)
    with subprocess.Popen([*container, *command_line.command("worker", "clean")], env=environment) as outer:
        deadline = time.monotonic() + SECONDS
        while outer.poll() is None and time.monotonic() < deadline:
            with suppress(psutil.NoSuchProcess):
                for first in psutil.Process(outer.pid).children():
                    first.terminate()
            time.sleep(0.02)
    assert outer.returncode == 143, "64 were the end of one that did not listen"
