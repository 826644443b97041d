"""Input that cannot be used: a clear condition, a code that clients know, and no effect on other jobs."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from control_plane import ControlPlane
from ecg_api.failures import FailureCode
from ecg_cluster.client import CONFIG_MAPS, JOBS, PODS, Json
from ecg_cluster.errors import Invalid
from fake_kubelet import FakeKubelet, Outcome, Pod, fail, slow_segments, succeed
from operators import Site, condition, finished, on_a_loop, render_job, settings_with

FROM_THE_PLAN = {
    "a scenario address that leads nowhere": FailureCode.SCENARIO_PARSE_ERROR,
    "other bytes than the sha256 says": FailureCode.SCENARIO_PARSE_ERROR,
    "storage that refuses": FailureCode.STORAGE_ACCESS_ERROR,
    "an output that cannot be written": FailureCode.STORAGE_ACCESS_ERROR,
    "a source that is no video": FailureCode.INVALID_VIDEO_FORMAT,
}


@pytest.mark.parametrize("what", FROM_THE_PLAN)
@on_a_loop
async def test_what_the_plan_finds_wrong_ends_the_job_at_once_with_its_code(
    plane: ControlPlane, kubelet: FakeKubelet, namespace: str, what: str
) -> None:
    code = FROM_THE_PLAN[what]
    kubelet.scripts[namespace] = lambda pod: fail(code, what) if pod.role == "plan" else succeed(pod)
    async with Site(plane.kubeconfig, namespace) as site, site.operator():
        await site.apply(render_job("clip"))
        job = await site.until("clip", finished)
    assert job["status"]["phase"] == "Failed"
    assert job["status"]["failure"]["code"] == code
    assert what in job["status"]["failure"]["message"]
    assert what in condition(job, "Failed")["message"]
    plans = [pod for pod in kubelet.started if pod.namespace == namespace and pod.role == "plan"]
    assert len(plans) == 1


@on_a_loop
async def test_a_config_map_that_is_not_there_is_waited_for_a_little_and_then_named(
    plane: ControlPlane, kubelet: FakeKubelet, namespace: str
) -> None:
    async with Site(plane.kubeconfig, namespace) as site, site.operator():
        await site.apply(render_job("clip", scenario={"configMapRef": {"name": "texts", "key": "de.json"}}))
        job = await site.until("clip", finished)
    assert job["status"]["phase"] == "Failed"
    assert "texts" in job["status"]["failure"]["message"]
    assert not [pod for pod in kubelet.started if pod.namespace == namespace and pod.role == "plan"]


@on_a_loop
async def test_a_config_map_without_the_entry_is_told_with_what_it_has(plane: ControlPlane, namespace: str) -> None:
    async with Site(plane.kubeconfig, namespace) as site, site.operator():
        await site.cluster.create(CONFIG_MAPS, namespace, {"metadata": {"name": "texts"}, "data": {"en.json": "{}"}})
        await site.apply(render_job("clip", scenario={"configMapRef": {"name": "texts", "key": "de.json"}}))
        job = await site.until("clip", finished)
    assert job["status"]["phase"] == "Failed"
    assert "de.json" in job["status"]["failure"]["message"]
    assert "en.json" in job["status"]["failure"]["message"]


@on_a_loop
async def test_a_config_map_that_comes_soon_after_the_job_is_used(plane: ControlPlane, namespace: str) -> None:
    settings = settings_with(namespace, reference_seconds=10.0)  # a busy machine may need some to create it
    async with Site(plane.kubeconfig, namespace) as site, site.operator(settings=settings):
        await site.apply(render_job("clip", scenario={"configMapRef": {"name": "texts", "key": "en.json"}}))
        await site.until("clip", lambda job: condition(job, "Scheduled").get("reason") == "Queued")
        await site.cluster.create(CONFIG_MAPS, namespace, {"metadata": {"name": "texts"}, "data": {"en.json": "{}"}})
        job = await site.until("clip", finished)
    assert job["status"]["phase"] == "Succeeded", job["status"].get("failure")


@on_a_loop
async def test_a_config_map_deleted_after_the_plan_does_no_harm(
    plane: ControlPlane, kubelet: FakeKubelet, namespace: str
) -> None:
    kubelet.scripts[namespace] = slow_segments
    async with Site(plane.kubeconfig, namespace) as site, site.operator():
        await site.cluster.create(CONFIG_MAPS, namespace, {"metadata": {"name": "texts"}, "data": {"en.json": "{}"}})
        await site.apply(render_job("clip", scenario={"configMapRef": {"name": "texts", "key": "en.json"}}))
        await site.until("clip", lambda job: condition(job, "Planned").get("status") == "True")
        await site.cluster.delete(CONFIG_MAPS, namespace, "texts")
        job = await site.until("clip", finished)
    assert job["status"]["phase"] == "Succeeded"


@on_a_loop
async def test_an_inline_scenario_over_the_limit_is_refused_and_other_jobs_go_on(
    plane: ControlPlane, namespace: str
) -> None:
    async with Site(plane.kubeconfig, namespace) as site, site.operator():
        await site.apply(render_job("other"))
        scenario = {"inline": {"version": "2.0", "text": hashlib.sha256().hexdigest() * 32_000}}  # 2 MB
        manifest = json.dumps(render_job("clip", scenario=scenario))
        said = plane.kubectl("create", f"--namespace={namespace}", "-f", "-", stdin=manifest, check=False)
        if "created" in said:
            job = await site.until("clip", finished)
            assert job["status"]["failure"]["code"] == "VALIDATION_ERROR"
            assert "64 KiB" in job["status"]["failure"]["message"]
        else:
            assert "too large" in said or "limit" in said, said
        job = await site.until("other", finished)
        assert job["status"]["phase"] == "Succeeded"


@on_a_loop
async def test_unknown_fields_are_refused_by_kubectl_with_their_name(plane: ControlPlane, namespace: str) -> None:
    async with Site(plane.kubeconfig, namespace) as site:
        with pytest.raises(Invalid, match="scenario"):
            await site.apply(render_job("clip", scenario={}))
    manifest = (
        "apiVersion: render.ecg.dev/v1alpha1\nkind: RenderJob\nmetadata: {name: clip}\n"
        "spec: {source: {uri: s3://a/b}, scenario: {uri: s3://a/c}, output: {uri: s3://a/d}, colour: blue}\n"
    )
    said = plane.kubectl("apply", f"--namespace={namespace}", "-f", "-", stdin=manifest, check=False)
    assert "colour" in said


@on_a_loop
async def test_a_foreign_job_with_the_name_of_a_child_is_not_touched(
    plane: ControlPlane, kubelet: FakeKubelet, namespace: str
) -> None:
    foreign = (
        "apiVersion: batch/v1\nkind: Job\nmetadata: {name: clip-plan}\n"
        "spec: {suspend: true, template: {spec: {restartPolicy: Never, containers: [{name: c, image: i}]}}}\n"
    )
    plane.kubectl("create", f"--namespace={namespace}", "-f", "-", stdin=foreign)
    async with Site(plane.kubeconfig, namespace) as site, site.operator():
        await site.apply(render_job("clip"))
        job = await site.until("clip", lambda job: "clip-plan" in str(job.get("status", {}).get("conditions")))
        assert "clip-plan" in str(job["status"]["conditions"])
        assert "clip-plan" in await site.jobs()


GPUS = {"requests": {"nvidia.com/gpu": "1k"}, "limits": {"nvidia.com/gpu": "1k"}}
OURS = {"app.kubernetes.io/managed-by": "ecg-render", "render.ecg.dev/job": "x", "render.ecg.dev/role": "segments"}


def look_alike(name: str, notes: Json, kind: str = "Job", resources: Json | None = None, **labels: str) -> Json:
    """Return an object with the operator's labels that it has not made."""
    container = {"name": "renderer", "image": "i", "resources": resources or {}}
    pod = {"restartPolicy": "Never", "containers": [container]}
    spec = {"suspend": True, "template": {"spec": pod}} if kind == "Job" else pod
    meta = {"name": name, "annotations": notes, "labels": {**OURS, **labels}}
    return {"apiVersion": "batch/v1" if kind == "Job" else "v1", "kind": kind, "metadata": meta, "spec": spec}


@on_a_loop
async def test_what_authors_of_jobs_and_pods_can_write_ends_no_operator(plane: ControlPlane, namespace: str) -> None:
    strange = [
        (JOBS, look_alike("in-words", {"render.ecg.dev/segments": "all"})),
        (JOBS, look_alike("too-many", {"render.ecg.dev/segments": "0-99999999999"})),
        (JOBS, look_alike("no-round", {}, **{"render.ecg.dev/round": "a"})),
        (PODS, look_alike("no-index", {"batch.kubernetes.io/job-completion-index": "b"}, "Pod")),
        (PODS, look_alike("many-gpus", {}, "Pod", GPUS)),
    ]
    async with Site(plane.kubeconfig, namespace) as site:
        for resource, made in strange[::2]:
            await site.cluster.create(resource, namespace, made)
        async with site.operator():
            for resource, made in strange[1::2]:
                await site.cluster.create(resource, namespace, made)
            await site.apply(render_job("greedy", placement={"gpus": 0, "resources": GPUS}))
            overrides = {"spec": {"containers": [{"name": "renderer", "resources": GPUS}]}}
            await site.apply(render_job("greedier", placement={"podTemplateOverrides": overrides}))
            await site.apply(render_job("other"))
            for name in ("greedy", "greedier"):
                job = await site.until(name, finished)
                assert job["status"]["failure"]["code"] == "VALIDATION_ERROR"
                assert "GPUs are asked for by spec.placement.gpus" in job["status"]["failure"]["message"]
            job = await site.until("other", finished)
        assert job["status"]["phase"] == "Succeeded"


@on_a_loop
async def test_a_report_that_fits_into_no_status_fails_its_job(
    plane: ControlPlane, kubelet: FakeKubelet, namespace: str
) -> None:
    plan = {"uri": "s3://work/plan.json", "width": 320, "height": 180, "rate": "30", "frames": 10**30}
    report = Outcome(message=json.dumps({"kind": "plan", "plan": plan, "segments": 1}))
    kubelet.scripts[namespace] = lambda pod: report if pod.role == "plan" else succeed(pod)
    async with Site(plane.kubeconfig, namespace) as site, site.operator():
        await site.apply(render_job("clip"))
        job = await site.until("clip", finished)
        assert (job["status"]["phase"], job["status"]["reason"]) == ("Failed", "ResultLost")
        assert "does not take what is to be noted" in job["status"]["failure"]["message"]


def nested(levels: int) -> str:
    return "[" * levels + "]" * levels


@on_a_loop
async def test_render_jobs_of_any_depth_end_no_operator(plane: ControlPlane, namespace: str) -> None:
    async def create(name: str, levels: int, **spec: Any) -> None:
        # The API server's own client takes no more than Python's parser does.
        manifest = json.dumps(render_job(name, **spec)).replace('"DEEP"', nested(levels))
        plane.kubectl("create", f"--namespace={namespace}", "-f", "-", stdin=manifest)

    scenario = {"inline": {"cues": ["DEEP"]}}
    refused = {f"deep-{levels}": levels for levels in (260, 900, 960, 2000, 9000)}
    async with Site(plane.kubeconfig, namespace) as site:
        await create("deep-2000", 2000, scenario=scenario)
        async with site.operator() as operator:
            for name, levels in refused.items():
                if name != "deep-2000":
                    await create(name, levels, scenario=scenario)
            overrides = {"spec": {"affinity": {"x": "DEEP"}}}
            await create("template", 2000, placement={"podTemplateOverrides": overrides})
            await site.apply(render_job("other"))
            for name in (*refused, "template"):
                job = await site.until(name, finished)
                assert job["status"]["failure"]["code"] == "VALIDATION_ERROR"
                field = "placement.podTemplateOverrides" if name == "template" else "scenario.inline"
                assert f"spec.{field}: is nested too deeply" in job["status"]["failure"]["message"]
            job = await site.until("other", finished)
            assert not operator.world.render_jobs.unreadable
        assert job["status"]["phase"] == "Succeeded"


@on_a_loop
async def test_deadlines(plane: ControlPlane, kubelet: FakeKubelet, namespace: str) -> None:
    def script(pod: Pod) -> Outcome:
        if pod.job.startswith("slow") and pod.role == "segments":
            return Outcome(seconds=None)
        if pod.job.startswith("nowhere"):
            return Outcome(unschedulable="0/5 nodes are available: 5 node(s) had untolerated taint {nvidia.com/gpu: }.")
        if pod.job.startswith("image"):
            return Outcome(waiting=("ImagePullBackOff", 'Back-off pulling image "renderer:nope"'))
        return succeed(pod)

    kubelet.scripts[namespace] = script
    async with Site(plane.kubeconfig, namespace) as site, site.operator():
        await site.apply(render_job("slow", deadlines={"activeSeconds": 4}))
        # Long enough that what is in the way is told before, also on a busy machine.
        await site.apply(render_job("nowhere", deadlines={"pendingSeconds": 10}))
        await site.apply(render_job("image", deadlines={"pendingSeconds": 10}))
        for name, said in (("nowhere", "nvidia.com/gpu"), ("image", "renderer:nope")):

            def is_said(job: dict[str, object], said: str = said) -> bool:
                return said in condition(job, "Scheduled").get("message", "")

            await site.until(name, is_said)
        reasons = {}
        for name in ("slow", "nowhere", "image"):
            job = await site.until(name, finished)
            reasons[name] = condition(job, "Failed")["reason"]
    assert reasons["slow"] == "ActiveDeadlineExceeded"
    assert reasons["nowhere"] == "PendingDeadlineExceeded"
    assert reasons["image"] in ("PendingDeadlineExceeded", "ImagePullFailed")


@on_a_loop
async def test_a_storage_profile_is_chosen_near_the_source_and_one_that_is_not_there_is_refused_by_its_field(
    plane: ControlPlane, kubelet: FakeKubelet, namespace: str
) -> None:
    near = {"name": "near-1", "bucket": "here", "sources": ["in"], "secret": "k"}
    places = [{"name": "first", "bucket": "there"}, near]
    given = {"ECG_STORAGE_PROFILES": json.dumps(places)}
    kubelet.scripts[namespace] = lambda pod: Outcome(seconds=None)
    async with Site(plane.kubeconfig, namespace) as site, site.operator(**given):
        await site.apply(render_job("wrong", "s3:///out.mp4", storage={"profile": "far"}))
        await site.apply(render_job("clip", "s3:///clip.mp4", storage={"profile": "auto"}))
        wrong = await site.until("wrong", finished)
        job = await site.until("clip", lambda job: job.get("status", {}).get("phase") == "Planning")

        async def made() -> bool:  # the phase is written before the Job is made
            return "clip-plan" in await site.jobs()

        await site.until_true(made)
        plan = await site.cluster.get(JOBS, namespace, "clip-plan")
    assert wrong["status"]["reason"] == "InvalidInput"
    assert "spec.storage.profile: there is no storage profile 'far'; there are first, near-1" in str(wrong["status"])
    assert job["spec"]["output"]["uri"] == "s3:///clip.mp4"
    told = {one["name"]: one for one in plan["spec"]["template"]["spec"]["containers"][0]["env"]}
    assert json.loads(told["ECG_RENDER_JOB"]["value"])["spec"]["output"]["uri"] == "s3://here/clip.mp4"
    assert told["ECG_STORAGE_NEAR_1_ACCESS_KEY_ID"]["valueFrom"]["secretKeyRef"]["name"] == "k"
