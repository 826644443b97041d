"""What pods that did their work say at their end."""

from __future__ import annotations

from ecg_api.pods import CleanReport, MergeReport, PlanReport, Report, SegmentReport
from ecg_api.status import OutputStatus, PlanSummary, RenderMetrics

FRAMES = 30
"""Frames of each segment."""


def report_of(role: str, segment: int, segments: int) -> Report:
    """Return the report of a pod that did the work of its role for a job of so many segments."""
    if role == "plan":
        summary = PlanSummary(uri="s3://work/plan.json", width=320, height=180, rate="30", frames=FRAMES * segments)
        return PlanReport(plan=summary, segments=segments)
    if role == "segments":
        metrics = RenderMetrics(frames_processed=FRAMES, memory_peak_mb=100, memory_trend="stable")
        reason = "there is no GPU"
        return SegmentReport(segment=segment, frames=FRAMES, encoder="libx264", encoder_reason=reason, metrics=metrics)
    if role == "merge":
        return MergeReport(output=_output(segments))
    return CleanReport(files=3)


def _output(segments: int) -> OutputStatus:
    return OutputStatus(
        uri="s3://out/clip.mp4",
        size_bytes=1000,
        duration_seconds=segments,
        frames=FRAMES * segments,
        sha256="0" * 64,
    )
