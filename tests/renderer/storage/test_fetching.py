"""A server that knows no range requests is read once, as a whole; what changes meanwhile is not rendered."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from captions import render_job, talk
from clips import Clip, counter
from ecg_renderer.errors import Cancelled, OptionsError, ServiceUnreachable, SourceInvalid, SourceMissing
from ecg_renderer.metering import ProgressReport, SilentObserver, Stage
from ecg_renderer.storage import UrlPolicy, open_storage, opened_source, web
from renders import rendered

SHORT = Clip(rate="25", frames=15)


@dataclass
class Served:
    """A web server, and which requests it got."""

    url: str
    asked: list[str] = field(default_factory=list)


@pytest.fixture(autouse=True)
def own_downloads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("ecg_renderer.storage.web.FETCHED", web._Fetched())


def serve(handler: object) -> Iterator[Served]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)  # type: ignore[arg-type]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield Served(f"http://127.0.0.1:{server.server_port}")
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def folder_server(tmp_path: Path) -> Iterator[Served]:
    """Python's own server, which answers every request with the whole file."""
    asked: list[str] = []

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, _: str, *words: object) -> None:
            asked.append(f"{words[0]}")

    for served in serve(partial(Handler, directory=str(tmp_path))):
        served.asked = asked
        yield served


def test_a_video_whose_index_is_at_its_end_is_fetched_once_and_rendered(
    folder_server: Served, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    video = tmp_path / "clip.mp4"
    video.write_bytes(counter(SHORT).read_bytes())
    assert b"moov" not in video.read_bytes()[:1000]

    result = rendered(render_job(f"{folder_server.url}/clip.mp4", talk(1), tmp_path / "out.mp4"), tmp_path)

    assert result.frames == SHORT.frames
    assert "sends it only as a whole" in caplog.text
    whole = open_storage(f"{folder_server.url}/clip.mp4", tmp_path)
    assert whole.source_url() == whole.source_url()
    assert Path(whole.source_url()).read_bytes() == video.read_bytes()


@pytest.mark.parametrize("where", ["disk", "web"])
def test_a_video_that_changes_while_it_is_rendered_is_not_merged(
    where: str, folder_server: Served, tmp_path: Path
) -> None:
    video = tmp_path / "clip.mp4"
    video.write_bytes(counter(SHORT).read_bytes())
    address = f"{folder_server.url}/clip.mp4" if where == "web" else "clip.mp4"

    class Meddler(SilentObserver):
        def report(self, progress: ProgressReport) -> None:
            if progress.stage is Stage.MERGING:
                os.utime(video, (1, 1))

    with pytest.raises(SourceInvalid, match=r"clip\.mp4 was changed after the job was planned"):
        rendered(render_job(address, talk(1), tmp_path / "out.mp4"), tmp_path, observer=Meddler())
    assert not (tmp_path / "out.mp4").exists()


@dataclass
class Script:
    """What a server does, request by request: how many bytes of the body it sends before it hangs up."""

    body: bytes
    sent: list[int]
    declared: bool = True
    waits: threading.Event | None = None


@pytest.fixture
def script() -> Script:
    return Script(bytes(range(256)) * 1000, [])


@pytest.fixture
def scripted(script: Script) -> Iterator[Served]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            if script.declared:
                self.send_header("Content-Length", str(len(script.body)))
            self.end_headers()
            if "Range" not in self.headers:
                self.wfile.write(script.body[: script.sent.pop(0) if script.sent else None])
                self.wfile.flush()
                if script.waits:
                    script.waits.wait(10)

        def log_message(self, *_: object) -> None:
            pass

    yield from serve(Handler)


def test_a_download_that_breaks_off_begins_anew(scripted: Served, script: Script) -> None:
    script.sent = [1000, 200_000]
    path = open_storage(f"{scripted.url}/clip.mp4", Path()).source_url()
    assert Path(path).read_bytes() == script.body


def test_a_download_that_never_ends_well_is_a_failure_that_may_pass(scripted: Served, script: Script) -> None:
    script.sent = [1000] * 20
    storage = open_storage(f"{scripted.url}/clip.mp4", Path(), UrlPolicy(patience_seconds=0.5))
    with pytest.raises(ServiceUnreachable, match=r"clip\.mp4 cannot be read"):
        storage.source_url()


@pytest.mark.parametrize("declared", [True, False])
def test_what_is_too_large_is_refused(scripted: Served, script: Script, declared: bool, tmp_path: Path) -> None:
    script.declared = declared
    policy = UrlPolicy(fetch_bytes=200_000)
    with pytest.raises(SourceMissing, match=r"only as a whole, of which at most 0.0002 GB") as refused:
        open_storage(f"{scripted.url}/clip.mp4", Path(), policy).source_url()
    assert "ECG_FETCH_GB" in refused.value.hint
    assert list((tmp_path / "cache").rglob("source-*")) == []


def test_a_download_ends_when_nobody_waits_for_it_any_more(scripted: Served, script: Script) -> None:
    script.body *= 2
    script.sent, script.waits = [300_000], threading.Event()

    async def impatient() -> None:
        async with asyncio.timeout(1):
            await opened_source(open_storage(f"{scripted.url}/clip.mp4", Path(), UrlPolicy(read_seconds=2)))

    try:
        with pytest.raises((TimeoutError, Cancelled)):
            asyncio.run(impatient())
    finally:
        script.waits.set()


def test_the_limit_is_set_in_gigabytes() -> None:
    assert UrlPolicy.from_environment({"ECG_FETCH_GB": "0.5"}).fetch_bytes == 500_000_000
    with pytest.raises(OptionsError, match="ECG_FETCH_GB is 'many'"):
        UrlPolicy.from_environment({"ECG_FETCH_GB": "many"})
