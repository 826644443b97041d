"""Asking for jobs, stopping them, the queue, health and metrics: exact fields, exact types."""

from __future__ import annotations

import asyncio
import math
import re
from datetime import datetime, timedelta

import httpx
import pytest

from ecg_api.failures import FailureCode
from ecg_api.status import RenderMetrics
from ecg_shim.failures import failure
from ecg_shim.model import JobStatus, Output
from ecg_shim.snapshot import FIRST_ESTIMATE
from shim_memory import BEGAN, MemoryBackend, memory_service

JOB = "f70a8eb4-3c1d-4a55-9d7e-2b6f7e0f5a11"
STATUS_OF_A_NEW_JOB = {
    "job_id": JOB,
    "status": "queued",
    "progress": 0,
    "message": "Job is queued",
    "download_url": None,
    "error_message": None,
    "error_code": None,
    "estimated_time_remaining": None,
    "file_size": None,
    "duration": None,
    "frames_processed": 0,
    "frames_dropped": 0,
    "drop_rate": 0.0,
    "memory_peak_mb": 0.0,
    "memory_trend": "unknown",
}
METRICS = RenderMetrics(
    frames_processed=900, frames_dropped=9, drop_rate=0.01, memory_peak_mb=812.5, memory_trend="stable"
)
STATES = {
    "queued": ({}, {}),
    "processing": (
        {"status": JobStatus.PROCESSING, "progress": 45, "eta_seconds": 38, "message": "Rendering segment 2 of 4"},
        {"status": "processing", "progress": 45, "estimated_time_remaining": 38, "message": "Job is processing"},
    ),
    "completed": (
        {"status": JobStatus.COMPLETED, "progress": 100, "metrics": METRICS,
         "output": Output("https://cdn.example.com/a.mp4", 3_000_000_000, 30.5)},
        {"status": "completed", "progress": 100, "message": "Job is completed", "file_size": 3_000_000_000,
         "download_url": "https://cdn.example.com/a.mp4", "duration": 30.5, "frames_processed": 900,
         "frames_dropped": 9, "drop_rate": 0.01, "memory_peak_mb": 812.5, "memory_trend": "stable"},
    ),
    "failed": (
        {"status": JobStatus.FAILED, "failure": failure(FailureCode.FFMPEG_ERROR, "FFmpeg ended with 1.")},
        {"status": "failed", "message": "Job is failed", "error_code": "FFMPEG_ERROR",
         "error_message": "FFmpeg ended with 1."},
    ),
    "cancelled": ({"status": JobStatus.CANCELLED}, {"status": "cancelled", "message": "Job is cancelled"}),
}  # fmt: skip


@pytest.mark.parametrize(("state", "differs"), STATES.values(), ids=STATES.keys())
def test_the_status_has_all_fields_in_their_types(served, state, differs):
    served.backend.set(JOB, **state)
    answer = served.client.get(f"/api/render/{JOB}/status")
    assert answer.status_code == 200
    assert answer.json() == {**STATUS_OF_A_NEW_JOB, **differs}
    assert isinstance(answer.json()["progress"], int)
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("job_id", [JOB, "..%2f..%2fetc", "%00", "a b", "x" * 3000])
def test_an_unknown_job_is_404_in_the_known_words(served, job_id):
    answer = served.client.get(f"/api/render/{job_id}/status")
    assert answer.status_code == 404
    assert answer.json() in ({"detail": "Job not found"}, {"detail": "Not Found"})


def test_the_words_for_an_unknown_job_are_exact(served):
    assert served.client.get("/api/render/nobody/status").json() == {"detail": "Job not found"}


CANCELS = {
    JobStatus.QUEUED: (True, "Job cancelled successfully", "cancelled"),
    JobStatus.PROCESSING: (True, "Job cancelled successfully", "cancelled"),
    JobStatus.COMPLETED: (False, "Job not found or already completed", "completed"),
    JobStatus.FAILED: (False, "Job not found or already completed", "failed"),
    JobStatus.CANCELLED: (False, "Job not found or already completed", "cancelled"),
}


@pytest.mark.parametrize(("before", "told"), CANCELS.items())
def test_a_cancel_stops_what_has_not_ended_and_always_answers_200(served, before, told):
    success, message, after = told
    served.backend.set(JOB, status=before)
    headers = {"Content-Type": "application/json", "User-Agent": "HOIT-Backend/1.0"}
    answer = served.client.post(f"/api/render/{JOB}/cancel", headers=headers)
    assert (answer.status_code, answer.json()) == (200, {"success": success, "message": message})
    assert served.client.get(f"/api/render/{JOB}/status").json()["status"] == after


def test_a_cancel_of_an_unknown_job_is_remembered(served):
    answer = served.client.post(f"/api/render/{JOB}/cancel")
    assert (answer.status_code, answer.json()["success"]) == (200, False)
    assert served.backend.tombstones == {JOB}


def test_a_cancel_of_what_can_be_no_job_is_not_remembered(served):
    assert served.client.post("/api/render/%20/cancel").json()["success"] is False
    assert not served.backend.tombstones


def test_the_newest_jobs_come_first(served):
    for number in range(5):
        served.backend.set(f"job-{number}")
    jobs = served.client.get("/api/render/jobs", params={"limit": 3}).json()["jobs"]
    assert [job["job_id"] for job in jobs] == ["job-4", "job-3", "job-2"]
    assert datetime.fromisoformat(jobs[0]["created_at"]).tzinfo
    assert served.client.get("/api/render/jobs", params={"limit": 0}).status_code == 422


def test_the_queue_is_told_in_both_forms_with_a_measured_wait(served):
    for number, status in enumerate([JobStatus.QUEUED] * 3 + [JobStatus.PROCESSING] * 2 + [JobStatus.FAILED]):
        served.backend.set(f"job-{number}", status=status)
    served.backend.wait_seconds = 77
    numbers = {"queue_size": 3, "active_jobs": 2, "total_jobs": 6, "max_concurrent": 3}
    assert served.client.get("/queue/status").json() == {
        "pending_jobs": 3,
        "processing_jobs": 2,
        "estimated_wait_time": 77,
        "detailed_status": numbers,
    }
    assert served.client.get("/api/render/queue/status").json() == numbers


def test_the_queue_can_be_cleared_of_what_waits(served):
    served.backend.set("waits")
    served.backend.set("runs", status=JobStatus.PROCESSING)
    answer = served.client.post("/api/render/queue/clear")
    assert (answer.status_code, answer.json()) == (200, {"success": True, "message": "Queue cleared"})
    assert {name: job.status for name, job in served.backend.jobs.items()} == {
        "waits": "cancelled",
        "runs": "processing",
    }


def test_the_queue_is_not_cleared_in_production(serve):
    served = serve(ENVIRONMENT="production")
    served.backend.set("waits")
    answer = served.client.post("/api/render/queue/clear")
    assert (answer.status_code, answer.json()) == (403, {"detail": "Queue clearing is disabled in production"})
    assert served.backend.jobs["waits"].status is JobStatus.QUEUED


HEALTH_TYPES = {
    "status": str, "gpu_count": int, "available_memory": str, "queue_length": int, "timestamp": str, "queue": dict,
    "gpu": dict, "workers": int, "parallel_rendering": bool, "browser_pool_size": int, "streaming": dict,
    "memory": dict, "problems": list, "mode": str, "version": str, "worker_id": str,
}  # fmt: skip


def test_health_has_all_blocks_in_their_types(serve):
    served = serve(WORKER_ID="render-7", USE_PARALLEL_RENDERING="false", BROWSER_POOL_SIZE="2")
    answer = served.client.get("/health")
    health = answer.json()
    assert answer.status_code == 200
    assert {name: type(value) for name, value in health.items()} == HEALTH_TYPES
    assert health["status"] == "healthy"
    assert re.fullmatch(r"[0-9]+\.[0-9]GB", health["available_memory"])
    assert health["queue"] == {"queue_size": 0, "active_jobs": 0, "total_jobs": 0, "max_concurrent": 3}
    assert set(health["streaming"]) == {
        "pipeline_active", "total_frames_processed", "total_frames_dropped", "average_drop_rate",
    }  # fmt: skip
    assert health["memory"]["process_mb"] > 10
    assert health["memory"]["system_available_gb"] > 0
    assert (health["worker_id"], health["parallel_rendering"], health["browser_pool_size"]) == ("render-7", False, 2)
    assert served.client.head("/health").status_code == 200


def test_health_repeats_what_the_backend_says_about_gpus_and_frames():
    service = memory_service()
    gpu = {"gpu_0": {"name": "T4", "allocated_gb": 1.5, "reserved_gb": 15.0}}
    streaming = {"pipeline_active": True, "total_frames_processed": 900, "total_frames_dropped": 9,
                 "average_drop_rate": 0.01}  # fmt: skip
    memory = {"process_mb": 120.0, "system_available_gb": 8.0, "gpu_available_gb": 13.5}
    service.backend.health_says |= {
        "gpu": gpu, "gpu_count": 1, "available_memory": "13.5GB", "streaming": streaming, "memory": memory,
    }  # fmt: skip
    health = _asked(service, "/health").json()
    assert (health["gpu"], health["gpu_count"], health["available_memory"]) == (gpu, 1, "13.5GB")
    assert (health["streaming"], health["memory"]) == (streaming, memory)


UNHEALTHY = {
    "says so": ({"health_says": {"healthy": False, "problems": ["Only 12 MB are free in /data."]}}, "Only 12 MB"),
    "gives no reason": ({"health_says": {"healthy": False}}, "not healthy"),
    "cannot be asked": ({"raises": OSError("disk gone")}, "disk gone"),
}


@pytest.mark.parametrize(("trouble", "words"), UNHEALTHY.values(), ids=UNHEALTHY.keys())
def test_unhealthy_is_told_with_200_too_and_says_why(trouble, words):
    service = memory_service()
    for name, value in trouble.items():
        setattr(service.backend, name, value)
    answer = _asked(service, "/health")
    assert answer.status_code == 200
    assert answer.json()["status"] == "unhealthy"
    assert words in answer.json()["problems"][0]


def test_health_answers_at_once_while_the_backend_hangs(served):
    async def hanging() -> None:
        await asyncio.sleep(3600)

    served.backend.queue = hanging
    assert served.client.get("/health").status_code == 200


def test_the_estimate_is_the_mean_of_recent_renders():
    backend = MemoryBackend()
    assert backend.snapshot().render_seconds == FIRST_ESTIMATE
    for number, seconds in enumerate((10, 31)):
        times = {"started_at": BEGAN, "finished_at": BEGAN + timedelta(seconds=seconds)}
        backend.set(f"job-{number}", status=JobStatus.COMPLETED, metrics=METRICS, **times)
    backend.set("failed", status=JobStatus.FAILED, started_at=BEGAN, finished_at=BEGAN + timedelta(hours=1))
    assert backend.snapshot().render_seconds == FIRST_ESTIMATE, "of a second ago at most"
    backend.snapshots.forget()
    assert backend.snapshot().render_seconds == 20
    assert math.isclose(backend.snapshot().drop_rate, 0.01)


def test_metrics_hold_depth_drop_rate_and_request_times_by_route():
    service = memory_service()
    service.backend.set("waits")
    service.backend.set("done", status=JobStatus.COMPLETED, metrics=METRICS)
    _asked(service, f"/api/render/{JOB}/status")
    _asked(service, "/nobody/knows/this", method="BREW")
    text = _asked(service, "/metrics").text
    assert "ecg_render_queue_depth 1.0" in text
    assert "ecg_render_frame_drop_rate 0.01" in text
    assert "ecg_render_healthy 1.0" in text
    times = (
        'ecg_render_request_duration_seconds_count{method="GET",route="/api/render/{job_id}/status",status="404"} 1.0'
    )
    assert times in text
    assert 'method="other",route="other",status="404"' in text
    assert JOB not in text


def test_paths_that_nobody_serves_are_json_404_and_405(served):
    assert served.client.get("/nothing").json() == {"detail": "Not Found"}
    answer = served.client.put("/render")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


def _asked(service, path: str, method: str = "GET") -> httpx.Response:
    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(service.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test", verify=False) as client:
            return await client.request(method, path)

    return asyncio.run(ask())
