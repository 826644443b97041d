"""`ecg-render worker merge`: join the segments to the finished video.

1. did an earlier try come as far as the output? then only its report is missing
2. see that every segment is there; fetch them, a few at a time
3. join them with the source's sound, into a temporary file, read back and checked
4. the output's final name, then a note that it has it
5. the work files go
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from ecg_api.options import Format
from ecg_api.plan import Plan, SegmentPlan
from ecg_api.pods import MergeReport, WorkFiles, decode_report, encode_report
from ecg_api.ranges import format_ranges
from ecg_api.status import OutputStatus
from ecg_renderer.errors import RenderError
from ecg_renderer.media.merge import MergeResult, SegmentFile, merge
from ecg_renderer.progress import Stage
from ecg_renderer.storage import Output, Storage, open_storage
from ecg_renderer.storage.work_store import WorkStore
from ecg_renderer.worker.assignment import Assignment
from ecg_renderer.worker.claim import read_claim
from ecg_renderer.worker.live import UPLOADING, Live
from ecg_renderer.worker.scratch import scratch_folder
from ecg_renderer.worker.work import Work, load_plan, open_source

LOOKS = 16
DOWNLOADS = 4
MERGED = "merged.json"
"""Note among the work files that the output has its final name: the merge's report."""


async def merge_job(assignment: Assignment, live: Live, announce: Callable[[MergeReport], None]) -> MergeReport:
    """Write the output from the segments among the work files, and remove these.

    `announce` is told the report as soon as the output is there: a pod that is killed while it removes work files has
    done its work. Raises a RenderError; one that names a segment if that is missing.
    """
    work = Work(assignment.work_uri)
    report = await _done_before(work)
    if report:
        live.say("An earlier try has finished the output already.")
    else:
        report = await _merge(assignment, work, live)
    announce(report)
    return await _clean(work, report, live)


async def _merge(assignment: Assignment, work: Work, live: Live) -> MergeReport:
    plan = await load_plan(work)
    live.count(0, plan.frames)
    live.stage(Stage.MERGING, f"Merging {len(plan.segments)} segments, {plan.frames} frames.")
    names = await _segment_names(work, plan)
    url = await open_source(assignment, plan)
    destination = open_storage(assignment.job.spec.output.uri, assignment.base)
    with scratch_folder() as folder:
        files = await _fetch(work, plan, names, folder, live)
        needed = sum(file.path.stat().st_size for file in files)
        with destination.output(assignment.output_key, source=url, needed_bytes=needed) as output:
            merged = await _join(files, plan, url, assignment.job.spec.options.format, output)
            live.stage(UPLOADING, f"Writing the output, {merged.verified.size_bytes / 1e6:.1f} MB.")
            # Leaving the context ends an upload; so it need not be waited for when the pod is stopped.
            final = await asyncio.to_thread(output.commit, live.transferred)
    status = await asyncio.to_thread(_status, assignment, destination, final, plan, merged)
    report = MergeReport(output=status, warnings=list(merged.warnings))
    await work.put(MERGED, encode_report(report).encode())
    live.say(f"The output is {status.uri}.")
    return report


async def _segment_names(work: Work, plan: Plan) -> list[str]:
    """Return the names of the segments' files; raises RenderError, which another try may mend, if some are missing."""
    claim = await read_claim(work)
    if claim is None:
        raise RenderError("No segment of the job is among its work files.", hint="Render the segments first.")
    names = [WorkFiles.segment(segment.content_key, claim.encoder) for segment in plan.segments]
    there = await work.do_all([partial(_exists, name) for name in names], at_once=LOOKS)
    missing = [number for number, found in enumerate(there) if not found]
    if missing:
        what = f"Segment {missing[0]} is" if len(missing) == 1 else f"Segments {format_ranges(missing)} are"
        raise RenderError(
            f"{what} not among the job's work files ({names[missing[0]]}), of {len(names)} segments.",
            hint="Render what is missing again; and see that nothing but the job removes its work files.",
            segment=missing[0],
        )
    return names


def _exists(name: str, store: WorkStore) -> bool:
    return store.exists(name)


async def _fetch(work: Work, plan: Plan, names: Sequence[str], folder: Path, live: Live) -> list[SegmentFile]:
    fetched = 0

    def count(file: SegmentFile) -> None:
        nonlocal fetched
        fetched += file.frames
        live.count(fetched, plan.frames)

    def fetch(segment: SegmentPlan, store: WorkStore) -> SegmentFile:
        file = SegmentFile(folder / f"segment-{segment.index}.mp4", segment.frames)
        store.download(names[segment.index], file.path)
        return file

    return await work.do_all([partial(fetch, segment) for segment in plan.segments], at_once=DOWNLOADS, on_done=count)


async def _join(files: list[SegmentFile], plan: Plan, url: str, container: Format, output: Output) -> MergeResult:
    return await merge(
        files,
        source=plan.source,
        url=url,
        rate=plan.exact_rate,
        width=plan.width,
        height=plan.height,
        format=container,
        output=output.path,
    )


def _status(assignment: Assignment, destination: Storage, final: str, plan: Plan, merged: MergeResult) -> OutputStatus:
    wanted = assignment.job.spec.output
    return OutputStatus(
        uri=wanted.uri if "://" in wanted.uri else final,
        url=destination.public_url(wanted.public_base_url, wanted.presign_seconds),
        size_bytes=merged.verified.size_bytes,
        duration_seconds=float(plan.duration),
        frames=merged.verified.frames,
        sha256=merged.verified.sha256,
    )


async def _done_before(work: Work) -> MergeReport | None:
    raw = await work.get(MERGED)
    report = decode_report(raw.decode(errors="replace")) if raw else None
    return report if isinstance(report, MergeReport) else None


async def _clean(work: Work, report: MergeReport, live: Live) -> MergeReport:
    """Remove the work files; the output is there, so that it fails is a warning."""
    try:
        await work.do(lambda store: store.clean(keep=MERGED))
        await work.do(lambda store: store.clean())
    except RenderError as error:
        warning = f"Work files are left behind: {error.message}"
        live.warn(warning)
        return report.model_copy(update={"warnings": [*report.warnings, warning]})
    return report
