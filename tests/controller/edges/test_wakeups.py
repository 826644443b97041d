"""When a RenderJob is looked at: at once when that brings it on, in a moment else, and whatever wake-up is lost."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from ecg_cluster.cache import Key
from ecg_cluster.errors import AlreadyExists
from ecg_cluster.queue import KeyedQueue
from ecg_operator.act import Actor
from ecg_operator.cluster import Cluster
from ecg_operator.metrics import Metrics
from ecg_operator.model import CreateJob, DeleteJob, Observation
from ecg_operator.world import GATHERING_SECONDS, RESYNC_SPREAD_SECONDS, World

KEY = Key("ns", "clip")
OVER = {"type": "Finished", "status": "True", "reason": "Completed", "lastTransitionTime": "2026-01-31T12:00:00Z"}
META = {"namespace": "ns", "creationTimestamp": "2026-01-31T12:00:00Z"}
LABELS = {
    "app.kubernetes.io/managed-by": "ecg-render",
    "render.ecg.dev/job": "clip",
    "render.ecg.dev/uid": "uid-clip",
    "render.ecg.dev/role": "segments",
    "render.ecg.dev/round": "1",
}
JOB: dict[str, Any] = {
    "metadata": {**META, "name": "clip-seg-1", "uid": "uid-job", "resourceVersion": "99", "labels": LABELS},
    "spec": {},
}


def render_job(name: str = "clip", **status: Any) -> dict[str, Any]:
    return {
        "apiVersion": "render.ecg.dev/v1alpha1",
        "kind": "RenderJob",
        "metadata": {**META, "name": name, "uid": f"uid-{name}", "resourceVersion": "12", "generation": 1},
        "spec": {
            "source": {"uri": "s3://in/a.mp4"},
            "scenario": {"uri": "s3://in/a.json"},
            "output": {"uri": f"s3://out/{name}.mp4"},
        },
        "status": status,
    }


class Site:
    """The operator's inside, and an API server with a Job that lingers: somebody else's finalizer holds it."""

    def __init__(self) -> None:
        self.now = 0.0
        self.queue: KeyedQueue[Key] = KeyedQueue(lambda: self.now)
        self.world = World(self.queue)
        self.actor = Actor(cast(Cluster, self), self.world, Metrics("0"))

    async def delete(self, *_: Any, **__: Any) -> dict[str, Any]:
        return {}

    async def create(self, *_: Any) -> dict[str, Any]:
        raise AlreadyExists(409, "AlreadyExists", "jobs clip-seg-1 already exists")

    async def get(self, *_: Any) -> dict[str, Any]:
        lingers = {"deletionTimestamp": "2026-01-31T12:01:00Z", "finalizers": ["x.example/y"], "resourceVersion": "150"}
        return {**JOB, "metadata": {**JOB["metadata"], **lingers}}

    def drain(self) -> list[Key]:
        taken = []
        while (key := self.queue.take()) is not None:
            taken.append(key)
            self.queue.done(key)
        return taken


def test_a_deleted_job_that_lingers_is_tried_again_and_said() -> None:
    site = Site()
    site.world.render_jobs.learn(render_job())
    site.world.jobs.learn(JOB)
    record = site.world.render_jobs.get(*KEY)
    assert record is not None
    observation = cast(Observation, None)
    asyncio.run(site.actor.act(record, DeleteJob("clip-seg-1"), observation))
    create = CreateJob({"metadata": {"name": "clip-seg-1", "labels": LABELS}})
    with pytest.raises(AlreadyExists, match=r"was deleted, but is still there .finalizers: x\.example/y"):
        asyncio.run(site.actor.act(record, create, observation))
    assert "still there" in site.world.refusals["uid-clip"]


def test_after_a_resync_everything_unfinished_is_looked_at_again() -> None:
    site = Site()
    site.world.render_jobs.learn(render_job("new"))
    site.world.render_jobs.learn(render_job("working", phase="Rendering"))
    untidy = {"phase": "Succeeded", "observedGeneration": 1, "conditions": [OVER], "run": {"workFiles": "Written"}}
    site.world.render_jobs.learn(render_job("untidy", **untidy))
    site.world.render_jobs.learn(render_job("over", **{**untidy, "run": {"workFiles": "Removed"}}))
    site.drain()
    site.now += RESYNC_SPREAD_SECONDS
    assert [key.name for key in site.drain()] == ["over"]
    site.world.resync("another")
    site.now += RESYNC_SPREAD_SECONDS
    assert site.drain() == []
    site.world.resync(None)
    site.now += RESYNC_SPREAD_SECONDS
    assert {key.name for key in site.drain()} == {"new", "working", "untidy"}


def pod(name: str, version: int, **status: Any) -> dict[str, Any]:
    meta = {**META, "name": name, "uid": f"uid-{name}", "resourceVersion": str(version), "labels": LABELS}
    return {"metadata": meta, "spec": {}, "status": status}


def test_news_of_pods_wait_for_each_other_but_not_when_the_last_of_them_has_ended() -> None:
    site = Site()
    for number, name in enumerate(("one", "two")):
        site.world.pods.learn(pod(name, number, phase="Running"))
    assert site.drain() == []
    site.now += GATHERING_SECONDS
    assert site.drain() == [KEY]
    site.world.pods.learn(pod("one", 10, phase="Succeeded"))
    assert site.drain() == []
    site.world.pods.learn(pod("two", 11, phase="Succeeded"))
    assert site.drain() == [KEY]


def test_counts_of_a_job_and_our_own_writes_wait_for_other_news_but_not_the_end_of_a_job() -> None:
    site = Site()
    site.world.render_jobs.learn(render_job())
    assert site.drain() == [KEY]
    written = render_job(phase="Rendering")
    site.world.render_jobs.learn({**written, "metadata": {**written["metadata"], "resourceVersion": "13"}})

    def job(version: int, **status: Any) -> dict[str, Any]:
        return {**JOB, "metadata": {**JOB["metadata"], "resourceVersion": str(version)}, "status": status}

    site.world.jobs.learn(job(100, active=1))
    assert site.drain() == []
    site.now += GATHERING_SECONDS
    assert site.drain() == [KEY]
    site.world.jobs.learn(job(101, active=1, uncountedTerminatedPods={"succeeded": ["uid"]}))
    site.now += GATHERING_SECONDS
    assert site.drain() == []
    site.world.jobs.learn(job(102, conditions=[{"type": "Complete", "status": "True"}]))
    assert site.drain() == [KEY]
