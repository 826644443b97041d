"""What can be set about a standalone service."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

DAY = 86_400.0
LONGEST_PRESIGNED_SECONDS = 604_800


@dataclass(frozen=True)
class S3Target:
    """Where finished videos go instead of a local folder: `rendered/<job id>/output.<format>` in `bucket`.

    Attributes:
        public_base_url: address under which the bucket is published, such as a CDN's; without one, addresses are
            presigned.
        presign_seconds: for how long; S3 allows at most seven days.
        public_url: of this service; clients are then told an address below it, which leads to one signed anew.
    """

    bucket: str
    public_base_url: str | None = None
    presign_seconds: int = LONGEST_PRESIGNED_SECONDS
    public_url: str = ""


@dataclass(frozen=True)
class StandaloneSettings:
    """Settings of the backend. All times are in seconds.

    Attributes:
        folder: for the queue, scenarios and, without S3, the finished videos.
        work_folder: for finished pieces of video; `work` in `folder` if it is None.
        public_url: address of this service as browsers reach it; local videos are offered below it.
        max_concurrent: how many renders run at a time.
        job_seconds: rendering time after which a job has failed, all its tries together.
        attempts: how often a job is tried when its failure allows that.
        retry_seconds: wait before the second try; doubles with each further one, up to a minute.
        keep_seconds: how long finished jobs and local videos are kept.
        live_seconds: how long a job that has ended can still be watched by its playlist.
        tombstone_seconds: how long the cancellation of a job that is not there yet is remembered.
        stop_seconds: how long a renderer may take to end after SIGTERM; then it is killed.
        command: the renderer, to which `run <manifest> …` is added.
        environment: additions to what renderers inherit.
    """

    folder: Path
    work_folder: Path | None = None
    public_url: str = "http://localhost:8090"
    max_concurrent: int = 3
    job_seconds: float = 1800.0
    attempts: int = 3
    retry_seconds: float = 5.0
    keep_seconds: float = 7 * DAY
    live_seconds: float = 3600.0
    tombstone_seconds: float = 3600.0
    stop_seconds: float = 3.5
    s3: S3Target | None = None
    command: tuple[str, ...] = (sys.executable, "-m", "ecg_renderer")
    environment: Mapping[str, str] = field(default_factory=dict)
