"""`ecg-render worker merge`: join the cells to the finished video.

1. did an earlier try come as far as the output? then only its report is missing
2. fetch the cells, a few at a time, each checked by its seal
3. join them with the source's sound, into a temporary file, read back and checked
4. the output's final name, then a note that it has it
5. the work files go; cells that the namespace shares stay
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from ecg_api.plan import Plan
from ecg_api.pods import MergeReport, decode_report, encode_report
from ecg_api.ranges import format_ranges
from ecg_api.status import OutputStatus
from ecg_renderer.errors import RenderError
from ecg_renderer.media.arguments import CellFiles
from ecg_renderer.media.merge import MergeResult, merge
from ecg_renderer.preparation import PreparedJob
from ecg_renderer.progress import Stage
from ecg_renderer.storage import CellStore, Storage, Work, open_storage
from ecg_renderer.worker.assignment import Assignment
from ecg_renderer.worker.claim import read_claim
from ecg_renderer.worker.live import UPLOADING, Live
from ecg_renderer.worker.scratch import scratch_folder
from ecg_renderer.worker.watching import watched
from ecg_renderer.worker.work import load_job, open_source

MERGED = "merged.json"
"""Note among the work files that the output has its final name: the merge's report."""


async def merge_job(assignment: Assignment, live: Live, announce: Callable[[MergeReport], None]) -> MergeReport:
    """Write the output from the job's cells, and remove its work files.

    `announce` is told the report as soon as the output is there: a pod that is killed while it removes work files has
    done its work. Raises a RenderError; one that names a segment if one of its cells is missing.
    """
    work = Work(assignment.work_uri)
    report = await done_before(work)
    if report:
        live.say("An earlier try has finished the output already.")
    else:
        prepared = await load_job(work, assignment)
        claim = await read_claim(work)
        prepared = prepared.encoded_by(claim) if claim else prepared
        with scratch_folder() as folder:
            report = await _merge(assignment, work, prepared, folder, live)
    announce(report)
    return await clean_up(work, report, live)


async def _merge(assignment: Assignment, work: Work, prepared: PreparedJob, folder: Path, live: Live) -> MergeReport:
    if prepared.plan.segments:
        return await merge_cells(assignment, work, prepared, folder, live)
    # No other pod has had to do with the job: there was nothing to render.
    async with watched(assignment, prepared, None, folder, live):
        return await merge_cells(assignment, work, prepared, folder, live)


async def merge_cells(
    assignment: Assignment, work: Work, prepared: PreparedJob, folder: Path, live: Live
) -> MergeReport:
    """Write the output from the job's cells; those that lie in `folder` already need not be fetched."""
    plan = prepared.plan
    frames = plan.target.frames
    live.count(0, frames)
    live.stage(Stage.MERGING, f"Merging {len(plan.cells)} pieces, {frames} frames.")
    files = CellFiles(folder, 0, plan.cell_frames)
    await _fetch(assignment, prepared, files, live)
    paths = [files.path(number) for number in range(len(plan.cells))]
    destination = open_storage(assignment.job.spec.output.uri, assignment.base)
    needed = sum(path.stat().st_size for path in paths)
    url = await open_source(assignment, plan)
    with destination.output(assignment.output_key, source=url, needed_bytes=needed) as output:
        merged = await merge(paths, target=plan.target, source=plan.source, url=url, output=output.path)
        live.stage(UPLOADING, f"Writing the output, {merged.verified.size_bytes / 1e6:.1f} MB.")
        # Leaving the context ends an upload; so it need not be waited for when the pod is stopped.
        final = await asyncio.to_thread(output.commit, live.transferred)
    status = await asyncio.to_thread(_status, assignment, destination, final, plan, merged)
    report = MergeReport(output=status, warnings=list(merged.warnings))
    await work.put(MERGED, encode_report(report).encode())
    live.say(f"The output is {status.uri}.")
    return report


async def _fetch(assignment: Assignment, prepared: PreparedJob, files: CellFiles, live: Live) -> None:
    """Fetch what is missing; raises RenderError, which another try may mend, if a cell is not in the store, or damaged.

    A damaged one is gone from the store then.
    """
    plan = prepared.plan
    numbers = [number for number in range(len(plan.cells)) if not files.path(number).exists()]
    wanted = {files.path(number): prepared.cell(number) for number in numbers}
    fetched = plan.target.frames - sum(cell.frames for cell in wanted.values())

    def count(frames: int) -> None:
        nonlocal fetched
        fetched += frames
        live.count(fetched, plan.target.frames)

    found = await CellStore(assignment.cells_uri).fetch(wanted, count)
    missing = [number for number in numbers if files.path(number) not in found]
    if not missing:
        return
    segment = next((part.index for part in plan.segments if missing[0] in plan.cells_of(part)), None)
    raise RenderError(
        f"The pieces {format_ranges(missing)} of {len(plan.cells)} are not in the store, or were damaged: "
        f"{prepared.cell(missing[0]).name} is the first.",
        hint="Render the job once more; and see that nothing removes pieces before their jobs are done.",
        segment=segment,
    )


def _status(assignment: Assignment, destination: Storage, final: str, plan: Plan, merged: MergeResult) -> OutputStatus:
    wanted = assignment.job.spec.output
    return OutputStatus(
        uri=wanted.uri if "://" in wanted.uri else final,
        url=destination.public_url(wanted.public_base_url, wanted.presign_seconds),
        size_bytes=merged.verified.size_bytes,
        duration_seconds=float(plan.target.duration),
        frames=merged.verified.frames,
        sha256=merged.verified.sha256,
    )


async def done_before(work: Work) -> MergeReport | None:
    """Return the report of an earlier try that wrote the output, or None."""
    raw = await work.get(MERGED)
    report = decode_report(raw.decode(errors="replace")) if raw else None
    return report if isinstance(report, MergeReport) else None


async def clean_up(work: Work, report: MergeReport, live: Live) -> MergeReport:
    """Remove the work files; the output is there, so that it fails is a warning."""
    try:
        await work.do(lambda store: store.clean(keep=MERGED))
        await work.do(lambda store: store.clean())
    except RenderError as error:
        warning = f"Work files are left behind: {error.message}"
        live.warn(warning)
        return report.model_copy(update={"warnings": [*report.warnings, warning]})
    return report
