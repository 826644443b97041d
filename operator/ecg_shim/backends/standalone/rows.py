"""Rows of the queue's tables, and what they mean."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from sqlite3 import Connection, Row
from typing import Any

from ecg_api.failures import Failure
from ecg_api.status import RenderMetrics
from ecg_shim.backends.storage import SignedOutput
from ecg_shim.model import JobState, JobStatus, Output

MIGRATIONS = (
    """
    CREATE TABLE jobs (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        job_id TEXT NOT NULL UNIQUE,
        status TEXT NOT NULL,
        version INTEGER NOT NULL,
        created_at REAL NOT NULL,
        started_at REAL,
        finished_at REAL,
        payload_hash TEXT NOT NULL,
        callback_url TEXT NOT NULL,
        video_url TEXT NOT NULL,
        options TEXT NOT NULL,
        progress INTEGER NOT NULL DEFAULT 0,
        message TEXT NOT NULL DEFAULT '',
        eta REAL,
        output TEXT,
        failure TEXT,
        metrics TEXT,
        attempts INTEGER NOT NULL DEFAULT 0,
        not_before REAL NOT NULL DEFAULT 0,
        spent REAL NOT NULL DEFAULT 0
    );
    CREATE INDEX jobs_by_status ON jobs (status, seq);
    CREATE TABLE tombstones (job_id TEXT PRIMARY KEY, until REAL NOT NULL);
    CREATE TABLE renders (id INTEGER PRIMARY KEY, seconds REAL NOT NULL)
    """,
)


@dataclass(frozen=True)
class Job:
    """A job with what only its renderer must know. `options` is RequestOptions as JSON; `seq` is never used again."""

    state: JobState
    seq: int
    video_url: str
    options: str
    attempts: int
    spent: float


def row_of(connection: Connection, job_id: str) -> Any:
    """Return the row of a job, or None."""
    return connection.execute("SELECT * FROM jobs WHERE job_id = ?", (job_id,)).fetchone()


def next_version(before: Row | None) -> int:
    """Return a version for a row that is about to change."""
    # By the clock: higher than before even if the last changes were lost with the machine's power.
    return max(int(time.time() * 1000), before["version"] + 1 if before else 0)


def job_of(row: Row) -> Job:
    """Return the job that a row holds."""
    return Job(state_of(row), row["seq"], row["video_url"], row["options"], row["attempts"], row["spent"])


def state_of(row: Row) -> JobState:
    """Return where the job of a row stands."""
    return JobState(
        job_id=row["job_id"],
        status=JobStatus(row["status"]),
        version=row["version"],
        created_at=_instant(row["created_at"]),
        progress=row["progress"],
        message=row["message"],
        eta_seconds=None if row["eta"] is None else round(row["eta"]),
        output=load_output(row["output"]) if row["output"] else None,
        failure=Failure.model_validate_json(row["failure"]) if row["failure"] else None,
        metrics=RenderMetrics.model_validate_json(row["metrics"]) if row["metrics"] else RenderMetrics(),
        callback_url=row["callback_url"],
        payload_hash=row["payload_hash"],
        started_at=_instant(row["started_at"]) if row["started_at"] else None,
        finished_at=_instant(row["finished_at"]) if row["finished_at"] else None,
        live=json.loads(row["options"]).get("live", False),
    )


def _instant(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def dump_output(output: Output) -> str:
    """Return an output as text for its column."""
    value = {"url": output.url, "size": output.size_bytes, "seconds": output.duration_seconds}
    path = str(output.path) if output.path else None
    uri, signed = (output.uri, output.signed) if isinstance(output, SignedOutput) else (None, "")
    return json.dumps({**value, "path": path, "uri": uri, "signed": signed})


def load_output(text: str) -> Output:
    """Return the output that a column holds."""
    value = json.loads(text)
    if uri := value.get("uri"):
        return SignedOutput(value["url"], value["size"], value["seconds"], uri=uri, signed=value.get("signed", ""))
    path = Path(value["path"]) if value["path"] else None
    return Output(value["url"], value["size"], value["seconds"], path)
