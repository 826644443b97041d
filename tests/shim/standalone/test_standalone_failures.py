"""What goes wrong: renderers that fail, crash, hang or talk nonsense, a full disk, a damaged queue."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from ecg_api.failures import Failure, FailureCode
from ecg_shim.backends.standalone import StandaloneBackend, StandaloneSettings
from ecg_shim.backends.standalone.jobs import MIGRATIONS
from ecg_shim.model import JobState, JobStatus, RenderOrder, Unavailable
from shim_scripted_renderer import go_on, starts
from shim_standalone import ended, eventually, order, rows, settings, until, with_backend


def run_one(folder: Path, *steps: list[Any], **changes: Any) -> JobState:
    """Return how a job ends whose renderer takes `steps`."""

    async def work(backend: StandaloneBackend) -> JobState:
        await backend.submit(order("a", *steps))
        return await ended(backend, "a")

    state: JobState = with_backend(folder, work, **changes)
    return state


FOR_GOOD = {
    "a failure that the renderer explains": (
        [["failure", "SCENARIO_PARSE_ERROR", False, "cues[0] has no text."], ["exit", 67]],
        (FailureCode.SCENARIO_PARSE_ERROR, "cues[0] has no text."),
    ),
    "a status that stands for a code, without words": (
        [["say", "boom"], ["exit", 66]],
        (FailureCode.INVALID_VIDEO_FORMAT, "ended with status 66 without saying why: boom"),
    ),
    "a flood of bytes that are no text": (
        [["flood", 8], ["failure", "VALIDATION_ERROR", False], ["exit", 64]],
        (FailureCode.VALIDATION_ERROR, "It went wrong."),
    ),
}


@pytest.mark.parametrize(("steps", "expected"), FOR_GOOD.values(), ids=FOR_GOOD)
def test_a_failure_that_no_further_try_mends_ends_the_job_at_once(
    tmp_path: Path, steps: list[list[Any]], expected: tuple[FailureCode, str]
) -> None:
    state = run_one(tmp_path, *steps)
    assert state.status is JobStatus.FAILED
    assert state.failure
    assert state.failure.code == expected[0]
    assert expected[1] in state.failure.message
    assert starts(tmp_path / "script.log").count("start") == 1


WORTH_A_TRY = {
    "killed, as when memory runs out": ([["die", 9]], FailureCode.SYSTEM_RESOURCE_ERROR, "SIGKILL"),
    "crashed": ([["die", 11]], FailureCode.SYSTEM_RESOURCE_ERROR, "SIGSEGV"),
    "success without a result": ([["exit", 0]], FailureCode.UNEXPECTED_ERROR, "without saying what it made"),
    "garbage as a result": ([["put", '{"output": 3'], ["exit", 0]], FailureCode.UNEXPECTED_ERROR, "status 0"),
    "nested beyond reason": ([["put", "[" * 100_000]], FailureCode.UNEXPECTED_ERROR, "status 0"),
    "a Python error": ([["no-such-step"]], FailureCode.UNEXPECTED_ERROR, "status 1"),
    "an unknown code": (
        [["put", '{"failure": {"code": "NEW"}}'], ["exit", 3]], FailureCode.UNEXPECTED_ERROR, "status 3",
    ),
    "what the renderer calls worth a try": (
        [["failure", "BROWSER_ERROR", True], ["exit", 97]], FailureCode.BROWSER_ERROR, "It went wrong.",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("steps", "code", "said"), WORTH_A_TRY.values(), ids=WORTH_A_TRY)
def test_other_failures_are_tried_again_as_often_as_is_set(
    tmp_path: Path, steps: list[list[Any]], code: FailureCode, said: str
) -> None:
    state = run_one(tmp_path, *steps, attempts=2, retry_seconds=0.05)
    assert state.status is JobStatus.FAILED
    assert state.failure
    assert state.failure.code == code
    assert said in state.failure.message
    assert starts(tmp_path / "script.log").count("start") == 2


def test_an_admission_that_fails_for_now_is_tried_again_as_often_as_a_render(tmp_path: Path) -> None:
    admissions: list[str] = []

    async def admit(order: RenderOrder) -> Failure:
        admissions.append(order.job_id)
        return Failure(code=FailureCode.CONNECTION_ERROR, message="No answer.", retryable=True)

    async def work(backend: StandaloneBackend) -> JobState:
        await backend.submit(order("a", ["result"]))
        return await ended(backend, "a")

    state = with_backend(tmp_path, work, admit, attempts=3, retry_seconds=0.05)
    assert state.failure.code is FailureCode.CONNECTION_ERROR
    assert len(admissions) == 3


def test_a_second_try_goes_on_from_finished_segments_and_may_succeed(tmp_path: Path) -> None:
    failing = ["once", "x", ["failure", "FFMPEG_ERROR", True], ["exit", 98]]
    state = run_one(tmp_path, ["segment", "one"], failing, ["segment", "two"], ["result"])
    assert state.status is JobStatus.COMPLETED
    lines = starts(tmp_path / "script.log")
    assert [lines.count(line) for line in ("start", "segment one", "segment two", "video")] == [2, 1, 1, 1]


def test_between_tries_the_job_says_so_and_leaves_its_place_to_others(tmp_path: Path) -> None:
    async def work(backend: StandaloneBackend) -> None:
        await backend.submit(order("a", ["progress", "rendering", 50], ["until"], ["die", 9]))
        await until(backend, "a", lambda state: state.progress == 50)
        go_on(tmp_path / "script.log")
        waiting = await until(backend, "a", lambda state: "again" in state.message)
        assert waiting.status is JobStatus.PROCESSING
        assert waiting.progress == 50, "clients never see progress go back"
        assert waiting.message == "Trying again in 30 s (SYSTEM_RESOURCE_ERROR)"
        await backend.submit(order("b", ["result"]))
        assert (await ended(backend, "b")).status is JobStatus.COMPLETED
        assert await backend.cancel("a"), "also while it waits"

    with_backend(tmp_path, work, max_concurrent=1, retry_seconds=30)


def test_a_job_that_takes_too_long_is_stopped_and_not_tried_again(tmp_path: Path) -> None:
    state = run_one(tmp_path, ["deaf"], ["sleep", 60], job_seconds=4)
    assert state.failure
    assert state.failure.code is FailureCode.RENDERING_TIMEOUT
    assert "longer than 4 seconds" in state.failure.message
    assert starts(tmp_path / "script.log") == ["start"], "nobody has waited for its end"


def test_the_time_limit_counts_all_tries_together(tmp_path: Path) -> None:
    state = run_one(tmp_path, ["sleep", 1.2], ["die", 9], job_seconds=8.0, attempts=9, retry_seconds=0.01)
    assert state.failure
    assert state.failure.code is FailureCode.RENDERING_TIMEOUT
    assert 2 <= rows(tmp_path)[0]["attempts"] <= 7


def test_a_renderer_that_cannot_be_started_is_a_failure_that_says_so(tmp_path: Path) -> None:
    state = run_one(tmp_path, ["result"], command=("/nonexistent/renderer",), attempts=1)
    assert state.failure
    assert state.failure.code in (FailureCode.SYSTEM_RESOURCE_ERROR, FailureCode.UNEXPECTED_ERROR)
    assert "/nonexistent/renderer" in " ".join([state.failure.message, *state.failure.log_tail])


def test_a_video_that_is_named_but_not_there_is_a_failure(tmp_path: Path) -> None:
    line = '{"output": "/nonexistent.mp4", "frames": 1, "durationSeconds": 1, "sizeBytes": 1}'
    state = run_one(tmp_path, ["put", line], attempts=1)
    assert state.failure
    assert "/nonexistent.mp4" in state.failure.message


def test_lines_that_are_no_progress_do_not_disturb_progress(tmp_path: Path) -> None:
    async def work(backend: StandaloneBackend) -> None:
        nonsense = ['{"event": "progress", "stage": 3}', '{"event": 1}', "{", "[1]", '{"event": "progress"', "plain"]
        await backend.submit(
            order("a", *(["say", line] for line in nonsense), ["progress", "merging"], ["until"], ["result"])
        )
        assert (await until(backend, "a", lambda state: state.progress > 1)).progress == 80
        go_on(tmp_path / "script.log")
        await ended(backend, "a")

    with_backend(tmp_path, work)


def test_a_second_service_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    async def work(_: StandaloneBackend) -> None:
        with pytest.raises(Unavailable, match="Another service uses"):
            await StandaloneBackend(settings(tmp_path)).start()

    with_backend(tmp_path, work)


def test_a_damaged_queue_is_named_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "jobs.sqlite").write_bytes(b"this is no database " * 500)
    with pytest.raises(Unavailable, match=r"jobs\.sqlite is damaged .* move the file away"):
        with_backend(tmp_path, asyncio.sleep)


def test_a_queue_of_a_newer_service_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    file = tmp_path / "data" / "jobs.sqlite"
    connection = sqlite3.connect(file)
    connection.execute(f"PRAGMA user_version={len(MIGRATIONS) + 1}")
    connection.close()
    with pytest.raises(Unavailable, match="schema version"):
        with_backend(tmp_path, asyncio.sleep)


def test_while_the_disk_is_full_jobs_are_refused_and_what_ended_is_noted_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ecg_shim.backends.standalone.run.AGAIN_SECONDS", 0.1)

    async def work(backend: StandaloneBackend) -> None:
        await backend.submit(order("a", ["until"], ["result"]))
        await until(backend, "a", lambda state: state.status is JobStatus.PROCESSING)
        pages = await pragma(backend, "page_count")
        await pragma(backend, f"max_page_count={pages}")
        filler = "x" * 20_000
        with pytest.raises(Unavailable, match="is full"):
            for number in range(50):
                await backend.submit(order(f"filler-{number}", ["say", filler], callback_url=f"http://a/{filler}"))
        go_on(tmp_path / "script.log")
        await eventually(lambda: "end" in starts(tmp_path / "script.log"))
        # What only reads goes well, and is followed by another try to note the end.
        while (health := backend.health())["healthy"]:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        assert "is full" in health["problems"][0]
        state = await backend.get("a")
        assert state and not state.status.terminal
        await pragma(backend, "max_page_count=1000000")
        await backend.clear()
        assert (await ended(backend, "a")).status is JobStatus.COMPLETED
        assert backend.health()["healthy"]

    with_backend(tmp_path, work)


async def pragma(backend: StandaloneBackend, words: str) -> int:
    """Ask SQLite in the thread that has the database open."""

    def ask() -> int:
        assert backend._database._connection
        return int(backend._database._connection.execute(f"PRAGMA {words}").fetchone()[0])

    return await asyncio.get_running_loop().run_in_executor(backend._database._thread, ask)


def test_a_disk_without_room_for_a_scenario_refuses_the_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(backend: StandaloneBackend) -> None:
        def full(_: int) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(Unavailable, match="No space left on device"):
            await backend.submit(order("a", ["result"]))
        monkeypatch.undo()
        assert await backend.get("a") is None

    with_backend(tmp_path, work)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Unavailable, match=str(tmp_path / "file")):
        asyncio.run(StandaloneBackend(StandaloneSettings(tmp_path / "file" / "data")).start())


def test_closing_stops_renderers_within_seconds_and_the_next_service_goes_on(tmp_path: Path) -> None:
    async def first(backend: StandaloneBackend) -> None:
        steps: list[Any] = [["segment", "one"], ["once", "x", ["deaf"], ["note", "asleep"], ["sleep", 60]], ["result"]]
        await backend.submit(order("a", *steps))
        await eventually(lambda: "asleep" in starts(tmp_path / "script.log"))

    async def second(backend: StandaloneBackend) -> JobState:
        return await ended(backend, "a")

    with_backend(tmp_path, first)
    assert "video" not in starts(tmp_path / "script.log"), "the renderer was not waited for"
    state = with_backend(tmp_path, second, attempts=1)
    assert state.status is JobStatus.COMPLETED, "the try that was broken off does not count"
    assert starts(tmp_path / "script.log").count("segment one") == 1


def test_a_signal_from_outside_to_a_renderer_costs_a_try_only(tmp_path: Path) -> None:
    state = run_one(tmp_path, ["once", "x", ["die", int(signal.SIGTERM)]], ["result"])
    assert state.status is JobStatus.COMPLETED
