"""When the ConfigMap with the scenario is looked at: as long as a pod may have to wait for it, no longer."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from ecg_cluster.cache import Key
from ecg_cluster.errors import NotFound
from ecg_cluster.queue import KeyedQueue
from ecg_operator.admission import Budget
from ecg_operator.admission_table import AdmissionTable
from ecg_operator.lookups import JobEvents, ScenarioCheck
from ecg_operator.observe import Observer
from ecg_operator.world import World

META = {"namespace": "ns", "creationTimestamp": "2026-01-31T12:00:00Z", "resourceVersion": "1"}
GONE_ON = [
    {"type": kind, "status": status, "reason": reason, "lastTransitionTime": "2026-01-31T12:00:00Z"}
    for kind, status, reason in (("Planned", "True", "PlanReady"), ("Rendered", "False", "Rendering"))
]
PLAN = {"width": 320, "height": 180, "rate": "30", "frames": 100}


class NoConfigMaps:
    async def get(self, *_: Any) -> dict[str, Any]:
        raise NotFound(404, "NotFound", "configmaps x not found")


def render_job(status: dict[str, Any]) -> dict[str, Any]:
    spec = {
        "source": {"uri": "s3://in/a.mp4"},
        "scenario": {"configMapRef": {"name": "x", "key": "a.json"}},
        "output": {"uri": "s3://out/a.mp4"},
    }
    meta = {**META, "name": "clip", "uid": "uid-clip", "generation": 1}
    kind = {"apiVersion": "render.ecg.dev/v1alpha1", "kind": "RenderJob"}
    return {**kind, "metadata": meta, "spec": spec, "status": status}


def plan_pod(phase: str) -> dict[str, Any]:
    labels = {
        "app.kubernetes.io/managed-by": "ecg-render",
        "render.ecg.dev/job": "clip",
        "render.ecg.dev/uid": "uid-clip",
        "render.ecg.dev/role": "plan",
    }
    return {
        "metadata": {**META, "name": f"clip-plan-{phase.lower()}", "uid": f"uid-{phase}", "labels": labels},
        "spec": {},
        "status": {"phase": phase},
    }


@pytest.mark.parametrize(
    ("status", "pods", "looked_at"),
    [
        ({}, [], True),
        ({}, ["Pending"], True),
        ({}, ["Running"], False),
        ({"conditions": GONE_ON}, ["Running"], False),
        ({"conditions": GONE_ON}, ["Failed", "Pending"], True),
        ({"conditions": GONE_ON, "plan": PLAN}, ["Failed"], False),
    ],
    ids=["none yet", "waits", "plans", "renders", "lost", "planned"],
)
def test_the_config_map_is_looked_at_while_a_pod_may_wait_for_it(
    status: dict[str, Any], pods: list[str], looked_at: bool
) -> None:
    world = World(KeyedQueue[Key]())
    world.render_jobs.learn(render_job(status))
    for phase in pods:
        world.pods.learn(plan_pod(phase))
    record = world.render_jobs.get("ns", "clip")
    api = cast(Any, NoConfigMaps())
    table = AdmissionTable(world, Budget(jobs=9, segments=9))
    observer = Observer(world, table, ScenarioCheck(api), JobEvents(api, 7), {})
    observation = asyncio.run(observer.observe(cast(Any, record)))
    assert bool(observation.scenario_problem) == looked_at
