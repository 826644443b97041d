"""S3 that goes away: waited for, told apart from S3 that says no, and given up with a code that is retried."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest

import clips
from ecg_api.failures import FailureCode
from ecg_renderer.errors import Cancelled, RenderError, ServiceUnreachable
from ecg_renderer.media.process import source_options
from ecg_renderer.storage import open_storage, open_work_store, s3_client
from ecg_renderer.storage.s3_client import S3
from ecg_renderer.storage.s3_transfer import PART_BYTES
from s3 import Bucket, S3Server

SECONDS_AWAY = 30
LONG = 6 * PART_BYTES  # more parts than are sent at a time


@pytest.fixture
def own(tmp_path: Path, no_aws: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    """A bucket on a server that no other test uses."""
    with S3Server(tmp_path / "server") as server:
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)
        yield server.new_bucket()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waiting ends after a second."""
    monkeypatch.setattr(S3, "patience_seconds", 1.0)


def test_a_server_that_is_gone_for_half_a_minute_is_waited_for(own: Bucket, tmp_path: Path) -> None:
    content = os.urandom(LONG)
    own.put("work/segments/down.mp4", content)
    uri = own.put("clip.mp4", b"footage")
    work = open_work_store(own.uri("work"))
    under_way = threading.Barrier(3)
    killed = threading.Event()

    def wait_in_the_middle(*_: int) -> None:
        if not killed.is_set():
            under_way.wait()
            killed.wait()

    def write() -> str:
        with open_storage(own.uri("out.mp4"), tmp_path).output("key") as output:
            output.path.write_bytes(content)
            return output.commit(wait_in_the_middle)

    def download() -> bytes:
        work.download("segments/down.mp4", tmp_path / "down.mp4", wait_in_the_middle)
        return (tmp_path / "down.mp4").read_bytes()

    with ThreadPoolExecutor(8) as pods:
        transfers = [pods.submit(write), pods.submit(download)]
        under_way.wait()
        own.server.kill()
        gone = time.monotonic()
        killed.set()
        small = [
            pods.submit(open_storage(uri, tmp_path).read_bytes, 100),
            pods.submit(work.put_if_absent, "encoder.json", b"mine"),
            pods.submit(work.get, "absent.json"),
        ]
        time.sleep(SECONDS_AWAY - (time.monotonic() - gone))
        assert not any(one.done() for one in [*transfers, *small])
        own.server.start()
        answers = [one.result() for one in small]
        results = [one.result() for one in transfers]

    assert answers == [b"footage", b"mine", None]
    assert results[0] == own.uri("out.mp4")
    assert results[1] == content
    assert hashlib.sha256(own.get("out.mp4")).digest() == hashlib.sha256(content).digest()
    assert own.unfinished == set()


def test_a_server_that_hangs_is_asked_again(own: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3_client, "LIMITS", replace(s3_client.LIMITS, read_seconds=0.5))
    storage = open_storage(own.put("scenario.json", b"{}"), tmp_path)

    with ThreadPoolExecutor(1) as pod:
        with own.server.paused():
            reading = pod.submit(storage.read_bytes, 10)
            time.sleep(2)
            assert not reading.done()
        assert reading.result() == b"{}"


def commit(uri: str, folder: Path, gone: Callable[[], None]) -> None:
    with open_storage(uri, folder).output("key") as output:
        output.path.write_bytes(bytes(LONG))
        gone()
        output.commit()


GONE: dict[str, tuple[Callable[[str, Path, Callable[[], None]], Any], FailureCode, str]] = {
    "a source": (
        lambda uri, folder, gone: (gone(), open_storage(uri, folder).source_url()),
        FailureCode.CONNECTION_ERROR, "Cannot read s3://",
    ),
    "an output before any work": (
        lambda uri, folder, gone: (gone(), open_storage(uri, folder).output("key").__enter__()),
        FailureCode.CONNECTION_ERROR, "Cannot write s3://",
    ),
    "an output that is uploaded": (commit, FailureCode.S3_UPLOAD_ERROR, "Cannot write s3://"),
    "work files": (
        lambda uri, folder, gone: (gone(), open_work_store(uri).clean()),
        FailureCode.CONNECTION_ERROR, "Cannot list s3://",
    ),
    "a download": (
        lambda uri, folder, gone: (gone(), open_work_store(uri).download("a.mp4", folder / "a.mp4")),
        FailureCode.CONNECTION_ERROR, "Cannot download s3://",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("use", "code", "said"), GONE.values(), ids=GONE)
def test_a_server_that_stays_away_is_a_failure_that_is_retried(
    own: Bucket, tmp_path: Path, impatient: None, use: Callable[..., Any], code: FailureCode, said: str
) -> None:
    folder = tmp_path / "local"
    folder.mkdir()

    with pytest.raises(RenderError) as failed:
        use(own.uri("clip.mp4"), folder, own.server.kill)

    assert failed.value.code == code
    assert failed.value.failure().retryable
    assert said in failed.value.message
    assert "the service cannot be reached" in failed.value.message
    assert own.server.url in failed.value.message
    assert own.server.secret_key not in failed.value.message
    assert list(folder.iterdir()) == []


def test_an_endpoint_that_nobody_knows_is_named(
    own: Bucket, tmp_path: Path, impatient: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://s3.invalid:9000")

    with pytest.raises(ServiceUnreachable, match=r"http://s3\.invalid:9000") as failed:
        open_storage("s3://bucket/clip.mp4", tmp_path).identity()

    assert "AWS_ENDPOINT_URL" in failed.value.hint


def test_waiting_is_announced_once_and_can_be_stopped(
    own: Bucket, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = open_work_store(own.uri("work"))
    own.server.kill()
    tries, patience = 0, threading.Event()

    def spread(*_: float) -> float:
        """Make five pauses short, and the next longer than the test may last."""
        nonlocal tries
        tries += 1
        if tries <= 5:
            return 0.01
        patience.set()
        return 100.0

    monkeypatch.setattr(s3_client.random, "uniform", spread)
    monkeypatch.setattr(S3, "patience_seconds", 10_000.0)
    with ThreadPoolExecutor(1) as pod:
        asking = pod.submit(work.get, "plan.json")
        assert patience.wait(100)
        began = time.monotonic()
        work.stop()
        with pytest.raises(Cancelled):
            asking.result()

    assert time.monotonic() - began < 60
    assert len(caplog.messages) == 1
    assert "cannot be reached" in caplog.messages[0]


def test_ffmpeg_goes_on_reading_a_source_that_was_away(own: Bucket, tmp_path: Path) -> None:
    # Too long for the buffers of a connection, and read at the speed of playing.
    raw = clips.Clip(frames=75, width=1280, height=720, codec="rawvideo", video=(), audio=None, suffix=".nut")
    storage = open_storage(own.put("clip.nut", clips.counter(raw).read_bytes()), tmp_path)
    options = [word for name, value in source_options(storage.source_url(), insist=True).items()
               for word in (f"-{name}", str(value))]  # fmt: skip
    command = ["ffmpeg", "-v", "warning", "-nostdin", "-re", *options, "-i", storage.source_url()]
    command += ["-flush_packets", "1", "-f", "framecrc", "-"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        assert child.stdout and child.stderr
        frames = [next(line for line in child.stdout if not line.startswith("#"))]
        child.send_signal(signal.SIGSTOP)  # it must not be done before the server is gone, however late that is
        own.server.kill()
        child.send_signal(signal.SIGCONT)
        log = list(takewhile(lambda line: "Will reconnect" not in line, child.stderr))
        own.server.start()
        log += child.stderr
        frames += child.stdout

    assert child.returncode == 0, log
    assert len(frames) == 75
