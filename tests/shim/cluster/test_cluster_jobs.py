"""Jobs of the service in a cluster: posted, rendered, failed, cancelled, as clients of any replica see them."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from ecg_api.failures import Failure
from ecg_cluster.client import CONFIG_MAPS
from ecg_shim.backends.cluster import ClusterBackend, render_jobs, states
from ecg_shim.backends.cluster.tickets import object_name, ticket_name
from ecg_shim.model import Conflict, Full, JobState, JobStatus
from operators import on_a_loop, render_job
from shim_cluster import FAILURE, FINISHED, OUTPUT, PLAN, STARTED, Place, eventually, until


@on_a_loop
async def test_a_job_becomes_a_render_job_and_its_whole_life_is_told(place: Place) -> None:
    async with place, place.replica() as backend:
        job_id = await place.post(backend, quality=60)
        made = await place.made(job_id)
        assert made["metadata"]["name"] == job_id
        spec = made["spec"]
        assert spec["source"] == {"uri": "s3://in/clip.mp4"}
        assert spec["scenario"]["inline"]["cues"] == [{"id": "c1"}]
        assert spec["output"] == {"uri": f"s3://videos/rendered/{job_id}/output.mp4", "presignSeconds": 604_800}
        assert spec["callback"] == {"url": place.client.callback_url}
        assert (spec["options"]["quality"], spec["options"]["width"]) == (60, 1920)
        assert spec["deadlines"]["activeSeconds"] == 1800
        assert (await until(backend, job_id, "queued")).progress == 0
        await place.says(job_id, "Planning")
        assert (await until(backend, job_id, "processing")).progress >= 1
        await place.says(job_id, "Rendering", plan=PLAN, progress={"percent": 50, "etaSeconds": 7})
        await place.told(job_id, "processing")
        await place.says(job_id, "Merging")
        await place.succeeds(job_id)
        state = await until(backend, job_id, "completed")
        assert (state.progress, state.output and state.output.url) == (100, OUTPUT["url"])
        row = await place.told(job_id, "completed")
        assert (row.download_url, row.file_size, row.duration) == (OUTPUT["url"], 5_000_000, 30.5)
        assert place.client.statuses(job_id) == ["processing", "completed"]
        progress = [one.body["progress"] for one in place.client.of(job_id)]
        assert progress == sorted(progress)
        assert all(type(one) is int and one >= 1 for one in progress)


@pytest.mark.parametrize("job_id", ["A.b~c:d@e+f=g", "x" * 128, "Ümlaut".encode().hex().upper(), "job-" + "0" * 40])
def test_ids_that_are_no_names_of_objects_are_hashed_and_found_again(job_id: str, place: Place) -> None:
    @on_a_loop
    async def run() -> None:
        async with place, place.replica() as backend, place.replica(tells=False) as other:
            place.client.rows[job_id] = replace(place.client.rows[place.new_row()], job_id=job_id)
            await place.post(backend, job_id)
            made = await place.made(job_id)
            assert len(made["metadata"]["name"]) <= 48
            assert made["metadata"]["name"] != job_id
            assert (await until(other, job_id, "queued")).job_id == job_id
            assert await other.get(object_name(job_id)) is None

    run()


@on_a_loop
async def test_a_job_that_fails_says_why(place: Place) -> None:
    async with place, place.replica() as backend:
        job_id = await place.post(backend)
        await place.says(job_id, "Failed", failure=FAILURE)
        state = await until(backend, job_id, "failed")
        assert state.failure is not None
        assert (state.failure.code, state.message) == ("FFMPEG_ERROR", "It broke.")
        row = await place.told(job_id, "failed")
        assert (row.error_code, row.error_message) == ("FFMPEG_ERROR", "It broke. Mend it.")


@on_a_loop
async def test_a_status_of_a_newer_operator_still_ends_the_job(place: Place) -> None:
    async with place, place.replica() as backend:
        job_id = await place.post(backend)
        await place.made(job_id)
        obj = await place.get(job_id)
        obj["status"] = {"phase": "Failed", "failure": {"code": "SUN_BURNT", "message": "Hot."}, "metrics": "none"}
        state = states.of_job(render_jobs.read(obj))
        assert state.status is JobStatus.FAILED
        assert state.failure is not None
        assert state.failure.message == "SUN_BURNT: Hot."


@on_a_loop
async def test_the_same_post_again_is_the_same_job_on_every_replica(place: Place) -> None:
    async with place, place.replica() as one, place.replica(tells=False) as two:
        job_id = await place.post(one)
        first = await one.get(job_id)
        assert first is not None
        assert (await two.submit(place.order(job_id))).created_at == first.created_at
        uid = (await place.made(job_id))["metadata"]["uid"]
        assert (await two.submit(place.order(job_id))).created_at == first.created_at
        await place.succeeds(job_id)
        await until(two, job_id, "completed")
        assert (await two.submit(place.order(job_id))).status is JobStatus.COMPLETED
        assert (await place.made(job_id))["metadata"]["uid"] == uid


@on_a_loop
async def test_another_post_under_an_id_in_use_is_refused_until_that_job_has_ended(place: Place) -> None:
    async with place, place.replica() as one, place.replica(tells=False) as two:
        job_id = await place.post(one)
        changed = place.order(job_id, {"version": "2.0", "cues": []})
        with pytest.raises(Conflict):
            await two.submit(changed)
        await place.succeeds(job_id)
        await until(two, job_id, "completed")
        uid = (await place.made(job_id))["metadata"]["uid"]
        assert (await two.submit(changed)).status is JobStatus.QUEUED
        await place.until(job_id, lambda job: bool(job) and job["metadata"]["uid"] != uid)
        await place.succeeds(job_id)
        assert (await until(one, job_id, "completed")).payload_hash == changed.payload_hash


@on_a_loop
async def test_of_many_different_posts_under_one_id_at_the_same_moment_one_is_taken(place: Place) -> None:
    async with place, place.replica() as one, place.replica(tells=False) as two:
        job_id = await place.post(one)
        await place.succeeds(job_id)
        await until(one, job_id, "completed")
        await until(two, job_id, "completed")
        orders = [place.order(job_id, {"cues": [{"id": str(number)}]}) for number in range(8)]
        posts = [(one, two)[number % 2].submit(order) for number, order in enumerate(orders)]
        answers = await asyncio.gather(*posts, return_exceptions=True)
        taken = [answer for answer in answers if isinstance(answer, JobState)]
        assert len(taken) == 1, answers
        assert sum(isinstance(answer, Conflict) for answer in answers) == 7
        stored = await place.stored(job_id)
        assert stored is not None
        assert stored.ticket.payload_hash == taken[0].payload_hash


@on_a_loop
async def test_an_older_state_never_replaces_a_newer_one_and_nothing_returns_from_deletion(place: Place) -> None:
    async with place, place.replica() as backend:
        job_id = await place.post(backend)
        old = await place.made(job_id)
        await place.succeeds(job_id)
        await place.settles(job_id)
        state = await until(backend, job_id, "completed")
        backend._cache.jobs.learn(old)
        assert backend._cache.get(job_id) == state
        last = await place.get(job_id)
        await place.delete(job_id)

        async def gone() -> bool:
            return await place.stored(job_id) is None and backend._cache.get(job_id) is None

        await place.until_true(gone)
        backend._cache.jobs.learn(last)
        assert backend._cache.get(job_id) is None


STAGES: list[dict[str, Any]] = [
    {},
    {"phase": "Pending"},
    {"phase": "Planning"},
    {"phase": "Rendering", "plan": PLAN, "progress": {"percent": 30}},
    {"phase": "Merging", "plan": PLAN},
]


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.get("phase", "waiting"))
def test_a_cancelled_job_says_so_at_once_and_is_told_once(stage: dict[str, Any], place: Place) -> None:
    @on_a_loop
    async def run() -> None:
        async with place, place.replica() as one, place.replica(tells=False) as two:
            job_id = await place.post(one)
            if stage:
                await place.says(job_id, **stage)
            assert await two.cancel(job_id)
            state = await two.get(job_id)
            assert state is not None
            assert state.status is JobStatus.CANCELLED
            await until(one, job_id, "cancelled")
            assert not await two.cancel(job_id)
            row = await place.told(job_id, "cancelled")
            await place.settles(job_id)
            assert row.status == "cancelled"
            assert [one.body["status"] for one in place.client.of(job_id)].count("cancelled") == 1

            async def stopped() -> bool:
                job = await place.get(job_id)
                return not job or job["spec"]["cancel"] is True

            # A RenderJob that was being made in the moment of the cancel is stopped once it is seen.
            await place.until_true(stopped)

    run()


@on_a_loop
async def test_what_clients_can_store_has_an_end(place: Place) -> None:
    async with place, place.replica(tells=False, max_waiting=2, max_tombstones=3) as backend:
        for number in range(3):
            assert not await backend.cancel(f"unknown-{number}")
        with pytest.raises(Full, match="3 cancels of unknown jobs"):
            await backend.cancel("unknown-3")
        assert not await backend.cancel("unknown-0")
        posted = [await place.post(backend) for _ in range(2)]
        with pytest.raises(Full, match="2 jobs that wait"):
            await place.post(backend)
        with pytest.raises(Full):
            await backend.reject(place.submission("broken"), Failure.model_validate(FAILURE))
        with pytest.raises(Full):
            await backend.submit(place.order("unknown-1"))
        assert (await backend.submit(place.order(posted[0]))).status is JobStatus.QUEUED
        await place.cluster.delete(CONFIG_MAPS, place.namespace, ticket_name(object_name(posted[1])))
        await eventually(lambda: backend._cache.get(posted[1]) is None)
        assert (await backend.submit(place.order("unknown-1"))).status is JobStatus.CANCELLED
        with pytest.raises(Full):
            await backend.submit(place.order("unknown-2"))
        assert await backend.cancel(posted[0])


@on_a_loop
async def test_jobs_that_wait_for_the_operator_count_until_they_begin(place: Place) -> None:
    async with place, place.replica(max_waiting=2) as backend:
        posted = [await place.post(backend) for _ in range(2)]
        for job_id in posted:
            await place.made(job_id)
        await eventually(lambda: all(backend._cache.entry(object_name(job_id)).job for job_id in posted))
        with pytest.raises(Full, match="2 jobs that wait"):
            await place.post(backend)
        await place.says(posted[0], "Planning")
        await until(backend, posted[0], "processing")
        await place.made(await place.post(backend))
        with pytest.raises(Full):
            await place.post(backend)
        await place.succeeds(posted[0])
        await until(backend, posted[0], "completed")
        with pytest.raises(Full):
            await backend.submit(place.order(posted[0], scenario={"version": "2.0", "cues": []}))


@on_a_loop
async def test_refused_jobs_that_were_told_of_keep_nobody_out_and_the_oldest_go(place: Place) -> None:
    async with place, place.replica(max_waiting=2) as backend:
        refused = [place.new_row() for _ in range(5)]
        for job_id in refused:
            await backend.reject(place.submission(job_id), Failure.model_validate(FAILURE))
            await place.told(job_id, "failed")
            await place.settles(job_id)
            await eventually(lambda: backend._cache.untold == 0)
        await eventually(lambda: [job_id for job_id in refused if backend._cache.get(job_id)] == refused[3:])
        assert [job_id for job_id in refused if await place.stored(job_id)] == refused[3:]
        await place.made(await place.post(backend))
    async with place.replica(max_waiting=1) as backend:
        await eventually(lambda: [job_id for job_id in refused if backend._cache.get(job_id)] == refused[4:])


@on_a_loop
async def test_a_job_that_was_cancelled_before_it_began_leaves_no_render_job(place: Place) -> None:
    async with place, place.replica(max_waiting=1) as backend:
        ids = []
        for _ in range(3):
            job_id = await place.post(backend)
            ids.append(job_id)
            await place.made(job_id)
            await until(backend, job_id, "queued")
            assert await backend.cancel(job_id)
            await place.says(job_id, "Cancelled", run={"finishedAt": FINISHED})
            await place.told(job_id, "cancelled")

            async def gone(job_id: str = job_id) -> bool:
                return await place.get(job_id) == {}

            await place.until_true(gone)
            await place.settles(job_id)
            assert (await until(backend, job_id, "cancelled")).progress == 0
            assert not await backend.cancel(job_id)
            assert place.client.statuses(job_id) == ["cancelled"]
        await eventually(lambda: [job_id for job_id in ids if backend._cache.get(job_id)] == ids[2:])


@on_a_loop
async def test_a_render_job_that_a_person_has_made_stays_though_it_was_cancelled_before_it_began(place: Place) -> None:
    async with place, place.replica():
        row = place.new_row()
        await place.apply(render_job(row, callback={"url": place.client.callback_url}))
        await place.change(row, cancel=True)
        await place.says(row, "Cancelled", run={"finishedAt": FINISHED})
        await place.told(row, "cancelled")
        await place.settles(row)
        await asyncio.sleep(0.3)
        assert (await place.get(row))["status"]["phase"] == "Cancelled"


@on_a_loop
async def test_a_job_that_was_cancelled_after_it_began_keeps_its_render_job(place: Place) -> None:
    async with place, place.replica() as backend:
        job_id = await place.post(backend)
        await place.says(job_id, "Planning", startTime=STARTED)
        await until(backend, job_id, "processing")
        assert await backend.cancel(job_id)
        await place.says(job_id, "Cancelled", run={"finishedAt": FINISHED})
        await place.told(job_id, "cancelled")
        await place.settles(job_id)
        await asyncio.sleep(0.3)
        assert (await place.get(job_id))["status"]["phase"] == "Cancelled"


@on_a_loop
async def test_a_cancel_that_was_accepted_stands_even_if_the_video_is_finished_in_that_moment(place: Place) -> None:
    async with place, place.replica() as backend:
        job_id = await place.post(backend)
        await place.says(job_id, "Merging", plan=PLAN)
        assert await backend.cancel(job_id)
        await place.succeeds(job_id)
        await place.told(job_id, "cancelled")
        state = await backend.get(job_id)
        assert state is not None
        assert (state.status, state.output) == (JobStatus.CANCELLED, None)


@on_a_loop
async def test_a_job_that_has_ended_cannot_be_cancelled(place: Place) -> None:
    async with place, place.replica() as backend:
        job_id = await place.post(backend)
        await place.succeeds(job_id)
        await until(backend, job_id, "completed")
        assert not await backend.cancel(job_id)
        assert (await until(backend, job_id, "completed")).progress == 100


@on_a_loop
async def test_a_cancel_before_the_post_is_remembered_by_all_replicas(place: Place) -> None:
    async with place:
        job_id = place.new_row()
        async with place.replica(tells=False) as one:
            assert not await one.cancel(job_id)
            assert await one.get(job_id) is None
        async with place.replica() as two:
            assert (await two.submit(place.order(job_id))).status is JobStatus.CANCELLED
            await place.told(job_id, "cancelled")
            assert await place.get(job_id) == {}
            assert place.client.statuses(job_id) == ["cancelled"]


@on_a_loop
async def test_a_cancel_before_the_post_is_forgotten_after_its_time(place: Place) -> None:
    async with place, place.replica(tombstone_seconds=0.3) as backend:
        job_id = place.new_row()
        assert not await backend.cancel(job_id)

        async def gone() -> bool:
            return await place.stored(job_id) is None

        await place.until_true(gone)
        await place.post(backend, job_id)
        await place.made(job_id)


@on_a_loop
async def test_a_render_job_that_somebody_deletes_before_its_end_is_told_as_cancelled(place: Place) -> None:
    async with place, place.replica() as backend:
        job_id = await place.post(backend)
        await place.says(job_id, "Rendering", plan=PLAN)
        await place.told(job_id, "processing")
        await place.delete(job_id)
        await place.told(job_id, "cancelled")
        assert (await until(backend, job_id, "cancelled")).progress == 0


@on_a_loop
async def test_a_finished_job_is_unknown_when_its_render_job_is_gone_and_its_end_is_told(place: Place) -> None:
    async with place, place.replica() as backend:
        job_id = await place.post(backend)
        await place.succeeds(job_id)
        await place.settles(job_id)
        await place.delete(job_id)

        async def gone() -> bool:
            return await place.stored(job_id) is None and await backend.get(job_id) is None

        await place.until_true(gone)
        assert place.client.statuses(job_id)[-1] == "completed"


@on_a_loop
async def test_lists_and_queue_are_alike_on_all_replicas(place: Place) -> None:
    async with place, place.replica(max_concurrent=2) as one, place.replica(tells=False, max_concurrent=2) as two:
        ids = [await place.post(one) for _ in range(4)]
        await place.says(ids[0], "Rendering", plan=PLAN)
        await place.succeeds(ids[1])
        for backend in (one, two):
            await until(backend, ids[0], "processing")
            await until(backend, ids[1], "completed")

            async def listed(backend: ClusterBackend = backend) -> bool:
                return {state.job_id for state in await backend.list_jobs(10)} == set(ids)

            await place.until_true(listed)  # of each job a replica hears by itself
            assert [state.job_id for state in await backend.list_jobs(1)] == ids[-1:]

            async def counted(backend: ClusterBackend = backend) -> bool:
                queue = await backend.queue()
                return (queue.pending, queue.processing, queue.total, queue.max_concurrent) == (2, 1, 4, 2)

            await place.until_true(counted)
            assert (await backend.queue()).wait_seconds == 45
        assert await two.clear() == 2
        for job_id in ids[2:]:
            await until(one, job_id, "cancelled")
        assert (await until(one, ids[0], "processing")).job_id == ids[0]
