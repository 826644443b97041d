"""One look at one RenderJob: 1 observe, 2 decide, 3 write the status, 4 act, 5 tell.

The status is written before anything is done, with the version that was observed as its condition. So an action always
follows from a status that is stored, and of two writers one looks again instead of overwriting the other.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, cast

from ecg_api.status import RenderJobStatus
from ecg_cluster.cache import Key, Record
from ecg_cluster.client import RENDER_JOBS
from ecg_cluster.errors import ApiError, Broken, Changed, Invalid, NotFound, Refused
from ecg_operator.act import Actor
from ecg_operator.cluster import Cluster
from ecg_operator.decide import decide, give_up_unwritable
from ecg_operator.errors import LeaseLost
from ecg_operator.events import EventRecorder
from ecg_operator.metrics import Metrics
from ecg_operator.model import (
    EventNote,
    Observation,
)
from ecg_operator.observe import Observer
from ecg_operator.policy import Policy
from ecg_operator.views import AnyJob, FinishedJob, RenderJobView, read_whole
from ecg_operator.world import Departed, World

log = logging.getLogger(__name__)

QUEUE_NOTICE_SECONDS = 2.0
"""When many jobs come at once, those that are let in get their first Job before the others are told that they wait."""
LONGEST_SECONDS = 60.0
"""A look that takes longer is broken off, so that a worker never hangs."""
LONGEST_REASON = 1000
"""Characters of what the API server says about a status that it does not take: it may repeat the status."""
SETTLING_PAUSE_SECONDS = 30.0
LONGEST_SETTLING_SECONDS = 3600.0
"""For so long it is tried to remove the work files of a RenderJob that was deleted."""


class Reconciler:
    """Brings RenderJobs to where their specs want them, one look at a time."""

    def __init__(
        self,
        cluster: Cluster,
        world: World,
        observer: Observer,
        actor: Actor,
        events: EventRecorder,
        metrics: Metrics,
        policy: Policy,
    ) -> None:
        self._cluster = cluster
        self._world = world
        self._observer = observer
        self._actor = actor
        self._events = events
        self._metrics = metrics
        self._policy = policy

    async def work(self) -> None:
        """Take keys off the queue until it is closed; an error with one key never concerns another."""
        while (key := await self._world.queue.get()) is not None:
            started = time.monotonic()
            try:
                async with asyncio.timeout(LONGEST_SECONDS):
                    due = await self.reconcile(key)
            except LeaseLost:
                raise
            except Changed:
                await self._refresh(key)
            except Exception as error:
                self._failed(key, error)
            else:
                self._world.queue.done(key, due)
                await asyncio.sleep(0)  # looks at thousands of jobs that are over need not wait for anything
            finally:
                self._metrics.reconcile_seconds.observe(time.monotonic() - started)

    async def reconcile(self, key: Key) -> float | None:
        """Look at a RenderJob once; return after how many seconds to look again, None for when something happens.

        Raises ApiError; Changed if the RenderJob has changed meanwhile.
        """
        departed = self._world.departed.get(key)
        unsettled = await self._settle(departed) if departed is not None else None
        record = self._world.render_jobs.get(*key)
        if record is None:
            if unsettled is None:
                self._world.queue.drop(key)
            return unsettled
        if unsettled is not None:
            self._world.queue.add_after(key, unsettled)
        whole = await self._whole(record)
        if whole is None:
            return self._seconds_to_live(record.value)
        return await self._bring_on(whole, unsettled)

    async def _bring_on(self, record: Record[RenderJobView], unsettled: float | None) -> float | None:
        """Decide about a RenderJob, and do it."""
        key = record.key
        if record.value.status is None:
            log.error("key=%s/%s is left alone: %s", *key, "; ".join(record.value.problems))
            return None
        observation = await self._observer.observe(record)
        if _lets_others_go_first(observation):
            return QUEUE_NOTICE_SECONDS
        decision = decide(observation, self._policy)
        try:
            written = await self._write(record, decision.status)
        except Invalid as error:
            if record.value.finished or not error.reason:  # without one it is not the API server that refuses
                raise
            decision = give_up_unwritable(observation, self._policy, error.message[:LONGEST_REASON])
            written = await self._write(record, decision.status)
        for action in decision.actions:
            await self._actor.act(written, action, observation)
        for note in decision.events:
            log.info("key=%s/%s event=%s %s", *key, note.reason, note.message)
            self._events.tell(key, record.uid, note)
        return min((due for due in (decision.due, unsettled) if due is not None), default=None)

    async def _whole(self, record: Record[AnyJob]) -> Record[RenderJobView] | None:
        """Return the whole of a RenderJob; None if it is over and there is nothing to do for it now."""
        value = record.value
        if isinstance(value, RenderJobView):
            return cast("Record[RenderJobView]", record)
        seconds = self._seconds_to_live(value)
        if not self._world.has_children(record) and (seconds is None or seconds > 0):
            return None
        try:
            found = await self._cluster.get(RENDER_JOBS, *record.key)
        except NotFound:
            return None  # the watch tells
        if found["metadata"]["uid"] != record.uid:
            return None
        version = int(found["metadata"]["resourceVersion"])
        return replace(
            cast("Record[RenderJobView]", record), value=read_whole(found, self._policy.storage), version=version
        )

    def _seconds_to_live(self, value: AnyJob) -> float | None:
        """Return for how long a RenderJob that is over still stays; None for good, or as long as it is not over."""
        if not isinstance(value, FinishedJob) or value.finished_at is None:
            return None
        seconds = self._policy.time_to_live(value.ttl_seconds, succeeded=value.succeeded)
        return None if seconds is None else seconds - (datetime.now(UTC) - value.finished_at).total_seconds()

    async def _settle(self, departed: Departed) -> float | None:
        """Do what is left to do for a RenderJob that was deleted before it was finished.

        Returns after how many seconds to look again; None when nothing is left to do.
        """
        record, due = cast("Record[RenderJobView]", departed.record), None  # nothing else leaves work files
        if record.value.status is not None:
            observation = await self._observer.observe(record, departed=True)
            decision = decide(observation, self._policy)
            due = decision.due
            try:
                for action in decision.actions:
                    await self._actor.act(record, action, observation)
            except ApiError as error:
                due = _pause_of(departed, error)
        if due is None and self._world.departed.get(record.key) is departed:
            del self._world.departed[record.key]
        return due

    async def _write(self, record: Record[RenderJobView], status: RenderJobStatus) -> Record[AnyJob]:
        """Write the status if it differs from the one observed; return the RenderJob as it is then."""
        before = record.value.status
        assert before is not None
        patch = merge_patch(_stored(before), _dumped(status))
        if not patch:
            return record
        body = {"metadata": {"resourceVersion": str(record.version)}, "status": patch}
        answer = await self._cluster.patch(RENDER_JOBS, record.namespace, record.name, body, "status")
        self._metrics.count_progress(before, status)
        if before.phase != status.phase:
            log.info("key=%s/%s phase=%s was=%s", *record.key, status.phase, before.phase)
        self._world.render_jobs.learn(answer)
        return self._world.render_jobs.get(record.namespace, record.name) or record

    async def _refresh(self, key: Key) -> None:
        """Look at the newest version in a moment: somebody has changed the object while we decided."""
        self._metrics.reconcile_errors.labels("Conflict").inc()
        try:
            self._world.render_jobs.learn(await self._cluster.get(RENDER_JOBS, *key))
        except NotFound:
            pass  # its deletion comes by the watch, or by the next list
        except ApiError as error:
            self._failed(key, error)
            return
        self._world.queue.failed(key)  # with a pause, in case that it is not the version that is in the way

    def _failed(self, key: Key, error: Exception) -> None:
        self._metrics.reconcile_errors.labels(type(error).__name__).inc()
        pause = self._world.queue.failed(key, error.retry_after if isinstance(error, ApiError) else 0.0)
        if not isinstance(error, ApiError | TimeoutError):
            log.exception("key=%s/%s failed, next try in %.1f s", *key, pause, exc_info=error)
            return
        log.warning("key=%s/%s failed, next try in %.1f s: %s", *key, pause, str(error) or "took too long")
        record = self._world.render_jobs.get(*key)
        if isinstance(error, Refused | Invalid | Broken) and record is not None:
            note = EventNote("Warning", "Refused", f"the API server refused what the job needs: {error}")
            self._events.tell(key, record.uid, note)


def _pause_of(departed: Departed, error: ApiError) -> float | None:
    """Return after how many seconds to try again to settle; None to leave the work files where they are.

    Nothing can be made in a namespace that goes or is gone, and what is refused for long stays so.
    """
    key, waited = departed.record.key, time.monotonic() - departed.since
    if isinstance(error, NotFound) or "being terminated" in error.message or waited > LONGEST_SETTLING_SECONDS:
        log.warning("key=%s/%s was deleted, and its work files stay: %s", *key, error)
        return None
    log.warning("key=%s/%s was deleted; its work files cannot be removed yet: %s", *key, error)
    return SETTLING_PAUSE_SECONDS


def _lets_others_go_first(observation: Observation) -> bool:
    """Tell whether a new job that has to wait need not be told so yet."""
    age = (observation.now - observation.created_at).total_seconds()  # negative where the API server's clock is ahead
    job, verdict = observation.job, observation.verdict
    waits = job is not None and not verdict.admitted and not (job.spec.suspend or job.spec.cancel)
    return waits and not observation.status.conditions and not observation.deleting and 0 <= age < QUEUE_NOTICE_SECONDS


def _stored(status: RenderJobStatus) -> dict[str, object]:
    """Return what of a status that was read is really there, without defaults."""
    return status.model_dump(mode="json", exclude_none=True, exclude_unset=True)


def _dumped(status: RenderJobStatus) -> dict[str, object]:
    return status.model_dump(mode="json", exclude_none=True)


def merge_patch(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """Return the JSON merge patch that makes `after` out of `before`; empty if they are equal.

    Lists are replaced as a whole, and what is missing in `after` is removed by null, as RFC 7386 has it.
    """
    patch: dict[str, Any] = dict.fromkeys(before.keys() - after.keys())
    for name, value in after.items():
        old = before.get(name)
        if isinstance(value, Mapping) and isinstance(old, Mapping):
            inner = merge_patch(old, value)
            if inner:
                patch[name] = inner
        elif name not in before or old != value:
            patch[name] = value
    return patch
