"""RenderJobs that ended long ago and are kept: what a cluster is full of after some days."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

from ecg_api.renderjob import API_VERSION, KIND
from ecg_cluster.client import RENDER_JOBS
from ecg_operator.cluster import Cluster

AT_A_TIME = 50
SEGMENTS = 8
_STAGES = ("Planned", "Scheduled", "Rendered", "Merged", "Succeeded", "Finished")


async def create_kept(cluster: Cluster, count: int, namespaces: list[str]) -> None:
    """Create so many finished RenderJobs, spread over the namespaces."""
    gate = asyncio.Semaphore(AT_A_TIME)

    async def create(number: int) -> None:
        namespace, name = namespaces[number % len(namespaces)], f"kept-{number:06}"
        async with gate:
            await cluster.create(RENDER_JOBS, namespace, _manifest(name))
            await cluster.patch(RENDER_JOBS, namespace, name, {"status": _status(name)}, "status")

    await asyncio.gather(*(create(number) for number in range(count)))


def _manifest(name: str) -> dict[str, Any]:
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {"name": name, "annotations": {"render.ecg.dev/payload-sha256": "a" * 64}},
        "spec": {
            "source": {"uri": "https://cdn.example.com/video.mp4"},
            "scenario": {"uri": f"s3://bucket/rendered/{name}/scenario.json", "sha256": "a" * 64},
            "output": {"uri": f"s3://bucket/rendered/{name}/output.mp4"},
            "ttl": {"succeededSeconds": 604800, "failedSeconds": 604800},
        },
    }


def _status(name: str) -> dict[str, Any]:
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    said = {"status": "True", "reason": "Completed", "message": "All 8 segments are in storage."}
    return {
        "observedGeneration": 1,
        "phase": "Succeeded",
        "reason": "Completed",
        "conditions": [{"type": kind, "lastTransitionTime": now, "observedGeneration": 1, **said} for kind in _STAGES],
        "progress": {"framesDone": 1800, "framesTotal": 1800, "percent": 100, "framesPerSecond": 90.1},
        "segments": {"total": SEGMENTS, "active": 0, "succeeded": SEGMENTS, "failed": 0, "reused": 0},
        "plan": {
            "uri": f"s3://bucket/work/{name}/plan.json",
            "width": 1920,
            "height": 1080,
            "rate": "30",
            "frames": 1800,
            "warnings": [],
        },
        "encoder": "libx264",
        "output": {
            "uri": f"s3://bucket/rendered/{name}/output.mp4",
            "url": f"https://bucket.s3.amazonaws.com/rendered/{name}/output.mp4?{'y' * 600}",
            "sizeBytes": 40_000_000,
            "durationSeconds": 60.0,
            "frames": 1800,
            "sha256": "a" * 64,
        },
        "metrics": {"framesProcessed": 1800, "framesDropped": 0, "dropRate": 0.0, "memoryPeakMb": 900.0},
        "usage": {"gpuSeconds": 20.0, "wastedGpuSeconds": 0.0},
        "attempts": SEGMENTS,
        "run": {
            "admittedAt": now,
            "finishedAt": now,
            "round": 0,
            "completed": "0-7",
            "frames": 1800,
            "writtenAt": now,
            "workFiles": "Removed",
        },
    }
