"""What commands say in the end: of a finished render, of a plan, of what the doctor found."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ecg_api.plan import AudioFacts, Plan, SourceFacts
from ecg_api.rational import rate_words
from ecg_api.rendering import RenderResult
from ecg_api.status import RenditionStatus
from ecg_renderer.cli.display import clock_time

if TYPE_CHECKING:
    from rich.table import Table

    from ecg_renderer.doctor import Check, Examination
    from ecg_renderer.preparation import PreparedJob


def summary(result: RenderResult, seconds: float) -> str:
    """Return a few lines; `seconds` is what the whole command took."""
    speed = result.duration_seconds / seconds if seconds else 0.0
    lines = [
        f"{length(result.duration_seconds)} of {result.width}x{result.height} at {rate_words(result.rate)} frames/s "
        f"in {length(seconds)}: {speed:.2f} x real time, {size_words(result.size_bytes)}",
        f"  encoder   {result.encoder} ({result.encoder_reason})",
        f"  captions  {_captions(result)}",
        f"  reused    {_cells_reused(result)}",
        f"  warnings  {_warning_words(result)}",
    ]
    lines += [
        f"  {'also' if not number else '':<9} {_also(output)}" for number, output in enumerate(result.outputs[1:])
    ]
    if result.frames_dropped:
        lines.append(f"  dropped   {result.frames_dropped:,} caption pictures (options.framePolicy: drop)")
    return "\n".join(lines)


def _also(output: RenditionStatus) -> str:
    if output.failure:
        return f"{output.name}: failed, {output.failure.code}"
    words = [output.name, f"{output.content}, {size_words(output.size_bytes)}"]
    if output.box:
        box = output.box
        seen = f"seen in {box.width}x{box.height} at {box.x},{box.y}" if box.width else "nothing is ever seen"
        words.append(seen)
    return ": ".join(words[:2]) + "".join(f", {word}" for word in words[2:])


def _captions(result: RenderResult) -> str:
    if not result.capture:
        return "nothing to capture"
    stages = f"{result.stages} stages" if result.stages > 1 else "1 stage"
    restarts = f", browser restarted {result.browser_restarts} times" if result.browser_restarts else ""
    pictures = f"{result.distinct_frames:,} pictures" if result.distinct_frames != 1 else "1 picture"
    return f"{pictures} for {result.frames:,} frames (by {result.capture}, {stages}{restarts})"


def _cells_reused(result: RenderResult) -> str:
    return f"{result.cells_reused} of {result.cells} cells from the store"


def _warning_words(result: RenderResult) -> str:
    return f"{len(result.warnings)}, see above" if result.warnings else "none"


def length(seconds: float) -> str:
    """Return `12.3 s` or, from a minute on, `2:03 min`."""
    return f"{seconds:.1f} s" if seconds < 60 else f"{clock_time(seconds)} {'min' if seconds < 3600 else 'h'}"


def size_words(size: float) -> str:
    """Return bytes as `12.3 MB`."""
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} bytes" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"


# --- a plan, for a person and for a program -------------------------------------------------------


def plan_json(prepared: PreparedJob, looked: float | None = None) -> str:
    """Return the plan as one JSON object, with the encoder that was decided on; see `print_plan`."""
    from ecg_renderer.results import described

    encoder = {"encoder": prepared.encoder.encoder, "encoderReason": prepared.encoder.reason}
    renditions = described(prepared.job, prepared.source)
    plan = prepared.plan.model_dump(mode="json", exclude={"source": {"seek_points"}})
    seen = {} if looked is None else {"looked_at_seconds": looked}
    return json.dumps({**plan, **encoder, **seen, **({"renditions": renditions} if renditions else {})})


def print_plan(prepared: PreparedJob, looked: float | None = None) -> None:
    """Print the plan on standard output; its captions were looked at up to the second `looked`, if at all."""
    from rich.console import Console
    from rich.table import Table

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
    from ecg_renderer.results import described

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
    from rich.table import Table

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


# --- what the doctor found, for a person and for a program ----------------------------------------


_MARKS = {"ok": "[green]ok[/]", "note": "[yellow]note[/]", "missing": "[red]missing[/]"}


def examination_json(examination: Examination) -> str:
    """Return all checks as one JSON object."""
    checks = [
        {"name": check.name, "state": check.state, "found": check.found, "meaning": check.meaning, "fix": check.fix}
        for check in examination.checks
    ]
    return json.dumps({"canRender": examination.can_render, "missing": examination.missing, "checks": checks})


def print_examination(examination: Examination) -> None:
    """Print all checks, and whether a render can work, on standard output."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console(highlight=False)
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for check in examination.checks:
        table.add_row(_MARKS[check.state], check.name, _check_words(check))
    console.print(table)
    console.print()
    console.print(escape(conclusion(examination)))


def conclusion(examination: Examination) -> str:
    """Return in a sentence whether a render can work."""
    if examination.missing:
        return f"A render cannot work here yet; to be put right first: {', '.join(examination.missing)}."
    notes = any(check.state == "note" for check in examination.checks)
    return "A render can work here." + (" The notes say what could be better." if notes else "")


def _check_words(check: Check) -> str:
    from rich.markup import escape

    if check.state == "ok":
        return escape(check.found)
    return f"{escape(check.found)}\n[dim]{escape(check.meaning)}[/]\n[cyan]{escape(check.fix)}[/]"
