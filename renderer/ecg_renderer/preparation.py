"""From a manifest to a plan: what every command does first.

1. read the scenario and probe the source, at the same time
2. decide on the encoder
3. prepare the scenario for the source's length
4. plan
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Protocol

from ecg_api.options import Encoder, Format, Options
from ecg_api.plan import Plan, SourceFacts
from ecg_api.renderjob import RenderJob, ScenarioRef
from ecg_renderer.browser import find_chromium, page_hash
from ecg_renderer.capture.patches import Block
from ecg_renderer.capture.scene import PREVIEW_HEIGHT, Scene
from ecg_renderer.colour import Conversion
from ecg_renderer.errors import ManifestError, ScenarioError, plain_failures
from ecg_renderer.media.encoder import EncoderChoice, choose_encoder
from ecg_renderer.media.probe import probe_source
from ecg_renderer.model import FrameGrid, FrameRange
from ecg_renderer.planning import Cutting, capture_blocks, make_plan, output_grid, output_size
from ecg_renderer.plugins import known_plugins
from ecg_renderer.scenario import Picture, Scenario, prepare
from ecg_renderer.storage import Storage, open_storage
from ecg_renderer.subtitles import as_scenario

SCENARIO_BYTES = 32 * 1024 * 1024

ScenarioReader = Callable[[ScenarioRef, Path], bytes | dict[str, object]]


class EncoderChooser(Protocol):
    """Decides on the encoder, as `choose_encoder` does."""

    async def __call__(self, wanted: Encoder, format: Format, *, bit_depth: int = 8) -> EncoderChoice:  # noqa: A002
        """Return the encoder for a container and a source's bit depth."""


@dataclass(frozen=True)
class PreparedJob:
    """A job whose inputs were read and found good.

    Attributes:
        source_url: what FFmpeg opens; may carry a signature and is never printed.
    """

    job: RenderJob
    source_url: str
    scenario: Scenario
    encoder: EncoderChoice
    plan: Plan

    @property
    def source(self) -> SourceFacts:
        """Facts about the source."""
        return self.plan.source

    @property
    def grid(self) -> FrameGrid:
        """The output's frames."""
        return FrameGrid(self.plan.exact_rate, self.plan.frames)

    @property
    def conversion(self) -> Conversion:
        """From the browser's colours to the source's."""
        return Conversion.of(self.source.matrix, full_range=self.source.full_range)

    def scene(self) -> Scene:
        """Return what the browser lays out."""
        return Scene(
            scenario=self.scenario.data,
            plugins=tuple(sorted(self.scenario.plugins)),
            width=self.plan.width,
            height=self.plan.height,
            rate=self.plan.exact_rate,
            preview_layout=self.job.spec.options.layout == "preview",
        )

    def blocks(self, frames: FrameRange) -> list[Block]:
        """Return the stretches of `frames` in which captions can be alive."""
        first, last = (float(self.grid.seconds(frame)) for frame in (frames.start, frames.end - 1))
        near = [cue for cue in self.scenario.cues if cue.touches(first, last)]
        return capture_blocks(frames, near, self.grid)


async def prepare_job(
    job: RenderJob,
    base: Path,
    cutting: Cutting,
    *,
    reader: ScenarioReader | None = None,
    chooser: EncoderChooser = choose_encoder,
) -> PreparedJob:
    """Read and check the inputs of `job` and plan it; relative paths start at `base`.

    `reader` returns the scenario of a reference, and `chooser` decides on the encoder, where that is done otherwise
    than on one machine. Raises a RenderError that says which input is at fault.
    """
    spec = job.spec
    source = open_storage(spec.source.uri, base)
    with plain_failures():
        async with asyncio.TaskGroup() as tasks:
            raw = tasks.create_task(asyncio.to_thread(reader or read_scenario, spec.scenario, base))
            facts = tasks.create_task(_probe(source))
    source_url, source_facts = facts.result()
    encoder = await chooser(spec.options.encoder, spec.options.format, bit_depth=source_facts.bit_depth)
    grid, _ = output_grid(source_facts, spec.options)
    picture = _picture(source_facts, spec.options)
    scenario = prepare(
        as_scenario(raw.result(), _origin(spec.scenario), picture, spec.scenario.look),
        duration=grid.seconds(grid.frames),
        rate=grid.rate,
        known_plugins=known_plugins(),
        unknown_plugins=spec.options.unknown_plugins,
        picture=picture,
        origin=_origin(spec.scenario),
    )
    plan = make_plan(
        job.metadata.name,
        source_facts,
        scenario,
        spec.options,
        cutting,
        encoder=encoder.encoder,
        versions=versions(),
        cores=os.cpu_count() or 1,
    )
    return PreparedJob(job, source_url, scenario, encoder, plan)


def _picture(source: SourceFacts, options: Options) -> Picture:
    """Return what captions are laid out on: the output, or the editor's stage in the output's shape."""
    width, height, _ = output_size(source, options)
    if options.layout == "preview":
        return Picture(round(width * PREVIEW_HEIGHT / height), PREVIEW_HEIGHT)
    return Picture(width, height)


async def _probe(source: Storage) -> tuple[str, SourceFacts]:
    url = await asyncio.to_thread(source.source_url)
    identity = await asyncio.to_thread(source.identity)
    return url, await probe_source(url, display=source.name, identity=identity)


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
    """Return what a picture depends on besides the job: programs by file identity, our page by content."""
    ffmpeg = shutil.which(os.environ.get("ECG_FFMPEG") or "ffmpeg")
    chromium = find_chromium()
    return {
        "renderer": version("ecg-render"),
        "page": page_hash(),
        "ffmpeg": _file_identity(Path(ffmpeg)) if ffmpeg else "",
        "chromium": _file_identity(chromium) if chromium else version("playwright"),
    }


def _file_identity(file: Path) -> str:
    status = file.resolve().stat()
    return f"{file}:{status.st_size}:{status.st_mtime_ns}"
