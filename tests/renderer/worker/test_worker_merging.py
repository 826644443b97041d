"""The merge's pod: what is missing, what an earlier try left, what goes in the end."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ecg_api.failures import RULES, FailureCode
from ecg_api.pods import CleanReport, FailureReport, MergeReport, SegmentReport
from ecg_api.renderjob import parse_render_job
from ecg_renderer.errors import PiecesGone, StorageError
from ecg_renderer.media.merge import MergeResult
from ecg_renderer.storage.work_store import FolderWorkStore, open_work_store
from ecg_renderer.worker import merge as merging
from ecg_renderer.worker.live import Live
from ecg_renderer.worker.merge import MERGED, merge_job
from ecg_renderer.worker.pod import Assignment
from s3 import Bucket
from worker_pods import PodEnd, Pods


def merged(end: PodEnd) -> MergeReport:
    assert end.code == 0, end.log
    assert isinstance(end.report, MergeReport)
    return end.report


def in_process(pods: Pods, announce: Callable[[MergeReport], None] = lambda report: None) -> MergeReport:
    """Merge within this process."""
    assignment = Assignment(parse_render_job(pods.job), pods.folder, pods.work_uri, f"{pods.work_uri}/cells")
    return asyncio.run(merge_job(assignment, Live(lambda line: None), announce))


def test_a_segment_that_is_missing_is_named_and_another_try_may_work(ready: Pods) -> None:
    name = f"{ready.plan['cells'][1]['key']}-x264.mp4"
    (ready.work / "cells" / name).unlink()
    end = ready.run("merge")
    assert isinstance(end.report, FailureReport)
    failure = end.report.failure
    assert [end.code, failure.code, failure.retryable] == [96, FailureCode.RENDER_ERROR, True]
    assert failure.segment == 1 and end.report.plan_again
    assert f"The pieces 1 of 3 are not in the store, or were damaged: {name} is the first." in failure.message
    assert not (ready.folder / "out").exists()
    assert (ready.work / "plan.json").exists(), "what is there stays for the next try"


def test_the_output_gets_its_public_address(ready: Pods) -> None:
    ready.job["spec"]["output"]["publicBaseUrl"] = "https://videos.example/captioned/"
    assert merged(ready.run("merge")).output.url == "https://videos.example/captioned/captioned.mp4"


def test_an_output_without_a_report_of_it_is_made_again(ready: Pods) -> None:
    """As after a pod that was killed between the two."""
    (ready.folder / "out").mkdir()
    (ready.folder / "out/captioned.mp4").write_text("from an earlier try")
    report = merged(ready.run("merge"))
    assert (ready.folder / "out/captioned.mp4").stat().st_size == report.output.size_bytes > 1000


def test_a_try_after_one_that_was_killed_while_it_removed_work_files_recognises_the_output(
    ready: Pods, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    clean = FolderWorkStore.clean

    def killed_after(store: FolderWorkStore, keep: str = "") -> int:
        clean(store, keep)
        raise Killed

    announced: list[MergeReport] = []
    with monkeypatch.context() as patch:
        patch.setattr(FolderWorkStore, "clean", killed_after)
        with pytest.raises(Killed):
            in_process(ready, announced.append)
    assert [path.name for path in ready.work.rglob("*") if path.is_file()] == [MERGED]
    note = (ready.work / MERGED).read_bytes()
    only = ready.segment(0, "0").report  # of a job with one segment, whose pod merges
    assert isinstance(only, SegmentReport) and only.reused
    assert [only.merged, only.frames, ready.work.exists()] == [announced[0], 75, False]
    open_work_store(ready.work_uri).put(MERGED, note)
    end = ready.run("merge")
    assert [merged(end)] == announced
    assert "An earlier try has finished the output already." in end.log
    assert not ready.work.exists()
    # As after a report that nobody has seen: a new plan finds what is in storage.
    with pytest.raises(PiecesGone, match="There is no plan"):
        in_process(ready)


def test_work_files_that_cannot_be_removed_are_a_warning(ready: Pods, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(store: FolderWorkStore, keep: str = "") -> int:
        raise StorageError("Cannot remove /work: permission is denied.")

    monkeypatch.setattr(FolderWorkStore, "clean", refuse)
    assert in_process(ready).warnings == ["Work files are left behind: Cannot remove /work: permission is denied."]
    assert (ready.folder / "out/captioned.mp4").exists()


def test_what_is_said_of_a_rendition_is_in_the_report_too(ready: Pods, monkeypatch: pytest.MonkeyPatch) -> None:
    words = iter([("said of both", "of the video"), ("said of both", "of the rendition")])

    async def saying(*cells: Any, **more: Any) -> MergeResult:
        return replace(await join(*cells, **more), warnings=next(words))

    join = merging.merge
    monkeypatch.setattr(merging, "merge", saying)
    for name in ("plan", "scenario", "encoder"):  # of the same size
        shutil.copy(ready.work / f"{name}.json", ready.work / f"{name}-1.json")
    ready.job["spec"]["renditions"] = [{"uri": "out/again.mp4"}]
    report = in_process(ready)
    assert [output.failure for output in report.outputs] == [None, None]
    assert report.warnings == ["said of both", "of the video", "of the rendition"]


def test_an_output_that_cannot_be_written_fails_the_merge_and_keeps_the_cells(ready: Pods) -> None:
    (ready.folder / "out").write_text("not a folder")
    end = ready.run("merge")
    assert end.code == RULES[FailureCode.STORAGE_ACCESS_ERROR].exit_code, end.log
    assert len(list(ready.work.glob("cells/*.mp4"))) == 3


def test_cleaning_removes_the_work_files_and_nothing_there_is_success(ready: Pods) -> None:
    (ready.folder / "beside").mkdir()
    for files in (7, 0):  # plan, scenario, encoder, three cells, what was found out about the source
        end = ready.run("clean")
        assert end.code == 0, end.log
        assert end.report == CleanReport(files=files)
        assert not ready.work.exists()
    assert (ready.folder / "beside").exists()


def test_a_merge_without_any_segment_says_so(planned: Pods) -> None:
    end = planned.run("merge")
    assert end.code == RULES[FailureCode.RENDER_ERROR].exit_code
    assert "The pieces 0-2 of 3 are not in the store" in end.log


@pytest.mark.parametrize("kind", ["folder", "s3"])
def test_cleaning_can_keep_one_note(kind: str, bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in bucket.server.environment().items():
        monkeypatch.setenv(name, value)
    store = open_work_store(bucket.uri("work") if kind == "s3" else tmp_path.as_uri() + "/work")
    names = ("encoder.json", MERGED, "plan.json", "cells/a.mp4")
    for name in names:
        store.put(name, b"{}")
    assert store.clean(keep=MERGED) == 3
    assert [name for name in names if store.exists(name)] == [MERGED]
    assert [store.clean(), store.clean()] == [1, 0]
