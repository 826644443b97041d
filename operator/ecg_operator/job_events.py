"""Why a Job has no pods, in the words of those who keep it from having any: only events say so.

ResourceQuota, PodSecurity, webhooks ── FailedCreate on the Job
Kueue ── Pending on the Workload that it has made for the Job
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Mapping
from datetime import datetime

from ecg_api.names import Role
from ecg_cluster.client import EVENTS, Json
from ecg_cluster.errors import ApiError, Refused
from ecg_operator.cluster import Cluster
from ecg_operator.model import JobView, PodView

log = logging.getLogger(__name__)

REMEMBERED_SECONDS = 30.0
MOST_REMEMBERED = 4096
LONGEST_SENTENCE = 500
_WORKLOAD_PREFIX = 57
"""So many characters of `job-NAME` a Workload's name keeps at least."""


class JobEvents:
    """Answers for half a minute from memory.

    Args:
        patience: seconds for which a new Job may be without pods before anybody asks why.
    """

    def __init__(self, cluster: Cluster, patience: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._cluster = cluster
        self._patience = patience
        self._clock = clock
        self._answers: dict[tuple[str, str], tuple[Mapping[str, str], float]] = {}
        self._may_not = False

    async def obstacles(
        self, namespace: str, jobs: tuple[JobView, ...], pods: tuple[PodView, ...], now: datetime
    ) -> dict[str, str]:
        """Return what keeps Jobs without pods from having any, a sentence by the Job's name."""
        found = {}
        served = {pod.job_uid for pod in pods}
        for job in jobs:
            over = job.complete or job.failed or job.deleting or not job.owned or job.role is Role.CLEAN
            if over or job.uid in served:
                continue
            if job.suspended:
                said = await self._of_workload(namespace, job)
            elif (now - job.created_at).total_seconds() >= self._patience:
                said = await self._of_job(namespace, job)
            else:
                continue
            if said:
                found[job.name] = said
        return found

    async def _of_job(self, namespace: str, job: JobView) -> str:
        found = await self._latest(namespace, f"involvedObject.uid={job.uid},reason=FailedCreate")
        said = next(iter(found.values()), "").removeprefix("Error creating: ")
        return re.sub(r'^pods "[^"]*"', "pods", said)  # each try has a name of its own

    async def _of_workload(self, namespace: str, job: JobView) -> str:
        found = await self._latest(namespace, "involvedObject.kind=Workload,reason=Pending")
        beginning = f"job-{job.name}"[:_WORKLOAD_PREFIX]
        return next((said for name, said in found.items() if name.rpartition("-")[0] == beginning), "")

    async def _latest(self, namespace: str, selector: str) -> Mapping[str, str]:
        """Return the newest message of each object, by its name."""
        known = self._answers.get((namespace, selector))
        if known is not None and known[1] > self._clock():
            return known[0]
        found: dict[str, str] = {}
        try:
            page = await self._cluster.list_page(EVENTS, namespace, {"fieldSelector": selector})
            for event in sorted(page.get("items") or (), key=_time):
                found[event["involvedObject"]["name"]] = str(event.get("message", ""))[:LONGEST_SENTENCE]
        except ApiError as error:  # it is only about words
            if not isinstance(error, Refused) or not self._may_not:
                log.warning("what keeps Jobs from having pods cannot be read: %s", error)
            self._may_not = isinstance(error, Refused)
        if len(self._answers) >= MOST_REMEMBERED:
            self._answers.clear()
        self._answers[namespace, selector] = (found, self._clock() + REMEMBERED_SECONDS)
        return found


def _time(event: Json) -> str:
    return str(event.get("lastTimestamp") or event.get("eventTime") or "")
