"""Short ways to say what the operator observes: RenderJobs, child Jobs, pods, and what pods report."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from ecg_api.conditions import Condition
from ecg_api.failures import RULES, Failure, FailureCode
from ecg_api.names import Role, child_name
from ecg_api.pods import (
    FailureReport,
    MergeReport,
    PlanReport,
    PodProgress,
    Report,
    SegmentReport,
    encode_report,
)
from ecg_api.renderjob import RenderJob, parse_render_job
from ecg_api.status import OutputStatus, PlanSummary, RenderJobStatus, RenderMetrics
from ecg_cluster.cache import Key
from ecg_operator.decide import decide
from ecg_operator.model import (
    Decision,
    EventNote,
    JobView,
    Observation,
    PodView,
    Verdict,
)
from ecg_operator.policy import Policy

NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)
KEY = Key("render", "clip")
UID = "0f9d2f3c-0000-4000-8000-000000000001"
OUTPUT = "s3://videos/out/clip.mp4"
POLICY = Policy(
    renderer_image="registry.example/ecg-renderer:1",
    work_uri="s3://work/jobs",
    on_demand_node_selector={"karpenter.sh/capacity-type": "on-demand"},
)
ADMITTED = Verdict(admitted=True, segments=4)
FRAMES = 100
"""Frames of each segment."""


def manifest(**spec: Any) -> dict[str, Any]:
    """Return a small manifest; `spec` replaces parts of its spec."""
    return {
        "apiVersion": "render.ecg.dev/v1alpha1",
        "kind": "RenderJob",
        "metadata": {"name": KEY.name, "namespace": KEY.namespace},
        "spec": {
            "source": {"uri": "s3://videos/in/clip.mp4"},
            "scenario": {"uri": "s3://videos/in/clip.json"},
            "output": {"uri": OUTPUT},
            **spec,
        },
    }


def render_job(**spec: Any) -> RenderJob:
    return parse_render_job(manifest(**spec))


def observed(status: RenderJobStatus | None = None, **fields: Any) -> Observation:
    """Return an observation of a RenderJob that admission lets in; `spec` gives parts of its spec."""
    spec: Mapping[str, Any] = fields.pop("spec", {})
    given = {"job": render_job(**spec), "verdict": ADMITTED, "created_at": NOW, "now": NOW, **fields}
    return Observation(key=KEY, uid=UID, generation=1, status=stored(status or RenderJobStatus()), **given)


def stored(status: RenderJobStatus) -> RenderJobStatus:
    """Return `status` as it comes back from the API server."""
    return RenderJobStatus.model_validate_json(status.model_dump_json(exclude_none=True))


def decided(observation: Observation, policy: Policy = POLICY) -> Decision:
    """Decide, and check that deciding has no memory and that what it wrote survives the API server."""
    decision = decide(observation, policy)
    assert decide(observation, policy) == decision
    assert stored(decision.status) == decision.status
    return decision


def later(observation: Observation, seconds: float = 0.0, **fields: Any) -> Observation:
    """Return what is observed `seconds` after the decision about `observation` was written."""
    status = stored(decided(observation).status)
    return replace(observation, status=status, now=observation.now + timedelta(seconds=seconds), **fields)


def job_view(role: Role, round_number: int = 0, **fields: Any) -> JobView:
    name = child_name(KEY.name, role, round_number)
    given = {"uid": f"uid-of-{name}", "created_at": NOW, **fields}
    return JobView(name=name, role=role, round=round_number, **given)


def segments_job(count: int = 4, **fields: Any) -> JobView:
    return job_view(Role.SEGMENTS, **{"segments": tuple(range(count)), "parallelism": count, **fields})


def pod(role: Role, index: int | None = None, tag: str = "aaaaa", **fields: Any) -> PodView:
    """Return a pod that runs since NOW."""
    number = fields.pop("round", 0)
    parts = [child_name(KEY.name, role, number), *([] if index is None else [str(index)]), tag]
    name = "-".join(parts)
    job_uid = f"uid-of-{child_name(KEY.name, role, number)}"
    running = {"phase": "Running", "created_at": NOW, "started_at": NOW, "gpus": int(role is Role.SEGMENTS)}
    given = {**running, "job_uid": job_uid, **fields}
    return PodView(name=name, uid=f"uid-of-{name}", role=role, round=number, index=index, **given)


def ended_pod(
    role: Role, report: Report | str, index: int | None = None, seconds: float = 10.0, **fields: Any
) -> PodView:
    """Return a pod that ended `seconds` after NOW with `report` or some other last words."""
    code = _exit_code(report)
    given = {
        "phase": "Succeeded" if code == 0 else "Failed",
        "exit_code": code,
        "ended": "Completed" if code == 0 else "Error",
        "message": report if isinstance(report, str) else encode_report(report),
        "finished_at": NOW + timedelta(seconds=seconds),
        **fields,
    }
    return pod(role, index, **given)


def _exit_code(report: Report | str) -> int:
    if isinstance(report, str):
        return 1
    return RULES[report.failure.code].exit_code if isinstance(report, FailureReport) else 0


def plan_report(segments: int = 4, **plan: Any) -> PlanReport:
    facts = {"width": 320, "height": 180, "rate": "30", "frames": FRAMES * segments, **plan}
    return PlanReport(plan=PlanSummary(**facts), segments=segments)


def segment_report(segment: int, **fields: Any) -> SegmentReport:
    metrics = RenderMetrics(frames_processed=FRAMES, frames_dropped=1, drop_rate=0.01, memory_peak_mb=500 + segment)
    given = {"frames": FRAMES, "encoder": "h264_nvenc", "metrics": metrics, **fields}
    return SegmentReport(segment=segment, **given)


def whole_report(**segment: Any) -> PlanReport:
    """Return what a pod reports that has planned, rendered the only segment and made the output."""
    rendered = segment_report(0, **{"encoder": "x264", "merged": merge_report(), **segment})
    return plan_report(1).model_copy(update={"rendered": rendered})


def merge_report(*warnings: str) -> MergeReport:
    output = OutputStatus(uri=OUTPUT, size_bytes=1234, duration_seconds=13.3, frames=400, sha256="0" * 64)
    return MergeReport(output=output, warnings=list(warnings))


def failure_report(code: FailureCode, message: str = "It went wrong.", **fields: Any) -> FailureReport:
    return FailureReport(failure=Failure(code=code, message=message, retryable=RULES[code].retryable, **fields))


def progress(frames: int, speed: float = 25.0, **fields: Any) -> PodProgress:
    return PodProgress(stage="rendering", frames_done=frames, frames_total=FRAMES, frames_per_second=speed, **fields)


def condition(status: RenderJobStatus, kind: str) -> Condition:
    """Return the condition of that type; fails if it is not there."""
    found = [condition for condition in status.conditions if condition.type == kind]
    assert found, f"no condition {kind} among {[condition.type for condition in status.conditions]}"
    return found[0]


def reasons(events: Iterable[EventNote]) -> list[str]:
    return [event.reason for event in events]


# Observations at which most tests start.


def planning(**fields: Any) -> Observation:
    """The plan Job is there, its pod is not yet."""
    return later(observed(**fields), jobs=(job_view(Role.PLAN),))


ONE_POD: Mapping[str, Any] = {"placement": {"gpus": 0}}
"""Part of a spec by which the pod that plans goes on with the segment of a short video."""


def going_on(**fields: Any) -> Observation:
    """The pod of the plan says that it renders the only segment, half of it is done."""
    start = planning(spec={**ONE_POD, **fields.pop("spec", {})}, **fields)
    one = pod(Role.PLAN, gpus=0)
    said = {one.name: progress(FRAMES // 2, segment=0, encoder="x264", encoder_reason="as asked")}
    return later(replace(start, jobs=(job_view(Role.PLAN, segments=(0,)),), pods=(one,), progress=said), 4)


def rendering(count: int = 4, **fields: Any) -> Observation:
    """The plan is made; the segment Job is there with a running pod for each segment."""
    start = planning(**fields)
    planned = replace(start, pods=(ended_pod(Role.PLAN, plan_report(count)),))
    pods = (*planned.pods, *(pod(Role.SEGMENTS, index) for index in range(count)))
    running = later(planned, 1, jobs=(*planned.jobs, segments_job(count)), pods=pods)
    return later(later(running, 3), 3)


def merging(count: int = 4, **fields: Any) -> Observation:
    """All segments are rendered; the merge Job is there with a running pod."""
    start = rendering(count, **fields)
    done = tuple(ended_pod(Role.SEGMENTS, segment_report(index), index) for index in range(count))
    rendered = replace(start, pods=(*start.pods[:1], *done))
    return later(rendered, 3, jobs=(*start.jobs, job_view(Role.MERGE)), pods=(*rendered.pods, pod(Role.MERGE)))


def finished(**fields: Any) -> Observation:
    """The job has succeeded, its Jobs are deleted."""
    start = merging(**fields)
    over = replace(start, pods=(*start.pods[:-1], ended_pod(Role.MERGE, merge_report())))
    return later(over, 1, jobs=(), pods=())
