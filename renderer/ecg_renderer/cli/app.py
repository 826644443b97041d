"""The commands and their help; `doctor`, `cells` and `serve`, which are about this machine and not about a job.

What a command needs is imported inside it: the browser's and FFmpeg's libraries take longer to load than `--help`,
`--version` or a mistyped option may take to answer.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from ecg_renderer.cli import look, run, scenario, worker
from ecg_renderer.cli.ending import ending, put, run_interruptible
from ecg_renderer.cli.options import Json

DOCTOR_EXAMPLES = """
Examples:

  ecg-render doctor

  ecg-render doctor --cluster --namespace render

  ecg-render doctor --json | jq '.checks[] | select(.state != "ok")'

Exit status: 0 if a render can work, else 1."""


def doctor(
    as_json: Json = False,
    cluster: Annotated[
        bool, typer.Option("--cluster", help="Look at the cluster of kubectl's current context instead.")
    ] = False,
    namespace: Annotated[
        str | None,
        typer.Option(
            "--namespace",
            "-n",
            metavar="NAME",
            show_default=False,
            help="Of RenderJobs. Default: the operator's first.",
        ),
    ] = None,
    pods: Annotated[bool, typer.Option(help="Try storage, GPUs and callbacks from pods, which takes minutes.")] = True,
) -> None:
    """Check this machine: browser, capture, encoders, fonts, memory, disk; and say how to fix it.

    Starts the browser and encodes a few frames, so that what is reported has been
    tried. With --cluster: the CRD, the operator, rights, nodes, GPUs; and from
    pods storage, a test encode on each kind of GPU node, callbacks.
    """
    with ending(as_json=as_json):
        from ecg_renderer.cli.words import examination_json, print_examination
        from ecg_renderer.doctor import examine
        from ecg_renderer.preflight import examine_cluster, look

        if cluster:
            examination = examine_cluster(look(namespace, with_pods=pods, say=lambda line: typer.echo(line, err=True)))
        else:
            examination = run_interruptible(examine())
        if as_json:
            put(examination_json(examination))
        else:
            print_examination(examination)
        if not examination.can_render:
            sys.exit(1)


# --- what is kept for the next render -------------------------------------------------------------


CELLS_EXAMPLES = """
Examples:

  ecg-render cells

  ecg-render cells --clear"""


def cells(
    clear: Annotated[bool, typer.Option("--clear", help="Remove all of it: nothing is rendered less well.")] = False,
    cells: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", show_default=False, help="Another store than ~/.cache/ecg-render/cells; see `run --cells`."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Show, or empty, the store of finished pieces of video.

    A render keeps its video there in cells of ten seconds. The next render of the
    same source takes those in which nothing changed. The ones that were not used
    for longest go when there is more than ECG_CELLS_GB, 10 by default.
    """
    with ending(as_json=as_json):
        import json

        from ecg_renderer.cli.words import size_words
        from ecg_renderer.request import Settings
        from ecg_renderer.storage.cells import clear_cells, default_cells, kept_in

        folder = (cells or default_cells()).absolute()
        limit = Settings.from_environment().cells_bytes
        kept = clear_cells(folder) if clear else kept_in(folder)
        facts = {"folder": str(folder), "cells": kept.cells, "bytes": kept.bytes, "limitBytes": limit, "cleared": clear}
        if as_json:
            put(json.dumps(facts))
        elif clear:
            put(f"Removed {kept.cells:,} cells, {size_words(kept.bytes)}, from {folder}.")
        else:
            put(f"{kept.cells:,} cells, {size_words(kept.bytes)} of at most {size_words(limit)}, in {folder}")


# --- the HTTP service, which is a program of its own ----------------------------------------------


SERVE_SETTINGS = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}


def serve(context: typer.Context) -> None:
    """Serve HTTP: take render requests, render them, call back."""
    os.execv(sys.executable, [sys.executable, "-m", "ecg_shim", *context.args])  # noqa: S606 - no shell is meant


# --- all commands, in the order of their help -----------------------------------------------------


PURPOSE = """Burn animated, word-timed captions into a video.

A video and a MotionText scenario go in, both named in a RenderJob manifest; the video with its captions comes out, \
frame-exact, its sound untouched."""

EXAMPLES = """
Examples:

  ecg-render doctor                   is everything there that is needed?

  ecg-render burn talk.mp4 talk.srt   a video and its subtitles, without a manifest

  ecg-render scenario check talk.json what would look wrong, and what to do about it

  ecg-render plan job.yaml            what will be rendered, how long it takes

  ecg-render preview job.yaml         play it in a browser, captions over it

  ecg-render still job.yaml --at 3.2 -o look.png

  ecg-render run job.yaml             render; prints the path of the video

  ecg-render serve                    take jobs over HTTP: http://localhost:8090

Exit status: 0 done; 1 not ready to render (doctor); 2 wrong usage; 64 to 95 the same input fails again; 96 to 113 \
another try may work; 130 and 143 stopped.

Environment: ECG_CHROMIUM, ECG_FFMPEG and ECG_FFPROBE name programs to use. BROWSER_POOL_SIZE, QUEUE_MAX_SIZE, \
MEMORY_THRESHOLD_MB, ECG_CELLS_GB, ECG_CAPTURE and ECG_FRAME_TIMEOUT say how this machine renders. ECG_DEBUG=1 shows \
details."""

app = typer.Typer(
    name="ecg-render",
    help=PURPOSE,
    epilog=EXAMPLES,
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"ecg-render {version('ecg-render')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


app.command(epilog=run.BURN_EXAMPLES)(run.burn)
app.command(epilog=run.RUN_EXAMPLES)(run.run)
app.command(epilog=look.PLAN_EXAMPLES)(look.plan)
app.command(epilog=look.PREVIEW_EXAMPLES)(look.preview)
app.command(epilog=look.STILL_EXAMPLES)(look.still)
app.command(epilog=look.FRAMES_EXAMPLES)(look.frames)
app.command(epilog=CELLS_EXAMPLES)(cells)
app.command(epilog=DOCTOR_EXAMPLES)(doctor)
app.command(context_settings=SERVE_SETTINGS)(serve)
app.add_typer(scenario.app)
app.add_typer(worker.app)
