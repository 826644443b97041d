"""A segment's pod: which encoder it takes, what it uses again, what it refuses."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ecg_api.failures import RULES, FailureCode
from ecg_api.options import Options
from ecg_api.pods import FailureReport, SegmentReport
from ecg_api.status import RenderMetrics
from ecg_renderer.errors import GpuUnavailable, PiecesGone, StorageError
from ecg_renderer.media.codecs import Codec
from ecg_renderer.media.encoder import EncoderChoice
from ecg_renderer.storage.work_store import FolderWorkStore
from ecg_renderer.worker import work as work_files
from ecg_renderer.worker.work import Work
from worker_pods import PodEnd, Pods

NVENC = json.dumps({"encoder": "nvenc", "reason": "a test encode on this GPU worked"}).encode()


def rendered(end: PodEnd) -> SegmentReport:
    assert end.code == 0, end.log
    assert isinstance(end.report, SegmentReport)
    return end.report


def failed(end: PodEnd, code: FailureCode) -> FailureReport:
    assert end.code == RULES[code].exit_code, end.log
    assert isinstance(end.report, FailureReport)
    assert end.report.failure.code == code
    return end.report


def test_a_segment_that_is_there_is_not_rendered_again(planned: Pods) -> None:
    first = rendered(planned.segment(0))
    again = rendered(planned.segment(0))
    assert again == first.model_copy(update={"reused": True, "metrics": RenderMetrics()})


@pytest.mark.parametrize(
    "spoil",
    [
        lambda file: file.unlink(),
        lambda file: file.write_bytes(file.read_bytes()[:-1]),
        lambda file: file.write_bytes(b"{"),
        lambda file: file.write_bytes(file.read_bytes().replace(b'"frames": 25', b'"frames": 24')),
    ],
    ids=["no file", "one that broke off", "another file", "another number of frames"],
)
def test_a_cell_that_does_not_fit_is_rendered_again(planned: Pods, spoil: Callable[[Path], object]) -> None:
    first = rendered(planned.segment(0))
    (file,) = planned.work.glob("cells/*.mp4")
    content = file.read_bytes()
    spoil(file)
    again = rendered(planned.segment(0))
    assert (again.frames, again.reused) == (first.frames, False)
    assert file.read_bytes() == content


def test_a_round_renders_the_segments_that_it_lists(planned: Pods) -> None:
    assert [rendered(planned.segment(index, "0,2")).segment for index in (0, 1)] == [0, 2]


def test_the_first_pod_claims_the_encoder_and_the_others_follow(planned: Pods) -> None:
    rendered(planned.segment(0))
    claimed = json.loads((planned.work / "encoder.json").read_text())
    assert claimed["encoder"] == "x264"
    (planned.work / "encoder.json").write_text(json.dumps({**claimed, "reason": "said by the first"}))
    assert rendered(planned.segment(1)).encoder_reason == "said by the first"


def test_a_node_that_cannot_do_the_claimed_encoder_leaves_it_to_another(planned: Pods) -> None:
    (planned.work / "encoder.json").write_bytes(NVENC)
    failure = failed(planned.segment(1), FailureCode.GPU_NOT_AVAILABLE).failure
    assert [failure.segment, failure.retryable] == [1, True]
    assert "does not work on this node: no NVIDIA device" in failure.message


def test_a_job_that_insists_on_nvenc_waits_for_a_node_that_has_it(planned: Pods) -> None:
    planned.job["spec"]["options"]["encoder"] = "nvenc"
    failed(planned.segment(0), FailureCode.GPU_NOT_AVAILABLE)
    assert not (planned.work / "encoder.json").exists(), "a later pod may still claim it"


def test_of_two_pods_that_claim_at_once_one_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both have looked and found no claim; the one that is slower has a GPU."""
    problems = iter(["no NVIDIA device", ""])

    async def problem(codec: Codec, **pictures: Any) -> str:
        return next(problems)

    async def no_claim(work: Work, _take: int = 0) -> EncoderChoice | None:
        return None

    monkeypatch.setattr(work_files, "nvenc_problem", problem)
    monkeypatch.setattr(work_files, "read_claim", no_claim)
    options = job_options()

    async def both() -> list[EncoderChoice]:
        work = Work(tmp_path.as_uri())
        return [await work_files.agree_on_encoder(work, options, bit_depth=8) for _ in range(2)]

    assert [choice.encoder for choice in asyncio.run(both())] == ["x264", "x264"]


def test_a_gpu_that_worked_is_tried_on_every_node_that_follows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    problems = iter(["", "", "the NVIDIA driver is too old for this FFmpeg"])

    async def problem(codec: Codec, **pictures: Any) -> str:
        return next(problems)

    monkeypatch.setattr(work_files, "nvenc_problem", problem)

    async def pod() -> EncoderChoice:
        return await work_files.agree_on_encoder(Work(tmp_path.as_uri()), job_options(), bit_depth=8)

    assert asyncio.run(pod()).encoder == "nvenc"
    with pytest.raises(GpuUnavailable, match="too old"):
        asyncio.run(pod())


def job_options(**options: Any) -> Options:
    return Options(**options)


@pytest.mark.parametrize(
    ("options", "bit_depth", "encoder"),
    [({"format": "webm"}, 8, "vp9"), ({"encoder": "x264"}, 8, "x264"), ({}, 10, "x264")],
    ids=["WebM", "x264 as asked", "10 bits"],
)
def test_what_the_job_alone_decides_is_claimed_without_a_try(
    options: dict[str, Any], bit_depth: int, encoder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def problem(codec: Codec, **pictures: Any) -> str:
        raise AssertionError("tried")

    monkeypatch.setattr(work_files, "nvenc_problem", problem)

    async def agreed() -> list[EncoderChoice]:
        work = Work(tmp_path.as_uri())
        return [await work_files.agree_on_encoder(work, job_options(**options), bit_depth=bit_depth) for _ in range(2)]

    assert [choice.encoder for choice in asyncio.run(agreed())] == [encoder, encoder]


def test_a_source_that_was_changed_since_the_plan_is_refused(planned: Pods, folder: Path) -> None:
    os.utime(folder / "video.mp4", (1, 1))
    failure = failed(planned.segment(2), FailureCode.INVALID_VIDEO_FORMAT).failure
    assert failure.segment == 2
    assert "was changed after the job was planned" in failure.message


def without_plan(pods: Pods) -> None:
    (pods.work / "plan.json").unlink()


def of_another_version(pods: Pods) -> None:
    plan = pods.plan
    del plan["target"]
    (pods.work / "plan.json").write_text(json.dumps(plan))


@pytest.mark.parametrize(
    ("spoil", "words"), [(without_plan, "no plan.json"), (of_another_version, "plan.json cannot be understood")]
)
def test_a_plan_that_is_missing_or_of_another_release_is_made_again(planned: Pods, spoil: Any, words: str) -> None:
    spoil(planned)
    report = failed(planned.segment(0, "0-2"), FailureCode.RENDER_ERROR)
    assert words in report.failure.message
    assert report.plan_again


def test_a_plugin_that_is_gone_costs_a_new_plan_and_another_one_is_refused(tmp_path: Path) -> None:
    store, digest = FolderWorkStore(tmp_path), "0" * 64
    with pytest.raises(PiecesGone, match=f"There is no plugins/{digest}"):
        work_files._get_plugin_file(digest, store)
    work_files._put_plugin_file(digest, b"other", store)
    with pytest.raises(StorageError, match="Another file is there than the planned"):
        work_files._get_plugin_file(digest, store)


def test_a_segment_that_the_plan_does_not_have_is_refused(planned: Pods) -> None:
    assert "no segment 7" in failed(planned.segment(0, "7"), FailureCode.VALIDATION_ERROR).failure.message


def test_a_pod_without_a_home_keeps_its_caches_in_scratch(planned: Pods) -> None:
    # Nobody, root neither, can make folders in /proc. The check of the capture is on: its verdict wants to be kept.
    homeless = {"HOME": "/proc/nobody", "XDG_CACHE_HOME": "", "ECG_SELFCHECK": "cached"}
    report = rendered(planned.segment(0, **homeless))
    assert report.frames == planned.plan["segments"][0]["end"]
    assert list(planned.scratch.iterdir()) == []
