"""Schemathesis against the OpenAPI document: what is described is what happens."""

from __future__ import annotations

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.config import SchemathesisConfig

from shim_memory import memory_service

SERVICE = memory_service()
EXAMPLES = 40

schema = schemathesis.openapi.from_asgi("/openapi.json", SERVICE.app, config=SchemathesisConfig())


@schema.parametrize()
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
def test_what_is_described_is_what_happens(case):
    case.call_and_validate()


def test_every_path_but_the_pages_is_described():
    described = SERVICE.app.openapi()["paths"]
    assert set(described) == {
        "/render", "/api/render/process", "/api/render/{job_id}/status", "/api/render/{job_id}/cancel",
        "/api/render/{job_id}/download", "/api/render/{job_id}/download/{name}", "/api/render/{job_id}/live.m3u8",
        "/api/render/jobs", "/api/render/queue/status", "/api/render/queue/clear",
        "/queue/status", "/health", "/livez", "/readyz", "/metrics",
    }  # fmt: skip


@pytest.mark.parametrize("path", ["/render", "/api/render/process"])
def test_the_example_of_the_description_is_accepted(served, path):
    body = SERVICE.app.openapi()["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert served.client.post(path, json=body["example"]).status_code == 200
    (job,) = served.backend.jobs.values()
    assert job.status == "queued"
