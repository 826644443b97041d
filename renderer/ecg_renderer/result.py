"""What a finished render says about itself; `ecg-render run --json` prints it."""

from __future__ import annotations

from pydantic import Field

from ecg_api.base import ApiModel


class StreamingStatistics(ApiModel):
    """What went through the frame queues of all FFmpeg runs."""

    processed_frames: int = 0
    dropped_frames: int = 0
    drop_rate: float = 0.0
    peak_queue_memory_mb: float = 0.0
    waited_seconds: float = Field(default=0.0, description="How long the browser waited for room in the queue.")


class RenderResult(ApiModel):
    """The result of a whole job."""

    output: str
    frames: int
    frames_dropped: int
    distinct_frames: int = Field(description="Caption pictures that differ from the one before.")
    duration_seconds: float
    width: int
    height: int
    rate: str
    size_bytes: int
    sha256: str
    capture: str = Field(description="How pictures left the browser; empty if there was nothing to capture.")
    stages: int
    encoder: str
    encoder_reason: str
    segments: int
    cells: int
    cells_reused: int = Field(description="Cells that were found in the store instead of rendered.")
    seconds: dict[str, float] = Field(description="Wall time by stage of the render.")
    capture_milliseconds: dict[str, float] = Field(description="Time inside the page by kind of work.")
    first_frame_seconds: float | None = Field(description="From the start to the first encoded frame.")
    peak_memory_mb: float = Field(description="Memory of all processes of the render together, at its peak, MiB.")
    memory_trend: str = Field(description="increasing, stable, decreasing or unknown.")
    streaming: StreamingStatistics
    browser_restarts: int
    warnings: list[str]
