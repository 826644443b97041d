"""What a pod is told, and what it says: pure, apart from a file and a port."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest

from command_line import ecg_render
from ecg_api.pods import MergeReport, PodProgress, decode_report
from ecg_api.status import OutputStatus
from ecg_renderer.errors import ManifestError
from ecg_renderer.metering import ProgressReport, Stage
from ecg_renderer.worker.live import Live, progress_line, served
from ecg_renderer.worker.pod import (
    leave_report,
    printed,
    read_assignment,
    read_work_uri,
    segment_number,
    termination_log,
)

SIGNED = "https://bucket.example/out.mp4?X-Amz-Signature=abc"


@pytest.mark.parametrize(
    ("segments", "index", "number"),
    [("0-7", 5, 5), ("0-1,4,6-7", 3, 6), ("7,2", 0, 2), ("3", None, 3)],
)
def test_the_completion_index_counts_within_the_round(segments: str, index: int | None, number: int) -> None:
    assert segment_number(segments, index) == number


@pytest.mark.parametrize(
    ("segments", "index", "said"),
    [
        (None, 0, "ECG_SEGMENTS is not set"),
        ("a-b", 0, "no list of segments"),
        ("0-3", None, "JOB_COMPLETION_INDEX is not set"),
        ("0-3", 4, "lists 4 segments"),
        ("0-3", -1, "lists 4 segments"),
    ],
)
def test_a_round_that_makes_no_sense_is_refused(segments: str | None, index: int | None, said: str) -> None:
    with pytest.raises(ManifestError, match=said):
        segment_number(segments, index)


@pytest.mark.parametrize(
    ("given", "uri"),
    [("s3://bucket/a", "s3://bucket/a"), ("/a folder/b", "file:///a%20folder/b"), ("file:///x", "file:///x")],
)
def test_a_path_for_work_files_becomes_an_address(given: str, uri: str) -> None:
    assert read_work_uri(given) == uri


def render_job(**spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "render.ecg.dev/v1alpha1",
        "kind": "RenderJob",
        "metadata": {"name": "clip"},
        "spec": {"source": {"uri": "a.mp4"}, "output": {"uri": "b.mp4"}, **spec},
    }


@pytest.mark.parametrize("spec", [{}, {"scenario": {}}, {"scenario": {"uri": "gone.json"}}, {"scenario": None}])
def test_a_pod_that_is_not_the_plans_needs_no_scenario(spec: dict[str, Any]) -> None:
    assignment = read_assignment(json.dumps(render_job(**spec)), None, "/work", None, with_scenario=False)
    assert assignment.job.spec.source.uri == "a.mp4"


def test_the_plan_pod_needs_a_scenario() -> None:
    with pytest.raises(ManifestError, match=r"ECG_RENDER_JOB: spec\.scenario"):
        read_assignment(json.dumps(render_job()), None, "/work", None, with_scenario=True)


HELP = {
    "": ("ECG_RENDER_JOB", "AWS_ENDPOINT_URL", "TMPDIR", "143", "one line of JSON", "Examples"),
    "plan": ("ECG_WORK_URI", "ECG_SCENARIO_FILE", "ECG_MOST_SEGMENTS", "plan.json", "gzip", "Examples"),
    "segment": ("ECG_SEGMENTS", "JOB_COMPLETION_INDEX", "encoder.json", "/progress", "Examples"),
    "merge": ("ECG_TERMINATION_LOG", "ECG_PROGRESS_PORT", "Examples"),
    "clean": ("ECG_WORK_URI", "Examples"),
}


@pytest.mark.parametrize("verb", HELP)
def test_help_names_the_environment_and_what_is_written(tmp_path: Path, verb: str) -> None:
    ended = ecg_render("worker", *filter(None, [verb]), "--help", cwd=tmp_path)
    assert ended.code == 0
    assert [word for word in HELP[verb] if word not in ended.out] == []


def merge_report(url: str | None) -> MergeReport:
    output = OutputStatus(
        uri="s3://bucket/out.mp4", url=url, size_bytes=1, duration_seconds=1, frames=25, sha256="0" * 64
    )
    return MergeReport(output=output)


def test_a_signed_address_is_in_the_termination_message_and_not_in_the_log(tmp_path: Path) -> None:
    report, warnings = merge_report(SIGNED), list[str]()
    leave_report(report, tmp_path / "message", warnings.append)
    assert decode_report((tmp_path / "message").read_text()) == report
    assert "out.mp4" in printed(report)
    assert "Signature" not in printed(report)
    assert warnings == []


def test_a_message_that_cannot_be_written_costs_a_warning(tmp_path: Path) -> None:
    warnings: list[str] = []
    leave_report(merge_report(None), tmp_path / "nowhere/message", warnings.append)
    assert len(warnings) == 1
    assert "nowhere/message: No such file" in warnings[0]


def test_the_termination_log_is_the_one_that_is_named(tmp_path: Path) -> None:
    assert termination_log(str(tmp_path / "message")) == tmp_path / "message"


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_log_gets_a_line_about_progress_every_ten_seconds() -> None:
    clock, lines = Clock(), list[str]()
    live = Live(lines.append, clock)
    live.count(0, 300)
    for second in range(31):
        clock.now = second
        live.report(ProgressReport(Stage.RENDERING, second * 10, 300, 10.0, capture="canvas"))
    assert len(lines) == 4
    assert lines[1] == "Rendering segment None: 100 of 300 frames (33 %), 10 frames/s, canvas"


@pytest.mark.parametrize(
    ("progress", "line"),
    [
        (PodProgress(segment=3, frames_total=300), "Rendering segment 3: 0 of 300 frames (0 %)"),
        (
            PodProgress(
                segment=0,
                frames_done=120,
                frames_total=300,
                frames_per_second=85.4,
                encoder="x264",
                capture="canvas",
                frames_dropped=2,
            ),
            "Rendering segment 0: 120 of 300 frames (40 %), 85 frames/s, x264, canvas, 2 dropped",
        ),
    ],
)
def test_a_line_about_progress_says_what_is_known(progress: PodProgress, line: str) -> None:
    assert progress_line(progress) == line


def test_a_port_that_is_taken_costs_the_progress_and_not_the_render() -> None:
    lines: list[str] = []
    with socket.socket(socket.AF_INET6) as taken:
        taken.bind(("::", 0))
        taken.listen()
        with served(Live(lines.append), taken.getsockname()[1]) as port:
            assert port is None
    assert lines == [f"Warning: Progress is not served on port {taken_port(lines[0])}: Address already in use."]


def taken_port(line: str) -> str:
    return line.partition("port ")[2].partition(":")[0]
