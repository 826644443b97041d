"""Fetching a finished video: whole, in parts, from pages of other sites, and from storage."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from ecg_api.status import RenditionStatus
from ecg_shim.model import JobStatus, Output
from ecg_shim.relay.payloads import payload
from shim_memory import finished

PATH = "/api/render/done/download"
VIDEO = bytes(range(256)) * 40
PAGE = "https://ho-it.site"


@pytest.fixture
def downloads(served, tmp_path):
    """A service with one finished video."""
    video = tmp_path / "output.mp4"
    video.write_bytes(VIDEO)
    finished(served.backend, "done", video)
    return served


def test_the_whole_video_comes_as_video_mp4_and_names_its_length(downloads):
    answer = downloads.client.get(PATH)
    assert (answer.status_code, answer.content) == (200, VIDEO)
    assert answer.headers["content-type"] == "video/mp4"
    assert answer.headers["content-length"] == str(len(VIDEO))
    assert answer.headers["accept-ranges"] == "bytes"
    assert answer.headers["content-disposition"] == 'inline; filename="done.mp4"'


@pytest.mark.parametrize(
    ("public", "host", "base"),
    [
        ("", "localhost:8090", "http://localhost:8090"),
        ("", "editor.localhost", "http://editor.localhost"),
        ("https://render.example/ecg/", "10.0.0.7:8090", "https://render.example/ecg"),
    ],
)
def test_all_that_the_service_hands_out_is_told_under_one_address_of_it(serve, tmp_path, public, host, base):
    served, video = serve(ECG_PUBLIC_URL=public), tmp_path / "output.mp4"
    video.write_bytes(VIDEO)
    state = finished(served.backend, "done", video)
    there = [("main", str(video)), ("tall.mp4", str(tmp_path / "tall.mp4")), ("far.mov", "s3://videos/far.mov")]
    outputs = tuple(RenditionStatus(name=name, uri=uri, url=f"https://told.example/{name}") for name, uri in there)
    served.backend.set("done", status=JobStatus.COMPLETED, output=state.output, outputs=outputs, live=True)
    told = served.client.get("/api/render/done/status", headers={"Host": host}).json()
    assert told["download_url"] == f"{base}{PATH}"
    assert told["live_url"] == f"{base}/api/render/done/live.m3u8"
    urls = [f"{base}{PATH}", f"{base}{PATH}/tall.mp4", "https://told.example/far.mov"]
    assert [output["url"] for output in told["outputs"]] == urls
    (listed,) = served.client.get("/api/render/jobs", headers={"Host": host}).json()["jobs"]
    assert {name: listed[name] for name in told if name != "message"} == {n: told[n] for n in told if n != "message"}


def test_no_client_says_for_others_where_a_video_is(downloads):
    """A callback, which nobody asks for, names what the service itself says; and no reply is stored on its way."""
    before = downloads.backend.jobs["done"]
    told = downloads.client.get("/api/render/done/status", headers={"Host": "evil.localhost"})
    assert told.headers["cache-control"] == "no-store"
    assert "evil" in told.json()["download_url"]
    assert payload(downloads.backend.jobs["done"], 0.0)["download_url"] == before.output.url
    stranger = downloads.client.get("/api/render/done/status", headers={"Host": "evil.example"})
    assert stranger.status_code == 403


RANGES = {
    "bytes=0-0": (206, VIDEO[:1], "bytes 0-0/10240"),
    "bytes=100-199": (206, VIDEO[100:200], "bytes 100-199/10240"),
    "bytes=10000-": (206, VIDEO[10000:], "bytes 10000-10239/10240"),
    "bytes=-40": (206, VIDEO[-40:], "bytes 10200-10239/10240"),
    "bytes=0-99999": (206, VIDEO, "bytes 0-10239/10240"),
    "bytes=10240-": (416, None, "bytes */10240"),
}


@pytest.mark.parametrize(("asked", "told"), RANGES.items())
def test_parts_are_sent_as_asked_for(downloads, asked, told):
    status, content, written = told
    answer = downloads.client.get(PATH, headers={"Range": asked})
    assert answer.status_code == status
    assert answer.headers["content-range"] == written
    if content is not None:
        assert answer.content == content


def test_a_part_of_another_version_is_not_sent(downloads):
    tag = downloads.client.get(PATH).headers["etag"]
    same = downloads.client.get(PATH, headers={"Range": "bytes=0-9", "If-Range": tag})
    other = downloads.client.get(PATH, headers={"Range": "bytes=0-9", "If-Range": '"other"'})
    assert (same.status_code, other.status_code) == (206, 200)
    assert other.content == VIDEO


def test_head_tells_the_same_without_the_video(downloads):
    answer = downloads.client.head(PATH)
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-length"] == str(len(VIDEO))
    assert answer.headers["accept-ranges"] == "bytes"


@pytest.mark.parametrize(("suffix", "kind"), [(".mov", "video/quicktime"), (".webm", "video/webm")])
def test_the_type_follows_the_format(served, tmp_path, suffix, kind):
    video = tmp_path / f"output{suffix}"
    video.write_bytes(VIDEO)
    finished(served.backend, "done", video)
    assert served.client.get(PATH).headers["content-type"] == kind


ORIGINS = {
    "the editor's page": ({}, PAGE, PAGE),
    "the editor on a developer's machine": ({}, "http://localhost:3000", "http://localhost:3000"),
    "a stranger's page": ({}, "https://evil.example", None),
    "a name that only begins alike": ({}, PAGE + ".evil.example", None),
    "a page that was allowed": ({"ECG_CORS_ORIGINS": "https://a.example, https://b.example"}, "https://b.example",
                                "https://b.example"),
    "any page": ({"ECG_CORS_ORIGINS": "*"}, "https://evil.example", "*"),
    "no page": ({}, None, None),
}  # fmt: skip


@pytest.mark.parametrize(("environment", "origin", "allowed"), ORIGINS.values(), ids=ORIGINS.keys())
def test_pages_that_may_read_videos_are_named_one_by_one(serve, tmp_path, environment, origin, allowed):
    served = serve(**environment)
    video = tmp_path / "output.mp4"
    video.write_bytes(VIDEO)
    finished(served.backend, "done", video)
    answer = served.client.get(PATH, headers={"Origin": origin} if origin else {})
    assert answer.status_code == 200
    assert answer.headers.get("access-control-allow-origin") == allowed
    assert "access-control-allow-credentials" not in answer.headers
    if allowed:
        assert "Content-Range" in answer.headers["access-control-expose-headers"]
    if allowed != "*":
        assert answer.headers["vary"] == "Origin"


def test_a_browser_that_asks_first_may_send_range(downloads):
    asked = {"Origin": PAGE, "Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "range"}
    answer = downloads.client.options(PATH, headers=asked)
    assert answer.status_code == 204
    assert answer.headers["access-control-allow-origin"] == PAGE
    assert "Range" in answer.headers["access-control-allow-headers"]
    stranger = downloads.client.options(PATH, headers=asked | {"Origin": "https://evil.example"})
    assert not [name for name in stranger.headers if name.startswith("access-control")]


def test_a_video_in_storage_is_a_redirect_to_it_with_cors(served):
    output = Output("https://bucket.s3.amazonaws.com/rendered/done/output.mp4?X-Amz-Signature=x", 10, 1.0)
    served.backend.set("done", status=JobStatus.COMPLETED, progress=100, output=output)
    answer = served.client.get(PATH, headers={"Origin": PAGE})
    assert (answer.status_code, answer.headers["location"]) == (302, output.url)
    assert answer.headers["access-control-allow-origin"] == PAGE
    assert answer.headers["cache-control"] == "no-store"


def test_a_backend_that_signs_addresses_is_asked_for_a_new_one_each_time(served):
    renewed = []

    async def signed_anew(output: Output) -> Output:
        renewed.append(output.url)
        return replace(output, url=f"https://bucket.s3.amazonaws.com/a.mp4?X-Amz-Signature={len(renewed)}")

    served.backend.signed_anew = signed_anew
    served.backend.set("done", status=JobStatus.COMPLETED, output=Output("https://expired.example/a.mp4", 10, 1.0))
    told = [served.client.get(PATH).headers["location"][-1] for _ in range(2)]
    assert told == ["1", "2"]
    assert renewed == ["https://expired.example/a.mp4"] * 2
    assert served.client.get("/api/render/done/status").json()["download_url"] == "https://expired.example/a.mp4"


MISSING = {
    "unknown": ({}, 404, "Job not found"),
    "waiting": ({"status": JobStatus.QUEUED}, 409, "The job is queued; it has no video."),
    "failed": ({"status": JobStatus.FAILED}, 409, "The job is failed; it has no video."),
    "removed": ({"status": JobStatus.COMPLETED, "output": Output("x", 1, 1.0, path="gone")}, 404, "no longer kept"),
    "an address that is this one": ({"status": JobStatus.COMPLETED, "output": Output("http://me" + PATH, 1, 1.0)}, 404,
                                    "no longer kept"),
}  # fmt: skip


@pytest.mark.parametrize(("state", "status", "words"), MISSING.values(), ids=MISSING.keys())
def test_a_video_that_is_not_there_is_told_with_the_reason(served, tmp_path, state, status, words):
    if state:
        if isinstance(state.get("output"), Output) and state["output"].path:
            state = state | {"output": Output("x", 1, 1.0, path=tmp_path / "gone.mp4")}
        served.backend.set("done", **state)
    answer = served.client.get(PATH, headers={"Origin": PAGE})
    assert answer.status_code == status
    assert re.search(words, answer.json()["detail"])
    assert answer.headers["access-control-allow-origin"] == PAGE
