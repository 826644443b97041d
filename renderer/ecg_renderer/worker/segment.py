"""`ecg-render worker segment`: render one segment of a planned job.

1. read plan and scenario           4. capture, overlay, encode; each cell goes to the store when it is finished
2. agree on the encoder             5. the only segment of a job: merge, here and now
3. which cells are there already?
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path

from ecg_api.plan import SegmentPlan
from ecg_api.pods import MergeReport, SegmentReport
from ecg_api.status import MemoryTrend, RenderMetrics
from ecg_common.children import tree_memory
from ecg_renderer.browser import BrowserLauncher
from ecg_renderer.errors import ManifestError, RenderError
from ecg_renderer.frames import MEGABYTE
from ecg_renderer.media.encoder import EncoderChoice
from ecg_renderer.memory import MemoryMeter, keep_freed_memory
from ecg_renderer.metering import RenderMeter
from ecg_renderer.planning import runs_of
from ecg_renderer.preparation import PreparedJob
from ecg_renderer.progress import Stage
from ecg_renderer.rendering import Surroundings, render
from ecg_renderer.settings import Settings
from ecg_renderer.storage import CellStore, Work
from ecg_renderer.worker.assignment import Assignment
from ecg_renderer.worker.claim import agree_on_encoder
from ecg_renderer.worker.live import Live
from ecg_renderer.worker.merge import clean_up, done_before, merge_cells
from ecg_renderer.worker.scratch import scratch_folder
from ecg_renderer.worker.watching import watched
from ecg_renderer.worker.work import load_job


async def render_segment(
    assignment: Assignment, number: int, settings: Settings, live: Live, announce: Callable[[SegmentReport], None]
) -> SegmentReport:
    """Render what is not in the store of segment `number`; if the job has no other, make its output too.

    `announce` is told the report before work files are removed. Raises a RenderError that names the segment.
    """
    try:
        return await _Segment(assignment, number, settings, live).run(announce)
    except RenderError as error:
        if error.segment is None:
            error.segment = number
        raise


class _Segment:
    def __init__(self, assignment: Assignment, number: int, settings: Settings, live: Live) -> None:
        self._assignment = assignment
        self._number = number
        self._settings = settings
        self._live = live
        self._work = Work(assignment.work_uri)
        self._store = CellStore(assignment.cells_uri)

    async def run(self, announce: Callable[[SegmentReport], None]) -> SegmentReport:
        prepared = await load_job(self._work, self._assignment)
        segment = _segment(prepared, self._number)
        self._live.begin_segment(segment)
        say = f"Segment {self._number} of {len(prepared.plan.segments)}: {_frames_of(segment)}."
        self._live.stage(Stage.STARTING, say)
        options, bit_depth = prepared.encoding
        target = prepared.plan.target
        size = target.width, target.height
        choice = await agree_on_encoder(self._work, options, bit_depth=bit_depth, size=size)
        self._live.encode_with(choice)
        prepared = prepared.encoded_by(choice)
        with scratch_folder() as folder:
            async with watched(self._assignment, prepared, self._number, folder, self._live):
                report = await self._render(prepared, segment, folder, choice)
            if len(prepared.plan.segments) > 1:
                return report
            merged = await done_before(self._work) or await self._merge(prepared, folder)
        report = report.model_copy(update={"merged": merged})
        announce(report)
        merged = await clean_up(self._work, merged, self._live)
        return report.model_copy(update={"merged": merged})

    async def _merge(self, prepared: PreparedJob, folder: Path) -> MergeReport:
        return await merge_cells(self._assignment, self._work, prepared, folder, self._live)

    async def _render(
        self, prepared: PreparedJob, segment: SegmentPlan, folder: Path, choice: EncoderChoice
    ) -> SegmentReport:
        plan, live = prepared.plan, self._live
        cells = plan.cells_of(segment)
        there = await self._store.present([prepared.cell(number) for number in cells])
        missing = [cell for place, cell in enumerate(cells) if place not in there]
        if not missing:
            live.say(f"Segment {segment.index} is in the store already; nothing to render.")
            live.count(segment.frames, segment.frames)
            return _report(segment, choice, RenderMetrics(), reused=True)
        keep_freed_memory()
        gc.freeze()  # what was imported stays, and need not be looked through
        left = sum(prepared.cell(cell).frames for cell in missing)
        meter = RenderMeter(
            live,
            encoder=choice.encoder,
            frames=segment.frames,
            before=segment.frames - left,
            segments=len(plan.segments),
            began=time.monotonic(),
        )
        live.meter = meter
        launcher = BrowserLauncher()
        if any(plan.cells[cell].captioned_frames for cell in missing):
            launcher.warm()
        try:
            async with MemoryMeter().running() as memory:
                live.memory = memory
                here = Surroundings(self._settings, folder, launcher, self._store)
                async with aclosing(render(prepared, runs_of(missing), here, meter)) as finished:
                    async for number, path in finished:
                        await self._store.keep(prepared.cell(number), path, live.transferred)
                # Short segments end before the first sample.
                peak = max(memory.peak_mb, await asyncio.to_thread(tree_memory) / MEGABYTE)
        finally:
            await launcher.close()
        return _report(segment, choice, _metrics(meter, left, peak, memory.trend))


def _segment(prepared: PreparedJob, number: int) -> SegmentPlan:
    segments = prepared.plan.segments
    if number >= len(segments):
        raise ManifestError(f"There is no segment {number}: the plan has {len(segments)}, from 0 on.")
    return segments[number]


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
    segment: SegmentPlan, choice: EncoderChoice, metrics: RenderMetrics, *, reused: bool = False
) -> SegmentReport:
    return SegmentReport(
        segment=segment.index,
        frames=segment.frames,
        encoder=choice.encoder,
        encoder_reason=choice.reason,
        reused=reused,
        metrics=metrics,
    )


def _frames_of(segment: SegmentPlan) -> str:
    captions = f"captions on {segment.captioned_frames}" if segment.captioned_frames else "no captions"
    return f"frames {segment.start} to {segment.end - 1}, {captions}"
