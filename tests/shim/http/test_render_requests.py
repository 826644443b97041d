"""POST /render: what is accepted, what is told by callback, and the little that is refused."""

from __future__ import annotations

import asyncio
import json
import socket
import time

import httpx
import pytest

from ecg_api.failures import FailureCode
from ecg_shim.backends.storage import where
from ecg_shim.failures import shown
from ecg_shim.intake import order, read_request
from ecg_shim.model import Full, JobStatus, Unavailable
from ecg_shim.settings import Settings
from ecg_shim.variables import SettingsError
from shim_memory import memory_service
from shim_requests import CALLBACK, JOB_ID, OPTIONS, SCENARIO, VIDEO, encoded, render_body


def test_a_request_of_the_backend_gets_exactly_200_with_json_and_the_known_reply(served):
    answer = served.client.post("/render", json=render_body(videoUrl=VIDEO), headers={"Accept": "application/json"})

    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == {
        "status": "accepted",
        "job_id": JOB_ID,
        "message": "Job queued for processing",
        "estimated_time": 180,
    }
    order = served.backend.orders[JOB_ID]
    assert (order.video_url, json.loads(order.scenario), order.callback_url) == (VIDEO, SCENARIO, CALLBACK)
    assert order.options.model_dump() | OPTIONS == order.options.model_dump()


@pytest.mark.parametrize("path", ["/render", "//render", "/render/", "///render//", "/api/render/process"])
def test_the_path_may_be_written_with_more_slashes_and_in_its_first_form(served, path):
    answer = served.client.post(served.address + path, json=render_body())
    assert answer.status_code == 200
    assert answer.json()["status"] == "accepted"
    assert JOB_ID in served.backend.orders


def test_the_first_form_answers_with_status_id_and_message_only(served):
    body = {"job_id": JOB_ID, "video_url": VIDEO, "scenario": SCENARIO, "options": {}, "callback_url": CALLBACK}
    answer = served.client.post("/api/render/process", json=body)
    assert answer.json() == {"status": "accepted", "job_id": JOB_ID, "message": "Job queued for processing"}


SPELLINGS = {
    "snake_case": {"jobId": ..., "videoUrl": ..., "callbackUrl": ..., "job_id": JOB_ID, "video_url": VIDEO,
                   "callback_url": CALLBACK},
    "sourceVideoUrl": {"videoUrl": ..., "sourceVideoUrl": VIDEO},
    "null in the first spelling": {"videoUrl": None, "sourceVideoUrl": VIDEO, "jobId": None, "job_id": JOB_ID},
    "unknown fields": {"priority": 9, "userId": {"a": [1]}, "__proto__": None},
    "no options": {"options": ...},
    "null options": {"options": None},
    "empty options": {"options": {}},
}  # fmt: skip


@pytest.mark.parametrize("changes", SPELLINGS.values(), ids=SPELLINGS.keys())
def test_every_spelling_is_rendered(served, changes):
    answer = served.client.post("/render", json=render_body(**changes))
    assert answer.status_code == 200
    (order,) = served.backend.orders.values()
    assert order.video_url == VIDEO
    assert order.job_id == JOB_ID
    assert (order.options.width, order.options.height, order.options.fps) == (1920, 1080, 30)
    assert (order.options.quality, order.options.format) == (90, "mp4")


@pytest.mark.parametrize(
    "raw",
    [
        "\ufeff" + json.dumps(render_body()),
        json.dumps(render_body(), indent=4),
        json.dumps(render_body(note="\ud83d")),
    ],
    ids=["byte order mark", "indented", "half a character in an unknown field"],
)
@pytest.mark.parametrize("kind", ["application/json", "text/plain", "application/json; charset=utf-8", None])
def test_rarer_forms_of_json_are_read_whatever_the_content_type(served, raw, kind):
    headers = {"Content-Type": kind} if kind else {}
    assert served.client.post("/render", content=raw.encode(), headers=headers).status_code == 200
    assert served.backend.renders == 1


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_other_encodings_are_read_and_passed_on_as_utf_8(served, encoding):
    scenario = {"cues": [{"text": "안녕"}]}
    body = json.dumps(render_body(scenario=scenario), ensure_ascii=False).encode(encoding)
    assert served.client.post("/render", content=body).status_code == 200
    assert json.loads(served.backend.orders[JOB_ID].scenario.decode()) == scenario


LARGE = {
    "a byte order mark": ("\ufeff%s", 200),
    "another encoding": ("%s", 200),
    "an error at its end": ("%s,", 422),
    "no object": ("[%s]", 422),
}


@pytest.mark.parametrize(("form", "status"), LARGE.values(), ids=LARGE.keys())
def test_large_bodies_are_never_parsed_in_python(served, monkeypatch, form, status):
    """That would stop all others for seconds."""
    body = form % json.dumps(render_body(padding=[{}] * 600_000))
    parsed = []
    loads = json.loads
    monkeypatch.setattr(
        "ecg_shim.intake.json.loads", lambda text, **how: parsed.append(len(text)) or loads(text, **how)
    )
    encoding = "utf-16" if LARGE["another encoding"] == (form, status) else "utf-8"
    answer = served.client.post("/render", content=body.encode(encoding))
    assert answer.status_code == status
    assert max(parsed, default=0) < 100_000
    if status == 422:
        (problem,) = loads(answer.text)["detail"]
        assert (problem["type"], problem["loc"]) == ("json_invalid", ["body"])


HALVES = {
    r"a \ud83d b \ude00": "a \ufffd b \ufffd",
    r"\ud83d\ude00\ude00\ud83d\uD83D\uDE00": "\U0001f600\ufffd\ufffd\U0001f600",
    r"\\ud83d \\\\ud83d \ud83d": r"\ud83d \\ud83d " + "\ufffd",
}


@pytest.mark.parametrize(("text", "expected"), HALVES.items(), ids=HALVES.keys())
def test_half_a_character_in_a_caption_is_replaced_and_the_rest_rendered(served, text, expected):
    body = json.dumps(render_body(scenario={"cues": [{"text": "?"}]})).replace('"?"', f'"{text}"')
    assert served.client.post("/render", content=body).status_code == 200
    assert json.loads(served.backend.orders[JOB_ID].scenario)["cues"] == [{"text": expected}]


def test_a_body_of_nothing_but_halves_takes_little_longer_than_one_of_whole_characters(served):
    def taken(character: bytes) -> float:
        began = time.process_time()
        assert served.client.post("/render", content=b'{"jobId":"' + character * 5_000_000 + b'"}').status_code == 422
        return time.process_time() - began

    assert taken(b"\\ud83d") < 5 * taken(b"\\u00e9")


TOLD_BY_CALLBACK = {
    "no video": ({"videoUrl": None}, FailureCode.INVALID_VIDEO_URL, "names no video"),
    "no video field": ({"videoUrl": ...}, FailureCode.INVALID_VIDEO_URL, "names no video"),
    "a page's own address": ({"videoUrl": "blob:http://x/1"}, FailureCode.INVALID_VIDEO_URL, "cannot be used"),
    "a scheme nobody reads": ({"videoUrl": "ftp://example.com/a.mp4"}, FailureCode.INVALID_VIDEO_URL, "ftp://"),
    "plain http from elsewhere": ({"videoUrl": "http://example.com/a.mp4"}, FailureCode.INVALID_VIDEO_URL, "https://"),
    "a number as address": ({"videoUrl": 7}, FailureCode.INVALID_VIDEO_URL, "not text"),
    "half a character": ({"videoUrl": "https://x/\ud83d"}, FailureCode.INVALID_VIDEO_URL, "characters"),
    "a space": ({"videoUrl": "https://x/a b.mp4"}, FailureCode.INVALID_VIDEO_URL, "characters"),
    "an endless address": ({"videoUrl": "https://x/" + "a" * 9000}, FailureCode.INVALID_VIDEO_URL, "too long"),
    "no scenario": ({"scenario": ...}, FailureCode.SCENARIO_PARSE_ERROR, "no scenario"),
    "null scenario": ({"scenario": None}, FailureCode.SCENARIO_PARSE_ERROR, "no scenario"),
    "a list as scenario": ({"scenario": []}, FailureCode.SCENARIO_PARSE_ERROR, "not an object"),
    "text as scenario": ({"scenario": "{}"}, FailureCode.SCENARIO_PARSE_ERROR, "not an object"),
    "no cues": ({"scenario": {"version": "2.0"}}, FailureCode.SCENARIO_PARSE_ERROR, "no list `cues`"),
    "cues that are no list": ({"scenario": {"cues": {}}}, FailureCode.SCENARIO_PARSE_ERROR, "cannot be read"),
    "10001 cues": ({"scenario": {"cues": [{}] * 10_001}}, FailureCode.SCENARIO_PARSE_ERROR, "10,000 are the most"),
    "over 5 MB": ({"scenario": {"cues": ["a" * 5_300_000]}}, FailureCode.SCENARIO_PARSE_ERROR, "5 MB"),
    "a list as options": ({"options": [1]}, FailureCode.INVALID_RENDER_OPTIONS, "not an object"),
    "quality out of range": ({"options": {"quality": 101}}, FailureCode.INVALID_RENDER_OPTIONS, "quality: 101"),
    "a format nobody writes": ({"options": {"format": "gif"}}, FailureCode.INVALID_RENDER_OPTIONS, "mp4, mov, webm"),
    "a tiny size": ({"options": {"width": 2}}, FailureCode.INVALID_RENDER_OPTIONS, "below 64"),
    "no frame rate": ({"options": {"fps": 0}}, FailureCode.INVALID_RENDER_OPTIONS, "below 1"),
    "endless options": ({"options": {"a": "b" * 70_000}}, FailureCode.INVALID_RENDER_OPTIONS, "not an object"),
    "deep options": ({"options": {"a": json.loads("[" * 200 + "]" * 200)}}, FailureCode.INVALID_RENDER_OPTIONS, "not"),
}


@pytest.mark.parametrize(("changes", "code", "words"), TOLD_BY_CALLBACK.values(), ids=TOLD_BY_CALLBACK.keys())
def test_what_cannot_be_rendered_is_accepted_and_its_failure_noted_for_the_callback(served, changes, code, words):
    answer = served.client.post("/render", content=encoded(render_body(**changes)))

    assert answer.status_code == 200
    assert answer.json()["status"] == "accepted"
    job = served.backend.jobs[JOB_ID]
    assert job.status is JobStatus.FAILED
    assert job.failure.code == code
    assert words in job.failure.message
    assert job.callback_url == CALLBACK
    assert not served.backend.renders
    status = served.client.get(f"/api/render/{JOB_ID}/status").json()
    assert (status["status"], status["error_code"], status["progress"]) == ("failed", code, 0)


def test_a_request_may_choose_a_storage_profile_else_the_services_own_holds():
    profiles = json.dumps([{"name": "near", "bucket": "videos-near"}, {"name": "far", "bucket": "videos-far"}])
    service = memory_service({"ECG_STORAGE_PROFILES": profiles, "ECG_STORAGE_PROFILE": "auto"})
    rules = service.services.rules
    assert service.services.settings.bucket == "videos-near"

    def options(**given):
        return order(read_request(encoded(render_body(options=given)), rules), rules)

    assert options(storage="far").options.storage == "far"
    taken = options(renditions=[{"name": "vertical.mp4"}]).options
    uri = where("a/b", taken.format, "videos", taken.storage)
    assert (
        uri == "s3:///rendered/a%2Fb/output.mp4"
        and where("a", "mp4", "videos", "") == "s3://videos/rendered/a/output.mp4"
    )
    spec = taken.spec(uri)
    assert spec["storage"] == {"profile": "auto"}
    assert spec["renditions"][0]["uri"] == "s3:///rendered/a%2Fb/vertical.mp4"
    assert "storage" not in taken.spec("/videos/a.mp4")
    refused = options(storage="fra")
    assert refused.code == FailureCode.INVALID_RENDER_OPTIONS
    assert refused.message == "options.storage: there is no storage profile 'fra'; there are near, far."
    with pytest.raises(SettingsError, match="ECG_STORAGE_PROFILE: there is no storage profile 'fra'"):
        Settings.from_environment({"ECG_STORAGE_PROFILES": profiles, "ECG_STORAGE_PROFILE": "fra"})


def test_what_is_secret_in_a_video_address_is_not_repeated(served):
    secret = "https://user:secret@secret@169.254.169.254/a.mp4?X-Amz-Signature=secret"
    served.client.post("/render", json=render_body(videoUrl=secret))
    assert "secret" not in served.backend.jobs[JOB_ID].failure.message.replace("clouds keep secrets", "")


SHOWN = {
    "https://user:p@ss@host": "https://host",
    "https://user:p@ss@host:8443/a@2x.mp4?key=s#t": "https://host:8443/a@2x.mp4",
    "https://user:pa/ss@host/a": "https://…",
    "https://user:pa?ss@host/a": "https://…",
    "//user:pass@host/a": "//host/a",
    "user:pass@host/a": "host/a",
    "http://user:pass@[::1]:80/a": "http://[::1]:80/a",
    "blob:http://user:pass@x/1": "blob:http://x/1",
    "s3://bucket/a\n\x1b[2Jb": "s3://bucket/a \\x1b[2Jb",
    "https://x/" + "a" * 300: "https://x/" + "a" * 189 + "…",
}


@pytest.mark.parametrize(("url", "expected"), SHOWN.items(), ids=[url[:30].encode("unicode_escape") for url in SHOWN])
def test_of_an_address_only_what_everybody_may_know_is_shown(url, expected):
    assert shown(url) == expected


REFUSED = {
    "nothing": (b"", "json_invalid", ["body", 0]),
    "broken JSON": (b'{"jobId": "a",', "json_invalid", ["body", 14]),
    "no number": (b'{"jobId": NaN}', "json_invalid", ["body"]),
    "no text": (b'{"jobId": "\xff"}', "json_invalid", ["body"]),
    "deep JSON": (b"[" * 100_000, "json_invalid", ["body"]),
    "a list": (b"[]", "model_attributes_type", ["body"]),
    "no job id": (encoded(render_body(jobId=...)), "missing", ["body", "jobId"]),
    "null job id": (encoded(render_body(jobId=None)), "missing", ["body", "jobId"]),
    "an empty job id": (encoded(render_body(jobId="")), "string_pattern_mismatch", ["body", "jobId"]),
    "a path as job id": (encoded(render_body(jobId="../../etc")), "string_pattern_mismatch", ["body", "jobId"]),
    "a line break in the job id": (encoded(render_body(jobId="a\n")), "string_pattern_mismatch", ["body", "jobId"]),
    "a long job id": (encoded(render_body(jobId="a" * 129)), "string_pattern_mismatch", ["body", "jobId"]),
    "a number as job id": (b'{"jobId": %s}' % (b"9" * 5000), "string_pattern_mismatch", ["body", "jobId"]),
    "true as job id": (encoded(render_body(jobId=True)), "string_pattern_mismatch", ["body", "jobId"]),
    "no callback": (encoded(render_body(callbackUrl=...)), "missing", ["body", "callbackUrl"]),
    "a number as callback": (encoded(render_body(callbackUrl=1)), "string_type", ["body", "callbackUrl"]),
    "no address as callback": (encoded(render_body(callbackUrl="callback")), "url_parsing", ["body", "callbackUrl"]),
    "a file as callback": (encoded(render_body(callbackUrl="file:///x")), "url_parsing", ["body", "callbackUrl"]),
}


@pytest.mark.parametrize(("body", "kind", "place"), REFUSED.values(), ids=REFUSED.keys())
def test_refused_is_only_what_leaves_nobody_to_call(served, body, kind, place):
    answer = served.client.post("/render", content=body)
    assert answer.status_code == 422
    (problem,) = answer.json()["detail"]
    assert (problem["type"], problem["loc"]) == (kind, place)
    assert problem["msg"].endswith(".")
    assert not served.backend.jobs


def test_a_lookup_lets_requests_without_a_video_wait_for_their_address(serve):
    served = serve(lookup=True)
    assert served.client.post("/render", json=render_body(videoUrl=None)).status_code == 200
    assert served.backend.orders[JOB_ID].video_url == ""


def test_the_same_request_again_is_the_same_job_rendered_once(served):
    answers = [served.client.post("/render", json=render_body()) for _ in range(3)]
    respelled = render_body(job_id=JOB_ID, jobId=..., options=dict(reversed(OPTIONS.items())))
    answers.append(served.client.post("/render", json=respelled))
    assert [answer.status_code for answer in answers] == [200] * 4
    assert len({answer.text for answer in answers}) == 1
    assert served.backend.renders == 1


@pytest.mark.parametrize(
    "changes",
    [{"options": {"fps": 25}}, {"scenario": {"cues": []}}, {"videoUrl": VIDEO + "?2"}, {"videoUrl": None}],
    ids=["options", "scenario", "video", "no video"],
)
def test_another_request_under_an_id_in_use_is_refused_and_leaves_the_job_alone(serve, changes):
    served = serve()  # of its own: what the shared one still notes for an earlier test has the same id
    served.client.post("/render", json=render_body())
    answer = served.client.post("/render", json=render_body(**changes))
    assert answer.status_code == 409
    assert answer.json()["error_code"] == "JOB_ALREADY_EXISTS"
    assert JOB_ID in answer.json()["detail"]
    assert served.backend.jobs[JOB_ID].status is JobStatus.QUEUED


def test_a_request_that_comes_after_its_cancel_is_accepted_and_not_rendered(served):
    cancel = served.client.post(f"/api/render/{JOB_ID}/cancel")
    assert (cancel.status_code, cancel.json()["success"]) == (200, False)
    assert served.client.post("/render", json=render_body()).status_code == 200
    assert served.backend.renders == 0
    assert served.client.get(f"/api/render/{JOB_ID}/status").json()["status"] == "cancelled"


def test_a_full_queue_still_takes_jobs_and_says_how_long_they_will_take(serve):
    served = serve()
    for number in range(300):
        served.backend.set(f"job-{number}", status=JobStatus.QUEUED)
    served.backend.wait_seconds = 3600
    deadline = time.monotonic() + 60
    while (answer := served.client.post("/render", json=render_body())).json()["estimated_time"] != 3780:
        assert answer.status_code == 200
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_the_end_of_a_job_that_is_posted_again_is_told_again_after_the_answer():
    service = memory_service()
    service.backend.set(JOB_ID, status=JobStatus.COMPLETED)
    events = []

    async def receive():
        return {"type": "http.request", "body": encoded(render_body()), "more_body": False}

    async def send(message):
        events.append(message["type"])
        assert not service.told.job_ids

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/render",
        "query_string": b"",
        "headers": [],
        "app": service.app,
    }
    asyncio.run(service.app(scope, receive, send))
    assert events == ["http.response.start", "http.response.body"]
    assert service.told.job_ids == [JOB_ID]


def test_of_a_new_job_nothing_is_told_again_unless_its_client_was_kept_waiting(serve, monkeypatch):
    served = serve()
    monkeypatch.setattr("ecg_shim.routes.render.SLOW_SECONDS", 3600.0)
    served.client.post("/render", content=b"{")
    served.client.post("/render", json=render_body())
    monkeypatch.setattr("ecg_shim.routes.render.SLOW_SECONDS", 0.0)
    served.client.post("/render", json=render_body(jobId="slow"))
    assert served.told.soon() == ["slow"]


def test_a_queue_that_cannot_store_says_why(served):
    served.backend.raises = Unavailable("The disk of /data/jobs.sqlite is full. Free some space.")
    for answer in (
        served.client.post("/render", json=render_body()),
        served.client.get(f"/api/render/{JOB_ID}/status"),
        served.client.get("/queue/status"),
    ):
        assert answer.status_code == 503
        assert "The disk of /data/jobs.sqlite is full. Free some space." in answer.json()["detail"]


def test_where_no_more_can_be_stored_clients_are_told_to_come_again(served):
    served.backend.raises = Full("20,000 jobs are stored, which is the most; try again later.")
    post = served.client.post("/render", json=render_body())
    cancel = served.client.post("/api/render/never-heard-of/cancel")
    assert (post.status_code, cancel.status_code) == (429, 429)
    assert "20,000 jobs are stored" in post.json()["detail"]
    assert (post.headers["retry-after"], cancel.headers["retry-after"]) == ("60", "60")


def test_an_unexpected_failure_is_json_and_tells_no_details(served):
    served.backend.raises = RuntimeError("password=hunter2")
    answer = served.client.get(f"/api/render/{JOB_ID}/status")
    assert answer.status_code == 500
    assert "hunter2" not in answer.text
    assert answer.headers["connection"] == "close"
    assert "log" in answer.json()["detail"]


def test_a_body_of_16_mb_is_accepted(served):
    padding = "x" * (16 * 1024 * 1024)
    assert served.client.post("/render", json=render_body(padding=padding)).status_code == 200


def test_a_body_over_the_limit_is_refused_by_its_announced_length(serve):
    served = serve(ECG_MAX_REQUEST_MB="16")
    with socket.create_connection(served.client.base_url.netloc.decode().split(":")) as line:
        line.sendall(b"POST /render HTTP/1.1\r\nHost: x\r\nContent-Length: 16777217\r\n\r\n")
        assert line.recv(4096).startswith(b"HTTP/1.1 413")


def test_a_body_over_the_limit_is_refused_while_it_streams(serve):
    served = serve(ECG_MAX_REQUEST_MB="16")
    sent = 0

    def endless():
        nonlocal sent
        while sent < 200:
            sent += 1
            yield b" " * 1024 * 1024

    try:
        answer = served.client.post("/render", content=endless())
        assert answer.status_code == 413
        assert "16 MB" in answer.json()["detail"]
    except httpx.TransportError:  # the service hung up before the client had looked for its answer
        pass
    assert sent < 60
