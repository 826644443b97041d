"""What a RenderJob's status says. Conditions are the truth; phase, reason, eta and summary are for people."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, computed_field

from ecg_api.base import StoredModel
from ecg_api.conditions import Condition
from ecg_api.failures import Failure
from ecg_api.ranges import parse_ranges


class Phase(StrEnum):
    """Where a job stands, in one word."""

    PENDING = "Pending"
    PLANNING = "Planning"
    RENDERING = "Rendering"
    MERGING = "Merging"
    SUSPENDED = "Suspended"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    CANCELLED = "Cancelled"


class CallbackState(StrEnum):
    """How far telling the backend has come."""

    PENDING = "Pending"
    RETRYING = "Retrying"
    DELIVERED = "Delivered"
    DEAD = "Dead"


class Progress(StoredModel):
    """How much is rendered and how fast."""

    frames_done: int = Field(default=0, ge=0, description="Frames of the result rendered so far.")
    frames_total: int = Field(default=0, ge=0, description="Frames of the whole result.")
    percent: int = Field(default=0, ge=0, le=100, description="Whole percent; 100 only when the job has succeeded.")
    frames_per_second: float = Field(
        default=0,
        ge=0,
        description="Speed of all segments together; their average, start-up included, when they are over.",
    )
    eta_seconds: int | None = Field(default=None, ge=0, description="Seconds to go. Absent: not known.")

    @computed_field(description="Time to go, for people: 75 s is 1m15s.")  # type: ignore[prop-decorator]
    @property
    def eta(self) -> str:
        """Time to go, for people: 75 s is `1m15s`; empty when not known."""
        if self.eta_seconds is None:
            return ""
        minutes, seconds = divmod(self.eta_seconds, 60)
        hours, minutes = divmod(minutes, 60)
        if hours:
            return f"{hours}h{minutes:02}m"
        return f"{minutes}m{seconds:02}s" if minutes else f"{seconds}s"


class SegmentCounts(StoredModel):
    """How many segments are in which state."""

    total: int = Field(default=0, ge=0, description="Segments of the plan.")
    active: int = Field(default=0, ge=0, description="Segments with a running pod.")
    succeeded: int = Field(default=0, ge=0, description="Segments in storage, reused ones included.")
    failed: int = Field(
        default=0,
        ge=0,
        description="Segments given up: those that cannot be rendered, and unfinished ones of the same size.",
    )
    reused: int = Field(default=0, ge=0, description="Segments found in storage instead of rendered.")

    @computed_field(description="Finished of all, for people: 3/8.")  # type: ignore[prop-decorator]
    @property
    def summary(self) -> str:
        """Finished of all segments, for people: `3/8`."""
        return f"{self.succeeded}/{self.total}"


class PlanSummary(StoredModel):
    """What the plan found out; the whole plan is in storage."""

    uri: str = Field(default="", description="Where the plan is stored.")
    width: int = Field(ge=1, description="Width of the result, in pixels.")
    height: int = Field(ge=1, description="Height of the result, in pixels.")
    rate: str = Field(description="Frames per second of the result, as a fraction such as 30000/1001.")
    frames: int = Field(ge=1, description="Frames of the result.")
    frames_to_render: int = Field(
        default=0, ge=0, description="Frames of all results with pictures; absent or 0: those of the one result."
    )
    distinct_frames: int = Field(default=0, ge=0, description="Different caption pictures, estimated.")
    cells: int = Field(default=0, ge=0, description="Pieces of about ten seconds that the video has.")
    cells_reused: int = Field(default=0, ge=0, description="Of these, in storage when the job was planned.")
    estimated_seconds: float = Field(default=0, ge=0, description="Rendering time of all segments, estimated.")
    warnings: list[str] = Field(default_factory=list, description="What was repaired or could not be kept.")
    live_uri: str | None = Field(default=None, description="What there is to watch, for the HTTP service.")


class LiveStatus(StoredModel):
    """Watching the video while it renders."""

    url: str = Field(description="Playlist (HLS) of what is finished, as the HTTP service hands it out.")


class StorageStatus(StoredModel):
    """The place of a job's results, as it was chosen when the job was let in."""

    profile: str = Field(description="Storage profile.")
    bucket: str = Field(description="Its bucket then; the job ends if it is another one later.")


class ReplicaStatus(StoredModel):
    """The copy of a result at a second place, as the storage profile of the first says."""

    profile: str = Field(description="Storage profile of the second place.")
    uri: str = Field(description="Where the copy is; with a problem, where it would be.")
    problem: str = Field(default="", description="Why it is missing.")


class OutputStatus(StoredModel):
    """The finished video."""

    uri: str = Field(description="Where the video is.")
    url: str | None = Field(default=None, description="Address under which people can fetch it, public or presigned.")
    size_bytes: int = Field(ge=0, description="Size of the file, in bytes.")
    duration_seconds: float = Field(ge=0, description="Length, in seconds.")
    frames: int = Field(ge=0, description="Frames, as counted in the file.")
    sha256: str = Field(description="SHA-256 of the file, 64 hexadecimal digits.")
    replica: ReplicaStatus | None = Field(default=None, description="Its copy. Absent: no copy was asked for.")


MemoryTrend = Literal["stable", "increasing", "decreasing", "unknown"]


class CaptionsBox(StoredModel):
    """The part of the picture in which captions are seen, in pixels."""

    x: int = Field(ge=0, description="Left edge, from the left of the picture.")
    y: int = Field(ge=0, description="Upper edge, from the top of the picture.")
    width: int = Field(ge=0, description="Width; 0: no captions are seen.")
    height: int = Field(ge=0, description="Height.")


class RenditionStatus(StoredModel):
    """One of a job's results: finished, or failed."""

    name: str = Field(description="Its name in the manifest; main is the video at spec.output.")
    content: str = Field(default="", description="video, captions or subtitles.")
    uri: str = Field(description="Where it is; with a failure, where it would be.")
    url: str | None = Field(default=None, description="Address under which people can fetch it, public or presigned.")
    size_bytes: int = Field(default=0, ge=0, description="Size of the file, in bytes; of a folder, of all its files.")
    frames: int = Field(default=0, ge=0, description="Frames, as counted in the file; 0 for subtitles.")
    sha256: str = Field(default="", description="SHA-256 of the file, 64 hexadecimal digits; empty for a folder.")
    box: CaptionsBox | None = Field(
        default=None, description="Of captions alone: where in the picture they are, for editors that place a part."
    )
    failure: Failure | None = Field(default=None, description="Why it is missing, and what to do about it.")
    replica: ReplicaStatus | None = Field(default=None, description="Its copy. Absent: no copy was asked for.")


class RenderMetrics(StoredModel):
    """What the renderers counted."""

    frames_processed: int = Field(default=0, ge=0, description="Frames rendered, repeated tries included.")
    frames_dropped: int = Field(default=0, ge=0, description="Frames that repeat the previous caption picture.")
    drop_rate: float = Field(default=0, ge=0, le=1, description="Dropped by processed frames, 0 to 1.")
    memory_peak_mb: float = Field(default=0, ge=0, description="Highest memory of one renderer, in MB.")
    memory_trend: MemoryTrend = Field(default="unknown", description="How memory moved during the render.")


class Cost(StoredModel):
    """What the nodes of a job's pods cost while they ran, by the operator's table of prices; arithmetic, no bill."""

    currency: str = Field(default="USD", description="Of all amounts, three letters.")
    total_micros: int = Field(default=0, ge=0, description="All pods together, in millionths of the currency.")
    wasted_micros: int = Field(default=0, ge=0, description="Part of it for pods whose result was lost.")
    per_minute_micros: int | None = Field(
        default=None, ge=0, description="The total by minutes of the finished video. Absent: there is none."
    )
    unpriced_pods: int = Field(default=0, ge=0, description="Pods whose node has no price; they are not in the total.")

    @computed_field(description="The total, for people: 0.0123 USD.")  # type: ignore[prop-decorator]
    @property
    def total(self) -> str:
        """The total for people, such as `0.0123 USD`."""
        return f"{self.total_micros / 1_000_000:.4f} {self.currency}"


class Usage(StoredModel):
    """What the job cost."""

    cells_total: int = Field(default=0, ge=0, description="Pieces of about ten seconds that the video has.")
    cells_reused: int = Field(default=0, ge=0, description="Of these, found in storage instead of rendered.")
    gpu_seconds: float = Field(default=0, ge=0, description="GPUs held times seconds, all pods together.")
    wasted_gpu_seconds: float = Field(default=0, ge=0, description="Part of it spent in pods whose result was lost.")
    cost: Cost | None = Field(default=None, description="In money. Absent: the operator knows no prices.")


class CallbackStatus(StoredModel):
    """How far telling the backend has come."""

    state: CallbackState = Field(default=CallbackState.PENDING, description="Dead: given up; can be sent again.")
    last_delivered: str | None = Field(default=None, description="Id of the last delivery that the backend accepted.")
    attempts: int = Field(default=0, ge=0, description="Posts made, failed ones included.")
    last_error: str | None = Field(default=None, description="Why the last failed post failed.")


class WorkFilesState(StrEnum):
    """Whether a job has work files in storage; Left: removing them failed."""

    NONE = "None"
    WRITTEN = "Written"
    REMOVED = "Removed"
    LEFT = "Left"


class LostPod(StoredModel):
    """A pod that Kubernetes took away."""

    pod: str = Field(description="Its name.")
    node: str = Field(default="", description="Where it was; empty: it had no node yet.")
    take: int = Field(
        default=0, ge=0, description="Which of takes its segment was of; 0 also for pods that plan or merge."
    )


class TakeNotes(StoredModel):
    """One size of a job's pictures: its segments follow those of the size before."""

    segments: int = Field(ge=0, description="How many segments are rendered for it.")
    renditions: list[int] = Field(
        default_factory=list, description="Which of spec.renditions are made of it, counted from 0."
    )


def _checked_ranges(text: str) -> str:
    parse_ranges(text)
    return text


class Run(StoredModel):
    """What the operator must remember between two looks at a job, and cannot read off its children."""

    admitted_at: datetime | None = Field(default=None, description="When the job was let in; its deadline runs.")
    finished_at: datetime | None = Field(default=None, description="When the job ended; its ttl runs.")
    waiting_since: datetime | None = Field(
        default=None, description="Since when pods wait for a node or an image; the pending deadline runs."
    )
    held_since: datetime | None = Field(
        default=None, description="Since when a queue (Kueue) holds the current Job back; no deadline runs."
    )
    round: int = Field(default=0, ge=0, description="The segment Job in use; a resume or a rescue starts another.")
    on_demand: bool = Field(default=False, description="Segments go to on-demand nodes only, after many disruptions.")
    on_demand_in_vain: bool = Field(
        default=False, description="No on-demand node took them: they go to any node again, and stay with that."
    )
    completed: Annotated[str, AfterValidator(_checked_ranges)] = Field(
        default="", description="Finished segments, as ranges: 0-3,7."
    )
    frames: int = Field(default=0, ge=0, description="Frames of the finished segments.")
    takes: list[TakeNotes] = Field(
        default_factory=list, description="The sizes of a job with renditions, that of the video at spec.output first."
    )
    given_up: list[int] = Field(
        default_factory=list, description="Which of takes cannot be rendered; what is made of the others still is."
    )
    settled: list[str] = Field(
        default_factory=list, description="Pods whose cost and outcome are taken in, by end of name."
    )
    disrupted: list[LostPod] = Field(default_factory=list, description="Pods lost to evictions and lost nodes.")
    redone: list[str] = Field(
        default_factory=list, description="Jobs run again because a report or a node was lost, by uid."
    )
    superseded: list[str] = Field(
        default_factory=list, description="Jobs of earlier plans, which counted on pieces that are gone, by uid."
    )
    unseen_since: datetime | None = Field(
        default=None, description="Since when a Job is over, but what its pod reported was not seen."
    )
    written_at: datetime | None = Field(
        default=None, description="When this status was last written; progress alone waits for a moment."
    )
    work_files: WorkFilesState = Field(
        default=WorkFilesState.NONE, description="Whether work files are in storage: None, Written, Removed or Left."
    )


class RenderJobStatus(StoredModel):
    """Where the job stands; written by the operator, but for what the HTTP service says of callbacks and of live."""

    observed_generation: int = Field(default=0, ge=0, description="metadata.generation that this is about.")
    phase: Phase = Field(default=Phase.PENDING, description="Where the job stands, in one word; derived, for people.")
    reason: str = Field(default="", description="Why it waits, or how it ended, in one word; derived, for people.")
    conditions: list[Condition] = Field(
        default_factory=list, description="The truth. Finished is true on success, failure and cancel."
    )
    start_time: datetime | None = Field(default=None, description="When the job was first let in.")
    completion_time: datetime | None = Field(default=None, description="When the job ended, in whatever way.")
    progress: Progress | None = Field(default=None, description="How much is rendered and how fast.")
    segments: SegmentCounts | None = Field(default=None, description="How many segments are in which state.")
    plan: PlanSummary | None = Field(default=None, description="What the plan found out.")
    encoder: str | None = Field(default=None, description="The encoder in use, such as nvenc, x264 or vp9.")
    encoder_reason: str | None = Field(default=None, description="Why this encoder and not another.")
    storage: StorageStatus | None = Field(
        default=None, description="Where results go, of a job that chooses by spec.storage; kept from admission on."
    )
    output: OutputStatus | None = Field(default=None, description="The finished video.")
    outputs: list[RenditionStatus] = Field(
        default_factory=list,
        description="Results of a job with renditions: once they are written all, the video at spec.output first; "
        "before, and of a job that ends without, only those that cannot be made.",
    )
    live: LiveStatus | None = Field(default=None, description="Where the video can be watched while it renders.")
    metrics: RenderMetrics | None = Field(default=None, description="What the renderers counted.")
    warnings: list[str] = Field(
        default_factory=list,
        description="What a person should look at: plugins and fonts that are missing or were switched off, text "
        "outside of the picture, damage. What was put right without a loss is in plan.warnings only.",
    )
    usage: Usage | None = Field(default=None, description="What the job cost.")
    failure: Failure | None = Field(default=None, description="Why the job failed, and what to do about it.")
    attempts: int = Field(default=0, ge=0, description="Pods started for segments, first tries included.")
    run: Run | None = Field(
        default=None, description="The operator's own notes. Internal: they change without notice, rely on none."
    )
    callback: CallbackStatus | None = Field(default=None, description="How far telling the backend has come.")
