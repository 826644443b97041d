"""What is written to the Deployment of placeholder pods, and what a restart or a silent API server changes about it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from ecg_cluster.client import Resource
from ecg_cluster.errors import NoAnswer, api_error
from ecg_operator import warm_places
from ecg_operator.admission_table import AdmissionTable
from ecg_operator.capacity import Limits, Load, Schedule
from ecg_operator.cluster import Cluster
from ecg_operator.metrics import Metrics
from ecg_operator.warm_places import ANNOTATION, SECONDS_BEFORE_WARM, WarmPlaces

SCHEDULE = Schedule(otherwise=Limits(floor=2, ceiling=6))
PLACE = ("render", "ecg-render-warm")


class OneDeployment:
    """An API server with one object, which may keep silent."""

    def __init__(self) -> None:
        self.stored: dict[str, Any] = {"metadata": {}, "spec": {"replicas": 1}, "status": {"readyReplicas": 1}}
        self.silent = False
        self.writes = 0

    async def get(self, resource: Resource, namespace: str, name: str) -> dict[str, Any]:
        assert (resource.plural, namespace, name) == ("deployments", *PLACE)
        if self.silent:
            raise NoAnswer(0, "NoAnswer", "nobody there")
        return cast(dict[str, Any], json.loads(json.dumps(self.stored)))

    async def patch(self, resource: Resource, namespace: str, name: str, body: Mapping[str, Any]) -> dict[str, Any]:
        if self.silent:
            raise api_error(403, "Forbidden", "no")
        self.writes += 1
        self.stored["metadata"]["annotations"] = dict(body["metadata"]["annotations"])
        self.stored["spec"].update(body["spec"])
        return self.stored


class Admission:
    """As much as is asked of the admission table."""

    def __init__(self) -> None:
        self.now = Load(busy=0, waiting=0)
        self.limit = 0
        self.busier = asyncio.Event()

    def load(self) -> Load:
        return self.now

    def limit_places(self, places: int) -> None:
        self.limit = places


class Site:
    """Warm places on a clock that stands still between looks."""

    def __init__(self, deployment: tuple[str, str] | None = PLACE) -> None:
        self.server, self.admission, self.metrics = OneDeployment(), Admission(), Metrics("0")
        self.time, self.place = datetime(2026, 12, 1, tzinfo=UTC), deployment
        self.restart()

    def restart(self) -> None:
        cluster, admission = cast(Cluster, self.server), cast(AdmissionTable, self.admission)
        self.warm = WarmPlaces(cluster, admission, SCHEDULE, self.place, self.metrics, lambda: self.time)

    def look(self, busy: int = 0, waiting: int = 0, seconds: float = 5, times: int = 1) -> tuple[int, int]:
        """Look; return the limit of segments and the number of placeholder pods."""
        for _ in range(times):
            self.time += timedelta(seconds=seconds)
            self.admission.now = Load(busy=busy, waiting=waiting)
            asyncio.run(self.warm.look())
        return self.admission.limit, self.server.stored["spec"]["replicas"]


def test_warm_are_the_places_in_which_nothing_renders_or_did_a_minute_ago() -> None:
    site = Site()
    assert site.look() == (2, 2)
    assert site.look(busy=1) == (2, 1)
    assert site.look(busy=2, waiting=11) == (4, 2)
    assert site.look(busy=5) == (4, 0)
    assert site.look(seconds=1, times=SECONDS_BEFORE_WARM - 1) == (4, 0), "however often it is looked at"
    assert site.look(seconds=1) == (4, 4)


def test_when_a_segment_begins_it_is_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warm_places, "BETWEEN_LOOKS", 0.0)
    site = Site()

    async def begin() -> None:
        running = asyncio.create_task(site.warm.run())
        await asyncio.sleep(0)
        assert site.server.stored["spec"]["replicas"] == 2
        site.admission.now = Load(busy=2, waiting=0)
        site.admission.busier.set()
        for _ in range(5):  # turns of the loop, no time
            await asyncio.sleep(0)
        assert site.server.stored["spec"]["replicas"] == 0
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    asyncio.run(begin())


def test_nothing_is_written_that_is_there() -> None:
    site = Site()
    site.look(times=100)
    assert site.server.writes == 1


def test_what_somebody_else_writes_is_put_right() -> None:
    site = Site()
    site.look()
    site.server.stored["spec"]["replicas"] = 50
    assert site.look() == (2, 2)


def test_another_leader_goes_on_with_the_places_and_the_timer() -> None:
    site = Site()
    site.look()
    site.look(waiting=11)
    site.look(waiting=0, seconds=300)
    site.restart()
    assert site.look(seconds=295)[0] == 4
    assert site.look(seconds=306)[0] == 2
    assert "have waited" in site.server.stored["metadata"]["annotations"][ANNOTATION]


def test_a_leader_that_cannot_read_the_note_yet_begins_with_nothing_of_its_own() -> None:
    site = Site()
    site.look()
    site.look(waiting=11)
    site.restart()
    site.server.silent = True
    site.look()
    site.server.silent = False
    assert site.look() == (4, 4)


def test_a_note_that_nobody_can_read_is_begun_anew() -> None:
    site = Site()
    site.server.stored["metadata"]["annotations"] = {ANNOTATION: '{"places": "many"}'}
    assert site.look(busy=5) == (5, 0)


def test_while_the_api_server_is_silent_the_last_number_of_pods_stays_and_the_limit_moves_on() -> None:
    site = Site()
    site.look()
    site.server.silent = True
    assert site.look(waiting=11) == (4, 2)
    site.server.silent = False
    assert site.look() == (4, 4)


def test_without_a_deployment_only_the_limit_moves() -> None:
    site = Site(deployment=None)
    assert site.look(waiting=20, seconds=60, times=5)[0] == 6
    assert site.server.writes == 0
    text = site.metrics.text().decode()
    assert 'ecg_capacity_places{kind="ceiling"} 6.0' in text and "ecg_capacity_waiting_segments 20.0" in text
