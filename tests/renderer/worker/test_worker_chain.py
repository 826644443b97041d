"""Plan, segments and merge, each a process of its own, make what one process on one machine makes."""

from __future__ import annotations

import asyncio
import hashlib
import json
import shutil
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.request import urlopen

import numpy as np
import pytest

import clips
from command_line import scenario
from ecg_api.pods import MergeReport, PlanReport, SegmentReport
from ecg_api.renderjob import parse_render_job
from ecg_renderer.planning import Cutting
from ecg_renderer.preparation import prepare_job
from ecg_renderer.request import Settings
from ecg_renderer.storage import CellStore
from renders import rendered
from s3 import NO_OTHER_SETTINGS, Bucket
from worker_pods import Json, PodEnd, Pods, job_of


def rendered_on_one_machine(folder: Path, job: Json, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Render the job in one process and return the video."""
    monkeypatch.setenv("ECG_SELFCHECK", "never")
    output = folder / "local.mp4"
    job = {**job, "spec": {**job["spec"], "output": {"uri": str(output)}}}
    rendered(parse_render_job(job), folder, settings=Settings.from_environment())
    return output


def in_order(pods: Pods) -> tuple[PlanReport, list[SegmentReport], MergeReport]:
    """Run all pods of the job, the segments not in order; return their reports."""
    planned = succeeded(pods.run("plan"), PlanReport)
    numbers = f"0-{planned.segments - 1}"
    ends = [pods.segment(index, numbers) for index in reversed(range(planned.segments))]
    return planned, [succeeded(end, SegmentReport) for end in ends], succeeded(pods.run("merge"), MergeReport)


def succeeded(end: PodEnd, kind: type[Any]) -> Any:
    assert end.code == 0, end.log
    assert isinstance(end.report, kind)
    return end.report


def test_three_pods_make_the_frames_that_one_process_makes(
    pods: Pods, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    local = rendered_on_one_machine(folder, pods.job, monkeypatch)
    planned, segments, merged = in_order(pods)
    output = folder / "out/captioned.mp4"

    assert [planned.segments, planned.plan.frames, planned.plan.rate] == [3, 75, "25/1"]
    assert sum(report.frames for report in segments) == 75
    frames, expected = clips.frames(output), clips.frames(local)
    assert len(frames) == len(expected) == 75
    assert all(np.array_equal(one, other) for one, other in zip(frames, expected, strict=True))
    content = output.read_bytes()
    assert merged.output.sha256 == hashlib.sha256(content).hexdigest()
    assert [merged.output.size_bytes, merged.output.frames] == [len(content), 75]
    assert [merged.output.uri, merged.output.url] == [output.as_uri(), None]
    assert not pods.work.exists(), "the work files are gone"
    assert list(pods.scratch.iterdir()) == []


def test_each_segment_tells_what_it_took_and_why_it_is_not_nvenc(pods: Pods) -> None:
    pods.run("plan")
    report = succeeded(pods.segment(1), SegmentReport)
    assert [report.segment, report.reused, report.encoder] == [1, False, "x264"]
    assert report.encoder_reason.startswith("NVENC is not available: ")
    assert [report.metrics.frames_processed, report.metrics.frames_dropped] == [report.frames, 0]
    assert 50 < report.metrics.memory_peak_mb < 5000


def test_the_plan_has_the_keys_of_one_machine(pods: Pods, folder: Path) -> None:
    pods.run("plan")
    store = CellStore((folder / "cells").as_uri())
    prepared = asyncio.run(prepare_job(parse_render_job(pods.job), folder, Cutting(target_seconds=1), store=store))
    assert [cell["key"] for cell in pods.plan["cells"]] == [cell.key for cell in prepared.plan.cells]


def test_everything_in_s3_is_read_and_written_there(
    folder: Path, captions: Json, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    local = rendered_on_one_machine(folder, job_of(folder, captions), monkeypatch)
    bucket.put("in/video.mp4", (folder / "video.mp4").read_bytes())
    written = json.dumps(captions).encode()
    reference = {"uri": bucket.put("in/captions.json", written), "sha256": hashlib.sha256(written).hexdigest()}
    job = job_of(
        folder, scenario=reference, source={"uri": bucket.uri("in/video.mp4")}, output={"uri": bucket.uri("out/a.mp4")}
    )
    shutil.rmtree(folder / "cells")
    (folder / "video.mp4").unlink()
    # As in a pod with a read-only root: nobody, root neither, can make folders in /proc.
    homeless = {"HOME": "/proc/nobody", "XDG_CACHE_HOME": ""}
    pods = Pods(folder, job, bucket.uri("work/videos/clip-0f2e"), bucket.server.environment() | homeless)

    _, segments, merged = in_order(pods)

    assert sum(report.frames for report in segments) == 75
    assert bucket.keys == {"in/video.mp4", "in/captions.json", "out/a.mp4"}
    assert bucket.unfinished == set()
    assert list(pods.scratch.iterdir()) == []
    (folder / "fetched.mp4").write_bytes(bucket.get("out/a.mp4"))
    frames, expected = clips.frames(folder / "fetched.mp4"), clips.frames(local)
    assert all(np.array_equal(one, other) for one, other in zip(frames, expected, strict=True))
    assert merged.output.uri == bucket.uri("out/a.mp4")
    assert merged.output.url
    with urlopen(merged.output.url) as answer:
        assert hashlib.sha256(answer.read()).hexdigest() == merged.output.sha256


def test_pods_with_storage_profiles_leave_a_copy_and_no_secret_in_what_they_say(
    folder: Path, captions: Json, bucket: Bucket
) -> None:
    copies, server = bucket.server.new_bucket(), bucket.server
    keys = {"endpoint": server.url, "secret": "keys"}
    profiles = [
        {"name": "far-1", "bucket": copies.name, **keys},
        {"name": "near", "bucket": bucket.name, "replica": "far-1", **keys},
    ]
    environment = NO_OTHER_SETTINGS | {"ECG_STORAGE_PROFILES": json.dumps(profiles)}
    for name in ("FAR_1", "NEAR"):
        environment[f"ECG_STORAGE_{name}_ACCESS_KEY_ID"] = server.access_key
        environment[f"ECG_STORAGE_{name}_SECRET_ACCESS_KEY"] = server.secret_key
    bucket.put("video.mp4", (folder / "video.mp4").read_bytes())
    job = job_of(folder, captions, source={"uri": bucket.uri("video.mp4")}, output={"uri": bucket.uri("out.mp4")})
    job["spec"]["segments"] = {"targetSeconds": 2}
    pods = Pods(folder, job, bucket.uri("work"), environment)
    ends = [pods.run("plan"), pods.segment(0, "0-1"), pods.segment(1, "0-1"), pods.run("merge")]
    said = "".join(end.out + end.log for end in ends)
    assert [end.code for end in ends] == [0, 0, 0, 0], said
    assert "out.mp4" in said
    merged = ends[-1].report
    assert isinstance(merged, MergeReport) and merged.output.replica is not None
    assert merged.output.replica.model_dump() == {"profile": "far-1", "uri": copies.uri("out.mp4"), "problem": ""}
    assert hashlib.sha256(copies.get("out.mp4")).hexdigest() == merged.output.sha256
    assert bucket.keys == {"video.mp4", "out.mp4"} and copies.keys == {"out.mp4"}
    for secret in ("X-Amz", bucket.server.secret_key, bucket.server.access_key):
        assert secret not in said


def test_a_source_whose_server_knows_no_ranges_is_asked_of_it_by_the_plan_alone(folder: Path, bucket: Bucket) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=str(folder)))
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    address = f"http://127.0.0.1:{server.server_port}/video.mp4"
    job = job_of(folder, scenario(), source={"uri": address}, segments={"max": 1})
    pods = Pods(folder, job, bucket.uri("work"), bucket.server.environment())
    try:
        planned = pods.run("plan")
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert "Keeping the source for the other pods" in planned.log
    merged = succeeded(pods.segment(0, "0"), SegmentReport).merged
    assert [merged.output.frames, merged.warnings] == [75, []]
    assert len(clips.frames(folder / "out/captioned.mp4")) == 75
    assert bucket.keys == set()
