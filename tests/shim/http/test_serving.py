"""The service as a process: it starts, stops in order, and goes on where it was."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

import ports
from shim_requests import CALLBACK, JOB_ID, encoded, render_body

ROOT = Path(__file__).parents[3]
SECONDS = 60.0


class Running:
    """A service in a process of its own."""

    def __init__(self, port: int, data: Path, **variables: str) -> None:
        paths = os.pathsep.join(str(ROOT / part) for part in ("operator", "common", "crds", "renderer"))
        own = {**os.environ, "PYTHONPATH": paths, "TEMP_DIR": str(data / "work"), **variables}
        command = [sys.executable, "-m", "ecg_shim", "--port", str(port), "--data-dir", str(data)]
        self.port = port
        self.process = subprocess.Popen(command, env=own, stderr=subprocess.PIPE, text=True)
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{port}", verify=False, timeout=SECONDS)
        deadline = time.monotonic() + SECONDS
        while True:
            try:
                self.client.get("/health")
                return
            except httpx.ConnectError:
                assert self.process.poll() is None and time.monotonic() < deadline, self.stop()
                time.sleep(0.05)

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """Send a signal; return the exit status and the log."""
        self.client.close()
        self.process.send_signal(number)
        _, log = self.process.communicate(timeout=SECONDS)
        return self.process.returncode, log


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """Return a function that starts a service with an own data folder."""
    running: list[Running] = []

    def begin(**variables: str) -> Running:
        (port,) = ports.free_ports(1)
        running.append(Running(port, tmp_path / "data", **variables))
        return running[-1]

    yield begin
    for one in running:
        if one.process.poll() is None:
            one.stop(signal.SIGKILL)


def test_jobs_are_there_after_a_restart(start):
    service = start()
    assert service.client.post("/render", json=render_body(videoUrl=None)).status_code == 200
    before = service.client.get(f"/api/render/{JOB_ID}/status").json()
    assert (before["status"], before["error_code"]) == ("failed", "INVALID_VIDEO_URL")
    status, log = service.stop()
    assert status == 0
    assert "Traceback" not in log

    again = start()
    assert again.client.get(f"/api/render/{JOB_ID}/status").json() == before
    assert again.client.get("/health").json()["mode"] == "standalone"
    assert again.stop(signal.SIGINT)[0] == 0


def begin(line: socket.socket, length: int) -> None:
    """Send the head of a request, and wait until the service is at work on it: only then it asks for the body."""
    head = f"POST /render HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: {length}\r\n\r\n"
    line.sendall(head.encode())
    line.settimeout(SECONDS)
    assert line.recv(4096) == b"HTTP/1.1 100 Continue\r\n\r\n"


def until_refused(port: int) -> None:
    """Wait until nobody listens at a port any more."""
    deadline = time.monotonic() + SECONDS
    with contextlib.suppress(OSError):
        while True:
            socket.create_connection(("127.0.0.1", port)).close()
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_a_request_in_flight_is_answered_before_the_service_ends(start):
    service = start()
    body = encoded(render_body(videoUrl=None))
    with socket.create_connection(("127.0.0.1", service.port)) as line:
        begin(line, len(body))
        line.sendall(body[:10])
        service.process.send_signal(signal.SIGTERM)
        until_refused(service.port)
        line.sendall(body[10:])
        assert line.recv(4096).startswith(b"HTTP/1.1 200 OK")
    assert service.process.wait(SECONDS) == 0
    service.client.close()
    service.process.stderr.close()


def test_a_client_that_never_ends_its_request_does_not_keep_the_service(start):
    service = start(ECG_DRAIN_SECONDS="1")
    with socket.create_connection(("127.0.0.1", service.port)) as line:
        begin(line, 100)
        line.sendall(b"{")
        assert service.stop()[0] == 0, "the connection is still open, and stop() does not wait for ever"


def test_a_port_in_use_is_told_and_nothing_is_started(start, tmp_path):
    service = start()
    command = [sys.executable, "-m", "ecg_shim", "--port", str(service.port), "--data-dir", str(tmp_path / "other")]
    paths = os.pathsep.join(str(ROOT / part) for part in ("operator", "common", "crds", "renderer"))
    own = {**os.environ, "PYTHONPATH": paths}
    ended = subprocess.run(command, env=own, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    assert f"Cannot listen on 127.0.0.1:{service.port}: Address already in use" in ended.stderr
    assert not (tmp_path / "other").exists()


def test_a_data_folder_in_use_is_told(start, tmp_path):
    start()
    (port,) = ports.free_ports(1)
    command = [sys.executable, "-m", "ecg_shim", "--port", str(port), "--data-dir", str(tmp_path / "data")]
    paths = os.pathsep.join(str(ROOT / part) for part in ("operator", "common", "crds", "renderer"))
    own = {**os.environ, "PYTHONPATH": paths, "TEMP_DIR": str(tmp_path / "work2")}
    ended = subprocess.run(command, env=own, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    assert str(tmp_path / "data") in ended.stderr
    assert "Traceback" not in ended.stderr


def test_the_log_says_what_was_asked_for_and_nothing_secret(start):
    service = start(WORKER_ID="gpu-7", ECG_API_TOKEN="hunter2")
    service.client.post("/render", json=render_body(videoUrl=None), headers={"Authorization": "Bearer hunter2"})
    status, log = service.stop()
    assert status == 0
    assert f"status page http://127.0.0.1:{service.port}/" in log
    assert "gpu-7" in log
    assert f"job {JOB_ID}: not rendered: INVALID_VIDEO_URL" in log
    assert "hunter2" not in log
    assert CALLBACK not in log
