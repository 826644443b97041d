"""Lines of the log that alarms of an earlier deployment look for, word by word; nothing else depends on them."""

from __future__ import annotations

import logging
import socket
import threading
from urllib.parse import urlsplit

from ecg_api.failures import Failure, FailureCode
from ecg_api.status import RenderMetrics

REDIS_PORT = 6379
REDIS_SECONDS = 3.0
log = logging.getLogger(__name__)


def look_for_redis(url: str) -> threading.Thread | None:
    """Connect to the Redis at `url` in a thread of its own and log if nobody is there; None without a `url`.

    Nothing else of it is used.
    """
    if not url:
        return None
    thread = threading.Thread(target=_look, args=(url,), name="redis", daemon=True)
    thread.start()
    return thread


def _look(url: str) -> None:
    parts = urlsplit(url)
    try:
        if parts.scheme == "unix":
            with socket.socket(socket.AF_UNIX) as local:
                local.settimeout(REDIS_SECONDS)
                local.connect(parts.path)
        else:
            socket.create_connection((parts.hostname or "", parts.port or REDIS_PORT), REDIS_SECONDS).close()
    except (OSError, ValueError) as error:
        log.warning("❌ Redis connection failed: %s. Jobs go on: the queue needs no Redis.", error)


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
