"""Which targets are met (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import median

from bench.results import Comparison, Edit, Exports, Quantity, Run, memory_growth, memory_peak
from bench.table import Table

TARGETS = {"typical": 1.20, "busy": 1.25}
NEXT_GOALS = {
    "typical": (1.10, 1.08),
    "busy": (1.15, 1.13),
    "sparse": (1.05, 1.04),
    "top-and-bottom": (1.15, 1.15),
    "top-and-bottom-4k": (1.20, 1.15),
    "many": (1.10, 1.08),
}  # of the clock, and of the CPU
ONE_FRAME_SECONDS = 0.8
MEMORY_LIMIT_MB = 1200.0
MEMORY_LIMITS_MB = {"typical": 800.0, "top-and-bottom-4k": 1300.0}
FLAT = 1.05  # memory of the second half of a long run over that of the first
SAME_RATIO = 0.03  # equal runs differ by as much from noise alone

EDIT_COUNTS_FROM_SECONDS = 600
CAPTIONS_ALONE, TOGETHER = 0.6, 1.4  # of the wall clock of the video
EDIT_SHARE, EDIT_SECONDS = 0.04, 14.0  # of rendering ten minutes from nothing, and at most

_QUANTITIES: tuple[Quantity, ...] = ("wall", "cpu")
Verdict = tuple[str, str, str, bool]


def verdicts(comparisons: Sequence[Comparison], edits: Sequence[Edit] = (), exports: Sequence[Exports] = ()) -> Table:
    """Return the table of targets, what was measured, and whether they are met."""
    runs = [each.ours for comparison in comparisons for each in comparison.rounds]
    ratios = [*_ratios(comparisons), *_start(comparisons), *_growth(comparisons)]
    runs += [run for each in edits for run in (each.first, *each.again.values())]
    runs += [run for each in exports for run in (each.video, each.captions, each.together)]
    found = [*ratios, *_edits(edits), *_exports(exports), *_dropped(runs), *_memory(comparisons), *_leaks(runs)]
    rows = [(what, target, measured, "yes" if met else "**no**") for what, target, measured, met in found]
    header = ("what", "target", "measured", "met")
    return Table("Targets", "Ratios are those of the best round.", header, rows)


def _ratios(comparisons: Sequence[Comparison]) -> Iterable[Verdict]:
    for each in comparisons:
        if not each.ratios("wall"):
            continue
        best = [min(each.ratios(quantity)) for quantity in _QUANTITIES]
        what, measured = f"{each.label}: ours / FFmpeg, wall / CPU", " / ".join(f"{ratio:.2f}" for ratio in best)
        if each.name in TARGETS:
            yield what, f"at most {TARGETS[each.name]:.2f}", measured, max(best) <= TARGETS[each.name]
        if each.name in NEXT_GOALS:
            goals = NEXT_GOALS[each.name]
            met = all(ratio <= goal for ratio, goal in zip(best, goals, strict=True))
            yield what, "next goal " + " / ".join(f"{goal:.2f}" for goal in goals), measured, met


def _start(comparisons: Sequence[Comparison]) -> Iterable[Verdict]:
    for each in comparisons:
        if not each.seconds:
            best = min(one.ours.measured.wall for one in each.quiet)
            yield (
                f"{each.label}: from start to end",
                f"{ONE_FRAME_SECONDS} s",
                f"{best:.2f} s",
                best <= ONE_FRAME_SECONDS,
            )


def _growth(comparisons: Sequence[Comparison]) -> Iterable[Verdict]:
    by_name: dict[str, list[Comparison]] = {}
    for each in comparisons:
        by_name.setdefault(each.name, []).append(each)
    for name, clips in by_name.items():
        short, long = min(clips, key=lambda each: each.seconds), max(clips, key=lambda each: each.seconds)
        if short is not long and short.ratios("wall") and long.ratios("wall"):
            growth = max(median(long.ratios(q)) - median(short.ratios(q)) for q in _QUANTITIES)
            what = f"{name}: growth of the ratio from {short.seconds} s to {long.seconds} s"
            yield what, f"at most {SAME_RATIO}", f"{growth:+.2f}", growth <= SAME_RATIO


def _edits(edits: Sequence[Edit]) -> Iterable[Verdict]:
    for each in edits:
        for where, again in each.again.items() if each.seconds >= EDIT_COUNTS_FROM_SECONDS else ():
            wall, share = again.measured.wall, each.share(again)
            met = share <= EDIT_SHARE and wall <= EDIT_SECONDS
            what = f"{each.name} {each.seconds} s: one word changed {where}"
            yield what, f"{EDIT_SHARE:.0%} and {EDIT_SECONDS:.0f} s", f"{share:.1%} and {wall:.1f} s", met


def _exports(exports: Sequence[Exports]) -> Iterable[Verdict]:
    kinds = ("captions alone / the video", CAPTIONS_ALONE), ("video, captions and subtitles / the video", TOGETHER)
    for each in exports:
        for (kind, most), share in zip(kinds, each.shares, strict=True):
            yield f"{each.name} {each.seconds} s: {kind}, wall", f"at most {most}", f"{share:.2f}", share <= most


def _dropped(runs: Sequence[Run]) -> Iterable[Verdict]:
    counted = [int(run.stats["framesDropped"]) for run in runs if "framesDropped" in run.stats]
    if counted:
        yield "frames dropped in all runs", "0", str(sum(counted)), not any(counted)


def _memory(comparisons: Sequence[Comparison]) -> Iterable[Verdict]:
    for each in comparisons:
        runs = [one.ours for one in each.rounds]
        peak = max(map(memory_peak, runs))
        what, limit = f"{each.label}: peak memory of the process tree", MEMORY_LIMITS_MB.get(each.name, MEMORY_LIMIT_MB)
        yield what, f"{limit:.0f} MB", f"{peak:.0f} MB", peak <= limit
        growths = [growth for run in runs if (growth := memory_growth(run)) is not None]
        if growths:
            what = f"{each.label}: memory, second half / first half"
            yield what, f"at most {FLAT}", f"{median(growths):.2f}", median(growths) <= FLAT


def _leaks(runs: Sequence[Run]) -> Iterable[Verdict]:
    leaked = sum(run.measured.leaked for run in runs)
    yield "processes left behind by all runs", "0", str(leaked), not leaked
