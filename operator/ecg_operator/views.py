"""Kubernetes objects, as the API server gives them, reduced to what decisions depend on. Pure functions.

Everything else of an object (managed fields, specs that we wrote ourselves) is not kept: ten thousand pods fit into
some tens of megabytes, and so do tens of thousands of RenderJobs that are over.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from sys import intern
from typing import Any, ClassVar, Literal, cast

from pydantic import ValidationError

from ecg_api.conditions import ConditionType, is_true
from ecg_api.names import (
    CONTAINER,
    GPU_RESOURCE,
    JOB_LABEL,
    ON_DEMAND_ANNOTATION,
    ROLE_LABEL,
    ROUND_LABEL,
    SEGMENTS_ANNOTATION,
    UID_LABEL,
    Role,
)
from ecg_api.problems import ManifestProblems
from ecg_api.ranges import parse_ranges
from ecg_api.renderjob import DEFAULT_MANAGER, KIND, RenderJob, parse_render_job, settled
from ecg_api.status import RenderJobStatus, StorageStatus, WorkFilesState
from ecg_cluster.cache import Key, Record
from ecg_cluster.quantities import amount, millis
from ecg_common.profiles import NO_PROFILES, StorageProfiles
from ecg_operator.model import JobView, PodView

Json = Mapping[str, Any]

INDEX_ANNOTATION = "batch.kubernetes.io/job-completion-index"
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


@dataclass(frozen=True, slots=True)
class RenderJobView:
    """What matters of a RenderJob for which something may be left to do.

    Attributes:
        job: the parsed manifest without status; None if it breaks a rule, then `problems` says which.
        status: as last written; None if this version cannot read it, then `problems` says why.
        place: where results go, if it chooses a storage profile.
        outputs: addresses that it writes to, the main one first; empty if they cannot be read.
    """

    uid: str
    generation: int
    created_at: datetime
    deleting: bool
    labels: Mapping[str, str]
    job: RenderJob | None
    status: RenderJobStatus | None
    problems: tuple[str, ...] = ()
    place: StorageStatus | None = None
    outputs: tuple[str, ...] = ()

    @property
    def phase(self) -> str:
        """The phase as last written; empty if that cannot be read."""
        return self.status.phase if self.status is not None else ""

    @property
    def finished(self) -> bool:
        """Whether nothing will be rendered for it any more."""
        return self.status is not None and is_true(self.status.conditions, ConditionType.FINISHED)

    @property
    def leaves_work_files(self) -> bool:
        """Whether there may be work files that nobody has cared for yet."""
        if not self.finished or self.status is None or self.status.run is None:
            return not self.finished
        return self.status.run.work_files is WorkFilesState.WRITTEN


@dataclass(frozen=True, slots=True)
class FinishedJob:
    """What is kept of a RenderJob that is over, tidied up, and only waits for the end of its time to live.

    Whoever has to do more about it reads it from the API server.

    Attributes:
        ttl_seconds: how long it may stay after its end; None if it does not say.
    """

    generation: int
    phase: str
    succeeded: bool
    finished_at: datetime | None
    ttl_seconds: int | None

    finished: ClassVar[bool] = True
    deleting: ClassVar[bool] = False
    leaves_work_files: ClassVar[bool] = False
    outputs: ClassVar[tuple[str, ...]] = ()


AnyJob = RenderJobView | FinishedJob


def read_render_job(
    obj: Json, manager: str = DEFAULT_MANAGER, storage: StorageProfiles = NO_PROFILES
) -> Record[AnyJob] | None:
    """Return the record of a RenderJob; of one that is over and tidied up only what its time to live needs.

    None for one that another controller manages. `storage` is what it may choose among.
    """
    if (obj.get("spec") or {}).get("managedBy", DEFAULT_MANAGER) != manager:
        return None
    finished = _read_finished(obj)
    if finished is None:
        return _record(obj, _key(obj), read_whole(obj, storage))
    return _record(obj, _key(obj), finished)


def read_whole(obj: Json, storage: StorageProfiles = NO_PROFILES) -> RenderJobView:
    """Return all that matters of a RenderJob, even of one that is over."""
    meta = obj["metadata"]
    status, status_problem = _read_status(obj.get("status") or {})
    finished = status is not None and is_true(status.conditions, ConditionType.FINISHED)
    job, problems = _read_spec(obj, finished, storage, status.storage if status is not None else None)
    return RenderJobView(
        uid=meta["uid"],
        generation=int(meta.get("generation", 0)),
        created_at=_time(meta["creationTimestamp"]),
        deleting="deletionTimestamp" in meta,
        labels=dict(meta.get("labels") or {}),
        job=job,
        place=_place(obj, job, status, storage),
        status=status,
        problems=(*problems, *status_problem),
        outputs=(job.spec.output.uri, *(one.uri for one in job.spec.renditions)) if job is not None else (),
    )


def read_job(obj: Json, now: datetime) -> Record[JobView] | None:
    """Return the record of a child Job, first seen `now`; None for a Job that is not one of ours."""
    meta, spec, status = obj["metadata"], obj.get("spec") or {}, obj.get("status") or {}
    key, role = _key_and_role(meta)
    annotations = meta.get("annotations") or {}
    round_, segments = _number((meta.get("labels") or {}).get(ROUND_LABEL, "0")), _segments(annotations)
    if key is None or role is None or round_ is None or segments is None:
        return None
    conditions = {c["type"]: c for c in status.get("conditions") or () if c["status"] == "True"}
    # FailureTarget comes first, Failed when the last pod has ended: waiting for that would cost a grace period.
    failure = conditions.get("Failed") or conditions.get("FailureTarget") or {}
    view = JobView(
        name=meta["name"],
        uid=meta["uid"],
        role=role,
        round=round_,
        created_at=min(_time(meta["creationTimestamp"]), now),
        segments=segments,
        parallelism=int(spec.get("parallelism", 1)),
        active=int(status.get("active", 0)),
        completed=parse_ranges(status.get("completedIndexes", "")),
        failed_indexes=parse_ranges(status.get("failedIndexes", "")),
        complete="Complete" in conditions,
        failed=bool(failure),
        suspended=bool(spec.get("suspend", False)),
        reason=failure.get("reason", ""),
        message=failure.get("message", ""),
        deleting="deletionTimestamp" in meta,
        on_demand=annotations.get(ON_DEMAND_ANNOTATION) == "true",
    )
    return _record(obj, key, view, _owner(meta))


def read_pod(obj: Json, now: datetime, gpu_resource: str = GPU_RESOURCE) -> Record[PodView] | None:
    """Return the record of a pod of a child Job, first seen `now`; None for any other pod.

    By when it should be gone is reckoned from `now`: the API server that stamped the deletion may have another clock.
    """
    meta, status = obj["metadata"], obj.get("status") or {}
    key, role = _key_and_role(meta)
    round_ = _number((meta.get("labels") or {}).get(ROUND_LABEL, "0"))
    if key is None or role is None or round_ is None:
        return None
    state = _container_state(status)
    terminated, running, waiting = (state.get(word) or {} for word in ("terminated", "running", "waiting"))
    conditions = {c["type"]: c for c in status.get("conditions") or ()}
    disruption = conditions.get("DisruptionTarget") or {}
    disrupted = disruption.get("status") == "True"
    phase = status.get("phase", "Pending")
    finished = terminated.get("finishedAt")
    if finished is None and disrupted and phase == "Failed":
        finished = disruption.get("lastTransitionTime")  # the node went away before it could say when
    index = (meta.get("annotations") or {}).get(INDEX_ANNOTATION, "")
    view = PodView(
        name=meta["name"],
        uid=meta["uid"],
        role=role,
        round=round_,
        index=_number(index) if role is Role.SEGMENTS else None,
        phase=cast(Literal["Pending", "Running", "Succeeded", "Failed", "Unknown"], phase),
        created_at=min(_time(meta["creationTimestamp"]), now),
        started_at=_time_or_none(terminated.get("startedAt") or running.get("startedAt")),
        finished_at=_time_or_none(finished),
        exit_code=terminated.get("exitCode"),
        ended=terminated.get("reason", ""),
        message=terminated.get("message", ""),
        waiting=waiting.get("reason", ""),
        waiting_message=waiting.get("message", ""),
        said=": ".join(filter(None, (status.get("reason", ""), status.get("message", "")))),
        unschedulable=_unschedulable(conditions.get("PodScheduled") or {}),
        disrupted=disrupted,
        deleting="deletionTimestamp" in meta,
        gone_by=_gone_by(meta, now),
        ip=status.get("podIP", ""),
        node=(obj.get("spec") or {}).get("nodeName", ""),
        gpus=int(amount(_asked(obj.get("spec") or {}, "limits").get(gpu_resource, 0))),
        cpu_millis=millis(_asked(obj.get("spec") or {}, "requests").get("cpu", 0)),
        job_uid=_job_uid(meta),
    )
    return _record(obj, key, view, _owner(meta))


def _gone_by(meta: Json, now: datetime) -> datetime | None:
    if "deletionTimestamp" not in meta:
        return None
    return now + timedelta(seconds=meta.get("deletionGracePeriodSeconds") or 0)


def _key(obj: Json) -> Key:
    return Key(intern(obj["metadata"]["namespace"]), obj["metadata"]["name"])


def _record(obj: Json, key: Key, view: Any, owner: str = "") -> Record[Any]:
    meta = obj["metadata"]
    return Record(intern(meta["namespace"]), meta["name"], meta["uid"], int(meta["resourceVersion"]), key, view, owner)


def _read_finished(obj: Json) -> FinishedJob | None:
    """Return what is kept of a RenderJob that is over; None if something may be left to do for it.

    Nothing is parsed but what is needed, since there may be tens of thousands.
    """
    meta, status = obj["metadata"], obj.get("status") or {}
    true = {c.get("type") for c in status.get("conditions") or () if c.get("status") == "True"}
    run = status.get("run") or {}
    untidy = run.get("workFiles") == WorkFilesState.WRITTEN.value or "deletionTimestamp" in meta
    if ConditionType.FINISHED not in true or untidy or status.get("observedGeneration") != meta.get("generation"):
        return None
    succeeded = ConditionType.SUCCEEDED.value in true
    ttl = (obj.get("spec") or {}).get("ttl") or {}
    return FinishedJob(
        generation=int(meta["generation"]),
        phase=intern(str(status.get("phase", ""))),
        succeeded=succeeded,
        finished_at=_time_or_none(run.get("finishedAt")),
        ttl_seconds=ttl.get("succeededSeconds" if succeeded else "failedSeconds"),
    )


def _read_status(raw: Json) -> tuple[RenderJobStatus | None, tuple[str, ...]]:
    try:
        return RenderJobStatus.model_validate(raw), ()
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, ("status", *first["loc"])))
        return None, (f"{place}: {first['msg']}; was it written by a newer operator?",)


def _place(
    obj: Json, job: RenderJob | None, status: RenderJobStatus | None, storage: StorageProfiles
) -> StorageStatus | None:
    """Return the place that a job has chosen: the one that it began with, else what the profiles of now lead to."""
    if job is None or status is None or status.storage is not None:
        return status.storage if status is not None else None
    spec = obj.get("spec") or {}
    if not spec.get("storage"):
        return None
    try:
        profile = storage.get(storage.chosen(spec["storage"]["profile"], job.spec.source.uri))
    except ValueError:  # of a job that is over
        profile = None
    return StorageStatus(profile=profile.name, bucket=profile.bucket) if profile is not None else None


def _read_spec(
    obj: Json, finished: bool, storage: StorageProfiles, begun: StorageStatus | None
) -> tuple[RenderJob | None, tuple[str, ...]]:
    meta = obj["metadata"]
    annotations = {k: v for k, v in (meta.get("annotations") or {}).items() if k != LAST_APPLIED}
    spec = dict(obj.get("spec") or {})
    scenario = spec.get("scenario")
    if finished and isinstance(scenario, Mapping) and "inline" in scenario:
        spec["scenario"] = {**scenario, "inline": {}}  # nobody needs it again, and there may be thousands
    manifest = {
        "apiVersion": obj.get("apiVersion"),
        "kind": obj.get("kind"),
        "metadata": {
            "name": meta["name"],
            "namespace": meta["namespace"],
            "labels": meta.get("labels") or {},
            "annotations": annotations,
        },
        "spec": spec,
    }
    try:
        job = parse_render_job(manifest, pruned=True)
        # What is over needs no place, and its profile may be gone; it still has to go in time.
        return job if finished else settled(job, lambda: storage, begun), ()
    except ManifestProblems as problems:
        return None, tuple(problems.problems)


def _key_and_role(meta: Json) -> tuple[Key | None, Role | None]:
    labels = meta.get("labels") or {}
    try:
        return Key(intern(meta["namespace"]), labels[JOB_LABEL]), Role(labels[ROLE_LABEL])
    except (KeyError, ValueError):
        return None, None


def _number(text: str) -> int | None:
    """Return what a label or an annotation says; None for what nobody of us has written."""
    return int(text) if re.fullmatch("[0-9]{1,9}", text) else None


def _segments(annotations: Mapping[str, str]) -> tuple[int, ...] | None:
    """Return the segments that a Job is for; None for what nobody of us has written."""
    try:
        return tuple(sorted(parse_ranges(annotations.get(SEGMENTS_ANNOTATION, ""))))
    except ValueError:
        return None


def _owner(meta: Json) -> str:
    for reference in meta.get("ownerReferences") or ():
        if reference["kind"] == KIND:
            return str(reference["uid"])
    return str((meta.get("labels") or {}).get(UID_LABEL, ""))


def _job_uid(meta: Json) -> str:
    """Return the uid of the Job that a pod is of."""
    references = meta.get("ownerReferences") or ()
    return next((str(reference["uid"]) for reference in references if reference["kind"] == "Job"), "")


def _container_state(status: Json) -> Json:
    for container in status.get("containerStatuses") or ():
        if container["name"] == CONTAINER:
            return cast(Json, container.get("state") or {})
    return {}


def _unschedulable(scheduled: Json) -> str:
    if scheduled.get("status") == "False" and scheduled.get("reason") == "Unschedulable":
        return str(scheduled.get("message", "")) or "no node takes the pod"
    return ""


def _asked(spec: Json, part: str) -> Json:
    for container in spec.get("containers") or ():
        if container["name"] == CONTAINER:
            return cast(Json, (container.get("resources") or {}).get(part) or {})
    return {}


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _time_or_none(text: str | None) -> datetime | None:
    return None if text is None else _time(text)
