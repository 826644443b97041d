"""Moves the two things that capacity decides: the limit of active segments, and the number of placeholder pods.

Placeholder pods hold nodes for segments that come: of low priority, they make room for a segment at once. What the
next answer depends on is kept as an annotation of their Deployment, so that another leader goes on from there. If the
API server does not answer, everything stays as it is.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from pydantic import ValidationError

from ecg_cluster.client import DEPLOYMENTS, Json
from ecg_cluster.errors import ApiError
from ecg_operator.admission_table import AdmissionTable
from ecg_operator.capacity import Capacity, Schedule, next_capacity
from ecg_operator.cluster import Cluster
from ecg_operator.metrics import Metrics

log = logging.getLogger(__name__)

LOOK_SECONDS = 5.0
BETWEEN_LOOKS = 0.5
"""Where many segments begin one after the other, each look may cost the API server two requests."""
SECONDS_BEFORE_WARM = 60
"""A place stays busy for so long after its segment has ended: the next segment may come at once."""
ANNOTATION = "render.ecg.dev/capacity"


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


class WarmPlaces:
    """Keeps places in step with the schedule.

    Args:
        deployment: namespace and name of the Deployment of placeholder pods; None: only the limit is moved.
        now: the time, with a time zone.
    """

    def __init__(
        self,
        cluster: Cluster,
        admission: AdmissionTable,
        schedule: Schedule,
        deployment: tuple[str, str] | None,
        metrics: Metrics,
        now: Callable[[], datetime] = _now,
    ) -> None:
        self._cluster = cluster
        self._admission = admission
        self._schedule = schedule
        self._deployment = deployment
        self._metrics = metrics
        self._now = now
        self._capacity: Capacity | None = None
        self._busy: deque[tuple[datetime, int]] = deque()

    async def run(self) -> None:
        """Look every LOOK_SECONDS for ever, and at once when segments begin.

        A placeholder that a segment has pushed out waits for a node, and Karpenter starts one within a second or two:
        before that nobody must want it any more.
        """
        while True:
            self._admission.busier.clear()
            began = time.monotonic()
            await self.look()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._admission.busier.wait(), LOOK_SECONDS)
            await asyncio.sleep(max(0.0, began + BETWEEN_LOOKS - time.monotonic()))

    async def look(self) -> None:
        """Look once at the time and at what waits, and move what has to be moved."""
        found = await self._read()
        if self._capacity is None and self._deployment is not None:
            if found is None:
                return  # what an earlier leader has noted must be known first
            self._capacity = _stored(found)
        now, load, before = self._now(), self._admission.load(), self._capacity
        after = self._capacity = next_capacity(before, now, load, self._schedule)
        if before is None or before.places != after.places:
            log.info("capacity: %d places, since %s", after.places, after.reason)
        self._admission.limit_places(after.places)
        warm = max(0, after.places - self._lately_busy(now, load.busy))
        limits = self._schedule.limits_at(now)
        ready = (found or {}).get("status", {}).get("readyReplicas", 0)
        shown = {"floor": limits.floor, "ceiling": limits.ceiling, "allowed": after.places, "busy": load.busy}
        self._metrics.show_capacity({**shown, "warm": warm, "warm_ready": ready}, load.waiting)
        if found is not None:
            await self._write(found, after, warm)

    def _lately_busy(self, now: datetime, busy: int) -> int:
        """Return the most places that were busy within the last SECONDS_BEFORE_WARM."""
        self._busy.append((now, busy))
        while now - self._busy[0][0] >= timedelta(seconds=SECONDS_BEFORE_WARM):
            self._busy.popleft()
        return max(places for _, places in self._busy)

    async def _read(self) -> Json | None:
        if self._deployment is None:
            return None
        try:
            return await self._cluster.get(DEPLOYMENTS, *self._deployment)
        except ApiError as error:
            log.warning("the warm places cannot be looked at and stay as they are: %s", error)
            return None

    async def _write(self, found: Json, capacity: Capacity, warm: int) -> None:
        assert self._deployment is not None
        note = capacity.model_dump_json(exclude_none=True)
        if found["spec"].get("replicas") == warm and _note(found) == note:
            return
        body = {"metadata": {"annotations": {ANNOTATION: note}}, "spec": {"replicas": warm}}
        try:
            await self._cluster.patch(DEPLOYMENTS, *self._deployment, body)
        except ApiError as error:
            log.warning("%d warm places are wanted, and their number cannot be written: %s", warm, error)


def _note(found: Json) -> str:
    return str((found["metadata"].get("annotations") or {}).get(ANNOTATION, ""))


def _stored(found: Json) -> Capacity | None:
    """Return what an earlier leader has noted; None if nobody has, or nobody can read it."""
    try:
        return Capacity.model_validate_json(_note(found))
    except ValidationError:
        return None
