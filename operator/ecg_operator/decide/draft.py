"""A decision in the making: what was observed, what the status is to become, what is to be done."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from ecg_api.conditions import ConditionStatus, ConditionType, Reason, set_condition
from ecg_api.names import Role, child_name
from ecg_api.ranges import format_ranges, parse_ranges
from ecg_api.renderjob import RenderJob, RenderJobSpec
from ecg_api.status import LostPod, RenderJobStatus, Run
from ecg_operator.manifests import Owner
from ecg_operator.model import Action, EventNote, JobView, Observation, PodView
from ecg_operator.policy import Policy

MOST_WARNINGS, LONGEST_WARNING = 50, 2000
SOON = 2.0
"""Seconds until another look at what is about to change, though nothing may tell of it."""


@dataclass
class Draft:
    """What the steps of a decision work on.

    Attributes:
        status: the status as it is to become; starts as the observed one.
        newly_failed: pods whose failure is taken in by this decision, for the first time.
    """

    observation: Observation
    policy: Policy
    status: RenderJobStatus
    actions: list[Action] = field(default_factory=list)
    events: list[EventNote] = field(default_factory=list)
    newly_failed: list[PodView] = field(default_factory=list)
    due: float | None = None

    @property
    def now(self) -> datetime:
        """The time of the observation, in whole seconds of UTC, as Kubernetes writes times."""
        return self.observation.now.astimezone(UTC).replace(microsecond=0)

    @property
    def job(self) -> RenderJob:
        """The RenderJob; only for steps that come after the refusal of broken ones."""
        assert self.observation.job is not None
        return self.observation.job

    @property
    def spec(self) -> RenderJobSpec:
        """The RenderJob's spec."""
        return self.job.spec

    @property
    def owner(self) -> Owner:
        """The RenderJob as the owner of Jobs."""
        return Owner(self.observation.key, self.observation.uid, self.observation.labels)

    @property
    def run(self) -> Run:
        """The operator's notes, as they are to become."""
        return self.status.run or Run()

    @property
    def total(self) -> int:
        """Segments of the plan; 0 while there is none."""
        return self.status.segments.total if self.status.segments else 0

    @property
    def completed(self) -> frozenset[int]:
        """Segments that are in storage."""
        return parse_ranges(self.run.completed)

    @property
    def given_up(self) -> frozenset[int]:
        """Segments that nobody renders any more, since something of their size cannot be rendered."""
        segments = (number for take in self.run.given_up for number in self.segments_of(take))
        return frozenset(segments) - self.completed

    @property
    def missing(self) -> tuple[int, ...]:
        """Segments that are to be rendered yet, in order."""
        return tuple(sorted(set(range(self.total)) - self.completed - self.given_up))

    def segments_of(self, take: int) -> range:
        """Return the segments of the `take`th size."""
        first = sum(one.segments for one in self.run.takes[:take])
        return range(first, first + self.run.takes[take].segments)

    def take_of(self, segment: int | None) -> int:
        """Return which size a segment belongs to; 0, the main one, if there is nothing else."""
        return next((take for take in range(1, len(self.run.takes)) if segment in self.segments_of(take)), 0)

    @property
    def disruptions(self) -> int:
        """How often Kubernetes took pods away, of whatever size."""
        return times(self.run.disrupted)

    @property
    def stage(self) -> Role:
        """What the job is at now: planning, rendering segments, or merging."""
        if self.status.plan is None:
            return Role.PLAN
        return Role.SEGMENTS if self.missing else Role.MERGE

    def child(self, role: Role) -> JobView | None:
        """Return the Job that has the name of the one of `role`, of the current round if it is the segments'."""
        name = child_name(self.observation.key.name, role, self.run.round)
        return next((job for job in self.observation.jobs if job.name == name), None)

    def current(self) -> JobView | None:
        """Return the Job of the current stage if it is ours and stays."""
        job = self.child(self.stage)
        stays = job is not None and job.owned and not job.deleting and job.uid not in self.run.superseded
        return job if stays else None

    def pods_that_count(self, role: Role) -> list[PodView]:
        """Return the pods of `role` but for those of plans that were given up."""
        superseded = frozenset(self.run.superseded)
        return [pod for pod in self.observation.pods if pod.role is role and pod.job_uid not in superseded]

    def pods_of(self, job: JobView) -> tuple[PodView, ...]:
        """Return the pods of `job`; those of an earlier Job of the same name are not."""
        return tuple(pod for pod in self.observation.pods if pod.job_uid == job.uid)

    def change(self, **fields: Any) -> None:
        """Set fields of the status."""
        self.status = self.status.model_copy(update=fields)

    def note(self, **fields: Any) -> None:
        """Set fields of the operator's notes."""
        self.change(run=self.run.model_copy(update=fields))

    def complete(self, segments: frozenset[int], frames: int) -> None:
        """Note that `segments` are in storage, `frames` frames more than before; nothing is unseen any more."""
        completed = format_ranges(self.completed | segments)
        self.note(completed=completed, frames=self.run.frames + frames, unseen_since=None)

    def condition(self, kind: ConditionType, status: ConditionStatus, reason: Reason, message: str) -> None:
        """Set a condition."""
        generation = self.observation.generation
        conditions = set_condition(self.status.conditions, kind, status, reason, message, self.now, generation)
        self.change(conditions=conditions)

    def reason_of(self, kind: ConditionType) -> str:
        """Return the reason of a condition as it is to become; empty if it is not there."""
        return next((condition.reason for condition in self.status.conditions if condition.type == kind), "")

    def warn(self, texts: Iterable[str]) -> None:
        """Add to the warnings of the status what is not there yet."""
        short = (text[:LONGEST_WARNING] for text in texts)
        self.change(warnings=list(dict.fromkeys([*self.status.warnings, *short]))[:MOST_WARNINGS])

    def act(self, *actions: Action) -> None:
        """Add actions."""
        self.actions.extend(actions)

    def tell(self, kind: Literal["Normal", "Warning"], reason: str, message: str) -> None:
        """Add an event."""
        self.events.append(EventNote(kind, reason, message))

    def look_again(self, seconds: float) -> None:
        """Ask for another look after `seconds` at the latest."""
        seconds = max(seconds, 0.1)
        self.due = seconds if self.due is None else min(self.due, seconds)

    def reached(self, since: datetime | None, seconds: float) -> bool:
        """Tell whether `seconds` have gone by since `since`; if not, ask for another look when they have."""
        if since is None:
            return False
        left = (since + timedelta(seconds=seconds) - self.observation.now).total_seconds()
        if left > 0:
            self.look_again(left)
        return left <= 0


def times(losses: Iterable[LostPod]) -> int:
    """Return how often pods were taken away; a node that is lost with all its pods counts once."""
    most: dict[str, int] = {}
    for (node, _), count in Counter((lost.node or lost.pod, lost.pod.rpartition("-")[0]) for lost in losses).items():
        most[node] = max(most.get(node, 0), count)
    return sum(most.values())
