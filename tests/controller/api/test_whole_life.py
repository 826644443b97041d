"""From `kubectl apply` to the end, against a real API server with real controllers."""

from __future__ import annotations

from control_plane import ControlPlane
from ecg_operator.settings import read_settings
from fake_kubelet import FakeKubelet, Outcome
from faulty_api import FaultyApi
from operators import ENVIRONMENT, Site, condition, finished, in_phase, of, on_a_loop, render_job
from pod_reports import FRAMES

MOST_CALLS = 25


@on_a_loop
async def test_a_render_job_goes_from_pending_to_succeeded(
    plane: ControlPlane, kubelet: FakeKubelet, namespace: str
) -> None:
    async with Site(plane.kubeconfig, namespace) as site, site.operator():
        await site.apply(render_job("clip"))
        job = await site.until("clip", finished)

        async def tidy() -> bool:
            return not of(job, await site.jobs())

        await site.until_true(tidy)

        async def told() -> bool:  # events are posted beside the work
            return len({event["reason"] for event in await site.events("clip")}) >= 3

        await site.until_true(told)
        events = await site.events("clip")
    status = job["status"]
    assert status["phase"] == "Succeeded"
    assert condition(job, "Succeeded")["status"] == "True"
    assert status["segments"]["summary"] == "3/3"
    assert status["progress"]["percent"] == 100
    assert status["output"]["frames"] == 3 * FRAMES
    assert status["metrics"]["framesProcessed"] == 3 * FRAMES
    roles = [pod.role for pod in kubelet.started if pod.namespace == namespace]
    assert roles == ["plan", "segments", "segments", "segments", "merge"]
    assert all(event["count"] == 1 for event in events)


@on_a_loop
async def test_a_job_that_waits_has_a_phase_from_the_start(
    plane: ControlPlane, kubelet: FakeKubelet, namespace: str
) -> None:
    kubelet.scripts[namespace] = lambda pod: Outcome(seconds=None)
    async with Site(plane.kubeconfig, namespace) as site, site.operator(MAX_CONCURRENT_JOBS="1"):
        await site.apply(render_job("first"))
        await site.until("first", in_phase("Planning"))
        await site.apply(render_job("second"))
        waiting = await site.until("second", in_phase("Pending"))
        assert waiting["status"]["reason"] == "Queued"


@on_a_loop
async def test_a_life_takes_few_requests_and_leaves_no_trace_of_the_framework(
    plane: ControlPlane, namespace: str
) -> None:
    async with FaultyApi(plane.kubeconfig) as api, Site(plane.kubeconfig, namespace) as site:
        settings = read_settings({**ENVIRONMENT, "OPERATOR_NAMESPACES": namespace, "PROGRESS_SECONDS": "3"})
        async with site.operator(kubeconfig=api.kubeconfig, settings=settings):
            before = api.count()
            await site.apply(render_job("clip"))
            job = await site.until("clip", finished)

            async def tidy() -> bool:
                return not of(job, await site.jobs())

            await site.until_true(tidy)
        calls = api.count() - before
        job = await site.get("clip")
    assert "annotations" not in job["metadata"]
    assert "finalizers" not in job["metadata"]
    assert set(job["status"]) <= set(STATUS_FIELDS)
    assert calls <= MOST_CALLS, [(r.method, r.path) for r in api.requests]


STATUS_FIELDS = (
    "observedGeneration", "phase", "reason", "conditions", "progress", "segments", "plan", "encoder", "encoderReason",
    "output", "outputs", "metrics", "usage", "attempts", "run", "startTime", "completionTime", "warnings",
)  # fmt: skip
