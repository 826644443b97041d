"""What the service does while the API server, the network between, or its rights are not as they should be."""

from __future__ import annotations

import asyncio
import json
import re
from datetime import UTC, datetime
from typing import Any

import pytest
import yaml

from chart import SERVICE, Json, objects, of_kind
from control_plane import ControlPlane
from ecg_cluster.client import LEASES, NODES, Resource
from ecg_cluster.errors import NoAnswer
from ecg_cluster.reflector import Reflector
from ecg_shim.backends.cluster import ClusterBackend, api
from ecg_shim.model import Unavailable
from ecg_shim.relay.records import RecordState
from faulty_api import FaultyApi
from operators import on_a_loop, render_job
from shim_cluster import PLAN, SECONDS, Place, eventually, until

ACCOUNT = "ecg-render-service"


@on_a_loop
async def test_what_happens_while_no_watch_is_open_is_told_in_the_end(place: Place) -> None:
    async with (
        place,
        FaultyApi(place.kubeconfig) as faulty,
        place.replica(kubeconfig=str(faulty.kubeconfig)) as backend,
    ):
        jobs = [await place.post(backend) for _ in range(3)]
        for job_id in jobs:
            await place.says(job_id, "Rendering", plan=PLAN)
            await place.told(job_id, "processing")
        faulty.refuse = lambda method, path: 500 if method == "GET" and path.endswith(("renderjobs", "maps")) else None
        faulty.expired = 2
        faulty.cut_watches()
        await place.succeeds(jobs[0])
        await place.says(jobs[1], "Failed")
        await place.delete(jobs[2])
        await asyncio.sleep(0.5)
        faulty.refuse = lambda method, path: None
        await place.told(jobs[0], "completed")
        await place.told(jobs[1], "failed")
        await place.told(jobs[2], "cancelled")


@on_a_loop
async def test_late_and_repeated_events_repeat_no_callback_and_turn_nothing_back(place: Place) -> None:
    async with place, FaultyApi(place.kubeconfig) as faulty:
        faulty.delay, faulty.repeat = 0.3, True
        async with place.replica(kubeconfig=str(faulty.kubeconfig)) as backend:
            job_id = await place.post(backend)
            for percent in (10, 40, 70):
                await place.says(job_id, "Rendering", plan=PLAN, progress={"percent": percent})
            await place.succeeds(job_id)
            await place.told(job_id, "completed")
            await place.settles(job_id)
            progress = [one.body["progress"] for one in place.client.of(job_id)]
            assert progress == sorted(set(progress))
            cancelled = await place.post(backend)
            assert await backend.cancel(cancelled)
            state = await backend.get(cancelled)
            assert state is not None
            assert state.status == "cancelled"


def test_a_replica_that_cannot_follow_changes_any_more_is_not_ready_and_ends(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    @on_a_loop
    async def run() -> None:
        async with place, place.replica() as backend:
            assert backend.not_ready() == []
            # What one object does to its reading is passed over; this is a mistake of ours.
            monkeypatch.setattr(Reflector, "_take", lambda self, event: 1 / 0)
            job_id = place.new_row()
            await backend.submit(place.order(job_id))
            await asyncio.wait_for(backend.tasks.ended(), SECONDS)
            assert "has ended: division by zero" in backend.not_ready()[0]

    run()


@on_a_loop
async def test_a_replica_that_hears_nothing_for_long_is_not_ready(place: Place) -> None:
    async with (
        place,
        FaultyApi(place.kubeconfig) as faulty,
        place.replica(kubeconfig=str(faulty.kubeconfig)) as backend,
    ):
        await eventually(lambda: faulty.open_watches() == 2)
        faulty.refuse = lambda method, path: 500 if method == "GET" and path.endswith("renderjobs") else None
        faulty.cut_watches()
        await eventually(lambda: bool(backend._cache.problems))
        assert backend.not_ready() == []
        backend._cache.reflectors[0]._heard_at -= 90
        assert "cannot be watched" in backend.not_ready()[0]


@on_a_loop
async def test_a_post_after_the_end_is_told_the_end_again_by_a_replica_that_has_not_heard_that_it_was_told(
    place: Place,
) -> None:
    async with (
        place,
        FaultyApi(place.kubeconfig) as faulty,
        place.replica() as one,
        place.replica(tells=False, kubeconfig=str(faulty.kubeconfig)) as two,
    ):
        job_id = await place.post(one)
        await eventually(lambda: two._cache.entry(job_id).stored is not None)
        faulty.refuse = lambda method, path: 500 if path.endswith("/configmaps") else None
        faulty.cut_watches()
        await place.succeeds(job_id)
        await place.told(job_id, "completed")
        await place.settles(job_id)
        await eventually(lambda: [state.status for state in two._cache.newest(1)] == ["completed"])
        known = two._cache.entry(job_id).stored
        assert known is not None
        assert known.record_state is not RecordState.SETTLED
        await place.post(two, job_id)
        await eventually(lambda: [one.body["status"] for one in place.client.of(job_id)] == ["completed"] * 2)
        assert place.client.row(job_id).status == "completed"


@on_a_loop
async def test_a_post_outlasts_an_api_server_that_is_away_for_a_moment(place: Place) -> None:
    async with (
        place,
        FaultyApi(place.kubeconfig) as faulty,
        place.replica(kubeconfig=str(faulty.kubeconfig)) as backend,
    ):
        faulty.refuse = lambda method, path: 500 if method == "POST" else None
        posting = asyncio.create_task(place.post(backend))
        await eventually(lambda: faulty.count("POST", "/configmaps") >= 3)
        assert not posting.done()
        faulty.refuse = lambda method, path: None
        await place.made(await posting)


@on_a_loop
async def test_a_write_whose_answer_is_lost_makes_no_second_job(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    lost: list[str] = []
    async with place, place.replica() as backend:
        call = backend._api.client.call

        async def lossy(verb: str, resource: Resource, *rest: Any, **options: Any) -> Any:
            answer = await call(verb, resource, *rest, **options)
            what = f"{verb} {resource.plural}"
            if verb in ("create", "patch") and resource is not LEASES and what not in lost:
                lost.append(what)
                raise NoAnswer(0, "", "the answer is lost")
            return answer

        monkeypatch.setattr(backend._api.client, "call", lossy)
        job_id = await place.post(backend)
        uid = (await place.made(job_id))["metadata"]["uid"]
        await place.succeeds(job_id)
        await place.told(job_id, "completed")
        await place.settles(job_id)
        assert set(lost) >= {"create configmaps", "create renderjobs", "patch configmaps"}
        assert (await place.get(job_id))["metadata"]["uid"] == uid
        assert place.client.statuses(job_id)[-1] == "completed"
        assert len({one.headers["webhook-id"] for one in place.client.of(job_id)}) == 1


def test_jobs_are_told_from_memory_and_none_is_taken_while_the_api_server_is_away(
    plane: ControlPlane, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "PATIENCE", 0.5)

    @on_a_loop
    async def run() -> None:
        async with place, place.replica() as backend:
            job_id = await place.post(backend)
            await place.says(job_id, "Rendering", plan=PLAN)
            await until(backend, job_id, "processing")
            await asyncio.to_thread(plane.kill_api_server)
            try:
                await eventually(lambda: not backend._cache.live)
                known = await backend.get(job_id)
                assert known is not None
                assert known.status == "processing"
                with pytest.raises(Unavailable, match="API server"):
                    await backend.get("5a0c1f0e-0000-0000-0000-000000000000")
                with pytest.raises(Unavailable, match="API server"):
                    await backend.submit(place.order(place.new_row()))
                assert not backend.health()["healthy"]
            finally:
                await asyncio.to_thread(plane.start_api_server)
            await place.succeeds(job_id)
            await place.told(job_id, "completed")
            await eventually(lambda: backend._cache.live)

    run()


def rights_of_the_service(namespace: str) -> list[Json]:
    """Return the account of the service as the chart makes it, its roles and bindings, in `namespace`."""
    release = objects(*SERVICE)
    bindings = [one for one in release if any(subject["name"] == ACCOUNT for subject in one.get("subjects", ()))]
    assert {one["kind"] for one in bindings} == {"RoleBinding"}
    roles = [of_kind(release, "Role", one["roleRef"]["name"])[0] for one in bindings]
    found = of_kind(release, "ServiceAccount", ACCOUNT) + roles + bindings
    for one in found:
        one["metadata"]["namespace"] = namespace
    for subject in (subject for one in bindings for subject in one["subjects"]):
        subject["namespace"] = namespace
    return found


def test_the_rights_that_the_chart_gives_are_enough(plane: ControlPlane, place: Place) -> None:
    plane.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(rights_of_the_service(place.namespace)))
    kubeconfig = str(plane.kubeconfig_for(ACCOUNT, place.namespace))

    @on_a_loop
    async def run() -> None:
        lease = place.namespace, "ecg-render-operator"
        async with place, place.replica(kubeconfig=kubeconfig, operator_lease=lease) as backend:
            job_id = await place.post(backend, scenario={"cues": [{"id": str(number)} for number in range(600)]})
            await place.succeeds(job_id)
            await place.told(job_id, "completed")
            await place.until(job_id, lambda job: job["status"].get("callback", {}).get("state") == "Delivered")
            await place.post(backend, job_id, scenario={"cues": [{}]})
            await place.until(job_id, lambda job: bool(job) and "status" not in job)
            assert await backend.cancel(job_id)
            assert not await backend.cancel("never-heard-of")
            await place.delete(job_id)
            await eventually(lambda: backend.health()["problems"] == [_nobody(place, "ecg-render-operator")])

    run()


def test_a_service_without_rights_says_what_is_missing(
    plane: ControlPlane, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    plane.kubectl("create", "serviceaccount", "nobody", f"--namespace={place.namespace}")
    kubeconfig = str(plane.kubeconfig_for("nobody", place.namespace))

    async def refusal(seconds: float) -> str:
        monkeypatch.setattr("ecg_shim.backends.cluster.backend.SECONDS_TO_SYNC", seconds)
        with pytest.raises(Unavailable) as refused:
            await ClusterBackend(place.settings(kubeconfig=kubeconfig)).start()
        return str(refused.value)

    @on_a_loop
    async def run() -> None:
        for seconds in (1.0, 30.0):  # on a busy machine the API server may say nothing within a second
            said = await refusal(seconds)
            if re.search(r"renderjobs cannot be watched.*forbidden", said):
                break
        else:
            raise AssertionError(said)

    run()


@on_a_loop
async def test_a_render_job_of_any_depth_beside_its_own_ends_no_service(plane: ControlPlane, place: Place) -> None:
    deep = json.dumps(render_job("deep", scenario={"inline": {"cues": ["DEEP"]}}))
    deep = deep.replace('"DEEP"', "[" * 2000 + "]" * 2000)
    async with place:
        plane.kubectl("create", f"--namespace={place.namespace}", "-f", "-", stdin=deep)
        async with place.replica() as backend:
            deeper = deep.replace('"deep"', '"deeper"')
            plane.kubectl("create", f"--namespace={place.namespace}", "-f", "-", stdin=deeper)
            job_id = await place.post(backend)
            await place.made(job_id)
            await eventually(lambda: {"deep", "deeper"} <= set(backend._cache.names()))
            assert not backend.tasks.problem


@on_a_loop
async def test_health_tells_of_the_operator_and_of_gpus(place: Place) -> None:
    share = "nvidia.com/gpu.shared"
    async with place, place.replica(operator_lease=("", "ecg-operator"), gpu_resource=share) as backend:
        await eventually(lambda: bool(backend._health.problems))
        assert backend.health()["problems"] == [_nobody(place)]
        spec = {"holderIdentity": "one", "leaseDurationSeconds": 15, "renewTime": _time("2026-01-01")}  # another clock
        lease = {"metadata": {"name": "ecg-operator"}, "spec": spec}
        await place.cluster.create(LEASES, place.namespace, lease)
        await backend._health.look()
        assert backend.health()["problems"] == []
        patience, backend._health._stale_seconds = backend._health._stale_seconds, 0.3
        await asyncio.sleep(0.4)
        await backend._health.look()
        assert "has not renewed" in backend.health()["problems"][0]
        backend._health._stale_seconds = patience  # it looks by itself, too: what follows may take longer than 0.3 s
        renewed = {"spec": {"renewTime": _time()}}
        await place.cluster.patch(LEASES, place.namespace, "ecg-operator", renewed)
        node = {"metadata": {"name": f"gpu-{place.namespace}"}}
        await place.cluster.client.call("create", NODES, None, body=node)
        has = {"nvidia.com/gpu": "0", share: "4"}
        status = {"status": {"allocatable": has, "capacity": has}}
        await place.cluster.client.call("patch", NODES, None, f"gpu-{place.namespace}", part="status", body=status)
        backend._health._nodes_at = float("-inf")
        await backend._health.look()
        health = backend.health()
        assert (health["healthy"], health["gpu_count"]) == (True, 4)
        assert health["gpu"] == {f"gpu-{place.namespace}": {"name": share, "allocatable": 4.0}}


def _nobody(place: Place, lease: str = "ecg-operator") -> str:
    return f"No operator runs: nobody holds the Lease {place.namespace}/{lease}. Jobs wait until one is started."


def _time(text: str = "") -> str:
    moment = datetime.fromisoformat(text).replace(tzinfo=UTC) if text else datetime.now(UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
