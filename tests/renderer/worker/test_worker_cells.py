"""Pods keep what they have finished: another try, another job and another edit take it from there."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import pytest

import clips
from command_line import SECONDS, scenario
from ecg_api.pods import MergeReport, PlanReport, SegmentReport
from s3 import Bucket
from worker_pods import Json, PodEnd, Pods, job_of, moving_captions, put_video


def planned(end: PodEnd) -> PlanReport:
    assert end.code == 0, end.log
    assert isinstance(end.report, PlanReport)
    return end.report


def rendered(end: PodEnd) -> SegmentReport:
    assert end.code == 0, end.log
    assert isinstance(end.report, SegmentReport)
    return end.report


def merged(end: PodEnd) -> MergeReport:
    assert end.code == 0, end.log
    assert isinstance(end.report, MergeReport)
    return end.report


def share(pods: Pods, folder: Path) -> Path:
    """Let the pods keep cells where other jobs find them; return that folder."""
    pods.environment["ECG_CELLS_URI"] = (folder / "shared").as_uri()
    return folder / "shared"


def another_job(pods: Pods, folder: Path, captions: Json) -> Pods:
    """Return the pods of a second job over the same video, with work files of its own."""
    job = job_of(folder, captions, output={"uri": (folder / "out/second.mp4").as_uri()})
    job["metadata"] |= {"name": "second", "uid": "77aa"}
    (folder / "second").mkdir(exist_ok=True)
    return Pods(folder / "second", job, environment=dict(pods.environment))


@pytest.fixture(scope="module")
def first_job(tmp_path_factory: pytest.TempPathFactory, plan_made_once: Path) -> Path:
    """A folder in which a job has come to its end: its output, and the cells that others may take."""
    folder = put_video(tmp_path_factory.mktemp("first"))
    pods = Pods(folder, job_of(folder, moving_captions()))
    cells = share(pods, folder)
    shutil.copytree(plan_made_once, pods.work)
    for index in range(3):
        rendered(pods.segment(index))
    merged(pods.run("merge"))
    assert len(list(cells.glob("*.mp4"))) == 3, "a merge leaves what the namespace shares"
    return folder


@pytest.fixture
def cells(pods: Pods, folder: Path, first_job: Path) -> Path:
    """The cells of the first job, shared with the pods of this test's."""
    for name in ("shared", "out"):
        shutil.copytree(first_job / name, folder / name)
    return share(pods, folder)


def test_a_job_takes_from_another_of_its_namespace_what_both_show(
    pods: Pods, folder: Path, captions: Json, cells: Path
) -> None:
    captions["cues"][1]["root"]["children"][0]["text"] = "changed"
    second = another_job(pods, folder, captions)

    plan = planned(second.run("plan"))

    # The second of three words stands from 1 to 1.9 s, in the second of three cells.
    assert (plan.segments, plan.plan.cells, plan.plan.cells_reused) == (1, 3, 2)
    assert [cell["reused"] for cell in second.plan["cells"]] == [True, False, True]
    report = rendered(second.segment(0))
    assert (report.frames, report.metrics.frames_processed) == (25, 25)
    assert report.merged
    assert len(clips.frames(folder / "out/second.mp4")) == 75
    assert len(list(cells.glob("*.mp4"))) == 4
    assert not second.work.exists()


@pytest.mark.usefixtures("cells")
def test_a_plan_with_nothing_missing_has_no_segment_and_only_a_merge(pods: Pods, folder: Path, captions: Json) -> None:
    second = another_job(pods, folder, captions)

    plan = planned(second.run("plan"))

    assert (plan.segments, plan.plan.cells_reused, second.plan["segments"]) == (0, 3, [])
    assert merged(second.run("merge")).output.frames == 75
    ours, theirs = (clips.read_counters(folder / f"out/{name}.mp4") for name in ("captioned", "second"))
    assert ours == theirs
    assert [numbers.source for numbers in ours] == list(range(75))


def test_who_asks_for_no_reuse_takes_nothing_and_shares_nothing(
    pods: Pods, folder: Path, captions: Json, cells: Path
) -> None:
    before = {path.name: path.stat().st_mtime_ns for path in cells.glob("*.mp4")}
    second = another_job(pods, folder, captions)
    second.job["spec"]["reuse"] = False

    plan = planned(second.run("plan"))

    assert (plan.segments, plan.plan.cells_reused) == (3, 0)
    assert rendered(second.segment(0)).reused is False
    assert len(list(second.work.glob("cells/*.mp4"))) == 1, "its own tries go on from its own cells"
    assert rendered(second.segment(0)).reused is True
    assert {path.name: path.stat().st_mtime_ns for path in cells.glob("*.mp4")} == before


def test_the_only_segment_of_a_job_is_merged_by_its_pod(pods: Pods, folder: Path) -> None:
    pods.job["spec"]["segments"] = {"max": 1, "targetSeconds": 1}
    assert planned(pods.run("plan")).segments == 1

    report = rendered(pods.segment(0))

    assert report.merged
    assert report.merged.output.frames == report.frames == 75
    assert report.merged.output.uri == (folder / "out/captioned.mp4").as_uri()
    assert report.merged.output.size_bytes == (folder / "out/captioned.mp4").stat().st_size
    assert len(clips.frames(folder / "out/captioned.mp4")) == 75
    assert not pods.work.exists()
    assert list(pods.scratch.iterdir()) == []


def test_a_segment_whose_cells_are_there_is_merged_all_the_same(pods: Pods, folder: Path) -> None:
    """As after a pod that was killed between its last cell and the output."""
    pods.job["spec"]["segments"] = {"max": 1, "targetSeconds": 1}
    planned(pods.run("plan"))
    shutil.copytree(pods.work, folder / "kept")
    rendered(pods.segment(0))
    first = (folder / "out/captioned.mp4").read_bytes()
    shutil.copytree(folder / "kept", pods.work)

    again = rendered(pods.segment(0))

    assert again.merged
    assert (folder / "out/captioned.mp4").stat().st_size == pytest.approx(len(first), rel=0.01)


@pytest.fixture
def long(folder: Path) -> Pods:
    """The pods of a job of one segment with ten cells, each of which takes a while."""
    clip = clips.Clip(frames=250, rate="25", width=640, height=360)
    shutil.copy2(clips.counter(clip), folder / "video.mp4")
    captions = scenario(*"abcdefghij", seconds=10, plugin="elastic")
    job = job_of(folder, captions, options={"preset": "slow"}, segments={"max": 1, "targetSeconds": 1})
    pods = Pods(folder, job)
    assert len(planned(pods.run("plan")).plan.warnings) == 0
    assert len(pods.plan["cells"]) == 10
    return pods


def kill_after(pods: Pods, cells: int) -> None:
    """Start the segment's pod, and kill it when so many cells are in the store."""
    slow = str(clips.slow_ffmpeg(pods.folder, 0.6))  # the rest of the cells is not there before it is killed
    with pods.started("segment", **pods.round(0), ECG_FFMPEG=slow) as pod:
        deadline = time.monotonic() + SECONDS
        while len(list(pods.work.glob("cells/*.mp4"))) < cells:
            assert pod.poll() is None, pod.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        pod.kill()


def test_a_pod_that_is_killed_again_and_again_renders_no_stored_cell_twice(long: Pods) -> None:
    written: dict[str, int] = {}
    for cells in (2, 5):
        kill_after(long, cells)
        now = {path.name: path.stat().st_ino for path in long.work.glob("cells/*.mp4")}
        assert {name: now[name] for name in written} == written, "a stored cell was written anew"
        written = now

    report = rendered(long.segment(0))

    assert report.metrics.frames_processed == 250 - 25 * len(written) < 150
    assert report.frames == 250
    numbers = clips.read_counters(long.folder / "out/captioned.mp4")
    assert [number.source for number in numbers] == list(range(250))


def test_an_encoder_is_followed_that_made_half_of_the_cells_and_one_that_made_fewer_is_not(
    pods: Pods, folder: Path, captions: Json, cells: Path
) -> None:
    planned(pods.run("plan"))
    names = [cell["key"] for cell in pods.plan["cells"]]
    # As if a GPU had made them: the seal names the file, so each is sealed anew.
    for count, encoder in ((1, "x264"), (2, "nvenc")):
        shared = folder / f"shared-{count}"
        shared.mkdir()
        for key in names[:count]:
            sealed = (cells / f"{key}-x264.mp4").read_bytes()
            (shared / f"{key}-nvenc.mp4").write_bytes(renamed(sealed))
        second = another_job(pods, folder, captions)
        second.work_uri = (folder / f"work-{count}").as_uri()
        second.environment["ECG_CELLS_URI"] = shared.as_uri()

        plan = planned(second.run("plan"))

        stored = json.loads((folder / f"work-{count}/plan.json").read_text())
        assert stored["target"]["encoder"] == encoder
        assert plan.plan.cells_reused == (2 if encoder == "nvenc" else 0)
        claim = folder / f"work-{count}/encoder.json"
        assert claim.exists() == (encoder == "nvenc"), "what the first segment of all is yet to try"
        assert not claim.exists() or json.loads(claim.read_text())["encoder"] == "nvenc"


def renamed(sealed: bytes) -> bytes:
    """Return a cell of x264's as one of NVENC's: its seal, which is padded, names it otherwise."""
    return (sealed[:-4096] + sealed[-4096:].replace(b"-x264.mp4", b"-nvenc.mp4"))[: len(sealed)]


def test_cells_are_shared_in_s3_by_jobs_that_leave_nothing_else(
    pods: Pods, folder: Path, captions: Json, bucket: Bucket
) -> None:
    environment = {**bucket.server.environment(), "ECG_CELLS_URI": bucket.uri("work/videos/cells")}
    reports = []
    for name in ("first", "second"):
        job = job_of(folder, captions, output={"uri": bucket.uri(f"out/{name}.mp4")}, segments={"max": 1})
        one = Pods(folder, job, bucket.uri(f"work/videos/{name}"), environment)
        reports.append(planned(one.run("plan")))
        if reports[-1].segments:
            rendered(one.segment(0, "0"))
        else:
            merged(one.run("merge"))

    assert [(report.segments, report.plan.cells_reused) for report in reports] == [(1, 0), (0, 1)]
    left = {key for key in bucket.keys if not key.startswith("work/videos/cells/")}
    assert left == {"out/first.mp4", "out/second.mp4"}
    assert len([key for key in bucket.keys if key.endswith(".mp4") and key.startswith("work/")]) == 1
    assert bucket.get("out/first.mp4") == bucket.get("out/second.mp4")
