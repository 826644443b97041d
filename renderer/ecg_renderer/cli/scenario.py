"""`ecg-render scenario`: look into a scenario, bring it up to date, or make one from subtitles."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ecg_renderer.cli.ending import ending, put, run_interruptible
from ecg_renderer.cli.options import Json, LookWord

if TYPE_CHECKING:
    from ecg_renderer.inspection import Inspection, Surroundings
    from ecg_renderer.scenario import Finding

AspectWord = Literal["16:9", "9:16", "1:1", "4:5"]
SHOWN = 100
_PICTURES = {"16:9": (1920, 1080), "9:16": (1080, 1920), "1:1": (1080, 1080), "4:5": (1080, 1350)}

HELP = """Look into a scenario, bring it up to date, or make one from subtitles."""
EXAMPLES = """
Examples:

  ecg-render scenario check captions.json --video talk.mp4

  ecg-render scenario migrate old.json > new.json

  ecg-render scenario from talk.srt --look pop -o talk.json"""

app = typer.Typer(name="scenario", help=HELP, epilog=EXAMPLES, no_args_is_help=True)

File = Annotated[
    str,
    typer.Argument(
        metavar="FILE",
        show_default=False,
        help="A MotionText scenario, subtitles (.srt, .vtt, .ass, .ttml, .lrc) or a transcript in JSON; - reads "
        "standard input.",
    ),
]
Video = Annotated[
    str | None,
    typer.Option(metavar="PATH", show_default=False, help="The video that it is for: its size, rate and length count."),
]
Aspect = Annotated[AspectWord, typer.Option(help="Shape of the picture, where no video is given.")]
LookOption = Annotated[LookWord, typer.Option(help="How subtitles look; a scenario has a look of its own.")]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output", "-o", metavar="PATH", show_default=False, help="Where to write. Default: standard output."
    ),
]


@app.command("check")
def check(
    file: File,
    video: Video = None,
    aspect: Aspect = "16:9",
    look: LookOption = "karaoke",
    browser: Annotated[
        bool,
        typer.Option(help="Lay every caption out in the browser, to find what leaves the picture or overlaps."),
    ] = True,
    as_json: Json = False,
) -> None:
    """Name everything that would look wrong, where it is, and what to do about it.

    Exit status 0: it can be rendered, findings or not. 67: it cannot, the message
    says why.
    """
    with ending(as_json=as_json):
        inspection = run_interruptible(_inspect(file, video, aspect, look, browser))
        if as_json:
            put(_as_json(inspection, file))
        else:
            for line in _lines(inspection):
                put(line)


@app.command("migrate")
def migrate(file: File, output: Output = None) -> None:
    """Print a scenario as version 2.0, put right where that is needed.

    What was changed is said on standard error.
    """
    with ending():
        from ecg_renderer.inspection import ENDLESS
        from ecg_renderer.scenario import prepare
        from ecg_renderer.served import known_plugins

        prepared = prepare(_read(file), duration=ENDLESS, known_plugins=known_plugins(), origin=_name(file))
        for warning in prepared.warnings:
            typer.echo(f"Warning: {warning}", err=True)
        _write(prepared.data, output)


@app.command("from")
def from_subtitles(
    file: File, look: LookOption = "karaoke", video: Video = None, aspect: Aspect = "16:9", output: Output = None
) -> None:
    """Make a scenario from subtitles or a transcript.

    Words have the times that the file gives them, or share their line's. Speakers
    have colours. Two balanced lines at a time, clear of a player's or an app's
    buttons. What had to be put right is said on standard error.
    """
    with ending():
        from ecg_renderer.errors import ScenarioError
        from ecg_renderer.inspection import ENDLESS
        from ecg_renderer.scenario import Report, draft
        from ecg_renderer.subtitles import is_subtitles, subtitle_scenario

        raw = _read(file)
        if not is_subtitles(raw):
            draft(raw, duration=ENDLESS, report=Report(_name(file)))  # says what is wrong with what is none, either
            raise ScenarioError(
                f"{_name(file)} is a scenario, not subtitles.", hint="Render it, or migrate it, as it is."
            )
        around = run_interruptible(_surroundings(video, aspect))
        report = Report(_name(file))
        made = subtitle_scenario(raw, report, around.picture, look)
        for warning in report.warnings:
            typer.echo(f"Warning: {warning}", err=True)
        _write(made, output)


async def _inspect(file: str, video: str | None, aspect: AspectWord, look: LookWord, browser: bool) -> Inspection:
    from ecg_renderer.inspection import inspect

    around = await _surroundings(video, aspect)
    return await inspect(_read(file), _name(file), around, look=look, browser=browser, on_progress=_tell_progress)


def _tell_progress(cues: int, total: int) -> None:
    """Say how far a look is that takes a while, on one line of a terminal, or on lines of a log."""
    from ecg_renderer.inspection import AT_ONCE

    if total > AT_ONCE:
        end = "\r" if sys.stderr.isatty() and cues < total else "\n"
        sys.stderr.write(f"Laid out: {cues:,} of {total:,} cues{end}")
        sys.stderr.flush()


async def _surroundings(video: str | None, aspect: AspectWord) -> Surroundings:
    from ecg_renderer.inspection import COMMON_RATE, ENDLESS, Surroundings, surroundings_of
    from ecg_renderer.scenario import Picture
    from ecg_renderer.storage import open_storage

    if video is None:
        return Surroundings(Picture(*_PICTURES[aspect]), COMMON_RATE, ENDLESS)
    return await surroundings_of(open_storage(video, Path.cwd()))


def _read(file: str) -> bytes:
    from ecg_renderer.preparation import SCENARIO_BYTES
    from ecg_renderer.storage import open_storage

    if file == "-":
        return sys.stdin.buffer.read(SCENARIO_BYTES + 1)
    return open_storage(file, Path.cwd()).read_bytes(SCENARIO_BYTES)


def _name(file: str) -> str:
    return "standard input" if file == "-" else Path(file).name


def _write(data: dict[str, Any], output: Path | None) -> None:
    text = json.dumps(data, ensure_ascii=False, indent=1)
    if output is None:
        put(text)
        return
    from ecg_renderer.errors import StorageError

    try:
        output.write_text(f"{text}\n")
    except OSError as error:
        raise StorageError(f"{output} cannot be written: {error.strerror}.") from error
    put(str(output))


def _as_json(inspection: Inspection, file: str) -> str:
    from ecg_renderer.inspection import counted

    fields = ("kind", "path", "cue", "word", "problem", "hint")
    return json.dumps(
        {
            "file": file,
            "canRender": True,
            "cues": len(inspection.scenario.cues),
            "laidOut": inspection.looked,
            "counts": counted(inspection.findings),
            "findings": [{name: getattr(found, name) for name in fields} for found in inspection.findings],
        },
        ensure_ascii=False,
    )


def _lines(inspection: Inspection) -> list[str]:
    from ecg_renderer.inspection import counted

    lines: list[str] = []
    grouped: dict[str, list[Finding]] = {}
    for found in inspection.findings:
        grouped.setdefault(found.kind, []).append(found)
    for kind, findings in grouped.items():
        lines.append(f"{kind}:")
        lines += [f"  {found.line}" for found in findings[:SHOWN]]
        if len(findings) > SHOWN:
            lines.append(f"  and {len(findings) - SHOWN} more; --json names them all")
        hints = dict.fromkeys(found.hint for found in findings if found.hint)
        lines += [f"  -> {hint}" for hint in list(hints)[:3]]
    count, cues = len(inspection.findings), len(inspection.scenario.cues)
    total = "nothing to say" if not count else f"{count:,} finding{'s' if count > 1 else ''}"
    kinds = len(counted(inspection.findings))
    said = f" of {kinds} kinds" if kinds > 1 else ""
    return [*lines, f"It can be rendered: {cues:,} cue{'' if cues == 1 else 's'}, {total}{said}."]
