"""`ecg-render worker merge`: join the cells to the finished video.

1. did an earlier try come as far as the output? then only its report is missing
2. fetch the cells, a few at a time, each checked by its seal
3. join them with the source's sound, into a temporary file, read back and checked
4. the output's final name, then files of subtitles, then a note of both
5. the work files go; cells that the namespace shares stay
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from ecg_api.plan import Plan
from ecg_api.pods import MergeReport, decode_report, encode_report
from ecg_api.ranges import format_ranges
from ecg_api.renditions import content_of
from ecg_api.status import OutputStatus, RenditionStatus
from ecg_renderer.errors import ManifestError, PiecesGone, RenderError
from ecg_renderer.media.arguments import CellFiles
from ecg_renderer.media.merge import MergeResult, merge
from ecg_renderer.metering import Stage
from ecg_renderer.results import MAIN, failed, result_of, soft_subtitles, uncopied, write_captions, write_subtitles
from ecg_renderer.storage import CellStore, Storage, Work, open_storage
from ecg_renderer.worker.live import UPLOADING, Live
from ecg_renderer.worker.pod import Assignment, scratch_folder
from ecg_renderer.worker.work import PlannedTake, load_takes, open_source, read_claim, watched

MERGED = "merged.json"
"""Note among the work files that the output has its final name: the merge's report."""


async def merge_job(
    assignment: Assignment,
    live: Live,
    announce: Callable[[MergeReport], None],
    given_up: frozenset[int] = frozenset(),
) -> MergeReport:
    """Write the output from the job's cells, and remove its work files.

    Sizes with a segment of `given_up` are left out.
    `announce` is told the report as soon as the output is there: a pod that is killed while it removes work files has
    done its work. Raises a RenderError; one that names a segment if one of its cells is missing.
    """
    work = Work(assignment.work_uri)
    report = await done_before(work)
    if report:
        live.say("An earlier try has finished the output already.")
    else:
        takes = [await _as_claimed(work, take) for take in await load_takes(work, assignment)]
        whole = [take for take in takes if take.segments.isdisjoint(given_up)]
        if takes[0] not in whole:
            raise ManifestError("A segment of the main video is given up; there is nothing to merge.")
        with scratch_folder() as folder:
            report = await _merge(assignment, work, whole, folder, live)
    announce(report)
    return await clean_up(work, report, live)


async def _as_claimed(work: Work, planned: PlannedTake) -> PlannedTake:
    claim = await read_claim(work, planned.number)
    return replace(planned, prepared=planned.prepared.encoded_by(claim)) if claim else planned


async def _merge(
    assignment: Assignment, work: Work, takes: Sequence[PlannedTake], folder: Path, live: Live
) -> MergeReport:
    if takes[0].segments:
        return await merge_takes(assignment, work, takes, folder, live)
    # No segment's pod lets people watch the main video: all of it was in the store.
    async with watched(assignment, takes[0].prepared, None, takes[0].folder(folder), live):
        return await merge_takes(assignment, work, takes, folder, live)


async def merge_takes(
    assignment: Assignment, work: Work, takes: Sequence[PlannedTake], folder: Path, live: Live
) -> MergeReport:
    """Write all of a job's results from its cells; those that lie below `folder` already need not be fetched.

    A rendition that fails does not keep the others from being written: it is listed with its failure.
    """
    job, (main, *others) = assignment.job, takes
    live.count(0, main.prepared.plan.target.frames)
    made = _Merging(assignment, folder, live)
    status = await made.main(main)
    for planned in others:
        await made.other(planned)
    outputs, warnings = made.outputs, list(dict.fromkeys(made.warnings))
    for rendition in job.spec.renditions:
        if content_of(rendition) == "subtitles":
            outputs.append(await write_subtitles(job, rendition, main.prepared.scenario, assignment.base))
    order = [MAIN, *(rendition.title for rendition in job.spec.renditions)]
    outputs.sort(key=lambda output: order.index(output.name))
    for warning in (missing := uncopied(outputs)):
        live.warn(warning)
    warnings += missing
    report = MergeReport(output=status, outputs=outputs if job.spec.renditions else [], warnings=warnings)
    await work.put(MERGED, encode_report(report).encode())
    live.say(f"The output is {status.uri}.")
    return report


class _Merging:
    """Writes the results of takes; `outputs` are those that are made, or have failed, `warnings` what was said."""

    def __init__(self, assignment: Assignment, folder: Path, live: Live) -> None:
        self._assignment = assignment
        self._folder = folder
        self._live = live
        self.outputs: list[RenditionStatus] = []
        self.warnings: list[str] = []

    async def main(self, planned: PlannedTake) -> OutputStatus:
        """Write the job's own video, and the captions alone of its size; return its status."""
        files = await self._fetched(planned)
        destination, final, merged = await self._video(planned, files)
        plan = planned.prepared.plan
        status = await asyncio.to_thread(_status, self._assignment, destination, final, plan, merged)
        values = status.model_dump(include={"uri", "url", "size_bytes", "frames", "sha256"}, by_alias=False)
        self.outputs.append(RenditionStatus(name=MAIN, content="video", replica=status.replica, **values))
        await self._alone(planned, files)
        return status

    async def other(self, planned: PlannedTake) -> None:
        """Write the results of another size. Raises PiecesGone."""
        files = await self._fetched(planned)
        if planned.take.video:
            wanted = self._assignment.job.spec.renditions
            rendition = next(one for one in wanted if one.uri == planned.take.job.spec.output.uri)
            try:
                destination, final, merged = await self._video(planned, files)
                job, verified = planned.take.job, merged.verified
                result = await asyncio.to_thread(result_of, job, rendition.title, "video", destination, final, verified)
            except RenderError as error:
                result = failed(rendition, error)
            self.outputs.append(result)
        await self._alone(planned, files)
        await asyncio.to_thread(shutil.rmtree, files.folder, ignore_errors=True)

    async def _fetched(self, planned: PlannedTake) -> CellFiles:
        plan = planned.prepared.plan
        frames = plan.target.frames
        self._live.stage(Stage.MERGING, f"Merging {len(plan.cells)} pieces, {frames} frames.")
        files = CellFiles(planned.folder(self._folder), 0, plan.cell_frames)
        await _fetch(self._assignment, planned, files, self._live)
        return files

    async def _video(self, planned: PlannedTake, files: CellFiles) -> tuple[Storage, str, MergeResult]:
        prepared, assignment, plan = planned.prepared, self._assignment, planned.prepared.plan
        paths = [files.path(number) for number in range(len(plan.cells))]
        destination = open_storage(planned.take.job.spec.output.uri, assignment.base)
        needed = sum(path.stat().st_size for path in paths)
        url = await open_source(assignment, plan)
        with destination.output(assignment.output_key, source=url, needed_bytes=needed) as output:
            merged = await merge(
                paths,
                target=plan.target,
                source=plan.source,
                url=url,
                output=output.path,
                subtitles=soft_subtitles(prepared),
            )
            self.warnings += merged.warnings
            self._live.stage(UPLOADING, f"Writing the output, {merged.verified.size_bytes / 1e6:.1f} MB.")
            # Leaving the context ends an upload; so it need not be waited for when the pod is stopped.
            final = await asyncio.to_thread(output.commit, self._live.transferred)
        return destination, final, merged

    async def _alone(self, planned: PlannedTake, files: CellFiles) -> None:
        prepared = planned.prepared
        numbers = range(len(prepared.plan.cells))
        cells = [(files.captions_path(cell), prepared.frames_of(range(cell, cell + 1))) for cell in numbers]
        for rendition in planned.take.alone:
            self.outputs.append(await write_captions(prepared, rendition, cells, self._assignment.base))


async def _fetch(assignment: Assignment, planned: PlannedTake, files: CellFiles, live: Live) -> None:
    """Fetch what is missing; raises PiecesGone if a cell is not in the store, or damaged.

    A damaged one is gone from the store then.
    """
    prepared, plan = planned.prepared, planned.prepared.plan
    numbers = range(len(plan.cells))
    of_video = {files.path(cell): (cell, prepared.cell(cell)) for cell in numbers if planned.take.video}
    of_alone = {
        files.captions_path(cell): (cell, prepared.captions_cell(cell)) for cell in numbers if planned.take.alone
    }
    wanted = {path: named for path, named in {**of_video, **of_alone}.items() if not path.exists()}
    total = plan.target.frames * (bool(of_video) + bool(of_alone))
    fetched = total - sum(cell.frames for _, cell in wanted.values())

    def count(frames: int) -> None:
        nonlocal fetched
        fetched += frames
        live.count(fetched * plan.target.frames // total, plan.target.frames)

    found = await CellStore(assignment.cells_uri).fetch({path: cell for path, (_, cell) in wanted.items()}, count)
    missing = {number: cell for path, (number, cell) in wanted.items() if path not in found}
    if not missing:
        return
    first = min(missing)
    segment = next((part.index for part in plan.segments if first in plan.cells_of(part)), None)
    raise PiecesGone(
        f"The pieces {format_ranges(set(missing))} of {len(plan.cells)} are not in the store, or were damaged: "
        f"{missing[first].name} is the first.",
        hint="Render the job once more; and see that nothing removes pieces before their jobs are done.",
        segment=None if segment is None else planned.first + segment,
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
        replica=destination.replica,
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
