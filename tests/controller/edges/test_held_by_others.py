"""Whether other RenderJobs' pods run is looked for, of all namespaces, while a pod has no node."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from ecg_cluster.cache import Key
from ecg_cluster.queue import KeyedQueue
from ecg_operator.admission import Budget
from ecg_operator.admission_table import AdmissionTable
from ecg_operator.cluster import Cluster
from ecg_operator.lookups import JobEvents, ScenarioCheck
from ecg_operator.observe import Observer
from ecg_operator.world import World
from observations import KEY, manifest

UNSCHEDULABLE = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes"}


def pod(job: str, gpus: int = 0, namespace: str = "ns", **status: Any) -> dict[str, Any]:
    uid = f"uid-{namespace}-{job}"
    labels = {"render.ecg.dev/job": job, "render.ecg.dev/uid": uid, "render.ecg.dev/role": "segments"}
    container = {"name": "renderer", "resources": {"limits": {"nvidia.com/gpu": str(gpus)}}}
    return {
        "metadata": {
            "name": f"{job}-seg-0-0-x", "namespace": namespace, "uid": f"pod-{uid}", "resourceVersion": "7",
            "creationTimestamp": "2026-01-31T12:00:00Z", "labels": labels,
        },
        "spec": {"containers": [container]},
        "status": {"phase": "Pending", **status},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("own", "other", "seen"),
    [
        ({"conditions": [UNSCHEDULABLE]}, pod("other", gpus=1, namespace="far", phase="Running"), (True, True)),
        ({"conditions": [UNSCHEDULABLE]}, pod("other", phase="Running"), (True, False)),
        ({"conditions": [UNSCHEDULABLE]}, pod("other", gpus=1), (False, False)),
        ({"phase": "Running"}, pod("other", gpus=1, phase="Running"), (False, False)),
    ],
    ids=["a GPU, in another namespace", "no GPU", "it waits, too", "all have nodes"],
)
def test_who_holds_what_a_pod_lacks(own: dict[str, Any], other: dict[str, Any], seen: tuple[bool, bool]) -> None:
    world = World(KeyedQueue[Key]())
    meta = {"uid": f"uid-ns-{KEY.name}", "resourceVersion": "1", "creationTimestamp": "2026-01-31T12:00:00Z"}
    job = manifest()
    world.render_jobs.learn({**job, "metadata": {**job["metadata"], "namespace": "ns", **meta}})
    for one in (pod(KEY.name, gpus=1, **own), other):
        assert world.pods.learn(one)
    table = AdmissionTable(world, Budget(jobs=9, segments=9))
    cluster = cast(Cluster, None)
    observer = Observer(world, table, ScenarioCheck(cluster), JobEvents(cluster, 7), {})
    observation = asyncio.run(observer.observe(cast(Any, world.render_jobs.get("ns", KEY.name))))
    assert (observation.others_run, observation.others_have_gpus) == seen


def test_what_others_hold_is_known_without_a_look_at_all_pods(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(KeyedQueue[Key]())
    world.pods.learn(pod(KEY.name, gpus=1, phase="Running"))
    world.pods.learn(pod("plain", phase="Running"))
    monkeypatch.setattr(world.pods, "records", lambda: pytest.fail("with many pods each look would cost that many"))
    assert world.others_hold(Key("ns", KEY.name)) == (True, False), "what is its own is not held by others"
    assert world.others_hold(Key("ns", "plain")) == (True, True)
    over = pod("plain", phase="Succeeded")
    over["metadata"]["resourceVersion"] = "8"
    world.pods.learn(over)
    assert world.others_hold(Key("ns", KEY.name)) == (False, False)
    world.pods.forget(pod(KEY.name))
    assert world.others_hold(Key("ns", "plain")) == (False, False)
