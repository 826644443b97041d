"""What is asked of the API server beside the watches, each thing seldom: scenarios, obstacles of Jobs, nodes.

ConfigMap with a scenario ── looked at before a pod is started that would wait for it
why a Job has no pods ────── ResourceQuota, PodSecurity, webhooks: event FailedCreate on the Job, with no
                             SuccessfulCreate after it;
                             Kueue: event Pending on the Workload that it has made for the Job
node ─────────────────────── once, when the first pod of ours is seen on it: who ends with its node must be known before
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Iterable, Mapping, Set
from datetime import datetime

from ecg_api.names import Role
from ecg_api.renderjob import ConfigMapRef
from ecg_cluster.client import CONFIG_MAPS, EVENTS, NODES, Json
from ecg_cluster.errors import ApiError, NotFound, Refused
from ecg_cluster.quantities import amount, millis
from ecg_operator.cluster import Cluster
from ecg_operator.decide.children import idle
from ecg_operator.model import JobView, PodView
from ecg_operator.prices import NodeView

log = logging.getLogger(__name__)

MOST_REMEMBERED = 4096
SCENARIO_SECONDS, PROBLEM_SECONDS = 5.0, 1.0
"""A problem is looked at again soon: people create the ConfigMap right after the RenderJob."""
OBSTACLE_SECONDS = 30.0
LONGEST_SENTENCE = 500
_CREATED, _REFUSED = "SuccessfulCreate", "FailedCreate"
_WORKLOAD_PREFIX = 57
"""So many characters of `job-NAME` a Workload's name keeps at least."""
PAUSE_SECONDS = 60.0
"""After an answer about a node that was none, so long nobody asks."""
_SPOT = {"karpenter.sh/capacity-type": "spot", "eks.amazonaws.com/capacityType": "SPOT"}


class ScenarioCheck:
    """Answers for a few seconds from memory, since a job is looked at often while its plan is made."""

    def __init__(self, cluster: Cluster, clock: Callable[[], float] = time.monotonic) -> None:
        self._cluster = cluster
        self._clock = clock
        self._answers: dict[tuple[str, ConfigMapRef], tuple[str, float]] = {}

    async def problem(self, namespace: str, reference: ConfigMapRef) -> str:
        """Return what is wrong with the ConfigMap entry, in a sentence; empty if nothing is."""
        known = self._answers.get((namespace, reference))
        if known is not None and known[1] > self._clock():
            return known[0]
        try:
            found = await self._cluster.get(CONFIG_MAPS, namespace, reference.name)
            problem = entry_problem(found, reference)
        except NotFound:
            problem = f"there is no ConfigMap {reference.name} in namespace {namespace}"
        if len(self._answers) >= MOST_REMEMBERED:
            self._answers.clear()
        remembered = PROBLEM_SECONDS if problem else SCENARIO_SECONDS
        self._answers[namespace, reference] = (problem, self._clock() + remembered)
        return problem


def entry_problem(config_map: Json, reference: ConfigMapRef) -> str:
    """Return what is wrong with the entry that `reference` names; empty if nothing is."""
    entries = {**(config_map.get("data") or {}), **(config_map.get("binaryData") or {})}
    if reference.key not in entries:
        there = ", ".join(sorted(entries)) or "no entries at all"
        return f"ConfigMap {reference.name} has no entry {reference.key}; it has {there}"
    if not entries[reference.key]:
        return f"entry {reference.key} of ConfigMap {reference.name} is empty"
    return ""


class JobEvents:
    """Answers for half a minute from memory.

    Args:
        patience: seconds for which a new Job may be without pods before anybody asks why.
    """

    def __init__(self, cluster: Cluster, patience: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._cluster = cluster
        self._patience = patience
        self._clock = clock
        self._answers: dict[tuple[str, str], tuple[Mapping[str, tuple[str, str]], float]] = {}
        self._may_not = False

    async def obstacles(
        self, namespace: str, jobs: tuple[JobView, ...], pods: tuple[PodView, ...], now: datetime
    ) -> dict[str, str]:
        """Return what keeps Jobs of which no pod works or waits from having one, a sentence by the Job's name."""
        found = {}
        for job in jobs:
            over = job.complete or job.failed or job.deleting or not job.owned or job.role is Role.CLEAN
            idle_since = None if over else idle(job, pods)
            if idle_since is None:
                continue
            if job.suspended:
                said = await self._of_workload(namespace, job)
            elif (now - idle_since).total_seconds() >= self._patience:
                said = await self._of_job(namespace, job)
            else:
                continue
            if said:
                found[job.name] = said
        return found

    async def _of_job(self, namespace: str, job: JobView) -> str:
        found = await self._latest(namespace, f"involvedObject.uid={job.uid}", {_CREATED, _REFUSED})
        reason, said = next(iter(found.values()), ("", ""))
        if reason != _REFUSED:
            return ""  # a pod was created afterwards
        said = said.removeprefix("Error creating: ")
        return re.sub(r'^pods "[^"]*"', "pods", said)  # each try has a name of its own

    async def _of_workload(self, namespace: str, job: JobView) -> str:
        found = await self._latest(namespace, "involvedObject.kind=Workload,reason=Pending", {"Pending"})
        beginning = f"job-{job.name}"[:_WORKLOAD_PREFIX]
        return next((said for name, (_, said) in found.items() if name.rpartition("-")[0] == beginning), "")

    async def _latest(self, namespace: str, selector: str, reasons: Set[str]) -> Mapping[str, tuple[str, str]]:
        """Return reason and text of the newest event of each object that has one of `reasons`, by its name."""
        known = self._answers.get((namespace, selector))
        if known is not None and known[1] > self._clock():
            return known[0]
        found: dict[str, tuple[str, str]] = {}
        try:
            page = await self._cluster.list_page(EVENTS, namespace, {"fieldSelector": selector})
            for event in sorted(page.get("items") or (), key=_version):
                said = str(event.get("message", ""))[:LONGEST_SENTENCE]
                if event.get("reason") in reasons:
                    found[event["involvedObject"]["name"]] = event["reason"], said
        except ApiError as error:  # it is only about words
            if not isinstance(error, Refused) or not self._may_not:
                log.warning("what keeps Jobs from having pods cannot be read: %s", error)
            self._may_not = isinstance(error, Refused)
        if len(self._answers) >= MOST_REMEMBERED:
            self._answers.clear()
        self._answers[namespace, selector] = (found, self._clock() + OBSTACLE_SECONDS)
        return found


def _version(event: Json) -> int:
    # Not by their times: a controller that has taken over may have another clock.
    return int(event["metadata"]["resourceVersion"])


class Nodes:
    """What nodes are, by name.

    Args:
        gpu_resource: what the cluster calls a GPU.
    """

    def __init__(self, cluster: Cluster, gpu_resource: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._cluster = cluster
        self._gpu_resource = gpu_resource
        self._clock = clock
        self._known: dict[str, NodeView | None] = {}  # oldest first; None: gone
        self._silent_until = float("-inf")

    async def named(self, names: Iterable[str]) -> dict[str, NodeView]:
        """Return the nodes of these names that are known, or were when they were first asked for."""
        wanted = {name for name in names if name}
        for name in sorted(wanted - self._known.keys()):
            await self._ask(name)
        return {name: node for name in wanted if (node := self._known.get(name)) is not None}

    async def _ask(self, name: str) -> None:
        if self._clock() < self._silent_until:
            return
        try:
            found = read_node(await self._cluster.get(NODES, None, name), self._gpu_resource)
        except NotFound:
            found = None
        except ApiError as error:
            self._silent_until = self._clock() + PAUSE_SECONDS
            log.warning("node %s cannot be asked for; what its pods cost may stay unknown: %s", name, error)
            return
        self._known[name] = found
        while len(self._known) > MOST_REMEMBERED:
            del self._known[next(iter(self._known))]


def read_node(obj: Json, gpu_resource: str) -> NodeView:
    """Return the view of a node as the API server gives it."""
    labels = obj["metadata"].get("labels") or {}
    has = (obj.get("status") or {}).get("allocatable") or {}
    return NodeView(
        instance_type=labels.get("node.kubernetes.io/instance-type", ""),
        spot=any(labels.get(label) == value for label, value in _SPOT.items()),
        cpu_millis=millis(has.get("cpu", 0)),
        gpus=int(amount(has.get(gpu_resource, 0))),
    )
