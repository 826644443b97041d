"""What a renderer says: JSON lines while it works, one JSON object at its end. Pure."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pydantic import TypeAdapter, ValidationError

from ecg_api.failures import RULES, Failure, FailureCode
from ecg_api.rendering import Line, MessageLine, ProgressLine, RenderResult
from ecg_api.status import RenderMetrics, RenditionStatus

# Share of a whole job at which its stages begin, in percent, and up to which rendering leads.
READING, STARTING, RENDERING, MERGING = 1, 10, 20, 80
_LOG_LINES = 20
_WHO_RETRIES = {rule.exit_code: code for code, rule in RULES.items()}


_LINE: TypeAdapter[ProgressLine | MessageLine] = TypeAdapter(Line)


def share_of(line: ProgressLine) -> int:
    """Return how much of the whole job is done, whole percent, 1 to 80."""
    if line.stage == "rendering":
        return RENDERING + (MERGING - RENDERING) * min(100, max(0, line.percent)) // 100
    return {"planning": READING, "starting": STARTING, "merging": MERGING}.get(line.stage, READING)


def message_of(line: ProgressLine) -> str:
    """Return what the renderer is doing, for a person."""
    if line.stage == "rendering":
        return f"Rendering segment {line.segment + 1} of {max(1, line.segments)}"
    words = {"planning": "Reading video and scenario", "starting": "Starting the caption stages"}
    return words.get(line.stage, "Merging segments and sound" if line.stage == "merging" else "Working")


def metrics_of(result: RenderResult) -> RenderMetrics:
    """Return what the renderer counted."""
    return RenderMetrics(
        frames_processed=result.frames,
        frames_dropped=result.frames_dropped,
        drop_rate=min(1.0, result.frames_dropped / result.frames) if result.frames else 0.0,
        memory_peak_mb=result.peak_memory_mb,
        memory_trend=result.memory_trend,
    )


def failure_among(outputs: Iterable[RenditionStatus]) -> Failure | None:
    """Return the failure of the first result that is missing, in words that name it; None if all are there."""
    for output in outputs:
        if output.failure:
            said = f"The rendition {output.name} is missing: {output.failure.message}"
            return output.failure.model_copy(update={"message": said})
    return None


class EndedBy(StrEnum):
    """Why a renderer is no longer there."""

    ITSELF = "itself"
    STOP = "stop"
    TIME_LIMIT = "time limit"


@dataclass(frozen=True)
class Ended:
    """How a renderer ended: exit status (negative: signal), what it printed, last lines that were no JSON."""

    code: int
    by: EndedBy
    printed: bytes
    log: Sequence[str]
    seconds: float


def read_line(line: str) -> ProgressLine | MessageLine | str | None:
    """Return what a line on a renderer's standard error means; text that is no such object stays text."""
    try:
        return _LINE.validate_json(line)
    except ValidationError:
        return line.strip() or None


def read_result(printed: bytes) -> RenderResult | Failure | None:
    """Return what a renderer printed at its end; None if that is no such object."""
    try:
        value: Any = json.loads(printed)
        if isinstance(value, dict) and "failure" in value:
            return Failure.model_validate(value["failure"])
        return RenderResult.model_validate(value)
    except (ValueError, RecursionError, ValidationError):
        return None


def judge(ended: Ended, limit_seconds: float) -> RenderResult | Failure:
    """Return what the end of a renderer means for its job."""
    if ended.by is EndedBy.TIME_LIMIT:
        # All the time that the job may take is used up: no further try.
        return _failure(
            FailureCode.RENDERING_TIMEOUT,
            f"Rendering took longer than {limit_seconds:.0f} seconds and was stopped (timeout).",
            "Render a shorter video or a smaller picture, or raise RENDERING_TIMEOUT.",
            ended,
            retryable=False,
        )
    said = read_result(ended.printed)
    if isinstance(said, RenderResult) and (ended.code == 0 or failure_among(said.outputs)):
        return said
    if isinstance(said, Failure) and said.code is not FailureCode.JOB_CANCELLED:
        return said
    return _unsaid(ended)


def _unsaid(ended: Ended) -> Failure:
    if ended.code < 0 or ended.code > 128:
        number = -ended.code if ended.code < 0 else ended.code - 128
        name = _signal_name(number)
        hint = "The machine probably ran out of memory." if number == signal.SIGKILL else ""
        return _failure(FailureCode.SYSTEM_RESOURCE_ERROR, f"The renderer was ended by {name}.", hint, ended)
    code = _WHO_RETRIES.get(ended.code, FailureCode.UNEXPECTED_ERROR)
    said = "without saying what it made" if ended.code == 0 else "without saying why"
    last = f": {ended.log[-1]}" if ended.log else "."
    return _failure(code, f"The renderer ended with status {ended.code} {said}{last}", "", ended)


def _failure(code: FailureCode, message: str, hint: str, ended: Ended, *, retryable: bool | None = None) -> Failure:
    return Failure(
        code=code,
        message=message,
        hint=hint,
        retryable=RULES[code].retryable if retryable is None else retryable,
        log_tail=list(ended.log)[-_LOG_LINES:],
    )


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
