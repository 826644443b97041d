"""A whole job on this machine.

1. plan        probe, scenario, encoder, cells; which of them are in the store     (Chromium starts meanwhile)
2. claim       the output's name, before any work is done
3. render      the cells that are missing, each kept, and shown to those who watch, as soon as it is finished
4. merge       all cells and the source's audio into a temporary file, read back and checked
5. commit      the final name; then the store is brought down to its limit
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from pathlib import Path

from ecg_api.rendering import RenderResult
from ecg_renderer.browser import BrowserLauncher
from ecg_renderer.event_stream import Publish, live_folder, nobody, watched
from ecg_renderer.media.arguments import CellFiles
from ecg_renderer.media.merge import merge
from ecg_renderer.media.verify import Verified
from ecg_renderer.memory import MemoryMeter, keep_freed_memory
from ecg_renderer.metering import RenderMeter
from ecg_renderer.preparation import PreparedJob, prepare_job, same_source
from ecg_renderer.progress import Observer, ProgressReport, Stage
from ecg_renderer.rendering import Surroundings, render
from ecg_renderer.request import RunRequest
from ecg_renderer.scenario import canonical_hash
from ecg_renderer.storage import CellStore, Output, limit_cells, open_storage, run_folder


async def run_job(request: RunRequest, observer: Observer, launcher: BrowserLauncher) -> RenderResult:
    """Render the job; the output has its final name when this returns.

    `launcher` stays the caller's to close. Raises a RenderError; then nothing is left under the final name, and
    finished cells stay for the next run.
    """
    keep_freed_memory()
    gc.freeze()  # what was imported stays: looking through it again and again would cost 1 percent of the run
    return await _LocalRun(request, observer, launcher).run()


class _LocalRun:
    def __init__(self, request: RunRequest, observer: Observer, launcher: BrowserLauncher) -> None:
        self._request = request
        self._observer = observer
        self._launcher = launcher
        self._store = CellStore(request.cells.as_uri())
        self._reuses = request.job.spec.reuse
        self._began = time.monotonic()
        self._seconds: dict[str, float] = {}
        self._warnings: list[str] = []

    async def run(self) -> RenderResult:
        """Render the job from beginning to end."""
        request = self._request
        self._observer.report(ProgressReport(Stage.PLANNING))
        async with MemoryMeter().running() as memory:
            with self._timed(Stage.PLANNING):
                prepared = await prepare_job(request.job, request.base, request.cutting, store=self._store)
            self._warn(prepared.plan.warnings)
            destination = open_storage(request.job.spec.output.uri, request.base)
            # Outlives edits of scenario and options: a second run of the same video waits, or is refused.
            key = canonical_hash([prepared.plan.name, prepared.source.identity, destination.name])
            with destination.output(key, source=prepared.source_url) as output, run_folder(request.cells) as folder:
                files = CellFiles(folder, 0, prepared.plan.cell_frames)
                async with self._watched(prepared, folder) as publish:
                    prepared = await self._reuse(prepared, files, publish)
                    meter = await self._render(prepared, files, publish)
                    verified = await self._merge(prepared, files, output)
                    # Leaving the context ends an upload, so it need not be waited for when the run is cancelled.
                    final = await asyncio.to_thread(output.commit)
        await asyncio.to_thread(limit_cells, request.cells, request.settings.cells_bytes)
        return self._result(prepared, meter, verified, memory, final)

    @asynccontextmanager
    async def _watched(self, prepared: PreparedJob, folder: Path) -> AsyncIterator[Publish]:
        """Let people watch, if the job says so; give what publishes a finished cell."""
        live = live_folder(self._request)
        if live is None:
            yield nobody
            return
        scratch = folder / "sound"
        scratch.mkdir()
        async with watched(live, prepared, scratch, self._store if self._reuses else None, self._say) as publish:
            yield publish

    async def _reuse(self, prepared: PreparedJob, files: CellFiles, publish: Publish) -> PreparedJob:
        """Take what is in the store into the folder; return the job with the rest to be rendered."""
        if not self._reuses:
            return prepared
        wanted = {files.path(number): prepared.cell(number) for number in range(len(prepared.plan.cells))}
        found = await self._store.fetch(wanted)
        kept = {number for number, path in enumerate(wanted) if path in found}
        for number in sorted(kept):
            await publish(number, files.path(number))
        return prepared.reusing(kept, self._request.cutting)

    async def _render(self, prepared: PreparedJob, files: CellFiles, publish: Publish) -> RenderMeter:
        plan = prepared.plan
        segments = [plan.cells_of(segment) for segment in plan.segments]
        meter = RenderMeter(
            self._observer,
            encoder=plan.target.encoder,
            frames=plan.target.frames,
            before=plan.target.frames - sum(segment.frames for segment in plan.segments),
            segments=len(segments),
            began=self._began,
        )
        here = Surroundings(self._request.settings, files.folder, self._launcher, self._store)
        with self._timed(Stage.RENDERING):
            async with aclosing(render(prepared, segments, here, meter)) as cells:
                async for number, path in cells:
                    if self._reuses:
                        await self._store.keep(prepared.cell(number), path)
                    await publish(number, path)
        self._seconds[Stage.STARTING] = meter.starting_seconds
        self._seconds[Stage.RENDERING] -= meter.starting_seconds
        self._warnings += meter.warnings
        return meter

    async def _merge(self, prepared: PreparedJob, files: CellFiles, output: Output) -> Verified:
        plan, frames = prepared.plan, prepared.plan.target.frames
        self._observer.report(ProgressReport(Stage.MERGING, frames, frames))
        with self._timed(Stage.MERGING):
            merged = await merge(
                [files.path(number) for number in range(len(plan.cells))],
                target=plan.target,
                source=plan.source,
                url=await same_source(open_storage(self._request.job.spec.source.uri, self._request.base), plan.source),
                output=output.path,
            )
        self._warn(merged.warnings)
        return merged.verified

    def _result(
        self, prepared: PreparedJob, meter: RenderMeter, verified: Verified, memory: MemoryMeter, final: str
    ) -> RenderResult:
        plan, target, streaming = prepared.plan, prepared.plan.target, meter.streaming()
        return RenderResult(
            output=final,
            frames=target.frames,
            frames_dropped=streaming.dropped_frames,
            distinct_frames=meter.distinct_frames,
            duration_seconds=float(target.duration),
            width=target.width,
            height=target.height,
            rate=target.rate,
            size_bytes=verified.size_bytes,
            sha256=verified.sha256,
            capture=meter.capture,
            stages=self._request.settings.stages,
            encoder=target.encoder,
            encoder_reason=prepared.encoder.reason,
            segments=len(plan.segments),
            cells=len(plan.cells),
            cells_reused=plan.reused_cells,
            seconds={**self._seconds, "total": time.monotonic() - self._began},
            capture_milliseconds=meter.capture_milliseconds,
            first_frame_seconds=meter.first_frame_seconds,
            peak_memory_mb=memory.peak_mb,
            memory_trend=memory.trend,
            streaming=streaming,
            browser_restarts=meter.browser_restarts,
            warnings=self._warnings,
        )

    def _warn(self, texts: Iterable[str]) -> None:
        for text in texts:
            self._say(text)

    def _say(self, text: str) -> None:
        self._warnings.append(text)
        self._observer.warn(text)

    @contextmanager
    def _timed(self, stage: Stage) -> Iterator[None]:
        began = time.monotonic()
        try:
            yield
        finally:
            self._seconds[stage] = time.monotonic() - began
