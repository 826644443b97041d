"""Scenarios go where they fit: into the RenderJob, to S3, into a ConfigMap; and nowhere else."""

from __future__ import annotations

import asyncio
import base64
import gzip
import hashlib
import json
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ecg_api.failures import Failure
from ecg_api.renderjob import ScenarioRef
from ecg_cluster.client import CONFIG_MAPS
from ecg_renderer.worker.plan import scenario_reader
from ecg_shim.backends.cluster import ClusterBackend
from ecg_shim.backends.cluster.scenarios import Kept, Scenarios, inline
from ecg_shim.model import JobStatus
from operators import on_a_loop
from s3 import S3Server
from s3_edge import S3Edge
from shim_cluster import Place, until


def scenario(cues: int, words: int = 5) -> dict[str, Any]:
    """Return a scenario with so many cues."""
    return {"version": "2.0", "cues": [{"id": f"c{number}", "text": "자막 " * words} for number in range(cues)]}


def noise(megabytes: float) -> dict[str, Any]:
    """Return a scenario that cannot be compressed to much less than half its size."""
    chance = random.Random(1)
    return {"version": "2.0", "cues": [{"id": chance.randbytes(round(megabytes * 2**20) // 2).hex()}]}


NESTED = f'{{"cues": [], "x": {"[" * 600}{"]" * 600}}}'


@pytest.fixture
def s3(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
    with S3Server(tmp_path) as server:
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)
        yield server


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ('{"cues": []}', True),
        (json.dumps(scenario(500)), True),
        (json.dumps(scenario(501)), False),
        (json.dumps(scenario(10, 4000)), False),
        ('{"cues": [], "x": null}', False),
        ('{"cues": [], "x": [1, {"y": null}]}', False),
        ('{"cues": [], "x": 9223372036854775808}', False),
        ('{"cues": [], "x": 1e400}', False),
        ('{"cues": [], "x": "\\ud800"}', False),
        (NESTED, False),
    ],
    ids=[
        "small",
        "500 cues",
        "501 cues",
        "large",
        "null",
        "null within",
        "large integer",
        "infinite",
        "half a pair",
        "600 levels",
    ],
)
def test_a_render_job_holds_only_what_it_keeps_unchanged(text: str, fits: bool) -> None:
    assert (inline(text.encode()) is not None) == fits


@on_a_loop
async def test_a_small_scenario_is_in_the_render_job_unchanged(place: Place) -> None:
    given = scenario(500) | {"half": 0.5, "one": 1.0, "deep": {"list": [True, "\u0000", {}]}}
    async with place, place.replica() as backend:
        job_id = await place.post(backend, scenario=given)
        assert (await place.made(job_id))["spec"]["scenario"] == {"inline": given}


def test_a_large_scenario_goes_to_s3_with_its_hash(s3: S3Server, place: Place) -> None:
    @on_a_loop
    async def run() -> None:
        bucket = s3.new_bucket()
        given = scenario(1000, 500)
        async with place, place.replica(bucket=bucket.name, scenario_store="auto") as backend:
            job_id = await place.post(backend, scenario=given)
            reference = (await place.made(job_id))["spec"]["scenario"]
        assert set(reference) == {"uri", "sha256"}
        (key,) = bucket.keys
        assert reference["uri"] == bucket.uri(key)
        assert key.startswith(f"rendered/{job_id}/scenario-")
        assert json.loads(bucket.get(key)) == given
        assert hashlib.sha256(bucket.get(key)).hexdigest() == reference["sha256"]

    run()


@on_a_loop
async def test_without_s3_it_goes_to_a_config_map_that_the_pods_can_read_and_goes_with_its_job(place: Place) -> None:
    given = scenario(1000, 50)
    async with place, place.replica() as backend:
        job_id = await place.post(backend, scenario=given)
        reference = (await place.made(job_id))["spec"]["scenario"]
        wanted = ScenarioRef.model_validate(reference)
        assert wanted.config_map_ref is not None
        stored = await place.cluster.get(CONFIG_MAPS, place.namespace, wanted.config_map_ref.name)
        assert stored["immutable"] is True
        file = Path(place.kubeconfig.parent) / f"{job_id}.gz"
        await asyncio.to_thread(_write_entry, file, stored["binaryData"][wanted.config_map_ref.key])
        found = await asyncio.to_thread(scenario_reader(file), wanted, file.parent)
        assert isinstance(found, bytes)
        assert json.loads(found) == given
        await place.succeeds(job_id)
        await place.settles(job_id)
        await place.delete(job_id)

        async def gone() -> bool:
            page = await place.cluster.list_page(CONFIG_MAPS, place.namespace, {})
            return not any(job_id in item["metadata"]["name"] for item in page["items"])

        await place.until_true(gone)


def test_a_scenario_that_s3_does_not_take_goes_to_a_config_map(s3: S3Server, place: Place) -> None:
    @on_a_loop
    async def run() -> None:
        async with place, place.replica(bucket="nobody-made-it", scenario_store="s3") as backend:
            job_id = await place.post(backend, scenario=scenario(1000, 50))
            assert "configMapRef" in (await place.made(job_id))["spec"]["scenario"]

    run()


BUSY = {
    "for a moment": (1, "uri"),
    "for long": (10_000, "configMapRef"),
    "not, the session is over": (-1, "configMapRef"),
}


@pytest.mark.parametrize(("busy", "place"), BUSY.values(), ids=BUSY)
def test_a_scenario_goes_to_a_config_map_if_s3_is_busy_for_longer_than_a_client_waits(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, busy: int, place: str
) -> None:
    given = json.dumps(scenario(1000, 50)).encode()
    with S3Edge().running() as edge:
        for name, value in edge.environment().items():
            monkeypatch.setenv(name, value)
        edge.busy = busy
        if busy < 0:
            edge.renew()
        kept = asyncio.run(kept_by(Scenarios("videos", "s3"), given))
    assert isinstance(kept, Kept)
    assert place in kept.reference
    assert list(edge.objects.values()) == ([given] if place == "uri" else [])
    assert len(edge.asked) == (1 if busy < 0 else 2)
    reason = "" if place == "uri" else "ExpiredToken" if busy < 0 else "SlowDown"
    assert reason in caplog.text


async def kept_by(scenarios: Scenarios, given: bytes) -> Kept | Failure:
    try:
        return await scenarios.keep("a", given)
    finally:
        scenarios.close()


@on_a_loop
async def test_a_scenario_that_fits_nowhere_is_a_clear_failure(place: Place) -> None:
    async with place, place.replica() as backend:
        job_id = await place.post(backend, scenario=noise(3))
        row = await place.told(job_id, "failed")
        assert row.error_code == "STORAGE_ACCESS_ERROR"
        assert "Give the service access to S3_BUCKET" in str(row.error_message)
        assert await place.get(job_id) == {}


@on_a_loop
async def test_twenty_posts_of_large_scenarios_at_once_take_no_more_work_than_one_after_the_other(place: Place) -> None:
    given = scenario(1000, 400)

    async def work(backend: ClusterBackend, ids: list[str]) -> float:
        began = time.process_time()
        await asyncio.gather(*(backend.submit(place.order(job_id, given)) for job_id in ids))
        return time.process_time() - began

    async with place, place.replica() as backend:
        ids = [place.new_row() for _ in range(20)]
        assert await work(backend, ids) < 2 * 20 * await work(backend, [place.new_row()]) + 1
        for job_id in ids:
            assert (await until(backend, job_id, "queued")).status is JobStatus.QUEUED
            await place.made(job_id)


def _write_entry(file: Path, encoded: str) -> None:
    file.write_bytes(base64.b64decode(encoded))
    assert gzip.decompress(file.read_bytes())
