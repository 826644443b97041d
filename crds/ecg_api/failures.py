"""Failure codes, their exit codes, and who may retry.

    process fails -> Failure -> exit code -> Job podFailurePolicy -> status.failure

The table below is the only place where retrying is decided. Exit codes 64 to 95 mean "the same input
fails again", 96 to 113 mean "another try may work": a podFailurePolicy needs only those two ranges.
The codes are those that existing clients of the render service know; clients store at most 50 characters.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

FIRST_EXIT_CODE = 64
FIRST_RETRYABLE_EXIT_CODE = 96
LAST_EXIT_CODE = 113


class FailureCode(StrEnum):
    """What went wrong, as clients see it."""

    VALIDATION_ERROR = "VALIDATION_ERROR"
    INVALID_VIDEO_URL = "INVALID_VIDEO_URL"
    INVALID_VIDEO_FORMAT = "INVALID_VIDEO_FORMAT"
    SCENARIO_PARSE_ERROR = "SCENARIO_PARSE_ERROR"
    INVALID_RENDER_OPTIONS = "INVALID_RENDER_OPTIONS"
    STORAGE_ACCESS_ERROR = "STORAGE_ACCESS_ERROR"
    JOB_CANCELLED = "JOB_CANCELLED"
    FRAME_DROP_LIMIT_EXCEEDED = "FRAME_DROP_LIMIT_EXCEEDED"
    JOB_NOT_FOUND = "JOB_NOT_FOUND"
    JOB_ALREADY_EXISTS = "JOB_ALREADY_EXISTS"
    QUEUE_FULL = "QUEUE_FULL"
    CALLBACK_FAILED = "CALLBACK_FAILED"

    RENDER_ERROR = "RENDER_ERROR"
    BROWSER_ERROR = "BROWSER_ERROR"
    FFMPEG_ERROR = "FFMPEG_ERROR"
    STREAMING_ERROR = "STREAMING_ERROR"
    RENDERING_TIMEOUT = "RENDERING_TIMEOUT"
    TIMEOUT_ERROR = "TIMEOUT_ERROR"
    CONNECTION_ERROR = "CONNECTION_ERROR"
    S3_UPLOAD_ERROR = "S3_UPLOAD_ERROR"
    SYSTEM_RESOURCE_ERROR = "SYSTEM_RESOURCE_ERROR"
    MEMORY_OPTIMIZATION_ERROR = "MEMORY_OPTIMIZATION_ERROR"
    GPU_NOT_AVAILABLE = "GPU_NOT_AVAILABLE"
    GPU_MEMORY_INSUFFICIENT = "GPU_MEMORY_INSUFFICIENT"
    UNEXPECTED_ERROR = "UNEXPECTED_ERROR"


@dataclass(frozen=True)
class FailureRule:
    """How a process ends with a code, and what that end means to whoever started it."""

    exit_code: int

    @property
    def retryable(self) -> bool:
        """Another try with the same input may work."""
        return self.exit_code >= FIRST_RETRYABLE_EXIT_CODE


RULES: dict[FailureCode, FailureRule] = {
    FailureCode.VALIDATION_ERROR: FailureRule(64),
    FailureCode.INVALID_VIDEO_URL: FailureRule(65),
    FailureCode.INVALID_VIDEO_FORMAT: FailureRule(66),
    FailureCode.SCENARIO_PARSE_ERROR: FailureRule(67),
    FailureCode.INVALID_RENDER_OPTIONS: FailureRule(68),
    FailureCode.STORAGE_ACCESS_ERROR: FailureRule(69),
    FailureCode.JOB_CANCELLED: FailureRule(70),
    FailureCode.FRAME_DROP_LIMIT_EXCEEDED: FailureRule(71),
    FailureCode.JOB_NOT_FOUND: FailureRule(72),
    FailureCode.JOB_ALREADY_EXISTS: FailureRule(73),
    FailureCode.QUEUE_FULL: FailureRule(74),
    FailureCode.CALLBACK_FAILED: FailureRule(75),
    FailureCode.RENDER_ERROR: FailureRule(96),
    FailureCode.BROWSER_ERROR: FailureRule(97),
    FailureCode.FFMPEG_ERROR: FailureRule(98),
    FailureCode.STREAMING_ERROR: FailureRule(99),
    FailureCode.RENDERING_TIMEOUT: FailureRule(100),
    FailureCode.TIMEOUT_ERROR: FailureRule(101),
    FailureCode.CONNECTION_ERROR: FailureRule(102),
    FailureCode.S3_UPLOAD_ERROR: FailureRule(103),
    FailureCode.SYSTEM_RESOURCE_ERROR: FailureRule(104),
    FailureCode.MEMORY_OPTIMIZATION_ERROR: FailureRule(105),
    FailureCode.GPU_NOT_AVAILABLE: FailureRule(106),
    FailureCode.GPU_MEMORY_INSUFFICIENT: FailureRule(107),
    FailureCode.UNEXPECTED_ERROR: FailureRule(113),
}


class Failure(BaseModel):
    """A failure as it travels: printed, put into a termination message, kept in a status."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, serialize_by_alias=True, frozen=True)

    code: FailureCode
    message: str = Field(description="What happened and where, one paragraph for a person.")
    hint: str = Field(default="", description="What to do about it.")
    retryable: bool
    segment: int | None = None
    frame: int | None = None
    log_tail: list[str] = Field(default_factory=list, description="Last lines of the failing program.")
