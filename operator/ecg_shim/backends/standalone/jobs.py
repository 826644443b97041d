"""The table of jobs, and their life: each function is one transaction; here alone a job changes its status.

queued ─> processing ─> completed | failed
   └──────────┴───────> cancelled

What has ended never changes again, so whoever comes first, a client who cancels or a renderer that ends, wins.
Clients name a job by its id; renderers by its `seq`, which a later job of the same id does not share.
"""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from sqlite3 import Connection, Row
from typing import Any

from pydantic import TypeAdapter

from ecg_api.failures import Failure
from ecg_api.status import RenderMetrics, RenditionStatus
from ecg_shim.backends.storage import SignedOutput
from ecg_shim.model import Conflict, JobState, JobStatus, Output

_OUTPUTS: TypeAdapter[list[RenditionStatus]] = TypeAdapter(list[RenditionStatus])

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
    "ALTER TABLE jobs ADD COLUMN outputs TEXT",
    "ALTER TABLE jobs ADD COLUMN warnings TEXT",
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
        outputs=tuple(_OUTPUTS.validate_json(row["outputs"])) if row["outputs"] else (),
        failure=Failure.model_validate_json(row["failure"]) if row["failure"] else None,
        metrics=RenderMetrics.model_validate_json(row["metrics"]) if row["metrics"] else RenderMetrics(),
        callback_url=row["callback_url"],
        payload_hash=row["payload_hash"],
        started_at=_instant(row["started_at"]) if row["started_at"] else None,
        finished_at=_instant(row["finished_at"]) if row["finished_at"] else None,
        warnings=tuple(json.loads(row["warnings"])) if row["warnings"] else (),
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


def dump_outputs(outputs: Sequence[RenditionStatus]) -> str | None:
    """Return all results of a job with renditions as text for their column."""
    return _OUTPUTS.dump_json(list(outputs)).decode() if outputs else None


def load_output(text: str) -> Output:
    """Return the output that a column holds."""
    value = json.loads(text)
    if uri := value.get("uri"):
        return SignedOutput(value["url"], value["size"], value["seconds"], uri=uri, signed=value.get("signed", ""))
    path = Path(value["path"]) if value["path"] else None
    return Output(value["url"], value["size"], value["seconds"], path)


WAITING = "Waiting for a free renderer"
CANCELLED = "Cancelled"
COMPLETED = "Rendering completed successfully"
MEASUREMENTS = 50


@dataclass(frozen=True)
class NewJob:
    """A job to put into the queue, or to note as failed."""

    job_id: str
    payload_hash: str
    callback_url: str
    video_url: str
    options: str
    failure: Failure | None = None


@dataclass(frozen=True)
class Moment:
    """What a renderer says about itself while it works. `eta` and `spent` are in seconds."""

    progress: int
    message: str
    eta: float
    metrics: RenderMetrics
    spent: float


def repeated(there: JobState | None, payload_hash: str) -> JobState | None:
    """Return the job that a POST repeats, None if it asks for a new one. Raises Conflict."""
    if there is None or there.payload_hash == payload_hash:
        return there
    if not there.status.terminal:
        raise Conflict(f"Job {there.job_id} is {there.status} with other content; wait for its end or cancel it.")
    return None


def put(connection: Connection, job: NewJob) -> JobState:
    """Put a job into the queue; what is cancelled or failed already is noted as such. Raises Conflict."""
    before = row_of(connection, job.job_id)
    there = repeated(state_of(before) if before else None, job.payload_hash)
    if there:
        return there
    now = time.time()
    connection.execute("DELETE FROM jobs WHERE job_id = ?", (job.job_id,))
    failure = None
    status, message = JobStatus.QUEUED, WAITING
    if _take_tombstone(connection, job.job_id, now):
        status, message = JobStatus.CANCELLED, CANCELLED
    elif job.failure:
        status, message, failure = JobStatus.FAILED, job.failure.message, job.failure.model_dump_json()
    connection.execute(
        "INSERT INTO jobs (job_id, status, version, created_at, finished_at, payload_hash, callback_url, video_url,"
        " options, message, failure) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            *(job.job_id, status, next_version(before), now, now if status.terminal else None),
            *(job.payload_hash, job.callback_url, job.video_url, job.options, message, failure),
        ),
    )
    return state_of(row_of(connection, job.job_id))


def cancel(connection: Connection, job_id: str, remember_seconds: float) -> JobState | None:
    """Cancel a job and return it; None if it has ended, or is not known: then its id is remembered."""
    row = row_of(connection, job_id)
    if row is None:
        until = time.time() + remember_seconds
        connection.execute("INSERT OR REPLACE INTO tombstones VALUES (?, ?)", (job_id, until))
        return None
    return _change(connection, row["seq"], status=JobStatus.CANCELLED, message=CANCELLED, **_over())


def cancel_waiting(connection: Connection) -> list[JobState]:
    """Cancel every job that has not begun."""
    rows = connection.execute("SELECT seq FROM jobs WHERE status = 'queued' ORDER BY seq").fetchall()
    values = {"status": JobStatus.CANCELLED, "message": CANCELLED, **_over()}
    states = [_change(connection, row["seq"], **values) for row in rows]
    return [state for state in states if state]


def next_job(connection: Connection, running: Collection[str]) -> Job | None:
    """Return the job to render next: first those that had begun, then by age; none of `running`."""
    marks = ",".join("?" * len(running))
    row = connection.execute(
        f"SELECT * FROM jobs WHERE status IN ('queued', 'processing') AND not_before <= ? AND job_id NOT IN ({marks})"  # noqa: S608
        " ORDER BY status = 'queued', seq LIMIT 1",
        (time.time(), *running),
    ).fetchone()
    return job_of(row) if row else None


def seconds_to_retry(connection: Connection) -> float | None:
    """Return when the next job may be tried again, in seconds from now; None if none waits for that."""
    now = time.time()
    row = connection.execute(
        "SELECT MIN(not_before) FROM jobs WHERE status IN ('queued', 'processing') AND not_before > ?", (now,)
    ).fetchone()
    return None if row[0] is None else max(0.0, float(row[0]) - now)


def begin(connection: Connection, seq: int, message: str, eta: float) -> Job | None:
    """Note that a try of a job begins; None if the job has ended meanwhile."""
    row = _row(connection, seq)
    if row is None:
        return None
    begun = _change(
        connection,
        seq,
        status=JobStatus.PROCESSING,
        started_at=row["started_at"] or time.time(),
        attempts=row["attempts"] + 1,
        progress=max(1, row["progress"]),
        message=message,
        eta=eta,
    )
    return job_of(_row(connection, seq)) if begun else None


def advance(connection: Connection, seq: int, moment: Moment) -> JobState | None:
    """Note how far a running job is; None if it has ended meanwhile. Progress never goes back."""
    row = _row(connection, seq)
    if row is None:
        return None
    return _change(
        connection,
        seq,
        progress=min(99, max(row["progress"], moment.progress)),
        message=moment.message,
        eta=moment.eta,
        metrics=moment.metrics.model_dump_json(),
        spent=moment.spent,
    )


def postpone(
    connection: Connection, seq: int, tries: int, message: str, seconds: float, spent: float
) -> JobState | None:
    """Let a job wait for its next try after so many `tries`; None if it has ended meanwhile."""
    values = {"attempts": tries, "message": message, "eta": None, "spent": spent}
    return _change(connection, seq, not_before=time.time() + seconds, **values)


def hand_back(connection: Connection, seq: int, spent: float) -> JobState | None:
    """Note that a try was broken off by the end of the service: it does not count."""
    row = _row(connection, seq)
    return _change(connection, seq, attempts=max(0, row["attempts"] - 1), spent=spent) if row else None


def complete(
    connection: Connection,
    seq: int,
    output: Output,
    metrics: RenderMetrics,
    seconds: float | None,
    outputs: Sequence[RenditionStatus] = (),
    warnings: Sequence[str] = (),
) -> JobState | None:
    """Note a finished video and, if measured, the seconds it took; None if the job has ended otherwise."""
    values = {
        "output": dump_output(output),
        "outputs": dump_outputs(outputs),
        "metrics": metrics.model_dump_json(),
        "warnings": json.dumps(warnings) if warnings else None,
    }
    status = {"status": JobStatus.COMPLETED, "progress": 100, "message": COMPLETED}
    done = _change(connection, seq, **status, **values, **_over())
    if done and seconds is not None:
        connection.execute("INSERT INTO renders (seconds) VALUES (?)", (seconds,))
        connection.execute("DELETE FROM renders WHERE id <= (SELECT MAX(id) FROM renders) - ?", (MEASUREMENTS,))
    return done


def fail(
    connection: Connection,
    seq: int,
    failure: Failure,
    output: Output | None = None,
    outputs: Sequence[RenditionStatus] = (),
) -> JobState | None:
    """Note why a job has failed, and which of its results are there; None if it has ended otherwise."""
    status = {"status": JobStatus.FAILED, "message": failure.message}
    there = {"output": dump_output(output) if output else None, "outputs": dump_outputs(outputs)}
    return _change(connection, seq, **status, **there, failure=failure.model_dump_json(), **_over())


def everything(connection: Connection) -> list[JobState]:
    """Return all jobs, the oldest first."""
    return [state_of(row) for row in connection.execute("SELECT * FROM jobs ORDER BY seq")]


def measured(connection: Connection) -> list[float]:
    """Return the seconds that the last renders took, the oldest first."""
    return [float(row[0]) for row in connection.execute("SELECT seconds FROM renders ORDER BY id")]


def forget(connection: Connection, ended_before: float, keep: Collection[str]) -> list[str]:
    """Remove jobs that ended before a time, but none of `keep`, and tombstones that are over; return the jobs' ids."""
    connection.execute("DELETE FROM tombstones WHERE until < ?", (time.time(),))
    marks = ",".join("?" * len(keep))
    rows = connection.execute(
        "DELETE FROM jobs WHERE status IN ('completed', 'failed', 'cancelled') AND finished_at < ?"  # noqa: S608
        f" AND job_id NOT IN ({marks}) RETURNING job_id",
        (ended_before, *keep),
    )
    return [row["job_id"] for row in rows.fetchall()]


def _over() -> dict[str, Any]:
    return {"eta": None, "finished_at": time.time()}


def _change(connection: Connection, seq: int, **values: Any) -> JobState | None:
    """Set columns of a job that has not ended, with a higher version; None if it has ended or is gone."""
    row = _row(connection, seq)
    if row is None or JobStatus(row["status"]).terminal:
        return None
    values["version"] = next_version(row)
    columns = ", ".join(f"{name} = ?" for name in values)
    connection.execute(f"UPDATE jobs SET {columns} WHERE seq = ?", (*values.values(), seq))  # noqa: S608
    return state_of(_row(connection, seq))


def _row(connection: Connection, seq: int) -> Any:
    return connection.execute("SELECT * FROM jobs WHERE seq = ?", (seq,)).fetchone()


def _take_tombstone(connection: Connection, job_id: str, now: float) -> bool:
    row = connection.execute("DELETE FROM tombstones WHERE job_id = ? RETURNING until", (job_id,)).fetchone()
    return row is not None and row["until"] >= now
