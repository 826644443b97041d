"""One job on its way through a renderer.

1. an earlier renderer's result, if the service ended before it could be noted
2. admission       the video's address, looked up and checked
3. a slot          as many renderers as the settings allow
4. render          a child process; what it says becomes progress
5. settle          done, failed, or another try later
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

from ecg_api.failures import Failure, FailureCode
from ecg_api.rendering import MessageLine, ProgressLine, RenderResult
from ecg_api.status import RenderMetrics, RenditionStatus
from ecg_shim.backends.standalone import jobs
from ecg_shim.backends.standalone.context import Context
from ecg_shim.backends.standalone.jobs import Job, Moment
from ecg_shim.backends.standalone.process import (
    Child,
    EndedBy,
    Order,
    failure_among,
    judge,
    message_of,
    metrics_of,
    read_line,
    read_result,
    share_of,
)
from ecg_shim.backends.standalone.workspace import folder_key
from ecg_shim.failures import failure
from ecg_shim.legacy import say_failure, say_statistics, say_warning
from ecg_shim.model import Output, RenderOrder, RequestOptions, Streaming, Unavailable
from ecg_shim.tasks import unless

log = logging.getLogger(__name__)
T = TypeVar("T")

NOTE_SECONDS = 1.0
AGAIN_SECONDS = 2.0
LONGEST_WAIT_SECONDS = 60.0
MOST_WARNINGS = 50
# A job that takes the whole service down with it each time must end some day.
MOST_STARTS = 20
READING = "Reading video and scenario"


class Run:
    """Sees one job through, once.

    Attributes:
        waits_for_slot: it could be rendered now.
    """

    def __init__(self, context: Context, job: Job) -> None:
        self._context = context
        self._job = job
        self._began = time.monotonic()
        self._child: Child | None = None
        self._stop = asyncio.Event()
        self._broken_off = False
        self._tries = job.attempts + 1
        self._told: ProgressLine | None = None
        self._peak_mb = 0.0
        self.waits_for_slot = False

    @property
    def seconds_left(self) -> float:
        """How long it will probably still take."""
        if self._told and self._told.eta_seconds is not None:
            return self._told.eta_seconds + 1
        return max(1.0, self._context.typical - self._seconds)

    @property
    def _seconds(self) -> float:
        return time.monotonic() - self._began

    def stop(self) -> None:
        """End the renderer, or start none: the job was cancelled."""
        self._stop.set()
        if self._child:
            self._child.stop()

    def break_off(self) -> None:
        """End the renderer, or start none: the service ends; the job goes on when it is started again."""
        self._broken_off = True
        self.stop()

    async def see_through(self) -> None:
        """Work until the job, or this try of it, has ended and nothing of it runs any more."""
        job_id = self._job.state.job_id
        try:
            outcome = await self._outcome()
        except Unavailable:
            return  # the service ends, and the database with it
        except Exception as error:
            log.exception("Job %s", job_id)
            said = f"{type(error).__name__}: {error}. This is a mistake in the program."
            outcome = failure(FailureCode.UNEXPECTED_ERROR, said)
        if outcome is not None:
            with suppress(Unavailable):
                await self._settle(outcome)
        state, own = self._context.cache.get(job_id), self._job.state
        if state is None or state.status.terminal or state.payload_hash != own.payload_hash:
            await asyncio.to_thread(self._context.workspace.clear, job_id, own.payload_hash)

    async def _outcome(self) -> RenderResult | Failure | None:
        """Return how the try went, None if it was stopped. Raises Unavailable if it was broken off."""
        job = self._job
        if job.state.started_at is not None:
            path = self._context.workspace.result(job.state.job_id, job.state.payload_hash, job.seq)
            before = read_result(await asyncio.to_thread(lambda: path.read_bytes() if path.exists() else b""))
            if isinstance(before, RenderResult) and await self._output(before):
                log.info("Job %s had been rendered before the service was started again.", job.state.job_id)
                return before
        if job.attempts >= MOST_STARTS:
            return failure(FailureCode.UNEXPECTED_ERROR, f"The job was begun {job.attempts} times without an end.")
        admitted = await self._admitted()
        if admitted is None or isinstance(admitted, Failure):
            return admitted
        self.waits_for_slot = True
        if not await unless(self._stop, self._context.slots.acquire()):
            return None
        self.waits_for_slot = False
        try:
            return await self._begun(admitted)
        finally:
            self._context.slots.release()

    async def _admitted(self) -> RenderOrder | Failure | None:
        """Return what to render, its scenario yet to be read; None if the job was stopped meanwhile."""
        state = self._job.state
        options = RequestOptions.model_validate_json(self._job.options)
        order = RenderOrder(state.job_id, self._job.video_url, b"", options, state.callback_url, state.payload_hash)
        return order if self._context.admit is None else await unless(self._stop, self._context.admit(order))

    async def _begun(self, order: RenderOrder) -> RenderResult | Failure | None:
        """Render in the slot that the job has."""
        job = self._job
        path = self._context.workspace.scenario(job.state.job_id, job.state.payload_hash)
        try:
            scenario = await asyncio.to_thread(path.read_bytes)
        except OSError as error:
            said = f"The scenario of the job is gone from {path}: {error.strerror}."
            return failure(FailureCode.STORAGE_ACCESS_ERROR, said, "Send the job again.")
        if self._stop.is_set():
            return None
        call, typical = self._context.database.call, self._context.typical
        begun = await self._noted(lambda: call(jobs.begin, job.seq, READING, typical))
        if begun is None or self._stop.is_set():
            return None
        self._job = begun
        self._context.cache.publish(begun.state)
        return await self._render(dataclasses.replace(order, scenario=scenario))

    async def _render(self, order: RenderOrder) -> RenderResult | Failure | None:
        settings = self._context.settings
        limit = settings.job_seconds - self._job.spent
        self._began = time.monotonic()
        try:
            self._child = Child(await asyncio.to_thread(self._prepared, order), self._heard, settings.stop_seconds)
            if self._stop.is_set():
                return None
            noting = asyncio.create_task(self._note_progress())
            try:
                ended = await self._child.run(limit)
            finally:
                noting.cancel()
                await asyncio.gather(noting, return_exceptions=True)
        except OSError as error:
            return failure(
                FailureCode.SYSTEM_RESOURCE_ERROR,
                f"The renderer could not be started: {error.strerror or error}.",
                "Look after the service's disk, memory and number of processes.",
            )
        if ended.by is EndedBy.STOP:
            await self._hand_back()
            return None
        return judge(ended, settings.job_seconds)

    def _prepared(self, order: RenderOrder) -> Order:
        """Write the manifest; return what to start."""
        context, job_id, seq = self._context, order.job_id, self._job.seq
        target = context.outputs.target(job_id, order.options.format, order.options.storage)
        manifest = context.workspace.write_manifest(order, target)
        return Order(
            command=(
                *context.settings.command,
                *("run", str(manifest), "--json", "--progress", "json", "--cells", str(context.workspace.cells)),
            ),
            folder=manifest.parent,
            environment=context.settings.environment,
            result=context.workspace.result(job_id, order.payload_hash, seq),
            mark=f"{context.mark}{folder_key(job_id)}:{seq}",
        )

    def _heard(self, line: str) -> str | None:
        said = read_line(line)
        if isinstance(said, ProgressLine):
            self._told = said
            return None
        if isinstance(said, MessageLine):
            if said.event == "warning":
                say_warning(self._job.state.job_id, said.text)
            return said.text
        return said

    async def _note_progress(self) -> None:
        while True:
            await asyncio.sleep(NOTE_SECONDS)
            assert self._child is not None
            memory_mb = await asyncio.to_thread(self._child.memory_mb)
            self._peak_mb = max(self._peak_mb, memory_mb)
            told = self._told or ProgressLine(stage="planning")
            metrics = RenderMetrics(frames_processed=max(0, told.frames_done), memory_peak_mb=self._peak_mb)
            spent = self._job.spent + self._seconds
            moment = Moment(share_of(told), message_of(told), self.seconds_left, metrics, spent)
            with suppress(Unavailable):
                state = await self._context.database.quick(jobs.advance, self._job.seq, moment)
                if state:
                    self._context.cache.publish(
                        dataclasses.replace(state, streaming=Streaming(memory_mb, told.queued_frames))
                    )

    async def _settle(self, outcome: RenderResult | Failure) -> None:
        """Note the end of a job or of a try, however long the database takes for it."""
        if isinstance(outcome, RenderResult):
            try:
                output = await self._output(outcome)
            except OSError as error:
                outcome = failure(FailureCode.S3_UPLOAD_ERROR, f"{error}.", "Give the service AWS credentials.")
            else:
                if output is not None and not failure_among(outcome.outputs):
                    await self._complete(outcome, output)
                    return
                if output is not None:
                    await self._end_in_part(outcome, output)
                    return
                said = f"The renderer named {outcome.output}, but there is no such file."
                outcome = failure(FailureCode.RENDER_ERROR, said)
        say_failure(self._job.state.job_id, self._tries, outcome)
        if outcome.retryable and self._tries < self._context.settings.attempts:
            await self._postpone(outcome)
        else:
            await self._fail(outcome)

    async def _complete(self, result: RenderResult, output: Output) -> None:
        context, metrics = self._context, metrics_of(result)
        context.processed += metrics.frames_processed
        context.dropped += metrics.frames_dropped
        say_statistics(metrics)
        # A video that an earlier try had begun says nothing about how long one takes.
        measured = self._job.spent + self._seconds if self._child and not result.cells_reused else None
        outputs, concerns = self._told_outputs(result), result.concerns[:MOST_WARNINGS]
        state = await self._noted(
            lambda: context.database.call(
                jobs.complete, self._job.seq, output, metrics, measured, outputs, warnings=concerns
            )
        )
        context.cache.publish(state)
        await context.measure()

    async def _end_in_part(self, result: RenderResult, output: Output) -> None:
        """Try again what is missing, or note a job that has failed with the results that are there."""
        found = failure_among(result.outputs)
        assert found is not None
        say_failure(self._job.state.job_id, self._tries, found)
        if found.retryable and self._tries < self._context.settings.attempts:
            await self._postpone(found)
            return
        outputs = self._told_outputs(result)
        state = await self._noted(lambda: self._context.database.call(jobs.fail, self._job.seq, found, output, outputs))
        self._context.cache.publish(state)

    def _told_outputs(self, result: RenderResult) -> list[RenditionStatus]:
        return [self._context.outputs.listed(self._job.state.job_id, one) for one in result.outputs]

    async def _fail(self, failure: Failure) -> None:
        self._context.cache.publish(
            await self._noted(lambda: self._context.database.call(jobs.fail, self._job.seq, failure))
        )

    async def _postpone(self, failure: Failure) -> None:
        wait = min(LONGEST_WAIT_SECONDS, self._context.settings.retry_seconds * 2 ** (self._tries - 1))
        message = f"Trying again in {wait:.0f} s ({failure.code})"
        spent = self._job.spent + self._seconds
        self._context.cache.publish(
            await self._noted(
                lambda: self._context.database.call(jobs.postpone, self._job.seq, self._tries, message, wait, spent)
            )
        )

    async def _hand_back(self) -> None:
        spent = self._job.spent + self._seconds
        if self._broken_off:
            with suppress(Unavailable):
                await self._context.database.call(jobs.hand_back, self._job.seq, spent)

    async def _output(self, result: RenderResult) -> Output | None:
        arguments = (self._job.state.job_id, result.output, result.size_bytes, result.duration_seconds)
        return await asyncio.to_thread(self._context.outputs.finished, *arguments)

    async def _noted(self, call: Callable[[], Awaitable[T]]) -> T:
        """Call the database until it works: what a renderer has done must not be lost to a disk that is full now.

        Raises Unavailable if the service ends before that.
        """
        while True:
            try:
                return await call()
            except Unavailable as problem:
                log.error("Tried again in a moment: %s", problem)
                if self._broken_off:
                    raise
            await asyncio.sleep(AGAIN_SECONDS)
