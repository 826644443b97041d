"""Asking admission about all jobs at once."""

from __future__ import annotations

import asyncio
from typing import Any

from ecg_cluster.cache import Key
from ecg_cluster.queue import KeyedQueue
from ecg_operator.admission import Budget
from ecg_operator.admission_table import AdmissionTable
from ecg_operator.capacity import Load
from ecg_operator.world import World

OVER = {"type": "Finished", "status": "True", "reason": "Completed", "lastTransitionTime": "2026-01-31T12:00:00Z"}


def render_job(number: int, version: int = 1, **parts: Any) -> dict[str, Any]:
    return {
        "apiVersion": "render.ecg.dev/v1alpha1",
        "kind": "RenderJob",
        "metadata": {
            "name": f"clip-{number}",
            "namespace": "ns",
            "uid": f"uid-{number}",
            "generation": version,
            "resourceVersion": str(version),
            "creationTimestamp": f"2026-01-31T12:00:{number:02}Z",
        },
        "spec": {
            "source": {"uri": "s3://in/a.mp4"},
            "scenario": {"uri": "s3://in/a.json"},
            "output": {"uri": f"s3://out/{number}.mp4"},
            **parts.get("spec", {}),
        },
        "status": parts.get("status", {}),
    }


def segment_job(version: int, parallelism: int, *, suspended: bool = False, role: str = "segments") -> dict[str, Any]:
    """Return the Job that renders clip-0; its role may also be to plan first."""
    labels = {"app.kubernetes.io/managed-by": "ecg-render", "render.ecg.dev/job": "clip-0"}
    return {
        "metadata": {
            "name": "clip-0-seg-1",
            "namespace": "ns",
            "uid": "uid-job",
            "resourceVersion": str(version),
            "creationTimestamp": "2026-01-31T12:00:00Z",
            "labels": {**labels, "render.ecg.dev/role": role, "render.ecg.dev/round": "1"},
            "annotations": {"render.ecg.dev/segments": "0"},
            "ownerReferences": [{"kind": "RenderJob", "name": "clip-0", "uid": "uid-0", "controller": True}],
        },
        "spec": {"parallelism": parallelism, "suspend": suspended},
    }


class Table:
    def __init__(self, jobs: int) -> None:
        self.queue: KeyedQueue[Key] = KeyedQueue()
        self.world = World(self.queue)
        self.table = AdmissionTable(self.world, Budget(jobs=1, segments=10))
        for number in range(jobs):
            self.world.render_jobs.learn(render_job(number))

    def ask(self, number: int) -> bool:
        return asyncio.run(self.table.verdict(Key("ns", f"clip-{number}"))).admitted

    def drain(self) -> list[str]:
        taken = []
        while (key := self.queue.take()) is not None:
            taken.append(key.name)
            self.queue.done(key)
        return taken


def test_the_oldest_is_let_in_and_the_others_wait_in_order() -> None:
    site = Table(3)
    assert [site.ask(number) for number in range(3)] == [True, False, False]
    position = asyncio.run(site.table.verdict(Key("ns", "clip-2"))).position
    assert position == 2


def test_when_one_has_finished_the_next_is_woken() -> None:
    site = Table(3)
    site.ask(0)
    site.drain()
    site.world.render_jobs.learn(render_job(0, 2, status={"phase": "Succeeded", "conditions": [OVER]}))
    site.table.make()
    assert "clip-1" in site.drain()
    assert site.ask(1)


def test_what_is_suspended_cancelled_or_broken_takes_no_place() -> None:
    for spec in ({"suspend": True}, {"cancel": True}, {"priority": 10**9}):
        site = Table(2)
        site.world.render_jobs.learn(render_job(0, 2, spec=spec))
        assert not site.ask(0)
        assert site.ask(1)


def test_a_table_that_takes_long_is_made_less_often() -> None:
    site = Table(2)
    now = 0.0

    def clock() -> float:
        nonlocal now
        now += 0.4  # each look at the clock: so a table takes 0.4 s
        return now

    site.table = AdmissionTable(site.world, Budget(jobs=1, segments=10), clock)
    site.world.render_jobs.learn(render_job(5))
    site.table.make()
    assert site.table.pause() > 3


def test_a_deleted_job_gives_its_place_back() -> None:
    site = Table(2)
    assert site.ask(0)
    site.world.render_jobs.forget(render_job(0))
    site.table.make()
    assert site.ask(1)


def test_a_job_of_a_namespace_that_is_not_served_takes_no_place_and_keeps_its_own_until_it_is_back() -> None:
    site, unserved = Table(0), set[str | None]()
    site.table = AdmissionTable(site.world, Budget(jobs=1, segments=10), unserved=lambda: frozenset(unserved))
    rendering = render_job(0, status={"phase": "Rendering", "run": {"admittedAt": "2026-01-31T12:00:01Z"}})
    rendering["metadata"]["namespace"] = "gone"
    there = Key("gone", "clip-0")
    site.world.render_jobs.learn(rendering)
    site.world.render_jobs.learn(render_job(1))
    assert asyncio.run(site.table.verdict(there)).admitted and not site.ask(1)
    site.drain()

    unserved.add("gone")
    site.table.make()
    assert "clip-1" in site.drain()
    assert site.ask(1)
    assert asyncio.run(site.table.verdict(there)).admitted, "it is not sent back meanwhile"
    assert site.table.load() == Load(busy=0, waiting=1)

    unserved.clear()
    site.world.render_jobs.learn(render_job(2))
    site.table.make()
    assert asyncio.run(site.table.verdict(there)).admitted and not site.ask(2)
    assert site.table.load().waiting == 3


def test_the_limit_of_segments_moves_and_who_waits_is_let_in_without_an_event() -> None:
    site = Table(0)
    site.table = AdmissionTable(site.world, Budget(jobs=9, segments=10))
    for number in range(3):
        site.world.render_jobs.learn(render_job(number))
    site.table.limit_places(1)
    assert [site.ask(number) for number in range(3)] == [True, False, False]
    assert site.table.load() == Load(busy=0, waiting=3)
    site.drain()
    site.table.limit_places(50)
    asyncio.run(asyncio.sleep(site.table.pause()))
    site.table.make()
    assert {"clip-1", "clip-2"} <= set(site.drain())
    assert [site.ask(number) for number in range(3)] == [True, True, True]


def test_it_is_told_when_a_job_begins_to_render_more_and_only_then() -> None:
    site = Table(1)
    site.table.make()
    assert not site.table.busier.is_set()
    site.world.jobs.learn(segment_job(2, parallelism=2))
    site.table.make()
    assert site.table.busier.is_set()
    site.table.busier.clear()
    site.world.jobs.learn(segment_job(3, parallelism=1))
    site.table.make()
    assert not site.table.busier.is_set()


def test_a_job_that_a_queue_holds_back_renders_nothing_until_it_is_let_go() -> None:
    site = Table(1)
    site.world.jobs.learn(segment_job(2, parallelism=1, suspended=True))
    site.table.make()
    assert not site.table.busier.is_set()
    assert site.table.load() == Load(busy=0, waiting=1)
    site.world.jobs.learn(segment_job(3, parallelism=1))
    site.table.make()
    assert site.table.busier.is_set()
    assert site.table.load() == Load(busy=1, waiting=0)


def test_a_pod_that_goes_on_from_its_plan_is_one_that_renders() -> None:
    site = Table(1)
    site.world.jobs.learn(segment_job(2, parallelism=1, role="plan"))
    site.table.make()
    assert site.table.busier.is_set()
    assert site.table.load() == Load(busy=1, waiting=0)


def test_where_places_have_gpus_segments_without_one_take_none() -> None:
    site = Table(0)
    site.table = AdmissionTable(site.world, Budget(jobs=9, segments=10), gpu_places=True)
    for number, gpus in enumerate((0, 0, 1)):
        site.world.render_jobs.learn(render_job(number, spec={"placement": {"gpus": gpus}}))
    site.world.jobs.learn(segment_job(2, parallelism=4))
    site.table.limit_places(0)
    assert [site.ask(number) for number in range(3)] == [True, True, False]
    assert site.table.load() == Load(busy=0, waiting=1)
    assert not site.table.busier.is_set()
