"""What every test gets: a clean environment, and a check that it leaves nothing running or lying about."""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import Callable, Coroutine, Generator, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

import clips
import ecg_renderer
import processes

SESSION = processes.open_session()
clips.folder()  # made before other processes start, which share it
HERE = Path(__file__).parent

OTHER_SETTINGS = ("BROWSER_POOL_SIZE", "MEMORY_THRESHOLD_MB", "QUEUE_MAX_SIZE")
# What goes by itself is not waited for longer than that takes; on a busy machine it may take seconds.
SECONDS_TO_END = 15.0
SECONDS_FOR_FILES = 25.0  # of a browser that another session has killed: the next one that starts clears up
SECONDS_FOR_TASKS_TO_END = 5.0


# What needs Kubernetes' own programs: by what a test is given, or where it is.
CLUSTER_FIXTURES = {"cluster", "plane"}
CLUSTER_FOLDERS = ("chart", "cluster", "controller/api", "e2e", "neighbours", "shim/cluster")
SECONDS_WITH_IMAGES = 1500  # whichever test of tests/e2e runs first builds the images


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Spare `make test` what it leaves out whole: each of its processes would load all of it."""
    return True if config.option.markexpr == "not cluster" and _in(collection_path, *CLUSTER_FOLDERS) else None


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Look for no garbage among what is collected, now or later: all of it stays."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that `make test` leaves to `make test-cluster`."""
    for item in items:
        given = CLUSTER_FIXTURES & set(getattr(item, "fixturenames", ()))
        if given or _in(item.path, *CLUSTER_FOLDERS):
            item.add_marker("cluster")
        if _in(item.path, "e2e"):
            item.add_marker(pytest.mark.timeout(SECONDS_WITH_IMAGES))


def _in(path: Path, *folders: str) -> bool:
    return f"{path}/".startswith(tuple(f"{HERE}/{folder}/" for folder in folders))


@pytest.fixture(scope="session", autouse=True)
def started_in() -> Iterator[dict[psutil.Process, str]]:
    """Map each process that outlived a test to that test; fail if one outlives the session."""
    first_seen: dict[psutil.Process, str] = {}
    files_before = processes.shared_files()
    yield first_seen

    left = processes.wait_until_gone(SESSION, SECONDS_TO_END)
    complaints = [
        f"process {processes.describe(process)}, first seen after {first_seen.get(process, 'the last test')}"
        for process in left
    ]
    processes.kill(left)
    psutil.wait_procs(left, timeout=SECONDS_TO_END)
    files = processes.abandoned_for_good(files_before, SECONDS_FOR_FILES)
    complaints += [f"file {path}" for path in sorted(files)]
    if complaints:
        pytest.fail("the tests left behind:\n  " + "\n  ".join(complaints), pytrace=False)


@pytest.fixture(autouse=True)
def watch_processes(request: pytest.FixtureRequest, started_in: dict[psutil.Process, str]) -> Iterator[None]:
    """Note after which test a process was first there, so that a leak has a name."""
    processes.begin_test()
    yield
    for process in processes.newcomers(SESSION):
        started_in.setdefault(process, request.node.nodeid)


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the settings of whoever runs the tests."""
    for name in os.environ:
        if name in OTHER_SETTINGS or (name.startswith("ECG_") and name != processes.MARKER):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def no_task_is_left(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fail a test whose event loop still runs tasks when its main coroutine is done.

    `asyncio.run` would cancel them without a word.
    """
    left: list[str] = []
    monkeypatch.setattr(asyncio, "run", _reporting(asyncio.run, left))
    yield
    assert not left, "tasks that nobody awaited: " + ", ".join(left)


def _reporting(run: Callable[..., Any], left: list[str]) -> Callable[..., Any]:
    async def watched(main: Coroutine[Any, Any, Any]) -> Any:
        try:
            return await main
        finally:
            others = asyncio.all_tasks() - {asyncio.current_task()}
            if others:
                _, pending = await asyncio.wait(others, timeout=SECONDS_FOR_TASKS_TO_END)
                left.extend(repr(task) for task in pending)

    def run_watched(main: Coroutine[Any, Any, Any], **options: Any) -> Any:
        return run(watched(main), **options)

    return run_watched


@pytest.fixture(scope="session")
def node_modules() -> Path:
    """The npm packages that the caption page loads, as `make setup` installs them."""
    folder = Path(ecg_renderer.__file__).parent / "page" / "node_modules"
    for package in ("motiontext-renderer", "gsap"):
        if not (folder / package / "package.json").is_file():
            pytest.fail(f"{folder} holds no {package}: run `make setup`", pytrace=False)
    return folder
