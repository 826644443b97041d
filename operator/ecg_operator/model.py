"""What passes between observing, deciding and acting. Plain values: no client, no clock, no input or output.

observe -> Observation -> decide -> Decision -> act
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from ecg_api.names import Role
from ecg_api.pods import PodProgress
from ecg_api.renderjob import RenderJob
from ecg_api.status import RenderJobStatus, StorageStatus
from ecg_cluster.cache import Key
from ecg_operator.prices import NodeView


@dataclass(frozen=True, slots=True)
class PodView:
    """What matters of a pod of ours.

    Attributes:
        job_uid: of the Job that made it, which may be an earlier one of the same name.
        index: completion index within its Job; None for plan, merge and clean pods.
        exit_code: of the renderer's container, None until it terminated.
        ended: why the container terminated, in Kubernetes' word: Completed, Error, OOMKilled, ...
        message: its termination message, a report in JSON if it came so far.
        waiting: why the container does not run yet, in Kubernetes' word: ImagePullBackOff, ...; empty if it runs.
        waiting_message: what Kubernetes adds to that.
        said: Kubernetes' word and sentence about the whole pod, such as `Evicted: The node was low on memory`, which
            is all that there is of pods that a node has refused; empty for most.
        unschedulable: the scheduler's sentence while no node takes the pod, else empty.
        cpu_millis: CPU that it asks for, in thousandths.
        disrupted: Kubernetes took the pod away (condition DisruptionTarget); not the renderer's fault.
        deleting: somebody deleted the pod; it may still run.
        started_at, finished_at: by the clock of its node.
        runs_since, over_since: when it was first seen to have started and to have ended, by our own clock; None where
            that was not seen: a pod that is first seen running.
        gone_by: when a pod that is deleted should have ended, grace period included, by our own clock.
    """

    name: str
    uid: str
    role: Role
    round: int
    index: int | None
    phase: Literal["Pending", "Running", "Succeeded", "Failed", "Unknown"]
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    runs_since: datetime | None = None
    over_since: datetime | None = None
    exit_code: int | None = None
    ended: str = ""
    message: str = ""
    waiting: str = ""
    waiting_message: str = ""
    said: str = ""
    unschedulable: str = ""
    disrupted: bool = False
    deleting: bool = False
    gone_by: datetime | None = None
    ip: str = ""
    node: str = ""
    gpus: int = 0
    cpu_millis: int = 0
    job_uid: str = ""


@dataclass(frozen=True, slots=True)
class JobView:
    """What matters of a child Job.

    Attributes:
        owned: its owner is this very RenderJob, not an earlier one of the same name.
        segments: segments that this round renders, by completion index.
        completed: completion indexes that succeeded.
        failed_indexes: completion indexes that were given up.
        complete: all pods succeeded, and the Job controller says so.
        failed: the Job controller gave up; `reason` and `message` are its words.
        suspended: Kueue holds the Job back (`spec.suspend`).
    """

    name: str
    uid: str
    role: Role
    round: int
    created_at: datetime
    owned: bool = True
    segments: tuple[int, ...] = ()
    parallelism: int = 1
    active: int = 0
    completed: frozenset[int] = frozenset()
    failed_indexes: frozenset[int] = frozenset()
    complete: bool = False
    failed: bool = False
    suspended: bool = False
    reason: str = ""
    message: str = ""
    deleting: bool = False
    on_demand: bool = False


@dataclass(frozen=True)
class Verdict:
    """What admission says about a job.

    Attributes:
        admitted: the job may have pods.
        segments: pods that may render segments for it at a time.
        wants: how many it wanted when that was decided: 1 before there is a plan; 0 if nobody knows.
        position: place in the queue, 1 is next; 0 when admitted.
        reason: why it waits, a sentence for a person.
    """

    admitted: bool
    segments: int = 0
    position: int = 0
    reason: str = ""
    wants: int = field(default=0, compare=False)


@dataclass(frozen=True)
class Observation:
    """Everything that a decision about one RenderJob may depend on.

    Attributes:
        job: the RenderJob, or None if it breaks a rule that the API server does not know; then `problems` says which.
        rival: name of an older, unfinished RenderJob that writes to one of the same outputs, else empty.
        contested: the address of that output.
        scenario_problem: what is wrong with the ConfigMap that holds the scenario, else empty.
        place: where results go, if the job chooses a storage profile.
        progress: what running pods last said, by pod name.
        obstacles: what keeps a Job without pods from having any (quota, PodSecurity, Kueue), by the Job's name.
        nodes: on which its pods are, by name, as far as they are known; empty where nothing has a price.
        refusal: what the API server said when it last refused to create a child Job (rights, quota, a wrong override);
            empty if it did not. Creating is tried again with growing pauses.
        others_run, others_have_gpus: whether pods of other RenderJobs run, and whether one of them holds a GPU; only
            looked for while a pod has no node.
    """

    key: Key
    uid: str
    generation: int
    created_at: datetime
    now: datetime
    status: RenderJobStatus
    job: RenderJob | None
    problems: tuple[str, ...] = ()
    deleting: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)
    jobs: tuple[JobView, ...] = ()
    pods: tuple[PodView, ...] = ()
    progress: Mapping[str, PodProgress] = field(default_factory=dict)
    verdict: Verdict = Verdict(admitted=False)
    rival: str = ""
    contested: str = ""
    scenario_problem: str = ""
    place: StorageStatus | None = None
    obstacles: Mapping[str, str] = field(default_factory=dict)
    nodes: Mapping[str, NodeView] = field(default_factory=dict)
    refusal: str = ""
    others_run: bool = False
    others_have_gpus: bool = False


@dataclass(frozen=True)
class CreateJob:
    """Create a child Job; that it exists already and is ours is success."""

    manifest: Mapping[str, Any]

    @property
    def name(self) -> str:
        """Name of the Job."""
        return str(self.manifest["metadata"]["name"])


@dataclass(frozen=True)
class DeleteJob:
    """Delete a child Job with its pods; that it is gone already is success."""

    name: str


@dataclass(frozen=True)
class SetParallelism:
    """Let a segment Job run so many pods at a time."""

    name: str
    parallelism: int


@dataclass(frozen=True)
class DeleteChildren:
    """Delete all child Jobs of the RenderJob with their pods, but those of `keep`, in one call."""

    keep: frozenset[Role] = frozenset()
    grace_seconds: int | None = None


@dataclass(frozen=True)
class DeleteRenderJob:
    """Delete the RenderJob itself: its time to live is over."""


Action = CreateJob | DeleteJob | SetParallelism | DeleteChildren | DeleteRenderJob


@dataclass(frozen=True)
class EventNote:
    """Something to tell on the RenderJob (`kubectl describe`); equal ones are counted, not repeated."""

    kind: Literal["Normal", "Warning"]
    reason: str
    message: str


@dataclass(frozen=True)
class Decision:
    """What to write and do, in this order: status, actions, events.

    Attributes:
        status: the status to write; written only if it differs from the observed one.
        due: seconds after which to look again although nothing happened; None for not at all.
    """

    status: RenderJobStatus
    actions: tuple[Action, ...] = ()
    events: tuple[EventNote, ...] = ()
    due: float | None = None
