"""Watching a job whose pods keep their pieces in S3: what the service makes of that, and what FFmpeg plays of it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from command_line import scenario
from ecg_api.live import END, FOLDER, HEAD_BYTES, MASTER, SOUND, VIDEO
from ecg_api.pods import PlanReport, SegmentReport
from ecg_shim.backends.cluster import live
from ecg_shim.backends.cluster.live import LiveStreams
from live_streams import decoded
from s3 import Bucket
from worker_pods import Pods, job_of


@pytest.fixture(autouse=True)
def to_the_bucket(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lead this process to the bucket, and let it look whenever it is asked."""
    for name, value in bucket.server.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(live, "LOOK_SECONDS", 0.0)


@pytest.fixture
def watched_pods(folder: Path, bucket: Bucket) -> Pods:
    """The pods of a job without captions, in three segments of one piece each, that may be watched."""
    environment = {**bucket.server.environment(), "ECG_CELLS_URI": bucket.uri("work/videos/cells")}
    job = job_of(folder, scenario(), output={"uri": bucket.uri("out/clip.mp4")}, live={})
    return Pods(folder, job, bucket.uri("work/videos/clip-0f2e"), environment)


@pytest.fixture
def streams() -> Iterator[LiveStreams]:
    """What a service knows of streams."""
    streams = LiveStreams(3600)
    yield streams
    streams.close()


def planned(pods: Pods) -> PlanReport:
    end = pods.run("plan")
    assert isinstance(end.report, PlanReport), end.log
    return end.report


def playlists(streams: LiveStreams, uri: str, *, ended: bool = False, here: bool = False) -> dict[str, str]:
    async def read() -> dict[str, str]:
        paths = (MASTER, f"{FOLDER}/{VIDEO}", f"{FOLDER}/{SOUND}")
        found = {path: await streams.playlist(uri, path, ended=ended, here=here) for path in paths}
        return {path: text for path, text in found.items() if text is not None}

    return asyncio.run(read())


def count(found: dict[str, str], name: str = VIDEO) -> int:
    return found.get(f"{FOLDER}/{name}", "").count("#EXTINF")


def test_the_finished_beginning_is_played_while_pods_render_and_also_after_the_merge(
    watched_pods: Pods, streams: LiveStreams, bucket: Bucket, tmp_path: Path
) -> None:
    uri = planned(watched_pods).plan.live_uri
    assert uri
    assert playlists(streams, uri) == {}, "nothing is finished"
    for segment, finished in ((0, 1), (2, 1), (1, 3)):
        end = watched_pods.segment(segment, "0-2")
        assert end.code == 0, end.log
        found = playlists(streams, uri)
        assert (count(found), count(found, SOUND)) == (finished, finished)
    assert watched_pods.run("merge").code == 0
    (tmp_path / "out.mp4").write_bytes(bucket.get("out/clip.mp4"))

    found = playlists(LiveStreams(3600), uri, ended=True)  # another replica
    assert found[f"{FOLDER}/{VIDEO}"].endswith(END)
    assert "X-Amz-Signature" in found[f"{FOLDER}/{VIDEO}"]
    for path, text in found.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(text)
    assert decoded(str(tmp_path / MASTER), "v") == decoded(str(tmp_path / "out.mp4"), "v")
    assert len(decoded(str(tmp_path / MASTER), "a")) > 3 * 46

    # The same video again, and a smaller one: all pieces of the first are there, and only the merge's pod can say so.
    watched_pods.job["metadata"] |= {"name": "second", "uid": "77aa"}
    smaller = {"uri": bucket.uri("out/small.mp4"), "width": 160, "height": 90}
    watched_pods.job["spec"] |= {"renditions": [smaller], "segments": {"targetSeconds": 1, "max": 1}}
    again = Pods(watched_pods.folder, watched_pods.job, bucket.uri("work/videos/second-77aa"), watched_pods.environment)
    report = planned(again)
    assert ([take.segments for take in report.takes], report.plan.live_uri != uri) == ([0, 1], True)
    alone = again.segment(0, "0").report
    assert isinstance(alone, SegmentReport) and alone.merged is None, "the video is no business of a smaller one's pod"
    assert again.run("merge").code == 0
    assert count(playlists(streams, report.plan.live_uri or "")) == 3


def test_few_requests_tell_what_is_new_and_the_status_page_fetches_through_the_service(
    watched_pods: Pods, streams: LiveStreams, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = planned(watched_pods).plan.live_uri or ""
    assert watched_pods.segment(0, "0-2").code == 0
    text = playlists(streams, uri, here=True)[f"{FOLDER}/{VIDEO}"]
    asked: list[str] = []
    ask = live._Stream._ask

    def counted(self: Any, request: str, name: str, **parameters: Any) -> Any:
        asked.append(request)
        return ask(self, request, name, **parameters)

    monkeypatch.setattr(live._Stream, "_ask", counted)
    asyncio.run(streams.playlist(uri, f"{FOLDER}/{VIDEO}", ended=False, here=False))
    assert asked == ["head_object"] * 2, "the next piece of each rendition"
    monkeypatch.setattr(live, "LOOK_SECONDS", 60.0)
    playlists(streams, uri)  # the last look of before
    asked.clear()
    playlists(streams, uri)
    assert asked == [], "within seconds nobody asks again"

    async def read(name: str, header: int) -> tuple[bytes, object]:
        piece = await streams.piece(uri, name)
        assert piece
        return await piece.read(header, header + 8), await streams.piece(uri, f"{'0' * 64}-x264.mp4")

    header = int(re.findall(r'BYTERANGE="(\d+)@0"', text)[0])
    start, nothing = asyncio.run(read(text.splitlines()[-1], header))
    assert (start[4:], nothing) == (b"moof", None)
    assert header < HEAD_BYTES / 4
