"""What was measured, and the figures that follow from it (pure)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import fmean, median
from typing import Any, Literal

from bench.measure import Measurement

Quantity = Literal["wall", "cpu"]

_ENOUGH = 8  # looks at memory


@dataclass(frozen=True)
class Run:
    """One measured command; `stats` is what our renderer said about itself with --json."""

    measured: Measurement
    stats: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Round:
    """Commands that ran one after the other and may be compared."""

    ours: Run
    floor: Run | None = None
    libass: Run | None = None

    @property
    def disturbed(self) -> bool:
        """Ours or the floor shared the machine, so their ratio may be wrong in either direction."""
        return any(run.measured.disturbed for run in (self.ours, self.floor) if run)


@dataclass(frozen=True)
class Comparison:
    """All rounds of one scenario on one clip; a clip of 0 s is a single frame."""

    name: str
    seconds: int
    rounds: tuple[Round, ...]

    @property
    def label(self) -> str:
        """Return the row's name and length, as the tables name them."""
        return f"{self.name} {self.seconds} s" if self.seconds else self.name

    @property
    def quiet(self) -> Sequence[Round]:
        """The undisturbed rounds; all of them if none was undisturbed."""
        return [each for each in self.rounds if not each.disturbed] or self.rounds

    def ratios(self, quantity: Quantity) -> list[float]:
        """Return ours / floor of each quiet round; empty if the floor was not measured."""
        return [
            getattr(each.ours.measured, quantity) / getattr(each.floor.measured, quantity)
            for each in self.quiet
            if each.floor
        ]

    def typically(self, who: Literal["ours", "floor", "libass"], quantity: Quantity) -> float | None:
        """Return the median seconds of `who` over the quiet rounds; None if it was not measured."""
        runs = [run for each in self.quiet if (run := getattr(each, who))]
        return median(getattr(run.measured, quantity) for run in runs) if runs else None


@dataclass(frozen=True)
class Edit:
    """A video rendered from nothing, and again after a word was changed: of one piece, and across a border of two."""

    name: str
    seconds: int
    first: Run
    within: Run
    across: Run

    @property
    def again(self) -> dict[str, Run]:
        """The renders after an edit, by where it is."""
        return {"within a piece": self.within, "across a border": self.across}

    def share(self, again: Run) -> float:
        """Return the wall clock of a later render, of that of the first."""
        return again.measured.wall / self.first.measured.wall


@dataclass(frozen=True)
class Exports:
    """A video; then its captions alone, the video being kept; then all at once from nothing, with subtitles too."""

    name: str
    seconds: int
    video: Run
    captions: Run
    together: Run

    @property
    def shares(self) -> tuple[float, float]:
        """The wall clock of the captions alone and of all at once, of that of the video."""
        captions, together = (run.measured.wall / self.video.measured.wall for run in (self.captions, self.together))
        return captions, together


@dataclass(frozen=True)
class CaptureCost:
    """What one way of taking caption pictures costs, start-up taken off."""

    way: str
    stages: int
    frames: int
    distinct: int
    browser_seconds: float  # CPU of Chromium and its driver
    cpu_seconds: float  # CPU of everything, including the hashing of whole frames
    wall_seconds: float
    startup_cpu_seconds: float
    scenario: str = "busy"


@dataclass(frozen=True)
class Measured:
    """Everything that a benchmark measured."""

    comparisons: list[Comparison] = field(default_factory=list)
    edits: list[Edit] = field(default_factory=list)
    exports: list[Exports] = field(default_factory=list)
    captures: list[CaptureCost] = field(default_factory=list)
    plugins: list[CaptureCost] = field(default_factory=list)
    nvenc: list[Comparison] = field(default_factory=list)  # against decoding alone


def memory_peak(run: Run) -> float:
    """Return the most memory that was seen, in MB; 0 if nobody looked."""
    return max((megabytes for _, megabytes in run.measured.seen.memory), default=0.0)


def memory_growth(run: Run) -> float | None:
    """Return memory in the second half over memory in the first, the start-up in the first fifth left out.

    None if the run was too short to have settled.
    """
    series = [megabytes for _, megabytes in run.measured.seen.memory]
    settled = series[len(series) // 5 :]
    middle = len(settled) // 2
    return median(settled[middle:]) / median(settled[:middle]) if len(settled) >= _ENOUGH else None


def spending(comparison: Comparison) -> dict[str, float]:
    """Return the CPU seconds above the floor by kind of process; they add up to the whole difference.

    FFmpeg's part is what it needs more than the floor's FFmpeg. `not seen` is what the observer missed,
    since processes ended between two looks.
    """
    ours = _mean_by_kind([each.ours for each in comparison.quiet])
    floor = _mean_by_kind([each.floor for each in comparison.quiet if each.floor])
    parts = {kind: ours[kind] - floor.get(kind, 0.0) for kind in ours}
    return dict(sorted(parts.items(), key=lambda part: -part[1]))


def shares_of_decoding(comparison: Comparison) -> dict[str, float]:
    """Return what is neither decoding nor encoding, as shares of decoding: of FFmpeg, Chromium, Python, and all."""
    decoding = fmean(each.floor.measured.cpu for each in comparison.quiet if each.floor)
    parts = spending(comparison)
    chromium = sum(seconds for kind, seconds in parts.items() if kind.startswith("chromium"))
    seconds = {"ffmpeg": parts.get("ffmpeg", 0.0), "chromium": chromium, "python": parts.get("python", 0.0)}
    return {name: part / decoding for name, part in [*seconds.items(), ("all", sum(parts.values()))]}


def _mean_by_kind(runs: Sequence[Run]) -> dict[str, float]:
    if not runs:
        return {}
    kinds = {kind for run in runs for kind in run.measured.seen.cpu}
    means = {kind: fmean(run.measured.seen.cpu.get(kind, 0.0) for run in runs) for kind in kinds}
    return {**means, "not seen": fmean(run.measured.cpu for run in runs) - sum(means.values())}
