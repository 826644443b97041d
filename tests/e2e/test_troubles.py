"""Nodes, pods, memory, storage and references go away: the job gets over it, or says what is wrong."""

from __future__ import annotations

import json
import time
from pathlib import Path

import psutil
import pytest

from cluster import Cluster
from cluster_node import NODE
from studio import Job, Json, Studio, wait_until

LONG = 60  # seconds of video in one segment: about ten seconds of rendering
ONE_SEGMENT = {"targetSeconds": 600}
ON_DEMAND = "karpenter.sh/capacity-type=on-demand"  # onDemandNodeSelector of tests/cluster/values.yaml


# Without a GPU the pod that planned goes on with the only segment.
WHO_RENDERS = pytest.mark.parametrize(("role", "gpus"), [("segments", 1), ("plan", 0)])


@WHO_RENDERS
def test_a_pod_that_is_killed_in_its_segment_is_tried_again(studio: Studio, role: str, gpus: int) -> None:
    job = studio.submit(f"killed-{gpus}", seconds=LONG, segments=ONE_SEGMENT, placement={"gpus": gpus})
    pod = job.rendering_pod(role)

    _process_of(pod).kill()

    status = job.finished()
    assert status["phase"] == "Succeeded", status
    assert status["attempts"] == 2
    assert status["output"]["frames"] == 30 * LONG


def test_a_drained_node_costs_no_try(studio: Studio, cluster: Cluster) -> None:
    job = studio.submit("drained", seconds=LONG, segments=ONE_SEGMENT, retry={"perSegment": 0})
    job.rendering_pod()

    cluster.kubectl("drain", NODE, "--pod-selector=render.ecg.dev/role=segments", "--force", "--delete-emptydir-data")
    waiting = job.until(_waits_for_a_node)
    cluster.kubectl("uncordon", NODE)

    assert "unschedulable" in waiting["message"], waiting
    status = job.finished()
    assert status["phase"] == "Succeeded", status
    assert status["run"]["disrupted"], status


@WHO_RENDERS
def test_segments_that_lose_their_node_go_to_one_that_stays(
    studio: Studio, cluster: Cluster, role: str, gpus: int
) -> None:
    retry = {"perSegment": 0, "onDemandAfter": 1}
    placement = {"gpus": gpus}
    job = studio.submit(f"rescued-{gpus}", seconds=LONG, segments=ONE_SEGMENT, retry=retry, placement=placement)
    job.rendering_pod(role)

    cluster.kubectl("drain", NODE, f"--pod-selector=render.ecg.dev/role={role}", "--force", "--delete-emptydir-data")
    cluster.kubectl("uncordon", NODE)
    wait_until(lambda: "MovedToOnDemand" in job.events())
    job.until(_waits_for_a_node)
    cluster.kubectl("label", "node", NODE, ON_DEMAND)
    try:
        status = job.finished()
    finally:
        cluster.kubectl("label", "node", NODE, f"{ON_DEMAND.partition('=')[0]}-")

    assert status["phase"] == "Succeeded", status
    assert status["output"]["frames"] == 30 * LONG


def test_too_little_memory_is_named_as_such(studio: Studio) -> None:
    small = {"gpus": 1, "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"memory": "96Mi"}}}
    job = studio.submit("small", placement=small, retry={"perSegment": 0})

    failure = job.finished()["failure"]

    assert failure["code"] in ("SYSTEM_RESOURCE_ERROR", "MEMORY_OPTIMIZATION_ERROR"), failure
    assert "96Mi" in failure["message"] and "memory" in failure["message"], failure
    assert failure["hint"]


def test_a_job_waits_for_a_gpu_and_says_so(studio: Studio, cluster: Cluster) -> None:
    cluster.set_gpus(0)
    try:
        job = studio.submit("no-gpu")
        said = job.until(lambda one: _is_false(one.condition("Scheduled"), "GpuUnavailable"))
        assert "nvidia.com/gpu" in said["message"], said
        assert job.condition("Finished").get("status") != "True"
    finally:
        cluster.set_gpus(2)

    assert job.finished()["phase"] == "Succeeded"


def test_a_job_that_gets_no_gpu_in_time_fails(studio: Studio, cluster: Cluster) -> None:
    cluster.set_gpus(0)
    try:
        status = studio.submit("never-gpu", deadlines={"pendingSeconds": 5}).finished()
    finally:
        cluster.set_gpus(2)

    assert status["reason"] == "PendingDeadlineExceeded", status
    assert status["failure"]["code"] == "GPU_NOT_AVAILABLE", status


@pytest.mark.parametrize(
    ("name", "spec", "code", "word"),
    [
        ("no-scenario", {"scenario": {"uri": "s3://BUCKET/nothing.json"}}, "STORAGE_ACCESS_ERROR", "nothing.json"),
        ("no-config-map", {"scenario": {"configMapRef": {"name": "gone", "key": "s"}}}, "SCENARIO_PARSE_ERROR", "gone"),
        ("no-source", {"source": {"uri": "s3://BUCKET/nothing.mp4"}}, "INVALID_VIDEO_URL", "nothing.mp4"),
        ("no-bucket", {"output": {"uri": "s3://nobody-has-this/out.mp4"}}, "STORAGE_ACCESS_ERROR", "nobody-has-this"),
    ],
)
def test_what_is_not_there_fails_once_with_its_name(
    studio: Studio, name: str, spec: dict[str, object], code: str, word: str
) -> None:
    job = studio.submit(name, **json.loads(json.dumps(spec).replace("BUCKET", studio.bucket.name)))

    status = job.finished()

    assert (status["phase"], status["failure"]["code"]) == ("Failed", code), status
    assert word in status["failure"]["message"], status
    assert not status["failure"]["retryable"]
    assert status["failure"]["hint"]
    assert len(job.pods("plan")) <= 1, "another try would find the same"
    job.until(lambda one: "Failed" in one.events())  # told after the status, in its own time


def test_s3_may_be_away_for_half_a_minute(studio: Studio, cluster: Cluster) -> None:
    job = studio.submit("s3-away", seconds=LONG, segments=ONE_SEGMENT)
    job.rendering_pod()

    cluster.s3.kill()
    time.sleep(30)
    cluster.s3.start()

    status = job.finished()
    assert status["phase"] == "Succeeded", status
    assert status["output"]["frames"] == 30 * LONG


def _process_of(pod: Json) -> psutil.Process:
    """Return the renderer's process in a pod, as this machine sees it."""
    container = pod["status"]["containerStatuses"][0]["containerID"].removeprefix("containerd://")
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if "worker" in words and "python" in words[0] and container in _control_groups(process):
            return process
    raise AssertionError(f"no process of pod {pod['metadata']['name']}")


def _control_groups(process: psutil.Process) -> str:
    try:
        return Path(f"/proc/{process.pid}/cgroup").read_text()
    except OSError:  # ended meanwhile
        return ""


def _waits_for_a_node(job: Job) -> dict[str, str]:
    return _is_false(job.condition("Scheduled"), "Unschedulable")


def _is_false(condition: dict[str, str], reason: str) -> dict[str, str]:
    matches = condition.get("status") == "False" and condition.get("reason") == reason
    return condition if matches else {}
