"""`ecg-render worker segment`: render one segment of a planned job.

1. read plan and scenario           4. capture, overlay, encode, into a scratch folder
2. agree on the encoder             5. upload the segment, then the report that makes it a finished one
3. finished already? then done
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

from ecg_api.plan import SegmentPlan
from ecg_api.pods import SegmentReport, WorkFiles, decode_report, encode_report
from ecg_api.status import MemoryTrend, RenderMetrics
from ecg_common.children import tree_memory
from ecg_renderer.browser import BrowserLauncher
from ecg_renderer.capture.ways import open_capture
from ecg_renderer.errors import RenderError
from ecg_renderer.frames import MEGABYTE
from ecg_renderer.media.encoder import EncoderChoice
from ecg_renderer.memory import MemoryMeter, keep_freed_memory
from ecg_renderer.model import FrameRange
from ecg_renderer.preparation import PreparedJob
from ecg_renderer.progress import Stage
from ecg_renderer.segments import RenderedSegments, RenderProgress, SegmentRenderer
from ecg_renderer.settings import Settings
from ecg_renderer.storage import WorkDir
from ecg_renderer.storage.work_store import WorkStore
from ecg_renderer.worker.assignment import Assignment
from ecg_renderer.worker.claim import agree_on_encoder
from ecg_renderer.worker.live import UPLOADING, Live
from ecg_renderer.worker.scratch import scratch_folder
from ecg_renderer.worker.work import Work, load_job, open_source


async def render_segment(assignment: Assignment, number: int, settings: Settings, live: Live) -> SegmentReport:
    """Render segment `number` of the job, if it is not among the work files already.

    Raises a RenderError that names the segment.
    """
    try:
        return await _render_segment(assignment, number, settings, live)
    except RenderError as error:
        if error.segment is None:
            error.segment = number
        raise


async def _render_segment(assignment: Assignment, number: int, settings: Settings, live: Live) -> SegmentReport:
    work = Work(assignment.work_uri)
    stored = await load_job(work)
    segment = stored.segment(number)
    live.begin_segment(segment)
    live.stage(Stage.STARTING, f"Segment {number} of {len(stored.plan.segments)}: {_frames_of(segment)}.")
    options = assignment.job.spec.options
    encoder = await agree_on_encoder(work, options, bit_depth=stored.plan.source.bit_depth)
    live.encode_with(encoder)
    finished = await _finished(work, segment, encoder)
    if finished:
        live.say(f"Segment {number} is among the work files already; nothing to render.")
        live.count(segment.frames, segment.frames)
        return finished
    url = await open_source(assignment, stored.plan)
    prepared = PreparedJob(assignment.job, url, stored.scenario, encoder, stored.plan)
    with scratch_folder() as folder:
        file, metrics = await _render(prepared, segment, folder, settings, live)
        live.stage(UPLOADING, f"Uploading segment {number}, {file.stat().st_size / 1e6:.1f} MB.")
        report = _report(segment, encoder, metrics)
        await work.do(partial(_store, segment, report, file, live))
    live.say(f"Segment {number} is finished.")
    return report


async def _finished(work: Work, segment: SegmentPlan, encoder: EncoderChoice) -> SegmentReport | None:
    """Return the report about a segment that an earlier pod finished; None if there is none that fits."""
    names = WorkFiles.segment_report(segment.content_key, encoder.encoder), _file_of(segment, encoder)
    raw = await work.get(names[0])
    report = decode_report(raw.decode(errors="replace")) if raw else None
    if not isinstance(report, SegmentReport) or report.frames != segment.frames:
        return None
    if not await work.do(lambda store: store.exists(names[1])):
        return None
    changes = {"segment": segment.index, "encoder_reason": encoder.reason, "reused": True}
    return report.model_copy(update=changes)


async def _render(
    prepared: PreparedJob, segment: SegmentPlan, folder: Path, settings: Settings, live: Live
) -> tuple[Path, RenderMetrics]:
    keep_freed_memory()
    gc.freeze()  # what was imported stays, and need not be looked through
    progress = RenderProgress(live, prepared, time.monotonic())
    with WorkDir(folder / "work") as work:
        renderer = SegmentRenderer(prepared, work, settings, progress, only={segment.index})
        live.queue = renderer.queue
        async with MemoryMeter().running() as memory, AsyncExitStack() as stack:
            live.memory = memory
            if renderer.need_captions:
                await stack.enter_async_context(_capturing(renderer, prepared, segment, settings, live))
            rendered = await renderer.render_all()
            # Short segments end before the first sample.
            peak = max(memory.peak_mb, await asyncio.to_thread(tree_memory) / MEGABYTE)
    for warning in rendered.warnings:
        live.warn(warning)
    return rendered.files[0].path, _metrics(segment, rendered, peak, memory.trend)


@asynccontextmanager
async def _capturing(
    renderer: SegmentRenderer, prepared: PreparedJob, segment: SegmentPlan, settings: Settings, live: Live
) -> AsyncIterator[None]:
    launcher = BrowserLauncher()
    launcher.warm()
    try:
        async with open_capture(
            settings.capture,
            prepared.scene(),
            prepared.conversion,
            stages=settings.stages,
            frame_timeout=settings.frame_timeout,
            launcher=launcher,
            blocks=prepared.blocks(FrameRange(segment.start, segment.end)),
        ) as choice:
            for note in choice.notes:
                live.warn(note)
            renderer.capture = choice.capture
            yield
    finally:
        await launcher.close()


def _metrics(segment: SegmentPlan, rendered: RenderedSegments, peak_mb: float, trend: MemoryTrend) -> RenderMetrics:
    dropped = rendered.streaming.dropped_frames
    return RenderMetrics(
        frames_processed=segment.frames,
        frames_dropped=dropped,
        drop_rate=min(1.0, dropped / segment.frames),
        memory_peak_mb=round(peak_mb, 1),
        memory_trend=trend,
    )


def _report(segment: SegmentPlan, encoder: EncoderChoice, metrics: RenderMetrics) -> SegmentReport:
    return SegmentReport(
        segment=segment.index,
        frames=segment.frames,
        encoder=encoder.encoder,
        encoder_reason=encoder.reason,
        metrics=metrics,
    )


def _store(segment: SegmentPlan, report: SegmentReport, file: Path, live: Live, store: WorkStore) -> None:
    store.upload(file, _file_of(segment, report), live.transferred)
    # After the file: where a report is, the file is whole.
    name = WorkFiles.segment_report(segment.content_key, report.encoder)
    store.put(name, encode_report(report).encode())


def _file_of(segment: SegmentPlan, made_by: EncoderChoice | SegmentReport) -> str:
    return WorkFiles.segment(segment.content_key, made_by.encoder)


def _frames_of(segment: SegmentPlan) -> str:
    captions = f"captions on {segment.captioned_frames}" if segment.captioned_frames else "no captions"
    return f"frames {segment.start} to {segment.end - 1}, {captions}"
