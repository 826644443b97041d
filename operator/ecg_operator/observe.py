"""Puts together what a decision about one RenderJob depends on, from the caches and two or three cheap questions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime

from ecg_api.names import Role
from ecg_api.pods import PodProgress
from ecg_cluster.cache import Key, Record
from ecg_operator.admission_table import AdmissionTable
from ecg_operator.decide.children import running
from ecg_operator.lookups import JobEvents, Nodes, ScenarioCheck
from ecg_operator.model import (
    JobView,
    Observation,
    PodView,
    Verdict,
)
from ecg_operator.views import AnyJob, RenderJobView
from ecg_operator.world import World


def _now() -> datetime:
    return datetime.now(UTC)


class Observer:
    """Looks at RenderJobs.

    Args:
        nodes: asked for what pods run on; None where nothing has a price.
        progress: what pods last said, by namespace and name.
        now: the time, with a time zone.
    """

    def __init__(
        self,
        world: World,
        admission: AdmissionTable,
        scenarios: ScenarioCheck,
        job_events: JobEvents,
        progress: Mapping[tuple[str, str], PodProgress],
        nodes: Nodes | None = None,
        now: Callable[[], datetime] = _now,
    ) -> None:
        self._world = world
        self._admission = admission
        self._scenarios = scenarios
        self._job_events = job_events
        self._progress = progress
        self._nodes = nodes
        self._now = now

    async def observe(self, record: Record[RenderJobView], departed: bool = False) -> Observation:
        """Return everything about the RenderJob of `record`; `departed` if it is deleted already.

        Raises ApiError if the API server does not answer.
        """
        view, key = record.value, record.key
        assert view.status is not None, "a status that cannot be read must not be decided about"
        jobs, pods, now = self._jobs(record), self._pods(record), self._now()
        rival, contested = self._rival(record)
        lacks_node = any(pod.unschedulable for pod in pods)
        others_run, others_have_gpus = self._world.others_hold(key) if lacks_node else (False, False)
        gone = departed or view.deleting
        return Observation(
            key=key,
            uid=view.uid,
            generation=view.generation,
            created_at=view.created_at,
            now=now,
            status=view.status,
            job=view.job,
            problems=view.problems,
            deleting=gone,
            labels=view.labels,
            jobs=jobs,
            pods=pods,
            progress=self._progress_of(key, pods),
            verdict=Verdict(admitted=False) if gone or view.finished else await self._admission.verdict(key),
            rival=rival,
            contested=contested,
            scenario_problem="" if gone else await self._scenario_problem(view, key, pods),
            place=view.place,
            obstacles={} if gone or view.finished else await self._job_events.obstacles(key.namespace, jobs, pods, now),
            nodes=await self._nodes.named(pod.node for pod in pods) if self._nodes is not None else {},
            refusal=self._world.refusals.get(view.uid, ""),
            others_run=others_run,
            others_have_gpus=others_have_gpus,
        )

    def _jobs(self, record: Record[RenderJobView]) -> tuple[JobView, ...]:
        ours = (
            child.value if child.owner == record.uid else replace(child.value, owned=False)
            for child in self._world.jobs.of(record.key)
        )
        return (*ours, *self._world.foreign_jobs(record.key))

    def _pods(self, record: Record[RenderJobView]) -> tuple[PodView, ...]:
        return tuple(child.value for child in self._world.pods.of(record.key) if child.owner == record.uid)

    def _progress_of(self, key: Key, pods: tuple[PodView, ...]) -> dict[str, PodProgress]:
        said = {pod.name: self._progress.get((key.namespace, pod.name)) for pod in pods}
        return {name: progress for name, progress in said.items() if progress is not None}

    def _rival(self, record: Record[RenderJobView]) -> tuple[str, str]:
        """Return the name of the RenderJob that has one of the outputs, and that output; two empty texts for none."""
        if record.value.finished:
            return "", ""
        for output, others in self._world.rivals(record).items():
            first = min((*(other for other in others if _claims(other.value)), record), key=_precedence)
            if first is not record:
                return first.name, output
        return "", ""

    async def _scenario_problem(self, view: RenderJobView, key: Key, pods: tuple[PodView, ...]) -> str:
        if view.job is None or view.job.spec.scenario.config_map_ref is None or view.finished or view.job.spec.suspend:
            return ""
        if view.status is not None and view.status.plan is not None:
            return ""  # the plan has copied it into the work files
        if any(pod.role is Role.PLAN and running(pod) for pod in pods):
            return ""  # it is mounted; the pod may render the only segment by now
        return await self._scenarios.problem(key.namespace, view.job.spec.scenario.config_map_ref)


def _claims(value: AnyJob) -> bool:
    """Tell whether a RenderJob holds its output against others: not when it is over, nor while it is suspended."""
    if not isinstance(value, RenderJobView) or value.finished or value.job is None:
        return False
    return not value.job.spec.suspend or _is_admitted(value)


def _precedence(record: Record[AnyJob]) -> tuple[bool, datetime, str]:
    # Who has begun goes before who is older. Kubernetes keeps whole seconds; names decide between two of the same.
    view = record.value
    assert isinstance(view, RenderJobView)
    return (not _is_admitted(view), view.created_at, record.name)


def _is_admitted(view: RenderJobView) -> bool:
    return view.status is not None and view.status.run is not None and view.status.run.admitted_at is not None
