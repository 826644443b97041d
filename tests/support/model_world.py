"""A model of the operator at work on a model cluster: caches that lag, and a death between any two of its writes.

observe (caches) -> decide -> status -> actions -> events
What may happen is drawn from a seeded generator, so that whatever went wrong can be seen again.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any

from ecg_api.conditions import ConditionType, is_true
from ecg_api.names import Role
from ecg_api.pods import PodProgress
from ecg_api.renderjob import RenderJob
from ecg_api.status import RenderJobStatus
from ecg_operator.decide import decide
from ecg_operator.model import (
    Action,
    CreateJob,
    DeleteChildren,
    DeleteJob,
    DeleteRenderJob,
    JobView,
    Observation,
    PodView,
    SetParallelism,
    Verdict,
)
from model_cluster import ModelCluster
from observations import FRAMES, KEY, NOW, POLICY, UID, render_job, stored


@dataclass
class World(ModelCluster):
    """The cluster, one RenderJob, and its operator.

    Attributes:
        lag: most seconds by which the operator's caches are behind.
        crashes: probability that the operator dies at any one of its writes.
        deleting: somebody deleted the RenderJob; its Jobs go, and the operator may still care for its work files.
        version: of the RenderJob; who observed another one may not write.
        written: the statuses that were written.
        actions: what was asked for, by kind and name.
    """

    lag: int = 0
    crashes: float = 0.0
    spec: dict[str, Any] = field(default_factory=dict)
    status: RenderJobStatus = field(default_factory=RenderJobStatus)
    version: int = 1
    deleting: bool = False
    deleted: bool = False
    written: list[RenderJobStatus] = field(default_factory=list)
    actions: Counter[str] = field(default_factory=Counter)
    events: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._past: list[tuple[dict[str, JobView], dict[str, PodView]]] = [({}, {})]
        self._seen = self._seen_pods = 0
        self._quiet = False
        self._parsed: tuple[dict[str, Any], RenderJob] | None = None

    def tick(self) -> None:
        """Let a second pass, with a look of the operator or two."""
        self.pass_a_second()
        self._past.append((dict(self.jobs), dict(self.pods)))
        for _ in range(self.random.choice((1, 1, 2))):
            self.look()

    def run(self, ticks: int = 600) -> None:
        """Let time pass until the job is over and nothing of it is left, or for so many ticks."""
        for _ in range(ticks):
            self.tick()
            if self.at_rest:
                return

    @property
    def finished(self) -> bool:
        return is_true(self.status.conditions, ConditionType.FINISHED)

    @property
    def at_rest(self) -> bool:
        caught_up = self._seen == self._seen_pods == len(self._past) - 1 and self._past[-1] == (self.jobs, self.pods)
        nothing_left = (self.finished or self.deleted) and not self.jobs and not self.pods
        return nothing_left and caught_up and self._quiet

    def delete(self) -> None:
        """Delete the RenderJob, as a person does; what it owns is garbage."""
        self.deleting = True
        for job in list(self.jobs.values()):
            if job.role is not Role.CLEAN:
                self.delete_job(job.name)

    def look(self) -> None:
        """Observe, decide, and write; maybe not to the end."""
        if self.deleted:
            return
        version, observation = self.version, self.observe()
        decision = decide(observation, POLICY)
        self._quiet = decision.status == observation.status and not decision.actions
        self.deleted = self.deleting and decision.due is None
        if decision.status != observation.status:
            if version != self.version or self._crashes():
                return
            self.status = stored(decision.status)
            self.version += 1
            self.written.append(self.status)
        for action in decision.actions:
            if self._crashes():
                return
            self._apply(action)
        self.events += [event.reason for event in decision.events]

    def observe(self) -> Observation:
        # Two watches: either may be ahead of the other.
        self._seen, self._seen_pods = self._look_at(self._seen), self._look_at(self._seen_pods)
        jobs, pods = self._past[self._seen][0], self._past[self._seen_pods][1]
        return Observation(
            key=KEY,
            uid=UID,
            generation=1,
            created_at=NOW,
            now=self.now,
            status=self.status,
            job=self._job(),
            deleting=self.deleting,
            jobs=tuple(jobs.values()),
            pods=tuple(pods.values()),
            progress={name: self._progress(pod) for name, pod in pods.items() if pod.phase == "Running"},
            verdict=Verdict(admitted=True, segments=2 + self.now.second % 3),
        )

    def _job(self) -> RenderJob:
        if self._parsed is None or self._parsed[0] is not self.spec:
            self._parsed = self.spec, render_job(**self.spec)
        return self._parsed[1]

    def _look_at(self, seen: int) -> int:
        oldest = max(seen, len(self._past) - 1 - self.lag)
        return self.random.randint(oldest, len(self._past) - 1)

    def _crashes(self) -> bool:
        return self.random.random() < self.crashes

    def _progress(self, pod: PodView) -> PodProgress:
        done, total = self.frames_done(pod), FRAMES - self.kept
        if pod.role is Role.PLAN:
            goes_on = self.goes_on(pod) and done >= 2 * 10
            return PodProgress(segment=0, frames_done=done, frames_total=total) if goes_on else PodProgress()
        return PodProgress(frames_done=done, frames_total=total, frames_per_second=10)

    def _apply(self, action: Action) -> None:
        name = getattr(action, "name", "")
        self.actions[f"{type(action).__name__} {name}".strip()] += 1
        if isinstance(action, CreateJob):
            self.create_job(action.manifest)
        elif isinstance(action, DeleteJob):
            self.delete_job(action.name)
        elif isinstance(action, DeleteChildren):
            for job in list(self.jobs.values()):
                if job.role not in action.keep:
                    self.delete_job(job.name, action.grace_seconds)
        elif isinstance(action, SetParallelism) and name in self.jobs:
            assert self.lag or action.parallelism > self.jobs[name].parallelism
            self.jobs[name] = replace(self.jobs[name], parallelism=action.parallelism)
        elif isinstance(action, DeleteRenderJob):
            self.deleted = True
        if not self.lag:
            self._learn()

    def _learn(self) -> None:
        """Put what was just written into the caches, as the operator does."""
        _, pods = self._past[self._seen_pods]
        self._past.append((dict(self.jobs), pods))
        self._seen = self._seen_pods = len(self._past) - 1
