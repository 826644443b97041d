"""How kwok plays the pods of a RenderJob: each runs for a while and ends with the report of its role."""

from __future__ import annotations

import json
from typing import Any

import yaml

from ecg_api.names import CONTAINER, ROLE_LABEL, Role
from ecg_api.pods import CleanReport, MergeReport, PlanReport, Report, SegmentReport, encode_report
from ecg_api.status import OutputStatus, PlanSummary, RenderMetrics

FRAMES = 300
INDEX = '{{ index .metadata.annotations "batch.kubernetes.io/job-completion-index" }}'
_SEGMENT = 987_654
"""Stands for the segment's number until the template is filled in."""


def stages(segments: int, seconds: dict[Role, float]) -> str:
    """Return kwok's configuration as YAML: jobs of so many segments, pods that run for so many seconds by role."""
    reports = _reports(segments)
    ends = [_ends(role, reports[role], seconds[role]) for role in Role]
    return yaml.safe_dump_all([_node(), _starts(), *ends, _goes()])


def _reports(segments: int) -> dict[Role, Report]:
    frames = segments * FRAMES
    plan = PlanSummary(uri="s3://work/plan.json", width=1920, height=1080, rate="30", frames=frames)
    output = OutputStatus(
        uri="s3://out/x.mp4", size_bytes=10**7, duration_seconds=frames / 30, frames=frames, sha256="0" * 64
    )
    metrics = RenderMetrics(frames_processed=FRAMES, memory_peak_mb=900, memory_trend="stable")
    return {
        Role.PLAN: PlanReport(plan=plan, segments=segments),
        Role.SEGMENTS: SegmentReport(segment=_SEGMENT, frames=FRAMES, encoder="h264_nvenc", metrics=metrics),
        Role.MERGE: MergeReport(output=output),
        Role.CLEAN: CleanReport(files=0),
    }


def _node() -> dict[str, Any]:
    ready = {"key": '.status.conditions.[] | select( .type == "Ready" ) | .status', "operator": "NotIn"}
    status = (
        "conditions:\n- type: Ready\n  status: 'True'\n  reason: KubeletReady\n  message: ''\n"
        "  lastHeartbeatTime: {{ Now | Quote }}\n  lastTransitionTime: {{ Now | Quote }}\n"
    )
    return _stage("node-ready", [{**ready, "values": ["True"]}], 0, {"statusTemplate": status}, kind="Node")


def _starts() -> dict[str, Any]:
    running = _container("running:\n      startedAt: {{ $now | Quote }}", started=True)
    status = f"{{{{ $now := Now }}}}\nphase: Running\nstartTime: {{{{ $now | Quote }}}}\ncontainerStatuses:\n{running}"
    selector = [_absent(".metadata.deletionTimestamp"), _absent(".status.startTime")]
    return _stage("pod-starts", selector, 0.2, {"statusTemplate": status})


def _ends(role: Role, report: Report, seconds: float) -> dict[str, Any]:
    # The report is JSON in YAML in a template: Quote keeps its quotation marks apart from YAML's.
    message = json.dumps(encode_report(report)).replace(str(_SEGMENT), INDEX)
    terminated = (
        "terminated:\n      exitCode: 0\n      reason: Completed\n      finishedAt: {{ Now | Quote }}\n"
        f"      startedAt: {{{{ .status.startTime | Quote }}}}\n      message: {message}"
    )
    status = f"phase: Succeeded\ncontainerStatuses:\n{_container(terminated, started=False)}"
    selector = [
        _absent(".metadata.deletionTimestamp"),
        {"key": ".status.phase", "operator": "In", "values": ["Running"]},
        {"key": f'.metadata.labels["{ROLE_LABEL}"]', "operator": "In", "values": [role.value]},
    ]
    return _stage(f"pod-ends-{role}", selector, seconds, {"statusTemplate": status})


def _goes() -> dict[str, Any]:
    selector = [{"key": ".metadata.deletionTimestamp", "operator": "Exists"}]
    return _stage("pod-goes", selector, 0.1, {"finalizers": {"empty": True}, "delete": True})


def _stage(
    name: str, selector: list[dict[str, Any]], seconds: float, following: dict[str, Any], kind: str = "Pod"
) -> dict[str, Any]:
    return {
        "apiVersion": "kwok.x-k8s.io/v1alpha1",
        "kind": "Stage",
        "metadata": {"name": name},
        "spec": {
            "resourceRef": {"apiGroup": "v1", "kind": kind},
            "selector": {"matchExpressions": selector},
            "delay": {"durationMilliseconds": round(seconds * 1000)},
            "next": following,
        },
    }


def _container(state: str, *, started: bool) -> str:
    flag = str(started).lower()
    return (
        f"- name: {CONTAINER}\n  image: renderer\n  imageID: ''\n  ready: {flag}\n  started: {flag}\n"
        f"  restartCount: 0\n  state:\n    {state}\n"
    )


def _absent(key: str) -> dict[str, Any]:
    return {"key": key, "operator": "DoesNotExist"}
