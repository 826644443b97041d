"""Whether pods run and, if not, why they wait: condition Scheduled, and since when (the pending deadline runs)."""

from __future__ import annotations

from datetime import timedelta

from ecg_api.conditions import ConditionType, Reason
from ecg_operator.decide.children import ended, idle, is_rescue, running
from ecg_operator.decide.draft import Draft
from ecg_operator.model import JobView, PodView

_PULL_FAILURES = frozenset({
    "ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError",
    "RegistryUnavailable", "SignatureValidationFailed",
})  # fmt: skip
_STARTING = frozenset({"", "ContainerCreating", "PodInitializing"})
_QUOTA = "exceeded quota"
_OBSTACLE_SECONDS = 30.0
"""What keeps a Job from having pods is looked at again so often: nothing tells when it changes."""

Wait = tuple[Reason, str]


def watch_pods(draft: Draft) -> bool:
    """Say on the condition Scheduled whether the current stage has a running pod, and why not."""
    job = draft.child(draft.stage)
    pods = [pod for pod in draft.pods_of(job) if not ended(pod)] if job is not None and job.owned else []
    held_back = job is not None and job.owned and job.suspended
    _stop_the_clock(draft, held_back)
    if any(running(pod) for pod in pods):
        draft.condition(ConditionType.SCHEDULED, "True", Reason.PODS_RUNNING, "The pods have nodes and run.")
        draft.note(waiting_since=None)
        return False
    wait = _held_back(draft, job) if held_back and job is not None else _wait(draft, job, pods)
    if wait is not None and not _is_said(draft, wait):
        draft.condition(ConditionType.SCHEDULED, "False", *wait)
    if wait is None or held_back or _others_hold_it(draft, job, pods):
        draft.note(waiting_since=None)
    elif draft.run.waiting_since is None:
        draft.note(waiting_since=draft.now)
    return False


_OF_ALL_PODS = ("cpu", "memory", "ephemeral-storage")


def _others_hold_it(draft: Draft, job: JobView | None, pods: list[PodView]) -> bool:
    """Tell whether the pods only lack what other renders hold: they get it in turn, and the pending deadline waits.

    Not of a rescue, which has other nodes to go to. A selector that no node has is told apart by the scheduler's words:
    it does not ask of what there is too little on nodes that do not fit anyhow.
    """
    observation = draft.observation
    held = [*(_OF_ALL_PODS if observation.others_run else ())]
    held += [draft.policy.gpu_resource] if observation.others_have_gpus else []
    lacking = any(f"Insufficient {resource}" in pod.unschedulable for resource in held for pod in pods)
    if not lacking or (job is not None and is_rescue(draft, job)):
        return False
    draft.look_again(_OBSTACLE_SECONDS)  # nothing tells when the others are over
    return True


def _stop_the_clock(draft: Draft, held_back: bool) -> None:
    """Have the active deadline run only while the job may run: what it waits in a queue is added when it goes on."""
    since, admitted_at = draft.run.held_since, draft.run.admitted_at
    if held_back and since is None:
        draft.note(held_since=draft.now)
    elif not held_back and since is not None and admitted_at is not None:
        draft.note(held_since=None, admitted_at=admitted_at + max(draft.now - since, timedelta()))


def _is_said(draft: Draft, wait: Wait) -> bool:
    # A failing pull is worded differently every few seconds, and a quota has other numbers each time; the first words
    # are as good as the next.
    repeats = wait[0] is Reason.IMAGE_PULL_FAILED or wait[1] in draft.observation.obstacles.values()
    return repeats and draft.reason_of(ConditionType.SCHEDULED) == wait[0]


def _held_back(draft: Draft, job: JobView) -> Wait:
    draft.look_again(_OBSTACLE_SECONDS)
    why = draft.observation.obstacles.get(job.name, "").rstrip(".")
    return (
        Reason.QUOTA_EXCEEDED,
        f"Job {job.name} is suspended; a queue (Kueue) has not let it start yet{f': {why}' if why else ''}.",
    )


def _wait(draft: Draft, job: JobView | None, pods: list[PodView]) -> Wait | None:
    """Return why nothing runs; None if there is nothing to say yet."""
    if job is None:
        return _refusal(draft.observation.refusal)
    if not job.owned:
        return Reason.NAME_TAKEN, f"Job {job.name} is not this RenderJob's, but has the name that is needed; delete it."
    if job.deleting or job.complete or job.failed:
        return None
    reasons = [found for found in (_pod_waits(draft, pod) for pod in pods) if found is not None]
    if reasons:
        return min(reasons, key=lambda found: _URGENCY.index(found[0]))
    if not pods and draft.reached(idle(job, draft.pods_of(job)), draft.policy.start_seconds):
        draft.look_again(_OBSTACLE_SECONDS)
        said = draft.observation.obstacles.get(job.name, "")
        if said or draft.pods_of(job):  # with pods that have ended, silence is a pause between two tries
            return _refusal(said)
        return Reason.NODE_PROVISIONING, f"Job {job.name} has no pod yet; `kubectl describe job {job.name}` says why."
    return None


_URGENCY = (
    Reason.IMAGE_PULL_FAILED,
    Reason.POD_CONFIG_ERROR,
    Reason.GPU_UNAVAILABLE,
    Reason.UNSCHEDULABLE,
    Reason.IMAGE_PULLING,
    Reason.NODE_PROVISIONING,
)


def _refusal(said: str) -> Wait | None:
    if not said:
        return None
    return (Reason.QUOTA_EXCEEDED if _QUOTA in said else Reason.CREATION_REFUSED), said


def _pod_waits(draft: Draft, pod: PodView) -> Wait | None:
    if pod.unschedulable:
        gpu = draft.policy.gpu_resource
        reason = Reason.GPU_UNAVAILABLE if gpu in pod.unschedulable else Reason.UNSCHEDULABLE
        what = f"no node with a free {gpu}" if reason is Reason.GPU_UNAVAILABLE else "no node takes the pod"
        return reason, f"{what[0].upper()}{what[1:]}: {pod.unschedulable}"
    if pod.waiting in _PULL_FAILURES:
        image = draft.policy.renderer_image
        return Reason.IMAGE_PULL_FAILED, f"Image {image} cannot be pulled ({pod.waiting}): {pod.waiting_message}"
    if pod.waiting not in _STARTING:
        return Reason.POD_CONFIG_ERROR, f"The pod cannot start ({pod.waiting}): {pod.waiting_message}"
    if not _is_old_enough(draft, pod):
        return None
    if pod.node:
        return Reason.IMAGE_PULLING, f"Node {pod.node} is getting the image and starting the pod."
    return Reason.NODE_PROVISIONING, "The pod waits for a node."


def _is_old_enough(draft: Draft, pod: PodView) -> bool:
    """Tell whether a start takes long enough to be worth a word; most starts do not."""
    return draft.reached(pod.created_at, draft.policy.start_seconds)
