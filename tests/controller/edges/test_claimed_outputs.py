"""Which RenderJob may write to an output that several want."""

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
from ecg_operator.views import RenderJobView
from ecg_operator.world import World

ADMITTED = {"phase": "Planning", "run": {"admittedAt": "2026-01-31T12:00:09Z"}}
OVER = {"type": "Finished", "status": "True", "reason": "Completed", "lastTransitionTime": "2026-01-31T12:00:00Z"}


def render_job(name: str, second: int, namespace: str = "ns", status: Any = None, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "render.ecg.dev/v1alpha1",
        "kind": "RenderJob",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "uid": f"uid-{namespace}-{name}",
            "generation": 1,
            "resourceVersion": str(second + 1),
            "creationTimestamp": f"2026-01-31T12:00:{second:02}Z",
        },
        "spec": {
            "source": {"uri": "s3://in/a.mp4"},
            "scenario": {"uri": "s3://in/a.json"},
            "output": {"uri": "s3://out/same.mp4"},
            **spec,
        },
        "status": status or {},
    }


def rival_of(name: str, *jobs: dict[str, Any]) -> str:
    return contest(name, *jobs)[0]


def contest(name: str, *jobs: dict[str, Any]) -> tuple[str, str]:
    world = World(KeyedQueue[Key]())
    for job in jobs:
        world.render_jobs.learn(job)
    record = world.render_jobs.get("ns", name)
    assert record is not None
    assert isinstance(record.value, RenderJobView)
    table = AdmissionTable(world, Budget(jobs=9, segments=9))
    cluster = cast(Cluster, None)
    observer = Observer(world, table, ScenarioCheck(cluster), JobEvents(cluster, 7), {})
    observation = asyncio.run(observer.observe(cast(Any, record)))
    return observation.rival, observation.contested


@pytest.mark.parametrize(
    ("other", "rival"),
    [
        (render_job("other", 1), "other"),
        (render_job("other", 5), "other"),
        (render_job("the-later", 5), ""),
        (render_job("other", 9), ""),
        (render_job("other", 9, status=ADMITTED), "other"),
        (render_job("other", 1, suspend=True), ""),
        (render_job("other", 1, suspend=True, status=ADMITTED), "other"),
        (render_job("other", 1, status={"conditions": [OVER]}), ""),
        (render_job("other", 1, output={"uri": "s3://out/another.mp4"}), ""),
    ],
    ids=[
        "an older one", "one of the same second, by name", "one of the same second, by name again", "a younger one",
        "a younger one that has begun", "an older one that is suspended", "one that is about to be suspended",
        "one that is over", "another output",
    ],
)  # fmt: skip
def test_the_older_has_it_unless_it_is_suspended_or_another_has_begun(other: dict[str, Any], rival: str) -> None:
    assert rival_of("own", render_job("own", 5), other) == rival
    back = rival_of(other["metadata"]["name"], render_job("own", 5), other) if rival else ""
    assert back == ""


def test_renditions_are_outputs_too() -> None:
    also = [{"uri": "s3://out/captions.mov"}, {"uri": "s3://out/same.srt"}]
    own = render_job("own", 5, renditions=also)
    other = render_job("other", 1, output={"uri": "s3://out/b.mp4"}, renditions=[{"uri": "s3://out/same.srt"}])
    assert contest("own", own, other) == ("other", "s3://out/same.srt")
    assert contest("other", own, other) == ("", "")
    its_main = render_job("other", 1, output={"uri": "s3://out/captions.mov"}, options={"format": "mov"})
    assert contest("own", own, its_main) == ("other", "s3://out/captions.mov")


def test_another_namespace_is_neither_waited_for_nor_told_of() -> None:
    assert rival_of("own", render_job("own", 5), render_job("secret", 1, namespace="tenant-b", status=ADMITTED)) == ""
