"""Bodies of callbacks: names, types and bounds that the backend's own code sets."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import pytest

from ecg_api.failures import Failure, FailureCode
from ecg_api.status import RenderMetrics
from ecg_shim.model import Output
from ecg_shim.relay.payloads import payload
from shim_client_backend import CallbackModel, _database_problem
from shim_jobs import state

METRICS = {
    "frames_processed": 900,
    "frames_dropped": 9,
    "drop_rate": 0.01,
    "memory_peak_mb": 812.5,
    "memory_trend": "stable",
}
MOMENT = {"job_id": "a", "timestamp": "1970-01-01T00:00:01.500"}


def test_progress_has_exactly_these_fields() -> None:
    assert payload(state("processing", 45), 1.5) == {
        **MOMENT,
        **METRICS,
        "status": "processing",
        "progress": 45,
        "message": "Rendering",
        "estimated_time_remaining": 7,
        "memory_usage_mb": 512.0,
        "efficiency": 99.0,
    }


def test_completion_has_exactly_these_fields() -> None:
    assert payload(state("completed"), 1.5) == {
        **MOMENT,
        **METRICS,
        "status": "completed",
        "progress": 100,
        "message": "Rendering completed successfully",
        "download_url": "http://host/a.mp4",
        "file_size": 5_000_000,
        "duration": 30.5,
        "total_frames_processed": 900,
        "total_frames_dropped": 9,
        "final_drop_rate": 0.01,
        "peak_memory_mb": 812.5,
        "average_fps": 20.0,
    }


def test_completion_says_what_a_person_should_look_at() -> None:
    seen = state("completed", warnings=('"hop" is not there: the text is shown without it', "y" * 5000))
    said = payload(seen, 1.5)["message"]
    assert said.startswith(
        'Rendering completed successfully. To look at: "hop" is not there: the text is shown without'
    )
    assert len(said) < 1100


def test_failure_has_exactly_these_fields() -> None:
    assert payload(state("failed"), 1.5) == {
        **MOMENT,
        "status": "failed",
        "error_code": "FFMPEG_ERROR",
        "error_message": "It broke. Mend it.",
        "message": "It broke. Mend it.",
        "details": {"segment": 2},
    }


def test_cancellation_has_exactly_these_fields() -> None:
    told = payload(state("cancelled"), 1.5)
    assert told == {**MOMENT, "status": "cancelled", "error_code": "JOB_CANCELLED", "message": "Cancelled"}


def test_timestamps_have_no_offset() -> None:
    told = payload(state("processing"), 1_790_000_000.25)["timestamp"]
    assert isinstance(told, str)
    assert datetime.fromisoformat(told).tzinfo is None


ODD: dict[str, tuple[str, dict[str, Any]]] = {
    "progress that is no whole number": ("processing", {"progress": 45.5}),
    "an estimate that is no whole number": ("processing", {"eta_seconds": 12.7}),
    "progress of 100 before the end": ("processing", {"progress": 100}),
    "progress below nothing": ("processing", {"progress": -3}),
    "a file of 3 GB": ("completed", {"output": Output("http://host/a.mp4", 3 * 2**30, 1.0)}),
    "a file of 2 GB and a byte": ("completed", {"output": Output("http://host/a.mp4", 2**31, 1.0)}),
    "more frames than an integer holds": ("completed", {"metrics": RenderMetrics(frames_processed=2**40)}),
    "a whole number as a duration": ("completed", {"output": Output("http://host/a.mp4", 1, 30)}),
    "NUL in a message": (
        "failed",
        {"failure": Failure(code=FailureCode.RENDER_ERROR, message="a\0b\0", retryable=False)},
    ),
    "half a surrogate pair": (
        "failed",
        {"failure": Failure.model_construct(code="X", message="a\ud800b", hint="", retryable=False, segment=None,
                                            frame=None)},
    ),
    "a code that is too long": (
        "failed",
        {"failure": Failure.model_construct(code="C" * 99, message="m", hint="", retryable=False, segment=None,
                                            frame=None)},
    ),
    "a message without end": (
        "failed",
        {"failure": Failure(code=FailureCode.RENDER_ERROR, message="long " * 100_000, retryable=False)},
    ),
    "a failure without words": ("failed", {"failure": None}),
}  # fmt: skip


@pytest.mark.parametrize(("status", "changes"), ODD.values(), ids=ODD)
def test_whatever_a_job_says_the_backend_can_store_it(status: str, changes: dict[str, Any]) -> None:
    body = json.loads(json.dumps(payload(state(status, **changes), 0.0)))
    assert not _database_problem(CallbackModel.model_validate(body))
    assert len(json.dumps(body)) < 20_000
    for name in ("progress", "estimated_time_remaining", "file_size", "frames_processed", "frames_dropped"):
        if name in body:
            assert isinstance(body[name], int)
    assert isinstance(body.get("duration", 0.0), float)
    if status == "processing":
        assert 0 <= body["progress"] <= 99


def test_a_size_beyond_an_integer_is_left_out_and_the_largest_is_kept() -> None:
    largest = Output("http://host/a.mp4", 2**31 - 1, 1.0)
    assert payload(state("completed", output=largest), 0.0)["file_size"] == 2**31 - 1
    beyond = Output("http://host/a.mp4", 2**31, 1.0)
    assert "file_size" not in payload(state("completed", output=beyond), 0.0)


@pytest.mark.parametrize("code", list(FailureCode))
def test_every_code_fits_into_the_backends_column(code: FailureCode) -> None:
    failure = Failure(code=code, message="m", retryable=False)
    assert payload(state("failed", failure=failure), 0.0)["error_code"] == code
