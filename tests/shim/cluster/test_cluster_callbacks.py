"""Callbacks from a cluster: one replica tells them, and what it has told outlives it."""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
from dataclasses import replace
from typing import Any

import pytest

from control_plane import ControlPlane
from ecg_api.conditions import ConditionType
from ecg_api.failures import Failure, FailureCode
from ecg_cluster.client import CONFIG_MAPS, LEASES, RENDER_JOBS
from ecg_cluster.errors import Changed, NotFound
from ecg_shim.backends.cluster.outbox import ClusterOutbox
from ecg_shim.backends.cluster.store import JobCache
from ecg_shim.model import JobStatus, RenderOrder, Unavailable
from ecg_shim.relay.records import CallbackRecord, Delivery, RecordState
from faulty_api import FaultyApi
from go_tools import tool
from operators import condition, on_a_loop, render_job
from shim_cluster import OUTPUT, PLAN, QUICK, SECONDS, Place, eventually, kill, start_process, until

BROKEN = Failure(code=FailureCode.INVALID_VIDEO_URL, message="There is no video.", retryable=False)


def ends(place: Place, job_id: str) -> list[str]:
    """Return the terminal callbacks of a job."""
    said = [str(one.body["status"]) for one in place.client.of(job_id)]
    return [status for status in said if status != "processing"]


@on_a_loop
async def test_how_far_telling_has_come_is_seen_on_the_render_job(place: Place) -> None:
    async with place, place.replica() as backend:
        job_id = await place.post(backend)
        await place.succeeds(job_id)
        told = await place.until(job_id, lambda job: condition(job, "CallbackDelivered").get("status") == "True")
        (end,) = [one for one in place.client.of(job_id) if one.body["status"] == "completed"]
        assert told["status"]["callback"] == {
            "state": "Delivered",
            "attempts": 1,
            "lastDelivered": end.headers["webhook-id"],
        }


@on_a_loop
async def test_where_a_job_can_be_watched_stands_on_it_beside_what_is_told(place: Place) -> None:
    public = "https://render.example"
    async with place, place.replica(public_url=public) as backend:
        job_id = await place.post(backend, live=True)
        assert (await place.made(job_id))["spec"]["live"] == {}
        await place.says(job_id, "Rendering", plan={**PLAN, "liveUri": "s3://work/cells/live/0.json"})
        wanted = {"url": f"{public}/api/render/{job_id}/live.m3u8"}
        await place.until(job_id, lambda job: (job.get("status") or {}).get("live") == wanted)
        state = await backend.get(job_id)
        assert state
        assert state.live
        await place.succeeds(job_id)
        told = await place.until(job_id, lambda job: condition(job, "CallbackDelivered").get("status") == "True")
        assert told["status"]["live"] == wanted


@on_a_loop
async def test_an_end_that_cannot_be_told_is_dead_and_is_told_when_it_is_asked_for(place: Place) -> None:
    async with place, place.replica() as backend:
        place.client.fault = lambda body: (418, {}) if body["status"] == "completed" else None
        job_id = await place.post(backend)
        await place.succeeds(job_id)
        dead = await place.until(
            job_id, lambda job: condition(job, "CallbackDelivered") != {} and _state(job) == "Dead"
        )
        assert condition(dead, "CallbackDelivered")["reason"] == "DeliveryFailed"
        assert "418" in dead["status"]["callback"]["lastError"]
        place.client.fault = None
        name = f"configmap/ecg-job-{job_id}"
        await asyncio.to_thread(_kubectl, place, "annotate", name, "render.ecg.dev/replay-callback=true")
        await place.until(job_id, lambda job: _state(job) == "Delivered")
        assert ends(place, job_id) == ["completed", "completed"]


@on_a_loop
async def test_a_rejected_job_is_told_as_failed_without_a_render_job_and_across_restarts(place: Place) -> None:
    async with place:
        job_id = place.new_row()
        async with place.replica(tells=False) as one:
            assert (await one.reject(place.submission(job_id), BROKEN)).status is JobStatus.FAILED
        async with place.replica() as two:
            row = await place.told(job_id, "failed")
            assert (row.error_code, row.error_message) == ("INVALID_VIDEO_URL", "There is no video.")
            state = await two.get(job_id)
            assert state is not None
            assert state.failure == BROKEN
        assert await place.get(job_id) == {}
        async with place.replica():
            await asyncio.sleep(0.7)
        assert ends(place, job_id) == ["failed"]


@on_a_loop
async def test_admission_happens_after_the_answer_and_decides_what_is_rendered(place: Place) -> None:
    refused = place.new_row()
    answered = asyncio.Event()

    async def admit(order: RenderOrder) -> RenderOrder | Failure:
        await answered.wait()
        return BROKEN if order.job_id == refused else replace(order, video_url="https://found.example/a.mp4")

    async with place, place.replica(admit) as backend:
        job_id = await place.post(backend)
        await place.post(backend, refused)
        answered.set()
        assert (await place.made(job_id))["spec"]["source"]["uri"] == "https://found.example/a.mp4"
        assert (await place.told(refused, "failed")).error_code == "INVALID_VIDEO_URL"
        assert await place.get(refused) == {}


@on_a_loop
async def test_a_job_that_the_cluster_does_not_take_is_told_as_failed(place: Place) -> None:
    async with place, place.replica() as backend:
        job_id = place.new_row()
        await backend.submit(replace(place.order(job_id), video_url="/no/scheme.mp4"))
        row = await place.told(job_id, "failed")
        assert row.error_code == "VALIDATION_ERROR"
        assert "must start with s3://" in str(row.error_message)


@on_a_loop
async def test_a_render_job_that_a_person_has_made_is_told_too_and_is_never_replaced(place: Place) -> None:
    async with place, place.replica() as backend:
        job_id = place.new_row()
        await place.apply(render_job(job_id, callback={"url": place.client.callback_url}))
        await place.says(job_id, "Rendering", plan=PLAN)
        await place.told(job_id, "processing")
        await place.succeeds(job_id)
        await place.told(job_id, "completed")
        mine = place.new_row()
        await place.apply(render_job(mine))
        await until(backend, mine, "queued")
        await place.post(backend, mine)
        assert (await place.told(mine, "failed")).error_code == "JOB_ALREADY_EXISTS"
        assert (await place.get(mine))["spec"]["source"]["uri"] == "s3://in/clip.mp4"


@on_a_loop
async def test_a_client_that_posts_again_after_the_end_is_told_the_end_again(place: Place) -> None:
    async with place, place.replica() as one, place.replica(tells=False) as two:
        job_id = await place.post(one)
        await place.succeeds(job_id)
        await place.told(job_id, "completed")
        await place.settles(job_id)
        await place.post(two, job_id)
        await eventually(lambda: ends(place, job_id) == ["completed", "completed"])
        first, second = (one for one in place.client.of(job_id) if one.body["status"] == "completed")
        assert first.headers["webhook-id"] == second.headers["webhook-id"]
        assert place.client.row(job_id).status == "completed"


STAGES: list[tuple[str, dict[str, Any]]] = [
    ("queued", {"phase": "Pending"}),
    ("processing", {"phase": "Planning"}),
    ("processing", {"phase": "Rendering", "plan": PLAN, "progress": {"percent": 30}}),
    ("processing", {"phase": "Merging", "plan": PLAN}),
]


@pytest.mark.parametrize(("status", "stage"), STAGES, ids=["queued", "planning", "rendering", "merging"])
def test_restarts_at_each_stage_lose_and_repeat_nothing(status: str, stage: dict[str, Any], place: Place) -> None:
    @on_a_loop
    async def run() -> None:
        async with place:
            async with place.replica() as one:
                job_id = await place.post(one)
                await place.says(job_id, **stage)
                await until(one, job_id, status)
                if status == "processing":
                    await place.told(job_id, "processing")
                    await asyncio.sleep(0.2)
            before = len(place.client.of(job_id))
            async with place.replica() as two:
                await until(two, job_id, status)
                await asyncio.sleep(0.7)
                assert len(place.client.of(job_id)) == before
            await place.succeeds(job_id)
            async with place.replica() as three:
                await until(three, job_id, "completed")
                await place.told(job_id, "completed")
                await place.settles(job_id)
            async with place.replica():
                await asyncio.sleep(0.7)
            assert ends(place, job_id) == ["completed"]

    run()


@on_a_loop
async def test_a_killed_replica_is_followed_by_another_and_nothing_is_lost(place: Place) -> None:
    async with place, place.replica(tells=False) as other:
        service = await asyncio.to_thread(start_process, place)
        try:
            jobs = [await place.post(other) for _ in range(6)]
            for job_id in jobs:
                await place.says(job_id, "Rendering", plan=PLAN)
            for job_id in jobs[:3]:
                await place.succeeds(job_id)
            await place.told(jobs[0], "completed")
        finally:
            await asyncio.to_thread(kill, service)
        for job_id in jobs[3:]:
            await place.succeeds(job_id)
        waiting = await place.post(other)
        async with place.replica():
            for job_id in jobs:
                await place.told(job_id, "completed")
                await place.settles(job_id)
            await place.made(waiting)
        for job_id in jobs:
            heard = [one for one in place.client.of(job_id) if one.body["status"] == "completed"]
            assert len({one.headers["webhook-id"] for one in heard}) == 1
            assert place.client.statuses(job_id)[-1] == "completed"


@on_a_loop
async def test_an_end_without_answer_when_the_replica_was_killed_is_told_again_under_the_same_id(place: Place) -> None:
    async with place, place.replica(tells=False) as other:
        service = await asyncio.to_thread(start_process, place)
        try:
            place.client.fault = lambda body: time.sleep(600) if body["status"] == "completed" else None
            job_id = await place.post(other)
            await place.succeeds(job_id)
            seen: list[Delivery] = []

            async def sending() -> bool:
                stored = await place.stored(job_id)
                record = stored.record if stored else None
                seen.extend(one for one in (record and record.sending,) if one)
                return bool(seen)

            await place.until_true(sending)
        finally:
            await asyncio.to_thread(kill, service)
        place.client.fault = None
        async with place.replica():
            await place.told(job_id, "completed")
            await place.settles(job_id)
        assert place.client.of(job_id)[-1].headers["webhook-id"] == seen[0].id
        assert ends(place, job_id) == ["completed"]


@on_a_loop
async def test_only_one_of_two_replicas_tells_and_the_other_takes_over_at_once_when_it_stops(place: Place) -> None:
    async def is_led() -> bool:
        try:
            lease = await place.cluster.get(LEASES, place.namespace, "ecg-relay")
        except NotFound:
            return False
        return bool(lease["spec"].get("holderIdentity"))

    async with place, place.replica() as one:
        await place.until_true(is_led)  # by the first one, before there is another
        async with place.replica() as two:
            first = await place.post(two)
            await place.succeeds(first)
            await place.told(first, "completed")
            await place.settles(first)
            lease = await place.cluster.get(LEASES, place.namespace, "ecg-relay")
            await one.close()
            second = await place.post(two)
            await place.succeeds(second)
            await place.told(second, "completed")
            await place.settles(second)
            after = await place.cluster.get(LEASES, place.namespace, "ecg-relay")
            assert after["spec"]["holderIdentity"] != lease["spec"]["holderIdentity"]
        assert (ends(place, first), ends(place, second)) == (["completed"], ["completed"])


@on_a_loop
async def test_a_replica_whose_lease_was_taken_tells_nothing_more(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    async with place, place.replica() as backend:
        job_id = await place.post(backend)
        await place.says(job_id, "Rendering", plan=PLAN)
        await place.told(job_id, "processing")
        taken = {"spec": {"holderIdentity": "somebody-else", "leaseDurationSeconds": 3600}}
        await place.cluster.patch(LEASES, place.namespace, "ecg-relay", taken)
        await eventually(lambda: f"Lease {place.namespace}/ecg-relay is lost" in caplog.text)
        await place.succeeds(job_id)
        await until(backend, job_id, "completed")
        await asyncio.sleep(1.0)
        assert ends(place, job_id) == []
        await place.cluster.patch(LEASES, place.namespace, "ecg-relay", {"spec": {"holderIdentity": ""}})
        await place.told(job_id, "completed")


@on_a_loop
async def test_the_operators_writes_and_the_relays_do_not_undo_each_other(place: Place) -> None:
    hasty = replace(QUICK, hold_terminal=0.0, first_wait=0.01, longest_wait=0.02)
    async with (
        place,
        FaultyApi(place.kubeconfig) as faulty,
        place.replica(policy=hasty, kubeconfig=str(faulty.kubeconfig)) as backend,
    ):
        faulty.delay = 0.2  # the relay decides by what is no longer so
        place.client.fault = lambda body: (503, {}) if body["status"] == "completed" else None
        job_id = await place.post(backend)
        await place.succeeds(job_id)
        await place.until(job_id, lambda job: _state(job) == "Retrying")
        written, turn = -1, 0
        deadline = time.monotonic() + 90
        while written < 0 or turn < 60:
            assert time.monotonic() < deadline
            written, turn = await _operator_writes(place, job_id, turn, written), turn + 1
        place.client.fault = None
        done = await place.until(job_id, lambda job: condition(job, "CallbackDelivered").get("status") == "True")
        assert condition(done, "Merged")["message"] == str(written)
        assert done["status"]["attempts"] == written
        assert done["status"]["phase"] == "Succeeded"
        assert {one["type"] for one in done["status"]["conditions"]} == {"Merged", ConditionType.CALLBACK_DELIVERED}
        stored = await place.stored(job_id)
        assert stored is not None
        assert stored.record is not None
        assert stored.record.state is RecordState.SETTLED


async def _operator_writes(place: Place, job_id: str, turn: int, before: int) -> int:
    """Write a condition as the operator does; return the number of the last write that was stored."""
    job = await place.get(job_id)
    others = [one for one in job["status"]["conditions"] if one["type"] != "Merged"]
    merged = {"type": "Merged", "status": "True", "reason": "OutputWritten", "message": str(turn)}
    stamp = {"lastTransitionTime": "2026-03-01T12:00:00Z"}
    body = {
        "metadata": {"resourceVersion": job["metadata"]["resourceVersion"]},
        "status": {"attempts": turn, "conditions": [*others, merged | stamp]},
    }
    try:
        await place.cluster.patch(RENDER_JOBS, place.namespace, job_id, body, "status")
    except Changed:  # the relay was faster: the operator looks again
        return before
    return turn


@on_a_loop
async def test_what_the_relay_notes_about_itself_is_no_news_about_a_job(place: Place) -> None:
    async with place, place.replica(tells=False) as backend:
        await place.apply(render_job("clip"))
        await place.says("clip", "Succeeded", output=OUTPUT)
        await until(backend, "clip", "completed")
        changes = backend.changes()
        assert (await anext(changes)).status == "completed"
        news = asyncio.ensure_future(anext(changes))
        await place.says("clip", "Succeeded", callback={"state": "Retrying", "attempts": 3})
        await asyncio.wait([news], timeout=0.5)
        assert not news.done()
        await place.says("clip", "Failed")
        assert (await news).status == "failed"
        await changes.aclose()


def record_of(place: Place, job_id: str) -> CallbackRecord:
    """Return a record that a relay would have to write."""
    return CallbackRecord(
        job_id=job_id, url=place.client.callback_url, created_at="", version=1, seen_at=1.0, sent_at=2.0
    )


@on_a_loop
async def test_a_replica_without_the_lease_writes_nothing_into_the_outbox(place: Place) -> None:
    async with place, place.replica(tells=False) as backend:
        job_id = await place.post(backend)
        stored = await place.stored(job_id)
        outbox = ClusterOutbox(backend._api, backend._cache, lambda: 0.0)
        await outbox.open()
        with pytest.raises(Unavailable):
            await outbox.save(record_of(place, job_id))
        assert await place.stored(job_id) == stored


def test_no_write_goes_on_beyond_the_fence_and_each_names_the_version_that_it_is_about(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[Any] = []

    @on_a_loop
    async def run() -> None:
        async with place, place.replica(tells=False) as backend:
            job_id = await place.post(backend)
            stored = await place.stored(job_id)
            assert stored is not None
            call = backend._api.client.call

            async def stalled(verb: str, *rest: Any, **options: Any) -> Any:
                if verb == "patch":
                    written.append(options["body"]["metadata"])
                    await asyncio.sleep(3600)
                return await call(verb, *rest, **options)

            monkeypatch.setattr(backend._api.client, "call", stalled)
            outbox = ClusterOutbox(backend._api, backend._cache, lambda: 0.2)
            async with asyncio.timeout(SECONDS):
                with pytest.raises(Unavailable, match="Lease has run out"):
                    await outbox.save(record_of(place, job_id))
            assert written == [{"resourceVersion": stored.version, "uid": stored.uid}]
            monkeypatch.setattr(backend._api.client, "call", call)
            assert await place.stored(job_id) == stored

    run()


@on_a_loop
async def test_a_ticket_that_somebody_else_has_changed_is_written_all_the_same_while_the_lease_lasts(
    place: Place,
) -> None:
    async with place, place.replica(tells=False) as backend:
        job_id = await place.post(backend)
        behind = JobCache(backend._api)
        behind.tickets.learn(await _changed(place, job_id))
        outbox = ClusterOutbox(backend._api, behind, lambda: 60.0)
        await outbox.save(record_of(place, job_id))
        stored = await place.stored(job_id)
        assert stored is not None
        assert stored.record == record_of(place, job_id)


async def _changed(place: Place, job_id: str) -> Any:
    """Return the ticket as it was before the change that this makes."""
    name = f"ecg-job-{job_id}"
    before = await place.cluster.get(CONFIG_MAPS, place.namespace, name)
    await place.cluster.patch(CONFIG_MAPS, place.namespace, name, {"metadata": {"annotations": {"a": "b"}}})
    return before


@on_a_loop
async def test_each_writer_of_the_status_owns_its_own_fields(place: Place, plane: ControlPlane) -> None:
    async with place, place.replica() as backend:
        job_id = await place.post(backend)
        await place.succeeds(job_id)
        told = await place.until(job_id, lambda job: condition(job, "CallbackDelivered").get("status") == "True")
        own = _owned(place, plane, job_id, "ecg-render-service", "Apply")
        assert set(own) == {"f:callback", "f:conditions"}
        assert set(own["f:conditions"]) == {'k:{"type":"CallbackDelivered"}'}
        # The operator's patch has the whole list, as it has observed it: what it does not change stays the service's.
        merged = {"type": "Merged", "status": "True", "reason": "OutputWritten", "message": "",
                  "lastTransitionTime": "2026-03-01T12:00:00Z"}  # fmt: skip
        body = {"metadata": {"resourceVersion": told["metadata"]["resourceVersion"]},
                "status": {"conditions": [*told["status"]["conditions"], merged]}}  # fmt: skip
        await place.cluster.patch(RENDER_JOBS, place.namespace, job_id, body, "status")
        theirs = _owned(place, plane, job_id, "ecg-operator", "Update")
        assert "f:callback" not in theirs
        assert set(theirs["f:conditions"]) - {"."} == {'k:{"type":"Merged"}'}
        assert _owned(place, plane, job_id, "ecg-render-service", "Apply") == own


def _owned(place: Place, plane: ControlPlane, job_id: str, manager: str, operation: str) -> dict[str, Any]:
    """Return which fields of the status a manager owns."""
    words = ("get", "renderjob", job_id, "-n", place.namespace, "-o", "json", "--show-managed-fields")
    owners = json.loads(plane.kubectl(*words))["metadata"]["managedFields"]
    (own,) = [one for one in owners if (one["manager"], one.get("subresource")) == (manager, "status")]
    assert own["operation"] == operation
    return dict(own["fieldsV1"]["f:status"])


@on_a_loop
async def test_a_render_job_that_names_no_callback_says_at_its_end_that_nobody_was_told(place: Place) -> None:
    async with place, place.replica():
        silent = render_job("silent")
        silent["spec"].pop("callback", None)
        await place.apply(silent)
        await place.says("silent", "Rendering", plan=PLAN)
        await asyncio.sleep(0.3)
        assert condition(await place.get("silent"), "CallbackDelivered") == {}
        await place.says("silent", "Succeeded", output=OUTPUT)
        ended = await place.until("silent", lambda job: condition(job, "CallbackDelivered") != {})
        said = condition(ended, "CallbackDelivered")
        assert (said["status"], said["reason"]) == ("False", "NoCallback")
        assert "spec.callback" in said["message"]


@on_a_loop
async def test_callbacks_tell_an_address_of_the_service_that_lasts(place: Place) -> None:
    async with place, place.replica(public_url="https://render.example") as backend:
        job_id = await place.post(backend)
        await place.succeeds(job_id)
        row = await place.told(job_id, "completed")
        assert row.download_url == f"https://render.example/api/render/{job_id}/download"
        state = await until(backend, job_id, "completed")
        assert state.output
        assert (await backend.signed_anew(state.output)).url == OUTPUT["url"], "nothing to sign with: what pods signed"


def _state(job: dict[str, Any]) -> str:
    return str(job.get("status", {}).get("callback", {}).get("state"))


def _kubectl(place: Place, *arguments: str) -> None:
    command = [str(tool("kubectl")), f"--kubeconfig={place.kubeconfig}", f"--namespace={place.namespace}", *arguments]
    subprocess.run(command, check=True, capture_output=True, timeout=30)
