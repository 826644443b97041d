"""A standalone backend in a folder of its own, with the stand-in renderer; also as a program that can be killed.

python shim_standalone.py FOLDER    a service in FOLDER, until it is killed; prints `ready`
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import shim_scripted_renderer
from ecg_shim.backends.standalone import StandaloneBackend, StandaloneSettings
from ecg_shim.model import JobState, RenderOrder, RequestOptions, Submission
from shim_scripted_renderer import scripted

SECONDS = 90.0
CALLBACK = "http://127.0.0.1:1/api/render/callback"


def settings(folder: Path, **changes: Any) -> StandaloneSettings:
    """Return settings for the stand-in renderer, with short waits."""
    values: dict[str, Any] = {
        "folder": folder / "data",
        "command": shim_scripted_renderer.COMMAND,
        "environment": {shim_scripted_renderer.LOG: str(folder / "script.log")},
        "max_concurrent": 2,
        "retry_seconds": 0.1,
        "stop_seconds": 1.0,
    }
    return StandaloneSettings(**{**values, **changes})


def order(job_id: str, *steps: list[Any], callback_url: str = CALLBACK, **options: Any) -> RenderOrder:
    """Return an order whose renderer takes `steps`."""
    scenario = scripted(*steps)
    return RenderOrder(
        job_id=job_id,
        video_url="/videos/a.mp4",
        scenario=scenario,
        options=RequestOptions(**options),
        callback_url=callback_url,
        payload_hash=hashlib.sha256(scenario).hexdigest(),
    )


def submission(job_id: str, payload_hash: str = "0" * 64, callback_url: str = CALLBACK) -> Submission:
    """Return a submission that cannot be rendered."""
    return Submission(job_id, None, b"{}", {}, callback_url, payload_hash)


async def until(
    backend: StandaloneBackend, job_id: str, done: Callable[[JobState], bool], seconds: float = SECONDS
) -> JobState:
    """Wait until a job is as `done` wants it."""
    deadline = time.monotonic() + seconds
    while True:
        state = await backend.get(job_id)
        if state and done(state):
            return state
        assert time.monotonic() < deadline, f"{job_id} is still {state}"
        await asyncio.sleep(0.02)


async def ended(backend: StandaloneBackend, job_id: str, seconds: float = SECONDS) -> JobState:
    """Wait until a job has ended."""
    return await until(backend, job_id, lambda state: state.status.terminal, seconds)


async def eventually(check: Callable[[], bool], seconds: float = SECONDS) -> None:
    """Wait until `check` holds."""
    deadline = time.monotonic() + seconds
    while not await asyncio.to_thread(check):
        assert time.monotonic() < deadline, "it never came to that"
        await asyncio.sleep(0.02)


def with_backend(
    folder: Path, work: Callable[[StandaloneBackend], Awaitable[Any]], admit: Any = None, **changes: Any
) -> Any:
    """Run `work` with a backend in `folder`; return its result."""

    async def run() -> Any:
        async with StandaloneBackend(settings(folder, **changes), admit).running() as backend:
            return await work(backend)

    return asyncio.run(run())


def rows(folder: Path, query: str = "SELECT * FROM jobs ORDER BY seq") -> list[dict[str, Any]]:
    """Return rows of the queue, read from outside of the service."""
    connection = sqlite3.connect(f"file:{folder / 'data' / 'jobs.sqlite'}?mode=ro", uri=True)
    try:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute(query)]
    finally:
        connection.close()


def start_service(folder: Path) -> subprocess.Popen[str]:
    """Start this module as a program, and return when the backend works."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}
    service = subprocess.Popen(
        [sys.executable, __file__, str(folder)], env=environment, stdout=subprocess.PIPE, text=True
    )
    assert service.stdout
    assert service.stdout.readline() == "ready\n"
    return service


async def _serve(folder: Path) -> None:
    async with StandaloneBackend(settings(folder)).running():
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await asyncio.sleep(3600)


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1])))
