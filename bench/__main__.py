"""The command line of the benchmark; the method is told in docs/benchmarks.md."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from bench.commands import Renderer, renderer
from bench.conditions import conditions
from bench.errors import BenchError
from bench.footage import SOURCE, footage
from bench.report import page, tables
from bench.results import Measured
from bench.runner import Comparing, Say, beside_nvenc, capture_costs, compare, edit, plugin_costs
from bench.scenarios import DRESSES
from ecg_renderer.served import known_plugins

PARTS = (*DRESSES, "edit", "nvenc", "capture", "plugins")
BESIDE_NVENC = ("typical", "busy")
SECONDS, QUICK_SECONDS, EDIT_SECONDS, LONG_SECONDS = 30, 6, 120, 600
RESULTS = Path(__file__).with_name("results.md")


def main(
    pairs: Annotated[int, typer.Option(min=1, help="Rounds of FFmpeg and ours per scenario.")] = 3,
    only: Annotated[str, typer.Option(help="Some of: " + ",".join(PARTS) + "; or plugins by name.")] = ",".join(PARTS),
    quick: Annotated[bool, typer.Option("--quick", help="A 6 s clip, one round each.")] = False,
    long: Annotated[bool, typer.Option("--long", help="Also one round of 10 minutes, and edit that.")] = False,
    ours_only: Annotated[bool, typer.Option("--ours-only", help="Leave FFmpeg out: no ratios.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print all measurements as one object.")] = False,
    program: Annotated[str, typer.Option("--renderer", help="How to start ecg-render.")] = "",
    source: Annotated[Path, typer.Option("--footage", help="Another video to loop.")] = SOURCE,
    results: Annotated[Path | None, typer.Option(help="Page to write; full runs write results.md.")] = None,
) -> None:
    """Compare `ecg-render run` with plain FFmpeg on this machine."""
    terminal = Console(stderr=as_json, highlight=False)
    progress = Console(stderr=True, highlight=False)
    parts = _parts(only)
    full = not (quick or ours_only or program) and parts == set(PARTS)
    facts = conditions()
    seconds, rounds = (QUICK_SECONDS, 1) if quick else (SECONDS, pairs)
    lengths = [(name, seconds, rounds) for name in (*DRESSES, *known_plugins()) if name in parts]
    lengths += [("typical", LONG_SECONDS, 1)] if long else []
    edited = LONG_SECONDS if long else QUICK_SECONDS * 5 if quick else EDIT_SECONDS
    measured = _measure(
        lengths,
        edited if "edit" in parts else 0,
        (seconds, rounds),
        renderer(program),
        source,
        against_ffmpeg=not ours_only,
        parts=parts,
        say=lambda line: progress.print(line, markup=False, soft_wrap=True),
    )
    contents = tables(measured)
    if as_json:
        print(json.dumps({"conditions": facts, **asdict(measured)}, indent=1))
    for table in contents:
        terminal.print(table.rich(), "")
    if results or full:
        (results or RESULTS).write_text(page(facts, contents))
        progress.print(f"Written: {results or RESULTS}", markup=False, soft_wrap=True)


def _parts(only: str) -> set[str]:
    parts = set(only.split(","))
    if unknown := parts - {*PARTS, *known_plugins()}:
        raise BenchError(f"--only knows {', '.join(PARTS)} and the plugins, not {', '.join(sorted(unknown))}.")
    return parts


def _measure(
    lengths: list[tuple[str, int, int]],
    edited_seconds: int,
    usual: tuple[int, int],
    program: Renderer,
    source: Path,
    *,
    against_ffmpeg: bool,
    parts: set[str],
    say: Say,
) -> Measured:
    for seconds in {seconds for _, seconds, _ in lengths} | ({edited_seconds} - {0}):
        say(f"Footage: {footage(seconds, source)}")
    comparisons = []
    for name, seconds, rounds in lengths:
        how = Comparing(program, rounds, against_ffmpeg, libass=against_ffmpeg and name == "typical")
        comparisons.append(compare(name, footage(seconds, source), seconds, how, say))
    edits = []
    if edited_seconds:
        edits.append(edit(program, "typical", footage(edited_seconds, source), edited_seconds, say))
    nvenc = []
    if "nvenc" in parts:
        seconds, rounds = usual
        nvenc = beside_nvenc(program, BESIDE_NVENC, footage(seconds, source), seconds, rounds, say)
    clip = footage(QUICK_SECONDS, source) if parts & {"capture", "plugins"} else source
    captures = capture_costs(program, clip, QUICK_SECONDS, say) if "capture" in parts else []
    names = list(known_plugins()) if "plugins" in parts else []
    return Measured(comparisons, edits, captures, plugin_costs(program, clip, QUICK_SECONDS, names, say), nvenc)


if __name__ == "__main__":
    try:
        typer.run(main)
    except BenchError as error:
        sys.exit(f"bench: {error}")
