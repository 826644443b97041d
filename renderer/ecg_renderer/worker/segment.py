"""`ecg-render worker segment`: render one segment of a planned job.

1. read plan and scenario           4. capture, overlay, encode; each cell goes to the store when it is finished
2. agree on the encoder             5. a job's only segment, of its own video: merge at once
3. which cells are there already?

A browser comes up meanwhile: almost every segment needs one. The only segment may be rendered by the pod that planned.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path

from ecg_api.plan import SegmentPlan
from ecg_api.pods import MergeReport, PlanReport, SegmentReport
from ecg_api.status import MemoryTrend, RenderMetrics
from ecg_common.children import tree_memory
from ecg_renderer.browser import BrowserLauncher
from ecg_renderer.errors import PiecesGone, RenderError
from ecg_renderer.media.encoder import EncoderChoice
from ecg_renderer.metering import MemoryMeter, RenderMeter, Stage, keep_freed_memory
from ecg_renderer.model import MEGABYTE
from ecg_renderer.planning import alike
from ecg_renderer.rendering import Part, Surroundings, render
from ecg_renderer.request import Settings
from ecg_renderer.storage import Cell, CellStore, Found, Work, told_again
from ecg_renderer.worker.live import Live
from ecg_renderer.worker.merge import clean_up, done_before, merge_takes
from ecg_renderer.worker.pod import Assignment, scratch_folder
from ecg_renderer.worker.work import PlannedTake, agree_on_encoder, load_takes, segments_of, take_with, watched

MOST_SECONDS_WITHOUT_PLAN = 60.0
"""The plan of a job in one pod is on its status in the end only. So long people wait for what it says, no longer."""


async def plan_and_render(
    plan: Callable[[BrowserLauncher], Awaitable[PlanReport]],
    assignment: Assignment,
    settings: Settings,
    live: Live,
    announce: Callable[[PlanReport], None],
    launcher: BrowserLauncher,
) -> PlanReport:
    """Plan and, if one segment of the job's own video is all there is to render, and is short, go on with it.

    That spares a short video another pod: its start, its imports, its end. Raises as the plan and `render_segment` do.
    """
    report = await plan(launcher)
    own_video = report.segments == 1 and (not report.takes or report.takes[0].segments)
    if not own_video or report.plan.estimated_seconds > MOST_SECONDS_WITHOUT_PLAN:
        return report
    launcher.warm()  # the plan has used the other

    def tell(rendered: SegmentReport) -> None:
        announce(report.model_copy(update={"rendered": rendered}))

    rendered = await render_segment(assignment, 0, settings, live, tell, launcher)
    return report.model_copy(update={"rendered": rendered})


async def render_segment(
    assignment: Assignment,
    number: int,
    settings: Settings,
    live: Live,
    announce: Callable[[SegmentReport], None],
    launcher: BrowserLauncher,
) -> SegmentReport:
    """Render what is not in the store of segment `number`; make the output, too, if all the rest is in the store.

    Not if the segment is of another size: what goes wrong with the output would be put down to that.

    `announce` is told the report before work files are removed. `launcher` may have begun to start a browser; closing
    it is the caller's. Raises a RenderError that names the segment.
    """
    try:
        return await _Segment(assignment, number, settings, live, launcher).run(announce)
    except RenderError as error:
        if error.segment is None:
            error.segment = number
        raise


class _Segment:
    def __init__(
        self, assignment: Assignment, number: int, settings: Settings, live: Live, launcher: BrowserLauncher
    ) -> None:
        self._assignment = assignment
        self._number = number
        self._settings = settings
        self._live = live
        self._launcher = launcher
        self._work = Work(assignment.work_uri)
        self._store = CellStore(assignment.cells_uri)
        self._found: list[Found] = []

    async def run(self, announce: Callable[[SegmentReport], None]) -> SegmentReport:
        takes, merged = await self._takes()
        if merged:
            self._live.say("An earlier try has finished the output already.")
            done = _report(self._number, merged.output.frames, None, RenderMetrics(), reused=True)
            return await self._finished(done, merged, announce)
        planned = take_with(takes, self._number)
        segment = planned.segment(self._number)
        self._live.begin_segment(segment.model_copy(update={"index": self._number}))
        self._live.stage(Stage.STARTING, f"Segment {self._number} of {segments_of(takes)}: {_frames_of(segment)}.")
        planned, choice = await self._with_encoder(planned)
        with scratch_folder() as folder:
            async with self._watched(planned, folder):
                report = await self._render(planned, segment, folder, choice)
            if not _merges(takes):
                return report
            takes[planned.number] = planned
            merged = await merge_takes(self._assignment, self._work, takes, folder, self._live)
        return await self._finished(report, merged, announce)

    async def _takes(self) -> tuple[list[PlannedTake], MergeReport | None]:
        """Return the job's takes, and the report of an earlier try if that wrote the output.

        One that was killed while it removed work files may have left nothing but its report. Raises PiecesGone.
        """
        try:
            takes = await load_takes(self._work, self._assignment)
        except PiecesGone:
            if merged := await done_before(self._work):
                return [], merged
            raise
        return takes, await done_before(self._work) if _merges(takes) else None

    async def _finished(
        self, report: SegmentReport, merged: MergeReport, announce: Callable[[SegmentReport], None]
    ) -> SegmentReport:
        announce(report.model_copy(update={"merged": merged}))
        merged = await clean_up(self._work, merged, self._live)
        return report.model_copy(update={"merged": merged})

    async def _with_encoder(self, planned: PlannedTake) -> tuple[PlannedTake, EncoderChoice]:
        """Agree on the encoder of a take; captions alone need none. The job's own is the one that its status names."""
        prepared = planned.prepared
        if not planned.take.video:
            return planned, EncoderChoice(prepared.plan.target.encoder, "")
        options, depth = prepared.encoding
        size = prepared.plan.target.width, prepared.plan.target.height
        choice = await agree_on_encoder(self._work, options, bit_depth=depth, size=size, take=planned.number)
        if planned.number == 0:
            self._live.encode_with(choice)
        return replace(planned, prepared=prepared.encoded_by(choice)), choice

    def _watched(self, planned: PlannedTake, folder: Path) -> AbstractAsyncContextManager[None]:
        """Let people watch the job's own video; nobody watches its renditions."""
        if planned.number:
            return nullcontext()
        return watched(self._assignment, planned.prepared, self._number, planned.folder(folder), self._live)

    async def _render(
        self, planned: PlannedTake, segment: SegmentPlan, folder: Path, choice: EncoderChoice
    ) -> SegmentReport:
        prepared, live = planned.prepared, self._live
        plan, cells = prepared.plan, prepared.plan.cells_of(segment)
        of_video = await self._missing({cell: prepared.cell(cell) for cell in cells if planned.take.video})
        of_alone = await self._missing({cell: prepared.captions_cell(cell) for cell in cells if planned.take.alone})
        missing = of_video | of_alone
        report = partial(_report, self._number, segment.frames, choice if planned.number == 0 else None)
        again = told_again(self._found)  # an earlier try may have ended without a report
        if not missing:
            live.say(f"Segment {self._number} is in the store already; nothing to render.")
            live.count(segment.frames, segment.frames)
            return report(RenderMetrics(), reused=True, warnings=again)
        keep_freed_memory()
        gc.freeze()  # what was imported stays, and need not be looked through
        left = sum(prepared.cell(cell).frames for cell in missing)
        meter = RenderMeter(
            live,
            encoder=choice.encoder if planned.take.video else "",
            frames=segment.frames,
            before=segment.frames - left,
            segments=len(plan.segments),
            began=time.monotonic(),
        )
        live.meter = meter
        if not any(plan.cells[cell].captioned_frames for cell in missing):
            await self._launcher.close()  # it was warmed for nothing
        async with MemoryMeter().running() as memory:
            live.memory = memory
            here = Surroundings(self._settings, planned.folder(folder), self._launcher, self._store)
            parts = [Part(*run) for run in alike(sorted(missing), of_video, of_alone)]
            async with aclosing(render(prepared, parts, here, meter)) as finished:
                async for piece in finished:
                    cell = (prepared.captions_cell if piece.alone else prepared.cell)(piece.number)
                    await self._store.keep(cell, piece.path, live.transferred, piece.found)
            # Short segments end before the first sample.
            peak = max(memory.peak_mb, await asyncio.to_thread(tree_memory) / MEGABYTE)
        return report(_metrics(meter, left, peak, memory.trend), warnings=[*again, *meter.warnings])

    async def _missing(self, cells: Mapping[int, Cell]) -> set[int]:
        there = await self._store.present(list(cells.values()))
        self._found += [found for number in sorted(there) for found in there[number]]
        return {number for place, number in enumerate(cells) if place not in there}


def _merges(takes: Sequence[PlannedTake]) -> bool:
    """Tell whether the job has one segment, and that is of its own video."""
    return segments_of(takes) == len(takes[0].segments) == 1


def _metrics(meter: RenderMeter, frames: int, peak_mb: float, trend: MemoryTrend) -> RenderMetrics:
    dropped = meter.streaming().dropped_frames
    return RenderMetrics(
        frames_processed=frames,
        frames_dropped=dropped,
        drop_rate=min(1.0, dropped / frames),
        memory_peak_mb=round(peak_mb, 1),
        memory_trend=trend,
    )


def _report(
    number: int,
    frames: int,
    choice: EncoderChoice | None,
    metrics: RenderMetrics,
    *,
    reused: bool = False,
    warnings: Sequence[str] = (),
) -> SegmentReport:
    return SegmentReport(
        segment=number,
        frames=frames,
        encoder=choice.encoder if choice else "",
        encoder_reason=choice.reason if choice else "",
        reused=reused,
        metrics=metrics,
        warnings=list(dict.fromkeys(warnings)),
    )


def _frames_of(segment: SegmentPlan) -> str:
    captions = f"captions on {segment.captioned_frames}" if segment.captioned_frames else "no captions"
    return f"frames {segment.start} to {segment.end - 1}, {captions}"
