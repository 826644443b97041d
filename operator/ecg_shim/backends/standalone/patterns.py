"""Lines of the log that monitoring looks for, word by word; renderers say some of them in other words."""

from __future__ import annotations

import logging

from ecg_api.failures import Failure, FailureCode
from ecg_api.status import RenderMetrics

log = logging.getLogger(__name__)


def say_statistics(metrics: RenderMetrics) -> None:
    """Log what a finished render counted."""
    counted = {
        "dropped_frames": metrics.frames_dropped,
        "processed_frames": metrics.frames_processed,
        "drop_rate": metrics.drop_rate,
    }
    log.info("✅ Pipeline stats: %s", counted)


def say_warning(job_id: str, text: str) -> None:
    """Log a warning of a renderer."""
    sign = "⚠️ " if text.startswith("Memory limit exceeded. Dropping frame") else ""
    log.warning("%s%s (job %s)", sign, text, job_id)


def say_failure(job_id: str, number: int, failure: Failure) -> None:
    """Log why a try, the job's `number`-th, has failed."""
    if failure.code is FailureCode.FFMPEG_ERROR:
        nvenc = "Cannot load nvenc encoder. " if "NVENC" in failure.message else ""
        log.error("❌ FFmpeg error: %s%s", nvenc, failure.message)
    log.error("Job %s, try %d: %s: %s", job_id, number, failure.code, failure.message)
    for line in failure.log_tail[-5:]:
        log.error("  | %s", line)
