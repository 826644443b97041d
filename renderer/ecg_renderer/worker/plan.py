"""`ecg-render worker plan`: look at everything before a GPU is taken.

1. read the scenario, probe the source, plan          what is wrong with either is said within seconds
2. prove that the output can be written
3. ask the browser what would look wrong
4. write scenario and plan to the work files
"""

from __future__ import annotations

import asyncio
import io
import zlib
from collections.abc import Callable, Mapping, Sequence
from gzip import GzipFile
from pathlib import Path

from ecg_api.names import SCENARIO_FILE_VARIABLE
from ecg_api.options import EncoderName, Options
from ecg_api.pods import PlanReport, WorkFiles
from ecg_api.renderjob import RenderJob, ScenarioRef
from ecg_api.status import PlanSummary, TakeNotes
from ecg_renderer.browser import BrowserLauncher
from ecg_renderer.errors import OptionsError, ScenarioError, StorageError
from ecg_renderer.looking import look_ahead
from ecg_renderer.media.encoder import TEST_SIZE, EncoderChoice, Size, cpu_codec, hardware_codec, settled_encoder
from ecg_renderer.planning import Cutting
from ecg_renderer.preparation import SCENARIO_BYTES, PreparedJob, check_digest, prepare_job, read_scenario
from ecg_renderer.request import cutting_of
from ecg_renderer.results import Take, check_results, takes_of
from ecg_renderer.storage import CellStore, Found, Work, open_storage
from ecg_renderer.storage.base import printable
from ecg_renderer.worker.live import Live
from ecg_renderer.worker.pod import Assignment
from ecg_renderer.worker.work import claim_encoder, keep_source, store_job


async def plan_job(
    assignment: Assignment,
    live: Live,
    launcher: BrowserLauncher | None = None,
    *,
    scenario_file: Path | None = None,
    most_segments: int | None = None,
) -> PlanReport:
    """Plan the job and write plan and scenario to its work files.

    `launcher` may have begun to start a browser; closing it is the caller's. `scenario_file` is the mounted ConfigMap
    entry, if the scenario is one. Raises a RenderError that says which input is at fault.
    """
    job = assignment.job
    work = Work(assignment.work_uri)
    live.stage("planning", f"Planning {job.metadata.name}.")
    _check_encoder(job)
    store, cutting = CellStore(assignment.cells_uri), cutting_of(job, most=most_segments)
    reader = scenario_reader(scenario_file)

    async def prepared_for(wanted: RenderJob, *, alone: bool) -> PreparedJob:
        return await prepare_job(
            wanted, assignment.base, cutting, store=store, reader=reader, chooser=presumed_encoder, alone=alone
        )

    prepared = await prepared_for(job, alone=bool(job.spec.renditions))
    await asyncio.to_thread(_check_output, assignment, prepared)
    await keep_source(work, assignment, prepared, live)
    takes = takes_of(job, prepared.source)
    planned = [await _reuse(work, store, prepared, cutting, takes[0])]
    for number, take in enumerate(takes[1:], 1):
        other = await prepared_for(take.job, alone=bool(take.alone))
        planned.append(await _reuse(work, store, other, cutting, take, number))
    notes: list[str] = []
    for number, one in enumerate(planned):
        planned[number], seconds = await look_ahead(one, store, launcher=launcher)
        if 0 < seconds < float(one.plan.target.duration):
            notes.append(
                f"The layout of the first {seconds:.0f} s was looked at; segments tell what leaves the picture."
            )
    for number, one in reversed(list(enumerate(planned))):
        await store_job(work, one, number)
    for warning in dict.fromkeys([*(warning for one in planned for warning in one.plan.warnings), *notes]):
        live.warn(warning)
    return _report(assignment, takes, planned, notes)


async def _reuse(
    work: Work, store: CellStore, prepared: PreparedJob, cutting: Cutting, take: Take, number: int = 0
) -> PreparedJob:
    """Return the job with what is in the store left out of its segments.

    Where a node is yet to decide on the encoder, that of the cells counts if they are at least half of the job: the
    rest follows it.
    """
    numbers = range(len(prepared.plan.cells))
    there: dict[int, tuple[Found, ...]] = dict.fromkeys(numbers, ())
    if take.alone:
        there = await store.present([prepared.captions_cell(number) for number in numbers])
    if not take.video:
        return prepared.reusing(there, cutting)
    found: dict[EncoderName, dict[int, tuple[Found, ...]]] = {}
    for encoder in _candidates(prepared):
        with_it = prepared.encoded_by(EncoderChoice(encoder, "as the pieces in the store"))
        found[encoder] = await store.present([with_it.cell(number) for number in numbers])
    encoder = max(found, key=lambda name: len(found[name]))
    if 2 * len(found[encoder]) < len(prepared.plan.cells):
        return prepared
    choice = EncoderChoice(encoder, "as the pieces in the store")
    if len(found) > 1 and (await claim_encoder(work, choice, number)).encoder != encoder:
        return prepared  # an earlier try of this plan, and a segment of it, came before
    return prepared.encoded_by(choice).reusing(_both(found[encoder], there), cutting)


def _both(
    cells: Mapping[int, tuple[Found, ...]], others: Mapping[int, tuple[Found, ...]]
) -> dict[int, tuple[Found, ...]]:
    """Return what was found in the cells of which both kinds are there."""
    return {number: (*cells[number], *others[number]) for number in cells.keys() & others.keys()}


def _candidates(prepared: PreparedJob) -> list[EncoderName]:
    options, bit_depth = prepared.encoding
    settled = settled_encoder(options, bit_depth=bit_depth)
    if settled:
        return [settled.encoder]
    both = [hardware_codec(options).name, cpu_codec(options).name]
    return both[:1] if options.encoder == "nvenc" else both


async def presumed_encoder(options: Options, *, bit_depth: int = 8, size: Size = TEST_SIZE) -> EncoderChoice:
    """Return the encoder to plan with; which one it will be shows on the node of the first segment.

    Cuts and estimate follow it, and so would the content keys; a segment's name says its real encoder. For `auto` it
    is what every node has, so that a job on nodes without NVENC is cut as on one machine.
    """
    settled = settled_encoder(options, bit_depth=bit_depth)
    codec = hardware_codec(options) if options.encoder == "nvenc" else cpu_codec(options)
    return settled or EncoderChoice(codec.name, "to be tried by the first segment")


def _check_encoder(job: RenderJob) -> None:
    placement = job.spec.placement
    own_way = placement.pod_template_overrides or placement.resources or placement.runtime_class_name
    if job.spec.options.encoder == "nvenc" and placement.gpus == 0 and not own_way:
        raise OptionsError(
            "spec.options.encoder is nvenc, but spec.placement.gpus is 0: NVENC is a part of a GPU.",
            hint="Ask for a GPU, or set options.encoder to auto or cpu.",
        )


def _check_output(assignment: Assignment, prepared: PreparedJob) -> None:
    destination = open_storage(assignment.job.spec.output.uri, assignment.base)
    with destination.output(assignment.output_key, source=prepared.source_url):
        pass  # entering proves it; leaving removes what that took
    check_results(assignment.job, assignment.base, prepared.source, prepared.source_url)


def _report(
    assignment: Assignment, takes: Sequence[Take], planned: Sequence[PreparedJob], notes: Sequence[str]
) -> PlanReport:
    plans = [one.plan for one in planned]
    plan, target = plans[0], plans[0].target
    live = f"{printable(assignment.cells_uri).rstrip('/')}/{assignment.live_name}" if assignment.job.spec.live else None
    concerns = list(dict.fromkeys(text for one in planned for text in one.concerns(one.plan.warnings)))
    summary = PlanSummary(
        uri=f"{printable(assignment.work_uri).rstrip('/')}/{WorkFiles.PLAN}",
        width=target.width,
        height=target.height,
        rate=target.rate,
        frames=target.frames,
        frames_to_render=target.frames * len(plans) if len(plans) > 1 else 0,
        cells=sum(len(one.cells) for one in plans),
        cells_reused=sum(one.reused_cells for one in plans),
        distinct_frames=plan.distinct_frames_estimate,
        estimated_seconds=sum(one.estimated_seconds for one in plans),
        warnings=list(dict.fromkeys([*concerns, *notes, *plan.warnings])),
        live_uri=live,
    )
    renditions = list(enumerate(assignment.job.spec.renditions))
    shares = [
        TakeNotes(segments=len(plan.segments), renditions=[place for place, one in renditions if take.holds(one)])
        for take, plan in zip(takes, plans, strict=True)
    ]
    return PlanReport(
        plan=summary,
        segments=sum(share.segments for share in shares),
        takes=shares if renditions else [],
        concerns=len(concerns),
    )


# --- the scenario: as on one machine, or the entry of a ConfigMap that is mounted as a file -------


_GZIP_MAGIC = b"\x1f\x8b"


def scenario_reader(mounted: Path | None) -> Callable[[ScenarioRef, Path], bytes | dict[str, object]]:
    """Return what reads a scenario in a plan pod, where the ConfigMap entry of the job is the file `mounted`."""

    def read(reference: ScenarioRef, base: Path) -> bytes | dict[str, object]:
        if reference.config_map_ref is None:
            return read_scenario(reference, base)
        return _read_mounted(reference, mounted)

    return read


def _read_mounted(reference: ScenarioRef, mounted: Path | None) -> bytes:
    """Return the JSON of a ConfigMap entry; its SHA-256 is that of the entry as it is stored, compressed or not."""
    assert reference.config_map_ref is not None
    name = f"ConfigMap {reference.config_map_ref.name}, entry {reference.config_map_ref.key}"
    if mounted is None:
        raise StorageError(
            f"The scenario is in the {name}, which is not mounted: {SCENARIO_FILE_VARIABLE} is not set.",
            hint="Set it to the path of the mounted entry, or give --scenario-file.",
        )
    if not mounted.exists():
        raise StorageError(
            f"The {name} is not there: {mounted} does not exist.", hint="Check name and key of the ConfigMap."
        )
    raw = open_storage(str(mounted), Path()).read_bytes(SCENARIO_BYTES)
    check_digest(raw, reference, f"The {name}")
    return _decompressed(raw, name) if raw.startswith(_GZIP_MAGIC) else raw


def _decompressed(raw: bytes, name: str) -> bytes:
    try:
        with GzipFile(fileobj=io.BytesIO(raw)) as file:
            text = file.read(SCENARIO_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise ScenarioError(
            f"The {name} begins like gzip, but cannot be decompressed: {error}.", hint="Compress the scenario again."
        ) from None
    if len(text) > SCENARIO_BYTES:
        raise ScenarioError(f"The {name} holds more than {SCENARIO_BYTES:,} bytes once decompressed.")
    return text
