"""What `ecg-render run` prints for programs: JSON lines while it works, one object at its end."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from ecg_api.base import ApiModel
from ecg_api.status import MemoryTrend, RenditionStatus


class _Printed(ApiModel):
    """Read also with fields that only a newer renderer knows."""

    model_config = ConfigDict(extra="ignore")


class ProgressLine(_Printed):
    """Where a render stands; frames count over the whole output, None is unknown."""

    event: Literal["progress"] = "progress"
    stage: str = Field(description="planning, starting, rendering or merging.")
    frames_done: int = 0
    frames_total: int = 0
    percent: int = 0
    frames_per_second: float | None = None
    eta_seconds: float | None = None
    encoder: str = ""
    capture: str = ""
    segment: int = 0
    segments: int = 0
    queued_frames: int | None = None


class MessageLine(_Printed):
    """What a person should know."""

    event: Literal["warning", "note"]
    text: str


Line = Annotated[ProgressLine | MessageLine, Field(discriminator="event")]


class StreamingStatistics(_Printed):
    """What went through the frame queues of all FFmpeg runs."""

    processed_frames: int = 0
    dropped_frames: int = 0
    drop_rate: float = 0.0
    peak_queue_memory_mb: float = 0.0
    waited_seconds: float = Field(default=0.0, description="How long the browser waited for room in the queue.")


class RenderResult(_Printed):
    """The result of a whole job."""

    output: str
    frames: int
    frames_dropped: int = 0
    distinct_frames: int = Field(default=0, description="Caption pictures that differ from the one before.")
    duration_seconds: float
    width: int = 0
    height: int = 0
    rate: str = ""
    size_bytes: int
    sha256: str = ""
    outputs: list[RenditionStatus] = Field(
        default_factory=list, description="All results of a job with renditions, the main video first."
    )
    capture: str = Field(
        default="", description="How pictures left the browser; empty if there was nothing to capture."
    )
    stages: int = 0
    encoder: str = ""
    encoder_reason: str = ""
    segments: int = 0
    cells: int = Field(default=0, description="Pieces of about ten seconds that the video was made of.")
    cells_reused: int = Field(default=0, description="Of these, found in the store instead of rendered.")
    seconds: dict[str, float] = Field(default_factory=dict, description="Wall time by stage of the render.")
    capture_milliseconds: dict[str, float] = Field(
        default_factory=dict, description="Time inside the page by kind of work."
    )
    first_frame_seconds: float | None = Field(default=None, description="From the start to the first encoded frame.")
    peak_memory_mb: float = Field(
        default=0.0, description="Memory of all processes of the render together, at its peak, MiB."
    )
    memory_trend: MemoryTrend = "unknown"
    streaming: StreamingStatistics = Field(default_factory=StreamingStatistics)
    browser_restarts: int = 0
    warnings: list[str] = Field(default_factory=list)
    concerns: list[str] = Field(
        default_factory=list,
        description="Those of the warnings that a person should look at; the others tell of what was put right.",
    )
