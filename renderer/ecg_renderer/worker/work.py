"""Plan, scenario and fetched plugins as work files: written by the plan pod, read by all others.

The scenario is stored as it was prepared: a segment pod lays out the very same data, and needs neither the inline
scenario nor a ConfigMap that may be gone by then.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from ecg_api.plan import Plan
from ecg_api.pods import WorkFiles
from ecg_api.renderjob import RenderJob
from ecg_renderer.errors import PiecesGone, StorageError
from ecg_renderer.media.encoder import EncoderChoice
from ecg_renderer.origin.pictures import with_pictures
from ecg_renderer.plugin_modules import PluginModule
from ecg_renderer.preparation import PreparedJob, same_source
from ecg_renderer.scenario import Scenario
from ecg_renderer.storage import Work, open_storage
from ecg_renderer.storage.work_store import WorkStore
from ecg_renderer.worker.assignment import Assignment

T = TypeVar("T")

_SCENARIO: TypeAdapter[Scenario] = TypeAdapter(Scenario)
_TRANSFERS = 8
_PLAN_AGAIN = "Run `ecg-render worker plan` again, with the same image."


async def store_job(work: Work, prepared: PreparedJob, take: int = 0) -> None:
    """Write plugins, scenario and plan; the plan last, so that where a plan is the rest is too.

    `take` is its number among those of a job; the main one is written last.
    """
    bodies = {
        digest: module.files[path] for module in prepared.modules.values() for path, digest in module.hashes.items()
    }
    puts = [partial(_put_plugin_file, digest, body) for digest, body in bodies.items()]
    await work.do_all(puts, at_once=_TRANSFERS)
    await work.put(WorkFiles.of_take(WorkFiles.SCENARIO, take), _SCENARIO.dump_json(prepared.scenario))
    await work.put(WorkFiles.of_take(WorkFiles.PLAN, take), prepared.plan.model_dump_json().encode())


async def load_job(work: Work, assignment: Assignment) -> PreparedJob:
    """Return the job as the plan pod prepared it, with the source's address of today.

    Raises PiecesGone if plan or scenario is missing, StorageError if it cannot be understood, SourceMissing, and
    SourceInvalid if the source is not the one that was planned.
    """
    url = await open_source(assignment, await load_plan(work))
    return await load_prepared(work, assignment.job, url)


async def load_prepared(work: Work, job: RenderJob, url: str, take: int = 0) -> PreparedJob:
    """Return a take as it was prepared, with the source's address `url`; raises PiecesGone, StorageError."""
    plan = await _load(work, WorkFiles.of_take(WorkFiles.PLAN, take), Plan.model_validate_json)
    scenario = await _load(work, WorkFiles.of_take(WorkFiles.SCENARIO, take), _SCENARIO.validate_json)
    modules = await _load_plugins(work, plan)
    return PreparedJob(job, url, scenario, EncoderChoice(plan.target.encoder, "as planned"), plan, modules)


async def load_plan(work: Work) -> Plan:
    """Read the plan; raises PiecesGone if it is missing, StorageError if it cannot be understood."""
    return await _load(work, WorkFiles.PLAN, Plan.model_validate_json)


async def open_source(assignment: Assignment, plan: Plan) -> str:
    """Return what FFmpeg opens as the source; it may carry a signature.

    Raises SourceMissing, and SourceInvalid if the source is not the one that was planned.
    """
    return await same_source(open_storage(assignment.job.spec.source.uri, assignment.base), plan.source)


async def _load_plugins(work: Work, plan: Plan) -> dict[str, PluginModule]:
    """Return the fetched plugins of a plan, as they were when it was made."""
    digests = sorted({file.sha256 for plugin in plan.plugins for file in plugin.files})
    found = await work.do_all([partial(_get_plugin_file, digest) for digest in digests], at_once=_TRANSFERS)
    bodies = dict(zip(digests, found, strict=True))
    modules = {}
    for plugin in plan.plugins:
        files = {file.path: bodies[file.sha256] for file in plugin.files}
        modules[plugin.key] = await asyncio.to_thread(with_pictures, plugin.key, files)
    return modules


def _put_plugin_file(digest: str, body: bytes, store: WorkStore) -> None:
    store.put(f"{WorkFiles.PLUGINS}/{digest}", body)


def _get_plugin_file(digest: str, store: WorkStore) -> bytes:
    name = f"{WorkFiles.PLUGINS}/{digest}"
    body = store.get(name)
    if body is None or hashlib.sha256(body).hexdigest() != digest:
        state = "There is no" if body is None else "Another file is there than the planned"
        raise StorageError(f"{state} {name} among the job's work files.", hint=_PLAN_AGAIN)
    return body


async def _load(work: Work, name: str, read: Callable[[bytes], T]) -> T:
    raw = await work.get(name)
    if raw is None:
        # Whoever wrote the output has removed them; its report may have been lost.
        raise PiecesGone(f"There is no {name} among the job's work files.", hint=_PLAN_AGAIN)
    try:
        return read(raw)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise StorageError(
            f"The work file {name} cannot be understood: {place}: {first['msg']}.", hint=_PLAN_AGAIN
        ) from error
