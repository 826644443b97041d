"""A model of a cluster, small and deterministic: the Job controller, the kubelet, and garbage collection.

Once for each second: count what pods did -> start pods -> let them run or end -> remove what nobody owns.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from ecg_api.failures import FIRST_EXIT_CODE, FIRST_RETRYABLE_EXIT_CODE, RULES, FailureCode
from ecg_api.names import ON_DEMAND_ANNOTATION, ROLE_LABEL, ROUND_LABEL, SEGMENTS_ANNOTATION, Role
from ecg_api.pods import CleanReport, encode_report
from ecg_api.ranges import parse_ranges
from ecg_api.status import TakeNotes
from ecg_operator.model import JobView, PodView
from observations import FRAMES, NOW, failure_report, merge_report, plan_report, segment_report, whole_report

GRACE_SECONDS = 20
SECONDS_TO_REMOVE_A_NODE = 200


@dataclass(frozen=True)
class Fate:
    """How a pod ends: ok, retry (exit code 97), fatal (66), oom, killed, mute (no report though it did its work),
    disrupted, dead (its node stops answering, and is removed much later); after how many seconds."""

    kind: str = "ok"
    seconds: int = 3


Fates = Callable[[Role, int | None, int], Fate]
"""What happens to the pod of a role and segment at its n-th try, counted from 0."""


def all_well(role: Role, segment: int | None, attempt: int) -> Fate:
    return Fate()


@dataclass
class ModelCluster:
    """Jobs and pods.

    Attributes:
        tries: pods that were started, by role and segment.
        gpu_seconds: what segment pods held, as the kubelet knows it.
        most_live_rounds: the most segment Jobs that were there at a time.
        planned: the plan is among the work files; whoever writes the output removes it.
        rendered: segments that are in storage.
        kept: frames of a segment in storage that pods began, each ended before it had finished.
        takes: segments of each size, of a job with renditions.
    """

    seed: int
    fates: Fates = all_well
    segments: int = 4
    now: datetime = NOW
    jobs: dict[str, JobView] = field(default_factory=dict)
    pods: dict[str, PodView] = field(default_factory=dict)
    manifests: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    tries: Counter[tuple[Role, int | None]] = field(default_factory=Counter)
    gpu_seconds: float = 0.0
    most_live_rounds: int = 0
    planned: bool = False
    rendered: set[int] = field(default_factory=set)
    kept: int = 0
    takes: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self._fate: dict[str, Fate] = {}
        self._segment_of: dict[str, int | None] = {}
        self._job_of: dict[str, str] = {}
        self._failures: Counter[tuple[str, int | None]] = Counter()
        self._counted: set[str] = set()
        self._numbers = 0

    def pass_a_second(self) -> None:
        """Let the Job controller, the kubelet and the garbage collector do what is due."""
        self.now += timedelta(seconds=1)
        self._job_controller()
        self._kubelet()
        self._collect_garbage()

    def create_job(self, manifest: Mapping[str, Any]) -> None:
        """Create a Job; one of that name is left as it is."""
        name = manifest["metadata"]["name"]
        if name in self.jobs:
            return
        labels, annotations = manifest["metadata"]["labels"], manifest["metadata"].get("annotations", {})
        self.manifests[name] = manifest
        self.jobs[name] = JobView(
            name=name,
            uid=self._unique("job"),
            role=Role(labels[ROLE_LABEL]),
            round=int(labels.get(ROUND_LABEL, 0)),
            created_at=self.now,
            segments=tuple(sorted(parse_ranges(annotations.get(SEGMENTS_ANNOTATION, "")))),
            parallelism=manifest["spec"].get("parallelism", 1),
            on_demand=annotations.get(ON_DEMAND_ANNOTATION) == "true",
        )
        live = [job for job in self.jobs.values() if job.role is Role.SEGMENTS]
        self.most_live_rounds = max(self.most_live_rounds, len(live))

    def delete_job(self, name: str, grace: int | None = None) -> None:
        """Delete a Job in the background, as the operator or a person would."""
        job = self.jobs.pop(name, None)
        seconds = GRACE_SECONDS if grace is None else grace
        for pod in self._pods_of(job) if job else ():
            gone_by = pod.gone_by or self.now + timedelta(seconds=seconds)
            self.pods[pod.name] = replace(pod, deleting=True, gone_by=gone_by)

    def _job_controller(self) -> None:
        for job in list(self.jobs.values()):
            if job.complete or job.failed:
                continue
            self._count(job)
            job = self.jobs[job.name]
            indexes: list[int | None] = list(range(len(job.segments))) if job.role is Role.SEGMENTS else [None]
            # podReplacementPolicy Failed: a pod that is being deleted has its place until it has ended.
            taken = {pod.index for pod in self._pods_of(job) if pod.phase in ("Pending", "Running")}
            for index in indexes:
                done = index in job.completed | job.failed_indexes if index is not None else job.complete
                if not (done or job.failed or index in taken or len(taken) >= job.parallelism):
                    taken.add(index)
                    self._start_pod(job, index)

    def _count(self, job: JobView) -> None:
        """Update the Job's status from its pods, by the rules of podFailurePolicy and backoffLimitPerIndex."""
        spec = self.manifests[job.name]["spec"]
        limit = spec.get("backoffLimitPerIndex", spec.get("backoffLimit"))
        most_failed = spec.get("maxFailedIndexes", 0)
        completed, given_up, failed = set(job.completed), set(job.failed_indexes), job.failed
        for pod in self._pods_of(job):
            if pod.phase == "Succeeded":
                completed.add(pod.index or 0)
            elif pod.phase == "Failed" and not pod.disrupted and pod.name not in self._counted:
                self._counted.add(pod.name)
                self._failures[job.uid, pod.index] += 1
                final = FIRST_EXIT_CODE <= (pod.exit_code or 0) < FIRST_RETRYABLE_EXIT_CODE
                if final or self._failures[job.uid, pod.index] > limit:
                    given_up |= set() if pod.index is None else {pod.index}
                    failed = pod.index is None or len(given_up) > most_failed
        failed = failed or bool(given_up and len(given_up | completed) == len(job.segments))
        complete = not failed and len(completed) == max(len(job.segments), 1)
        self.jobs[job.name] = replace(
            job,
            completed=frozenset(completed) if job.role is Role.SEGMENTS else frozenset(),
            failed_indexes=frozenset(given_up),
            failed=failed,
            reason="FailedIndexes" if failed else "",
            complete=complete,
        )

    def _start_pod(self, job: JobView, index: int | None) -> None:
        segment = None if index is None else job.segments[index]
        name = self._unique(job.name if index is None else f"{job.name}-{index}")
        self._fate[name] = self.fates(job.role, segment, self.tries[job.role, segment])
        self.tries[job.role, segment] += 1
        gpus = int(job.role is Role.SEGMENTS)
        self.pods[name] = PodView(
            name,
            f"uid-{name}",
            job.role,
            job.round,
            index,
            "Pending",
            self.now,
            gpus=gpus,
            node="node-1",
            job_uid=job.uid,
        )
        self._segment_of[name] = segment
        self._job_of[name] = job.uid

    def _kubelet(self) -> None:
        for pod in list(self.pods.values()):
            fate = self._fate[pod.name]
            if pod.phase == "Pending":
                if pod.deleting:
                    self._end(pod, phase="Failed")
                elif self.random.random() < 0.7:
                    self.pods[pod.name] = replace(pod, phase="Running", started_at=self.now)
            elif pod.phase == "Running":
                assert pod.started_at is not None
                if pod.disrupted:
                    self._wait_for_node(pod)
                elif pod.deleting and (pod.gone_by is None or pod.gone_by <= self.now or self.random.random() < 0.5):
                    self._end(pod, phase="Failed", exit_code=143, ended="Error")
                elif self.now - pod.started_at >= timedelta(seconds=fate.seconds):
                    self._meet_fate(pod, fate)

    def _wait_for_node(self, pod: PodView) -> None:
        assert pod.started_at is not None
        if self.now - pod.started_at > timedelta(seconds=SECONDS_TO_REMOVE_A_NODE):
            self._end(pod, phase="Failed")

    def _meet_fate(self, pod: PodView, fate: Fate) -> None:
        if fate.kind in ("ok", "mute") and pod.role in (Role.SEGMENTS, Role.MERGE) and not self.planned:
            gone = failure_report(FailureCode.RENDER_ERROR).model_copy(update={"plan_again": True})
            self._end(pod, phase="Failed", exit_code=96, ended="Error", message=encode_report(gone))
        elif fate.kind in ("ok", "mute"):
            message = self._worked(pod)
            said = message if fate.kind == "ok" else "the last line of its log"
            self._end(pod, phase="Succeeded", exit_code=0, ended="Completed", message=said)
        elif fate.kind in ("retry", "fatal"):
            code = FailureCode.BROWSER_ERROR if fate.kind == "retry" else FailureCode.INVALID_VIDEO_FORMAT
            message = encode_report(failure_report(code, segment=0 if self.goes_on(pod) else None))
            self._end(pod, phase="Failed", exit_code=RULES[code].exit_code, ended="Error", message=message)
        elif fate.kind == "dead":
            gone_by = self.now + timedelta(seconds=GRACE_SECONDS)
            self.pods[pod.name] = replace(pod, disrupted=True, deleting=True, gone_by=gone_by)
        elif fate.kind == "disrupted":
            self._end(pod, phase="Failed", exit_code=143, ended="Error", disrupted=True)
        else:
            self._end(pod, phase="Failed", exit_code=137, ended="OOMKilled" if fate.kind == "oom" else "Error")

    def _worked(self, pod: PodView) -> str:
        """Do the work of a pod in storage; return its report."""
        segment = self._segment_of[pod.name]
        if pod.role is Role.PLAN:
            self.planned = True
            missing = 0 if len(self.rendered) == self.segments else self.segments
            takes = [
                TakeNotes(segments=count, renditions=[take - 1] if take else [])
                for take, count in enumerate(self.takes)
            ]
            report = plan_report(missing, frames=FRAMES * self.segments)
            if self.goes_on(pod) and missing == 1:
                self.rendered.add(0)
                self.planned = False
                return encode_report(whole_report())
            return encode_report(report.model_copy(update={"takes": takes if missing else []}))
        if pod.role is Role.CLEAN:
            return encode_report(CleanReport(files=3))
        self.planned = pod.role is Role.SEGMENTS and self.segments > 1
        if pod.role is Role.MERGE:
            return encode_report(merge_report())
        assert segment is not None
        self.rendered.add(segment)
        merged = None if self.planned else merge_report()  # the only segment's pod makes the output, too
        return encode_report(segment_report(segment, merged=merged))

    def goes_on(self, pod: PodView) -> bool:
        """Tell whether the pod of a plan renders the only segment, too."""
        one = any(job.uid == pod.job_uid and job.segments for job in self.jobs.values())
        return pod.role is Role.PLAN and one and self.segments == 1 and not self.rendered

    def frames_done(self, pod: PodView) -> int:
        """Return the frames that a pod has rendered, ten a second, besides those that were kept before."""
        assert pod.started_at is not None
        done = 10 * int((self.now - pod.started_at).total_seconds())
        return min(FRAMES - self.kept, done)

    def _end(self, pod: PodView, **fields: Any) -> None:
        if pod.started_at is not None and self.goes_on(pod) and not pod.disrupted:
            self.kept = min(self.kept + self.frames_done(pod) // 20 * 20, FRAMES - 20)  # but for the cell it was at
        self.pods[pod.name] = replace(pod, finished_at=self.now, **fields)
        if pod.started_at is not None:
            self.gpu_seconds += pod.gpus * (self.now - pod.started_at).total_seconds()

    def _collect_garbage(self) -> None:
        """Remove pods without a Job once they have ended, and clean Jobs some time after they have."""
        owned = {pod.name for job in self.jobs.values() for pod in self._pods_of(job)}
        for pod in list(self.pods.values()):
            if pod.name not in owned and pod.phase in ("Succeeded", "Failed") and self.random.random() < 0.5:
                del self.pods[pod.name]
        for job in list(self.jobs.values()):
            ended_at = [pod.finished_at for pod in self._pods_of(job) if pod.finished_at]
            if job.role is Role.CLEAN and job.complete and self.now - max(ended_at) > timedelta(seconds=5):
                self.delete_job(job.name)

    def _pods_of(self, job: JobView) -> list[PodView]:
        return [pod for pod in self.pods.values() if self._job_of[pod.name] == job.uid]

    def _unique(self, word: str) -> str:
        self._numbers += 1
        return f"{word}-{self._numbers:05}"
