"""Fields of the API that only mean something with an operator: managedBy, Suspended, and what its settings add."""

from __future__ import annotations

import asyncio

import pytest

from control_plane import ControlPlane
from ecg_cluster.client import Json
from fake_kubelet import FakeKubelet, Outcome, slow_segments, succeed
from operators import Site, condition, finished, in_phase, of, on_a_loop, render_job

OTHER = "kueue.x-k8s.io/multikueue"


@on_a_loop
async def test_a_job_of_another_manager_is_left_alone_and_keeps_nobody_waiting(
    plane: ControlPlane, kubelet: FakeKubelet, namespace: str
) -> None:
    async with Site(plane.kubeconfig, namespace) as site, site.operator(MAX_CONCURRENT_JOBS="1"):
        await site.apply(render_job("theirs", "s3://out/same.mp4", managedBy=OTHER))
        await site.apply(render_job("ours", "s3://out/same.mp4", managedBy="render.ecg.dev/operator"))
        job = await site.until("ours", finished)
        assert job["status"]["phase"] == "Succeeded"
        await site.change("theirs", cancel=True)
        await asyncio.sleep(1)
        theirs = await site.get("theirs")
        assert "status" not in theirs
        assert not of(theirs, await site.jobs())
        assert "finalizers" not in theirs["metadata"]
        assert OTHER not in str(theirs["metadata"].get("annotations", {}))
        await site.delete("theirs")
    assert not [pod for pod in kubelet.started if pod.namespace == namespace and pod.job == "theirs"]


@on_a_loop
async def test_two_operators_of_different_names_each_do_their_own_jobs(plane: ControlPlane, namespace: str) -> None:
    second = "example.com/second"
    async with Site(plane.kubeconfig, namespace) as site:
        async with site.operator():
            await site.apply(render_job("first"))
            await site.apply(render_job("second", managedBy=second))
            await site.until("first", finished)
        assert "status" not in await site.get("second")
        async with site.operator(CONTROLLER_NAME=second):
            job = await site.until("second", finished)
            assert job["status"]["phase"] == "Succeeded"


@pytest.mark.parametrize("after", ["resumed", "cancelled"])
@on_a_loop
async def test_kubectl_can_wait_for_a_job_to_be_suspended(
    plane: ControlPlane, kubelet: FakeKubelet, namespace: str, after: str
) -> None:
    held = {"yes"}
    kubelet.scripts[namespace] = lambda pod: Outcome(seconds=None) if held and pod.role == "segments" else succeed(pod)
    wait = ("wait", "--for=condition=Suspended", "rj/clip", f"--namespace={namespace}", "--timeout=60s")
    async with Site(plane.kubeconfig, namespace) as site, site.operator():
        await site.apply(render_job("clip"))
        await site.until("clip", in_phase("Rendering"))
        await site.change("clip", suspend=True)
        await asyncio.to_thread(plane.kubectl, *wait)
        held.clear()
        await site.change("clip", **({"suspend": False} if after == "resumed" else {"cancel": True}))
        job = await site.until("clip", finished)
    assert condition(job, "Suspended")["status"] == "False"
    assert condition(job, "Suspended")["reason"] == {"resumed": "Resumed", "cancelled": "Cancelled"}[after]
    assert job["status"]["startTime"] <= job["status"]["completionTime"]


@on_a_loop
async def test_a_finished_job_goes_after_the_operators_time_unless_it_has_one_of_its_own(
    plane: ControlPlane, kubelet: FakeKubelet, namespace: str
) -> None:
    settings = {"TTL_SUCCEEDED_SECONDS": "1", "TTL_FAILED_SECONDS": ""}
    async with Site(plane.kubeconfig, namespace) as site, site.operator(**settings):
        await site.apply(render_job("kept", ttl={"succeededSeconds": 600}))
        await site.apply(render_job("cancelled", cancel=True))
        await site.apply(render_job("clip"))
        await site.until("kept", finished)
        await site.until("cancelled", finished)
        await site.until("clip", lambda job: not job)
        assert finished(await site.get("kept"))
        assert finished(await site.get("cancelled"))


@on_a_loop
async def test_segments_ask_for_what_the_cluster_calls_a_gpu_and_it_is_counted(
    plane: ControlPlane, kubelet: FakeKubelet, namespace: str
) -> None:
    kubelet.scripts[namespace] = slow_segments
    async with Site(plane.kubeconfig, namespace) as site, site.operator(GPU_RESOURCE="nvidia.com/gpu.shared"):
        await site.apply(render_job("clip"))
        jobs: dict[str, Json] = {}

        async def made() -> bool:  # the phase is written before the Job is made, and the Job goes with the end
            jobs.update(await site.jobs())
            return "clip-seg-0" in jobs

        await site.until_true(made)
        job = await site.until("clip", finished)
    container = jobs["clip-seg-0"]["spec"]["template"]["spec"]["containers"][0]
    assert container["resources"]["limits"]["nvidia.com/gpu.shared"] == "1"
    assert "nvidia.com/gpu" not in container["resources"]["limits"]
    assert job["status"]["usage"]["gpuSeconds"] > 0
