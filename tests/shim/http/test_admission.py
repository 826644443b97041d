"""The last look before a job is rendered: where its video's address leads, and what it is when none was given."""

from __future__ import annotations

import asyncio
import http.server
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import shim_postgres
from ecg_api.failures import Failure, FailureCode
from ecg_common.addresses import AddressPolicy
from ecg_shim.admission import DatabaseUnavailable, VideoAdmission, VideoResolver, VideoUnknown
from ecg_shim.intake import video_policy
from ecg_shim.model import RenderOrder
from ecg_shim.options import render_options
from ecg_shim.settings import Settings

PRIVATE = video_policy(hosts=(), private=True)
JOB = "f70a8eb4-3c1d-4a55-9d7e-2b6f7e0f5a11"
QUERY = Settings().video_query
GIGABYTE = 1024**3


class Host:
    """A server that holds videos; `answers` maps a path to status, headers; 0 is an answer that never ends."""

    def __init__(self) -> None:
        self.answers: dict[str, list[tuple[int, dict[str, str]]]] = {}
        self.asked: list[tuple[str, str]] = []
        self.port = 0

    def url(self, path: str) -> str:
        return f"http://localhost:{self.port}{path}"


@pytest.fixture
def host() -> Iterator[Host]:
    told = Host()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            told.asked.append((self.path, self.headers.get("Range", "")))
            answers = told.answers[self.path]
            status, headers = answers.pop(0) if len(answers) > 1 else answers[0]
            if not status:
                self.drip()
                return
            self.send_response(status)
            for name, value in {"Content-Length": "1", **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(b"x")

        def drip(self) -> None:
            self.close_connection = True
            try:
                self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Header: ")
                while True:
                    self.wfile.write(b"a")
                    time.sleep(0.05)
            except OSError:  # the service has waited long enough
                pass

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        told.port = server.server_port
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield told
        server.shutdown()
        thread.join()


def admitted(url: str, policy: AddressPolicy = PRIVATE, **parts: object) -> RenderOrder | Failure:
    order = RenderOrder(JOB, url, b"{}", render_options({}), "http://localhost/", "0" * 64)
    admission = replace(VideoAdmission(policy, seconds_between_tries=0.01), **parts)
    return asyncio.run(admission(order))


def test_a_video_that_is_there_is_admitted_after_its_first_byte(host):
    host.answers["/a.mp4"] = [(206, {"Content-Range": "bytes 0-0/1000"})]
    assert admitted(host.url("/a.mp4")).video_url == host.url("/a.mp4")
    assert host.asked == [("/a.mp4", "bytes=0-0")]


def test_a_redirect_is_followed_and_its_end_is_what_is_rendered(host):
    host.answers["/a.mp4"] = [(302, {"Location": "/b.mp4"})]
    host.answers["/b.mp4"] = [(307, {"Location": host.url("/c.mp4?signed=1")})]
    host.answers["/c.mp4?signed=1"] = [(200, {})]
    assert admitted(host.url("/a.mp4")).video_url == host.url("/c.mp4?signed=1")


BAD_REDIRECTS = {
    "to the metadata of a cloud": "http://169.254.169.254/latest/meta-data/",
    "to a file": "file:///etc/passwd",
    "to another scheme": "ftp://example.com/a.mp4",
    "to plain http": "http://example.com/a.mp4",
    "to itself": "/a.mp4",
    "to nowhere": "https://",
}


@pytest.mark.parametrize("location", BAD_REDIRECTS.values(), ids=BAD_REDIRECTS.keys())
def test_a_redirect_elsewhere_is_refused(host, location):
    host.answers["/a.mp4"] = [(302, {"Location": location})]
    policy = replace(PRIVATE, files=False)
    failure = admitted(host.url("/a.mp4"), policy)
    assert failure.code is FailureCode.INVALID_VIDEO_URL
    assert not failure.retryable


def test_a_name_that_leads_to_a_private_address_is_refused_without_a_connection(host):
    failure = admitted(host.url("/a.mp4"), video_policy(hosts=(), private=False))
    assert failure.code is FailureCode.INVALID_VIDEO_URL
    assert "not a public address" in failure.message
    assert not host.asked


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_a_video_that_is_not_there_is_the_clients_mistake(host, status):
    host.answers["/a.mp4"] = [(status, {})]
    failure = admitted(host.url("/a.mp4"))
    assert (failure.code, failure.retryable) == (FailureCode.INVALID_VIDEO_URL, False)
    assert str(status) in failure.message
    assert len(host.asked) == 1


def test_a_host_that_is_busy_is_asked_again(host):
    host.answers["/a.mp4"] = [(503, {}), (429, {}), (200, {})]
    assert admitted(host.url("/a.mp4")).video_url == host.url("/a.mp4")


def test_a_host_that_stays_busy_is_a_failure_that_may_be_tried_again(host):
    host.answers["/a.mp4"] = [(503, {})]
    failure = admitted(host.url("/a.mp4"))
    assert (failure.code, failure.retryable) == (FailureCode.CONNECTION_ERROR, True)
    assert len(host.asked) == 3


def test_a_host_that_is_not_there_is_a_failure_that_may_be_tried_again():
    failure = admitted("http://localhost:1/a.mp4")
    assert failure.code is FailureCode.CONNECTION_ERROR


def test_a_host_that_answers_byte_by_byte_holds_a_job_no_longer_than_the_limit(host):
    host.answers["/a.mp4"] = [(0, {})]
    failure = admitted(host.url("/a.mp4"), seconds=0.3)  # from a host that would answer for ever
    assert (failure.code, failure.retryable) == (FailureCode.CONNECTION_ERROR, True)
    assert "within 0.3 seconds" in failure.message


def test_a_database_that_falls_silent_holds_a_job_no_longer_than_the_limit():
    class Silent:
        async def video_url(self, job_id: str) -> str:
            await asyncio.sleep(3600)
            return job_id

    failure = admitted("", resolver=Silent(), seconds=0.1)
    assert (failure.code, failure.retryable) == (FailureCode.CONNECTION_ERROR, True)


@pytest.mark.parametrize("headers", [{"Content-Range": f"bytes 0-0/{GIGABYTE + 1}"}, {"Content-Length": "2000000000"}])
def test_a_video_beyond_the_limit_is_refused(host, headers):
    host.answers["/a.mp4"] = [(206 if "Content-Range" in headers else 200, headers)]
    failure = admitted(host.url("/a.mp4"), max_video_bytes=GIGABYTE)
    assert failure.code is FailureCode.INVALID_VIDEO_URL
    assert "ECG_MAX_VIDEO_GB" in failure.message


@pytest.mark.parametrize("url", ["s3://bucket/a.mp4", "file:///a.mp4"])
def test_what_is_not_fetched_over_http_is_left_to_the_renderer(url):
    assert admitted(url).video_url == url


def test_an_admission_that_breaks_is_a_failure_and_never_an_exception():
    failure = admitted("", resolver=object())
    assert failure.code is FailureCode.UNEXPECTED_ERROR


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    """A PostgreSQL server with a backend's table in it."""
    with shim_postgres.running() as dsn:
        shim_postgres.execute(dsn, "CREATE TABLE render_jobs (job_id UUID PRIMARY KEY, video_url TEXT)")
        shim_postgres.execute(dsn, f"INSERT INTO render_jobs VALUES ('{JOB}', 'https://media.example.com/a.mp4')")
        shim_postgres.execute(dsn, "INSERT INTO render_jobs VALUES ('00000000-0000-4000-8000-000000000000', NULL)")
        yield dsn


def test_a_video_that_the_client_did_not_name_is_found_in_the_backends_database(database, host):
    host.answers["/a.mp4"] = [(200, {})]
    shim_postgres.execute(database, f"UPDATE render_jobs SET video_url = '{host.url('/a.mp4')}' WHERE job_id = '{JOB}'")
    order = admitted("", resolver=VideoResolver(database, QUERY))
    assert order.video_url == host.url("/a.mp4")


def test_a_video_from_the_database_is_checked_like_any_other(database):
    shim_postgres.execute(database, f"UPDATE render_jobs SET video_url = 'file:///etc/passwd' WHERE job_id = '{JOB}'")
    failure = admitted("", replace(PRIVATE, files=False), resolver=VideoResolver(database, QUERY))
    assert failure.code is FailureCode.INVALID_VIDEO_URL


@pytest.mark.parametrize(
    ("job_id", "words"),
    [
        ("11111111-0000-4000-8000-000000000000", "knows no job"),
        ("00000000-0000-4000-8000-000000000000", "no video"),
        ("not-a-uuid", "takes no job id"),
        ("'; DROP TABLE render_jobs; --", "takes no job id"),
    ],
)
def test_a_job_that_the_database_does_not_know_is_told_so(database, job_id, words):
    with pytest.raises(VideoUnknown, match=words):
        asyncio.run(VideoResolver(database, QUERY).video_url(job_id))


def test_the_query_cannot_change_the_database(database):
    resolver = VideoResolver(database, "SELECT nextval('ids')::text || %(job_id)s")
    shim_postgres.execute(database, "CREATE SEQUENCE ids")
    with pytest.raises(DatabaseUnavailable, match="ReadOnlySqlTransaction"):
        asyncio.run(resolver.video_url(JOB))


def test_a_query_that_takes_long_is_ended(database, monkeypatch):
    monkeypatch.setattr("ecg_shim.admission.QUERY_MILLISECONDS", 100)
    with pytest.raises(DatabaseUnavailable, match="QueryCanceled"):
        asyncio.run(VideoResolver(database, "SELECT pg_sleep(5)::text || %(job_id)s").video_url(JOB))


def test_a_database_that_is_away_is_a_failure_that_may_be_tried_again_and_names_no_secret(tmp_path: Path):
    resolver = VideoResolver(f"postgresql://user:secret@localhost:1/{tmp_path.name}", QUERY)
    failure = admitted("", resolver=resolver)
    assert (failure.code, failure.retryable) == (FailureCode.CONNECTION_ERROR, True)
    assert "secret" not in failure.message
