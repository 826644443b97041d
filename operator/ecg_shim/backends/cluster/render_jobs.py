"""RenderJobs: reduced to what the service tells about them, and made from tickets. Pure.

A status that a newer operator has written stays readable: each part is read on its own, and what is not understood
counts as not there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from sys import intern
from typing import Any, TypeVar
from urllib.parse import quote

from pydantic import BaseModel, ValidationError

from ecg_api.conditions import Condition, ConditionType
from ecg_api.failures import RULES, Failure, FailureCode
from ecg_api.names import MANAGED_BY
from ecg_api.renderjob import API_VERSION, KIND
from ecg_api.status import CallbackStatus, OutputStatus, Phase, Progress, RenderMetrics, RenditionStatus, SegmentCounts
from ecg_cluster.client import Json
from ecg_shim.backends.cluster.settings import ClusterSettings
from ecg_shim.backends.cluster.tickets import CANCELLED, JOB_ID, PAYLOAD, SERVICE, SUBMITTED, Ticket, object_name
from ecg_shim.backends.storage import SignedOutput, where
from ecg_shim.model import Output, RequestOptions

M = TypeVar("M", bound=BaseModel)

NO_METRICS = RenderMetrics()
FINISHED = (Phase.SUCCEEDED, Phase.FAILED, Phase.CANCELLED)


@dataclass(frozen=True, slots=True)
class Told:
    """What the status says about callbacks: the service's own part of it.

    Attributes:
        callback: state, id of the last delivery, tries, last error.
        condition: status and reason of `CallbackDelivered`, and since when it has that status; None: not there.
    """

    callback: tuple[str, str | None, int, str | None] | None = None
    condition: tuple[str, str, datetime] | None = None


NOTHING_TOLD = Told()


@dataclass(frozen=True, slots=True)
class Job:
    """What matters of a RenderJob: plain values, since tens of thousands that have ended are kept in memory.

    Attributes:
        job_id: as the client named it; the RenderJob's own name if a person has made it.
        ours: made by the service.
        submitted_at: of the ticket that it was made for, else its creation.
        begun: it has been let in, and may have had pods.
        stopped: a client has cancelled it before it was finished; that stands, however the operator ended it.
        planned: rendering has begun or could begin; the plan of a short video is told in the end only.
        live: people may watch it while it renders.
        live_uri: what there is to watch, once it is planned.
        live_url: where, as the status says.
        warnings: what a person should look at in the video.
        waits: why it waits, in a sentence; empty if it does not.
        segments: how many are rendered, and how many there are.
    """

    name: str
    uid: str
    version: int
    job_id: str
    ours: bool
    submitted_at: datetime
    payload_hash: str
    callback_url: str
    cancel: bool
    phase: str
    begun: bool = False
    stopped: bool = False
    planned: bool = False
    live: bool = False
    live_uri: str = ""
    live_url: str = ""
    waits: str = ""
    percent: int = 0
    eta_seconds: int | None = None
    segments: tuple[int, int] = (0, 0)
    output: Output | None = None
    outputs: tuple[RenditionStatus, ...] = ()
    metrics: RenderMetrics = NO_METRICS
    failure: Failure | None = None
    warnings: tuple[str, ...] = ()
    told: Told = NOTHING_TOLD
    started_at: datetime | None = None
    finished_at: datetime | None = None

    @property
    def finished(self) -> bool:
        """Nothing will be rendered for it any more."""
        return self.phase in FINISHED

    @property
    def never_begun(self) -> bool:
        """It was made by the service, and cancelled before it began: there is nothing to be seen of it but that."""
        return self.ours and self.phase == Phase.CANCELLED and not self.begun


def read(obj: Mapping[str, Any]) -> Job:
    """Return the RenderJob `obj`."""
    meta, spec, status = obj["metadata"], obj.get("spec") or {}, obj.get("status") or {}
    notes = meta.get("annotations") or {}
    ours = JOB_ID in notes and object_name(notes[JOB_ID]) == meta["name"]
    run = status.get("run") or {}
    phase = status.get("phase") or Phase.PENDING
    return Job(
        name=meta["name"],
        uid=meta["uid"],
        version=int(meta["resourceVersion"]),
        job_id=meta["name"] if not ours or notes[JOB_ID] == meta["name"] else notes[JOB_ID],
        ours=ours,
        submitted_at=_time(notes.get(SUBMITTED) if ours else None) or datetime.fromisoformat(meta["creationTimestamp"]),
        payload_hash=notes.get(PAYLOAD, ""),
        callback_url=intern(str((spec.get("callback") or {}).get("url", ""))),
        cancel=spec.get("cancel") is True,
        phase=intern(str(phase)),
        begun="startTime" in status,
        stopped=CANCELLED in notes,
        planned="plan" in status or "segments" in status,
        live=spec.get("live") is not None,
        live_uri=str((status.get("plan") or {}).get("liveUri") or ""),
        live_url=str((status.get("live") or {}).get("url") or ""),
        output=_output(spec.get("output") or {}, status.get("output")),
        outputs=tuple(found for raw in status.get("outputs") or () if (found := _part(RenditionStatus, raw))),
        metrics=_metrics(status.get("metrics")),
        failure=_failure(status.get("failure")),
        warnings=tuple(map(str, status.get("warnings") or ())),
        told=_told(status),
        started_at=_time(run.get("admittedAt")),
        finished_at=_time(run.get("finishedAt")) if phase in FINISHED else None,
        **({} if phase in FINISHED else _moving(status)),
    )


def _moving(status: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is told about a job that has not ended."""
    progress = _part(Progress, status.get("progress"))
    segments = _part(SegmentCounts, status.get("segments"))
    scheduled = _condition(status, ConditionType.SCHEDULED)
    return {
        "percent": progress.percent if progress else 0,
        "eta_seconds": progress.eta_seconds if progress else None,
        "segments": (segments.succeeded, segments.total) if segments else (0, 0),
        "waits": scheduled.message if scheduled is not None and scheduled.status == "False" else "",
    }


def _condition(status: Mapping[str, Any], kind: ConditionType) -> Condition | None:
    conditions = status.get("conditions") or ()
    return next((_part(Condition, one) for one in conditions if one.get("type") == kind), None)


def _told(status: Mapping[str, Any]) -> Told:
    callback = _part(CallbackStatus, status.get("callback"))
    condition = _condition(status, ConditionType.CALLBACK_DELIVERED)
    if callback is None and condition is None:
        return NOTHING_TOLD
    return Told(
        callback=callback_values(callback) if callback is not None else None,
        condition=(condition.status, intern(condition.reason), condition.last_transition_time) if condition else None,
    )


def callback_values(callback: CallbackStatus) -> tuple[str, str | None, int, str | None]:
    """Return what `Told` keeps of a status."""
    return (callback.state, callback.last_delivered, callback.attempts, callback.last_error)


def _output(wanted: Mapping[str, Any], raw: object) -> Output | None:
    """Return the finished video: under an address that lasts if its bucket is published, else under a signed one."""
    output = _part(OutputStatus, raw)
    if output is None:
        return None
    url = output.url or output.uri
    if wanted.get("publicBaseUrl") or not output.uri.startswith("s3://"):
        return Output(url, output.size_bytes, output.duration_seconds)
    return SignedOutput(url, output.size_bytes, output.duration_seconds, uri=output.uri)


def _metrics(raw: object) -> RenderMetrics:
    metrics = _part(RenderMetrics, raw)
    if metrics is None:
        return NO_METRICS
    # One set of names for all: it would be the largest part of each.
    return RenderMetrics.model_construct(NO_METRICS.model_fields_set, **dict(metrics))


def _part(model: type[M], raw: object) -> M | None:
    try:
        return model.model_validate(raw)
    except ValidationError:
        return None


def _failure(raw: object) -> Failure | None:
    if not isinstance(raw, Mapping):
        return None
    known = _part(Failure, raw)
    if known is not None:
        return known
    code = FailureCode.UNEXPECTED_ERROR
    message = f"{raw.get('code', '')}: {raw.get('message', '')}"
    return Failure(code=code, message=message, hint=str(raw.get("hint", "")), retryable=RULES[code].retryable)


def _time(text: object) -> datetime | None:
    try:
        return datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None


def render_job(ticket: Ticket, video_url: str, settings: ClusterSettings) -> Json:
    """Return the RenderJob for a ticket that waits; `video_url` is where the video is, as admission found it."""
    options = RequestOptions.model_validate(ticket.options)
    output = _wanted_output(ticket.job_id, options, settings)
    notes = {
        JOB_ID: ticket.job_id,
        SUBMITTED: ticket.submitted_at.isoformat(),
        PAYLOAD: ticket.payload_hash,
    }
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {
            "name": object_name(ticket.job_id),
            "labels": {MANAGED_BY: SERVICE},
            "annotations": notes,
        },
        "spec": {
            "source": {"uri": video_url},
            "scenario": ticket.scenario,
            **options.spec(output["uri"]),
            "output": output,
            "callback": {"url": ticket.callback_url},
            "placement": {"gpus": 0 if options.encoder in ("cpu", "x264") else settings.gpus},
            "deadlines": {"activeSeconds": settings.active_seconds},
            "ttl": {"succeededSeconds": settings.ttl_seconds, "failedSeconds": settings.ttl_seconds},
        },
    }


def _wanted_output(job_id: str, options: RequestOptions, settings: ClusterSettings) -> dict[str, Any]:
    output: dict[str, Any] = {
        "uri": where(job_id, options.format, settings.bucket, options.storage),
        "presignSeconds": settings.presign_seconds,
    }
    if settings.public_base_url and not options.storage:
        folder = output["uri"].removeprefix(f"s3://{settings.bucket}/").rpartition("/")[0]
        output["publicBaseUrl"] = f"{settings.public_base_url.rstrip('/')}/{quote(folder)}"
    return output
