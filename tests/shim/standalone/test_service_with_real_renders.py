"""`python -m ecg_shim` as a user starts it: the editor's backend posts, Chromium and FFmpeg render, callbacks come."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

import clips
import command_line
import processes
from live_streams import decoded
from shim_client_backend import ClientBackend

SESSION = os.environ[processes.MARKER]
SECONDS = 90.0
TIMEOUT = 4
"""Seconds for which the service waits for a backend's answer; 30 by default, and backends that hang do so for 40."""


@pytest.fixture
def client(tmp_path: Path) -> Iterator[ClientBackend]:
    """A backend, and a service in a process of its own that it posts to."""
    settings = {"ECG_DATA_DIR": str(tmp_path / "data"), "TEMP_DIR": str(tmp_path / "work"), "ECG_PORT": "0"}
    settings |= {"CALLBACK_TIMEOUT": str(TIMEOUT)}
    environment = command_line.environment(tmp_path, settings)
    log = tmp_path / "service.log"
    command = [sys.executable, "-m", "ecg_shim", "--mode", "standalone"]
    with log.open("wb") as output:
        service = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
    try:
        deadline = time.monotonic() + SECONDS
        while not (found := re.search(r"status page (http://\S+?)/,", log.read_text())):
            assert service.poll() is None, log.read_text()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        with ClientBackend(found[1]) as backend:
            yield backend
    finally:
        service.send_signal(signal.SIGTERM)
        assert service.wait(SECONDS) == 0, log.read_text()


def test_a_video_is_rendered_told_and_fetched(client: ClientBackend, tmp_path: Path) -> None:
    captions = command_line.scenario("one", "two", seconds=1)
    options = {"width": 320, "height": 180, "fps": 30, "quality": 60, "format": "mp4", "live": True}
    job_id = client.create(captions, options, video_url=clips.counter(command_line.CLIP).as_uri())
    row = client.wait(job_id, SECONDS, status=("completed", "failed"))
    assert row.status == "completed", row.error_message
    # On a busy machine the render may be over before its first progress could be told.
    assert client.statuses(job_id) in (["processing", "completed"], ["completed"])
    end = client.of(job_id)[-1].body
    assert (end["frames_processed"], end["frames_dropped"], end["drop_rate"], end["duration"]) == (30, 0, 0.0, 1.0)
    assert end["average_fps"] > 0
    assert row.download_url
    video = httpx.get(row.download_url, trust_env=False).content
    assert len(video) == row.file_size
    (tmp_path / "fetched.mp4").write_bytes(video)
    assert [numbers.source for numbers in clips.read_counters(tmp_path / "fetched.mp4")] == list(range(30))
    # Who has watched it while it was rendered has all of it now.
    watched = httpx.get(f"{client.service}/api/render/{job_id}/status", trust_env=False).json()["live_url"]
    assert decoded(watched, "v") == decoded(str(tmp_path / "fetched.mp4"), "v")
    stats = "✅ Pipeline stats: {'dropped_frames': 0, 'processed_frames': 30, 'drop_rate': 0.0}"
    assert stats in (tmp_path / "service.log").read_text()


def test_a_failed_and_a_cancelled_render_leave_nothing_running(client: ClientBackend, tmp_path: Path) -> None:
    before = processes.survivors(SESSION)
    captions = command_line.scenario(*"abcdefghijklmnopqrst", seconds=20, plugin="elastic")
    long = clips.counter(clips.Clip(frames=600, width=640, height=360))
    cancelled = client.create(captions, {}, video_url=long.as_uri())
    failed = client.create(captions, {}, video_url=Path(__file__).as_uri())
    deadline = time.monotonic() + SECONDS
    while not any(one.body.get("frames_processed") for one in client.of(cancelled)):
        assert time.monotonic() < deadline, client.row(cancelled)
        time.sleep(0.05)
    assert client.cancel(cancelled)["success"] is True
    assert client.wait(failed, SECONDS, status=("failed",)).error_code == "INVALID_VIDEO_FORMAT"
    deadline = time.monotonic() + SECONDS
    while processes.survivors(SESSION) - before or client.statuses(cancelled)[-1] != "cancelled":
        assert time.monotonic() < deadline, client.of(cancelled)
        time.sleep(0.05)
    time.sleep(3)  # in which something that is not to come may come
    assert client.row(cancelled).status == "cancelled"
    assert client.statuses(cancelled) == ["processing", "cancelled"]
    reply = httpx.get(f"{client.service}/api/render/{cancelled}/status", trust_env=False)
    assert json.loads(reply.text)["status"] == "cancelled"


def test_backends_that_are_down_or_hang_for_longer_than_they_may_hear_of_every_end(client: ClientBackend) -> None:
    captions = command_line.scenario("one", "two", seconds=1)
    options = {"width": 320, "height": 180}
    video = clips.counter(command_line.CLIP).as_uri()
    ends: list[float] = []

    def hangs_once(body: dict[str, Any]) -> None:
        if body["status"] == "completed":
            ends.append(time.monotonic())
            time.sleep(TIMEOUT + 2 if len(ends) == 1 else 0)

    with ClientBackend(client.service) as hanging:
        hanging.fault = hangs_once
        unheard = client.create(captions, options, video_url=video)
        unanswered = hanging.create(captions, options, video_url=video)
        client.go_down()
        time.sleep(3 * TIMEOUT)
        client.come_up()
        for backend, job_id in ((client, unheard), (hanging, unanswered)):
            assert backend.wait(job_id, SECONDS, status=("completed", "failed")).status == "completed"
        assert client.of(unheard)[-1].body["progress"] == 100
        assert [one.body["status"] for one in client.of(unheard)].count("completed") == 1
        # What was not answered in time is sent again, as the same callback.
        told = [one for one in hanging.of(unanswered) if one.body["status"] == "completed"]
        assert len({one.headers["webhook-id"] for one in told}) == 1
        assert hanging.row(unanswered).history[-1] == "completed"
