"""Runs the commands in the order in which their figures can be compared."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from bench.commands import Renderer, captions_only, decode, render, transcode, transcode_with_libass, write_job
from bench.errors import BenchError
from bench.footage import RATE
from bench.measure import Measurement, measure
from bench.nvenc import canned_driver
from bench.results import CaptureCost, Comparison, Edit, Exports, Round, Run
from bench.scenarios import EditPlace

Say = Callable[[str], None]
BROWSER_KINDS = ("chromium", "node")
USUAL_CAPTURE = ("canvas", 4)
CAPTURES = (("canvas", 1), ("canvas", 2), ("canvas", 4), ("canvas", 8), ("beginframe", 1), ("screenshot", 1))


@dataclass(frozen=True)
class Comparing:
    """How often, against what."""

    renderer: Renderer
    pairs: int
    floor: bool = True
    libass: bool = False
    against: Callable[[Path], list[str]] = transcode
    encoder: str = "x264"


def compare(
    name: str, clip: Path, seconds: int, how: Comparing, say: Say, *, scenario: str | None = None
) -> Comparison:
    """Run floor, libass and ours in turn, `how.pairs` times: what drifts on the machine hits all alike.

    `scenario` is the one that is rendered, where it is not called as the row is.
    The first of ours compares the browser's pictures with the reference's too, as the first of its kind on a machine.
    """
    rounds = []
    with tempfile.TemporaryDirectory(prefix="ecg-bench-verdicts-") as verdicts:

        def ours_in(place: Path) -> list[str]:
            (place / "cells").mkdir()
            (place / "cells" / "selfcheck").symlink_to(verdicts)
            return render(how.renderer, clip, scenario or name, max(1, seconds), place, encoder=how.encoder)

        for index in range(how.pairs):
            label = f"{name} {seconds} s, round {index + 1} of {how.pairs}"
            floor = _run(lambda _: how.against(clip), f"{label}: floor", say) if how.floor else None
            libass = (
                _run(lambda place: transcode_with_libass(clip, name, seconds, place), f"{label}: libass", say)
                if how.libass
                else None
            )
            ours = _run(ours_in, f"{label}: ours", say, environment=how.renderer.environment)
            rounds.append(Round(Run(ours.measured, _stats(ours.measured.stdout)), floor, libass))
    return Comparison(name, seconds, tuple(rounds))


def beside_nvenc(
    renderer: Renderer, names: Sequence[str], clip: Path, seconds: int, pairs: int, say: Say
) -> list[Comparison]:
    """Compare with decoding alone what is rendered where encoding costs nothing, as on a node with a GPU."""
    with canned_driver() as driver:
        with_gpu = replace(renderer, environment={**renderer.environment, **driver})
        how = Comparing(with_gpu, pairs, against=decode, encoder="nvenc")
        return [compare(name, clip, seconds, how, say) for name in names]


def edit(renderer: Renderer, name: str, clip: Path, seconds: int, say: Say) -> Edit:
    """Render a video from nothing, and again after one word was changed, and after another one was instead."""
    with tempfile.TemporaryDirectory(prefix="ecg-bench-") as directory:
        place = Path(directory)
        runs = []
        places: tuple[EditPlace | None, ...] = (None, "within", "across")
        for edited in places:
            command = render(renderer, clip, name, seconds, place, edited=edited)
            label = f"{name} {seconds} s, {f'one word changed, {edited}' if edited else 'from nothing'}"
            run = _measured(command, place, label, say, renderer.environment)
            runs.append(Run(run.measured, _stats(run.measured.stdout)))
    return Edit(name, seconds, runs[0], within=runs[1], across=runs[2])


def exports(renderer: Renderer, name: str, clip: Path, seconds: int, say: Say) -> Exports:
    """Render a video; draw its captions alone, for which the video is kept; and from nothing both, and subtitles."""
    runs = []
    with tempfile.TemporaryDirectory(prefix="ecg-bench-") as directory:
        place, again = Path(directory) / "one", Path(directory) / "all"
        kinds = {
            "the video": (place, []),
            "its captions alone": (place, ["captions.mov"]),
            "all at once": (again, ["captions.mov", "subtitles.srt"]),
        }
        for kind, (folder, also) in kinds.items():
            (folder / "cells").mkdir(parents=True, exist_ok=True)
            if folder is again:
                shutil.copytree(place / "cells" / "selfcheck", again / "cells" / "selfcheck")
            command = render(renderer, clip, name, seconds, folder, also=also)
            run = _measured(command, folder, f"{name} {seconds} s, {kind}", say, renderer.environment)
            runs.append(Run(run.measured, _stats(run.measured.stdout)))
    return Exports(name, seconds, *runs)


def capture_costs(
    renderer: Renderer, clip: Path, seconds: int, say: Say, captures: Sequence[tuple[str, int]] = CAPTURES
) -> list[CaptureCost]:
    """Take the caption pictures of the busy scenario in each way, without video."""
    return [_capture_cost(renderer, clip, seconds, "busy", capture, say) for capture in captures]


def plugin_costs(renderer: Renderer, clip: Path, seconds: int, plugins: Sequence[str], say: Say) -> list[CaptureCost]:
    """Take the caption pictures of a talk whose words all have one effect, for each plugin, without video."""
    return [_capture_cost(renderer, clip, seconds, plugin, USUAL_CAPTURE, say) for plugin in plugins]


def _capture_cost(
    renderer: Renderer, clip: Path, seconds: int, scenario: str, capture: tuple[str, int], say: Say
) -> CaptureCost:
    way, stages = capture

    def take(frames: int) -> Measurement:
        def command(place: Path) -> list[str]:
            job = write_job(clip, scenario, seconds, place)
            return captions_only(renderer, job, frames, stages=stages, capture=way)

        label = f"capture of {scenario} by {way}, stages: {stages}, frames: {frames}"
        return _run(command, label, say, environment=renderer.environment).measured

    startup, whole = take(1), take(seconds * RATE)
    hashes = [line.split()[1] for line in whole.stdout.splitlines()]
    changes = sum(a != b for a, b in pairwise(hashes))
    return CaptureCost(
        way=way,
        stages=stages,
        frames=len(hashes),
        distinct=changes + 1,
        browser_seconds=_browser(whole) - _browser(startup),
        cpu_seconds=whole.cpu - startup.cpu,
        wall_seconds=whole.wall - startup.wall,
        startup_cpu_seconds=startup.cpu,
        scenario=scenario,
    )


def _browser(measured: Measurement) -> float:
    return sum(seconds for kind, seconds in measured.seen.cpu.items() if kind.startswith(BROWSER_KINDS))


def _run(command: Callable[[Path], list[str]], label: str, say: Say, environment: dict[str, str] | None = None) -> Run:
    with tempfile.TemporaryDirectory(prefix="ecg-bench-") as directory:
        return _measured(command(Path(directory)), Path(directory), label, say, environment)


def _measured(command: list[str], place: Path, label: str, say: Say, environment: dict[str, str] | None) -> Run:
    measured = measure(command, place, environment)
    noise = f", disturbed by {measured.foreign:.1f} CPU s of others" if measured.disturbed else ""
    leak = f", {measured.leaked} processes left behind" if measured.leaked else ""
    say(f"{label}: {measured.wall:.2f} s, {measured.cpu:.2f} CPU s{noise}{leak}")
    return Run(measured)


def _stats(stdout: str) -> dict[str, Any]:
    try:
        stats = json.loads(stdout)
    except json.JSONDecodeError as error:
        raise BenchError(f"`ecg-render run --json` printed no JSON object but: {stdout[-300:]!r}") from error
    if not isinstance(stats, dict):
        raise BenchError("`ecg-render run --json` printed JSON, but no object.")
    return stats
