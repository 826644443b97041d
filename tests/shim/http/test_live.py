"""Watching a job over HTTP: when there is something, what of it, how it ends, and for whom."""

from __future__ import annotations

import subprocess
import time

import pytest

from ecg_api.live import END, FOLDER, MASTER, MEDIA_TYPE, SOUND, VIDEO
from ecg_shim.model import JobStatus, StoredPiece
from ecg_shim.routes import live
from live_streams import FRAMES, PIECES, after, watched
from shim_memory import Served

ROOT = "/api/render/talk"


def show(served: Served, pieces: int, status: JobStatus = JobStatus.PROCESSING) -> None:
    """Let a job be as far as that many pieces."""
    folder = watched()
    stored = {f"{FOLDER}/{path.name}": path for path in (folder / FOLDER).glob("*.mp4")}
    served.backend.streams["talk"] = {**after(folder, pieces), **stored} if pieces else {}
    served.backend.set("talk", status=status, live=True)


def test_a_player_gets_the_list_its_renditions_and_the_bytes_that_these_name(served):
    show(served, 2)
    master = served.client.get(f"{ROOT}/{MASTER}")
    assert (master.status_code, master.headers["content-type"]) == (200, MEDIA_TYPE)
    assert master.headers["cache-control"] == "no-store"
    assert f"\n{FOLDER}/{VIDEO}\n" in master.text
    video = served.client.get(f"{ROOT}/{FOLDER}/{VIDEO}").text
    assert video.count("#EXTINF") == 2
    name = video.splitlines()[-1]
    size, start = map(int, video.splitlines()[-2].partition(":")[2].split("@"))
    part = served.client.get(f"{ROOT}/{FOLDER}/{name}", headers={"Range": f"bytes={start}-{start + size - 1}"})
    assert (part.status_code, part.headers["content-type"]) == (206, "video/mp4")
    assert part.content[4:8] == b"moof"
    assert "immutable" in part.headers["cache-control"]


@pytest.mark.parametrize(
    ("status", "ended"),
    [(JobStatus.QUEUED, False), (JobStatus.PROCESSING, False), (JobStatus.COMPLETED, True), (JobStatus.FAILED, True),
     (JobStatus.CANCELLED, True)],
)  # fmt: skip
@pytest.mark.parametrize("name", [VIDEO, SOUND])
def test_a_list_ends_with_its_job_and_not_with_one_try_of_it(served, status, ended, name):
    show(served, 3, status)
    served.backend.streams["talk"][f"{FOLDER}/{name}"] += END  # as the renderer of a failed try leaves it
    text = served.client.get(f"{ROOT}/{FOLDER}/{name}").text
    assert (text.count(END), text.endswith(END)) == (int(ended), ended)


def test_who_asks_too_early_waits_and_is_then_told_to_ask_again(served, monkeypatch):
    monkeypatch.setattr(live, "HELD_SECONDS", 0.3)
    show(served, 0)
    answer = served.client.get(f"{ROOT}/{MASTER}")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    assert answer.elapsed.total_seconds() >= 0.3


def test_pieces_in_storage_are_relayed_to_the_status_page_by_the_ranges_that_it_asks_for(served):
    show(served, 1)
    content = bytes(range(200))

    async def read(start: int, end: int) -> bytes:
        return content[start:end]

    path = f"{FOLDER}/{'0' * 64}-x264.mp4"
    served.backend.streams["talk"][path] = StoredPiece(len(content), read)
    assert f"{FOLDER}/{VIDEO}?here" in served.client.get(f"{ROOT}/{MASTER}?here").text
    for asked, part in (("10-19", content[10:20]), ("190-", content[190:]), ("190-999", content[190:])):
        answer = served.client.get(f"{ROOT}/{path}", headers={"Range": f"bytes={asked}"})
        assert (answer.status_code, answer.content) == (206, part)
        start = asked.partition("-")[0]
        assert answer.headers["content-range"] == f"bytes {start}-{int(start) + len(part) - 1}/200"
    assert served.client.get(f"{ROOT}/{path}").content == content
    assert served.client.get(f"{ROOT}/{path}", headers={"Range": "bytes=200-"}).status_code == 416


NOTHING = {
    "no such job": ("/api/render/other/live.m3u8", 404),
    "a job that nobody may watch": ("/api/render/plain/live.m3u8", 404),
    "a job that ended before anything was finished": ("/api/render/talk/live.m3u8", 404),
    "no name of a piece": ("/api/render/talk/live/..%2f..%2fjobs.sqlite", 404),
    "a piece that is not there": (f"/api/render/talk/live/{'0' * 64}-x264.mp4", 404),
}


@pytest.mark.parametrize(("path", "status"), NOTHING.values(), ids=NOTHING)
def test_what_is_not_there_is_said_at_once(served, monkeypatch, path, status):
    monkeypatch.setattr(live, "HELD_SECONDS", 3600)  # whoever waits for it has no answer here
    served.backend.set("plain", status=JobStatus.PROCESSING)
    show(served, 0, JobStatus.FAILED)
    served.backend.streams["talk"]["live/../../jobs.sqlite"] = "secret"
    assert served.client.get(path).status_code == status


def test_players_bring_no_token_and_pages_of_allowed_sites_may_read(serve):
    served = serve(ECG_API_TOKEN="hunter2", ECG_CORS_ORIGINS="https://editor.example")
    show(served, 1)
    origin = {"Origin": "https://editor.example"}
    for path in (f"{ROOT}/{MASTER}", f"{ROOT}/{FOLDER}/{VIDEO}"):
        answer = served.client.get(path, headers=origin)
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, origin["Origin"])
    assert served.client.get("/api/render/jobs").status_code == 401


def test_the_status_names_the_list_of_a_job_that_can_be_watched(served, serve):
    show(served, 1)
    served.backend.set("plain")
    assert served.client.get(f"{ROOT}/status").json()["live_url"] == f"{served.address}{ROOT}/{MASTER}"
    assert "live_url" not in served.client.get("/api/render/plain/status").json()
    public = serve(ECG_PUBLIC_URL="https://render.example/ecg/")
    show(public, 1)
    assert public.client.get(f"{ROOT}/status").json()["live_url"] == f"https://render.example/ecg{ROOT}/{MASTER}"


@pytest.mark.parametrize(("given", "live"), [(True, True), ("true", True), (False, False), (None, False)])
def test_a_request_asks_for_it(served, given, live):
    body = {
        "jobId": f"asked-{given}",
        "videoUrl": "https://example.com/a.mp4",
        "scenario": {"cues": []},
        "options": {"live": given},
        "callbackUrl": "http://127.0.0.1:1/",
    }
    assert served.client.post("/render", json=body).status_code == 200
    options = served.backend.orders[f"asked-{given}"].options
    assert options.live is live
    spec = options.spec("out/video.mp4")
    assert "live" not in spec["options"]
    assert ("live" in spec) is live


def followed(served: Served) -> subprocess.Popen[str]:
    """Let FFmpeg follow a job's playlist from its first piece on, and decode what it finds."""
    source = ["-live_start_index", "0", "-i", f"{served.address}{ROOT}/{MASTER}"]
    command = ["ffmpeg", "-v", "error", *source, "-map", "0:v:0", "-f", "framemd5", "-flush_packets", "1", "-"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def frames_of(player: subprocess.Popen[str]) -> int:
    out, _ = player.communicate(timeout=60)
    return sum(not line.startswith("#") for line in out.splitlines())


def test_ffmpeg_follows_a_job_that_is_tried_again_to_its_end(served):
    show(served, 1)
    player = followed(served)
    time.sleep(2)
    served.backend.streams["talk"][f"{FOLDER}/{VIDEO}"] += END  # the first try has failed
    time.sleep(2.5)
    assert player.poll() is None
    show(served, 2)
    time.sleep(2.5)
    show(served, 3, JobStatus.COMPLETED)
    assert frames_of(player) == FRAMES


def test_ffmpeg_ends_with_a_job_that_is_cancelled(served):
    show(served, 2)
    player = followed(served)
    time.sleep(2)
    assert player.poll() is None
    show(served, 2, JobStatus.CANCELLED)
    assert frames_of(player) == FRAMES * 2 // PIECES
