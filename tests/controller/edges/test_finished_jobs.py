"""RenderJobs that are over: little is kept of each, and they still end with their time to live."""

from __future__ import annotations

import asyncio
import json
import tracemalloc
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ecg_cluster.cache import Key
from ecg_cluster.client import RENDER_JOBS
from ecg_cluster.queue import KeyedQueue
from ecg_operator.views import FinishedJob, RenderJobView, read_render_job
from ecg_operator.world import World
from reconcilers import reconciler_on

MOST_BYTES = 2000
"""Of memory for each RenderJob that is over; with its spec and status it would be 32 KB."""


def condition(kind: str) -> dict[str, Any]:
    words = {"reason": "Completed", "message": "All 8 segments are in storage."}
    return {"type": kind, "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z", **words}


def finished(number: int = 0, *, ended: datetime | None = None, **status: Any) -> dict[str, Any]:
    """Return a RenderJob that has succeeded, with what such a job has in it."""
    at = (ended or datetime(2026, 1, 1, tzinfo=UTC)).isoformat()
    name = f"clip-{number}"
    return {
        "apiVersion": "render.ecg.dev/v1alpha1",
        "kind": "RenderJob",
        "metadata": {
            "namespace": "ns",
            "name": name,
            "uid": f"uid-{name}",
            "resourceVersion": str(100 + number),
            "generation": 1,
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "labels": {"app.kubernetes.io/managed-by": "ecg-render-service"},
        },
        "spec": {
            "source": {"uri": "https://cdn.example.com/v.mp4"},
            "scenario": {"uri": f"s3://b/rendered/{name}/scenario.json", "sha256": "a" * 64},
            "output": {"uri": f"s3://b/rendered/{name}/output.mp4"},
            "ttl": {"succeededSeconds": 3600, "failedSeconds": 7200},
        },
        "status": {
            "observedGeneration": 1,
            "phase": "Succeeded",
            "conditions": [condition(kind) for kind in ("Planned", "Rendered", "Merged", "Succeeded", "Finished")],
            "output": {
                "uri": f"s3://b/rendered/{name}/output.mp4",
                "url": "https://b.example/x?" + "y" * 600,
                "sizeBytes": 1,
                "durationSeconds": 60.0,
                "frames": 1800,
                "sha256": "a" * 64,
            },
            "run": {"finishedAt": at, "workFiles": "Removed", "settled": []},
            **status,
        },
    }


class Site:
    """The operator's inside, and an API server that counts what is asked of it."""

    def __init__(self) -> None:
        self.objects: dict[str, dict[str, Any]] = {}
        self.asked: list[str] = []
        self.world, self.reconciler = reconciler_on(self)

    async def get(self, resource: object, namespace: str, name: str) -> dict[str, Any]:
        assert resource == RENDER_JOBS
        self.asked.append(f"get {name}")
        return self.objects[name]

    async def patch(self, resource: object, namespace: str, name: str, *_: Any) -> dict[str, Any]:
        self.asked.append(f"patch {name}")
        return self.objects[name]

    async def delete(self, resource: object, namespace: str, name: str, **_: Any) -> dict[str, Any]:
        self.asked.append(f"delete {name}")
        return {}

    async def delete_all(self, *_: Any) -> dict[str, Any]:
        self.asked.append("delete children")
        return {}

    def tell(self, *_: Any) -> None:
        pass

    def add(self, obj: dict[str, Any]) -> None:
        self.objects[obj["metadata"]["name"]] = obj
        self.world.render_jobs.learn(obj)

    def look(self, name: str = "clip-0") -> float | None:
        return asyncio.run(self.reconciler.reconcile(Key("ns", name)))


def test_little_is_kept_of_each() -> None:
    world, count = World(KeyedQueue[Key]()), 500
    raw = [json.dumps(finished(number)) for number in range(count)]
    world.render_jobs.learn(finished(count))
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for text in raw:
        world.render_jobs.learn(json.loads(text))
    used = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert used / count < MOST_BYTES


@pytest.mark.parametrize(
    "changes",
    [
        {"run": {"workFiles": "Written"}},
        {"conditions": [condition("Planned")]},
        {"observedGeneration": 0},
    ],
    ids=["work files are left", "not over", "a spec that was not seen"],
)
def test_the_whole_is_kept_as_long_as_something_may_be_left_to_do(changes: dict[str, Any]) -> None:
    assert isinstance(read_render_job(finished()).value, FinishedJob)
    assert isinstance(read_render_job(finished(**changes)).value, RenderJobView)


def test_a_look_at_one_costs_no_request_and_says_when_its_time_is_over() -> None:
    site = Site()
    site.add(finished(ended=datetime.now(UTC) - timedelta(seconds=600)))
    due = site.look()
    assert due is not None
    assert 2990 < due <= 3000
    assert site.asked == []


def test_when_its_time_is_over_it_is_read_anew_and_deleted() -> None:
    site = Site()
    site.add(finished(ended=datetime.now(UTC) - timedelta(seconds=3601)))
    site.look()
    assert [request for request in site.asked if not request.startswith("patch")] == ["get clip-0", "delete clip-0"]
    assert site.world.render_jobs.get("ns", "clip-0") is None


def test_without_a_time_to_live_it_stays() -> None:
    site = Site()
    obj = finished()
    del obj["spec"]["ttl"]
    site.add(obj)
    assert site.look() is None
    assert site.asked == []


def test_a_child_that_is_still_there_is_deleted() -> None:
    site = Site()
    site.add(finished(ended=datetime.now(UTC)))
    labels = {"render.ecg.dev/job": "clip-0", "render.ecg.dev/role": "merge", "render.ecg.dev/uid": "uid-clip-0"}
    meta = {"namespace": "ns", "name": "clip-0-merge", "uid": "u", "resourceVersion": "1", "labels": labels}
    site.world.jobs.learn({"metadata": {**meta, "creationTimestamp": "2026-01-01T00:00:00Z"}})
    site.look()
    assert "delete children" in site.asked


def test_one_that_was_replaced_meanwhile_is_left_alone() -> None:
    site = Site()
    site.add(finished(ended=datetime.now(UTC) - timedelta(seconds=3601)))
    another = finished()
    another["metadata"]["uid"] = "another"
    site.objects["clip-0"] = another
    site.look()
    assert site.asked == ["get clip-0"]
