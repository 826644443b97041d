"""What the plan pod reads, refuses and writes; all of it without a GPU and a browser."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ecg_api.failures import RULES, FailureCode
from ecg_api.pods import FailureReport, PlanReport, decode_report
from ecg_renderer.errors import RenderError
from ecg_renderer.preparation import SCENARIO_BYTES
from ecg_renderer.worker.live import Live
from ecg_renderer.worker.plan import plan_job
from ecg_renderer.worker.pod import read_assignment
from s3 import Bucket
from worker_pods import Json, PodEnd, Pods, job_of

CONFIG_MAP = {"configMapRef": {"name": "captions", "key": "scenario"}}


def planned(end: PodEnd) -> PlanReport:
    assert end.code == 0, end.log
    assert isinstance(end.report, PlanReport)
    return end.report


def mounted(folder: Path, content: bytes, **reference: str) -> Pods:
    """Return the pods of a job whose scenario is a ConfigMap's entry with this content."""
    (folder / "entry").write_bytes(content)
    job = job_of(folder, scenario={**CONFIG_MAP, **reference})
    return Pods(folder, job, environment={"ECG_SCENARIO_FILE": str(folder / "entry")})


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_a_config_map_gives_the_scenario_that_the_same_text_inline_gives(
    folder: Path, captions: Json, pack: Callable[[bytes], bytes]
) -> None:
    inline = Pods(folder, job_of(folder, captions))
    planned(inline.run("plan"))
    expected = (inline.work / "scenario.json").read_text()
    shutil.rmtree(inline.work)
    content = pack(json.dumps(captions).encode())
    pods = mounted(folder, content, sha256=hashlib.sha256(content).hexdigest())
    planned(pods.run("plan"))
    assert (pods.work / "scenario.json").read_text() == expected


@pytest.mark.parametrize(
    ("wished", "limit", "segments"),
    [({"targetSeconds": 1}, "", 3), ({"targetSeconds": 1}, "2", 2), ({"targetSeconds": 1, "max": 1}, "2", 1)],
)
def test_the_number_of_segments_stays_within_what_manifest_and_operator_allow(
    pods: Pods, wished: Json, limit: str, segments: int
) -> None:
    pods.job["spec"]["segments"] = wished
    assert planned(pods.run("plan", ECG_MOST_SEGMENTS=limit)).segments == segments


def test_a_job_that_insists_on_nvenc_is_planned_without_a_gpu(pods: Pods) -> None:
    pods.job["spec"]["options"]["encoder"] = "nvenc"
    assert planned(pods.run("plan")).segments == 3


def test_the_plan_leaves_nothing_where_the_output_goes(pods: Pods, folder: Path) -> None:
    planned(pods.run("plan"))
    assert not (folder / "out").exists()


def test_the_report_says_where_the_plan_is_and_warns_of_what_was_repaired(pods: Pods, captions: Json) -> None:
    captions["cues"][2]["root"]["displayTime"] = [2.0, 9.0]
    pods.job["spec"]["scenario"] = {"inline": captions}
    end = pods.run("plan")
    report = planned(end)
    assert report.plan.uri == f"{pods.work_uri}/plan.json"
    assert [report.plan.width, report.plan.height] == [320, 180]
    assert report.plan.warnings[: report.concerns] == [text for text in report.plan.warnings if "9 s" in text]
    for warning in report.plan.warnings:
        assert f"Warning: {warning}" in end.log
    assert report.plan.distinct_frames > 10


def spec(**changes: Any) -> Callable[[Pods], None]:
    """Change the job's spec; a nested mapping is merged."""

    def change(pods: Pods) -> None:
        for name, value in changes.items():
            old = pods.job["spec"].get(name)
            pods.job["spec"][name] = {**old, **value} if isinstance(old, dict) and name != "scenario" else value

    return change


def environment(**changes: str) -> Callable[[Pods], None]:
    return lambda pods: pods.environment.update(changes)


def entry(content: bytes, **reference: str) -> Callable[[Pods], None]:
    """Give the scenario by a mounted ConfigMap entry."""

    def change(pods: Pods) -> None:
        (pods.folder / "entry").write_bytes(content)
        pods.job["spec"]["scenario"] = {**CONFIG_MAP, **reference}
        pods.environment["ECG_SCENARIO_FILE"] = str(pods.folder / "entry")

    return change


def output_in_a_file(pods: Pods) -> None:
    (pods.folder / "out").write_text("not a folder")


def truncated_source(pods: Pods) -> None:
    with (pods.folder / "video.mp4").open("r+b") as video:
        video.truncate(2000)


SHA = "0" * 64
REFUSED: dict[str, tuple[Callable[[Pods], None], FailureCode, str]] = {
    "another sha256": (entry(b"{}", sha256=SHA), FailureCode.SCENARIO_PARSE_ERROR, "has the SHA-256 44136fa355b3678a"),
    "a ConfigMap that is not mounted": (
        spec(scenario=CONFIG_MAP),
        FailureCode.STORAGE_ACCESS_ERROR,
        "ECG_SCENARIO_FILE is not set",
    ),
    "an entry that is not there": (
        lambda pods: (entry(b"")(pods), (pods.folder / "entry").unlink())[0],
        FailureCode.STORAGE_ACCESS_ERROR,
        "ConfigMap captions, entry scenario",
    ),
    "an entry that is broken gzip": (
        entry(gzip.compress(b"{}")[:-6]),
        FailureCode.SCENARIO_PARSE_ERROR,
        "cannot be decompressed",
    ),
    "an entry that grows without end": (
        entry(gzip.compress(bytes(SCENARIO_BYTES + 1))),
        FailureCode.SCENARIO_PARSE_ERROR,
        "once decompressed",
    ),
    "a scenario that is none": (entry(b"[1, 2"), FailureCode.SCENARIO_PARSE_ERROR, "line 1"),
    "a scenario file that is not there": (
        spec(scenario={"uri": "file:///nowhere/captions.json"}),
        FailureCode.STORAGE_ACCESS_ERROR,
        "/nowhere/captions.json",
    ),
    "a source that is not there": (
        spec(source={"uri": "file:///nowhere/video.mp4"}),
        FailureCode.INVALID_VIDEO_URL,
        "/nowhere/video.mp4",
    ),
    "a source that breaks off": (truncated_source, FailureCode.INVALID_VIDEO_FORMAT, "video.mp4"),
    "an output that cannot be written": (output_in_a_file, FailureCode.STORAGE_ACCESS_ERROR, "Cannot write"),
    "work files that cannot be written": (
        lambda pods: setattr(pods, "work_uri", (pods.folder / "video.mp4/work").as_uri()),
        FailureCode.STORAGE_ACCESS_ERROR,
        "video.mp4/work",
    ),
    "nvenc for WebM": (
        spec(options={"encoder": "nvenc", "format": "webm"}),
        FailureCode.INVALID_RENDER_OPTIONS,
        "WebM holds no H.264",
    ),
    "nvenc without a GPU": (
        spec(options={"encoder": "nvenc"}, placement={"gpus": 0}),
        FailureCode.INVALID_RENDER_OPTIONS,
        "spec.placement.gpus is 0",
    ),
    "a quality out of range": (
        spec(options={"quality": 101}),
        FailureCode.INVALID_RENDER_OPTIONS,
        "ECG_RENDER_JOB: spec.options.quality",
    ),
    "a field that nobody knows": (spec(colour="red"), FailureCode.VALIDATION_ERROR, "spec.colour"),
    "no JSON": (environment(ECG_RENDER_JOB="{"), FailureCode.VALIDATION_ERROR, "ECG_RENDER_JOB is not JSON"),
    "no job": (environment(ECG_RENDER_JOB=""), FailureCode.VALIDATION_ERROR, "ECG_RENDER_JOB is not set"),
    "no place for work files": (environment(ECG_WORK_URI=""), FailureCode.VALIDATION_ERROR, "ECG_WORK_URI is not set"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_bad_input_is_refused_with_a_code_that_is_never_retried(pods: Pods, name: str) -> None:
    change, code, words = REFUSED[name]
    change(pods)
    with pytest.raises(RenderError) as refused:
        plan_in_process(pods)
    failure = refused.value.failure()
    assert [failure.code, failure.retryable] == [code, False]
    assert words in failure.message
    assert not (pods.work / "plan.json").exists()


def plan_in_process(pods: Pods) -> None:
    told = {name: value for name, value in pods.told("plan").items() if value}
    job, work = told.get("ECG_RENDER_JOB"), told.get("ECG_WORK_URI")
    entry = told.get("ECG_SCENARIO_FILE")
    assignment = read_assignment(job, None, work, None, with_scenario=True)
    asyncio.run(plan_job(assignment, Live(lambda line: None), scenario_file=Path(entry) if entry else None))


ONE_OF_EACH_CODE = {code: name for name, (_, code, _) in REFUSED.items()}


@pytest.mark.parametrize("code", ONE_OF_EACH_CODE)
def test_a_failure_ends_the_pod_with_its_exit_code_a_report_and_a_paragraph(pods: Pods, code: FailureCode) -> None:
    change, _, words = REFUSED[ONE_OF_EACH_CODE[code]]
    change(pods)
    end = pods.run("plan")
    assert isinstance(end.report, FailureReport), end.log
    assert [end.report.failure.code, end.code] == [code, RULES[code].exit_code]
    assert words in end.report.failure.message
    assert decode_report(end.out) == end.report
    assert end.log.splitlines()[-1].startswith(f"{code}: ")


def test_an_s3_that_refuses_the_output_fails_the_plan_at_once(pods: Pods, bucket: Bucket) -> None:
    pods.job["spec"]["output"] = {"uri": bucket.uri("out.mp4")}
    pods.environment |= bucket.user("s3:GetObject")
    end = pods.run("plan")
    assert end.code == RULES[FailureCode.STORAGE_ACCESS_ERROR].exit_code, end.log
    assert "access is denied" in end.log
    assert list(pods.scratch.iterdir()) == []


def test_private_addresses_of_a_job_are_refused_and_s3_at_a_private_endpoint_is_not(
    folder: Path, captions: Json, bucket: Bucket
) -> None:
    refuse = {"ECG_PRIVATE_ADDRESSES": "refuse", **bucket.server.environment()}
    inner = Pods(folder, job_of(folder, captions, source={"uri": "https://10.0.0.5/inner.mp4"}), environment=refuse)
    for name in ("10.0.0.5", "localhost"):
        inner.job["spec"]["source"]["uri"] = f"https://{name}/inner.mp4"
        ended = inner.run("plan")
        assert isinstance(ended.report, FailureReport), ended.log
        assert "is not a public address" in ended.report.failure.message, ended.report
    bucket.put("video.mp4", (folder / "video.mp4").read_bytes())
    assert "//127.0.0.1:" in bucket.server.url
    planned(
        Pods(folder, job_of(folder, captions, source={"uri": bucket.uri("video.mp4")}), environment=refuse).run("plan")
    )
