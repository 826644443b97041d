"""The editor's backend against the whole standalone service: over HTTP in both directions, with a stand-in renderer."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from ecg_shim.relay import Policy
from shim_client_backend import ClientBackend
from shim_scripted_renderer import go_on, scripted, starts
from shim_service import Killable, service

SECONDS = 60.0
VIDEO = "http://localhost/videos/a.mp4"


def script(*steps: list[Any]) -> dict[str, Any]:
    """Return a scenario that makes the stand-in renderer take these steps."""
    scenario: dict[str, Any] = json.loads(scripted(*steps))
    return scenario


@pytest.fixture
def client(tmp_path: Path) -> Iterator[ClientBackend]:
    """A backend and a service that know each other."""
    with service(tmp_path, max_concurrent=2) as address, ClientBackend(address) as backend:
        yield backend


def eventually(check: Callable[[], bool], seconds: float = SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.02)


def settled(client: ClientBackend, job_id: str, seconds: float = 1.5) -> list[str]:
    """Return what callbacks have said, when nothing more has come for a while."""
    while True:
        before = len(client.of(job_id))
        time.sleep(seconds)
        if len(client.of(job_id)) == before:
            return client.statuses(job_id)


def test_a_render_that_succeeds(client: ClientBackend, tmp_path: Path) -> None:
    steps = script(["progress", "rendering", 30], ["until"], ["progress", "rendering", 80], ["sleep", 1], ["result"])
    job_id = client.create(steps, video_url=VIDEO)
    assert client.row(job_id).status == "processing"
    eventually(lambda: bool(client.of(job_id)))
    go_on(tmp_path / "script.log")
    row = client.wait(job_id)
    assert (row.status, row.progress, row.file_size, row.duration) == ("completed", 100, 5, 4.0)
    assert settled(client, job_id) == ["processing", "completed"]
    told = [one.body["progress"] for one in client.of(job_id)]
    assert told[0] >= 1
    assert told == sorted(told)
    assert client.of(job_id)[-1].answered == 500
    assert [one.body["status"] for one in client.of(job_id)].count("completed") == 1
    path = f"/api/render/{job_id}/download"
    assert row.download_url
    assert row.download_url.endswith(path)
    assert httpx.get(client.service + path, trust_env=False).content == b"video"


def test_callbacks_wait_until_the_client_has_written_its_row(client: ClientBackend) -> None:
    client.write_delay = Policy().hold_terminal / 4  # a busy machine may be late by as much as is left of it
    job_id = client.create(script(["result"]), video_url=VIDEO)
    client.wait(job_id, status=("completed",))
    time.sleep(1.5)
    assert client.row(job_id).history == ["processing", "completed"]


FAILURES: dict[str, tuple[Any, str | None, str]] = {
    "the renderer fails": (script(["failure", "FFMPEG_ERROR", False], ["exit", 98]), VIDEO, "FFMPEG_ERROR"),
    "no video is named": (script(["result"]), None, "INVALID_VIDEO_URL"),
    "the scenario is no scenario": ("not an object", VIDEO, "SCENARIO_PARSE_ERROR"),
    "the video is where none may be": (script(["result"]), "ftp://example.com/a.mp4", "INVALID_VIDEO_URL"),
}


@pytest.mark.parametrize(("scenario", "video", "code"), FAILURES.values(), ids=FAILURES)
def test_what_cannot_be_rendered_is_accepted_and_told_by_callback(
    client: ClientBackend, scenario: Any, video: str | None, code: str
) -> None:
    job_id = client.create(scenario, video_url=video)
    row = client.wait(job_id, status=("failed",))
    assert row.error_code == code
    assert row.error_message
    assert client.row(job_id).history == ["processing", "failed"]


def test_options_that_cannot_be_rendered_are_told_by_callback(client: ClientBackend) -> None:
    job_id = client.create(script(["result"]), {"fps": "many"}, video_url=VIDEO)
    assert client.wait(job_id, status=("failed",)).error_code == "INVALID_RENDER_OPTIONS"


def test_a_cancel_before_the_post_wins(client: ClientBackend, tmp_path: Path) -> None:
    job_id = str(uuid4())
    httpx.post(f"{client.service}/api/render/{job_id}/cancel", trust_env=False).raise_for_status()
    client.create(script(["result"]), video_url=VIDEO, job_id=job_id)
    client.wait(job_id, status=("cancelled",))
    assert settled(client, job_id) == ["cancelled"]
    assert not starts(tmp_path / "script.log")


@pytest.mark.parametrize("seconds", [0.0, 0.3, 2.0, 3.5])
def test_a_cancel_at_any_time_ends_in_cancelled_told_once(
    client: ClientBackend, tmp_path: Path, seconds: float
) -> None:
    job_id = client.create(script(["progress", "rendering", 50], ["sleep", 30], ["result"]), video_url=VIDEO)
    time.sleep(seconds)
    reply = client.cancel(job_id)
    assert reply["success"] is True
    eventually(lambda: "cancelled" in client.statuses(job_id))
    assert settled(client, job_id)[-1] == "cancelled"
    assert [one.body["status"] for one in client.of(job_id)].count("cancelled") == 1
    assert client.row(job_id).status == "cancelled"
    assert "end" not in starts(tmp_path / "script.log")


def test_a_cancel_while_it_waits_for_its_turn(client: ClientBackend, tmp_path: Path) -> None:
    busy = [client.create(script(["until"], ["result"]), video_url=VIDEO) for _ in range(2)]
    waiting = client.create(script(["result"]), video_url=VIDEO)
    assert client.cancel(waiting)["success"] is True
    go_on(tmp_path / "script.log")
    assert [client.wait(job_id).status for job_id in busy] == ["completed", "completed"]
    eventually(lambda: bool(client.of(waiting)))
    assert settled(client, waiting) == ["cancelled"]


def test_a_post_that_comes_twice_is_rendered_once_and_ends_once(client: ClientBackend, tmp_path: Path) -> None:
    steps = script(["until"], ["result"])
    job_id = client.create(steps, video_url=VIDEO)
    client.create(steps, video_url=VIDEO, job_id=job_id)
    go_on(tmp_path / "script.log")
    client.wait(job_id, status=("completed",))
    assert settled(client, job_id)[-1] == "completed"
    assert [one.body["status"] for one in client.of(job_id)].count("completed") == 1
    assert starts(tmp_path / "script.log").count("start") == 1


def test_a_backend_that_is_away_while_a_job_ends_hears_of_it_later(client: ClientBackend) -> None:
    job_id = client.create(script(["result"]), video_url=VIDEO)
    client.go_down()
    time.sleep(6)
    client.come_up()
    client.wait(job_id, status=("completed",))
    assert settled(client, job_id) == ["completed"]


def test_a_backend_that_has_forgotten_the_job_is_left_in_peace(client: ClientBackend) -> None:
    steps = script(*([["progress", "rendering", 10], ["sleep", 1]] * 4), ["result"])
    forgotten = threading.Event()
    client.fault = lambda _: None if forgotten.wait(SECONDS) else (503, {})  # no callback is answered before
    job_id = client.create(steps, video_url=VIDEO)
    del client.rows[job_id]
    forgotten.set()
    eventually(lambda: bool(client.of(job_id)))
    time.sleep(5)
    assert [one.answered for one in client.of(job_id)] == [404]


def test_of_thirty_jobs_at_once_none_stays_in_processing(tmp_path: Path) -> None:
    # Held back for longer than a busy machine may need until all rows are written.
    policy = Policy(hold=10.0, hold_terminal=15.0)
    with service(tmp_path, policy, max_concurrent=3) as address, ClientBackend(address, write_delay=0.2) as client:
        steps = script(["result"])
        jobs = [client.create(steps, video_url=VIDEO, wait=False) for _ in range(30)]
        for job_id in jobs:
            client.wait(job_id, 120, status=("completed",))
        time.sleep(2)
        assert {client.row(job_id).status for job_id in jobs} == {"completed"}
        assert {tuple(client.statuses(job_id))[-1] for job_id in jobs} == {"completed"}
        ends = [one for one in client.received if one.body["status"] == "completed"]
        assert len(ends) == 30
        assert starts(tmp_path / "script.log").count("start") == 30


@pytest.fixture
def killable(tmp_path: Path) -> Iterator[Killable]:
    """A service that can be killed."""
    killable = Killable(tmp_path)
    killable.start()
    yield killable
    killable.kill()


STAGES: dict[str, Callable[[ClientBackend, str, Path], bool]] = {
    "at once": lambda client, job_id, folder: True,
    "while it is rendered": lambda client, job_id, folder: "segment one" in starts(folder / "script.log"),
    "after the first callback": lambda client, job_id, folder: bool(client.of(job_id)),
    "when the video is there, and its end is still held back": (
        lambda client, job_id, folder: "video" in starts(folder / "script.log")
    ),
}


@pytest.mark.parametrize("stage", STAGES)
def test_a_service_that_is_killed_at_any_stage_ends_every_job_once(
    killable: Killable, tmp_path: Path, stage: str
) -> None:
    slow = stage == "after the first callback"
    steps = [["segment", "one"], ["once", "pause", ["sleep", 3 if slow else 0.5]], ["segment", "two"], ["result"]]
    with ClientBackend(killable.address) as client:
        job_id = client.create(script(*steps), video_url=VIDEO)
        eventually(lambda: STAGES[stage](client, job_id, tmp_path))
        killable.kill()
        killable.start()
        client.wait(job_id, status=("completed",))
        assert settled(client, job_id)[-1] == "completed"
        assert [one.body["status"] for one in client.of(job_id)].count("completed") == 1
        lines = starts(tmp_path / "script.log")
        assert [lines.count(line) for line in ("segment one", "segment two")] == [1, 1]


def test_a_callback_held_back_over_a_restart_is_still_held_back(killable: Killable) -> None:
    with ClientBackend(killable.address) as client:
        posted = time.time()
        job_id = client.create(script(["failure", "RENDER_ERROR", False], ["exit", 96]), video_url=VIDEO)
        killable.kill()
        killable.start()
        client.wait(job_id, status=("failed",))
        assert client.of(job_id)[0].at - posted >= Policy().hold_terminal
