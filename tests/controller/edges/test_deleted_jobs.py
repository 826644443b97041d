"""Which RenderJobs are still cared for when they are deleted: those that may have left work files."""

from __future__ import annotations

from typing import Any

import pytest

from ecg_cluster.cache import Key
from ecg_cluster.queue import KeyedQueue
from ecg_operator.world import World

KEY = Key("ns", "clip")
OVER = {"type": "Finished", "status": "True", "reason": "Completed", "lastTransitionTime": "2026-01-31T12:00:00Z"}


def render_job(status: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "render.ecg.dev/v1alpha1",
        "kind": "RenderJob",
        "metadata": {
            "name": "clip",
            "namespace": "ns",
            "uid": "uid-1",
            "generation": 1,
            "resourceVersion": "1",
            "creationTimestamp": "2026-01-31T12:00:00Z",
        },
        "spec": {
            "source": {"uri": "s3://in/a.mp4"},
            "scenario": {"uri": "s3://in/a.json"},
            "output": {"uri": "s3://out/a.mp4"},
        },
        "status": status,
    }


@pytest.mark.parametrize(
    ("status", "cared_for"),
    [
        ({}, True),
        ({"phase": "Rendering", "run": {"workFiles": "Written"}}, True),
        ({"phase": "Succeeded", "conditions": [OVER], "run": {"workFiles": "Written"}}, True),
        ({"phase": "Succeeded", "conditions": [OVER], "run": {"workFiles": "Removed"}}, False),
        ({"phase": "Failed", "conditions": [OVER], "run": {"workFiles": "None"}}, False),
        ({"phase": "Failed", "conditions": [OVER]}, False),
    ],
    ids=["new", "rendering", "over, not cleaned", "over, cleaned", "failed, nothing written", "failed at once"],
)
def test_a_deleted_job_is_cared_for_if_it_may_have_left_work_files(status: dict[str, Any], cared_for: bool) -> None:
    world = World(KeyedQueue())
    world.render_job_event("ADDED", render_job(status))
    world.render_job_event("DELETED", render_job(status))
    assert (KEY in world.departed) == cared_for
