"""A whole job on this machine.

1. plan        probe, scenario, encoder, segments       (Chromium starts meanwhile)
2. claim       the output's name and the work directory, before any work is done
3. render      every segment that is not there yet, one after the other, through one browser
4. merge       segments and the source's audio into a temporary file, read back and checked
5. commit      the final name; then the work directory goes
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, contextmanager

from ecg_api.rendering import RenderResult
from ecg_renderer.browser import BrowserLauncher
from ecg_renderer.capture.ways import CaptureChoice, open_capture
from ecg_renderer.media.merge import SegmentFile, merge
from ecg_renderer.media.verify import Verified
from ecg_renderer.memory import MemoryMeter, keep_freed_memory
from ecg_renderer.model import FrameRange
from ecg_renderer.planning.keys import job_key
from ecg_renderer.preparation import PreparedJob, prepare_job
from ecg_renderer.progress import Observer, ProgressReport, Stage
from ecg_renderer.request import RunRequest
from ecg_renderer.segments import RenderedSegments, RenderProgress, SegmentRenderer
from ecg_renderer.storage import Output, WorkDir, default_work_root, open_storage


async def run_job(request: RunRequest, observer: Observer, launcher: BrowserLauncher | None = None) -> RenderResult:
    """Render the job; the output has its final name when this returns.

    `launcher` may be one that was warmed before; it is closed here. Raises a RenderError; then nothing is left under
    the final name, and finished segments stay for the next run.
    """
    keep_freed_memory()
    gc.freeze()  # what was imported stays: looking through it again and again would cost 1 percent of the run
    launcher = launcher or BrowserLauncher()
    launcher.warm()
    try:
        return await _LocalRun(request, observer, launcher).run()
    finally:
        await launcher.close()


class _LocalRun:
    def __init__(self, request: RunRequest, observer: Observer, launcher: BrowserLauncher) -> None:
        self._request = request
        self._observer = observer
        self._launcher = launcher
        self._began = time.monotonic()
        self._seconds: dict[str, float] = {}
        self._warnings: list[str] = []

    async def run(self) -> RenderResult:
        """Render the job from beginning to end."""
        self._observer.report(ProgressReport(Stage.PLANNING))
        async with MemoryMeter().running() as memory:
            with self._timed(Stage.PLANNING):
                prepared = await prepare_job(self._request.job, self._request.base, self._request.cutting)
            self._warn(prepared.plan.warnings)
            destination = open_storage(self._request.job.spec.output.uri, self._request.base)
            key = job_key(prepared.plan.name, prepared.source.identity, destination.name)
            work = WorkDir(self._request.work_dir or default_work_root() / key)
            with destination.output(key, source=prepared.source_url) as output, work:
                rendered = await self._render(prepared, work)
                verified = await self._merge(prepared, rendered.files, output)
                # Leaving the context ends an upload, so it need not be waited for when the run is cancelled.
                final = await asyncio.to_thread(output.commit)
                if self._request.work_dir is None:
                    work.clean()
        return self._result(prepared, rendered, verified, memory, final)

    async def _render(self, prepared: PreparedJob, work: WorkDir) -> RenderedSegments:
        progress = RenderProgress(self._observer, prepared, self._began)
        segments = SegmentRenderer(prepared, work, self._request.settings, progress)
        progress.queue = segments.queue
        async with AsyncExitStack() as stack:
            if segments.need_captions:
                with self._timed(Stage.STARTING):
                    choice = await stack.enter_async_context(self._capture(prepared))
                self._warn(choice.notes)
                segments.capture = choice.capture
            with self._timed(Stage.RENDERING):
                rendered = await segments.render_all()
        self._warn(rendered.warnings)
        return rendered

    def _capture(self, prepared: PreparedJob) -> AbstractAsyncContextManager[CaptureChoice]:
        settings = self._request.settings
        return open_capture(
            settings.capture,
            prepared.scene(),
            prepared.conversion,
            stages=settings.stages,
            frame_timeout=settings.frame_timeout,
            launcher=self._launcher,
            blocks=prepared.blocks(FrameRange(0, prepared.plan.frames)),
        )

    async def _merge(self, prepared: PreparedJob, segments: list[SegmentFile], output: Output) -> Verified:
        plan = prepared.plan
        self._observer.report(ProgressReport(Stage.MERGING, plan.frames, plan.frames))
        with self._timed(Stage.MERGING):
            merged = await merge(
                segments,
                source=plan.source,
                url=prepared.source_url,
                rate=plan.exact_rate,
                width=plan.width,
                height=plan.height,
                format=self._request.job.spec.options.format,
                output=output.path,
            )
        self._warn(merged.warnings)
        return merged.verified

    def _result(
        self,
        prepared: PreparedJob,
        rendered: RenderedSegments,
        verified: Verified,
        memory: MemoryMeter,
        final: str,
    ) -> RenderResult:
        plan = prepared.plan
        return RenderResult(
            output=final,
            frames=plan.frames,
            frames_dropped=rendered.streaming.dropped_frames,
            distinct_frames=rendered.distinct_frames,
            duration_seconds=float(plan.duration),
            width=plan.width,
            height=plan.height,
            rate=plan.rate,
            size_bytes=verified.size_bytes,
            sha256=verified.sha256,
            capture=rendered.capture,
            stages=self._request.settings.stages,
            encoder=prepared.encoder.encoder,
            encoder_reason=prepared.encoder.reason,
            segments=len(plan.segments),
            segments_reused=rendered.reused,
            seconds={**self._seconds, "total": time.monotonic() - self._began},
            capture_milliseconds=rendered.capture_milliseconds,
            first_frame_seconds=rendered.first_frame_seconds,
            peak_memory_mb=memory.peak_mb,
            memory_trend=memory.trend,
            streaming=rendered.streaming,
            browser_restarts=rendered.browser_restarts,
            warnings=self._warnings,
        )

    def _warn(self, texts: Iterable[str]) -> None:
        for text in texts:
            self._warnings.append(text)
            self._observer.warn(text)

    @contextmanager
    def _timed(self, stage: Stage) -> Iterator[None]:
        began = time.monotonic()
        try:
            yield
        finally:
            self._seconds[stage] = time.monotonic() - began
