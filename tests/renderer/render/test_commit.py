"""The output gets its final name in a thread of its own: the run hears what happens meanwhile, and can be cancelled."""

from __future__ import annotations

import asyncio
import threading
from fractions import Fraction
from pathlib import Path

import pytest

from captions import frame_numbers, render_job
from clips import Clip, counter
from ecg_api.rendering import RenderResult
from ecg_renderer.request import RunRequest
from ecg_renderer.storage.base import TransferProgress
from ecg_renderer.storage.local import OutputFile
from renders import SETTINGS, run

FRAMES = 15
NAME = "out.mp4"
PATIENCE = 60.0


class SlowCommit:
    """The output's commit stops before it begins, until it may go on; those of cells do not."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun = threading.Event()
        self.may_go_on = threading.Event()
        self.failures: list[BaseException] = []
        commit = OutputFile.commit

        def slow(output: OutputFile, progress: TransferProgress | None = None) -> str:
            if output.destination.name != NAME:
                return commit(output, progress)
            self.begun.set()
            assert self.may_go_on.wait(PATIENCE)
            try:
                return commit(output, progress)
            except BaseException as failure:
                self.failures.append(failure)
                raise

        monkeypatch.setattr(OutputFile, "commit", slow)

    async def reached(self) -> None:
        assert await asyncio.to_thread(self.begun.wait, PATIENCE)


@pytest.fixture
def slow_commit(monkeypatch: pytest.MonkeyPatch) -> SlowCommit:
    return SlowCommit(monkeypatch)


@pytest.fixture
def order(tmp_path: Path) -> RunRequest:
    source = counter(Clip(rate="30", frames=FRAMES))
    job = render_job(source, frame_numbers(Fraction(30), FRAMES), tmp_path / "out" / NAME)
    return RunRequest(job, tmp_path, SETTINGS, cells=tmp_path / "cells")


def test_the_run_goes_on_hearing_while_the_output_is_committed(order: RunRequest, slow_commit: SlowCommit) -> None:
    async def commit_slowly() -> RenderResult:
        running = asyncio.create_task(run(order))
        await slow_commit.reached()
        slow_commit.may_go_on.set()  # by the event loop: were it blocked, nobody would
        return await running

    result = asyncio.run(commit_slowly())

    assert Path(result.output).stat().st_size == result.size_bytes


def test_a_run_that_is_cancelled_while_it_commits_leaves_no_output(
    order: RunRequest, slow_commit: SlowCommit, tmp_path: Path
) -> None:
    async def cancel() -> None:
        running = asyncio.create_task(run(order))
        await slow_commit.reached()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        slow_commit.may_go_on.set()

    asyncio.run(cancel())

    assert len(slow_commit.failures) == 1
    assert not (tmp_path / "out").exists()
