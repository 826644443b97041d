"""The command line of the benchmark; the method is told in docs/benchmarks.md."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from bench.commands import Renderer, renderer
from bench.conditions import conditions
from bench.errors import BenchError
from bench.footage import HEIGHT, SOURCE, footage
from bench.report import page, tables
from bench.results import Measured
from bench.runner import Comparing, Say, beside_nvenc, capture_costs, compare, edit, exports, plugin_costs
from bench.scenarios import DRESSES
from ecg_renderer.served import known_plugins

BESIDE_NVENC = ("typical", "busy")
SECONDS, QUICK_SECONDS, EDIT_SECONDS, LONG_SECONDS = 30, 6, 120, 600
RESULTS = Path(__file__).with_name("results.md")


@dataclass(frozen=True)
class Row:
    """A comparison with plain FFmpeg."""

    name: str
    seconds: int
    rounds: int
    scenario: str
    height: int = HEIGHT


def rows(seconds: int, rounds: int, *, quick: bool) -> list[Row]:
    """Return the comparisons that can be asked for; `seconds` and `rounds` are the usual ones."""
    usual = [name for name in (*DRESSES, *known_plugins()) if name != "many"]
    return [
        *(Row(name, seconds, rounds, name) for name in usual),
        Row("top-and-bottom-4k", 2 if quick else 10, rounds, "top-and-bottom", 2160),
        Row("one-frame", 0, 1 if quick else 3 * rounds, "typical"),
        Row("many", seconds if quick else LONG_SECONDS, 1, "many"),
    ]


# Those that are measured when nothing is said; "many" takes a quarter of an hour.
PARTS = (
    *(name for name in DRESSES if name != "many"),
    *("top-and-bottom-4k", "one-frame", "edit", "exports", "nvenc", "capture", "plugins"),
)


def main(
    pairs: Annotated[int, typer.Option(min=1, help="Rounds of FFmpeg and ours per scenario.")] = 3,
    only: Annotated[
        str, typer.Option(help="Some of: " + ",".join(PARTS) + "; or many, or plugins by name.")
    ] = ",".join(PARTS),
    quick: Annotated[bool, typer.Option("--quick", help="A 6 s clip, one round each.")] = False,
    long: Annotated[
        bool, typer.Option("--long", help="Also 10 minutes, with 240 and with 900 cues, one round each; edit that.")
    ] = False,
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
    named = parts | {"many"} if long and parts >= set(PARTS) else parts
    compared = [row for row in rows(seconds, rounds, quick=quick) if row.name in named]
    compared += [Row("typical", LONG_SECONDS, 1, "typical")] if long and "typical" in parts else []
    edited = LONG_SECONDS if long else QUICK_SECONDS * 5 if quick else EDIT_SECONDS
    measured = _measure(
        compared,
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
    if unknown := parts - {*PARTS, "many", *known_plugins()}:
        raise BenchError(f"--only knows {', '.join(PARTS)}, many and the plugins, not {', '.join(sorted(unknown))}.")
    return parts


def _measure(
    compared: list[Row],
    edited_seconds: int,
    usual: tuple[int, int],
    program: Renderer,
    source: Path,
    *,
    against_ffmpeg: bool,
    parts: set[str],
    say: Say,
) -> Measured:
    if edited_seconds:
        say(f"Footage: {footage(edited_seconds, source)}")
    clips = {row: footage(row.seconds, source, height=row.height) for row in compared}
    for clip in sorted(set(clips.values())):
        say(f"Footage: {clip}")
    comparisons = []
    for row, clip in clips.items():
        how = Comparing(program, row.rounds, against_ffmpeg, libass=against_ffmpeg and row.name == "typical")
        comparisons.append(compare(row.name, clip, row.seconds, how, say, scenario=row.scenario))
    edits = []
    if edited_seconds:
        edits.append(edit(program, "typical", footage(edited_seconds, source), edited_seconds, say))
    exported = []
    if "exports" in parts:
        exported.append(exports(program, "typical", footage(usual[0], source), usual[0], say))
    nvenc = []
    if "nvenc" in parts:
        seconds, rounds = usual
        nvenc = beside_nvenc(program, BESIDE_NVENC, footage(seconds, source), seconds, rounds, say)
    clip = footage(QUICK_SECONDS, source) if parts & {"capture", "plugins"} else source
    captures = capture_costs(program, clip, QUICK_SECONDS, say) if "capture" in parts else []
    names = list(known_plugins()) if "plugins" in parts else []
    plugins = plugin_costs(program, clip, QUICK_SECONDS, names, say)
    return Measured(comparisons, edits, exported, captures, plugins, nvenc)


if __name__ == "__main__":
    try:
        typer.run(main)
    except BenchError as error:
        sys.exit(f"bench: {error}")
