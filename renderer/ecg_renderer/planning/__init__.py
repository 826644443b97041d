"""From facts to a plan: what comes out, in which cells, who renders those that are missing. Pure functions, no IO.

source, options ──> output_grid, output_size ──> Target
cues, grid ───────> Activity: per frame, is a caption alive, does the picture change, what is replayed before it
Activity, cues ───> film_of: what is drawn on some frames; hashed for a cell's key, and given to the page
all of it ────────> make_plan ──> Plan; with the cells that are kept, reusing ──> Plan
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ecg_api.options import EncoderName, Options
from ecg_api.plan import CellPlan, Plan, PluginFile, PluginPlan, SegmentPlan, SourceFacts, Target
from ecg_api.rational import rate_words, to_rational
from ecg_renderer.media.codecs import track_warnings
from ecg_renderer.media.placing import Placing, start_seconds
from ecg_renderer.media.process import UNTIMED_FORMATS
from ecg_renderer.model import Film, FrameGrid, FrameRange, kind_of
from ecg_renderer.planning.cutting import (
    Activity,
    alike,
    alive_frames,
    cell_length,
    cut_segments,
    estimate_seconds,
    film_of,
    frame_costs,
)
from ecg_renderer.planning.output import colour_warnings, encoding_of, output_colour, output_grid, output_size
from ecg_renderer.scenario import Scenario, canonical_hash
from ecg_renderer.served import NOTHING_FETCHED, Fetched, PluginModule

__all__ = [
    "CELL_SECONDS", "LIVE_CELL_SECONDS", "Activity", "Cutting", "Planner", "alike", "alive_frames", "cell_key",
    "encoding_of", "film_of", "make_plan", "output_colour", "output_grid", "output_size", "reusing", "with_encoder",
]  # fmt: skip

# Raise when the meaning of what is hashed below changes.
_SCHEMA = 4
_LOOK = {"width", "height", "rate", "lead_frames", "deinterlace", "quality", "preset", "fit", "focus"}
# With x264, a key frame every 10 s costs 2 percent of the size, every 8 s twice that: scene cuts are key frames anyway.
CELL_SECONDS = 10
# Who watches sees the first second when the first cell is finished, and waits for each further one.
LIVE_CELL_SECONDS = 5


@dataclass(frozen=True)
class Cutting:
    """How the work is shared out: into segments of about `target_seconds`, at most `max_segments`.

    `forced` asks for an exact number, which only a shorter video, or cells that are there already, can lower. Cells are
    at most `cell_seconds` long.
    """

    max_segments: int | None = None
    target_seconds: float = 60.0
    forced: int | None = None
    cell_seconds: float = CELL_SECONDS

    def segments_of(self, seconds: float) -> int:
        """Return the number of segments to aim at for so many seconds of video."""
        wished = self.forced or max(1, round(seconds / self.target_seconds))
        return min(wished, self.max_segments or wished)


@dataclass(frozen=True)
class Planner:
    """What plans are made of, kept for looking at parts of the job later: films are cut out of it."""

    scenario: Scenario
    grid: FrameGrid
    size: tuple[int, int]
    cell_frames: int
    preview_layout: bool
    modules: Mapping[str, PluginModule]

    @cached_property
    def activity(self) -> Activity:
        """What captions do on every frame."""
        return Activity.of(self.scenario.cues, self.grid)

    @cached_property
    def kind(self) -> tuple[str, ...]:
        """What all films are drawn with: a way to capture that has passed its check for one has for the others."""
        return kind_of(self.scenario.data, self.modules)

    @classmethod
    def of(cls, plan: Plan, scenario: Scenario, options: Options, modules: Mapping[str, PluginModule]) -> Planner:
        """Return that of a plan which was made before."""
        target = plan.target
        start = start_seconds(plan.source, target.exact_rate, target.lead_frames)
        grid = FrameGrid(target.exact_rate, target.frames, start, target.lead_frames)
        return cls(
            scenario,
            grid,
            (target.width, target.height),
            plan.cell_frames,
            options.layout == "preview",
            modules,
        )

    def film(self, frames: FrameRange) -> Film:
        """Return what is drawn on `frames`."""
        return film_of(
            self.scenario,
            frames,
            self.grid,
            self.activity,
            size=self.size,
            cell_frames=self.cell_frames,
            preview_layout=self.preview_layout,
            modules=self.modules,
            kind=self.kind,
        )


def make_plan(
    name: str,
    source: SourceFacts,
    scenario: Scenario,
    options: Options,
    cutting: Cutting,
    *,
    encoder: EncoderName,
    versions: Mapping[str, str],
    cores: int,
    fetched: Fetched = NOTHING_FETCHED,
    alone: bool = False,
) -> tuple[Plan, Planner]:
    """Return the plan of the job `name`, with nothing in the store yet (see `reusing`), and what it was made of.

    `encoder` is the one that was decided on; `versions` names every program, package and font whose change may change
    a pixel; `cores` is the number of CPU cores for which time is estimated; with `alone`, cells have a key for their
    captions alone too. Raises OptionsError for a size that cannot be rendered.
    """
    grid, rate_warnings = output_grid(source, options, captions_end=scenario.latest)
    width, height, size_warnings = output_size(source, options)
    longest = round(min(cutting.cell_seconds, cutting.target_seconds) * grid.rate)
    cell_frames = cell_length(grid.frames, max(1, longest), cutting.forced)
    planner = Planner(scenario, grid, (width, height), cell_frames, options.layout == "preview", fetched.modules)
    target = _target(source, options, grid, (width, height), encoder)
    ranges = [FrameRange(start, min(start + cell_frames, grid.frames)) for start in range(0, grid.frames, cell_frames)]
    whole = FrameRange(0, grid.frames)
    draft = Plan.model_construct(
        name=name,
        source=source,
        target=target,
        cell_frames=cell_frames,
        cells=[_cell(planner, frames, target, source, options, versions, alone=alone) for frames in ranges],
        segments=[],
        plugins=[_plugin(module) for module in fetched.modules.values()],
        captioned_frames=planner.activity.captioned_frames(whole),
        distinct_frames_estimate=planner.activity.distinct_frames(whole),
        estimated_seconds=0.0,
        warnings=[*scenario.warnings, *fetched.warnings, *rate_warnings, *size_warnings, *_told_of(source, options)],
    )
    return reusing(draft, planner.activity, cutting, kept=(), cores=cores), planner


def _told_of(source: SourceFacts, options: Options) -> list[str]:
    return [
        *source_warnings(source, options),
        *colour_warnings(source, options),
        *track_warnings(source, options.format),
    ]


def _target(
    source: SourceFacts, options: Options, grid: FrameGrid, size: tuple[int, int], encoder: EncoderName
) -> Target:
    return Target(
        width=size[0],
        height=size[1],
        rate=to_rational(grid.rate),
        frames=grid.frames,
        lead_frames=grid.lead,
        deinterlace=source.interlaced and options.deinterlace == "auto",
        colour=output_colour(source, encoder, keep_hdr=options.dynamic_range == "hdr"),
        encoder=encoder,
        quality=options.quality,
        preset=options.preset,
        fit=options.fit,
        focus=options.focus,
        format=options.format,
    )


def reusing(plan: Plan, activity: Activity, cutting: Cutting, *, kept: Collection[int], cores: int) -> Plan:
    """Return `plan` with segments that render what is missing when the cells `kept` are in the store."""
    costs = frame_costs(plan.target.encoder, plan.target.preset)
    borders = [plan.cell_range(cell)[0] for cell in range(len(plan.cells))]
    work = np.add.reduceat(costs.of_frames(activity), borders)
    missing = [cell for cell in range(len(plan.cells)) if cell not in kept]
    frames = sum(end - start for start, end in map(plan.cell_range, missing))
    wished = cutting.segments_of(frames / float(plan.target.exact_rate))
    ranges = cut_segments(missing, work, activity.alive[borders], wished=wished, largest=cutting.max_segments)
    pixels = plan.target.width * plan.target.height
    segments = [_segment(plan, index, cells, activity, pixels) for index, cells in enumerate(ranges)]
    rendered = {cell for cells in ranges for cell in range(cells.start, cells.end)}
    distinct = sum(activity.distinct_frames(FrameRange(part.start, part.end)) for part in segments)
    seconds = estimate_seconds(
        costs,
        pixels,
        frames=sum(segment.frames for segment in segments),
        captioned=sum(segment.captioned_frames for segment in segments),
        distinct=distinct,
        cores=cores,
    )
    changes = {
        "cells": [cell.model_copy(update={"reused": number not in rendered}) for number, cell in enumerate(plan.cells)],
        "segments": segments,
        "estimated_seconds": round(seconds, 1),
    }
    return Plan.model_validate(plan.model_copy(update=changes).model_dump())


def with_encoder(plan: Plan, encoder: EncoderName) -> Plan:
    """Return `plan` for the encoder that its job turned out to have; the keys of cells do not depend on it."""
    colour = output_colour(plan.source, encoder, keep_hdr=not plan.target.colour.tone_mapped)
    target = plan.target.model_copy(update={"encoder": encoder, "colour": colour})
    return plan.model_copy(update={"target": target})


def cell_key(
    film: Film,
    frames: FrameRange,
    target: Target,
    *,
    source: SourceFacts,
    seek: float | None,
    frame_policy: str,
    versions: Mapping[str, str],
) -> str:
    """Return the key of the cell with `frames`, 64 hex digits: equal when its pictures must be equal.

    The encoder is no part of it but of the cell's name, since a plan for a cluster cannot know it.
    """
    return canonical_hash(
        {
            "schema": _SCHEMA,
            "film": film.contents(),
            "frames": [frames.start, frames.end],
            "ends": frames.end == target.frames,
            "target": target.model_dump(include=_LOOK, exclude_none=True),
            "colour": target.colour.model_dump(include={"matrix", "transfer", "primaries", "tone_mapped"}),
            "framePolicy": frame_policy,
            "source": source.model_dump(exclude={"uri", "seek_points", "early_end", "other_turn", "view"}),
            "seek": seek,
            "versions": dict(versions),
        }
    )


def captions_key(
    film: Film, frames: FrameRange, target: Target, source: SourceFacts, versions: Mapping[str, str]
) -> str:
    """Return the key of a cell of captions alone: no encoder, and of the source only its colours, play a part."""
    return canonical_hash(
        {
            "schema": _SCHEMA,
            "film": film.contents(),
            "frames": [frames.start, frames.end],
            "colour": target.colour.model_dump(include={"matrix", "transfer", "primaries", "tone_mapped"}),
            "fullRange": source.full_range,
            "versions": {name: version for name, version in versions.items() if name != "ffmpeg"},
        }
    )


def _cell(
    planner: Planner,
    frames: FrameRange,
    target: Target,
    source: SourceFacts,
    options: Options,
    versions: Mapping[str, str],
    *,
    alone: bool,
) -> CellPlan:
    seek = Placing.of(source, target).seek(source, frames.start)
    film = planner.film(frames)
    key = cell_key(
        film,
        frames,
        target,
        source=source,
        seek=seek,
        frame_policy=options.frame_policy,
        versions=versions,
    )
    captioned = planner.activity.captioned_frames(frames)
    of_captions = captions_key(film, frames, target, source, versions) if alone else ""
    return CellPlan(key=key, captions_key=of_captions, seek=seek, captioned_frames=captioned)


def _plugin(module: PluginModule) -> PluginPlan:
    files = [PluginFile(path=path, sha256=digest) for path, digest in module.hashes.items()]
    return PluginPlan(key=module.key, files=files)


def _segment(plan: Plan, index: int, cells: FrameRange, activity: Activity, pixels: int) -> SegmentPlan:
    frames = FrameRange(plan.cell_range(cells.start)[0], plan.cell_range(cells.end - 1)[1])
    return SegmentPlan(
        index=index,
        start=frames.start,
        end=frames.end,
        work=activity.distinct_frames(frames) * pixels,
        captioned_frames=activity.captioned_frames(frames),
    )


def source_warnings(source: SourceFacts, options: Options) -> list[str]:
    """Return what is unusual about a source and is met in a way that a person should know of."""
    warnings = []
    if source.container in UNTIMED_FORMATS:
        warnings.append(
            f"The source is a raw stream without times: its pictures are shown at {rate_words(source.rate)} a second, "
            "which it says, or FFmpeg assumes where it says nothing; each segment reads it from the start."
        )
    if source.early_end:
        warnings.append(
            f"The source's file ends {source.early_end}, {source.duration_seconds:.2f} seconds in: it may have been "
            "cut off; if it should go on, copy or download it again."
        )
    if source.video_tracks > 1 and source.video:
        unsought = ", for which each segment reads the source from its start" if source.seek_points == [] else ""
        warnings.append(
            f"The source has {source.video_tracks} video tracks, of which the one is rendered that players show "
            f"(stream {source.video.index}, {source.coded_width}x{source.coded_height}){unsought}; to render another, "
            "take it out first: ffmpeg -i SOURCE -map 0:v:NUMBER -map 0:a -c copy other.mkv"
        )
    if source.alpha and source.codec != "gif":  # those nearly always say that they have
        warnings.append("The source has an alpha channel: what is transparent is shown on black.")
    if source.other_shapes:
        warnings.append(
            f"The source's pictures are {source.coded_width}x{source.coded_height} at first and "
            f"{', '.join(source.other_shapes)} later; those are fitted into the first size, with black bars."
        )
    if source.view:
        warnings.append(
            f"The source's pictures are {source.view}: captions lie flat over them; the result has no such mark."
        )
    if source.other_turn:
        warnings.append(
            f"Some of the source's pictures ask to be turned by {source.other_turn} degrees, though the file's header "
            "does not; that is not heeded."
        )
    if source.interlaced:
        done = "made whole again; set options.deinterlace to off to leave them"
        done = done if options.deinterlace == "auto" else "left as they are, as asked"
        warnings.append(f"The source is interlaced: its pictures are two fields each, which are {done}.")
    if source.telecined:
        warnings.append(
            "The source seems to be a film of 23.976 pictures a second that was telecined to 29.97; that is not undone."
        )
    return warnings
