"""Plan and scenario as work files: written by the plan pod, read by all others.

The scenario is stored as it was prepared: a segment pod lays out the very same data, and needs neither the inline
scenario nor a ConfigMap that may be gone by then.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from ecg_api.plan import Plan, SegmentPlan
from ecg_api.pods import WorkFiles
from ecg_renderer.errors import ManifestError, SourceInvalid, StorageError, plain_failures
from ecg_renderer.preparation import PreparedJob
from ecg_renderer.scenario import Scenario
from ecg_renderer.storage import open_storage
from ecg_renderer.storage.work_store import WorkStore, open_work_store
from ecg_renderer.worker.assignment import Assignment

T = TypeVar("T")

_SCENARIO: TypeAdapter[Scenario] = TypeAdapter(Scenario)
_PLAN_AGAIN = "Run `ecg-render worker plan` again, with the same image."


@dataclass(frozen=True)
class Stored:
    """What the plan pod left."""

    plan: Plan
    scenario: Scenario

    def segment(self, number: int) -> SegmentPlan:
        """Return a segment by its number; raises ManifestError if the plan has none of that number."""
        if number >= len(self.plan.segments):
            raise ManifestError(f"There is no segment {number}: the plan has {len(self.plan.segments)}, from 0 on.")
        return self.plan.segments[number]


class Work:
    """A job's work files for asynchronous callers: each request in a thread of its own.

    A thread cannot be stopped; so one that is no longer waited for is told to come to its end, and does before the
    caller goes on: a file is not taken from under its feet.
    """

    def __init__(self, uri: str) -> None:
        self._store = open_work_store(uri)

    async def do(self, request: Callable[[WorkStore], T]) -> T:
        """Return what `request` returns for the store."""
        task = asyncio.ensure_future(asyncio.to_thread(request, self._store))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            self._store.stop()
            await asyncio.wait([task])
            if not task.cancelled():
                task.exception()  # looked at: it is of no interest any more
            raise

    async def do_all(
        self,
        requests: Sequence[Callable[[WorkStore], T]],
        *,
        at_once: int,
        on_done: Callable[[T], None] = lambda result: None,
    ) -> list[T]:
        """Return what `requests` return, in their order; `at_once` of them are under way at a time.

        The first failure is raised, and ends the rest.
        """
        turns = asyncio.Semaphore(at_once)

        async def take(request: Callable[[WorkStore], T]) -> T:
            async with turns:
                result = await self.do(request)
            on_done(result)
            return result

        with plain_failures():
            async with asyncio.TaskGroup() as tasks:
                running = [tasks.create_task(take(request)) for request in requests]
        return [task.result() for task in running]

    async def get(self, name: str) -> bytes | None:
        """Return the content of a work file, or None if it is not there."""
        return await self.do(lambda store: store.get(name))

    async def put(self, name: str, data: bytes) -> None:
        """Write a work file, in place of the one that was there."""
        await self.do(lambda store: store.put(name, data))


async def store_job(work: Work, prepared: PreparedJob) -> None:
    """Write scenario and plan; the plan last, so that where a plan is the scenario is too."""
    await work.put(WorkFiles.SCENARIO, _SCENARIO.dump_json(prepared.scenario))
    await work.put(WorkFiles.PLAN, prepared.plan.model_dump_json().encode())


async def load_job(work: Work) -> Stored:
    """Read plan and scenario; raises StorageError if one is missing or cannot be understood."""
    plan = await load_plan(work)
    scenario = await _load(work, WorkFiles.SCENARIO, _SCENARIO.validate_json)
    return Stored(plan, scenario)


async def load_plan(work: Work) -> Plan:
    """Read the plan; raises StorageError if it is missing or cannot be understood."""
    return await _load(work, WorkFiles.PLAN, Plan.model_validate_json)


async def open_source(assignment: Assignment, plan: Plan) -> str:
    """Return what FFmpeg opens as the source; it may carry a signature.

    Raises SourceMissing, and SourceInvalid if the source is not the one that was planned.
    """
    source = open_storage(assignment.job.spec.source.uri, assignment.base)
    identity = await asyncio.to_thread(source.identity)
    if identity != plan.source.identity:
        raise SourceInvalid(
            f"{source.name} was changed after the job was planned.", hint="Make a new job for the new video."
        )
    return await asyncio.to_thread(source.source_url)


async def _load(work: Work, name: str, read: Callable[[bytes], T]) -> T:
    raw = await work.get(name)
    if raw is None:
        raise StorageError(f"There is no {name} among the job's work files.", hint=_PLAN_AGAIN)
    try:
        return read(raw)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise StorageError(
            f"The work file {name} cannot be understood: {place}: {first['msg']}.", hint=_PLAN_AGAIN
        ) from error
