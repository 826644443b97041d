"""Replicas of the service in a namespace of a real API server, and the operator's part, played by hand.

async with Place(kubeconfig, namespace, client) as place:
    async with place.replica() as backend:
        await place.post(backend, job_id)
        await place.says(job_id, "Rendering", progress={"percent": 40})

python shim_cluster.py KUBECONFIG NAMESPACE    a replica, until it is killed; prints `ready`
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

from ecg_cluster.client import CONFIG_MAPS, RENDER_JOBS, Json
from ecg_cluster.election import LeaseTiming
from ecg_cluster.errors import NotFound
from ecg_common.addresses import AddressPolicy
from ecg_common.web import checked_client
from ecg_shim.backends.cluster import ClusterBackend, ClusterSettings
from ecg_shim.backends.cluster.tickets import StoredTicket, object_name, read, ticket_name
from ecg_shim.model import Admission, JobState, RenderOrder, RequestOptions, Submission
from ecg_shim.relay import Outbox, Policy, Relay, Sender
from operators import Site
from shim_client_backend import ClientBackend, Row

SECONDS = 60.0
SECONDS_TO_ANSWER = 30.0
BUCKET = "videos"
QUICK = Policy(hold=0.1, hold_terminal=0.2, progress_every=0.05, first_wait=0.1, longest_wait=0.5, unsure=0.3)
LEASE = LeaseTiming(lease_seconds=30.0, renew_seconds=25.0, retry_seconds=0.2)
"""Longer than a busy machine keeps a replica waiting: whoever loses the Lease may tell twice what it was telling."""
SOON_OVER = LeaseTiming(lease_seconds=4.0, renew_seconds=3.0, retry_seconds=0.2)
"""Of a replica that is killed: so long the next one waits."""
ANYWHERE = AddressPolicy(schemes=("http", "https"), setting="ECG_CALLBACK_HOSTS", private=True)
SCENARIO: dict[str, Any] = {"version": "2.0", "cues": [{"id": "c1"}]}
OUTPUT = {
    "uri": f"s3://{BUCKET}/rendered/a/output.mp4",
    "url": "https://videos.example/a.mp4?signed",
    "sizeBytes": 5_000_000,
    "durationSeconds": 30.5,
    "frames": 915,
    "sha256": "0" * 64,
}
PLAN = {"uri": "s3://work/plan.json", "width": 1920, "height": 1080, "rate": "30", "frames": 915}
FAILURE = {"code": "FFMPEG_ERROR", "message": "It broke.", "hint": "Mend it.", "retryable": False, "logTail": []}
# Just now: what ended weeks ago is history to a relay that has never heard of it.
_NOW = datetime.now(UTC).replace(microsecond=0)
STARTED, FINISHED = (_NOW - timedelta(seconds=45)).isoformat(), _NOW.isoformat()


class Place(Site):
    """A namespace with replicas of the service and an editor's backend."""

    def __init__(self, kubeconfig: Path, namespace: str, client: ClientBackend) -> None:
        super().__init__(kubeconfig, namespace)
        self.client = client

    def settings(self, **changes: Any) -> ClusterSettings:
        """Return settings for this place, with short waits."""
        values: dict[str, Any] = {
            "bucket": BUCKET,
            "namespace": self.namespace,
            "kubeconfig": str(self.kubeconfig),
            "scenario_store": "configmap",
            "timing": LEASE,
        }
        return ClusterSettings(**{**values, **changes})

    @asynccontextmanager
    async def replica(
        self, admit: Admission | None = None, *, tells: bool = True, policy: Policy = QUICK, **changes: Any
    ) -> AsyncIterator[ClusterBackend]:
        """Run a replica of the service; with `tells` it makes RenderJobs and tells callbacks if no other one does."""
        async with checked_client(ANYWHERE, timeout=SECONDS_TO_ANSWER) as http:

            def relay(outbox: Outbox) -> Relay:
                return Relay(backend, outbox, Sender(http, None, SECONDS_TO_ANSWER), policy)

            backend = ClusterBackend(self.settings(**changes), admit, relay if tells else None)
            async with backend.running():
                yield backend

    def order(self, job_id: str, scenario: dict[str, Any] | None = None, **options: Any) -> RenderOrder:
        """Return an order as the HTTP surface would make it."""
        text = json.dumps(scenario or SCENARIO).encode()
        return RenderOrder(
            job_id=job_id,
            video_url="s3://in/clip.mp4",
            scenario=text,
            options=RequestOptions(width=1920, height=1080, fps=30, **options),
            callback_url=self.client.callback_url,
            payload_hash=hashlib.sha256(text).hexdigest(),
        )

    def submission(self, job_id: str, payload_hash: str = "0" * 64) -> Submission:
        """Return a submission that cannot be rendered."""
        return Submission(job_id, None, b"{}", {}, self.client.callback_url, payload_hash)

    def new_row(self) -> str:
        """Let the editor's backend have a job; return its id."""
        job_id = str(uuid4())
        self.client.rows[job_id] = Row(job_id, "s3://in/clip.mp4")
        return job_id

    async def post(self, backend: ClusterBackend, job_id: str | None = None, **order: Any) -> str:
        """Post a job as the HTTP surface does, answer included; return its id."""
        job_id = job_id or self.new_row()
        state = await backend.submit(self.order(job_id, **order))
        self.client.rows[job_id].write(status="processing")
        if state.status.terminal:
            await backend.tell_again(job_id)
        return job_id

    async def made(self, job_id: str) -> Json:
        """Wait for the RenderJob of a job."""
        return await self.until(object_name(job_id), bool)

    async def says(self, job_id: str, phase: str, **status: Any) -> None:
        """Write a status as the operator does."""
        await self.made(job_id)
        body = {"status": {"phase": phase, **status}}
        await self.cluster.patch(RENDER_JOBS, self.namespace, object_name(job_id), body, "status")

    async def succeeds(self, job_id: str) -> None:
        """Let the operator finish a job."""
        run = {"admittedAt": STARTED, "finishedAt": FINISHED}
        await self.says(job_id, "Succeeded", output=OUTPUT, run=run, metrics={"framesProcessed": 915})

    async def stored(self, job_id: str) -> StoredTicket | None:
        """Return the ticket of a job, as the API server has it."""
        try:
            found = await self.cluster.get(CONFIG_MAPS, self.namespace, ticket_name(object_name(job_id)))
        except NotFound:
            return None
        return read(found)

    async def told(self, job_id: str, status: str) -> Row:
        """Wait until the row of the editor's backend has a status that it was told."""
        await eventually(lambda: self.client.statuses(job_id)[-1:] == [status])
        return self.client.row(job_id)

    async def settles(self, job_id: str) -> None:
        """Wait until nothing is left to tell."""

        async def told() -> bool:
            stored = await self.stored(job_id)
            return stored is None or (stored.record is not None and stored.told)

        await self.until_true(told)


async def eventually(check: Callable[[], bool], seconds: float = SECONDS) -> None:
    """Wait until `check` holds."""
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline, "it never came to that"
        await asyncio.sleep(0.02)


async def until(backend: ClusterBackend, job_id: str, status: str, seconds: float = SECONDS) -> JobState:
    """Wait until a replica says that a job has a status."""
    deadline = time.monotonic() + seconds
    while True:
        state = await backend.get(job_id)
        if state is not None and state.status == status:
            return state
        assert time.monotonic() < deadline, f"{job_id} is still {state}"
        await asyncio.sleep(0.02)


def start_process(place: Place) -> subprocess.Popen[str]:
    """Start a replica as a process of its own, and return when it works."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}
    command = [sys.executable, __file__, str(place.kubeconfig), place.namespace]
    service = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    assert service.stdout
    assert service.stdout.readline() == "ready\n"
    return service


def kill(service: subprocess.Popen[str]) -> None:
    """End a process without warning."""
    service.kill()
    service.communicate()


async def _serve(kubeconfig: Path, namespace: str) -> None:
    async with Place(kubeconfig, namespace, ClientBackend()).replica(timing=SOON_OVER):
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await asyncio.sleep(3600)


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1]), sys.argv[2]))
