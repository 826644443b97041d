"""The operator dies after each single write that it makes in a life: another one brings every job to the same end."""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from control_plane import ControlPlane
from ecg_api.failures import FailureCode
from ecg_cluster.client import Call, Json, Resource, load_connection
from ecg_cluster.errors import NotFound
from ecg_operator.app import Operator, Options
from fake_kubelet import FakeKubelet, Outcome, Pod, fail, succeed
from operators import Site, finished, of, on_a_loop, render_job, settings_for

# Who is killed closes no connection; Python says so when it finds one.
pytestmark = pytest.mark.filterwarnings("ignore:.*Connection:pytest.PytestUnraisableExceptionWarning")

NAMESPACES = Resource("/api/v1", "namespaces")
ACCOUNTS = Resource("/api/v1", "serviceaccounts")
AT_A_TIME = 8
READS = ("get", "list", "watch")


class Killed(BaseException):
    """Stands for SIGKILL: nothing that the operator has for orderly ends may see it."""


class Killer:
    """Kills an operator after its n-th write, and counts."""

    def __init__(self, after: int | None) -> None:
        self.after = after
        self.writes: list[str] = []

    @property
    def dead(self) -> bool:
        return self.after is not None and len(self.writes) >= self.after

    def __call__(self, call: Call) -> None:
        if call.verb not in READS and not self.dead:
            self.writes.append(f"{call.verb} {call.resource}")
        if self.dead:
            raise Killed

    def fence(self) -> float:
        return 0.0 if self.dead else 10.0


async def run_until_killed(site: Site, killer: Killer, name: str) -> None:
    options = Options(elects=False, after_call=killer, progress_poll_seconds=0.3)
    operator = Operator(settings_for(site.namespace), await load_connection(str(site.kubeconfig)), options)
    operator.cluster.fence = killer.fence
    stop = asyncio.Event()
    running = asyncio.create_task(operator.run(stop))

    async def over() -> bool:
        return running.done() or await is_settled(site, name)

    await site.until_true(over)
    stop.set()
    await asyncio.wait([running])
    error = running.exception()
    assert error is None or killer.dead, error


async def is_settled(site: Site, name: str) -> bool:
    """Whether a job is finished, its children are gone, and its work files too."""
    job = await site.get(name)
    if not finished(job) or job["status"]["run"]["workFiles"] == "Written":
        return False
    return not [child for child in of(job, await site.jobs()) if not child.endswith("-clean")]


@asynccontextmanager
async def own_namespace(kubeconfig: Path) -> AsyncIterator[Site]:
    name = f"t-{secrets.token_hex(4)}"
    async with Site(kubeconfig, name) as site:
        await site.cluster.client.call("create", NAMESPACES, None, body={"metadata": {"name": name}})

        async def has_account() -> bool:
            try:
                return bool(await site.cluster.get(ACCOUNTS, name, "default"))
            except NotFound:
                return False

        await site.until_true(has_account)
        yield site


def end_state(job: Json) -> dict[str, Any]:
    """What must not depend on when the operator died."""
    status = job["status"]
    kept = ("phase", "reason", "segments", "output", "encoder", "attempts", "plan", "failure")
    return {
        **{name: status.get(name) for name in kept},
        # Whether anybody saw the pods wait depends on when one looks.
        "conditions": {c["type"]: (c["status"], c["reason"]) for c in status["conditions"] if c["type"] != "Scheduled"},
        "frames": (status.get("progress") or {}).get("framesDone"),
        "processed": (status.get("metrics") or {}).get("framesProcessed"),
    }


async def life(
    plane: ControlPlane, kubelet: FakeKubelet, script: Any, after: int | None, change: dict[str, Any]
) -> tuple[dict[str, Any], Counter[str], list[str]]:
    """Return how a life ends in which the operator is killed after so many writes, its pods, and the writes."""
    async with own_namespace(plane.kubeconfig) as site:
        kubelet.scripts[site.namespace] = script
        await site.apply(render_job("clip", retry={"perSegment": 0}))
        if change:
            async with site.operator():
                await site.until("clip", lambda job: job.get("status", {}).get("segments", {}).get("active") == 3)
            await site.change("clip", **change)
        killer = Killer(after)
        await run_until_killed(site, killer, "clip")
        if killer.dead:
            async with site.operator():
                await site.until_true(lambda: is_settled(site, "clip"))
        job = await site.get("clip")
        pods = Counter(f"{pod.role}-{pod.segment}" for pod in kubelet.started if pod.namespace == site.namespace)
        return end_state(job), pods, killer.writes


async def check_every_write(plane: ControlPlane, kubelet: FakeKubelet, script: Any, **change: Any) -> None:
    wanted, pods, writes = await life(plane, kubelet, script, None, change)
    gate = asyncio.Semaphore(AT_A_TIME)

    async def killed_after(number: int) -> str:
        async with gate:
            try:
                found, found_pods, _ = await life(plane, kubelet, script, number, change)
            except AssertionError as error:
                return f"killed after write {number}, {writes[number - 1]}: {error}"
        if (found, found_pods) == (wanted, pods):
            return ""
        return f"killed after write {number}, {writes[number - 1]}: {found} {found_pods} instead of {wanted} {pods}"

    answers = await asyncio.gather(*(killed_after(number) for number in range(1, len(writes) + 1)))
    assert not list(filter(None, answers)), "\n".join(filter(None, answers))
    assert len(writes) >= 3, writes


@on_a_loop
async def test_a_job_succeeds_whenever_the_operator_dies(plane: ControlPlane, kubelet: FakeKubelet) -> None:
    await check_every_write(plane, kubelet, succeed)


@on_a_loop
async def test_a_job_fails_the_same_way_whenever_the_operator_dies(plane: ControlPlane, kubelet: FakeKubelet) -> None:
    def second_segment_fails(pod: Pod) -> Outcome:
        if pod.role == "segments" and pod.segment == 1:
            return replace(fail(FailureCode.INVALID_VIDEO_FORMAT), after=2)
        return succeed(pod)

    await check_every_write(plane, kubelet, second_segment_fails)


@on_a_loop
async def test_a_job_is_cancelled_whenever_the_operator_dies(plane: ControlPlane, kubelet: FakeKubelet) -> None:
    def segments_run_on(pod: Pod) -> Outcome:
        return Outcome(seconds=None) if pod.role == "segments" else succeed(pod)

    await check_every_write(plane, kubelet, segments_run_on, cancel=True)
