"""`ecg-render worker plan`: look at everything before a GPU is taken.

1. read the scenario, probe the source, plan          what is wrong with either is said within seconds
2. prove that the output can be written
3. write scenario and plan to the work files
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from ecg_api.options import Encoder, Format
from ecg_api.pods import PlanReport, WorkFiles
from ecg_api.renderjob import RenderJob
from ecg_api.status import PlanSummary
from ecg_renderer.errors import OptionsError
from ecg_renderer.media.encoder import EncoderChoice, settled_encoder
from ecg_renderer.planning import Cutting
from ecg_renderer.preparation import PreparedJob, prepare_job
from ecg_renderer.request import TARGET_SECONDS
from ecg_renderer.storage import open_storage
from ecg_renderer.storage.address import printable
from ecg_renderer.worker.assignment import Assignment
from ecg_renderer.worker.live import Live
from ecg_renderer.worker.scenarios import scenario_reader
from ecg_renderer.worker.work import Work, store_job


async def plan_job(
    assignment: Assignment, live: Live, *, scenario_file: Path | None = None, most_segments: int | None = None
) -> PlanReport:
    """Plan the job and write plan and scenario to its work files.

    `scenario_file` is the mounted ConfigMap entry, if the scenario is one. Raises a RenderError that says which input
    is at fault.
    """
    job = assignment.job
    work = Work(assignment.work_uri)
    live.stage("planning", f"Planning {job.metadata.name}.")
    _check_encoder(job)
    prepared = await prepare_job(
        job,
        assignment.base,
        cutting_of(job, most_segments),
        reader=scenario_reader(scenario_file),
        chooser=presumed_encoder,
    )
    await asyncio.to_thread(_check_output, assignment, prepared)
    await store_job(work, prepared)
    for warning in prepared.plan.warnings:
        live.warn(warning)
    return _report(assignment, prepared)


def cutting_of(job: RenderJob, most_segments: int | None) -> Cutting:
    """Return how the video is cut: as the manifest says, into at most `most_segments` segments."""
    wanted = job.spec.segments
    limits = [limit for limit in (wanted.max, most_segments) if limit]
    return Cutting(max_segments=min(limits, default=None), target_seconds=wanted.target_seconds or TARGET_SECONDS)


async def presumed_encoder(wanted: Encoder, format: Format, *, bit_depth: int = 8) -> EncoderChoice:  # noqa: A002
    """Return the encoder to plan with; which one it will be shows on the node of the first segment.

    Cuts and estimate follow it, and so would the content keys; a segment's name says its real encoder. For `auto` it
    is what every node has, so that a job on nodes without NVENC is cut as on one machine.
    """
    settled = settled_encoder(wanted, format, bit_depth=bit_depth)
    return settled or EncoderChoice("nvenc" if wanted == "nvenc" else "x264", "to be tried by the first segment")


def _check_encoder(job: RenderJob) -> None:
    placement = job.spec.placement
    own_way = placement.pod_template_overrides or placement.resources or placement.runtime_class_name
    if job.spec.options.encoder == "nvenc" and placement.gpus == 0 and not own_way:
        raise OptionsError(
            "spec.options.encoder is nvenc, but spec.placement.gpus is 0: NVENC is a part of a GPU.",
            hint="Ask for a GPU, or set options.encoder to auto or x264.",
        )


def _check_output(assignment: Assignment, prepared: PreparedJob) -> None:
    destination = open_storage(assignment.job.spec.output.uri, assignment.base)
    with destination.output(assignment.output_key, source=prepared.source_url):
        pass  # entering proves it; leaving removes what that took


def _report(assignment: Assignment, prepared: PreparedJob) -> PlanReport:
    plan = prepared.plan
    summary = PlanSummary(
        uri=f"{printable(assignment.work_uri).rstrip('/')}/{WorkFiles.PLAN}",
        width=plan.width,
        height=plan.height,
        rate=plan.rate,
        frames=plan.frames,
        distinct_frames=plan.distinct_frames_estimate,
        estimated_seconds=plan.estimated_seconds,
        warnings=plan.warnings,
    )
    return PlanReport(plan=summary, segments=len(plan.segments))
