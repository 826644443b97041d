"""`--mode kubernetes` as a process, on a real API server: a request becomes a RenderJob."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

import ports
from control_plane import ControlPlane
from ecg_shim.intake import Unrenderable, checked_video_url
from ecg_shim.settings import Settings
from ecg_shim.wiring import KUBERNETES, STANDALONE, rules_of
from shim_requests import JOB_ID, render_body

ROOT = Path(__file__).parents[3]
SECONDS = 60.0
# Storage that nobody asks: the first request without a video never gets so far, the other's is not fetched over HTTP.
BODY = render_body(videoUrl="s3://videos/talk.mp4")


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    with ControlPlane(tmp_path_factory.mktemp("plane")) as running:
        running.kubectl("create", "namespace", "render")
        yield running


@pytest.fixture
def client(plane: ControlPlane) -> Iterator[httpx.Client]:
    """A client of a service in kubernetes mode."""
    (port,) = ports.free_ports(1)
    paths = os.pathsep.join(str(ROOT / part) for part in ("operator", "common", "crds"))
    own = {
        **os.environ, "PYTHONPATH": paths, "KUBECONFIG": str(plane.kubeconfig), "ECG_NAMESPACE": "render",
        "S3_BUCKET": "videos", "ECG_SCENARIO_STORE": "configmap",
    }  # fmt: skip
    command = [sys.executable, "-m", "ecg_shim", "--mode", "celery", "--port", str(port)]
    process = subprocess.Popen(command, env=own)
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", verify=False, timeout=10) as client:
        deadline = time.monotonic() + SECONDS
        while True:
            try:
                client.get("/health")
                break
            except httpx.ConnectError:
                assert process.poll() is None and time.monotonic() < deadline
                time.sleep(0.1)
        yield client
    process.send_signal(signal.SIGTERM)
    assert process.wait(SECONDS) == 0


def test_a_request_becomes_a_render_job_and_can_be_cancelled(client, plane):
    answer = client.post("/render", json=BODY)
    assert (answer.status_code, answer.json()["job_id"]) == (200, JOB_ID)
    assert client.get(f"/api/render/{JOB_ID}/status").json()["status"] == "queued"
    (spec,) = _render_jobs(plane, 1)
    assert spec["source"] == {"uri": "s3://videos/talk.mp4"}
    assert (spec["options"]["width"], spec["options"]["height"]) == (1920, 1080)

    assert client.post(f"/api/render/{JOB_ID}/cancel").json()["success"] is True
    deadline = time.monotonic() + SECONDS
    while not _render_jobs(plane, 1)[0].get("cancel"):
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_what_cannot_be_rendered_fails_without_a_render_job(client, plane):
    before = len(_render_jobs(plane, 0))
    assert client.post("/render", json=render_body(jobId="no-video", videoUrl=None)).status_code == 200
    status = client.get("/api/render/no-video/status").json()
    assert (status["status"], status["error_code"]) == ("failed", "INVALID_VIDEO_URL")
    assert len(_render_jobs(plane, 0)) == before


@pytest.mark.parametrize("url", ["file:///etc/passwd", "file:///var/run/secrets/kubernetes.io/serviceaccount/token"])
def test_files_of_pods_are_no_videos_whatever_else_is_allowed(url):
    settings = Settings.from_environment({"ECG_PRIVATE_ADDRESSES": "allow"})
    assert checked_video_url(url, rules_of(settings, STANDALONE).videos)
    with pytest.raises(Unrenderable):
        checked_video_url(url, rules_of(settings, KUBERNETES).videos)


def test_health_says_the_mode_and_that_no_operator_is_there(client):
    deadline = time.monotonic() + SECONDS
    while (health := client.get("/health").json())["status"] != "unhealthy":
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert health["mode"] == "kubernetes"
    assert "operator" in " ".join(health["problems"])


def _render_jobs(plane: ControlPlane, least: int) -> list[dict]:
    """Return the specs of all RenderJobs, once there are that many."""
    deadline = time.monotonic() + SECONDS
    while True:
        found = json.loads(plane.kubectl("get", "renderjobs", "-n", "render", "-o", "json"))["items"]
        if len(found) >= least:
            return [job["spec"] for job in found]
        assert time.monotonic() < deadline
        time.sleep(0.2)
