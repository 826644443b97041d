"""Looks whether the ConfigMap that holds a scenario can be used, before a pod is started that would wait for it."""

from __future__ import annotations

import time
from collections.abc import Callable

from ecg_api.renderjob import ConfigMapRef
from ecg_cluster.client import CONFIG_MAPS, Json
from ecg_cluster.errors import NotFound
from ecg_operator.cluster import Cluster

REMEMBERED_SECONDS = 5.0
PROBLEM_SECONDS = 1.0
"""A problem is looked at again soon: people create the ConfigMap right after the RenderJob."""
MOST_REMEMBERED = 4096


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
        remembered = PROBLEM_SECONDS if problem else REMEMBERED_SECONDS
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
