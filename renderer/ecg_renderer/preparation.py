"""From a manifest to a plan: what every command does first.

1. read the scenario and probe the source, at the same time
2. decide on the encoder
3. prepare the scenario for the source's length; fetch what it names elsewhere: plugins of an origin, fonts
4. plan
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import subprocess
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

from ecg_api.live import LiveStream
from ecg_api.options import Options
from ecg_api.plan import Plan, SourceFacts
from ecg_api.renderjob import RenderJob, ScenarioRef
from ecg_renderer.chromium import find_chromium
from ecg_renderer.colour import Conversion
from ecg_renderer.errors import (
    ManifestError,
    ScenarioError,
    ServiceUnreachable,
    SourceInvalid,
    StorageError,
    plain_failures,
)
from ecg_renderer.media.damage import damage_note, damage_words, read_damage
from ecg_renderer.media.encoder import TEST_SIZE, EncoderChoice, Size, choose_encoder
from ecg_renderer.media.probe import known_source
from ecg_renderer.media.process import file_identity, program_identity
from ecg_renderer.metering import cores
from ecg_renderer.model import PREVIEW_HEIGHT, Film, FrameGrid, FrameRange
from ecg_renderer.planning import (
    Cutting,
    Planner,
    encoding_of,
    make_plan,
    output_grid,
    output_size,
    reusing,
    with_encoder,
)
from ecg_renderer.request import Origin, PluginOrigins, RunRequest
from ecg_renderer.scenario import Draft, Finding, Picture, PluginRules, Report, Scenario, canonical_hash, draft
from ecg_renderer.scenario.model import is_asset
from ecg_renderer.served import NOTHING_FETCHED, Fetched, known_plugins, page_hash
from ecg_renderer.storage import Cell, CellStore, Found, Storage, open_storage, opened_source, told_again
from ecg_renderer.storage.base import UrlPolicy
from ecg_renderer.subtitles import as_scenario

# Raise when a live stream's sound is made otherwise than before.
_SOUND_SCHEMA = 1
SCENARIO_BYTES = 32 * 1024 * 1024

ScenarioReader = Callable[[ScenarioRef, Path], bytes | dict[str, object]]


class EncoderChooser(Protocol):
    """Decides on the encoder, as `choose_encoder` does."""

    async def __call__(self, options: Options, *, bit_depth: int = 8, size: Size = TEST_SIZE) -> EncoderChoice:
        """Return the encoder for what is asked, a source's bit depth and the result's size in pixels."""


@dataclass(frozen=True)
class PreparedJob:
    """A job whose inputs were read and found good.

    Attributes:
        source_url: what FFmpeg opens; may carry a signature and is never printed.
        planner: what films are cut out of.
    """

    job: RenderJob
    source_url: str
    scenario: Scenario
    encoder: EncoderChoice
    plan: Plan
    planner: Planner

    @property
    def source(self) -> SourceFacts:
        """Facts about the source."""
        return self.plan.source

    @property
    def grid(self) -> FrameGrid:
        """The output's frames."""
        return self.planner.grid

    @property
    def conversion(self) -> Conversion:
        """From the browser's colours to those of the pictures that captions are laid over."""
        colour = self.plan.target.colour
        full_range = self.source.full_range and not colour.tone_mapped
        return Conversion.of(colour.matrix, full_range=full_range, transfer=colour.transfer, primaries=colour.primaries)

    def concerns(self, warnings: Iterable[str]) -> list[str]:
        """Return those of the job's `warnings` that a person should look at; the others tell of what was put right."""
        return [text for text in warnings if text not in self.scenario.routine]

    @property
    def encoding(self) -> tuple[Options, int]:
        """The options, and the bits of a sample, that the encoder is chosen by."""
        return encoding_of(self.source, self.job.spec.options)

    def film(self, frames: FrameRange) -> Film:
        """Return what is drawn on `frames`."""
        return self.planner.film(frames)

    def frames_of(self, cells: range) -> FrameRange:
        """Return the frames of consecutive cells."""
        return FrameRange(self.plan.cell_range(cells[0])[0], self.plan.cell_range(cells[-1])[1])

    def cell(self, number: int) -> Cell:
        """Return what a cell is called in a store, and its frames."""
        frames = len(self.frames_of(range(number, number + 1)))
        return Cell.of(self.plan.cells[number].key, self.plan.target.encoder, frames)

    def captions_cell(self, number: int) -> Cell:
        """Return what a cell of captions alone is called in a store, and its frames."""
        return Cell.of_captions(self.plan.cells[number].captions_key, self.cell(number).frames)

    def sound(self, number: int) -> Cell:
        """Return what the sound of a cell is called in a store, as live streams have it."""
        source, frames = self.source, self.frames_of(range(number, number + 1))
        parts = [_SOUND_SCHEMA, source.identity, source.start_seconds, source.audio[0].model_dump()]
        place = [self.plan.target.rate, frames.start, frames.end, self.plan.target.frames]
        return Cell.of(canonical_hash([*parts, *place]), "aac", len(frames))

    @property
    def live_stream(self) -> LiveStream:
        """What the render will be for those who watch it meanwhile."""
        target, numbers = self.plan.target, range(len(self.plan.cells))
        return LiveStream(
            rate=target.rate,
            frames=target.frames,
            cell_frames=self.plan.cell_frames,
            width=target.width,
            height=target.height,
            video=[self.cell(number).name for number in numbers],
            sound=[self.sound(number).name for number in numbers] if self.source.audio else [],
        )

    def reusing(self, kept: Mapping[int, Iterable[Found]], cutting: Cutting) -> PreparedJob:
        """Return the job without the cells `kept` in its segments, and what was found in them among its warnings."""
        plan = reusing(self.plan, self.planner.activity, cutting, kept=kept, cores=cores())
        again = told_again(found for number in sorted(kept) for found in kept[number])
        changed = plan.model_copy(update={"warnings": list(dict.fromkeys([*plan.warnings, *again]))})
        return replace(self, plan=changed)

    def encoded_by(self, encoder: EncoderChoice) -> PreparedJob:
        """Return the job with the encoder that it turned out to have."""
        return replace(self, encoder=encoder, plan=with_encoder(self.plan, encoder.encoder))


async def prepare_job(
    job: RenderJob,
    base: Path,
    cutting: Cutting,
    *,
    store: CellStore,
    reader: ScenarioReader | None = None,
    chooser: EncoderChooser = choose_encoder,
    alone: bool = False,
) -> PreparedJob:
    """Read and check the inputs of `job` and plan it as if `store` had no cell; relative paths start at `base`.

    `store` remembers what was found out about sources. `reader` returns the scenario of a reference, and `chooser`
    decides on the encoder, where that is done otherwise than on one machine. `alone`: captions alone are wanted of it
    too. Raises a RenderError that says which input
    is at fault.
    """
    spec = job.spec
    origin = PluginOrigins.from_environment().choose(spec.plugins.origin)
    source = open_storage(spec.source.uri, base)
    with plain_failures():
        async with asyncio.TaskGroup() as tasks:
            raw = tasks.create_task(asyncio.to_thread(reader or read_scenario, spec.scenario, base))
            facts = tasks.create_task(known_source(source, store))
            named = tasks.create_task(asyncio.to_thread(versions))
    source_url, source_facts = facts.result()
    encoding, bit_depth = encoding_of(source_facts, spec.options)
    width, height, _ = output_size(source_facts, spec.options)
    encoder = await chooser(encoding, bit_depth=bit_depth, size=(width, height))
    scenario, fetched = await _scenario(raw.result(), source_facts, job, origin)
    plan, planner = make_plan(
        job.metadata.name,
        source_facts,
        scenario,
        spec.options,
        cutting,
        encoder=encoder.encoder,
        versions=named.result(),
        cores=cores(),
        alone=alone,
        fetched=fetched,
    )
    if damage := read_damage(await store.recall(damage_note(source_facts))):
        plan = plan.model_copy(update={"warnings": [*plan.warnings, damage_words(damage)]})
    return PreparedJob(job, source_url, scenario, encoder, plan, planner)


async def _scenario(
    raw: bytes | dict[str, object], source: SourceFacts, job: RenderJob, origin: Origin | None
) -> tuple[Scenario, Fetched]:
    """Return the scenario prepared for the length of the result, which may follow from it, and its plugins."""
    options = job.spec.options
    grid, _ = output_grid(source, options)
    written = _draft(raw, source, job, grid)
    fetched = await plugins_of(origin, written.plugin_keys)
    there = fetched.schemas if origin else None
    rules = PluginRules(known_plugins(), options.unknown_plugins, there)
    scenario = written.prepared(rules)
    longer, _ = output_grid(source, options, captions_end=scenario.latest)
    if longer != grid:  # for captions in the sound's last moments
        scenario = _draft(raw, source, job, longer).prepared(rules)
    return await with_web_fonts(scenario), fetched


def _draft(raw: bytes | dict[str, object], source: SourceFacts, job: RenderJob, grid: FrameGrid) -> Draft:
    reference, picture = job.spec.scenario, _picture(source, job.spec.options)
    report = Report(_origin(reference))
    return draft(
        as_scenario(raw, report, picture, reference.look or "karaoke"),
        duration=grid.end,
        rate=grid.rate,
        first=grid.start,
        picture=picture,
        report=report,
    )


async def planned_here(request: RunRequest) -> PreparedJob:
    """Return a job of this machine, planned with what its store has; raises a RenderError."""
    store = CellStore(request.cells.as_uri())
    prepared = await prepare_job(request.job, request.base, request.cutting, store=store)
    if not request.job.spec.reuse:
        return prepared
    kept = await store.present([prepared.cell(number) for number in range(len(prepared.plan.cells))])
    return prepared.reusing(kept, request.cutting)


def _picture(source: SourceFacts, options: Options) -> Picture:
    """Return what captions are laid out on: the output, or the editor's stage in the output's shape."""
    width, height, _ = output_size(source, options)
    if options.layout == "preview":
        return Picture(round(width * PREVIEW_HEIGHT / height), PREVIEW_HEIGHT)
    return Picture(width, height)


async def same_source(source: Storage, facts: SourceFacts) -> str:
    """Return what FFmpeg opens as the source, asked for anew: an address that was signed earlier may have expired.

    Raises SourceMissing, and SourceInvalid if it is not what was planned any more.
    """
    if await asyncio.to_thread(source.identity) != facts.identity:
        raise SourceInvalid(
            f"{source.name} was changed after the job was planned.",
            hint="Render once more, and leave the video alone meanwhile; for a new video, make a new job.",
        )
    return await opened_source(source)


def read_scenario(reference: ScenarioRef, base: Path) -> bytes | dict[str, object]:
    """Return the scenario that `reference` holds, or the bytes behind it; a relative path starts at `base`.

    Raises StorageError, ScenarioError for bytes with another hash than asked for, ManifestError for a ConfigMap.
    """
    if reference.inline is not None:
        return dict(reference.inline)
    if reference.uri is None:
        raise ManifestError(
            "spec.scenario.configMapRef names a ConfigMap, which only a cluster has.",
            hint="On one machine give the scenario by `uri` (a file) or `inline`.",
        )
    storage = open_storage(reference.uri, base)
    raw = storage.read_bytes(SCENARIO_BYTES)
    check_digest(raw, reference, storage.name)
    return raw


def check_digest(raw: bytes, reference: ScenarioRef, name: str) -> None:
    """Raise ScenarioError if `reference` asks for another SHA-256 than that of `raw`, which came from `name`."""
    digest = hashlib.sha256(raw).hexdigest()
    if reference.sha256 and digest != reference.sha256:
        raise ScenarioError(
            f"{name} has the SHA-256 {digest}, but spec.scenario.sha256 is {reference.sha256}.",
            hint="The scenario was changed after the job was written; correct the one or the other.",
        )


def _origin(reference: ScenarioRef) -> str:
    return Path(reference.uri).name if reference.uri and "://" not in reference.uri else "scenario"


@cache
def versions() -> dict[str, str]:
    """Return what a picture depends on besides the job: programs and fonts by file identity, our page by content."""
    chromium = find_chromium()
    return {
        "renderer": version("ecg-render"),
        "page": page_hash(),
        "ffmpeg": program_identity("ffmpeg"),
        "chromium": file_identity(chromium) if chromium else version("playwright"),
        "fonts": _fonts(),
    }


def _fonts() -> str:
    """Return a hash of the fonts that are installed: any may stand in where another lacks a letter."""
    try:
        listed = subprocess.run(
            ["fc-list", "--format", "%{file}\\n"], capture_output=True, text=True, timeout=30, check=False
        )
    except (OSError, subprocess.TimeoutExpired, UnicodeDecodeError):
        return ""
    files = [Path(line) for line in sorted(set(listed.stdout.splitlines()))]
    return canonical_hash([[file.name, file.stat().st_size] for file in files if file.is_file()])


# --- what a scenario names that is elsewhere, fetched ---------------------------------------------


# Fonts go into the prepared scenario itself, as data: the plan's work files hold them, every key covers them, and the
# page needs no network. What cannot be had is said, and its texts stand in another font, as in the editor's preview.


FONT_BYTES = 8 * 1024 * 1024
ALL_BYTES = 16 * 1024 * 1024
FONT_SECONDS = 10.0
# The first bytes of WOFF2, WOFF, and OpenType with either kind of outlines.
_FORMATS = {b"wOF2": "woff2", b"wOFF": "woff", b"OTTO": "otf", b"\x00\x01\x00\x00": "ttf", b"true": "ttf"}


async def plugins_of(origin: Origin | None, keys: Collection[str]) -> Fetched:
    """Return the plugins `keys` that `origin` has, nothing without one; see `origin.fetch_plugins`."""
    if origin is None:
        return NOTHING_FETCHED
    # Imported when there is an origin: the client takes time to load that other renders need not wait for.
    from ecg_renderer.origin import fetch_plugins

    return await fetch_plugins(origin, keys)


async def with_web_fonts(scenario: Scenario) -> Scenario:
    """Return the scenario with the fonts that it names by address inside, or with a finding for each that is not.

    Raises ServiceUnreachable where another try may help.
    """
    wanted = {name: asset["url"] for name, asset in scenario.data["define"].items() if _is_remote(asset)}
    if not wanted:
        return scenario
    read: list[str | StorageError] = await asyncio.gather(*(asyncio.to_thread(_font, url) for url in wanted.values()))
    define, findings, left = dict(scenario.data["define"]), [], ALL_BYTES
    for name, got in zip(wanted, read, strict=True):
        left -= 0 if isinstance(got, StorageError) else len(got) * 3 // 4
        if isinstance(got, str) and left < 0:
            got = StorageError(f"the fonts of a scenario may have {ALL_BYTES:,} bytes together.")
        if isinstance(got, str):
            define[name] = {**define[name], "url": got}
            continue
        del define[name]
        said = f'the font "{name}" cannot be had, another stands in for it: {got.message}'
        findings.append(Finding("font that cannot be had", f"define.{name}.url", said, got.hint))
    return replace(
        scenario,
        data={**scenario.data, "define": define},
        findings=(*scenario.findings, *findings),
        warnings=(*scenario.warnings, *(finding.line for finding in findings)),
    )


def _is_remote(asset: Any) -> bool:
    return is_asset(asset) and asset["type"] == "font" and not asset["url"].lower().startswith("data:")


def _font(url: str) -> str | StorageError:
    """Return the font behind an address as a data: URL, or why there is none."""
    policy = replace(UrlPolicy.from_environment(), total_seconds=FONT_SECONDS)
    try:
        storage = open_storage(url, Path(), policy)
        content = storage.read_bytes(FONT_BYTES)
    except ServiceUnreachable:
        raise
    except StorageError as error:
        return error
    kind = _FORMATS.get(content[:4])
    if kind is None:
        return StorageError(f"{storage.name} is no font.", hint="WOFF2, WOFF, TTF and OTF are.")
    return f"data:font/{kind};base64,{base64.b64encode(content).decode()}"
