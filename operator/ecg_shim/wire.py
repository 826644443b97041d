"""What goes over the wire: each reply by its name, and the one request, as OpenAPI describes it.

Names and types are those of the earlier render server; clients know them. Replies may gain fields, never lose one.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer

from ecg_shim.model import JobState, JobStatus, QueueState, below, live_path, told_output

JOB_ID_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._~:@+=-]{0,127}$"


class Reply(BaseModel):
    """A JSON reply."""

    model_config = ConfigDict(frozen=True)


class Accepted(Reply):
    """The request is taken; whatever becomes of it is told by callback."""

    status: Literal["accepted"] = "accepted"
    job_id: str
    message: str = "Job queued for processing"
    estimated_time: int = Field(ge=0, description="Seconds until the video is ready, from measured render times.")


class LegacyAccepted(Reply):
    """The same, as the first version of the render server said it."""

    status: Literal["accepted"] = "accepted"
    job_id: str
    message: str = "Job queued for processing"


class StatusReply(Reply):
    """Where a job stands."""

    job_id: str
    status: JobStatus
    progress: int = Field(ge=0, le=100)
    message: str
    download_url: str | None
    error_message: str | None
    error_code: str | None
    estimated_time_remaining: int | None = Field(description="Seconds; null while not known.")
    file_size: int | None
    duration: float | None = Field(description="Length of the video in seconds.")
    frames_processed: int
    frames_dropped: int
    drop_rate: float = Field(ge=0, le=1)
    memory_peak_mb: float
    memory_trend: str
    live_url: str | None = Field(
        default=None, description="Playlist (HLS) by which it can be watched; absent unless options.live said so."
    )
    outputs: list[dict[str, Any]] = Field(
        default_factory=list,
        description="Results of a job with renditions: once they are written all; before, and of a job that ends "
        "without, only those that cannot be made. Absent: none of these.",
    )

    @model_serializer(mode="wrap")
    def _without_nothing(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        told: dict[str, Any] = handler(self)
        for name, asked_for in (("live_url", self.live_url), ("outputs", self.outputs)):
            if not asked_for:
                told.pop(name, None)
        return told

    @classmethod
    def of(cls, state: JobState, base: str = "") -> StatusReply:
        """Return the reply for a job to who knows the service at the address `base`."""
        state = state.told_at(base)
        failure, output, metrics = state.failure, state.output, state.metrics
        return cls(
            job_id=state.job_id,
            status=state.status,
            progress=state.progress,
            message=f"Job is {state.status}",
            download_url=output.url if output else None,
            error_message=failure.message if failure else None,
            error_code=failure.code if failure else None,
            estimated_time_remaining=state.eta_seconds,
            file_size=output.size_bytes if output else None,
            duration=output.duration_seconds if output else None,
            frames_processed=metrics.frames_processed,
            frames_dropped=metrics.frames_dropped,
            drop_rate=metrics.drop_rate,
            memory_peak_mb=metrics.memory_peak_mb,
            memory_trend=metrics.memory_trend,
            outputs=[told_output(output) for output in state.outputs],
            live_url=below(base, live_path(state.job_id)) if state.live else None,
        )


class JobReply(StatusReply):
    """A job in the list of the status page."""

    detail: str = Field(description="What the job is doing, for a person.")
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None

    @classmethod
    def of(cls, state: JobState, base: str = "") -> JobReply:
        """Return the entry for a job to who knows the service at the address `base`."""
        reply = StatusReply.of(state, base).model_dump()
        return cls(
            **reply,
            detail=state.noted(state.message),
            created_at=state.created_at,
            started_at=state.started_at,
            finished_at=state.finished_at,
        )


class JobsReply(Reply):
    """The newest jobs first."""

    jobs: list[JobReply]


class SuccessReply(Reply):
    """Whether something was done, and a sentence about it."""

    success: bool
    message: str


class QueueDetails(Reply):
    """Numbers of jobs."""

    queue_size: int = Field(ge=0, description="Jobs that wait.")
    active_jobs: int = Field(ge=0, description="Jobs that are being rendered.")
    total_jobs: int = Field(ge=0, description="All jobs that are remembered, finished ones included.")
    max_concurrent: int = Field(ge=0)

    @classmethod
    def of(cls, queue: QueueState) -> QueueDetails:
        """Return the numbers of a queue."""
        return cls(
            queue_size=queue.pending,
            active_jobs=queue.processing,
            total_jobs=queue.total,
            max_concurrent=queue.max_concurrent,
        )


class QueueReply(Reply):
    """How busy the service is."""

    pending_jobs: int = Field(ge=0)
    processing_jobs: int = Field(ge=0)
    estimated_wait_time: int = Field(ge=0, description="Seconds until a job sent now would begin, as measured.")
    detailed_status: QueueDetails


class Streaming(Reply):
    """What the pipelines did."""

    pipeline_active: bool = False
    total_frames_processed: int = 0
    total_frames_dropped: int = 0
    average_drop_rate: float = 0.0


class Memory(Reply):
    """Memory of the process and of the machine; null where it cannot be measured."""

    process_mb: float | None = None
    system_available_gb: float | None = None
    gpu_available_gb: float | None = None


class HealthReply(Reply):
    """How the service is. Unhealthy is told with status 200, too: load balancers ask for the code only."""

    status: Literal["healthy", "unhealthy"]
    problems: list[str] = Field(description="What is wrong and what to do; empty when healthy.")
    mode: str
    version: str
    worker_id: str
    gpu_count: int
    available_memory: str = Field(description="Free memory, of the GPUs if there are any: such as 11.2GB.")
    queue_length: int
    timestamp: datetime
    queue: QueueDetails
    gpu: dict[str, dict[str, float | str]] = Field(description="For each GPU: allocated_gb, reserved_gb.")
    workers: int = Field(description="Renders that may run at the same time.")
    parallel_rendering: bool
    browser_pool_size: int
    streaming: Streaming
    memory: Memory


class ErrorReply(Reply):
    """Why a request was refused."""

    detail: str
    error_code: str | None = None


class BodyProblem(Reply):
    """One problem of a request's body."""

    type: str
    loc: list[str | int]
    msg: str


class BodyProblems(Reply):
    """Why a body was not accepted."""

    detail: list[BodyProblem]


_JOB_ID = {"type": "string", "pattern": JOB_ID_PATTERN}
_CALLBACK_URL = {"type": "string", "pattern": r"^https?://[A-Za-z0-9.-]+(:[0-9]{1,4})?(/[A-Za-z0-9/_-]{0,1000})?$"}
_SAME = {"description": "The same, where the first is missing or null."}


def _first_of(first: str, second: str, value: dict[str, Any]) -> dict[str, Any]:
    """Describe that `first` counts, or, where it is missing or null, `second`."""
    return {
        "anyOf": [
            {"required": [first], "properties": {first: value}},
            {"required": [second], "properties": {first: {"type": "null"}, second: value}},
        ]
    }


RENDER_REQUEST: dict[str, Any] = {
    "type": "object",
    "description": "Names may be in camelCase or snake_case; unknown ones are passed over. What cannot be rendered is "
    "accepted and told by callback, since only then a backend learns why.",
    "properties": {
        "jobId": {"description": "Text: the client's name for the job, such as a UUID."},
        "job_id": _SAME,
        "videoUrl": {"description": "Address of the source video; null: looked up in the backend's database."},
        "video_url": _SAME,
        "sourceVideoUrl": _SAME,
        "scenario": {"description": "MotionText scenario, at most 5 MB of JSON: 2.0, 1.3 or a flat list of cues."},
        "options": {
            "description": "width 1920, height 1080, fps 30, quality 90 (10 to 100), format mp4 (mov, webm); "
            "also fit, focus, layout, preset, codec, encoder, deinterlace, dynamicRange, framePolicy, softSubtitles, "
            "unknownPlugins; live (true: it can be watched meanwhile); and renditions, a list of {name, content, "
            "width, height, fit, focus, codec, quality} with file names such as vertical.mp4."
        },
        "callbackUrl": {"description": "Where the job's progress and end are posted to: http:// or https://."},
        "callback_url": _SAME,
    },
    "allOf": [_first_of("jobId", "job_id", _JOB_ID), _first_of("callbackUrl", "callback_url", _CALLBACK_URL)],
    "example": {
        "jobId": "0b9f7c1e-5a52-4a9e-8d0e-3f0a35a3f6aa",
        "videoUrl": "https://example.com/talk.mp4",
        "scenario": {"cues": [{"text": "Hello", "start": 0.5, "end": 2.5}]},
        "options": {"width": 1280, "height": 720},
        "callbackUrl": "http://localhost:8000/api/render/callback",
    },
}
