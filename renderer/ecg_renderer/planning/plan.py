"""The one orchestrator of planning."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ecg_api.options import Options
from ecg_api.plan import Plan, SegmentPlan, SourceFacts
from ecg_api.rational import to_rational
from ecg_renderer.media.codecs import EncoderName
from ecg_renderer.model import FrameRange
from ecg_renderer.planning.activity import Activity
from ecg_renderer.planning.costs import estimate_seconds, frame_costs
from ecg_renderer.planning.keys import segment_key
from ecg_renderer.planning.output import output_grid, output_size
from ecg_renderer.planning.segments import cut_segments
from ecg_renderer.scenario import Scenario


@dataclass(frozen=True)
class Cutting:
    """How the video is cut up: the arguments of `cut_segments`."""

    max_segments: int | None = None
    target_seconds: float = 60.0
    forced: int | None = None


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
) -> Plan:
    """Return the plan of the job `name`.

    `encoder` is the one that was decided on; `versions` see `segment_key`; `cores` is the number of CPU
    cores for which time is estimated. Raises OptionsError for a size that cannot be rendered.
    """
    grid, rate_warnings = output_grid(source, options)
    width, height, size_warnings = output_size(source, options)
    activity = Activity.of(scenario.cues, grid)
    costs = frame_costs(encoder, options.preset)
    ranges = cut_segments(
        grid,
        scenario.cues,
        max_segments=cutting.max_segments,
        target_seconds=cutting.target_seconds,
        forced=cutting.forced,
        costs=costs,
    )

    def key(frames: FrameRange) -> str:
        return segment_key(
            frames,
            grid,
            (width, height),
            source=source,
            scenario=scenario,
            options=options,
            encoder=encoder,
            versions=versions,
        )

    whole = FrameRange(0, grid.frames)
    captioned, distinct = activity.captioned_frames(whole), activity.distinct_frames(whole)
    seconds = estimate_seconds(
        costs, width * height, frames=grid.frames, captioned=captioned, distinct=distinct, cores=cores
    )
    return Plan(
        name=name,
        source=source,
        width=width,
        height=height,
        rate=to_rational(grid.rate),
        frames=grid.frames,
        segments=[
            _segment(index, frames, activity, width * height, key(frames)) for index, frames in enumerate(ranges)
        ],
        captioned_frames=captioned,
        distinct_frames_estimate=distinct,
        estimated_seconds=round(seconds, 1),
        warnings=[*scenario.warnings, *rate_warnings, *size_warnings, *_sound_warnings(source)],
    )


def _sound_warnings(source: SourceFacts) -> list[str]:
    streams = ", ".join(map(str, source.unreadable_audio))
    return (
        [f"FFmpeg does not know the codec of the source's sound in stream {streams}; it is left out."]
        if streams
        else []
    )


def _segment(index: int, frames: FrameRange, activity: Activity, pixels: int, key: str) -> SegmentPlan:
    return SegmentPlan(
        index=index,
        start=frames.start,
        end=frames.end,
        pre_roll=int(activity.pre_roll[frames.start]),
        content_key=key,
        work=activity.distinct_frames(frames) * pixels,
        captioned_frames=activity.captioned_frames(frames),
    )
