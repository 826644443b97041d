"""The body of a callback, in the field names and types that the backend reads. Pure.

It refuses progress that is no whole number, fails on texts with NUL, on error codes of more than 50 and status words
of more than 20 characters, and on sizes beyond a 32 bit integer: none of these ever leaves here.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from pydantic import JsonValue

from ecg_api.failures import FailureCode
from ecg_shim.model import JobState, JobStatus, told_output

LONGEST_CODE = 50
LONGEST_STATUS = 20
LONGEST_TEXT = 4000
LARGEST_INTEGER = 2**31 - 1


def payload(state: JobState, now: float) -> dict[str, JsonValue]:
    """Return what to tell about a job that is being processed or has ended; `now` in seconds since 1970."""
    told: dict[str, Any] = {
        "job_id": state.job_id,
        "status": _text(state.status, LONGEST_STATUS),
        # Without an offset, as the backend's own times are; UTC.
        "timestamp": datetime.fromtimestamp(now, UTC).replace(tzinfo=None).isoformat(timespec="milliseconds"),
    }
    if state.status is JobStatus.PROCESSING:
        told |= _progress(state)
    elif state.status is JobStatus.COMPLETED:
        told |= _completion(state)
    elif state.status is JobStatus.FAILED:
        told |= _failure(state)
    else:
        told |= {"error_code": FailureCode.JOB_CANCELLED.value, "message": "Cancelled"}
    return {name: _text(value) if isinstance(value, str) else value for name, value in told.items()}


def _progress(state: JobState) -> dict[str, Any]:
    told: dict[str, Any] = {"progress": max(0, min(99, int(state.progress))), "message": state.message}
    if state.eta_seconds is not None:
        told["estimated_time_remaining"] = _integer(state.eta_seconds)
    told |= _metrics(state)
    if state.streaming:
        told["memory_usage_mb"] = round(state.streaming.memory_mb, 1)
        told["efficiency"] = round(100 * (1 - state.metrics.drop_rate), 1)
        if state.streaming.queue_size is not None:
            told["queue_size"] = state.streaming.queue_size
    return told


def _completion(state: JobState) -> dict[str, Any]:
    metrics = state.metrics
    told: dict[str, Any] = {"progress": 100, "message": state.noted("Rendering completed successfully")}
    told |= _metrics(state)
    if state.output:
        told["download_url"] = state.output.url
        told["duration"] = float(state.output.duration_seconds)
        if 0 <= state.output.size_bytes <= LARGEST_INTEGER:
            told["file_size"] = int(state.output.size_bytes)
    told |= {
        "total_frames_processed": metrics.frames_processed,
        "total_frames_dropped": metrics.frames_dropped,
        "final_drop_rate": metrics.drop_rate,
        "peak_memory_mb": metrics.memory_peak_mb,
    }
    told |= _outputs(state)
    if state.started_at and state.finished_at:
        seconds = (state.finished_at - state.started_at).total_seconds()
        told["average_fps"] = round(metrics.frames_processed / seconds, 2) if seconds > 0 else 0.0
    return told


def _failure(state: JobState) -> dict[str, Any]:
    failure = state.failure
    if failure is None:
        return {"error_code": FailureCode.UNEXPECTED_ERROR.value, "error_message": state.message or "Rendering failed."}
    said = f"{failure.message} {failure.hint}".strip()
    places = {"segment": failure.segment, "frame": failure.frame}
    details = {name: place for name, place in places.items() if place is not None}
    told: dict[str, Any] = {"error_code": _text(failure.code, LONGEST_CODE), "error_message": said, "message": said}
    told |= _outputs(state)
    return {**told, "details": details} if details else told


def _outputs(state: JobState) -> dict[str, Any]:
    """Return the results of a job with renditions; nothing for others, whose backends need not know of them."""
    return {"outputs": [told_output(output) for output in state.outputs]} if state.outputs else {}


def _metrics(state: JobState) -> dict[str, Any]:
    metrics = state.metrics
    return {
        "frames_processed": _integer(metrics.frames_processed),
        "frames_dropped": _integer(metrics.frames_dropped),
        "drop_rate": float(metrics.drop_rate),
        "memory_peak_mb": float(metrics.memory_peak_mb),
        "memory_trend": metrics.memory_trend,
    }


def _integer(value: float) -> int:
    return max(0, min(LARGEST_INTEGER, int(value)))


def _text(value: str, longest: int = LONGEST_TEXT) -> str:
    # Half a surrogate pair is no text for a database either.
    whole = str(value).encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return whole.replace("\0", "")[:longest]
