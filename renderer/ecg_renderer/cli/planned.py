"""A plan, for a person and for a program."""

from __future__ import annotations

import json
from collections.abc import Iterator

from rich.console import Console
from rich.table import Table

from ecg_api.plan import AudioFacts, Plan, SourceFacts
from ecg_api.rational import rate_words
from ecg_renderer.cli.summary import length, size_words
from ecg_renderer.preparation import PreparedJob
from ecg_renderer.results import described


def plan_json(prepared: PreparedJob) -> str:
    """Return the plan as one JSON object, with the encoder that was decided on."""
    encoder = {"encoder": prepared.encoder.encoder, "encoderReason": prepared.encoder.reason}
    renditions = described(prepared.job, prepared.source)
    plan = prepared.plan.model_dump(mode="json", exclude={"source": {"seek_points"}})
    return json.dumps({**plan, **encoder, **({"renditions": renditions} if renditions else {})})


def print_plan(prepared: PreparedJob, looked: float | None = None) -> None:
    """Print the plan on standard output; its captions were looked at up to the second `looked`, if at all."""
    console = Console(highlight=False)
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="bold")
    facts.add_column(overflow="fold")
    for name, words in plan_facts(prepared):
        facts.add_row(name, words)
    if looked is not None and looked < float(prepared.plan.target.duration):
        rest = "`ecg-render scenario check` looks at all of it"
        facts.add_row("looked at", f"the layout of the first {length(looked)}; {rest}")
    console.print(facts, markup=False)
    console.print()
    console.print(_segments(prepared.plan))


def plan_facts(prepared: PreparedJob) -> Iterator[tuple[str, str]]:
    """Yield what there is to say about a plan, name and words."""
    plan, target = prepared.plan, prepared.plan.target
    yield "source", plan.source.uri
    yield "", source_words(plan.source)
    yield "sound", "; ".join(audio_words(stream) for stream in plan.source.audio) or "none"
    yield (
        "result",
        f"{target.width}x{target.height}, {rate_words(target.rate)} frames/s, {target.frames:,} frames, "
        f"{length(float(target.duration))}, {target.format}",
    )
    for number, made in enumerate(described(prepared.job, prepared.source)):
        size = f", {made['width']}x{made['height']}" if "width" in made else ""
        yield "" if number else "also", f"{made['uri']}: {made['content']}{size}, {made['format']}"
    yield "encoder", f"{prepared.encoder.encoder} ({prepared.encoder.reason})"
    yield (
        "captions",
        f"on {plan.captioned_frames:,} frames ({_percent(plan.captioned_frames, target.frames)}), "
        f"about {plan.distinct_frames_estimate:,} different pictures",
    )
    yield "cells", f"{len(plan.cells)}, {plan.reused_cells} of them in the store"
    yield "time", f"about {length(plan.estimated_seconds)} on this machine"
    yield "warnings", plan.warnings[0] if plan.warnings else "none"
    for warning in plan.warnings[1:]:
        yield "", warning


def source_words(source: SourceFacts) -> str:
    """Return `1920x1080 h264 in mp4, 25 frames/s, 750 frames, 30.0 s, bt709, 12.3 MB`."""
    stored = (source.coded_width, source.coded_height) != (source.width, source.height)
    words = [
        f"{source.width}x{source.height} {source.codec} in {source.container.partition(',')[0]}",
        f"stored as {source.coded_width}x{source.coded_height}, turned by {source.rotation} degrees" if stored else "",
        f"{rate_words(source.rate)} frames/s{' (variable)' if source.variable_rate else ''}",
        f"{source.frames:,} frames",
        length(source.duration_seconds),
        f"{source.pixel_format} {source.matrix}{' full range' if source.full_range else ''}",
        size_words(source.size_bytes) if source.size_bytes is not None else "",
    ]
    return ", ".join(word for word in words if word)


def audio_words(stream: AudioFacts) -> str:
    """Return `aac, 2 channels, 48 kHz`."""
    channels = f"{stream.channels} channel{'' if stream.channels == 1 else 's'}"
    return f"{stream.codec}, {channels}, {stream.sample_rate / 1000:g} kHz"


def _segments(plan: Plan) -> Table:
    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    for name in ("segment", "frames", "count", "from", "captioned", "work", "cells"):
        table.add_column(name, justify="right")
    rate = plan.target.exact_rate
    all_work = sum(segment.work for segment in plan.segments)
    for segment in plan.segments:
        cells = plan.cells_of(segment)
        table.add_row(
            str(segment.index),
            f"{segment.start}-{segment.end - 1}",
            str(segment.frames),
            f"{float(segment.start / rate):.3f} s",
            str(segment.captioned_frames),
            _percent(segment.work, all_work),
            f"{cells[0]}-{cells[-1]}",
        )
    return table


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.0f} %" if whole else "0 %"
