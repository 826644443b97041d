"""What networks and API servers do on bad days: jobs still end as they should, without a storm of requests."""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter

import pytest
from kopf._core.intents.causes import Activity
from kubernetes.aio.client import Configuration

from control_plane import ControlPlane
from ecg_cluster.client import load_connection
from ecg_cluster.queue import FIRST_PAUSE
from ecg_operator.handlers import RenderJobWatch
from ecg_operator.policy import Policy
from fake_kubelet import FakeKubelet
from faulty_api import FaultyApi
from operators import Site, condition, finished, of, on_a_loop, render_job, settings_with

CLIPS = ("a", "b", "c")


async def apply_and_wait(site: Site, seconds: float = 90) -> None:
    """Create some jobs, and wait until each has succeeded with one pod for each piece of work."""
    for name in CLIPS:
        await site.apply(render_job(name))
    for name in CLIPS:
        job = await site.until(name, finished, seconds)
        assert job["status"]["phase"] == "Succeeded", job["status"]


def pods_of(kubelet: FakeKubelet, namespace: str) -> Counter[str]:
    return Counter(pod.role for pod in kubelet.started if pod.namespace == namespace)


@on_a_loop
async def test_watches_that_break_off_all_the_time(plane: ControlPlane, kubelet: FakeKubelet, namespace: str) -> None:
    async with FaultyApi(plane.kubeconfig) as api, Site(plane.kubeconfig, namespace) as site:

        async def cut_again_and_again() -> None:
            while True:
                await asyncio.sleep(0.15)
                api.cut_watches()

        async with site.operator(kubeconfig=api.kubeconfig):
            cutting = asyncio.create_task(cut_again_and_again())
            await apply_and_wait(site)
            cutting.cancel()
            await asyncio.wait([cutting])
    assert pods_of(kubelet, namespace) == {"plan": 3, "segments": 9, "merge": 3}


def most_tries(seconds: float) -> int:
    """Return how often a queue may try what fails for so long: its pauses double, and chance halves some."""
    return max(6, 2 + int(math.log2(2 * seconds / FIRST_PAUSE)))


async def watches(api: FaultyApi, count: int) -> bool:
    return api.open_watches() >= count


@on_a_loop
async def test_versions_that_are_too_old(plane: ControlPlane, kubelet: FakeKubelet, namespace: str) -> None:
    async with (
        FaultyApi(plane.kubeconfig) as api,
        Site(plane.kubeconfig, namespace) as site,
        site.operator(kubeconfig=api.kubeconfig),
    ):
        await site.until_true(lambda: watches(api, 3))
        api.expired = 6
        api.cut_watches()
        await apply_and_wait(site)
        assert api.expired < 6
    assert pods_of(kubelet, namespace) == {"plan": 3, "segments": 9, "merge": 3}


@on_a_loop
async def test_kopf_is_given_only_what_is_not_known_yet(plane: ControlPlane, namespace: str) -> None:
    told: list[tuple[str | None, str]] = []
    async with Site(plane.kubeconfig, namespace) as site:
        await site.apply(render_job("known", suspend=True))
        await site.apply(render_job("not-known", suspend=True))
        known = (await site.get("known"))["metadata"]["uid"]
        watch = RenderJobWatch(
            await load_connection(str(plane.kubeconfig)),
            lambda: [namespace],
            lambda kind, obj: told.append((kind, obj["metadata"]["name"])),
            knows=lambda obj: obj["metadata"]["uid"] == known,
        )
        watching = asyncio.create_task(watch.run())

        async def heard(count: int) -> bool:
            return len(told) >= count

        try:
            await site.until_true(lambda: heard(1))
            await site.change("known", priority=3)  # such as our own write, whose answer is known
            await site.change("not-known", priority=3)
            await site.until_true(lambda: heard(2))  # kopf promises no order between two objects
            await site.delete("known")
            await site.until_true(lambda: heard(3))
        finally:
            watching.cancel()
            await asyncio.wait([watching])
    assert told == [(None, "not-known"), ("MODIFIED", "not-known"), ("DELETED", "known")]


@on_a_loop
async def test_a_watch_of_render_jobs_that_fails_with_an_error_is_begun_again(
    plane: ControlPlane, kubelet: FakeKubelet, namespace: str
) -> None:
    async with (
        FaultyApi(plane.kubeconfig) as api,
        Site(plane.kubeconfig, namespace) as site,
        site.operator(kubeconfig=api.kubeconfig) as operator,
    ):
        await site.until_true(lambda: watches(api, 3))
        api.broken = 2
        api.cut_watches()
        await apply_and_wait(site)

        async def both_failed() -> bool:
            return api.broken == 0

        await site.until_true(both_failed)
        assert operator.health.problems() == []
    assert pods_of(kubelet, namespace) == {"plan": 3, "segments": 9, "merge": 3}


@on_a_loop
async def test_events_that_come_late_and_twice_cause_no_more_requests(
    plane: ControlPlane, kubelet: FakeKubelet, namespace: str
) -> None:
    async with FaultyApi(plane.kubeconfig) as api, Site(plane.kubeconfig, namespace) as site:
        api.delay, api.repeat = 0.7, True
        async with site.operator(kubeconfig=api.kubeconfig):
            await apply_and_wait(site)
    assert pods_of(kubelet, namespace) == {"plan": 3, "segments": 9, "merge": 3}
    assert api.count("POST", "/jobs") == 9  # a plan, segments and a merge for each, each asked for once


@on_a_loop
async def test_the_api_server_goes_away_and_comes_back(
    plane: ControlPlane, kubelet: FakeKubelet, namespace: str
) -> None:
    # The two watches come back by themselves, each after a pause of up to five seconds: until both have, the report of
    # a Job that is over may be missing.
    settings = settings_with(namespace, unseen_seconds=Policy.unseen_seconds)
    async with Site(plane.kubeconfig, namespace) as site, site.operator(settings=settings):
        for name in CLIPS:
            await site.apply(render_job(name))
        await asyncio.sleep(0.3)
        plane.kill_api_server()
        await asyncio.to_thread(plane.start_api_server)
        for name in CLIPS:
            job = await site.until(name, finished, 90)
            assert job["status"]["phase"] == "Succeeded", job["status"]
    # The Job controller may make a pod twice if it does not hear that it made it: what counts is that no Job is double.
    started = {(pod.role, pod.job, pod.index) for pod in kubelet.started if pod.namespace == namespace}
    assert Counter(role for role, _, _ in started) == {"plan": 3, "segments": 9, "merge": 3}


@on_a_loop
async def test_one_job_that_the_api_server_fails_for_does_not_concern_the_others(
    plane: ControlPlane, namespace: str
) -> None:
    async with FaultyApi(plane.kubeconfig) as api, Site(plane.kubeconfig, namespace) as site:
        unlucky = f"/namespaces/{namespace}/renderjobs/unlucky/status"
        api.refuse = lambda method, path: 500 if path.endswith(unlucky) else None
        async with site.operator(kubeconfig=api.kubeconfig):
            began = time.monotonic()
            await site.apply(render_job("unlucky"))
            await asyncio.sleep(0.5)
            await apply_and_wait(site)
            tries = api.count("PATCH", unlucky)
            most = most_tries(time.monotonic() - began) + 2
            assert 1 <= tries <= most, f"{tries} tries within seconds are no backoff"
            api.refuse = lambda method, path: None
            await site.until("unlucky", finished)


@on_a_loop
async def test_jobs_that_may_not_be_created_are_said_so_and_tried_with_pauses(
    plane: ControlPlane, namespace: str
) -> None:
    async with FaultyApi(plane.kubeconfig) as api, Site(plane.kubeconfig, namespace) as site:
        api.refuse = lambda method, path: 403 if method == "POST" and path.endswith("/jobs") else None
        async with site.operator(kubeconfig=api.kubeconfig):
            began = time.monotonic()
            await site.apply(render_job("clip"))

            async def told() -> bool:
                return any("a bad day" in event["message"] for event in await site.events("clip"))

            await site.until_true(told)
            await asyncio.sleep(2)
            tries = api.count("POST", "/jobs")
            assert 1 <= tries <= most_tries(time.monotonic() - began)
            await site.until("clip", lambda job: "a bad day" in condition(job, "Scheduled").get("message", ""))
            api.refuse = lambda method, path: None
            job = await site.until("clip", finished)
            assert job["status"]["phase"] == "Succeeded"


@on_a_loop
async def test_a_conflict_is_looked_at_again_and_not_overwritten(plane: ControlPlane, namespace: str) -> None:
    refusals = iter([409, 409, 409])

    def conflict(method: str, path: str) -> int | None:
        return next(refusals, None) if path.endswith("/status") else None

    async with FaultyApi(plane.kubeconfig) as api, Site(plane.kubeconfig, namespace) as site:
        api.refuse = conflict
        async with site.operator(kubeconfig=api.kubeconfig):
            await site.apply(render_job("clip"))
            job = await site.until("clip", finished)
            assert job["status"]["phase"] == "Succeeded"
            assert not [event for event in await site.events("clip") if event["reason"] == "Refused"]


@on_a_loop
async def test_a_deletion_that_nobody_told_is_noticed_by_the_next_list(plane: ControlPlane, namespace: str) -> None:
    async with Site(plane.kubeconfig, namespace) as site, site.operator(RESYNC_SECONDS="1") as operator:
        operator.world.render_job_event = lambda kind, obj: None  # type: ignore[method-assign]
        operator.kopf._deliver = operator.world.render_job_event
        await site.apply(render_job("clip"))
        job = await site.until("clip", finished)
        await site.delete("clip")

        async def forgotten() -> bool:
            return len(operator.world.render_jobs) == 0 and not of(job, await site.jobs())

        await site.until_true(forgotten)


@on_a_loop
async def test_credentials_that_are_refused_are_tried_again_after_a_pause_and_new_ones_at_once(
    plane: ControlPlane, namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[str] = []
    async with FaultyApi(plane.kubeconfig) as api, Site(plane.kubeconfig, namespace) as site:
        await site.apply(render_job("clip", suspend=True))
        configuration = await load_connection(str(api.kubeconfig))
        tokens = ["Bearer old"]

        async def refresh(own: Configuration) -> None:
            own.api_key["authorization"] = tokens[-1]

        configuration.refresh_api_key_hook = refresh
        api.refuse = lambda method, path: 401
        watch = RenderJobWatch(
            configuration,
            lambda: [namespace],
            lambda kind, obj: told.append(obj["metadata"]["name"]),
            knows=lambda obj: False,
        )
        watching = asyncio.create_task(watch.run())

        async def refused() -> bool:
            return "starting it again" in caplog.text

        async def heard() -> bool:
            return told == ["clip"]

        try:
            await site.until_true(refused)
            assert len(api.requests) < 20
            assert "refuses the operator's credentials (401)" in caplog.text
            api.refuse = lambda method, path: None if len(tokens) > 1 else 401
            tokens.append("Bearer new")
            await site.until_true(heard)
        finally:
            watching.cancel()
            await asyncio.wait([watching])


@on_a_loop
async def test_kopf_may_log_in_anew_with_credentials_that_nobody_has_refused(
    plane: ControlPlane, namespace: str
) -> None:
    """As it does after a connection that TLS has closed."""
    watch = RenderJobWatch(
        await load_connection(str(plane.kubeconfig)), lambda: [namespace], lambda kind, obj: None, lambda obj: False
    )
    registry = watch._registry(asyncio.get_running_loop(), (namespace,))
    [login] = registry._activities.get_handlers(activity=Activity.AUTHENTICATION)
    for _ in range(2):
        session = await login.fn()
        assert session is not None
        await session.aiohttp_session.close()
