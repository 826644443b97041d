"""Parts that decide and count: estimates, what renderers say, what GPUs say, what a database says when it is asked."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from ecg_api.rendering import MessageLine, ProgressLine, RenderResult
from ecg_shim.backends.standalone import StandaloneBackend, StandaloneSettings
from ecg_shim.backends.standalone.health import Gpu, read_gpus
from ecg_shim.backends.standalone.process import message_of, metrics_of, read_line, read_result, share_of
from ecg_shim.database import Database
from ecg_shim.model import JobStatus, Unavailable
from ecg_shim.snapshot import FIRST_GUESS_SECONDS, starts_in, typical_seconds
from shim_scripted_renderer import go_on
from shim_standalone import ended, order, until, with_backend

STARTS: dict[str, tuple[list[float], int, int, list[int]]] = {
    "nothing runs": ([], 0, 3, [0]),
    "a place is free": ([50.0], 0, 2, [0]),
    "the next free place": ([50.0, 20.0], 0, 2, [20]),
    "behind others": ([50.0, 20.0], 2, 2, [20, 30, 40]),
    "more wait than there are places": ([], 4, 2, [0, 0, 10, 10, 20]),
    "parts of seconds": ([0.2], 0, 1, [1]),
}


@pytest.mark.parametrize(("remaining", "waiting", "slots", "starts"), STARTS.values(), ids=STARTS)
def test_when_waiting_jobs_start(remaining: list[float], waiting: int, slots: int, starts: list[int]) -> None:
    assert starts_in(remaining, waiting, slots, 10.0) == starts


def test_a_render_probably_takes_as_long_as_the_last_ones_did() -> None:
    assert typical_seconds([]) == FIRST_GUESS_SECONDS
    assert typical_seconds([3.0, 1.0, 2.0]) == 2.0
    assert typical_seconds([*([100.0] * 30), *([5.0] * 20)]) == 5.0


def test_measured_times_make_estimates_also_after_a_restart(tmp_path: Path) -> None:
    async def measure(backend: StandaloneBackend) -> None:
        assert (await backend.queue()).wait_seconds == 0
        first = await backend.submit(order("a", ["sleep", 1], ["result"]))
        assert first.eta_seconds == FIRST_GUESS_SECONDS
        await ended(backend, "a")

    async def estimate(backend: StandaloneBackend) -> None:
        for name in ("b", "c", "d"):
            await backend.submit(order(name, ["until"], ["result"]))
        await until(backend, "b", lambda state: state.status is JobStatus.PROCESSING)
        await asyncio.sleep(1)
        last = await backend.get("d")
        assert last
        assert last.eta_seconds is not None
        assert 2 <= last.eta_seconds < FIRST_GUESS_SECONDS
        assert 2 <= (await backend.queue()).wait_seconds < FIRST_GUESS_SECONDS
        go_on(tmp_path / "script.log")

    with_backend(tmp_path, measure)
    with_backend(tmp_path, estimate, max_concurrent=1)


SHARES = {
    "planning": ({"stage": "planning"}, 1),
    "starting": ({"stage": "starting"}, 10),
    "the first frame": ({"stage": "rendering", "percent": 0}, 20),
    "half of the frames": ({"stage": "rendering", "percent": 50}, 50),
    "all frames": ({"stage": "rendering", "percent": 100}, 80),
    "more than all": ({"stage": "rendering", "percent": 1000}, 80),
    "merging": ({"stage": "merging"}, 80),
    "a stage of a newer renderer": ({"stage": "polishing"}, 1),
}


@pytest.mark.parametrize(("said", "share"), SHARES.values(), ids=SHARES)
def test_the_share_of_a_job_that_is_done(said: dict[str, Any], share: int) -> None:
    told = read_line(json.dumps({"event": "progress", "more": "fields", **said}))
    assert isinstance(told, ProgressLine)
    assert share_of(told) == share
    assert message_of(told)


def test_lines_are_told_apart() -> None:
    assert read_line('{"event": "warning", "text": "Slow."}') == MessageLine(event="warning", text="Slow.")
    assert read_line("  plain \n") == "plain"
    assert read_line("") is None
    for line in ('{"event": "progress"}', '{"event": "progress", "stage": [1]}', "{" * 9999, "{}", '{"event": 3}'):
        assert read_line(line) == line


RESULT = {"output": "/a.mp4", "frames": 10, "durationSeconds": 1.5, "sizeBytes": 7}


def test_results_of_newer_renderers_are_read_and_nonsense_is_not() -> None:
    said = read_result(json.dumps({**RESULT, "framesDropped": 1, "new": {}}).encode())
    assert isinstance(said, RenderResult)
    assert metrics_of(said).drop_rate == 0.1
    for nonsense in (b"", b"null", b"[]", b"{}", b'{"failure": 3}', b'{"frames": NaN}', b"\xff", b"[" * 99_999):
        assert read_result(nonsense) is None


def test_gpus_are_read_from_the_drivers_table() -> None:
    table = "0, NVIDIA L4, 23034, 1024, 22010\n1, Tesla T4, 15360, 0, 15360\nNo devices were found\n2, x, [N/A], 0, 0\n"
    assert read_gpus(table) == [
        Gpu(0, "NVIDIA L4", 23034, 1024, 22010),
        Gpu(1, "Tesla T4", 15360, 0, 15360),
    ]


def test_health_has_the_blocks_that_clients_know_and_waits_for_no_driver(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = tmp_path / "nvidia-smi"
    driver.write_text("#!/bin/sh\nexec sleep 3600\n")
    driver.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    async def work(backend: StandaloneBackend) -> None:
        await backend.submit(order("a", ["result"]))
        await ended(backend, "a")
        while backend.health()["streaming"]["pipeline_active"]:  # noqa: ASYNC110 - over just after the job
            await asyncio.sleep(0.02)
        health = backend.health()
        assert (health["healthy"], health["problems"]) == (True, [])
        assert health["available_memory"].endswith("GB")
        assert health["streaming"] == {
            "pipeline_active": False,
            "total_frames_processed": 100,
            "total_frames_dropped": 3,
            "average_drop_rate": 0.03,
        }
        assert set(health["memory"]) == {"process_mb", "system_available_gb", "gpu_available_gb"}
        assert health["gpu_count"] == len(health["gpu"])

    with_backend(tmp_path, work)


def test_fifty_posts_at_once_are_answered_without_waiting_for_renders(tmp_path: Path) -> None:
    async def work(backend: StandaloneBackend) -> None:
        filler = ["say", "x" * 1_000_000]
        orders = [order(f"job-{number}", filler, ["sleep", 60]) for number in range(50)]
        await asyncio.gather(*(backend.submit(one) for one in orders))
        queue = await backend.queue()
        assert queue.pending + queue.processing == 50, "none has ended"
        await backend.clear()

    with_backend(tmp_path, work)


def test_a_transaction_that_fails_changes_nothing(tmp_path: Path) -> None:
    def half(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO t VALUES (1)")
        connection.execute("INSERT INTO nowhere VALUES (1)")

    def count(connection: sqlite3.Connection) -> int:
        return int(connection.execute("SELECT COUNT(*) FROM t").fetchone()[0])

    async def work() -> None:
        database = Database(tmp_path / "t.sqlite", ("CREATE TABLE t (a)",))
        await database.open()
        with pytest.raises(Unavailable, match="no such table"):
            await database.call(half)
        assert "no such table" in database.problem
        assert await database.call(count) == 0
        assert not database.problem
        await database.close()

    asyncio.run(work())


def test_a_schema_is_brought_up_to_date_step_by_step(tmp_path: Path) -> None:
    async def opened(*steps: str) -> list[str]:
        database = Database(tmp_path / "t.sqlite", steps)
        await database.open()
        rows = await database.call(lambda connection: connection.execute("SELECT * FROM t").fetchall())
        await database.close()
        return [str(tuple(row)) for row in rows]

    first, second = "CREATE TABLE t (a); INSERT INTO t VALUES (1)", "ALTER TABLE t ADD COLUMN b DEFAULT 2"
    assert asyncio.run(opened(first)) == ["(1,)"]
    assert asyncio.run(opened(first, second)) == ["(1, 2)"]
    assert asyncio.run(opened(first, second)) == ["(1, 2)"]


def test_the_default_renderer_is_the_one_that_is_installed_beside_the_service() -> None:
    assert StandaloneSettings(Path("x")).command[1:] == ("-m", "ecg_renderer")
