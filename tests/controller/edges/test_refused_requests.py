"""What becomes of a RenderJob when the API server takes a child Job, or anything, no more."""

from __future__ import annotations

import asyncio
import copy
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
        self.world, self.reconciler = reconciler_on(self)

    async def create(self, resource: object, namespace: str, body: dict[str, Any]) -> None:
        self.created.append(body["metadata"]["name"])
        raise self.refusal

    async def patch(self, resource: object, namespace: str, name: str, body: dict[str, Any], part: str) -> Any:
        status = {**self.live["status"], **body["status"]}
        version = str(int(self.live["metadata"]["resourceVersion"]) + 1)
        self.live = {**self.live, "status": status, "metadata": {**self.live["metadata"], "resourceVersion": version}}
        return copy.deepcopy(self.live)

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
