"""When the operator calls itself unhealthy, and what it says then."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from ecg_cluster.cache import Key
from ecg_cluster.client import PODS
from ecg_cluster.queue import KeyedQueue
from ecg_operator.health import Health, LoopLag
from ecg_operator.metrics import Metrics
from ecg_operator.world import World


class _Reflector(SimpleNamespace):
    @property
    def refused(self) -> bool:
        return bool(self.refuses())


class Parts:
    """An operator of which everything is well, until a test says otherwise."""

    def __init__(self) -> None:
        self.now = 0.0
        self.queue: KeyedQueue[Key] = KeyedQueue(lambda: self.now)
        self.world = World(self.queue)
        self.silence = 1.0
        self.synced = True
        self.refused: set[str] = set()
        self.leader = SimpleNamespace(leads=True)
        self.lag = LoopLag()
        self.health = self.of("a")

    def of(self, *namespaces: str) -> Health:
        """Return the health of an operator of some namespaces; all but the first were heard of a second ago."""
        reflectors = [self._reflector(name, namespaces[0]) for name in namespaces]
        health = Health(self.world, reflectors, self.leader, self.lag)
        health.acting = True
        return health

    def _reflector(self, namespace: str, first: str) -> Any:
        is_first = namespace == first
        return _Reflector(
            staleness=lambda: self.silence if is_first else 1.0,
            longest_silence=120.0,
            source=SimpleNamespace(resource=PODS, namespace=namespace),
            synced=SimpleNamespace(is_set=lambda: self.synced or not is_first),
            refuses=lambda: namespace in self.refused,
        )


@pytest.fixture
def parts() -> Parts:
    return Parts()


def test_a_working_operator_has_no_problems(parts: Parts) -> None:
    assert parts.health.problems() == []
    assert parts.health.waiting_for() == []


def test_a_stuck_queue(parts: Parts) -> None:
    parts.queue.add(Key("ns", "clip"))
    parts.now = 121.0
    assert parts.health.problems() == ["the queue is stuck: no RenderJob was looked at for 121 s"]


def test_a_queue_that_is_long_and_moves_is_not_stuck(parts: Parts) -> None:
    for number in range(20_000):
        parts.queue.add(Key("ns", f"clip-{number}"))
    for _ in range(10):
        parts.now += 60.0
        key = parts.queue.take()
        assert key is not None
        parts.queue.done(key)
        assert parts.health.problems() == []
    assert parts.queue.oldest_age() == 600.0


def test_a_worker_that_hangs_counts_as_stuck(parts: Parts) -> None:
    parts.queue.add(Key("ns", "clip"))
    parts.queue.take()
    parts.now = 200.0
    assert len(parts.health.problems()) == 1


def test_a_stale_reflector(parts: Parts) -> None:
    parts.silence = 130.0
    assert parts.health.problems() == ["nothing was heard about pods for 130 s"]


def test_one_of_several_namespaces_that_is_gone_makes_nothing_wait_and_nothing_unhealthy(parts: Parts) -> None:
    health = parts.of("gone", "b")
    for namespace in ("gone", "b"):
        place = {"name": "clip", "namespace": namespace, "uid": namespace, "resourceVersion": "1", "generation": 1}
        made = {**place, "creationTimestamp": "2026-01-31T12:00:00Z"}
        parts.world.render_jobs.learn({"kind": "RenderJob", "metadata": made, "status": {"phase": "Rendering"}})
    parts.silence, parts.synced = 9999.0, False
    assert health.problems()
    assert health.waiting_for()
    parts.refused = {"gone"}
    assert health.problems() == health.waiting_for() == []
    metrics = Metrics("1.2.3")
    health.measure(metrics)
    text = metrics.text().decode()
    assert "ecg_unserved_namespaces 1.0" in text
    assert 'ecg_jobs{phase="Rendering"} 1.0' in text
    assert 'ecg_watch_silence_seconds{resource="pods"} 1.0' in text


@pytest.mark.parametrize("namespaces", [("a",), ("a", "b")])
def test_an_operator_without_rights_anywhere_is_not_ready(parts: Parts, namespaces: tuple[str, ...]) -> None:
    health = parts.of(*namespaces)
    parts.refused, parts.silence, parts.synced = set(namespaces), 9999.0, False
    assert health.problems()
    assert health.waiting_for()


def test_the_silence_of_a_kind_is_that_of_the_namespace_that_is_silent_for_longest(parts: Parts) -> None:
    parts.silence = 100.0
    metrics = Metrics("1.2.3")
    parts.of("a", "b", "c").measure(metrics)
    assert 'ecg_watch_silence_seconds{resource="pods"} 100.0' in metrics.text().decode()


def test_a_lost_lease(parts: Parts) -> None:
    parts.leader.leads = False
    assert parts.health.problems() == ["the Lease is lost, another replica may act"]


def test_a_loop_that_was_late_for_a_moment_is_told_by_the_metrics_and_is_no_reason_to_start_again(parts: Parts) -> None:
    parts.lag.seconds = 6.0
    assert parts.health.problems() == []
    metrics = Metrics("1.2.3")
    parts.health.measure(metrics)
    assert "ecg_event_loop_lag_seconds 6.0" in metrics.text().decode()


def test_a_replica_that_waits_for_the_lease_is_healthy_and_ready(parts: Parts) -> None:
    parts.health.acting = False
    parts.leader.leads, parts.silence, parts.synced = False, 9999.0, False
    assert parts.health.problems() == []
    assert parts.health.waiting_for() == []


def test_it_is_not_ready_before_the_first_lists_nor_while_it_stops(parts: Parts) -> None:
    parts.synced = False
    assert parts.health.waiting_for() == ["the first list of pods is not there yet"]
    parts.synced, parts.health.stopping = True, True
    assert parts.health.waiting_for() == ["the operator is stopping"]


def test_gauges_follow_what_is_measured(parts: Parts) -> None:
    metrics = Metrics("1.2.3")
    parts.queue.add(Key("ns", "clip"))
    parts.now = 7.0
    parts.health.measure(metrics)
    text = metrics.text().decode()
    for line in (
        "ecg_queue_depth 1.0",
        "ecg_queue_oldest_seconds 7.0",
        "ecg_leader 1.0",
        'ecg_watch_silence_seconds{resource="pods"} 1.0',
        'ecg_jobs{phase="Rendering"} 0.0',
        'ecg_build_info{version="1.2.3"} 1.0',
    ):
        assert line in text
