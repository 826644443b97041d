"""Does what was decided. Each action may be repeated without harm, and what it changes is known at once.

The API server's answers go into the caches, so that the next decision sees the result whether or not the watch has
brought it yet: a late watch costs no repeated requests.
"""

from __future__ import annotations

import contextlib
from datetime import datetime
from typing import Any

from ecg_api.names import JOB_LABEL, MANAGED_BY, OPERATOR, ROLE_LABEL, UID_LABEL, Role
from ecg_cluster.cache import Record
from ecg_cluster.client import JOBS, PODS, RENDER_JOBS, Json
from ecg_cluster.errors import AlreadyExists, Broken, Changed, Invalid, NotFound, Refused
from ecg_operator.cluster import Cluster
from ecg_operator.metrics import Metrics
from ecg_operator.model import (
    Action,
    CreateJob,
    DeleteChildren,
    DeleteJob,
    DeleteRenderJob,
    JobView,
    Observation,
    SetParallelism,
)
from ecg_operator.views import AnyJob
from ecg_operator.world import World


class Actor:
    """Carries out actions for RenderJobs."""

    def __init__(self, cluster: Cluster, world: World, metrics: Metrics) -> None:
        self._cluster = cluster
        self._world = world
        self._metrics = metrics

    async def act(self, record: Record[AnyJob], action: Action, observation: Observation) -> None:
        """Carry out one action; raises ApiError if the API server does not let us."""
        match action:
            case CreateJob():
                await self._create(record, action, observation)
            case DeleteJob():
                await self._delete(record, action)
            case SetParallelism():
                await self._set_parallelism(record, action)
            case DeleteChildren():
                await self._delete_children(record, action)
            case DeleteRenderJob():
                await self._delete_render_job(record)

    async def _create(self, record: Record[AnyJob], action: CreateJob, observation: Observation) -> None:
        try:
            created = await self._cluster.create(JOBS, record.namespace, action.manifest)
        except AlreadyExists:
            await self._take_existing(record, action)
            return
        except (Refused, Invalid, Broken) as error:
            if record.uid == self._live_uid(record):
                self._world.refusals[record.uid] = error.message
            raise
        self._world.refusals.pop(record.uid, None)
        self._world.jobs.learn(created)
        if not observation.jobs and _role(action.manifest) is Role.PLAN:
            age = datetime.now(observation.created_at.tzinfo) - observation.created_at
            self._metrics.first_job_seconds.observe(max(0.0, age.total_seconds()))

    def _live_uid(self, record: Record[AnyJob]) -> str:
        """Return the uid of the RenderJob that has this name now; empty if it is deleted."""
        live = self._world.render_jobs.get(record.namespace, record.name)
        return live.uid if live is not None else ""

    async def _take_existing(self, record: Record[AnyJob], action: CreateJob) -> None:
        """Learn who has the name: we ourselves a moment ago, an earlier RenderJob, or somebody else."""
        try:
            found = await self._cluster.get(JOBS, record.namespace, action.name)
        except NotFound:  # gone meanwhile: the next look decides anew
            self._world.queue.add_after(record.key, 0.2)
            return
        meta = found["metadata"]
        if _is_child_of(found, record):
            if not self._world.jobs.learn(found) and self._world.jobs.get(record.namespace, action.name) is None:
                self._lingers(record, found)
            return
        view = JobView(
            name=action.name,
            uid=meta["uid"],
            role=_role(action.manifest),
            round=0,
            created_at=datetime.fromisoformat(meta["creationTimestamp"]),
            owned=False,
            deleting="deletionTimestamp" in meta,
        )
        self._world.name_is_taken(record.key, view)

    def _lingers(self, record: Record[AnyJob], found: Json) -> None:
        """Say that a Job that was deleted is in the way, and fail: nothing tells when it is gone at last."""
        meta = found["metadata"]
        finalizers = ", ".join(meta.get("finalizers") or ()) or "none"
        said = f"Job {meta['name']} was deleted, but is still there (finalizers: {finalizers})"
        self._world.refusals[record.uid] = said
        raise AlreadyExists(409, "AlreadyExists", said)

    async def _delete(self, record: Record[AnyJob], action: DeleteJob) -> None:
        known = self._world.jobs.get(record.namespace, action.name)
        if known is None:
            return
        with contextlib.suppress(NotFound, Changed):  # a conflict: that one is gone, and another has its name
            await self._cluster.delete(JOBS, record.namespace, action.name, uid=known.uid)
        self._world.jobs.deleted_by_us(known)

    async def _set_parallelism(self, record: Record[AnyJob], action: SetParallelism) -> None:
        try:
            patch = {"spec": {"parallelism": action.parallelism}}
            self._world.jobs.learn(await self._cluster.patch(JOBS, record.namespace, action.name, patch))
        except NotFound:
            pass  # the watch will say so

    async def _delete_children(self, record: Record[AnyJob], action: DeleteChildren) -> None:
        kept = sorted(role.value for role in action.keep)
        selector = f"{MANAGED_BY}={OPERATOR},{UID_LABEL}={record.uid}"
        if kept:
            selector += f",{ROLE_LABEL} notin ({','.join(kept)})"
        await self._cluster.delete_all(JOBS, record.namespace, selector)
        if action.grace_seconds is not None and self._has_live_pods(record):
            # After the Jobs, or their controller would make new ones.
            await self._cluster.delete_all(PODS, record.namespace, selector, action.grace_seconds)
        for child in self._world.jobs.of(record.key):
            if child.owner == record.uid and child.value.role not in action.keep:
                self._world.jobs.deleted_by_us(child)

    def _has_live_pods(self, record: Record[AnyJob]) -> bool:
        """Tell whether a pod may still run; those that have ended go with their Job, without haste."""
        pods = [pod for pod in self._world.pods.of(record.key) if pod.owner == record.uid]
        return any(pod.value.phase not in ("Succeeded", "Failed") for pod in pods)

    async def _delete_render_job(self, record: Record[AnyJob]) -> None:
        with contextlib.suppress(NotFound, Changed):
            await self._cluster.delete(RENDER_JOBS, record.namespace, record.name, uid=record.uid)
        self._world.render_jobs.deleted_by_us(record)


def _role(manifest: Any) -> Role:
    return Role(manifest["metadata"]["labels"][ROLE_LABEL])


def _is_child_of(job: Json, record: Record[AnyJob]) -> bool:
    """Tell whether a Job is one that we made for a RenderJob of this name; whose uid it has is decided later."""
    labels = job["metadata"].get("labels") or {}
    return labels.get(MANAGED_BY) == OPERATOR and labels.get(JOB_LABEL) == record.name
