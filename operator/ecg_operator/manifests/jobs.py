"""The four kinds of Jobs: plan, segments, merge, clean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ecg_api.failures import FIRST_EXIT_CODE, FIRST_RETRYABLE_EXIT_CODE
from ecg_api.names import (
    CONTAINER,
    JOB_LABEL,
    MANAGED_BY,
    ON_DEMAND_ANNOTATION,
    OPERATOR,
    ROLE_LABEL,
    ROUND_LABEL,
    SEGMENTS_ANNOTATION,
    UID_LABEL,
    Role,
    child_name,
)
from ecg_api.ranges import format_ranges
from ecg_api.renderjob import API_VERSION, KIND, RenderJob, RenderJobSpec
from ecg_cluster.cache import Key
from ecg_operator.manifests.pods import placed, pod_spec
from ecg_operator.policy import Manifest, Policy

_KUEUE_LABELS = ("kueue.x-k8s.io/queue-name", "kueue.x-k8s.io/priority-class")
# What may be wrong with a clean pod (storage away) is worth some patience: nobody waits for it.
_CLEAN_TRIES = 5
_CLEAN_DEADLINE_SECONDS = 1800


@dataclass(frozen=True)
class Owner:
    """The RenderJob that Jobs are made for."""

    key: Key
    uid: str
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Round:
    """One round of segments.

    Attributes:
        segments: which ones, in order: completion index i renders the i-th.
        parallelism: pods at a time.
        on_demand: its pods go to on-demand nodes only.
        may_fail: segments of renditions among them; what fails of these does not end the others.
    """

    number: int
    segments: tuple[int, ...]
    parallelism: int
    on_demand: bool = False
    may_fail: int = 0


def goes_on(spec: RenderJobSpec) -> bool:
    """Tell whether the pod that plans goes on with the segment of a plan that has but one, of the job's own video.

    Not where it would hold what planning is to spare (a GPU, whatever it is called), nor where people watch a render,
    which they can from when the plan is known.
    """
    placement = spec.placement
    own_way = placement.resources or placement.pod_template_overrides or placement.runtime_class_name
    return not (placement.gpus or own_way or spec.live)


def plan_job(owner: Owner, job: RenderJob, policy: Policy, *, on_demand: bool = False) -> Manifest:
    """Return the Job that plans; it needs no GPU. Where its pod goes on, it is a segment's: as large, and as placed."""
    if not goes_on(job.spec):
        return _owned(owner, _simple_job(owner, Role.PLAN, job, policy))
    manifest = _simple_job(owner, Role.PLAN, job, policy, (0,))
    return _owned(owner, _where_segments_go(manifest, job, Round(0, (0,), 1, on_demand), policy))


def merge_job(owner: Owner, job: RenderJob, policy: Policy, given_up: frozenset[int] = frozenset()) -> Manifest:
    """Return the Job that joins the segments and writes the output, without the sizes that have one of `given_up`."""
    return _owned(owner, _simple_job(owner, Role.MERGE, job, policy, tuple(sorted(given_up))))


def clean_job(owner: Owner, policy: Policy) -> Manifest:
    """Return the Job that removes the work files.

    It has no owner, so that it outlives its RenderJob, and goes by its own time to live.
    """
    spec = pod_spec(Role.CLEAN, None, _work_folder(owner, policy), policy)
    return _job(owner, Role.CLEAN, spec, {
        "backoffLimit": _CLEAN_TRIES,
        "activeDeadlineSeconds": _CLEAN_DEADLINE_SECONDS,
        "ttlSecondsAfterFinished": policy.clean_ttl_seconds,
        "podFailurePolicy": _failure_policy("FailJob"),
    }, policy)  # fmt: skip


def segment_job(owner: Owner, job: RenderJob, round_: Round, policy: Policy) -> Manifest:
    """Return the Indexed Job that renders the segments of a round, each with its own tries."""
    folder = _work_folder(owner, policy)
    spec = pod_spec(Role.SEGMENTS, job, folder, policy, round_.segments)
    manifest = _job(owner, Role.SEGMENTS, spec, {
        "completionMode": "Indexed",
        "completions": len(round_.segments),
        "parallelism": round_.parallelism,
        "backoffLimitPerIndex": job.spec.retry.per_segment,
        # A video with a hole is of no use: the first segment given up ends the Job. A rendition is no part of it; which
        # segment is whose the Job controller does not know, but we.
        "maxFailedIndexes": round_.may_fail,
        "activeDeadlineSeconds": _backstop(job, policy),
        "podFailurePolicy": _failure_policy("FailIndex"),
    }, policy, round_.number)  # fmt: skip
    return _owned(owner, _where_segments_go(manifest, job, round_, policy))


def _where_segments_go(manifest: Manifest, job: RenderJob, round_: Round, policy: Policy) -> Manifest:
    """Return the Job placed as segments are, with a note of which segments it renders."""
    template = placed(manifest["spec"]["template"], job.spec.placement, round_.on_demand, policy)
    annotations = {SEGMENTS_ANNOTATION: format_ranges(round_.segments)}
    if round_.on_demand:
        annotations[ON_DEMAND_ANNOTATION] = "true"
    metadata = {**manifest["metadata"], "annotations": annotations}
    return {**manifest, "metadata": metadata, "spec": {**manifest["spec"], "template": template}}


def _simple_job(owner: Owner, role: Role, job: RenderJob, policy: Policy, segments: tuple[int, ...] = ()) -> Manifest:
    spec = pod_spec(role, job, _work_folder(owner, policy), policy, segments)
    return _job(owner, role, spec, {
        "backoffLimit": job.spec.retry.per_segment,
        "activeDeadlineSeconds": _backstop(job, policy),
        "podFailurePolicy": _failure_policy("FailJob"),
    }, policy)  # fmt: skip


def _staying(policy: Policy) -> dict[str, str]:
    """Return what keeps nodes from being emptied to save money while a pod renders: its work would begin anew."""
    stay = {"cluster-autoscaler.kubernetes.io/safe-to-evict": "false"}
    return {"karpenter.sh/do-not-disrupt": policy.do_not_disrupt, **stay} if policy.do_not_disrupt else stay


def _job(owner: Owner, role: Role, pod: Manifest, spec: Manifest, policy: Policy, round_number: int = 0) -> Manifest:
    labels = {
        MANAGED_BY: OPERATOR,
        JOB_LABEL: owner.key.name,
        UID_LABEL: owner.uid,
        ROLE_LABEL: role.value,
    }
    if role is Role.SEGMENTS:
        labels[ROUND_LABEL] = str(round_number)
    # The clean Job, too: where Kueue manages Jobs without a queue's name, one would stay suspended for ever.
    queue = {name: owner.labels[name] for name in _KUEUE_LABELS if name in owner.labels}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": child_name(owner.key.name, role, round_number),
            "namespace": owner.key.namespace,
            "labels": {**queue, **labels},
        },
        "spec": {
            **spec,
            # Two pods for one segment would only be in each other's way.
            "podReplacementPolicy": "Failed",
            "template": {"metadata": {"labels": labels, "annotations": _staying(policy)}, "spec": pod},
        },
    }


def _owned(owner: Owner, manifest: Manifest) -> Manifest:
    reference = {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "name": owner.key.name,
        "uid": owner.uid,
        "controller": True,
        # Deleting a RenderJob in the foreground must not wait for pods.
        "blockOwnerDeletion": False,
    }
    return {**manifest, "metadata": {**manifest["metadata"], "ownerReferences": [reference]}}


def _failure_policy(action: str) -> Manifest:
    """First match wins: a lost node is no try, a failure that would repeat ends it, the rest counts (the default)."""
    never_again = list(range(FIRST_EXIT_CODE, FIRST_RETRYABLE_EXIT_CODE))
    return {
        "rules": [
            {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
            {
                "action": action,
                "onExitCodes": {"containerName": CONTAINER, "operator": "In", "values": never_again},
            },
        ]
    }


def _backstop(job: RenderJob, policy: Policy) -> int:
    return job.spec.deadlines.active_seconds + policy.backstop_seconds


def _work_folder(owner: Owner, policy: Policy) -> str:
    return policy.work_folder(owner.key.namespace, owner.key.name, owner.uid)
