"""Leader election with real Leases: one acts, the other takes over, and nobody writes without the Lease."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import datetime, timedelta, tzinfo
from typing import Any

import pytest

from control_plane import ControlPlane
from ecg_cluster.client import LEASES, Client, load_connection
from ecg_cluster.election import Election, LeaseTiming
from ecg_operator.app import Operator, Options
from ecg_operator.errors import LeaseLost
from fake_kubelet import FakeKubelet, slow_segments
from faulty_api import FaultyApi
from operators import SECONDS, Site, finished, in_phase, on_a_loop, render_job, settings_for


class Replica:
    """One of two replicas."""

    def __init__(self, operator: Operator) -> None:
        self.operator = operator
        self.stop = asyncio.Event()
        self.running = asyncio.create_task(operator.run(self.stop))

    async def end(self) -> None:
        self.stop.set()
        await self.running


REAL_LEASE = LeaseTiming()
"""A busy machine does not lose it."""
LOST_SOON = LeaseTiming(lease_seconds=15, renew_seconds=2, retry_seconds=0.3)
"""Given up soon by who cannot renew it, and long before another replica may take over."""


async def replica(site: Site, name: str, timing: LeaseTiming = REAL_LEASE, api: FaultyApi | None = None) -> Replica:
    variables = {"LEASE_NAMESPACE": site.namespace, "POD_NAME": name}
    configuration = await load_connection(str(api.kubeconfig if api else site.kubeconfig))
    options = Options(timing=timing, progress_poll_seconds=0.5)
    return Replica(Operator(settings_for(site.namespace, **variables), configuration, options))


@on_a_loop
async def test_one_of_two_acts_and_gives_the_lease_up_for_the_other_without_double_jobs(
    plane: ControlPlane, kubelet: FakeKubelet, namespace: str
) -> None:
    async with Site(plane.kubeconfig, namespace) as site:
        first = await replica(site, "first")
        await first.operator.working.wait()
        second = await replica(site, "second")
        for number in range(3):
            await site.apply(render_job(f"clip-{number}"))
        await asyncio.sleep(1)
        assert not second.operator.working.is_set()
        await first.end()
        lease = await site.cluster.get(LEASES, site.namespace, "ecg-operator")
        assert not lease["spec"]["holderIdentity"].startswith("first"), "nobody waits for the Lease to run out"
        await asyncio.wait_for(second.operator.working.wait(), SECONDS)
        for number in range(3):
            job = await site.until(f"clip-{number}", finished)
            assert job["status"]["phase"] == "Succeeded"
        await second.end()
    pods = Counter((pod.job, pod.index) for pod in kubelet.started if pod.namespace == namespace)
    assert set(pods.values()) == {1}


def clock_apart(seconds: int) -> type[datetime]:
    """Return a `datetime` whose clock is so far ahead of the machine's."""

    class Clock(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Clock:
            return super().now(tz) + timedelta(seconds=seconds)

    return Clock


@pytest.mark.parametrize("ahead", [120, -120], ids=["first ahead", "first behind"])
@on_a_loop
async def test_replicas_whose_clocks_are_minutes_apart_from_each_other_and_from_the_api_server(
    plane: ControlPlane, kubelet: FakeKubelet, namespace: str, monkeypatch: pytest.MonkeyPatch, ahead: int
) -> None:
    kubelet.scripts[namespace] = slow_segments
    deadlines = {"activeSeconds": 300, "pendingSeconds": 60}
    async with Site(plane.kubeconfig, namespace) as site:
        for name, offset in (("first", ahead), ("second", -ahead)):
            for module in ("observe", "act", "reconcile", "events", "warm_places", "world"):
                monkeypatch.setattr(f"ecg_operator.{module}.datetime", clock_apart(offset))
            acting = await replica(site, name)
            await asyncio.wait_for(acting.operator.working.wait(), SECONDS)
            if name == "first":
                await site.apply(render_job("clip", deadlines=deadlines, ttl={"succeededSeconds": 600}))
                await site.until("clip", in_phase("Rendering"))
            else:
                job = await site.until("clip", finished)
                await asyncio.sleep(1)
                assert (await site.get("clip"))["status"]["phase"] == "Succeeded", "its time to live is not over"
            await acting.end()
    assert job["status"]["phase"] == "Succeeded"
    pods = Counter((pod.job, pod.index) for pod in kubelet.started if pod.namespace == namespace)
    assert set(pods.values()) == {1}


@on_a_loop
async def test_a_replica_that_cannot_renew_its_lease_ends_and_writes_nothing_any_more(
    plane: ControlPlane, namespace: str
) -> None:
    async with FaultyApi(plane.kubeconfig) as api, Site(plane.kubeconfig, namespace) as site:
        first = await replica(site, "first", LOST_SOON, api)
        await first.operator.working.wait()
        second = await replica(site, "second")
        api.refuse = lambda method, path: 500 if "/leases" in path else None
        with pytest.raises(LeaseLost):
            await asyncio.wait_for(first.running, SECONDS)
        assert not second.operator.working.is_set()
        with pytest.raises(LeaseLost):
            await first.operator.cluster.patch(LEASES, namespace, "any", {})
        await asyncio.wait_for(second.operator.working.wait(), SECONDS)
        await site.apply(render_job("clip"))
        await site.until("clip", finished)
        await second.end()


@on_a_loop
async def test_a_replica_stopped_while_it_waits_for_the_lease_ends_at_once(plane: ControlPlane, namespace: str) -> None:
    async with Site(plane.kubeconfig, namespace) as site:
        first = await replica(site, "first")
        await first.operator.working.wait()
        second = await replica(site, "second")
        await asyncio.sleep(0.5)
        await asyncio.wait_for(second.end(), SECONDS)  # the other one leads for as long as it lives
        assert first.operator.leader is not None
        assert first.operator.leader.leads
        await first.end()


@on_a_loop
async def test_of_many_candidates_at_once_one_gets_the_lease(plane: ControlPlane, namespace: str) -> None:
    configuration = await load_connection(str(plane.kubeconfig))
    client = Client(configuration, "candidates")
    leaders = [Election(client, namespace, "many", f"candidate-{number}") for number in range(8)]
    tries = [asyncio.create_task(leader.win()) for leader in leaders]
    await asyncio.wait(tries, return_when=asyncio.FIRST_COMPLETED)
    await asyncio.sleep(0.5)
    assert sum(leader.leads for leader in leaders) == 1
    for task in tries:
        task.cancel()
    await asyncio.wait(tries)
    await client.close()


@on_a_loop
async def test_a_lease_is_given_up_though_a_renewal_that_was_broken_off_still_arrives(
    plane: ControlPlane, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = Client(await load_connection(str(plane.kubeconfig)), "renewal")
    leader = Election(client, namespace, "late", "one")
    await leader.win()
    call, renewal = client.call, [{"metadata": {"annotations": {"renewed": "late"}}}]

    async def overtaken(verb: str, *rest: Any, **options: Any) -> Any:
        if verb == "update" and renewal:
            await call("patch", LEASES, namespace, "late", body=renewal.pop())
        return await call(verb, *rest, **options)

    monkeypatch.setattr(client, "call", overtaken)
    await leader.release()
    lease = await call("get", LEASES, namespace, "late")
    await client.close()
    assert not renewal
    assert lease["spec"]["holderIdentity"] == ""
