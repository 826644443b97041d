"""Plan, scenario, fetched plugins and the encoder as work files: by which the pods of a job know of each other.

The scenario is stored as it was prepared: a segment pod lays out the very same data, and needs neither the inline
scenario nor a ConfigMap that may be gone by then.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from ecg_api.options import Options
from ecg_api.plan import Plan, SegmentPlan
from ecg_api.pods import WorkFiles
from ecg_api.renderjob import RenderJob
from ecg_renderer.errors import GpuUnavailable, ManifestError, PiecesGone, RenderError, StorageError
from ecg_renderer.event_stream import sound_pieces
from ecg_renderer.media.codecs import CODECS
from ecg_renderer.media.encoder import (
    TEST_SIZE,
    WORKS,
    EncoderChoice,
    Size,
    hardware_codec,
    nvenc_problem,
    settled_encoder,
    without_nvenc,
)
from ecg_renderer.media.process import is_remote
from ecg_renderer.planning import Planner
from ecg_renderer.preparation import PreparedJob, same_source
from ecg_renderer.results import Take, takes_of
from ecg_renderer.scenario import Scenario
from ecg_renderer.served import PluginModule
from ecg_renderer.storage import CellStore, Work, open_storage
from ecg_renderer.storage.work_store import WorkStore
from ecg_renderer.worker.live import Live
from ecg_renderer.worker.pod import Assignment

T = TypeVar("T")

_SCENARIO: TypeAdapter[Scenario] = TypeAdapter(Scenario)
_TRANSFERS = 8
_PLAN_AGAIN = "Run `ecg-render worker plan` again, with the same image."


async def store_job(work: Work, prepared: PreparedJob, take: int = 0) -> None:
    """Write plugins, scenario and plan; the plan last, so that where a plan is the rest is too.

    `take` is its number among those of a job; the main one is written last.
    """
    modules = prepared.planner.modules.values()
    bodies = {digest: module.files[path] for module in modules for path, digest in module.hashes.items()}
    puts = [partial(_put_plugin_file, digest, body) for digest, body in bodies.items()]
    await work.do_all(puts, at_once=_TRANSFERS)
    await work.put(WorkFiles.of_take(WorkFiles.SCENARIO, take), _SCENARIO.dump_json(prepared.scenario))
    await work.put(WorkFiles.of_take(WorkFiles.PLAN, take), prepared.plan.model_dump_json().encode())


async def load_job(work: Work, assignment: Assignment) -> PreparedJob:
    """Return the job as the plan pod prepared it, with the source's address of today.

    Raises PiecesGone if plan or scenario is missing or cannot be understood, SourceMissing, and SourceInvalid if the
    source is not the one that was planned.
    """
    url = await open_source(assignment, await load_plan(work))
    return await load_prepared(work, assignment.job, url)


async def load_prepared(work: Work, job: RenderJob, url: str, take: int = 0) -> PreparedJob:
    """Return a take as it was prepared, with the source's address `url`; raises as `load_plan` does."""
    plan = await _load(work, WorkFiles.of_take(WorkFiles.PLAN, take), Plan.model_validate_json)
    scenario = await _load(work, WorkFiles.of_take(WorkFiles.SCENARIO, take), _SCENARIO.validate_json)
    planner = Planner.of(plan, scenario, job.spec.options, await _load_plugins(work, plan))
    return PreparedJob(job, url, scenario, EncoderChoice(plan.target.encoder, "as planned"), plan, planner)


async def load_plan(work: Work) -> Plan:
    """Read the plan; raises PiecesGone if it is missing or cannot be understood."""
    return await _load(work, WorkFiles.PLAN, Plan.model_validate_json)


async def keep_source(work: Work, assignment: Assignment, prepared: PreparedJob, live: Live) -> None:
    """Put a source that had to be fetched as a whole among the work files, so that no other pod fetches it again."""
    if is_remote(prepared.source_url) or not is_remote(assignment.job.spec.source.uri):
        return
    path, name = Path(prepared.source_url), _source_name(prepared.plan)
    size = (await asyncio.to_thread(path.stat)).st_size
    live.say(f"Keeping the source for the other pods, {size / 1e6:.1f} MB.")
    await work.do(lambda store: store.upload(path, name, live.transferred))


async def open_source(assignment: Assignment, plan: Plan) -> str:
    """Return what FFmpeg opens as the source, where it may be among the work files; it may carry a signature.

    Raises SourceMissing, and SourceInvalid if the source is not the one that was planned.
    """
    work, name = Work(assignment.work_uri), _source_name(plan)
    if is_remote(assignment.job.spec.source.uri) and await work.do(lambda store: store.exists(name)):
        return await work.do(lambda store: store.address(name))
    return await same_source(open_storage(assignment.job.spec.source.uri, assignment.base), plan.source)


def _source_name(plan: Plan) -> str:
    return f"{WorkFiles.SOURCE}/{hashlib.sha256(plan.source.identity.encode()).hexdigest()}"


async def _load_plugins(work: Work, plan: Plan) -> dict[str, PluginModule]:
    """Return the fetched plugins of a plan, as they were when it was made."""
    if not plan.plugins:
        return {}
    # Imported when there are any: it loads a client of the web and a decoder.
    from ecg_renderer.origin import with_pictures

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
    if body is None:
        raise _gone(name)
    if hashlib.sha256(body).hexdigest() != digest:
        raise StorageError(
            f"Another file is there than the planned {name} among the job's work files.", hint=_PLAN_AGAIN
        )
    return body


def _gone(name: str) -> PiecesGone:
    # Whoever wrote the output has removed them; its report may have been lost.
    return PiecesGone(f"There is no {name} among the job's work files.", hint=_PLAN_AGAIN)


async def _load(work: Work, name: str, read: Callable[[bytes], T]) -> T:
    raw = await work.get(name)
    if raw is None:
        raise _gone(name)
    try:
        return read(raw)
    except ValidationError as error:
        # Another release may have written it, before an upgrade or a rollback in the midst of the job.
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise PiecesGone(
            f"The work file {name} cannot be understood: {place}: {first['msg']}.", hint=_PLAN_AGAIN
        ) from error


# --- takes: each size has a plan of its own, and its segments follow the others' ------------------
# main video         plan.json     scenario.json     encoder.json      segments 0 to 3
# the first other    plan-1.json   scenario-1.json   encoder-1.json    segments 4 and 5


@dataclass(frozen=True)
class PlannedTake:
    """A take as it was planned: the `number`th of its job, whose segments are counted from `first` on."""

    number: int
    take: Take
    prepared: PreparedJob
    first: int

    @property
    def segments(self) -> frozenset[int]:
        """The numbers of its segments among all of the job."""
        return frozenset(range(self.first, self.first + len(self.prepared.plan.segments)))

    def folder(self, scratch: Path) -> Path:
        """Return the folder for its cells below `scratch`, which is made if it is missing."""
        folder = scratch / f"take-{self.number}"
        folder.mkdir(exist_ok=True)
        return folder

    def segment(self, number: int) -> SegmentPlan:
        """Return the segment that has `number` among all of the job."""
        return self.prepared.plan.segments[number - self.first]


async def load_takes(work: Work, assignment: Assignment) -> list[PlannedTake]:
    """Return the takes of a job as the plan pod prepared them; raises as `load_job` does."""
    main = await load_job(work, assignment)
    takes = takes_of(assignment.job, main.source)
    planned = [PlannedTake(0, takes[0], replace(main, job=takes[0].job), 0)]
    for number, take in enumerate(takes[1:], 1):
        prepared = await load_prepared(work, take.job, main.source_url, number)
        planned.append(PlannedTake(number, take, prepared, segments_of(planned)))
    return planned


def segments_of(takes: Sequence[PlannedTake]) -> int:
    """Return how many segments takes have together."""
    return sum(len(take.prepared.plan.segments) for take in takes)


def take_with(takes: Sequence[PlannedTake], segment: int) -> PlannedTake:
    """Return the take that a segment belongs to; raises ManifestError if there is no such segment."""
    for take in takes:
        if segment in take.segments:
            return take
    raise ManifestError(f"There is no segment {segment}: the plan has {segments_of(takes)}, from 0 on.")


# --- one encoder for the whole job: segments of two encoders cannot be joined ---------------------
# 1. what the job alone decides (the CPU as asked, VP9 for WebM) needs no test; nor does a plan that found most cells
# 2. else the first pod makes a test encode on its node and claims the encoder: `encoder.json`, if there is none yet
# 3. all others follow the claim; a node that cannot fails retryably, so that another one is tried


_CLAIM: TypeAdapter[EncoderChoice] = TypeAdapter(EncoderChoice)


async def agree_on_encoder(
    work: Work, options: Options, *, bit_depth: int, size: Size = TEST_SIZE, take: int = 0
) -> EncoderChoice:
    """Return the encoder of the job, and why it is that one, after making sure that it works here.

    Raises GpuUnavailable if it does not, OptionsError if the job asks for what cannot be.
    """
    claim = await read_claim(work, take)
    if claim is None:
        own = settled_encoder(options, bit_depth=bit_depth) or await _tested(options, bit_depth, size)
        claim = await claim_encoder(work, own, take)
    codec = CODECS[claim.encoder]
    if codec.hardware and (problem := await nvenc_problem(codec, size=size, bit_depth=bit_depth)):
        raise GpuUnavailable(
            f"The job's other segments are encoded by NVENC, which does not work on this node: {problem}.",
            hint="Let the job's pods run on nodes with the same kind of GPU, or set options.encoder to cpu.",
        )
    return claim


async def claim_encoder(work: Work, wish: EncoderChoice, take: int = 0) -> EncoderChoice:
    """Claim the encoder for the job, or the `take`th size of it; return the one that was claimed first, by whomever."""
    raw = _CLAIM.dump_json(wish)
    name = WorkFiles.of_take(WorkFiles.ENCODER, take)
    return _decoded(await work.do(lambda store: store.put_if_absent(name, raw)))


async def read_claim(work: Work, take: int = 0) -> EncoderChoice | None:
    """Return the encoder that was claimed, or None before the first segment pod came so far."""
    raw = await work.get(WorkFiles.of_take(WorkFiles.ENCODER, take))
    return None if raw is None else _decoded(raw)


async def _tested(options: Options, bit_depth: int, size: Size) -> EncoderChoice:
    codec = hardware_codec(options)
    problem = await nvenc_problem(codec, size=size, bit_depth=bit_depth)
    if not problem:
        return EncoderChoice(codec.name, WORKS)
    if options.encoder == "nvenc":
        raise GpuUnavailable(
            f"The job insists on NVENC, which does not work on this node: {problem}.",
            hint="Set options.encoder to auto to fall back to the CPU, or let its pods run on fitting nodes.",
        )
    return without_nvenc(options, problem)


def _decoded(raw: bytes) -> EncoderChoice:
    try:
        return _CLAIM.validate_json(raw)
    except ValidationError as error:
        raise StorageError(
            f"The work file {WorkFiles.ENCODER} cannot be understood.", hint="Remove the work files and start again."
        ) from error


# --- what there is to watch: cells are in the store anyway, so only the sound and a list of all ---
# The service reads the list (`Assignment.live_name`) and looks which of its pieces are there. Each segment's pod cuts
# the sound of its own cells, and of those before it that are in the store already; together they cut all of it.


@asynccontextmanager
async def watched(
    assignment: Assignment, prepared: PreparedJob, segment: int | None, folder: Path, live: Live
) -> AsyncIterator[None]:
    """List what there will be to watch, if the job says so, and add the sound of a segment, or all, meanwhile.

    `prepared` has the encoder that was agreed on. What fails is a warning.
    """
    if assignment.job.spec.live is None:
        yield
        return
    scratch = folder / "sound"
    scratch.mkdir()
    store = CellStore(assignment.cells_uri)
    sound = asyncio.create_task(_watched(assignment, prepared, _cells(prepared, segment), scratch, store, live))
    try:
        yield
        await sound
    finally:
        sound.cancel()
        await asyncio.gather(sound, return_exceptions=True)


def _cells(prepared: PreparedJob, segment: int | None) -> range:
    """Return the cells whose sound is cut with a segment: up to those of the next one, with the first from 0 on."""
    plan = prepared.plan
    if segment is None:
        return range(len(plan.cells))
    starts = [plan.cells_of(part).start for part in plan.segments]
    return range(starts[segment] if segment else 0, [*starts, len(plan.cells)][segment + 1])


async def _watched(
    assignment: Assignment, prepared: PreparedJob, cells: range, scratch: Path, store: CellStore, live: Live
) -> None:
    stream = prepared.live_stream
    await store.note(assignment.live_name, stream.model_dump_json().encode())
    try:
        async with aclosing(sound_pieces(prepared, cells, scratch, store)) as pieces:
            async for _ in pieces:
                pass
    except RenderError as error:
        live.warn(f"The live stream goes on without sound: {error.message}")
        silent = stream.model_copy(update={"sound": []})
        await store.note(assignment.live_name, silent.model_dump_json().encode())
