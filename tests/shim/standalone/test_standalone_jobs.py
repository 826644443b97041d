"""A job's life in the standalone service, with a stand-in for the renderer that does what it is told."""

from __future__ import annotations

import asyncio
import logging
import time
from pathlib import Path
from typing import Any

import pytest

from ecg_api.failures import Failure, FailureCode
from ecg_shim.backends.standalone import StandaloneBackend, StandaloneSettings
from ecg_shim.model import Conflict, JobState, JobStatus, RenderOrder
from shim_scripted_renderer import go_on, starts
from shim_standalone import ended, eventually, order, rows, submission, until, with_backend

FAILED = Failure(code=FailureCode.INVALID_VIDEO_URL, message="No video.", retryable=False)


def test_a_job_goes_from_queued_through_processing_to_completed_with_its_video(tmp_path: Path) -> None:
    async def work(backend: StandaloneBackend) -> None:
        queued = await backend.submit(order("a", ["progress", "rendering", 50], ["until"], ["result"]))
        assert (queued.status, queued.progress) == (JobStatus.QUEUED, 0)
        moving = await until(backend, "a", lambda state: state.progress > 40)
        assert (moving.status, moving.progress, moving.eta_seconds) == (JobStatus.PROCESSING, 50, 51)
        assert moving.message == "Rendering segment 1 of 1"
        assert moving.metrics.frames_processed == 50
        assert moving.streaming
        assert moving.streaming.memory_mb > 1
        go_on(tmp_path / "script.log")
        done = await ended(backend, "a")
        assert (done.status, done.progress, done.eta_seconds) == (JobStatus.COMPLETED, 100, None)
        assert done.output
        assert done.output.url == "http://localhost:8090/api/render/a/download"
        assert (done.output.size_bytes, done.output.duration_seconds) == (5, 4.0)
        assert done.output.path
        assert done.output.path.read_bytes() == b"video"
        metrics = done.metrics
        assert (metrics.frames_processed, metrics.frames_dropped, metrics.drop_rate) == (100, 3, 0.03)
        assert (metrics.memory_peak_mb, metrics.memory_trend) == (512.5, "stable")
        assert queued.version < moving.version < done.version
        assert done.started_at
        assert done.finished_at
        assert queued.created_at <= done.started_at < done.finished_at

    with_backend(tmp_path, work)
    assert not list((tmp_path / "data" / "jobs").iterdir()), "work files are gone"


def test_progress_is_at_least_one_as_soon_as_a_job_is_processed(tmp_path: Path) -> None:
    async def work(backend: StandaloneBackend) -> None:
        await backend.submit(order("a", ["until"], ["result"]))
        assert (await until(backend, "a", lambda s: s.status is JobStatus.PROCESSING)).progress == 1
        go_on(tmp_path / "script.log")
        await ended(backend, "a")

    with_backend(tmp_path, work)


def test_the_same_post_again_is_the_same_job_rendered_once(tmp_path: Path) -> None:
    async def work(backend: StandaloneBackend) -> None:
        again = await asyncio.gather(*(backend.submit(order("a", ["until"], ["result"])) for _ in range(5)))
        assert len({state.created_at for state in again}) == 1
        go_on(tmp_path / "script.log")
        done = await ended(backend, "a")
        assert (await backend.submit(order("a", ["until"], ["result"]))).version == done.version

    with_backend(tmp_path, work)
    assert starts(tmp_path / "script.log").count("start") == 1


def test_another_post_with_the_id_of_an_unfinished_job_is_a_conflict_and_of_a_finished_one_a_new_job(
    tmp_path: Path,
) -> None:
    async def work(backend: StandaloneBackend) -> None:
        first = await backend.submit(order("a", ["until"], ["result"]))
        with pytest.raises(Conflict, match="other content"):
            await backend.submit(order("a", ["result"]))
        with pytest.raises(Conflict):
            await backend.reject(submission("a"), FAILED)
        go_on(tmp_path / "script.log")
        done = await ended(backend, "a")
        second = await backend.submit(order("a", ["result"]))
        assert second.created_at > first.created_at
        assert second.version > done.version
        assert (await ended(backend, "a")).status is JobStatus.COMPLETED

    with_backend(tmp_path, work)
    assert starts(tmp_path / "script.log").count("start") == 2


def test_a_rejected_job_is_failed_and_a_cancelled_one_stays_cancelled(tmp_path: Path) -> None:
    async def work(backend: StandaloneBackend) -> None:
        state = await backend.reject(submission("a"), FAILED)
        assert (state.status, state.failure) == (JobStatus.FAILED, FAILED)
        assert (await backend.reject(submission("a"), FAILED)).version == state.version
        await backend.cancel("b")
        assert (await backend.reject(submission("b"), FAILED)).status is JobStatus.CANCELLED

    with_backend(tmp_path, work)


def test_a_cancelled_job_that_waits_never_starts(tmp_path: Path) -> None:
    async def work(backend: StandaloneBackend) -> None:
        await backend.submit(order("first", ["until"], ["result"]))
        await backend.submit(order("a", ["result"]))
        assert await backend.cancel("a")
        assert not await backend.cancel("a"), "it has ended"
        assert (await backend.get("a")) == (await ended(backend, "a"))
        go_on(tmp_path / "script.log")
        await ended(backend, "first")

    with_backend(tmp_path, work, max_concurrent=1)
    assert starts(tmp_path / "script.log").count("start") == 1
    assert not list((tmp_path / "data" / "jobs").iterdir()), "its scenario is gone too"


@pytest.mark.parametrize("steps", [[], [["deaf"]], [["deaf"], ["child"], ["child", True]]], ids=["", "deaf", "tree"])
def test_cancelling_ends_the_renderer_with_all_that_it_started_and_waits_for_none_of_them(
    tmp_path: Path, steps: list[list[Any]]
) -> None:
    async def work(backend: StandaloneBackend) -> None:
        await backend.submit(order("a", *steps, ["progress", "rendering", 10], ["sleep", 60]))
        await until(backend, "a", lambda state: state.progress > 20)
        children = marked(tmp_path)
        assert len(children) == 1 + sum(step[0] == "child" for step in steps)
        assert await backend.cancel("a")
        state = await backend.get("a")
        assert state
        assert state.status is JobStatus.CANCELLED, "told at once"
        await eventually(lambda: not marked(tmp_path))

    with_backend(tmp_path, work)
    assert "end" not in starts(tmp_path / "script.log")
    assert StandaloneSettings(tmp_path).stop_seconds < 5, "what clients are promised"
    assert not list((tmp_path / "data" / "jobs").iterdir())


def marked(folder: Path) -> list[int]:
    """Return the processes that renders of this folder have started."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            environment = path.read_bytes()
        except OSError:
            continue
        if f"ECG_RENDER_CHILD_OF={folder}/data:".encode() in environment:
            found.append(int(path.parent.name))
    return found


def test_what_a_renderer_left_running_is_killed_when_it_has_ended(tmp_path: Path) -> None:
    async def work(backend: StandaloneBackend) -> None:
        await backend.submit(order("a", ["child", True], ["result"]))
        assert (await ended(backend, "a")).status is JobStatus.COMPLETED

    with_backend(tmp_path, work)
    assert not marked(tmp_path)


def test_a_cancel_that_comes_before_the_post_is_remembered(tmp_path: Path) -> None:
    async def cancel(backend: StandaloneBackend) -> None:
        assert not await backend.cancel("a")

    async def post(backend: StandaloneBackend) -> None:
        assert (await backend.submit(order("a", ["result"]))).status is JobStatus.CANCELLED
        assert (await backend.submit(order("b", ["result"]))).status is JobStatus.QUEUED

    with_backend(tmp_path, cancel)
    assert rows(tmp_path, "SELECT until FROM tombstones")[0]["until"] > time.time() + 30 * 60
    with_backend(tmp_path, post)
    assert not list((tmp_path / "data" / "jobs").glob("a-*"))


def test_a_forgotten_cancel_does_not_stop_a_later_job(tmp_path: Path) -> None:
    async def work(backend: StandaloneBackend) -> None:
        await backend.cancel("a")
        await asyncio.sleep(0.1)
        assert (await backend.submit(order("a", ["result"]))).status is JobStatus.QUEUED

    with_backend(tmp_path, work, tombstone_seconds=0.05)


def test_clear_cancels_what_waits_and_leaves_what_runs(tmp_path: Path) -> None:
    async def work(backend: StandaloneBackend) -> None:
        for name in "abc":
            await backend.submit(order(name, ["until"], ["result"]))
        await until(backend, "a", lambda state: state.status is JobStatus.PROCESSING)
        assert await backend.clear() == 2
        go_on(tmp_path / "script.log")
        assert (await ended(backend, "a")).status is JobStatus.COMPLETED
        assert (await ended(backend, "c")).status is JobStatus.CANCELLED

    with_backend(tmp_path, work, max_concurrent=1)


def test_no_more_jobs_run_at_a_time_than_allowed_and_they_start_in_order(tmp_path: Path) -> None:
    async def work(backend: StandaloneBackend) -> list[int]:
        for number in range(6):
            await backend.submit(order(f"job-{number}", ["sleep", 0.2], ["result"]))
        running = []
        while (queue := await backend.queue()).pending or queue.processing:
            running.append(queue.processing)
            assert queue.max_concurrent == 2
            await asyncio.sleep(0.02)
        assert queue.total == 6
        return running

    assert max(with_backend(tmp_path, work)) == 2
    began = [row["started_at"] for row in rows(tmp_path)]
    assert began == sorted(began)


def test_the_newest_jobs_are_listed_first(tmp_path: Path) -> None:
    async def work(backend: StandaloneBackend) -> None:
        for name in "abc":
            await backend.submit(order(name, ["result"]))
        assert [state.job_id for state in await backend.list_jobs(2)] == ["c", "b"]

    with_backend(tmp_path, work)


def test_changes_begin_with_all_jobs_and_each_listener_hears_every_end(tmp_path: Path) -> None:
    async def work(backend: StandaloneBackend) -> None:
        await backend.submit(order("a", ["result"]))
        await ended(backend, "a")
        heard: list[tuple[str, str]] = []
        versions: dict[str, int] = {}
        async for state in backend.changes():
            if not heard:
                await backend.submit(order("b", ["result"]))
            heard.append((state.job_id, state.status))
            assert versions.get(state.job_id, 0) < state.version
            versions[state.job_id] = state.version
            if heard[-1] == ("b", "completed"):
                break
        assert heard[0] == ("a", "completed")

    with_backend(tmp_path, work)


def test_admission_gives_the_video_or_the_reason_why_there_is_none(tmp_path: Path) -> None:
    async def admit(order: RenderOrder) -> RenderOrder | Failure:
        if order.job_id == "lost":
            return FAILED
        return RenderOrder(**{**vars(order), "video_url": "/videos/found.mp4"})

    async def work(backend: StandaloneBackend) -> None:
        await backend.submit(order("lost", ["result"]))
        await backend.submit(order("found", ["until"], ["result"]))
        assert (await ended(backend, "lost")).failure == FAILED
        await eventually(lambda: "/videos/found.mp4" in manifest_of(tmp_path, "found"))
        go_on(tmp_path / "script.log")
        assert (await ended(backend, "found")).status is JobStatus.COMPLETED

    with_backend(tmp_path, work, admit)


def manifest_of(folder: Path, job_id: str) -> str:
    return "".join(path.read_text() for path in (folder / "data" / "jobs").glob(f"{job_id}-*/manifest.json"))


def test_ids_that_are_no_file_names_work_and_stay_inside_of_the_folder(tmp_path: Path) -> None:
    async def work(backend: StandaloneBackend) -> None:
        for job_id in ("../../evil", "한국어", "a" * 300, "..", "a/b"):
            await backend.submit(order(job_id, ["result"]))
            done = await ended(backend, job_id)
            assert done.output
            assert done.output.path
            assert done.output.path.resolve().is_relative_to(tmp_path / "data" / "outputs")

    with_backend(tmp_path, work)
    assert {path.name for path in tmp_path.iterdir()} == {"data", "script.log"}


def test_finished_jobs_and_videos_go_after_their_time_and_running_ones_stay(tmp_path: Path) -> None:
    async def first(backend: StandaloneBackend) -> None:
        await backend.submit(order("old", ["result"]))
        await ended(backend, "old")
        await asyncio.sleep(0.3)

    async def second(backend: StandaloneBackend) -> None:
        await eventually(lambda: not rows(tmp_path))
        assert await backend.get("old") is None
        await eventually(lambda: not (tmp_path / "data" / "outputs" / "old").exists())

    with_backend(tmp_path, first)
    assert (tmp_path / "data" / "outputs" / "old" / "output.mp4").exists()
    with_backend(tmp_path, second, keep_seconds=0.1)


def test_the_log_has_the_patterns_that_monitoring_looks_for(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def work(backend: StandaloneBackend) -> None:
        warning = ["warning", "Memory limit exceeded. Dropping frame 7"]
        await backend.submit(order("good", warning, ["result"]))
        said = "The NVENC encoder does not work on this machine: no NVIDIA device."
        await backend.submit(order("bad", ["failure", "FFMPEG_ERROR", False, said], ["exit", 98]))
        await ended(backend, "good")
        await ended(backend, "bad")

    with caplog.at_level(logging.INFO):
        with_backend(tmp_path, work)
    stats = "✅ Pipeline stats: {'dropped_frames': 3, 'processed_frames': 100, 'drop_rate': 0.03}"
    for pattern in (stats, "⚠️ Memory limit exceeded. Dropping frame 7", "❌ FFmpeg error: Cannot load nvenc encoder"):
        assert pattern in caplog.text


def test_a_job_whose_video_is_still_looked_at_takes_no_slot_from_others(tmp_path: Path) -> None:
    async def admit(asked: RenderOrder) -> RenderOrder:
        if asked.job_id.startswith("slow"):
            await asyncio.sleep(3600)
        return asked

    async def work(backend: StandaloneBackend) -> None:
        for number in range(3):
            await backend.submit(order(f"slow-{number}", ["result"]))
        await backend.submit(order("good", ["result"]))
        assert (await ended(backend, "good")).status is JobStatus.COMPLETED
        waiting = [state for state in await backend.list_jobs(9) if state.status is JobStatus.QUEUED]
        assert len(waiting) == 3
        assert await backend.cancel("slow-1")
        assert (await ended(backend, "slow-1")).status is JobStatus.CANCELLED

    with_backend(tmp_path, work, admit, max_concurrent=1)


def test_no_more_jobs_are_rendered_at_once_than_there_are_slots_and_they_keep_their_order(tmp_path: Path) -> None:
    async def work(backend: StandaloneBackend) -> list[JobState]:
        most = 0
        for number in range(6):
            await backend.submit(order(f"job-{number}", ["sleep", 0.2], ["result"]))
        while (queue := await backend.queue()).pending or queue.processing:
            most = max(most, queue.processing)
            await asyncio.sleep(0.01)
        assert most == 2
        return await backend.list_jobs(10)

    done = with_backend(tmp_path, work, max_concurrent=2)
    begun = sorted(done, key=lambda state: (state.started_at, state.job_id))
    assert [state.job_id for state in begun] == [f"job-{number}" for number in range(6)]


def test_a_service_that_is_stopped_has_no_task_that_has_ended_by_itself(tmp_path: Path) -> None:
    async def work(backend: StandaloneBackend) -> StandaloneBackend:
        return backend

    assert with_backend(tmp_path, work).tasks.problem == ""
