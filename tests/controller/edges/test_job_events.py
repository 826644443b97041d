"""What keeps Jobs from having pods, as events tell it."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any, cast

import pytest

from ecg_api.names import Role
from ecg_cluster.client import EVENTS
from ecg_cluster.errors import ApiError, api_error
from ecg_operator.cluster import Cluster
from ecg_operator.lookups import JobEvents
from ecg_operator.model import JobView, PodView
from observations import NOW, ended_pod, job_view, pod

JOB = job_view(Role.PLAN)
HELD = job_view(Role.PLAN, suspended=True)


def event(name: str, message: str, version: int = 0, reason: str = "FailedCreate") -> dict[str, Any]:
    """Return an event of a controller whose clock goes backwards."""
    at = (NOW - timedelta(seconds=version)).strftime("%Y-%m-%dT%H:%M:%SZ")
    meta = {"resourceVersion": str(version)}
    return {
        "metadata": meta,
        "involvedObject": {"name": name},
        "reason": reason,
        "message": message,
        "lastTimestamp": at,
    }


class Site:
    """An API server with events, by their field selector."""

    def __init__(self, events: dict[str, list[dict[str, Any]]], error: ApiError | None = None) -> None:
        self.events = events
        self.error = error
        self.asked = 0
        self.now = 0.0
        self.reader = JobEvents(cast(Cluster, self), patience=7, clock=lambda: self.now)

    async def list_page(self, resource: object, namespace: str, params: dict[str, str]) -> dict[str, Any]:
        assert (resource, namespace) == (EVENTS, "render")
        self.asked += 1
        if self.error is not None:
            raise self.error
        return {"items": self.events.get(params["fieldSelector"], [])}

    def obstacles(self, *jobs: JobView, pods: tuple[PodView, ...] = (), seconds: float = 8) -> dict[str, str]:
        now = NOW + timedelta(seconds=seconds)
        return asyncio.run(self.reader.obstacles("render", jobs, pods, now))


OF_JOB = f"involvedObject.uid={JOB.uid}"
OF_WORKLOADS = "involvedObject.kind=Workload,reason=Pending"


def test_the_newest_refusal_is_told_without_the_name_of_the_try() -> None:
    site = Site({
        OF_JOB: [
            event("clip-plan", 'Error creating: pods "clip-plan-x7k2p" is forbidden: exceeded quota: gpus', 9),
            event("clip-plan", "Internal error", 3),
        ]
    })  # fmt: skip
    assert site.obstacles(JOB) == {"clip-plan": "pods is forbidden: exceeded quota: gpus"}


def test_of_workloads_only_that_of_the_very_job_counts() -> None:
    site = Site({
        OF_WORKLOADS: [
            event("job-clip-plan-2-0a1b2", "another's", reason="Pending"),
            event("job-clip-plan-3c4d5", "no quota", reason="Pending"),
        ]
    })  # fmt: skip
    assert site.obstacles(HELD, seconds=0) == {"clip-plan": "no quota"}


@pytest.mark.parametrize(
    "fields",
    [{"complete": True}, {"failed": True}, {"deleting": True}, {"owned": False}, {"role": Role.CLEAN}],
    ids=lambda fields: next(iter(fields)),
)
def test_of_jobs_that_need_no_pods_nothing_is_asked(fields: dict[str, Any]) -> None:
    site = Site({OF_JOB: [event("clip-plan", "refused")]})
    assert site.obstacles(job_view(fields.pop("role", Role.PLAN), **fields)) == {}
    assert site.asked == 0


def test_a_young_job_and_one_with_pods_are_not_asked_about() -> None:
    site = Site({OF_JOB: [event("clip-plan", "refused")]})
    assert site.obstacles(JOB, seconds=3) == {}
    assert site.obstacles(JOB, pods=(pod(Role.PLAN),)) == {}
    assert site.asked == 0


def test_a_try_that_is_refused_after_an_earlier_one_has_ended_is_told_but_no_older_refusal() -> None:
    """A quota may be used up by others while a pod of ours runs."""
    failed = ended_pod(Role.PLAN, "its last words", seconds=10)
    earlier = [event("clip-plan", "before it ran", 9), event("clip-plan", "Created pod: x", 10, "SuccessfulCreate")]
    site = Site({OF_JOB: earlier})
    assert site.obstacles(JOB, pods=(failed,), seconds=16) == {}, "a pause between two tries is nothing to ask about"
    assert site.asked == 0
    assert site.obstacles(JOB, pods=(failed,), seconds=20) == {}
    other = event("clip-plan", "Job resumed", 23, "Resumed")
    site.now, site.events = 31, {OF_JOB: [*earlier, other, event("clip-plan", "exceeded", 22)]}
    assert site.obstacles(JOB, pods=(failed,), seconds=30) == {"clip-plan": "exceeded"}


def test_a_pod_is_over_when_it_was_seen_to_be_though_its_nodes_clock_is_ahead() -> None:
    ahead = ended_pod(Role.PLAN, "its last words", seconds=600, over_since=NOW + timedelta(seconds=10))
    site = Site({OF_JOB: [event("clip-plan", "exceeded")]})
    assert site.obstacles(JOB, pods=(ahead,), seconds=16) == {}
    assert site.obstacles(JOB, pods=(ahead,), seconds=18) == {"clip-plan": "exceeded"}


def test_the_answer_is_remembered_for_half_a_minute() -> None:
    site = Site({OF_JOB: [event("clip-plan", "refused")]})
    for at in (0, 29, 31):
        site.now = at
        assert site.obstacles(JOB) == {"clip-plan": "refused"}
    assert site.asked == 2


def test_events_that_cannot_be_read_cost_words_only() -> None:
    for code in (403, 500):
        assert Site({}, api_error(code, "", "no")).obstacles(JOB) == {}
