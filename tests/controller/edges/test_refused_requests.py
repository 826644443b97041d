"""What becomes of a RenderJob when the API server takes a child Job, or anything, no more."""

from __future__ import annotations

import asyncio
import copy
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from ecg_cluster.cache import Key
from ecg_cluster.errors import ApiError, api_error
from ecg_operator import reconcile
from ecg_operator.model import (
    EventNote,
)
from observations import KEY, manifest
from reconcilers import reconciler_on

GOING = api_error(403, "Forbidden", "jobs is forbidden: namespace render is being terminated")
GONE = api_error(404, "NotFound", 'namespaces "render" not found')
QUOTA = api_error(403, "Forbidden", 'jobs "clip-clean" is forbidden: exceeded quota: small')
WEBHOOK = api_error(500, "InternalError", 'failed calling webhook "mjob.kb.io": connection refused')
RENDERING = {"phase": "Rendering", "run": {"workFiles": "Written", "admittedAt": "2026-01-01T12:00:00Z"}}


class Site:
    """The operator's inside with an API server that refuses every Job."""

    def __init__(self, refusal: ApiError) -> None:
        self.refusal = refusal
        self.created: list[str] = []
        self.told: list[EventNote] = []
        self.live: dict[str, Any] = {}
        self.deleted = 0
        self.refuses_plans: str | None = None
        self.world, self.reconciler = reconciler_on(self)

    async def create(self, resource: object, namespace: str, body: dict[str, Any]) -> None:
        self.created.append(body["metadata"]["name"])
        raise self.refusal

    async def patch(self, resource: object, namespace: str, name: str, body: dict[str, Any], part: str) -> Any:
        if self.refuses_plans is not None and "plan" in body["status"]:
            raise api_error(422, self.refuses_plans, f"status.plan: Invalid value: {body}")
        status = {**self.live["status"], **body["status"]}
        version = str(int(self.live["metadata"]["resourceVersion"]) + 1)
        self.live = {**self.live, "status": status, "metadata": {**self.live["metadata"], "resourceVersion": version}}
        return copy.deepcopy(self.live)

    async def delete_all(
        self, resource: object, namespace: str, selector: str, grace_seconds: int | None = None
    ) -> None:
        self.deleted += 1

    def tell(self, key: Key, uid: str, note: EventNote) -> None:
        self.told.append(note)

    def add(self, uid: str, status: dict[str, Any]) -> None:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        facts = {"uid": uid, "generation": 1, "resourceVersion": "5", "creationTimestamp": now}
        body = manifest()
        self.live = {**body, "metadata": {**body["metadata"], **facts}, "status": status}
        self.world.render_job_event("ADDED", self.live)

    def delete(self) -> None:
        self.world.render_job_event("DELETED", self.live)

    def look(self) -> float | None:
        return asyncio.run(self.reconciler.reconcile(KEY))


@pytest.mark.parametrize("refusal", [GOING, GONE])
def test_what_was_deleted_with_its_namespace_is_forgotten(refusal: ApiError) -> None:
    site = Site(refusal)
    site.add("uid-1", RENDERING)
    site.delete()
    assert site.look() is None
    assert site.created == ["clip-clean"]
    assert (site.world.departed, site.world.refusals) == ({}, {})


def test_work_files_that_nobody_may_remove_are_given_up_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    site = Site(QUOTA)
    site.add("uid-1", RENDERING)
    site.delete()
    assert site.look() == reconcile.SETTLING_PAUSE_SECONDS
    monkeypatch.setattr(reconcile, "LONGEST_SETTLING_SECONDS", 0.0)
    assert site.look() is None
    assert (site.world.departed, site.world.refusals) == ({}, {})


def test_a_new_job_does_not_wait_for_the_work_files_of_an_earlier_one_of_its_name() -> None:
    site = Site(QUOTA)
    site.add("uid-1", RENDERING)
    site.delete()
    site.add("uid-2", {})
    with pytest.raises(ApiError):  # of the new one's plan, which is refused, too
        site.look()
    assert site.created == ["clip-clean", "clip-plan"]
    assert site.live["status"]["phase"] == "Planning"


def test_a_webhook_that_does_not_answer_is_named_and_the_pending_deadline_runs() -> None:
    site = Site(WEBHOOK)
    site.add("uid-1", {})
    for _ in range(2):
        with pytest.raises(ApiError):
            site.look()
    (scheduled,) = (one for one in site.live["status"]["conditions"] if one["type"] == "Scheduled")
    assert (scheduled["status"], scheduled["reason"]) == ("False", "CreationRefused")
    assert "mjob.kb.io" in scheduled["message"]
    assert site.live["status"]["run"]["waitingSince"]


def planning() -> dict[str, Any]:
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"phase": "Planning", "startTime": now, "run": {"workFiles": "Written", "admittedAt": now}}


def plan_pod(message: str) -> dict[str, Any]:
    labels = {"render.ecg.dev/job": KEY.name, "render.ecg.dev/uid": "uid-1", "render.ecg.dev/role": "plan"}
    ended = {"terminated": {"exitCode": 0, "reason": "Completed", "message": message}}
    return {
        "metadata": {"name": "p", "namespace": KEY.namespace, "uid": "p", "resourceVersion": "7",
                     "creationTimestamp": "2026-01-31T12:00:00Z", "labels": labels},
        "spec": {},
        "status": {"phase": "Succeeded", "containerStatuses": [{"name": "renderer", "state": ended}]},
    }  # fmt: skip


def test_a_status_that_is_not_taken_ends_its_job_and_holds_no_place_for_ever() -> None:
    site = Site(QUOTA)
    site.refuses_plans = "Invalid"
    site.add("uid-1", planning())
    plan = {"uri": "s3://w/p", "width": 320, "height": 180, "rate": "30", "frames": 10**30}
    site.world.pods.learn(plan_pod(json.dumps({"kind": "plan", "plan": plan, "segments": 1})))
    site.look()
    assert site.deleted, "its Jobs go"
    status = site.live["status"]
    assert (status["phase"], status["reason"]) == ("Failed", "ResultLost")
    assert status["failure"]["message"].startswith("The API server does not take")
    assert len(status["failure"]["message"]) < 1200


def test_what_is_refused_by_something_in_between_ends_no_job() -> None:
    site = Site(QUOTA)
    site.refuses_plans = ""
    site.add("uid-1", planning())
    plan = {"uri": "s3://w/p", "width": 320, "height": 180, "rate": "30", "frames": 9}
    site.world.pods.learn(plan_pod(json.dumps({"kind": "plan", "plan": plan, "segments": 1})))
    with pytest.raises(ApiError, match="Invalid value"):
        site.look()
    assert site.live["status"]["phase"] == "Planning"


def test_a_refusal_that_repeats_what_it_refuses_is_said_and_the_pending_deadline_runs() -> None:
    site = Site(api_error(422, "Invalid", "spec.template: Invalid value: " + "x" * 100_000))
    site.add("uid-1", {})
    for _ in range(2):
        with pytest.raises(ApiError):
            site.look()
    (scheduled,) = (one for one in site.live["status"]["conditions"] if one["type"] == "Scheduled")
    assert scheduled["reason"] == "CreationRefused"
    assert len(scheduled["message"]) == 32_768
    assert site.live["status"]["run"]["waitingSince"]


def test_warnings_of_any_length_fit_into_a_status() -> None:
    site = Site(QUOTA)
    site.add("uid-1", planning())
    plan = {"uri": "s3://w/p", "width": 320, "height": 180, "rate": "30", "frames": 9, "warnings": ["x" * 200_000]}
    site.world.pods.learn(plan_pod(json.dumps({"kind": "plan", "plan": plan, "segments": 1, "concerns": 1})))
    with pytest.raises(ApiError):
        site.look()
    assert site.live["status"]["warnings"] == ["x" * 2000]
