"""All that the operator knows of the cluster, and which RenderJobs a change concerns."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from ecg_api.renderjob import DEFAULT_MANAGER
from ecg_operator.cache import Cache, Record
from ecg_operator.model import JobView, Key, PodView
from ecg_operator.policy import GPU_RESOURCE
from ecg_operator.queue import KeyedQueue
from ecg_operator.views import RenderJobView, read_job, read_pod, read_render_job

GATHERING_SECONDS = 0.2
"""Pods come and go in groups: news of pods wait so long for each other, which saves looks and status writes."""
FOREIGN_SECONDS = 30.0
"""For so long a name is believed to be taken by somebody else's Job before that is tried again."""


@dataclass(frozen=True)
class Departed:
    """A RenderJob that was deleted, and since when, by the monotonic clock."""

    record: Record[RenderJobView]
    since: float


class World:
    """The caches, and the queue that changes go to.

    Args:
        manager: RenderJobs of another spec.managedBy are not taken in.
        gpu_resource: what the cluster calls a GPU.

    Attributes:
        departed: RenderJobs that were deleted before their work files were cared for, until that is done.
        refusals: what the API server said when it last refused to create a child of a RenderJob, by its uid.
    """

    def __init__(
        self, queue: KeyedQueue[Key], manager: str = DEFAULT_MANAGER, gpu_resource: str = GPU_RESOURCE
    ) -> None:
        self.queue = queue
        self.render_jobs: Cache[RenderJobView] = Cache(
            partial(read_render_job, manager=manager),
            self._render_job_news,
            self._render_job_gone,
            lambda record: record.value.output or None,
        )
        self.jobs: Cache[JobView] = Cache(read_job, self._child_news, self._child_gone)
        self.pods: Cache[PodView] = Cache(partial(read_pod, gpu_resource=gpu_resource), self._pod_news, self._pod_gone)
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

    def _changed(self, key: Key) -> None:
        for listener in self._listeners:
            listener(key)
        self.queue.add(key)

    def _child_news(self, record: Record[Any], before: Record[Any] | None) -> None:
        self._changed(record.key)

    def _child_gone(self, record: Record[Any]) -> None:
        self._changed(record.key)

    def _pod_news(self, record: Record[PodView], before: Record[PodView] | None) -> None:
        if before is None or before.value != record.value:
            self.queue.add_after(record.key, GATHERING_SECONDS)

    def _pod_gone(self, record: Record[PodView]) -> None:
        self.queue.add_after(record.key, GATHERING_SECONDS)

    def _render_job_news(self, record: Record[RenderJobView], before: Record[RenderJobView] | None) -> None:
        if before is not None and before.uid == record.uid and before.value.generation == record.value.generation:
            self._changed(record.key)
        else:  # new, or a person has changed the spec: earlier failures do not count any more
            self.queue.add_now(record.key)
            self._changed(record.key)
        if before is not None and before.uid != record.uid:  # its deletion was not seen
            self._depart(before)
        if record.value.finished and before is not None and not before.value.finished:
            self._wake_rivals(record)

    def _render_job_gone(self, record: Record[RenderJobView]) -> None:
        self._depart(record)
        self._changed(record.key)
        self._wake_rivals(record)

    def _depart(self, record: Record[RenderJobView]) -> None:
        self.refusals.pop(record.uid, None)
        self._foreign.pop(record.key, None)
        if record.value.leaves_work_files:
            self.departed[record.key] = Departed(record, time.monotonic())

    def _wake_rivals(self, record: Record[RenderJobView]) -> None:
        for other in self.render_jobs.with_index(record.value.output):
            if other.key != record.key:
                self.queue.add(other.key)
