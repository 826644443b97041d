"""Kubernetes objects, as the API server gives them, and what is read off them."""

from __future__ import annotations

from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ecg_api.names import Role
from ecg_api.status import StorageStatus
from ecg_cluster.cache import Key
from ecg_cluster.queue import KeyedQueue
from ecg_common.profiles import read_profiles
from ecg_operator.views import RenderJobView, read_job, read_pod, read_render_job
from ecg_operator.world import World

NOW = datetime(2026, 1, 31, 13, tzinfo=UTC)
LABELS = {
    "app.kubernetes.io/managed-by": "ecg-render",
    "render.ecg.dev/job": "clip",
    "render.ecg.dev/uid": "uid-clip",
    "render.ecg.dev/role": "segments",
    "render.ecg.dev/round": "1",
    "batch.kubernetes.io/job-name": "clip-seg-1",
}
POD: dict[str, Any] = {
    "metadata": {
        "name": "clip-seg-1-0-x7k2p",
        "generateName": "clip-seg-1-0-",
        "namespace": "default",
        "uid": "c7d8a0a7-55a0-4e3c-8d2b-3f4e5a6b7c8d",
        "resourceVersion": "4711",
        "creationTimestamp": "2026-01-31T12:00:00Z",
        "labels": {**LABELS, "batch.kubernetes.io/job-completion-index": "0"},
        "annotations": {"batch.kubernetes.io/job-completion-index": "0"},
        "finalizers": ["batch.kubernetes.io/job-tracking"],
        "managedFields": [{"manager": "kube-controller-manager", "operation": "Update", "fieldsV1": {}}],
        "ownerReferences": [{"apiVersion": "batch/v1", "kind": "Job", "name": "clip-seg-1", "uid": "uid-job"}],
    },
    "spec": {
        "nodeName": "node-1",
        "containers": [{"name": "renderer", "resources": {"limits": {"nvidia.com/gpu": "1", "memory": "6Gi"}}}],
    },
    "status": {"phase": "Pending"},
}
JOB: dict[str, Any] = {
    "metadata": {
        "name": "clip-seg-1",
        "namespace": "default",
        "uid": "uid-job",
        "resourceVersion": "99",
        "creationTimestamp": "2026-01-31T12:00:00Z",
        "labels": LABELS,
        "annotations": {"render.ecg.dev/segments": "1-2,5", "render.ecg.dev/on-demand": "true"},
        "ownerReferences": [
            {"apiVersion": "render.ecg.dev/v1alpha1", "kind": "RenderJob", "name": "clip", "uid": "u1"}
        ],
    },
    "spec": {"parallelism": 2, "completions": 3, "completionMode": "Indexed", "suspend": False},
    "status": {},
}
SPEC = {
    "source": {"uri": "s3://in/a.mp4"},
    "scenario": {"inline": {"version": "2.0", "cues": []}},
    "output": {"uri": "s3://out/a.mp4"},
}
RENDER_JOB: dict[str, Any] = {
    "apiVersion": "render.ecg.dev/v1alpha1",
    "kind": "RenderJob",
    "metadata": {
        "name": "clip",
        "namespace": "default",
        "uid": "u1",
        "generation": 3,
        "resourceVersion": "12",
        "creationTimestamp": "2026-01-31T12:00:00Z",
        "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}", "team": "subtitles"},
        "managedFields": [{"manager": "kubectl"}],
    },
    "spec": SPEC,
}


def pod(**status: Any) -> dict[str, Any]:
    changed = deepcopy(POD)
    changed["status"] = {"phase": "Running", **status}
    return changed


def container(**state: Any) -> list[dict[str, Any]]:
    return [{"name": "sidecar", "state": {"running": {}}}, {"name": "renderer", "state": state}]


def test_a_new_pod() -> None:
    record = read_pod(POD, NOW)
    assert record is not None
    assert (record.key, record.version, record.owner) == (Key("default", "clip"), 4711, "uid-clip")
    view = record.value
    assert (view.role, view.round, view.index, view.gpus, view.node) == (Role.SEGMENTS, 1, 0, 1, "node-1")
    assert (view.phase, view.exit_code, view.disrupted, view.deleting) == ("Pending", None, False, False)
    assert view.created_at == datetime(2026, 1, 31, 12, tzinfo=UTC)


def test_a_pod_of_somebody_else_is_none_of_ours() -> None:
    foreign = deepcopy(POD)
    foreign["metadata"]["labels"] = {"app": "other"}
    assert read_pod(foreign, NOW) is None
    assert read_job({**JOB, "metadata": {**JOB["metadata"], "labels": {}}}, NOW) is None


TERMINATED = {
    "exitCode": 98,
    "reason": "Error",
    "message": '{"kind": "failure"}',
    "startedAt": "2026-01-31T12:00:01Z",
    "finishedAt": "2026-01-31T12:00:11Z",
}
DISRUPTED = {"type": "DisruptionTarget", "status": "True", "lastTransitionTime": "2026-01-31T12:00:30Z"}
STARTED = datetime(2026, 1, 31, 12, 0, 1, tzinfo=UTC)
POD_STATES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "running": (
        {"podIP": "10.0.0.7", "containerStatuses": container(running={"startedAt": "2026-01-31T12:00:01Z"})},
        {"phase": "Running", "ip": "10.0.0.7", "started_at": STARTED, "finished_at": None, "exit_code": None},
    ),
    "failed with a report": (
        {"phase": "Failed", "containerStatuses": container(terminated=TERMINATED)},
        {
            "phase": "Failed",
            "exit_code": 98,
            "ended": "Error",
            "message": '{"kind": "failure"}',
            "started_at": STARTED,
            "finished_at": datetime(2026, 1, 31, 12, 0, 11, tzinfo=UTC),
        },
    ),
    "killed for its memory": (
        {"phase": "Failed", "containerStatuses": container(terminated={"exitCode": 137, "reason": "OOMKilled"})},
        {"exit_code": 137, "ended": "OOMKilled", "message": ""},
    ),
    "an image that cannot be pulled": (
        {
            "phase": "Pending",
            "containerStatuses": container(waiting={"reason": "ErrImagePull", "message": "no such tag"}),
        },
        {"waiting": "ErrImagePull", "waiting_message": "no such tag", "started_at": None},
    ),
    "no node": (
        {
            "phase": "Pending",
            "conditions": [
                {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes"}
            ],
        },
        {"unschedulable": "0/3 nodes"},
    ),
    "a scheduling gate is not called no node": (
        {
            "phase": "Pending",
            "conditions": [{"type": "PodScheduled", "status": "False", "reason": "SchedulingGated", "message": "x"}],
        },
        {"unschedulable": ""},
    ),
    "refused by its node": (
        {"phase": "Failed", "reason": "UnexpectedAdmissionError", "message": "no healthy devices present"},
        {"said": "UnexpectedAdmissionError: no healthy devices present", "exit_code": None},
    ),
    "evicted": (
        {"phase": "Failed", "conditions": [DISRUPTED], "containerStatuses": container(terminated=TERMINATED)},
        {"disrupted": True, "finished_at": datetime(2026, 1, 31, 12, 0, 11, tzinfo=UTC)},
    ),
    "lost with its node": (
        {
            "phase": "Failed",
            "conditions": [DISRUPTED],
            "containerStatuses": container(running={"startedAt": "2026-01-31T12:00:01Z"}),
        },
        {"disrupted": True, "started_at": STARTED, "finished_at": datetime(2026, 1, 31, 12, 0, 30, tzinfo=UTC)},
    ),
}


@pytest.mark.parametrize(("status", "wanted"), POD_STATES.values(), ids=POD_STATES.keys())
def test_states_of_a_pod(status: dict[str, Any], wanted: dict[str, Any]) -> None:
    record = read_pod(pod(**status), NOW)
    assert record is not None
    assert {name: getattr(record.value, name) for name in wanted} == wanted


def test_a_pod_being_deleted_knows_by_when_it_should_be_gone() -> None:
    leaving = deepcopy(POD)
    leaving["metadata"] |= {"deletionTimestamp": "2026-01-31T12:01:00Z", "deletionGracePeriodSeconds": 30}
    record = read_pod(leaving, NOW)
    assert record is not None
    assert record.value.deleting
    assert record.value.gone_by == NOW + timedelta(seconds=30)


def test_a_pod_should_be_gone_by_what_was_reckoned_when_its_deletion_was_first_seen_or_earlier() -> None:
    world, seen = World(KeyedQueue[Key]()), []
    for version, grace in enumerate((None, 30, 30, 2)):
        told = deepcopy(POD)
        told["metadata"]["resourceVersion"] = str(version)
        if grace is not None:
            # Stamped by an API server whose clock is months behind.
            told["metadata"] |= {"deletionTimestamp": "2026-01-31T12:01:00Z", "deletionGracePeriodSeconds": grace}
        assert world.pods.learn(told)
        [record] = world.pods.records()
        seen.append(record.value.gone_by)
    assert seen[0] is None
    assert seen[1] == seen[2]
    assert [round((one - datetime.now(UTC)).total_seconds()) for one in seen[1:] if one] == [30, 30, 2]


def test_that_a_pod_runs_and_is_over_is_told_by_the_own_clock_from_when_it_was_seen() -> None:
    world, seen = World(KeyedQueue[Key]()), []
    running = {"phase": "Running", "containerStatuses": container(running={"startedAt": "2026-01-31T12:00:01Z"})}
    over = {"phase": "Succeeded", "containerStatuses": container(terminated=TERMINATED)}
    for version, status in enumerate(({"phase": "Pending"}, running, running, over, over)):
        told = pod(**status)
        told["metadata"] = told["metadata"] | {"resourceVersion": str(version)}
        assert world.pods.learn(told)
        [record] = world.pods.records()
        seen.append(record.value)
    now = datetime.now(UTC)
    assert [view.runs_since is not None for view in seen] == [False, True, True, True, True]
    assert [view.over_since is not None for view in seen] == [False, False, False, True, True]
    assert len({view.runs_since for view in seen[1:]}) == len({view.over_since for view in seen[3:]}) == 1
    for at in (seen[-1].runs_since, seen[-1].over_since):
        assert at is not None and timedelta() <= now - at < timedelta(seconds=5)

    for status, ended in ((running, False), (over, True)):  # as an operator that has just started finds them
        world = World(KeyedQueue[Key]())
        assert world.pods.learn(pod(**status))
        [record] = world.pods.records()
        assert record.value.runs_since is None
        assert (record.value.over_since is not None) is ended


def test_what_the_api_server_says_to_come_is_now() -> None:
    early = datetime(2026, 1, 31, 11, 55, tzinfo=UTC)
    for record in (read_pod(POD, early), read_job(JOB, early)):
        assert record is not None
        assert record.value.created_at == early


def job(**status: Any) -> dict[str, Any]:
    return {**JOB, "status": status}


def test_a_new_job() -> None:
    record = read_job(JOB, NOW)
    assert record is not None
    assert record.owner == "u1"
    view = record.value
    assert (view.segments, view.parallelism, view.round, view.on_demand) == ((1, 2, 5), 2, 1, True)
    assert (view.complete, view.failed, view.active, view.suspended) == (False, False, 0, False)


FAILED = {"type": "Failed", "status": "True", "reason": "FailedIndexes", "message": "Job has failed indexes"}
JOB_STATES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "half done": (
        {"active": 1, "completedIndexes": "0,2", "failedIndexes": "1"},
        {"active": 1, "completed": frozenset({0, 2}), "failed_indexes": frozenset({1}), "complete": False},
    ),
    "complete": ({"conditions": [{"type": "Complete", "status": "True"}]}, {"complete": True, "failed": False}),
    "failed": (
        {"conditions": [FAILED]},
        {"failed": True, "reason": "FailedIndexes", "message": "Job has failed indexes"},
    ),
    "about to fail": (
        {"conditions": [{**FAILED, "type": "FailureTarget"}]},
        {"failed": True, "reason": "FailedIndexes"},
    ),
    "a condition that is not so": ({"conditions": [{**FAILED, "status": "False"}]}, {"failed": False, "reason": ""}),
}


@pytest.mark.parametrize(("status", "wanted"), JOB_STATES.values(), ids=JOB_STATES.keys())
def test_states_of_a_job(status: dict[str, Any], wanted: dict[str, Any]) -> None:
    record = read_job(job(**status), NOW)
    assert record is not None
    assert {name: getattr(record.value, name) for name in wanted} == wanted


def test_a_render_job_is_parsed_without_what_kubectl_and_the_api_server_add() -> None:
    record = read_render_job(RENDER_JOB)
    view = record.value
    assert view.job is not None
    assert view.job.metadata.annotations == {"team": "subtitles"}
    assert view.job.spec.scenario.inline == {"version": "2.0", "cues": []}
    assert (view.outputs, view.generation, view.finished, view.problems) == (("s3://out/a.mp4",), 3, False, ())


def test_the_scenario_of_a_finished_render_job_is_not_kept() -> None:
    over = {"type": "Finished", "status": "True", "reason": "Completed", "lastTransitionTime": "2026-01-31T12:00:00Z"}
    record = read_render_job({**RENDER_JOB, "status": {"phase": "Succeeded", "conditions": [over]}})
    assert record.value.finished
    assert record.value.job is not None
    assert record.value.job.spec.scenario.inline == {}


def test_a_rule_that_the_api_server_does_not_know_becomes_a_problem_with_its_path() -> None:
    record = read_render_job({**RENDER_JOB, "spec": {**SPEC, "priority": 10**9}})
    assert record.value.job is None
    assert any("spec.priority" in problem for problem in record.value.problems)


def test_results_lie_in_the_storage_profile_that_is_chosen_or_the_job_is_refused_with_the_field() -> None:
    places = read_profiles(
        '[{"name": "near", "bucket": "near-1", "sources": ["in"]}, {"name": "far", "bucket": "far-1"}]'
    )
    output = {"uri": "s3:///out/a.mp4", "publicBaseUrl": "https://cdn.example.com/v"}
    renditions = [{"uri": "s3:///out/a.srt"}]

    def read(profile: str, **changes: Any) -> RenderJobView:
        spec = {**SPEC, "output": output, "renditions": renditions, "storage": {"profile": profile}, **changes}
        value = read_render_job({**RENDER_JOB, "spec": spec}, storage=places).value
        assert isinstance(value, RenderJobView)
        return value

    for profile, bucket in (("auto", "near-1"), ("far", "far-1")):
        job = read(profile).job
        assert job is not None and job.spec.storage is None, "pods are told addresses, and choose nothing"
        assert job.spec.output.uri == f"s3://{bucket}/out/a.mp4" == read(profile).outputs[0]
        assert job.spec.renditions[0].uri == f"s3://{bucket}/out/a.srt"
    refused = read("fra")
    assert refused.job is None
    assert refused.problems == ("spec.storage.profile: there is no storage profile 'fra'; there are near, far",)
    elsewhere = read("far", output={"uri": "s3://near-1/a.mp4"}).problems
    assert elsewhere[0].startswith("spec.output.uri: s3://near-1/a.mp4 is not in the bucket of the storage profile")
    over = {"conditions": [{"type": "Finished", "status": "True", "lastTransitionTime": "2026-01-31T12:00:00Z",
                            "reason": "Completed", "message": ""}], "run": {"workFiles": "Written"}}  # fmt: skip
    gone = {**RENDER_JOB, "spec": {**SPEC, "storage": {"profile": "fra"}}, "status": over}
    assert read_render_job(gone, storage=places).value.job is not None, "it must go in time, and needs no place"
    twice = read("far", renditions=[{"uri": "s3://far-1/out/b.mp4"}, {"uri": "s3:///out/b.mp4"}]).problems
    assert twice[0].startswith("spec.renditions[1].uri: two outputs have one address")
    assert read_render_job({**RENDER_JOB, "spec": {**SPEC, "output": output}}).value.problems == (
        "spec: output.uri: names no bucket; write s3://bucket/key, or choose a place by storage.profile",
    )


def test_a_job_that_has_begun_keeps_its_place_and_ends_when_that_is_gone() -> None:
    def read(profiles: str, **status: Any) -> RenderJobView:
        spec = {**SPEC, "output": {"uri": "s3:///out/a.mp4"}, "storage": {"profile": "auto"}}
        value = read_render_job({**RENDER_JOB, "spec": spec, "status": status}, storage=read_profiles(profiles)).value
        assert isinstance(value, RenderJobView)
        return value

    near, far = '{"name": "near", "bucket": "near-1"}', '{"name": "far", "bucket": "far-1"}'
    new = read(f"[{near}, {far}]")
    assert new.place == StorageStatus(profile="near", bucket="near-1")
    begun = read(f"[{far}, {near}]", storage=new.place.model_dump())
    assert begun.outputs == ("s3://near-1/out/a.mp4",), "first in the list is another one now"
    assert begun.place == new.place
    for profiles, now in (
        (f"[{far}]", "is not there any more; there are far"),
        ('[{"name": "near", "bucket": "near-2"}]', "has the bucket 'near-2' now"),
    ):
        lost = read(profiles, storage=new.place.model_dump())
        assert lost.job is None
        assert lost.problems == (
            f"spec.storage.profile: the job's results go to s3://near-1, and the storage profile 'near' {now}. "
            "Put it back as it was, and create the job again",
        )


def test_fields_that_only_a_newer_crd_knows_end_no_job() -> None:
    newer = {**SPEC, "colour": "blue", "retry": {"backoffSeconds": 10}}  # filled in by the CRD's defaults
    record = read_render_job({**RENDER_JOB, "spec": newer})
    assert record.value.problems == ()
    assert record.value.job is not None


def test_a_status_of_a_newer_operator_is_left_alone() -> None:
    record = read_render_job({**RENDER_JOB, "status": {"phase": "Teleporting"}})
    assert record.value.status is None
    assert any("status.phase" in problem for problem in record.value.problems)


@pytest.mark.parametrize(
    ("managed_by", "manager", "ours"),
    [
        ("", "render.ecg.dev/operator", True),
        ("render.ecg.dev/operator", "render.ecg.dev/operator", True),
        ("kueue.x-k8s.io/multikueue", "render.ecg.dev/operator", False),
        ("", "example.com/second", False),
        ("example.com/second", "example.com/second", True),
    ],
)
def test_a_render_job_that_another_controller_manages_is_none_of_ours(
    managed_by: str, manager: str, ours: bool
) -> None:
    spec = {**SPEC, "managedBy": managed_by} if managed_by else SPEC
    assert (read_render_job({**RENDER_JOB, "spec": spec}, manager) is not None) is ours


def test_a_pod_holds_as_many_gpus_as_it_has_of_what_the_cluster_calls_one() -> None:
    shared = {"name": "renderer", "resources": {"limits": {"nvidia.com/gpu.shared": "1"}}}
    record = read_pod({**POD, "spec": {**POD["spec"], "containers": [shared]}}, NOW, "nvidia.com/gpu.shared")
    assert record is not None
    assert record.value.gpus == 1


@pytest.mark.parametrize(
    ("limit", "gpus"), [("1k", 1000), ("1Ki", 1024), (2, 2), ("500m", 0), ("1e99", 2**63 - 1), ("nope", 0)]
)
def test_a_pod_asks_for_gpus_in_any_way_that_kubernetes_writes_amounts(limit: str | int, gpus: int) -> None:
    asked = {"name": "renderer", "resources": {"limits": {"nvidia.com/gpu": limit}, "requests": {"cpu": limit}}}
    record = read_pod({**POD, "spec": {**POD["spec"], "containers": [asked]}}, NOW)
    assert record is not None
    assert record.value.gpus == gpus


STRANGE: dict[str, dict[str, Any]] = {
    "a round that is no number": {"labels": {**LABELS, "render.ecg.dev/round": "a"}},
    "a round of sixty digits": {"labels": {**LABELS, "render.ecg.dev/round": "9" * 60}},
    "segments in words": {"annotations": {"render.ecg.dev/segments": "all"}},
    "far too many segments": {"annotations": {"render.ecg.dev/segments": "0-99999999999"}},
    "far too many segments, by parts": {"annotations": {"render.ecg.dev/segments": "0-15000,20000-30000"}},
}


@pytest.mark.parametrize("meta", STRANGE.values(), ids=STRANGE.keys())
def test_what_only_bears_our_labels_is_none_of_ours(meta: dict[str, Any]) -> None:
    assert read_job({**JOB, "metadata": {**JOB["metadata"], **meta}}, NOW) is None
    if "labels" in meta:
        assert read_pod({**POD, "metadata": {**POD["metadata"], **meta}}, NOW) is None


def test_a_status_that_claims_billions_of_segments_is_not_read() -> None:
    record = read_render_job({**RENDER_JOB, "status": {"run": {"completed": "0-99999999999"}}})
    assert record is not None
    assert isinstance(record.value, RenderJobView)
    assert record.value.status is None
    assert "more than 20000 numbers" in record.value.problems[0]
