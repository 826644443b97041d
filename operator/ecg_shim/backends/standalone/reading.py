"""What a renderer says: JSON lines while it works, one JSON object at its end. Pure."""

from __future__ import annotations

import json
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.alias_generators import to_camel

from ecg_api.failures import RULES, Failure, FailureCode
from ecg_api.status import RenderMetrics

# Share of a whole job at which its stages begin, in percent, and up to which rendering leads.
READING, STARTING, RENDERING, MERGING = 1, 10, 20, 80
_LOG_LINES = 20
_WHO_RETRIES = {rule.exit_code: code for code, rule in RULES.items()}


class _Said(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, extra="ignore", frozen=True, allow_inf_nan=False)


class Told(_Said):
    """A line of `--progress json` about progress."""

    event: Literal["progress"]
    stage: str
    frames_done: int = 0
    frames_total: int = 0
    percent: int = 0
    frames_per_second: float | None = None
    eta_seconds: float | None = None
    segment: int = 0
    segments: int = 0
    queued_frames: int | None = None

    @property
    def share(self) -> int:
        """Whole percent of the whole job, 1 to 80."""
        if self.stage == "rendering":
            return RENDERING + (MERGING - RENDERING) * min(100, max(0, self.percent)) // 100
        return {"planning": READING, "starting": STARTING, "merging": MERGING}.get(self.stage, READING)

    @property
    def message(self) -> str:
        """What the renderer is doing, for a person."""
        if self.stage == "rendering":
            return f"Rendering segment {self.segment + 1} of {max(1, self.segments)}"
        words = {"planning": "Reading video and scenario", "starting": "Starting the caption stages"}
        return words.get(self.stage, "Merging segments and sound" if self.stage == "merging" else "Working")


@dataclass(frozen=True)
class Warned:
    """A line of `--progress json` with a warning."""

    text: str


class Result(_Said):
    """What `--json` says of a finished video."""

    output: str
    frames: int
    frames_dropped: int = 0
    duration_seconds: float
    size_bytes: int
    encoder: str = ""
    encoder_reason: str = ""
    peak_memory_mb: float = 0.0
    memory_trend: Literal["stable", "increasing", "decreasing", "unknown"] = "unknown"
    segments: int = 0
    cells_reused: int = 0

    @property
    def metrics(self) -> RenderMetrics:
        """What the renderer counted."""
        return RenderMetrics(
            frames_processed=self.frames,
            frames_dropped=self.frames_dropped,
            drop_rate=min(1.0, self.frames_dropped / self.frames) if self.frames else 0.0,
            memory_peak_mb=self.peak_memory_mb,
            memory_trend=self.memory_trend,
        )


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


def read_line(line: str) -> Told | Warned | str | None:
    """Return what a line on a renderer's standard error means; text that is no object stays text."""
    if not line.lstrip().startswith("{"):
        return line.strip() or None
    try:
        value = json.loads(line)
        if value.get("event") == "progress":
            return Told.model_validate(value)
    except (ValueError, RecursionError, AttributeError):
        return line.strip()
    return Warned(str(value.get("text", ""))) if value.get("event") in ("warning", "note") else line.strip()


def read_result(printed: bytes) -> Result | Failure | None:
    """Return what a renderer printed at its end; None if that is no such object."""
    try:
        value: Any = json.loads(printed)
        if isinstance(value, dict) and "failure" in value:
            return Failure.model_validate(value["failure"])
        return Result.model_validate(value)
    except (ValueError, RecursionError, ValidationError):
        return None


def judge(ended: Ended, limit_seconds: float) -> Result | Failure:
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
    if isinstance(said, Result) and ended.code == 0:
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
