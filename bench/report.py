"""What was measured, as tables and as a page (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import fmean, median

from bench.results import (
    CaptureCost,
    Comparison,
    Edit,
    Exports,
    Measured,
    Quantity,
    Run,
    memory_peak,
    shares_of_decoding,
    spending,
)
from bench.table import Table
from bench.verdicts import verdicts

_INTRODUCTION = """\
# Benchmark results

Written by `make bench`. What is measured, and how, is told in [docs/benchmarks.md](../docs/benchmarks.md)."""


def tables(measured: Measured) -> list[Table]:
    """Return the tables for which something was measured."""
    comparisons = measured.comparisons
    made = [
        verdicts(comparisons, measured.edits, measured.exports),
        _against_ffmpeg(comparisons),
        _edits(measured.edits),
        _exports(measured.exports),
        _spending(comparisons),
        _stages(comparisons),
        _own_account(comparisons),
        _beside_nvenc(measured.nvenc),
        _captures(measured.captures),
        _plugins(measured.plugins),
        _rounds(comparisons),
    ]
    return [table for table in made if table.rows]


def page(conditions: dict[str, str], contents: Iterable[Table]) -> str:
    """Return the whole result as a Markdown page."""
    facts = "\n".join(f"- {name}: {value}" for name, value in conditions.items())
    return "\n\n".join([_INTRODUCTION, facts, *(table.markdown() for table in contents)]) + "\n"


def _against_ffmpeg(comparisons: Sequence[Comparison]) -> Table:
    rows = [
        (
            each.label,
            _pair(each.typically("floor", "wall"), each.typically("floor", "cpu")),
            _pair(each.typically("libass", "wall"), each.typically("libass", "cpu")),
            _pair(each.typically("ours", "wall"), each.typically("ours", "cpu")),
            *(_best_and_median(each.ratios(quantity)) for quantity in _QUANTITIES),
        )
        for each in comparisons
    ]
    return Table(
        "Against FFmpeg",
        "Seconds are wall / CPU, medians. Ratios are ours / FFmpeg without captions, best and median round.",
        ("clip", "FFmpeg", "FFmpeg + libass", "ours", "ratio, wall", "ratio, CPU"),
        rows,
    )


def _edits(edits: Sequence[Edit]) -> Table:
    rows = [
        (
            f"{each.name} {each.seconds} s, {where}",
            _seconds(each.first),
            _seconds(again),
            f"{100 * each.share(again):.1f} %",
            f"{again.stats['cellsReused']} of {again.stats['cells']}",
        )
        for each in edits
        for where, again in each.again.items()
    ]
    return Table(
        "After an edit",
        "The whole command, seconds wall / CPU: from nothing, and again after a word near the middle was "
        "changed. Two of three words are seen within one piece of ten seconds, the others across a border of two.",
        ("clip", "from nothing", "one word changed", "share of the wall clock", "cells from the store"),
        rows,
    )


def _exports(exports: Sequence[Exports]) -> Table:
    rows = [
        (f"{each.name} {each.seconds} s", *map(_seconds, (each.video, each.captions, each.together)))
        for each in exports
    ]
    return Table(
        "Every export of a job",
        "The whole command, seconds wall / CPU: the video; its captions alone (`.mov`) when the video is there; "
        "from nothing, all at once, with subtitles (`.srt`).",
        ("clip", "the video", "captions alone", "all at once"),
        rows,
    )


def _spending(comparisons: Sequence[Comparison]) -> Table:
    rows = []
    for each in comparisons:
        floor, ours = each.typically("floor", "cpu"), each.typically("ours", "cpu")
        if floor is None or ours is None:
            continue
        parts = spending(each)
        total = sum(parts.values())
        rows += [(each.label, kind, f"{cpu:.2f}", f"{cpu / total:.0%}") for kind, cpu in parts.items()]
        rows.append((each.label, "together", f"{total:.2f}", "100%"))
    return Table(
        "Where the CPU above the floor goes",
        "CPU seconds of each kind of process beyond those of FFmpeg without captions, means. `ffmpeg` is "
        "what laying captions over adds; `not seen` is what ended between two looks.",
        ("clip", "processes", "CPU s", "share"),
        rows,
    )


def _stages(comparisons: Sequence[Comparison]) -> Table:
    rows = []
    for each in comparisons:
        runs = [one.ours for one in each.quiet]
        stages: dict[str, list[float]] = {}
        for run in runs:
            for stage, seconds in run.stats.get("seconds", {}).items():
                stages.setdefault(stage, []).append(float(seconds))
        rows += [(each.label, stage, f"{fmean(seconds):.2f}") for stage, seconds in stages.items()]
        rows.append((each.label, "the whole command", f"{fmean(run.measured.wall for run in runs):.2f}"))
        floor = each.typically("floor", "wall")
        if floor is not None:
            rows.append((each.label, "FFmpeg without captions", f"{floor:.2f}"))
    return Table("Where the time goes", "Seconds on the clock, means.", ("clip", "stage", "seconds"), rows)


def _own_account(comparisons: Sequence[Comparison]) -> Table:
    columns = {
        "frames": "frames",
        "distinct": "distinctFrames",
        "dropped": "framesDropped",
        "segments": "segments",
        "capture": "capture",
        "encoder": "encoder",
        "first frame after s": "firstFrameSeconds",
    }
    rows = [(each.label, *(_stat(each, name) for name in columns.values())) for each in comparisons]
    remark = "First frame: when the first one came out of the encoder."
    return Table("What the renderer reports", remark, ("clip", *columns), rows)


def _beside_nvenc(comparisons: Sequence[Comparison]) -> Table:
    rows = []
    for each in comparisons:
        shares = shares_of_decoding(each)
        runs = [one.ours.stats for one in each.quiet]
        speed = fmean(stats["frames"] / stats["seconds"]["rendering"] for stats in runs)
        rows.append((each.label, *(f"{share:.2f}" for share in shares.values()), f"{speed:.0f}"))
    return Table(
        "What a GPU node's CPUs do",
        "nvenc (driver double, canned): CPU of all that is neither decoding nor encoding, as a share of decoding the "
        "clip in software in the same round. Frames a second: of one pod that also decodes on these cores. Goals: 0.45 "
        "for typical, 0.60 for busy, 0.05 for Python.",
        ("clip", "ffmpeg", "chromium", "python", "together", "frames/s"),
        rows,
    )


def _captures(captures: Sequence[CaptureCost]) -> Table:
    rows = [
        (
            f"{cost.way}, {cost.stages} stage{'s' if cost.stages > 1 else ''}",
            f"{1000 * cost.browser_seconds / cost.frames:.1f}",
            f"{1000 * cost.browser_seconds / cost.distinct:.1f}",
            f"{1000 * cost.cpu_seconds / cost.distinct:.1f}",
            f"{1000 * cost.wall_seconds / cost.distinct:.1f}",
            f"{cost.distinct} of {cost.frames}",
            f"{cost.startup_cpu_seconds:.2f}",
        )
        for cost in captures
    ]
    per = ("browser / frame", "browser / distinct", "all / distinct", "wall / distinct")
    header = ("capture", *per, "distinct", "start-up")
    return Table(
        "What a caption picture costs",
        "CPU milliseconds per frame, or distinct frame, of the busy scenario, start-up taken off. Browser: "
        "Chromium and its driver. All: with the hashing of whole pictures, which no render does. Start-up: "
        "CPU seconds until the first picture is hashed.",
        header,
        rows,
    )


def _plugins(plugins: Sequence[CaptureCost]) -> Table:
    rows = [
        (
            cost.scenario,
            f"{1000 * cost.browser_seconds / cost.frames:.1f}",
            f"{1000 * cost.browser_seconds / cost.distinct:.1f}",
            f"{1000 * cost.wall_seconds / cost.distinct:.1f}",
            f"{cost.distinct} of {cost.frames}",
        )
        for cost in sorted(plugins, key=lambda cost: -cost.browser_seconds / cost.frames)
    ]
    return Table(
        "What each plugin costs",
        "CPU milliseconds of Chromium per frame, or distinct frame, of a talk whose words all have this one effect; "
        "wall includes the hashing of whole pictures. Start-up is taken off.",
        ("plugin", "browser / frame", "browser / distinct", "wall / distinct", "distinct"),
        rows,
    )


def _rounds(comparisons: Sequence[Comparison]) -> Table:
    rows = []
    for each in comparisons:
        for number, one in enumerate(each.rounds, start=1):
            for who, run in (("FFmpeg", one.floor), ("FFmpeg + libass", one.libass), ("ours", one.ours)):
                if run:
                    rows.append((f"{each.label}, {number}", who, *_raw(run)))
    header = ("clip, round", "command", "wall s", "CPU s", "others' CPU s", "load before", "peak MB", "")
    return Table("Every run", "Rounds with a disturbed run count only if all were disturbed.", header, rows)


def _raw(run: Run) -> tuple[str, ...]:
    measured = run.measured
    return (
        *(f"{value:.2f}" for value in (measured.wall, measured.cpu, measured.foreign, measured.load)),
        f"{memory_peak(run):.0f}",
        "disturbed" if measured.disturbed else "",
    )


_QUANTITIES: tuple[Quantity, ...] = ("wall", "cpu")


def _seconds(run: Run) -> str:
    return _pair(run.measured.wall, run.measured.cpu)


def _pair(wall: float | None, cpu: float | None) -> str:
    return "-" if wall is None or cpu is None else f"{wall:.2f} / {cpu:.2f}"


def _best_and_median(ratios: Sequence[float]) -> str:
    return f"{min(ratios):.2f}, {median(ratios):.2f}" if ratios else "-"


def _stat(comparison: Comparison, name: str) -> str:
    values = [one.ours.stats[name] for one in comparison.rounds if name in one.ours.stats]
    numbers = [value for value in values if isinstance(value, int | float)]
    if numbers:
        return f"{median(numbers):.2f}".removesuffix(".00")
    return ", ".join(sorted({str(value) for value in values})) or "-"
