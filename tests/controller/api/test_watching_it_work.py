"""What can be seen of an operator at work: progress on the object, health and metrics over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import httpx
from aiohttp import web

from control_plane import ControlPlane
from ecg_api.pods import PodProgress
from ecg_operator.app import Options
from fake_kubelet import FakeKubelet, Outcome, Pod, succeed
from operators import Site, finished, on_a_loop, render_job
from pod_reports import FRAMES


@asynccontextmanager
async def pod_that_says(progress: PodProgress) -> AsyncIterator[int]:
    """Answer /progress as a renderer's pod does; give the port."""

    async def answer(request: web.Request) -> web.Response:
        return web.Response(text=progress.model_dump_json(), content_type="application/json")

    application = web.Application()
    application.router.add_get("/progress", answer)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()


@on_a_loop
async def test_what_running_pods_say_is_on_the_object_and_written_seldom(
    plane: ControlPlane, kubelet: FakeKubelet, namespace: str
) -> None:
    def script(pod: Pod) -> Outcome:
        outcome = succeed(pod, segments=2)
        return replace(outcome, seconds=6, ip="127.0.0.1") if pod.role == "segments" else outcome

    kubelet.scripts[namespace] = script
    said = PodProgress(stage="rendering", frames_done=12, frames_total=FRAMES, frames_per_second=6, encoder="libx264")
    async with pod_that_says(said) as port, Site(plane.kubeconfig, namespace) as site:
        options = Options(elects=False, progress_port=port, progress_poll_seconds=0.2)
        async with site.operator(options=options) as operator:
            await site.apply(render_job("clip"))
            job = await site.until("clip", lambda job: (job.get("status", {}).get("progress") or {}).get("framesDone"))
            progress = job["status"]["progress"]
            assert progress["framesDone"] in (12, 24)
            assert progress["framesTotal"] == 2 * FRAMES
            assert 0 < progress["percent"] < 100
            await site.until("clip", finished)
            labels = {"verb": "patch", "resource": "renderjobs", "status": "200"}
            writes = operator.metrics.registry.get_sample_value("ecg_api_calls_total", labels)
            assert writes is not None
            assert writes <= 14, "progress is to be written once a second here, and only if it changes"


@on_a_loop
async def test_health_and_metrics_over_http(plane: ControlPlane, namespace: str) -> None:
    async with Site(plane.kubeconfig, namespace) as site, site.operator() as operator:
        await site.apply(render_job("clip"))
        await site.until("clip", finished)
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{operator.server.port}", trust_env=False) as client:
            for path in ("/healthz", "/readyz"):
                answer = await client.get(path)
                assert (answer.status_code, answer.text) == (200, "ok")
            text = ""

            async def counted() -> bool:  # the API server knows of the end before the operator has its answer
                nonlocal text
                text = (await client.get("/metrics")).text
                return 'ecg_jobs{phase="Succeeded"} 1.0' in text

            await site.until_true(counted)
    assert "ecg_create_to_first_job_seconds_count 1.0" in text
    assert f"ecg_frames_rendered_total {3 * FRAMES}.0" in text
    assert 'ecg_api_calls_total{resource="jobs",status="201",verb="create"} 3.0' in text
    assert "ecg_reconcile_seconds_count" in text
