"""Cancel, suspend, resume, delete and edit, in each phase."""

from __future__ import annotations

import pytest

from control_plane import ControlPlane
from ecg_cluster.errors import Invalid
from fake_kubelet import FakeKubelet, Outcome, Pod, Script, succeed
from operators import Site, condition, finished, in_phase, of, on_a_loop, render_job

PHASES = {"Planning": "plan", "Rendering": "segments", "Merging": "merge"}


def stuck_in(role: str) -> Script:
    """Return a script under which pods of a role run until somebody stops them."""

    def script(pod: Pod) -> Outcome:
        return Outcome(seconds=None) if pod.role == role else succeed(pod)

    return script


async def until_pods_run(site: Site, role: str) -> None:
    async def running() -> bool:
        pods = [pod for pod in await site.pods() if pod["metadata"]["labels"]["render.ecg.dev/role"] == role]
        return bool(pods) and all(pod["status"].get("phase") == "Running" for pod in pods)

    await site.until_true(running)


async def no_pods_but_cleaning_ones(site: Site) -> bool:
    roles = [pod["metadata"]["labels"]["render.ecg.dev/role"] for pod in await site.pods()]
    return all(role == "clean" for role in roles)


@pytest.mark.parametrize("phase", PHASES)
@on_a_loop
async def test_a_cancelled_job_has_no_pods_any_more_and_cleans_up(
    plane: ControlPlane, kubelet: FakeKubelet, namespace: str, phase: str
) -> None:
    kubelet.scripts[namespace] = stuck_in(PHASES[phase])
    async with Site(plane.kubeconfig, namespace) as site, site.operator():
        await site.apply(render_job("clip"))
        await site.until("clip", in_phase(phase))
        await until_pods_run(site, PHASES[phase])
        await site.change("clip", cancel=True)
        # They would run for ever. That it takes less than five seconds is shown where time is simulated.
        await site.until_true(lambda: no_pods_but_cleaning_ones(site))
        job = await site.until("clip", finished)
        assert job["status"]["phase"] == "Cancelled"
        assert condition(job, "Finished")["reason"] == "Cancelled"

        async def cleaned() -> bool:
            return any(pod.role == "clean" for pod in kubelet.started if pod.namespace == namespace)

        await site.until_true(cleaned)


@on_a_loop
async def test_a_job_that_waits_can_be_cancelled_without_ever_having_a_pod(
    plane: ControlPlane, kubelet: FakeKubelet, namespace: str
) -> None:
    kubelet.scripts[namespace] = stuck_in("plan")
    async with Site(plane.kubeconfig, namespace) as site, site.operator(MAX_CONCURRENT_JOBS="1"):
        await site.apply(render_job("first"))
        await site.until("first", in_phase("Planning"))
        await site.apply(render_job("second"))
        waiting = await site.until("second", lambda job: condition(job, "Scheduled").get("status") == "False")
        assert condition(waiting, "Scheduled")["reason"] == "Queued"
        await site.change("second", cancel=True)
        job = await site.until("second", finished)
        assert job["status"]["phase"] == "Cancelled"
        assert not of(job, await site.jobs())


@pytest.mark.parametrize("phase", ["Planning", "Rendering"])
@on_a_loop
async def test_a_suspended_job_has_no_pods_and_goes_on_where_it_was(
    plane: ControlPlane, kubelet: FakeKubelet, namespace: str, phase: str
) -> None:
    held = {"yes"}

    def script(pod: Pod) -> Outcome:
        stuck = pod.role == PHASES[phase] and pod.segment == 0 and held
        return Outcome(seconds=None) if stuck else succeed(pod)

    kubelet.scripts[namespace] = script
    async with Site(plane.kubeconfig, namespace) as site, site.operator():
        await site.apply(render_job("clip"))
        await site.until("clip", in_phase(phase))
        if phase == "Rendering":
            await site.until("clip", lambda job: job["status"].get("segments", {}).get("summary") == "2/3")
        else:
            await until_pods_run(site, "plan")
        await site.change("clip", suspend=True)
        await site.until("clip", in_phase("Suspended"))
        await site.until_true(lambda: no_pods_but_cleaning_ones(site))
        held.clear()
        await site.change("clip", suspend=False)
        job = await site.until("clip", finished)
    assert job["status"]["phase"] == "Succeeded"
    rendered = [pod.segment for pod in kubelet.started if pod.namespace == namespace and pod.role == "segments"]
    assert sorted(rendered) == ([0, 0, 1, 2] if phase == "Rendering" else [0, 1, 2])


@pytest.mark.parametrize("phase", PHASES)
@on_a_loop
async def test_a_deleted_job_goes_at_once_with_its_children_and_its_work_files(
    plane: ControlPlane, kubelet: FakeKubelet, namespace: str, phase: str
) -> None:
    kubelet.scripts[namespace] = stuck_in(PHASES[phase])
    async with Site(plane.kubeconfig, namespace) as site, site.operator():
        await site.apply(render_job("clip"))
        job = await site.until("clip", in_phase(phase))
        await until_pods_run(site, PHASES[phase])
        await site.delete("clip")
        assert await site.get("clip") == {}

        async def gone() -> bool:
            return not [name for name in of(job, await site.jobs()) if not name.endswith("-clean")]

        await site.until_true(gone)
        await site.until_true(lambda: no_pods_but_cleaning_ones(site))

        async def cleaned() -> bool:
            return any(pod.role == "clean" for pod in kubelet.started if pod.namespace == namespace)

        await site.until_true(cleaned)


@on_a_loop
async def test_deleting_does_not_need_the_operator(plane: ControlPlane, kubelet: FakeKubelet, namespace: str) -> None:
    kubelet.scripts[namespace] = stuck_in("segments")
    async with Site(plane.kubeconfig, namespace) as site:
        async with site.operator():
            await site.apply(render_job("clip"))
            job = await site.until("clip", in_phase("Rendering"))
        await site.delete("clip")
        assert await site.get("clip") == {}

        async def gone() -> bool:
            return not of(job, await site.jobs())

        await site.until_true(gone)


@on_a_loop
async def test_a_job_made_anew_under_an_old_name_starts_from_the_beginning(
    plane: ControlPlane, kubelet: FakeKubelet, namespace: str
) -> None:
    async with Site(plane.kubeconfig, namespace) as site, site.operator():
        kubelet.scripts[namespace] = stuck_in("segments")
        first = await site.apply(render_job("clip"))
        await site.until("clip", in_phase("Rendering"))
        await site.delete("clip")
        kubelet.scripts[namespace] = succeed
        second = await site.apply(render_job("clip"))
        job = await site.until("clip", finished)
        assert job["status"]["phase"] == "Succeeded"
        assert first["metadata"]["uid"] != second["metadata"]["uid"]


@on_a_loop
async def test_what_a_job_renders_cannot_be_edited_but_its_priority_can(
    plane: ControlPlane, kubelet: FakeKubelet, namespace: str
) -> None:
    kubelet.scripts[namespace] = stuck_in("segments")
    async with Site(plane.kubeconfig, namespace) as site, site.operator():
        await site.apply(render_job("clip"))
        await site.until("clip", in_phase("Rendering"))
        with pytest.raises(Invalid, match="output"):
            await site.change("clip", output={"uri": "s3://out/other.mp4"})
        changed = await site.change("clip", priority=7)
        generation = changed["metadata"]["generation"]
        await site.until("clip", lambda job: job["status"]["observedGeneration"] == generation)
        await site.change("clip", cancel=True)
        await site.until("clip", finished)


@on_a_loop
async def test_of_two_jobs_with_the_same_output_the_younger_is_told_so(
    plane: ControlPlane, kubelet: FakeKubelet, namespace: str
) -> None:
    kubelet.scripts[namespace] = stuck_in("segments")
    async with Site(plane.kubeconfig, namespace) as site, site.operator():
        await site.apply(render_job("a-first", "s3://out/same.mp4"))
        await site.until("a-first", in_phase("Rendering"))
        await site.apply(render_job("b-second", "s3://out/same.mp4"))
        job = await site.until("b-second", finished)
        assert job["status"]["phase"] == "Failed"
        assert "a-first" in job["status"]["failure"]["message"]
        assert job["status"]["failure"]["code"] == "JOB_ALREADY_EXISTS"
