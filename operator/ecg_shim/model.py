"""What passes between the HTTP surface, the backends that render, and the relay that calls back.

POST /render -> Submission -> Backend ─> JobState -> GET status
                                      └> JobState -> relay -> callbacks
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Protocol
from urllib.parse import quote

from pydantic import Field

from ecg_api.failures import Failure
from ecg_api.live import MASTER
from ecg_api.options import Options
from ecg_api.renditions import MOST_RENDITIONS, Rendition
from ecg_api.status import RenderMetrics, RenditionStatus
from ecg_shim.tasks import Tasks

LONGEST_NOTE = 1000

if TYPE_CHECKING:
    from ecg_shim.snapshot import Snapshot


def below(base: str, path: str) -> str:
    """Return the address of one of the service's paths, where the service is known at the address `base`."""
    return f"{base.rstrip('/')}{path}"


def download_path(job_id: str, name: str = "") -> str:
    """Return the path under which the service hands out the video of a job, or its rendition `name`, or leads to it."""
    return f"/api/render/{quote(job_id, safe='')}/download{f'/{quote(name)}' if name else ''}"


def live_path(job_id: str) -> str:
    """Return the path of the playlist by which a job can be watched while it renders."""
    return f"/api/render/{quote(job_id, safe='')}/{MASTER}"


class RequestOptions(Options):
    """What a request may ask for: the options of a RenderJob, and what has a place of its own in its spec."""

    live: bool = Field(default=False, description="Lets people watch what is finished while the rest renders.")

    storage: str = Field(
        default="", description="Storage profile for the results, or auto. Omitted: as the service is set."
    )
    renditions: Annotated[list[Rendition], Field(max_length=MOST_RENDITIONS)] = Field(
        default_factory=list, description="What else to make, as files beside the video."
    )

    def spec(self, output: str) -> dict[str, Any]:
        """Return the parts of a RenderJob's spec that say so; renditions lie beside `output`."""
        folder = output.rpartition("/")[0]
        options = self.model_dump(mode="json", exclude_none=True, include=set(Options.model_fields))
        placed = [one.model_copy(update={"uri": f"{folder}/{one.uri}"}) for one in self.renditions]
        renditions = [one.model_dump(mode="json", exclude_none=True) for one in placed]
        return {
            "options": options,
            **({"live": {}} if self.live else {}),
            **({"storage": {"profile": self.storage}} if output.startswith("s3:///") else {}),
            **({"renditions": renditions} if renditions else {}),
        }


class JobStatus(StrEnum):
    """Where a job stands, in the words of the service's clients."""

    QUEUED = "queued"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def terminal(self) -> bool:
        """Nothing follows."""
        return self in (JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED)


@dataclass(frozen=True)
class Submission:
    """A render that a client asked for.

    Attributes:
        video_url: None if the client gave none; a resolver may know it.
        scenario: JSON text as the client wrote it, at most 5 MB. It stays text until a renderer reads it: parsing and
            writing fifty of them would keep clients waiting for seconds.
        options: as the client wrote them; checked, with the service's defaults filled in, by `render_options`.
        payload_hash: SHA-256 of all that the result depends on; tells a repeated POST from a changed one.
    """

    job_id: str
    video_url: str | None
    scenario: bytes
    options: Mapping[str, Any]
    callback_url: str
    payload_hash: str


@dataclass(frozen=True)
class RenderOrder:
    """A checked submission: what a backend renders, once it was admitted.

    Attributes:
        video_url: empty if the client gave none; admission finds it.
        scenario: JSON text of an object, see Submission.
    """

    job_id: str
    video_url: str
    scenario: bytes
    options: RequestOptions
    callback_url: str
    payload_hash: str


@dataclass(frozen=True, slots=True)
class Output:
    """The finished video.

    Attributes:
        path: the file on this machine, or None if it is in storage.
        url: address that clients are told, under which a browser can fetch it.
    """

    url: str
    size_bytes: int
    duration_seconds: float
    path: Path | None = None


@dataclass(frozen=True)
class StoredPiece:
    """A piece of a live stream in storage: its size in bytes, and what reads from one byte up to another."""

    size: int
    read: Callable[[int, int], Awaitable[bytes]]


@dataclass(frozen=True)
class Streaming:
    """What a running renderer uses right now. `queue_size`: pictures that wait for the encoder, None if not known."""

    memory_mb: float
    queue_size: int | None = None


@dataclass(frozen=True, slots=True)
class JobState:
    """Where one job stands; `version` grows with every change, so that a relay can tell what it has told.

    Attributes:
        progress: whole percent, 0 to 100; 100 only when completed, and at least 1 once pods or processes run.
        eta_seconds: seconds to go, None while unknown.
        outputs: results of a job with renditions, the video first, failed ones included; until they are written only
            those that cannot be made.
        live: it can be watched while it renders.
        warnings: what a person should look at in the video: missing plugins and fonts, text outside of the picture.
    """

    job_id: str
    status: JobStatus
    version: int
    created_at: datetime
    progress: int = 0
    message: str = ""
    eta_seconds: int | None = None
    output: Output | None = None
    outputs: tuple[RenditionStatus, ...] = ()
    failure: Failure | None = None
    metrics: RenderMetrics = field(default_factory=RenderMetrics)
    streaming: Streaming | None = None
    callback_url: str = ""
    payload_hash: str = ""
    started_at: datetime | None = None
    finished_at: datetime | None = None
    live: bool = False
    warnings: tuple[str, ...] = ()

    def told_at(self, base: str) -> JobState:
        """Return the state for who knows the service at `base`: files here are told below it; with "" as they are."""
        if not base:
            return self
        output = self.output
        if output is not None and output.path is not None:
            output = replace(output, url=below(base, download_path(self.job_id)))
        outputs = (one if "://" in one.uri else told_under(base, self.job_id, one) for one in self.outputs)
        return replace(self, output=output, outputs=tuple(outputs))

    def noted(self, message: str) -> str:
        """Return what is told of a job: `message`, and of a finished one what to look at, as far as there is room."""
        said = "; ".join(self.warnings) if self.status is JobStatus.COMPLETED else ""
        told = said if len(said) <= LONGEST_NOTE else f"{said[:LONGEST_NOTE]}…"
        return f"{message}. To look at: {told}" if said else message


@dataclass(frozen=True)
class QueueState:
    """How busy the service is.

    Attributes:
        wait_seconds: until a job sent now would begin, from measured render times.
    """

    pending: int
    processing: int
    total: int
    max_concurrent: int
    wait_seconds: int


class Conflict(Exception):
    """The job id is in use for another, unfinished render."""


class Unavailable(Exception):
    """The backend can neither take nor tell jobs now; the text says why and what to do."""


class Full(Exception):
    """So much is stored already that nothing is added; the text says what. Later there may be room."""


class Admission(Protocol):
    """The last look before a job is rendered. It may wait for other services, which no request may."""

    async def __call__(self, order: RenderOrder) -> RenderOrder | Failure:
        """Return the order with its video's address, or why it cannot be rendered; never raises."""


class Teller(Protocol):
    """Who tells callbacks, or has another replica do so."""

    async def tell_again(self, job_id: str) -> None:
        """Tell the end of a job once more if it was told: its client writes its own row anew. Raises Unavailable."""


class Backend(Protocol):
    """Who renders: processes of this machine, or a cluster. All calls answer within a second at full load.

    Attributes:
        tasks: without which it does not work.
    """

    tasks: Tasks

    async def submit(self, order: RenderOrder) -> JobState:
        """Take a job; the same job again is the same job, rendered once. Raises Conflict."""

    async def reject(self, submission: Submission, failure: Failure) -> JobState:
        """Note a job that cannot be rendered, so that its failure is told like any other."""

    async def get(self, job_id: str) -> JobState | None:
        """Return where the job stands; None if it is not known."""

    async def signed_anew(self, output: Output) -> Output:
        """Return a finished video with an address that works from now on; as it is if its address lasts."""

    async def handed_out(self, result: RenditionStatus) -> Output:
        """Return one of a job's results as something to hand out, with an address that works from now on."""

    async def live(self, state: JobState, path: str, *, here: bool = False) -> str | Path | StoredPiece | None:
        """Return what a job's live stream has under `path` (see `ecg_api.live`): the text of a playlist, or a piece.

        None if that is not there, or not yet. `here`: a playlist leads to pieces of this service, not of storage.
        """

    async def cancel(self, job_id: str) -> bool:
        """Stop the job; False if it is not known or has ended. An unknown id is remembered for 30 minutes."""

    async def list_jobs(self, limit: int) -> list[JobState]:
        """Return the newest jobs first."""

    async def queue(self) -> QueueState:
        """Return how busy the service is."""

    async def clear(self) -> int:
        """Cancel all jobs that wait; return how many."""

    def changes(self) -> AsyncGenerator[JobState, None]:
        """Yield each job that changes, first those that are unfinished or untold; for the relay."""

    def not_ready(self) -> list[str]:
        """Return why this process should get no requests now, as sentences; waits for nothing."""

    def snapshot(self) -> Snapshot:
        """Return how busy the service is, and for how long; of a second ago at most."""

    def health(self) -> Mapping[str, Any]:
        """Return what /health says about this backend: `healthy` (bool), `problems`, gpu and streaming blocks."""


def told_under(base: str, job_id: str, result: RenditionStatus) -> RenditionStatus:
    """Return a result under an address of the service at `base`; as it is if that is empty, or if it failed."""
    if not base or result.failure:
        return result
    path = download_path(job_id, "" if result.name == "main" else result.name)
    return result.model_copy(update={"url": below(base, path)})


def told_output(output: RenditionStatus) -> dict[str, Any]:
    """Return what clients are told of one of a job's results."""
    told: dict[str, Any] = {"name": output.name, "content": output.content, "url": output.url}
    told |= {"size": output.size_bytes, "frames": output.frames, "sha256": output.sha256}
    if output.box:
        told["box"] = output.box.model_dump()
    if output.failure:
        told["failure"] = {"code": str(output.failure.code), "message": output.failure.message}
    return told
