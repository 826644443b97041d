"""All that the operator knows of the cluster, and which RenderJobs a change concerns."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

from ecg_api.names import GPU_RESOURCE, Role
from ecg_api.renderjob import DEFAULT_MANAGER
from ecg_cluster.cache import Cache, Key, Record
from ecg_cluster.queue import KeyedQueue
from ecg_common.profiles import NO_PROFILES, StorageProfiles
from ecg_operator.decide.children import ended, running
from ecg_operator.model import JobView, PodView
from ecg_operator.views import AnyJob, FinishedJob, read_job, read_pod, read_render_job

GATHERING_SECONDS = 0.5
"""Pods come and go in groups, and a Job's counts follow them: news wait so long for each other, which saves looks and
status writes. What the next stage can begin with waits for nobody."""
RESYNC_SPREAD_SECONDS = 30.0
"""After a list everything unfinished is looked at again within so long, not all of it at once."""
FOREIGN_SECONDS = 30.0
"""For so long a name is believed to be taken by somebody else's Job before that is tried again."""


@dataclass(frozen=True)
class Departed:
    """A RenderJob that was deleted, and since when, by the monotonic clock."""

    record: Record[AnyJob]
    since: float


class World:
    """The caches, and the queue that changes go to.

    Args:
        manager: RenderJobs of another spec.managedBy are not taken in.
        gpu_resource: what the cluster calls a GPU.
        storage: what RenderJobs may choose among by spec.storage.

    Attributes:
        departed: RenderJobs that were deleted before their work files were cared for, until that is done.
        refusals: what the API server said when it last refused to create a child of a RenderJob, by its uid.
    """

    def __init__(
        self,
        queue: KeyedQueue[Key],
        manager: str = DEFAULT_MANAGER,
        gpu_resource: str = GPU_RESOURCE,
        storage: StorageProfiles = NO_PROFILES,
    ) -> None:
        self.queue = queue
        self.render_jobs: Cache[AnyJob] = Cache(
            partial(read_render_job, manager=manager, storage=storage),
            self._render_job_news,
            self._render_job_gone,
            _claimed_outputs,
        )
        self.jobs: Cache[JobView] = Cache(self._read_job, self._job_news, self._child_gone)
        self.pods: Cache[PodView] = Cache(self._read_pod, self._pod_news, self._pod_gone, _held)
        self._gpu_resource = gpu_resource
        self.departed: dict[Key, Departed] = {}
        self.refusals: dict[str, str] = {}
        self._foreign: dict[Key, dict[str, tuple[JobView, float]]] = {}
        self._listeners: list[Callable[[Key], None]] = []

    def on_change(self, listener: Callable[[Key], None]) -> None:
        """Have `listener` called with the key of each RenderJob of which something has changed."""
        self._listeners.append(listener)

    def render_job_event(self, kind: str | None, obj: dict[str, Any]) -> None:
        """Take in what a watch says about a RenderJob; `kind` is ADDED, MODIFIED, DELETED or None for a first look."""
        if kind == "DELETED":
            self.render_jobs.forget(obj)
        else:
            self.render_jobs.learn(obj)

    def foreign_jobs(self, key: Key) -> tuple[JobView, ...]:
        """Return Jobs of other people that have names which children of this RenderJob need."""
        now = time.monotonic()
        return tuple(view for view, until in self._foreign.get(key, {}).values() if until > now)

    def name_is_taken(self, key: Key, view: JobView) -> None:
        """Remember that somebody else's Job has a name that a child of this RenderJob needs."""
        self._foreign.setdefault(key, {})[view.name] = (view, time.monotonic() + FOREIGN_SECONDS)
        self._changed(key)

    def rivals(self, record: Record[AnyJob]) -> dict[str, list[Record[AnyJob]]]:
        """Return other RenderJobs of the namespace by the outputs that they share, finished ones included."""
        found = {claim[1]: self.render_jobs.with_index(claim) for claim in _claimed_outputs(record)}
        return {output: [other for other in those if other.key != record.key] for output, those in found.items()}

    def others_hold(self, key: Key) -> tuple[bool, bool]:
        """Tell whether pods of other RenderJobs run, and whether one of them holds a GPU."""
        own = Counter(held for pod in self.pods.of(key) for held in _held(pod))
        return self.pods.count(_NODE) > own[_NODE], self.pods.count(_GPU) > own[_GPU]

    def has_children(self, record: Record[AnyJob]) -> bool:
        """Tell whether a RenderJob still has Jobs that are to go after its end."""
        return any(job.owner == record.uid and job.value.role is not Role.CLEAN for job in self.jobs.of(record.key))

    def resync(self, namespace: str | None) -> None:
        """Have all RenderJobs of a namespace, or of all, looked at again for which something may be left to do.

        So a wake-up that was lost, for whatever reason, is not lost for long.
        """
        for record in self.render_jobs.records(namespace):
            if not isinstance(record.value, FinishedJob):
                self.queue.add_after(record.key, random.uniform(0, RESYNC_SPREAD_SECONDS))  # noqa: S311 - spreads load

    def _read_job(self, obj: dict[str, Any]) -> Record[JobView] | None:
        record = read_job(obj, _now())
        known = self.jobs.get(record.namespace, record.name) if record is not None else None
        if record is None or known is None or known.uid != record.uid:
            return record
        return replace(record, value=replace(record.value, created_at=known.value.created_at))

    def _read_pod(self, obj: dict[str, Any]) -> Record[PodView] | None:
        now = _now()
        record = read_pod(obj, now, self._gpu_resource)
        if record is None:
            return None
        view, known = record.value, self.pods.get(record.namespace, record.name)
        over = now if ended(view) else None
        if known is None or known.uid != record.uid:
            return replace(record, value=replace(view, over_since=over))
        before = known.value
        has_started = now if before.started_at is None and view.started_at is not None else None
        kept = replace(
            view,
            created_at=before.created_at,
            runs_since=before.runs_since or has_started,
            over_since=before.over_since or over,
            gone_by=min((at for at in (before.gone_by, view.gone_by) if at is not None), default=None),
        )
        return replace(record, value=kept)

    def _changed(self, key: Key, seconds: float = 0.0) -> None:
        for listener in self._listeners:
            listener(key)
        if seconds:
            self.queue.add_after(key, seconds)
        else:
            self.queue.add(key)

    def _job_news(self, record: Record[JobView], before: Record[JobView] | None) -> None:
        if before is not None and before.value == record.value:
            return
        over = record.value.complete or record.value.failed or record.value.deleting
        self._changed(record.key, 0.0 if over else GATHERING_SECONDS)

    def _child_gone(self, record: Record[Any]) -> None:
        self._changed(record.key)

    def _pod_news(self, record: Record[PodView], before: Record[PodView] | None) -> None:
        if before is not None and before.value == record.value:
            return
        if ended(record.value) and (before is None or not ended(before.value)) and self._is_last(record):
            self.queue.add(record.key)  # the next stage can begin: nobody is worth waiting for
        else:
            self.queue.add_after(record.key, GATHERING_SECONDS)

    def _is_last(self, record: Record[PodView]) -> bool:
        return all(ended(pod.value) for pod in self.pods.of(record.key))

    def _pod_gone(self, record: Record[PodView]) -> None:
        self.queue.add_after(record.key, GATHERING_SECONDS)

    def _render_job_news(self, record: Record[AnyJob], before: Record[AnyJob] | None) -> None:
        if before is not None and before.uid == record.uid and before.value.generation == record.value.generation:
            self._changed(record.key, GATHERING_SECONDS)  # mostly our own write
        elif before is None and isinstance(record.value, FinishedJob):  # known since a list: others go first
            self.queue.add_after(record.key, random.uniform(0, RESYNC_SPREAD_SECONDS))  # noqa: S311 - spreads load
        else:  # new, or a person has changed the spec: earlier failures do not count any more
            self.queue.add_now(record.key)
            self._changed(record.key)
        if before is not None and before.uid != record.uid:  # its deletion was not seen
            self._depart(before)
        if record.value.finished and before is not None and not before.value.finished:
            self._wake_rivals(before)

    def _render_job_gone(self, record: Record[AnyJob]) -> None:
        self._depart(record)
        self._changed(record.key)
        self._wake_rivals(record)

    def _depart(self, record: Record[AnyJob]) -> None:
        self.refusals.pop(record.uid, None)
        self._foreign.pop(record.key, None)
        if record.value.leaves_work_files:
            self.departed[record.key] = Departed(record, time.monotonic())

    def _wake_rivals(self, record: Record[AnyJob]) -> None:
        for other in {other.key for others in self.rivals(record).values() for other in others}:
            self.queue.add(other)


def _now() -> datetime:
    return datetime.now(UTC)


def _claimed_outputs(record: Record[AnyJob]) -> list[tuple[str, str]]:
    # By namespace: whether somebody of another one may write there is for the storage to say.
    return [(record.namespace, output) for output in record.value.outputs]


_NODE, _GPU = "node", "GPU"


def _held(record: Record[PodView]) -> list[str]:
    """Return what a pod keeps others from, while it runs."""
    if not running(record.value):
        return []
    return [_NODE, _GPU] if record.value.gpus else [_NODE]
