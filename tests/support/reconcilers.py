"""The operator's inside around a test's own API server."""

from __future__ import annotations

from typing import Any

from ecg_cluster.cache import Key
from ecg_cluster.queue import KeyedQueue
from ecg_operator.act import Actor
from ecg_operator.admission import Budget
from ecg_operator.admission_table import AdmissionTable
from ecg_operator.lookups import JobEvents, ScenarioCheck
from ecg_operator.metrics import Metrics
from ecg_operator.observe import Observer
from ecg_operator.reconcile import Reconciler
from ecg_operator.world import World
from observations import POLICY


def reconciler_on(api: Any) -> tuple[World, Reconciler]:
    """Return a world and its reconciler; `api` is asked as a Cluster is, and told events as an EventRecorder is."""
    world, metrics = World(KeyedQueue[Key]()), Metrics("0")
    admission = AdmissionTable(world, Budget(jobs=9, segments=9))
    observer = Observer(world, admission, ScenarioCheck(api), JobEvents(api, 7), {})
    return world, Reconciler(api, world, observer, Actor(api, world, metrics), api, metrics, POLICY)
