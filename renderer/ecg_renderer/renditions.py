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
from collections.abc import Sequence
from dataclasses import replace

from ecg_api.rendering import RenderResult
from ecg_api.renditions import Rendition, content_of
from ecg_api.status import RenditionStatus
from ecg_renderer.browser import BrowserLauncher
from ecg_renderer.errors import RenderError
from ecg_renderer.local import LocalRun
from ecg_renderer.memory import keep_freed_memory
from ecg_renderer.preparation import PreparedJob, prepare_job
from ecg_renderer.progress import Observer, ProgressReport, Stage
from ecg_renderer.request import RunRequest
from ecg_renderer.results import MAIN, Take, check_results, failed, takes_of, write_subtitles
from ecg_renderer.storage import CellStore, limit_cells


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
        told: set[str] = set()
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
        return main.model_copy(update={"outputs": outputs})

    async def _subtitles(self, prepared: PreparedJob) -> None:
        job = self._request.job
        for rendition in job.spec.renditions:
            if content_of(rendition) == "subtitles":
                made = await write_subtitles(job, rendition, prepared.scenario, self._request.base)
                self._outputs.append(made)

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
        of_video = [
            rendition for rendition in self._request.job.spec.renditions if rendition.uri == take.job.spec.output.uri
        ]
        missing: list[Rendition] = [*of_video, *take.alone]
        self._outputs += [
            failed(rendition, error) for rendition in dict.fromkeys(missing) if rendition.title not in there
        ]


class _Share:
    """An observer of one of several takes, whose frames are a share of all; they share the warnings `told`, too."""

    def __init__(self, observer: Observer, told: set[str], *, before: int, frames: int) -> None:
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
            self._told.add(text)
            self._observer.warn(text)
