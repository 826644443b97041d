"""A whole job on this machine: its main video, and what else is made of the same source and scenario.

1. look        at the source, as far as the sizes of all results follow from it
2. prove       that every result can be written, before any work is done
3. subtitles   which need no pictures
4. takes       one size after the other: video, captions alone

A result that fails does not keep the others from being made; only then the job counts as failed.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path

from ecg_api.rendering import RenderResult
from ecg_api.renditions import Rendition, content_of
from ecg_api.status import RenditionStatus
from ecg_renderer.browser import BrowserLauncher
from ecg_renderer.errors import RenderError
from ecg_renderer.event_stream import Publish, live_folder, nobody, watched
from ecg_renderer.media.arguments import CellFiles
from ecg_renderer.media.merge import Verified, merge
from ecg_renderer.metering import MemoryMeter, Observer, ProgressReport, RenderMeter, Stage, keep_freed_memory
from ecg_renderer.planning import alike
from ecg_renderer.preparation import PreparedJob, prepare_job, same_source
from ecg_renderer.rendering import Part, Surroundings, render
from ecg_renderer.request import RunRequest
from ecg_renderer.results import (
    MAIN,
    Take,
    check_results,
    failed,
    result_of,
    soft_subtitles,
    takes_of,
    uncopied,
    write_captions,
    write_subtitles,
)
from ecg_renderer.scenario import canonical_hash
from ecg_renderer.storage import CellStore, Output, limit_cells, open_storage, run_folder


async def run_job(request: RunRequest, observer: Observer, launcher: BrowserLauncher) -> RenderResult:
    """Render the job; its outputs have their final names when this returns.

    `launcher` stays the caller's to close. Raises a RenderError if the main video is not made; then nothing is left
    under its name, and finished cells stay for the next run. A rendition that could not be made is listed with its
    failure among the outputs.
    """
    keep_freed_memory()
    gc.freeze()  # what was imported stays: looking through it again and again would cost 1 percent of the run
    if request.job.spec.renditions:
        result = await _WholeJob(request, observer, launcher).run()
    else:
        result = await LocalRun(request, observer, launcher).run()
    await asyncio.to_thread(limit_cells, request.cells, request.settings.cells_bytes)
    return result


class _WholeJob:
    def __init__(self, request: RunRequest, observer: Observer, launcher: BrowserLauncher) -> None:
        self._request = request
        self._observer = observer
        self._launcher = launcher
        self._outputs: list[RenditionStatus] = []

    async def run(self) -> RenderResult:
        request, job = self._request, self._request.job
        self._observer.report(ProgressReport(Stage.PLANNING))
        store = CellStore(request.cells.as_uri())
        prepared = await prepare_job(job, request.base, request.cutting, store=store)
        check_results(job, request.base, prepared.source, prepared.source_url)
        takes = takes_of(job, prepared.source)
        await self._subtitles(prepared)
        frames = prepared.plan.target.frames
        main: RenderResult | RenderError | None = None
        told: dict[str, None] = {}
        for number, take in enumerate(takes):
            watched = _Share(self._observer, told, before=number * frames, frames=frames * len(takes))
            made = await self._take(take, watched)
            main = made if number == 0 else main
        if isinstance(main, RenderError):
            for output in self._outputs:
                if output.failure is None:
                    self._observer.warn(f"Finished all the same: {output.uri}")
            raise main
        assert main is not None
        order = [MAIN, *(rendition.title for rendition in job.spec.renditions)]
        outputs = sorted(self._outputs, key=lambda output: order.index(output.name))
        routine = {*main.warnings} - {*main.concerns}
        warnings, concerns = list(told), [text for text in told if text not in routine]
        return main.model_copy(update={"outputs": outputs, "warnings": warnings, "concerns": concerns})

    async def _subtitles(self, prepared: PreparedJob) -> None:
        job = self._request.job
        for rendition in job.spec.renditions:
            if content_of(rendition) == "subtitles":
                made = await write_subtitles(job, rendition, prepared.scenario, self._request.base)
                self._outputs.append(made)
                for warning in uncopied([made]):
                    self._observer.warn(warning)

    async def _take(self, take: Take, observer: Observer) -> RenderResult | RenderError | None:
        """Make what is of one size; return what came of its video."""
        request = replace(self._request, job=take.job)
        run = LocalRun(request, observer, self._launcher, alone=take.alone, video=take.video)
        result: RenderResult | RenderError | None = None
        try:
            if take.video:
                result = await run.run()
            else:
                await run.run_captions()
        except RenderError as error:
            result = error
            self._note_failures(take, run.outputs, error)
        self._outputs += run.outputs
        return result

    def _note_failures(self, take: Take, made: Sequence[RenditionStatus], error: RenderError) -> None:
        """List what of a take is missing, each with the failure that ended it."""
        there = {output.name for output in made}
        renditions = self._request.job.spec.renditions
        self._outputs += [failed(one, error) for one in renditions if take.holds(one) and one.title not in there]


class _Share:
    """An observer of one of several takes, whose frames are a share of all; they share the warnings `told`, too."""

    def __init__(self, observer: Observer, told: dict[str, None], *, before: int, frames: int) -> None:
        self._observer = observer
        self._told = told
        self._before = before
        self._frames = frames

    def report(self, progress: ProgressReport) -> None:
        """Pass a report on, its frames counted over all takes."""
        if progress.stage is Stage.PLANNING and self._before:
            return
        if not progress.frames_total:
            self._observer.report(progress)
            return
        done = self._before + progress.frames_done
        speed = progress.frames_per_second
        eta = (self._frames - done) / speed if speed else None
        self._observer.report(replace(progress, frames_done=done, frames_total=self._frames, eta_seconds=eta))

    def warn(self, text: str) -> None:
        """Pass a warning on that no other take has had."""
        if text not in self._told:
            self._told[text] = None
            self._observer.warn(text)


# --- one size of a job: its video, and the captions alone of that size ----------------------------
# 1. plan        probe, scenario, encoder, cells; which of them are in the store     (Chromium starts meanwhile)
# 2. claim       the output's name, before any work is done
# 3. render      the cells that are missing, each kept, and shown to those who watch, as soon as it is finished
# 4. merge       all cells and the source's audio into a temporary file, read back and checked
# 5. commit      the final name
# 6. alone       captions alone, made of what was drawn for the video


class LocalRun:
    """Renders `request`, and of the same pictures the captions `alone`; without `video` only those.

    Attributes:
        outputs: what was made, failed ones included; each is added as soon as that is certain.
    """

    def __init__(
        self,
        request: RunRequest,
        observer: Observer,
        launcher: BrowserLauncher,
        *,
        alone: Sequence[Rendition] = (),
        video: str = "main",
    ) -> None:
        self._request = request
        self._observer = observer
        self._launcher = launcher
        self._alone = alone
        self._video = video
        self.outputs: list[RenditionStatus] = []
        self._store = CellStore(request.cells.as_uri())
        self._reuses = request.job.spec.reuse
        self._began = time.monotonic()
        self._seconds: dict[str, float] = {}
        self._warnings: list[str] = []

    async def run(self) -> RenderResult:
        """Render from beginning to end; the output has its final name when this returns.

        Raises a RenderError; then nothing is left under the final name, and finished cells stay for the next run.
        """
        request = self._request
        self._observer.report(ProgressReport(Stage.PLANNING))
        async with MemoryMeter().running() as memory:
            with self._timed(Stage.PLANNING):
                prepared = await prepare_job(
                    request.job, request.base, request.cutting, store=self._store, alone=bool(self._alone)
                )
            self._warn(prepared.plan.warnings)
            destination = open_storage(request.job.spec.output.uri, request.base)
            # Outlives edits of scenario and options: a second run of the same video waits, or is refused.
            key = canonical_hash([prepared.plan.name, prepared.source.identity, destination.name])
            with destination.output(key, source=prepared.source_url) as output, run_folder(request.cells) as folder:
                files = CellFiles(folder, 0, prepared.plan.cell_frames)
                async with self._watched(prepared, folder) as publish:
                    prepared, parts = await self._reuse(prepared, files)
                    for number in range(len(prepared.plan.cells)):
                        if files.path(number).exists():
                            await publish(number, files.path(number))
                    meter = await self._render(prepared, parts, files, publish)
                    verified = await self._merge(prepared, files, output)
                    # Leaving the context ends an upload, so it need not be waited for when the run is cancelled.
                    final = await asyncio.to_thread(output.commit)
                self.outputs.append(result_of(request.job, self._video, "video", destination, final, verified))
                await self._make_alone(prepared, files)
        self._warn(uncopied(self.outputs))
        return self._result(prepared, meter, verified, memory, final)

    async def run_captions(self) -> None:
        """Draw and write captions alone, without a video; raises a RenderError if they cannot be drawn."""
        request = self._request
        prepared = await prepare_job(request.job, request.base, request.cutting, store=self._store, alone=True)
        with run_folder(request.cells) as folder:
            files = CellFiles(folder, 0, prepared.plan.cell_frames)
            prepared, parts = await self._reuse(prepared, files, video=False)
            await self._render(prepared, parts, files, nobody)
            await self._make_alone(prepared, files)
        self._warn(uncopied(self.outputs))

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

    async def _reuse(
        self, prepared: PreparedJob, files: CellFiles, *, video: bool = True
    ) -> tuple[PreparedJob, list[Part]]:
        """Take what is in the store into the folder; return the job with the rest to be rendered, and its parts."""
        numbers = range(len(prepared.plan.cells))
        of_video = {files.path(number): prepared.cell(number) for number in numbers if video}
        of_alone = {files.captions_path(number): prepared.captions_cell(number) for number in numbers if self._alone}
        found = await self._store.fetch({**of_video, **of_alone}) if self._reuses else {}
        missing = {number for number in numbers if video and files.path(number) not in found}
        missing_alone = {number for number in numbers if self._alone and files.captions_path(number) not in found}
        kept = {
            number: (*found.get(files.path(number), ()), *found.get(files.captions_path(number), ()))
            for number in numbers
            if number not in missing | missing_alone
        }
        prepared = prepared.reusing(kept, self._request.cutting)
        self._warn(prepared.plan.warnings)
        segments = map(prepared.plan.cells_of, prepared.plan.segments)
        return prepared, [Part(*run) for cells in segments for run in alike(cells, missing, missing_alone)]

    async def _render(
        self, prepared: PreparedJob, parts: list[Part], files: CellFiles, publish: Publish
    ) -> RenderMeter:
        plan = prepared.plan
        meter = RenderMeter(
            self._observer,
            encoder=plan.target.encoder,
            frames=plan.target.frames,
            before=plan.target.frames - sum(segment.frames for segment in plan.segments),
            segments=len(parts),
            began=self._began,
            told=self._warnings,
        )
        here = Surroundings(self._request.settings, files.folder, self._launcher, self._store)
        with self._timed(Stage.RENDERING):
            async with aclosing(render(prepared, parts, here, meter)) as pieces:
                async for piece in pieces:
                    number = piece.number
                    if self._reuses:
                        cell = prepared.captions_cell(number) if piece.alone else prepared.cell(number)
                        await self._store.keep(cell, piece.path, found=piece.found)
                    if not piece.alone:
                        await publish(number, piece.path)
        self._seconds[Stage.STARTING] = meter.starting_seconds
        self._seconds[Stage.RENDERING] -= meter.starting_seconds
        self._warnings += meter.warnings
        return meter

    async def _make_alone(self, prepared: PreparedJob, files: CellFiles) -> None:
        """Write the captions alone of what was drawn; one that fails does not keep the others from being written."""
        cells = [
            (files.captions_path(number), prepared.frames_of(range(number, number + 1)))
            for number in range(len(prepared.plan.cells))
        ]
        for rendition in self._alone:
            made = await write_captions(prepared, rendition, cells, self._request.base)
            self.outputs.append(made)

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
                subtitles=soft_subtitles(prepared),
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
            concerns=prepared.concerns(self._warnings),
        )

    def _warn(self, texts: Iterable[str]) -> None:
        for text in texts:
            self._say(text)

    def _say(self, text: str) -> None:
        if text not in self._warnings:
            self._warnings.append(text)
            self._observer.warn(text)

    @contextmanager
    def _timed(self, stage: Stage) -> Iterator[None]:
        began = time.monotonic()
        try:
            yield
        finally:
            self._seconds[stage] = time.monotonic() - began
