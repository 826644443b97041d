"""The Jobs as they are sent: who owns them, what their pods are told, what they may do, where they run."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from ecg_api.failures import RULES
from ecg_api.names import ROUND_LABEL, UID_LABEL
from ecg_api.renderjob import RenderJob, parse_render_job
from ecg_common.profiles import read_profiles
from ecg_operator.manifests import Owner, Round, clean_job, merge_job, plan_job, segment_job
from ecg_operator.policy import Policy
from observations import KEY, POLICY, UID, render_job

OWNER = Owner(KEY, UID)
ROUND = Round(2, (0, 3, 4), parallelism=2)
KINDS = ("plan", "segments", "merge", "clean")


def built(kind: str, job: RenderJob | None = None, policy: Policy = POLICY, owner: Owner = OWNER) -> dict[str, Any]:
    job = job or render_job()
    match kind:
        case "plan":
            return plan_job(owner, job, policy)
        case "segments":
            return segment_job(owner, job, ROUND, policy)
        case "merge":
            return merge_job(owner, job, policy)
    return clean_job(owner, policy)


def pod_of(manifest: dict[str, Any]) -> dict[str, Any]:
    spec: dict[str, Any] = manifest["spec"]["template"]["spec"]
    return spec


def container_of(manifest: dict[str, Any]) -> dict[str, Any]:
    (container,) = pod_of(manifest)["containers"]
    return dict(container)


def variables(manifest: dict[str, Any]) -> dict[str, str]:
    return {one["name"]: one["value"] for one in container_of(manifest)["env"]}


@pytest.mark.parametrize(
    ("kind", "name", "verb"),
    [
        ("plan", "clip-plan", "plan"),
        ("segments", "clip-seg-2", "segment"),
        ("merge", "clip-merge", "merge"),
        ("clean", "clip-clean", "clean"),
    ],
)
def test_each_job_has_its_name_labels_and_command(kind: str, name: str, verb: str) -> None:
    manifest = built(kind)
    labels = {
        "app.kubernetes.io/managed-by": "ecg-render",
        "render.ecg.dev/job": "clip",
        "render.ecg.dev/uid": UID,
        "render.ecg.dev/role": kind,
        **({ROUND_LABEL: "2"} if kind == "segments" else {}),
    }
    assert manifest["metadata"]["name"] == name
    assert manifest["metadata"]["namespace"] == "render"
    assert manifest["metadata"]["labels"] == labels
    assert manifest["spec"]["template"]["metadata"]["labels"] == labels
    assert container_of(manifest)["args"] == ["worker", verb]


@pytest.mark.parametrize("kind", ["plan", "segments", "merge"])
def test_jobs_go_with_their_render_job_and_do_not_hold_it_up(kind: str) -> None:
    (reference,) = built(kind)["metadata"]["ownerReferences"]
    assert reference == {
        "apiVersion": "render.ecg.dev/v1alpha1",
        "kind": "RenderJob",
        "name": "clip",
        "uid": UID,
        "controller": True,
        "blockOwnerDeletion": False,
    }


def test_the_clean_job_outlives_its_render_job_and_goes_by_itself() -> None:
    manifest = built("clean")
    assert "ownerReferences" not in manifest["metadata"]
    assert manifest["metadata"]["labels"][UID_LABEL] == UID
    assert manifest["spec"]["ttlSecondsAfterFinished"] == 300


@pytest.mark.parametrize("kind", KINDS)
def test_pods_may_do_nothing_but_compute(kind: str) -> None:
    pod = pod_of(built(kind))
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] > 0
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "privileged": False,
        "readOnlyRootFilesystem": True,
    }
    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False
    assert pod["restartPolicy"] == "Never"
    assert pod["terminationGracePeriodSeconds"] == 20
    assert container["terminationMessagePolicy"] == "FallbackToLogsOnError"
    assert container["ports"] == [{"name": "progress", "containerPort": 8091, "protocol": "TCP"}]
    assert variables(built(kind))["HOME"] == "/tmp"
    assert {"name": "scratch", "mountPath": "/tmp"} in container["volumeMounts"]


@pytest.mark.parametrize(("kind", "action"), [("plan", "FailJob"), ("segments", "FailIndex"), ("merge", "FailJob")])
def test_a_lost_node_is_no_try_and_a_failure_that_would_repeat_is_not_repeated(kind: str, action: str) -> None:
    lost, final = built(kind)["spec"]["podFailurePolicy"]["rules"]
    assert lost == {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}
    assert final["action"] == action
    assert final["onExitCodes"]["operator"] == "In"
    never_again = {rule.exit_code for rule in RULES.values() if not rule.retryable}
    again = {rule.exit_code for rule in RULES.values() if rule.retryable}
    assert never_again <= set(final["onExitCodes"]["values"])
    assert not again & set(final["onExitCodes"]["values"])


def test_segments_have_tries_of_their_own_and_the_first_given_up_ends_the_job() -> None:
    spec = built("segments", render_job(retry={"perSegment": 5}))["spec"]
    assert spec["completionMode"] == "Indexed"
    assert (spec["completions"], spec["parallelism"]) == (3, 2)
    assert (spec["backoffLimitPerIndex"], spec["maxFailedIndexes"]) == (5, 0)
    assert spec["podReplacementPolicy"] == "Failed"


def test_the_jobs_own_deadline_is_later_than_ours() -> None:
    for kind in ("plan", "segments", "merge"):
        assert built(kind, render_job(deadlines={"activeSeconds": 60}))["spec"]["activeDeadlineSeconds"] == 660


def test_pods_are_told_where_the_work_files_are_and_which_segments_are_theirs() -> None:
    for kind in KINDS:
        assert variables(built(kind))["ECG_WORK_URI"] == f"s3://work/jobs/render/clip-{UID}"
    assert variables(built("segments"))["ECG_SEGMENTS"] == "0,3-4"
    assert built("segments")["metadata"]["annotations"] == {"render.ecg.dev/segments": "0,3-4"}
    assert variables(built("plan"))["ECG_MOST_SEGMENTS"] == "64"
    assert "ECG_RENDER_JOB" not in variables(built("clean"))


def test_only_the_pod_that_plans_is_told_which_origins_of_plugins_are_allowed() -> None:
    policy = replace(POLICY, plugin_origin="https://a.example", plugin_origins="https://b.example")
    job = render_job(plugins={"origin": "https://b.example"})
    planning = variables(built("plan", job, policy))
    assert planning["ECG_PLUGIN_ORIGIN"] == "https://a.example"
    assert planning["ECG_PLUGIN_ORIGINS"] == "https://b.example"
    assert json.loads(planning["ECG_RENDER_JOB"])["spec"]["plugins"] == {"origin": "https://b.example"}
    for kind in ("segments", "merge", "clean"):
        assert not {"ECG_PLUGIN_ORIGIN", "ECG_PLUGIN_ORIGINS"} & variables(built(kind, job, policy)).keys()


def test_pods_read_a_manifest_without_secrets_placement_and_but_for_the_plan_without_the_scenario() -> None:
    scenario = {"version": "2.0", "cues": [{"text": "안녕"}]}
    job = render_job(
        scenario={"inline": scenario},
        callback={"url": "https://example.com/?token=secret"},
        placement={"nodeSelector": {"gpu": "l4"}},
        options={"width": 640, "height": 360},
        renditions=[{"uri": "s3://videos/words.srt"}],
        live={},
    )
    for kind, inline in {"plan": scenario, "segments": {}, "merge": {}}.items():
        text = variables(built(kind, job))["ECG_RENDER_JOB"]
        read = parse_render_job(json.loads(text))
        assert read.spec.scenario.inline == inline
        assert read.spec.options == job.spec.options
        for name in ("output", "renditions", "live", "plugins", "segments", "reuse"):
            assert getattr(read.spec, name) == getattr(job.spec, name), name
        assert read.spec.callback is None
        assert "secret" not in text
        assert "l4" not in text


def test_a_config_map_is_mounted_read_only_into_the_plan_pod_only() -> None:
    job = render_job(scenario={"configMapRef": {"name": "scenarios", "key": "clip.json.gz"}})
    plan = built("plan", job)
    assert {"name": "scenario", "mountPath": "/scenario", "readOnly": True} in container_of(plan)["volumeMounts"]
    items = [{"key": "clip.json.gz", "path": "scenario"}]
    assert {"name": "scenario", "configMap": {"name": "scenarios", "items": items}} in pod_of(plan)["volumes"]
    assert variables(plan)["ECG_SCENARIO_FILE"] == "/scenario/scenario"
    assert "ECG_SCENARIO_FILE" not in variables(built("segments", job))


def test_a_segments_pod_asks_for_a_gpu_with_what_encoding_needs() -> None:
    manifest = built("segments")
    assert container_of(manifest)["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"} in pod_of(manifest)["tolerations"]
    assert variables(manifest)["NVIDIA_DRIVER_CAPABILITIES"] == "compute,video,utility"
    assert "NVIDIA_VISIBLE_DEVICES" not in variables(manifest)


def test_a_gpu_is_what_the_cluster_calls_one_on_nodes_that_are_tainted_as_gpu_nodes_are() -> None:
    slices = replace(POLICY, gpu_resource="nvidia.com/mig-1g.10gb")
    manifest = built("segments", policy=slices)
    limits = container_of(manifest)["resources"]["limits"]
    assert {name: amount for name, amount in limits.items() if "nvidia" in name} == {"nvidia.com/mig-1g.10gb": "1"}
    keys = [one["key"] for one in pod_of(manifest)["tolerations"]]
    assert keys == ["nvidia.com/gpu", "nvidia.com/mig-1g.10gb"]


def test_pods_are_told_whether_they_may_reuse_what_others_have_stored() -> None:
    for kind in ("plan", "segments", "merge"):
        for reuse in (True, False):
            text = variables(built(kind, render_job(reuse=reuse)))["ECG_RENDER_JOB"]
            assert parse_render_job(json.loads(text)).spec.reuse is reuse


@pytest.mark.parametrize(("kind", "gpus"), [("segments", 0), ("plan", 1), ("merge", 1)])
def test_who_does_not_need_a_gpu_does_not_hold_one(kind: str, gpus: int) -> None:
    manifest = built(kind, render_job(placement={"gpus": gpus}))
    assert "nvidia.com/gpu" not in json.dumps(manifest)
    assert "NVIDIA_DRIVER_CAPABILITIES" not in variables(manifest)


def test_shared_memory_is_memory_and_fits_into_the_memory_limit() -> None:
    manifest = built("segments")
    assert {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "1Gi"}} in pod_of(manifest)["volumes"]
    assert {"name": "shm", "mountPath": "/dev/shm"} in container_of(manifest)["volumeMounts"]
    assert container_of(manifest)["resources"]["limits"]["memory"] == "6Gi"
    assert "shm" not in json.dumps(built("merge"))


def test_segments_run_where_the_manifest_wants_them_and_other_pods_anywhere() -> None:
    job = render_job(
        placement={
            "nodeSelector": {"gpu": "l4"},
            "tolerations": [{"key": "spot", "operator": "Exists"}],
            "runtimeClassName": "nvidia",
            "priorityClassName": "batch",
            "resources": {"requests": {"cpu": "3"}, "limits": {"memory": "9Gi"}},
        }
    )
    pod = pod_of(built("segments", job))
    assert pod["nodeSelector"] == {"gpu": "l4"}
    assert [one["key"] for one in pod["tolerations"]] == ["nvidia.com/gpu", "spot"]
    assert (pod["runtimeClassName"], pod["priorityClassName"]) == ("nvidia", "batch")
    assert container_of(built("segments", job))["resources"] == {
        "requests": {"cpu": "3", "ephemeral-storage": "2Gi"},
        "limits": {"memory": "9Gi", "nvidia.com/gpu": "1"},
    }
    assert "nodeSelector" not in pod_of(built("plan", job))
    plan = container_of(built("plan", job))["resources"]
    assert plan["limits"] == POLICY.plan_resources["limits"]
    assert plan["requests"] == {**POLICY.plan_resources["requests"], "ephemeral-storage": "2Gi"}


def test_a_rescue_round_wins_over_a_selector_for_nodes_that_are_taken_away() -> None:
    selector = {"karpenter.sh/capacity-type": "spot", "gpu": "l4"}
    job = render_job(placement={"nodeSelector": selector})
    manifest = segment_job(OWNER, job, replace(ROUND, on_demand=True), POLICY)
    assert pod_of(manifest)["nodeSelector"] == {"karpenter.sh/capacity-type": "on-demand", "gpu": "l4"}
    assert manifest["metadata"]["annotations"]["render.ecg.dev/on-demand"] == "true"


def test_settings_give_pods_storage_access_a_service_account_and_pull_secrets() -> None:
    policy = replace(
        POLICY,
        worker_secret="storage",
        worker_env={"AWS_REGION": "eu-central-1", "HOME": "/root"},
        service_account="renderer",
        image_pull_secrets=("registry",),
        image_pull_policy="Never",
    )
    for kind in KINDS:
        manifest = built(kind, policy=policy)
        assert container_of(manifest)["envFrom"] == [{"secretRef": {"name": "storage"}}]
        assert container_of(manifest)["imagePullPolicy"] == "Never"
        assert variables(manifest)["AWS_REGION"] == "eu-central-1"
        assert variables(manifest)["HOME"] == "/tmp"
        assert pod_of(manifest)["serviceAccountName"] == "renderer"
        assert pod_of(manifest)["imagePullSecrets"] == [{"name": "registry"}]


def test_pods_are_told_of_storage_profiles_and_get_their_keys_from_secrets() -> None:
    given = [
        {"name": "near-1", "bucket": "videos", "secret": "keys", "replica": "far"},
        {"name": "far", "bucket": "copies", "cdn": {"baseUrl": "https://d1.cloudfront.net", "keyPairId": "K1"}},
    ]
    policy = replace(POLICY, storage=read_profiles(json.dumps(given)))
    for kind in KINDS:
        env = {one["name"]: one for one in container_of(built(kind, policy=policy))["env"]}
        assert json.loads(env["ECG_STORAGE_PROFILES"]["value"]) == given
        keys = {name: one["valueFrom"]["secretKeyRef"] for name, one in env.items() if "valueFrom" in one}
        assert keys == {
            f"ECG_STORAGE_NEAR_1_{end}": {"name": "keys", "key": f"AWS_{end}", "optional": True}
            for end in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN")
        }, "and not the key of the CDN, which is the service's"


@pytest.mark.parametrize("kind", KINDS)
def test_pods_refuse_private_addresses_unless_the_operator_allows_them(kind: str) -> None:
    told = [variables(built(kind, policy=policy)) for policy in (POLICY, replace(POLICY, private_addresses="allow"))]
    assert [one["ECG_PRIVATE_ADDRESSES"] for one in told] == ["refuse", "allow"]
    overruled = replace(POLICY, worker_env={"ECG_PRIVATE_ADDRESSES": "allow"})
    assert variables(built(kind, policy=overruled))["ECG_PRIVATE_ADDRESSES"] == "refuse"


def test_kueues_labels_are_passed_on_to_each_job() -> None:
    queue = {"kueue.x-k8s.io/queue-name": "captions", "kueue.x-k8s.io/priority-class": "high"}
    owner = Owner(KEY, UID, {**queue, "team": "video"})
    for kind in ("plan", "segments", "merge", "clean"):
        labels = built(kind, owner=owner)["metadata"]["labels"]
        assert queue.items() <= labels.items()
        assert "team" not in labels


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_job_is_built_the_same_each_time(kind: str) -> None:
    assert json.dumps(built(kind)) == json.dumps(built(kind))


def test_pods_ask_for_disk_and_to_be_left_where_they_are() -> None:
    for kind in ("plan", "segments", "merge"):
        template = built(kind)["spec"]["template"]
        assert template["metadata"]["annotations"]["karpenter.sh/do-not-disrupt"] == "30m"
        assert template["metadata"]["annotations"]["cluster-autoscaler.kubernetes.io/safe-to-evict"] == "false"
        assert container_of(built(kind))["resources"]["requests"]["ephemeral-storage"] == "2Gi"
        at_once = built(kind, policy=replace(POLICY, do_not_disrupt=""))["spec"]["template"]["metadata"]["annotations"]
        assert [*at_once] == ["cluster-autoscaler.kubernetes.io/safe-to-evict"]
    overrides = {"metadata": {"annotations": {"karpenter.sh/do-not-disrupt": "false"}}}
    moved = built("segments", render_job(placement={"podTemplateOverrides": overrides}))
    assert moved["spec"]["template"]["metadata"]["annotations"]["karpenter.sh/do-not-disrupt"] == "false"
