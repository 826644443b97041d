"""What jobs that have ended cost a replica that keeps them: memory, and time of everybody who asks.

python test_many_kept_jobs.py 20000    prints it as JSON; memory grows with the number, times do not
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from datetime import datetime
from typing import Any, cast

import psutil

from ecg_cluster.client import RENDER_JOBS, Json, Knows, Resource
from ecg_shim.backends.cluster import tickets
from ecg_shim.backends.cluster.api import Api
from ecg_shim.backends.cluster.store import JobCache
from ecg_shim.backends.cluster.tickets import OUTBOX, Stage, Ticket
from ecg_shim.model import JobState
from ecg_shim.relay.payloads import payload
from ecg_shim.relay.records import CallbackRecord, Delivery, RecordState
from ecg_shim.wire import StatusReply

KEPT = int(sys.argv[1]) if __name__ == "__main__" else 4_000
MOMENT = datetime.fromisoformat("2026-01-01T00:00:00.123+00:00")
TYPES = ("Planned", "Scheduled", "Rendered", "Merged", "Succeeded", "Finished", "CallbackDelivered")
SIGNED = "https://videos.s3.eu-central-1.amazonaws.com/x?X-Amz-Security-Token=" + "y" * 900


def render_job(number: int) -> Json:
    """Return a RenderJob of the service that has succeeded, with everything that an operator writes."""
    name = f"{number:08x}-0000-4000-8000-000000000000"
    notes = {"job-id": name, "submitted-at": MOMENT.isoformat(), "payload-sha256": f"{number:064x}"}
    condition = {"status": "True", "reason": "Completed", "message": "All 8 segments are in storage.",
                 "lastTransitionTime": "2026-01-01T00:00:00Z", "observedGeneration": 1}  # fmt: skip
    return {
        "metadata": {
            "name": name, "namespace": "render", "uid": f"{number:08x}-1111-4000-8000-000000000000",
            "resourceVersion": str(1_000_000 + number),
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "annotations": {f"render.ecg.dev/{key}": value for key, value in notes.items()},
        },
        "spec": {
            "source": {"uri": "https://cdn.example.com/v.mp4"}, "scenario": {"inline": {"cues": [{"id": "c"}] * 100}},
            "options": {"width": 1920, "height": 1080}, "callback": {"url": "https://backend.example.com/callback"},
            "output": {"uri": f"s3://videos/rendered/{name}/output.mp4"},
        },
        "status": {
            "phase": "Succeeded", "conditions": [{"type": kind, **condition} for kind in TYPES],
            "progress": {"framesDone": 1800, "framesTotal": 1800, "percent": 100},
            "segments": {"total": 8, "succeeded": 8},
            "plan": {"width": 1920, "height": 1080, "rate": "30", "frames": 1},
            "output": {"uri": f"s3://videos/rendered/{name}/output.mp4", "url": SIGNED + name, "sizeBytes": 1,
                       "durationSeconds": 60.0, "frames": 1800, "sha256": "a" * 64},
            "metrics": {"framesProcessed": 1800, "framesDropped": 2, "memoryPeakMb": 900.0},
            "run": {"admittedAt": "2026-01-01T00:00:00Z", "finishedAt": "2026-01-01T00:01:00Z"},
            "callback": {"state": "Delivered", "lastDelivered": f"cb_{number:032x}", "attempts": 1},
        },
    }  # fmt: skip


def ticket(number: int, state: JobState) -> Json:
    """Return its ticket, as the relay has left it."""
    stored = Ticket(job_id=state.job_id, stage=Stage.ENDED, submitted_at=MOMENT, changed_at=MOMENT, video_url="s3://in/a",
                   options={"width": 1920, "height": 1080}, payload_hash=state.payload_hash,
                   callback_url=state.callback_url)  # fmt: skip
    told = Delivery(id=f"cb_{number:032x}", terminal=True, payload=payload(state, 1.0), first_try=1.0)
    record = CallbackRecord(job_id=state.job_id, url=state.callback_url, created_at=MOMENT.isoformat(), version=1,
                            seen_at=1.0, state=RecordState.SETTLED, terminal=told)  # fmt: skip
    config_map = tickets.config_map(stored)
    config_map["metadata"] |= {"namespace": "render",
                               "uid": f"{number:08x}-2222-4000-8000-000000000000", "resourceVersion": str(number + 1),
                               "creationTimestamp": "2026-01-01T00:00:00Z"}  # fmt: skip
    config_map["data"][OUTBOX] = record.model_dump_json()
    return config_map


class Pages:
    """An API server with those objects, page by page."""

    cache: Any = None
    namespace = "render"

    def __init__(self) -> None:
        self.spent = 0.0
        self.client = self

    async def list_page(self, resource: Resource, namespace: str, params: dict[str, str], knows: Knows) -> Json:
        first, size = int(params.get("continue", 0)), int(params["limit"])
        await asyncio.sleep(0)
        began = time.process_time()
        numbers = range(first, min(first + size, KEPT))
        made = [render_job(number) for number in numbers]
        if resource is not RENDER_JOBS:
            states = [self.cache.get(job["metadata"]["name"]) for job in made]
            made = [ticket(number, state) for number, state in zip(numbers, states, strict=True)]
        meta = {"resourceVersion": "9000000"} | ({"continue": str(first + size)} if first + size < KEPT else {})
        # As it comes over the wire: nothing is shared.
        answer: Json = json.loads(json.dumps({"items": made, "metadata": meta}))
        self.spent += time.process_time() - began
        return answer


def memory_mb() -> float:
    return psutil.Process().memory_info().rss / 1e6


async def measure() -> dict[str, float]:
    """Return megabytes and seconds."""
    pages = Pages()
    cache = pages.cache = JobCache(cast(Api, pages), "https://render.example")
    before = memory_mb()
    jobs, kept_tickets = cache.reflectors
    await jobs.list_all()
    await kept_tickets.list_all()
    kept = memory_mb()
    assert len(cache) == KEPT
    states = [cache.newest(50)[0].job_id, cache.newest(KEPT)[-1].job_id]
    seconds: dict[str, float] = {}
    for name, asked in {
        "poll": lambda: [StatusReply.of(cast(JobState, cache.get(job_id))).model_dump_json() for job_id in states],
        "newest": lambda: cache.newest(50),
        "queue": lambda: (cache.waiting(), cache.begun(), len(cache)),
    }.items():
        began = time.process_time()
        for _ in range(100):
            asked()
        seconds[name] = (time.process_time() - began) / 100
    # A new list, as after a watch that was away for long; somebody asks all the time.
    listing = asyncio.create_task(jobs.list_all())
    late = 0.0
    while not listing.done():
        began, spent = time.process_time(), pages.spent
        await asyncio.sleep(0)
        late = max(late, time.process_time() - began - (pages.spent - spent))
    # What a relay that takes over has to look at.
    told = cache.listen()
    fresh = asyncio.create_task(anext(told))
    await asyncio.sleep(0.05)
    left = fresh.done()
    fresh.cancel()
    await asyncio.gather(fresh, return_exceptions=True)
    return {"before_mb": before, "kept_mb": kept, "after_new_list_mb": memory_mb(), "blocked": late,
            "left_to_tell": float(left), "frames": float(cache.processed), **seconds}  # fmt: skip


def test_kept_jobs_take_7_kb_each_and_keep_nobody_waiting() -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}
    command = [sys.executable, __file__, str(KEPT)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=170)
    assert done.returncode == 0, done.stderr
    measured = json.loads(done.stdout)
    # 15 MB are the pages on their way. 20,000 jobs are 210 MB with all that this imports, of the 300 that may be.
    assert measured["after_new_list_mb"] - measured["before_mb"] < 15 + KEPT * 0.0075, measured
    assert measured["frames"] == KEPT * 1800
    assert measured["left_to_tell"] == 0
    # Of the processor's time, so that a busy machine changes nothing.
    assert measured["blocked"] < 0.05, measured
    assert max(measured["poll"], measured["newest"], measured["queue"]) < 0.001, measured


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asyncio.run(measure())))
