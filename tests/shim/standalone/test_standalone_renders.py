"""The standalone service with the real renderer: small clips, real Chromium, FFmpeg and S3."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

import clips
import command_line
import processes
from ecg_api.failures import FailureCode
from ecg_api.renditions import Rendition
from ecg_shim.backends.standalone import S3Target, StandaloneBackend, StandaloneSettings
from ecg_shim.model import JobState, JobStatus, RenderOrder, RequestOptions
from ecg_shim.relay.payloads import payload
from ecg_shim.wire import StatusReply
from s3 import S3Server
from shim_standalone import ended, eventually, until

SESSION = os.environ[processes.MARKER]
SECONDS = 150.0
IN_THREE = ("sh", "-c", f'exec {sys.executable} -m ecg_renderer "$@" --segments 3', "ecg-render")
LONG = clips.Clip(frames=120, width=640, height=360)


def order(video: Path, captions: dict[str, Any], job_id: str = "job", **options: Any) -> RenderOrder:
    scenario = json.dumps(captions).encode()
    return RenderOrder(
        job_id=job_id,
        video_url=str(video),
        scenario=scenario,
        options=RequestOptions(preset="ultrafast", **options),
        callback_url="http://127.0.0.1:9/cb",
        payload_hash=hashlib.sha256(scenario).hexdigest(),
    )


def slow(folder: Path) -> dict[str, str]:
    """Return the environment of renders with an FFmpeg that takes seconds for a segment, however late the test is."""
    return {"ECG_FFMPEG": str(clips.slow_ffmpeg(folder, 0.5))}


def settings(folder: Path, **changes: Any) -> StandaloneSettings:
    environment = command_line.environment(folder, changes.pop("environment", None))
    return StandaloneSettings(folder / "data", environment=environment, **changes)


def test_a_job_becomes_a_video_with_every_frame(tmp_path: Path) -> None:
    async def work() -> JobState:
        async with StandaloneBackend(settings(tmp_path)).running() as backend:
            captions = command_line.scenario("one", "two", seconds=1)
            await backend.submit(order(clips.counter(command_line.CLIP), captions, format="mov"))
            return await ended(backend, "job", SECONDS)

    done = asyncio.run(work())
    assert done.status is JobStatus.COMPLETED, done.failure
    assert done.output
    assert done.output.path
    assert done.output.path.suffix == ".mov"
    assert [numbers.source for numbers in clips.read_counters(done.output.path)] == list(range(30))
    assert done.output.size_bytes == done.output.path.stat().st_size
    assert done.output.duration_seconds == 1.0
    assert done.metrics.frames_processed == 30
    assert not list((tmp_path / "data" / "jobs").iterdir())
    assert not list((tmp_path / "data" / "work" / "cells").glob(".*"))


FAILURES = {
    "no video": ("/nonexistent.mp4", {"cues": []}, FailureCode.INVALID_VIDEO_URL),
    "no scenario": ("", {"version": "2.0", "cues": "none"}, FailureCode.SCENARIO_PARSE_ERROR),
    "a text file": (__file__, {"version": "2.0", "cues": []}, FailureCode.INVALID_VIDEO_FORMAT),
}


@pytest.mark.parametrize(("video", "captions", "code"), FAILURES.values(), ids=FAILURES)
def test_failures_have_the_renderers_own_code_and_words(
    tmp_path: Path, video: str, captions: dict[str, Any], code: FailureCode
) -> None:
    async def work() -> JobState:
        async with StandaloneBackend(settings(tmp_path)).running() as backend:
            source = Path(video) if video else clips.counter(command_line.CLIP)
            await backend.submit(order(source, captions))
            return await ended(backend, "job", SECONDS)

    done = asyncio.run(work())
    assert done.status is JobStatus.FAILED
    assert done.failure
    assert done.failure.code is code
    assert done.failure.message


def test_a_renderer_refuses_the_addresses_that_its_service_refuses(tmp_path: Path) -> None:
    strict = settings(tmp_path, environment={"ECG_PRIVATE_ADDRESSES": "refuse"})

    async def work() -> JobState:
        async with StandaloneBackend(strict).running() as backend:
            local = order(Path("x"), command_line.scenario("one"))
            await backend.submit(dataclasses.replace(local, video_url="http://localhost:9/a.mp4"))
            return await ended(backend, "job", SECONDS)

    done = asyncio.run(work())
    assert done.failure
    assert done.failure.code is FailureCode.INVALID_VIDEO_URL
    assert "not a public address" in done.failure.message


def rendering(folder: Path, backend: StandaloneBackend) -> asyncio.Future[None]:
    """Return when the first of three segments is finished."""

    def finished() -> bool:
        return bool(list((folder / "data" / "work" / "cells").glob("*.mp4")))

    return asyncio.ensure_future(eventually(finished, SECONDS))


def test_a_cancel_leaves_neither_browser_nor_ffmpeg_nor_files(tmp_path: Path) -> None:
    before = processes.survivors(SESSION)

    async def work() -> None:
        # Time enough for the renderer to clear up after itself.
        patient = settings(tmp_path, command=IN_THREE, environment=slow(tmp_path), stop_seconds=60)
        async with StandaloneBackend(patient).running() as backend:
            captions = command_line.scenario(*"abcd", seconds=4, plugin="elastic")
            await backend.submit(order(clips.counter(LONG), captions))
            await rendering(tmp_path, backend)
            moving = await until(backend, "job", lambda state: state.progress > 1)
            assert moving.status is JobStatus.PROCESSING
            assert await backend.cancel("job")
            await eventually(lambda: processes.survivors(SESSION) <= before)

    asyncio.run(work())
    assert not list((tmp_path / "data" / "work" / "cells").glob(".*"))
    assert not list((tmp_path / "data" / "jobs").iterdir())
    assert not list((tmp_path / "data" / "outputs").rglob("*.mp4")), "it was not waited for"


def test_a_render_that_is_broken_off_goes_on_from_its_finished_segments(tmp_path: Path) -> None:
    in_three = settings(tmp_path, command=IN_THREE, environment=slow(tmp_path))

    async def broken_off() -> None:
        async with StandaloneBackend(in_three).running() as backend:
            captions = command_line.scenario(*"abcd", seconds=4, plugin="elastic")
            await backend.submit(order(clips.counter(LONG), captions))
            await rendering(tmp_path, backend)

    async def again() -> JobState:
        clips.hurry(tmp_path / "slow-ffmpeg")
        async with StandaloneBackend(in_three).running() as backend:
            return await ended(backend, "job", SECONDS)

    asyncio.run(broken_off())
    segments = {path: path.stat().st_ino for path in (tmp_path / "data" / "work" / "cells").glob("*.mp4")}
    assert 1 <= len(segments) < 3
    watched = next(iter(segments))
    kept = tmp_path / "kept.mp4"
    kept.hardlink_to(watched)
    done = asyncio.run(again())
    assert done.status is JobStatus.COMPLETED, done.failure
    assert kept.stat().st_ino == segments[watched]
    assert done.output
    assert done.output.path
    assert [numbers.source for numbers in clips.read_counters(done.output.path)] == list(range(120))


def test_renditions_lie_beside_the_video_and_are_told(tmp_path: Path) -> None:
    wanted = [Rendition(uri="small.mp4", width=160, height=90), Rendition(uri="words.srt")]

    async def work() -> tuple[JobState, list[Path | None]]:
        async with StandaloneBackend(settings(tmp_path)).running() as backend:
            captions = command_line.scenario("one", seconds=1)
            await backend.submit(order(clips.counter(command_line.CLIP), captions, renditions=wanted))
            done = await ended(backend, "job", SECONDS)
            return done, [(await backend.handed_out(output)).path for output in done.outputs]

    done, paths = asyncio.run(work())
    assert done.status is JobStatus.COMPLETED, done.failure
    told = payload(done, time.time())["outputs"]
    assert told == StatusReply.of(done).model_dump()["outputs"]
    assert isinstance(told, list)
    assert [(output["name"], output["content"]) for output in told if isinstance(output, dict)] == [
        ("main", "video"), ("small.mp4", "video"), ("words.srt", "subtitles"),
    ]  # fmt: skip
    assert [output.url and output.url.partition("/api/")[2] for output in done.outputs] == [
        "render/job/download", "render/job/download/small.mp4", "render/job/download/words.srt",
    ]  # fmt: skip
    for output, path in zip(done.outputs, paths, strict=True):
        assert path is not None
        assert hashlib.sha256(path.read_bytes()).hexdigest() == output.sha256


def test_with_a_bucket_the_video_is_there_and_its_address_opens_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work(bucket: str) -> JobState:
        target = S3Target(bucket)
        async with StandaloneBackend(settings(tmp_path, s3=target)).running() as backend:
            captions = command_line.scenario("one", seconds=1)
            await backend.submit(order(clips.counter(command_line.CLIP), captions, "5a0c1f0e-3b52"))
            return await ended(backend, "5a0c1f0e-3b52", SECONDS)

    with S3Server(tmp_path / "s3") as server:
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)
        bucket = server.new_bucket()
        done = asyncio.run(work(bucket.name))
        assert done.status is JobStatus.COMPLETED, done.failure
        assert done.output
        assert done.output.path is None
        assert "/rendered/5a0c1f0e-3b52/output.mp4?" in done.output.url
        assert "X-Amz-Expires=604800" in done.output.url
        with urlopen(done.output.url) as answer:
            content = answer.read()
        assert len(content) == done.output.size_bytes
        assert content[4:8] == b"ftyp"


def test_a_bucket_behind_a_public_address_gives_that(tmp_path: Path) -> None:
    from ecg_shim.backends.standalone.outputs import BucketOutputs

    outputs = BucketOutputs(S3Target("videos", public_base_url="https://cdn.example.com/v/"))
    assert outputs.target("a@b", "webm") == "s3://videos/rendered/a%40b/output.webm"
    done = outputs.finished("a", "s3://videos/rendered/a/output.mp4", 5, 1.0)
    assert done
    assert done.url == "https://cdn.example.com/v/rendered/a/output.mp4"
