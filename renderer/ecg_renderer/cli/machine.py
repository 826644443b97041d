"""`ecg-render doctor`, `cells` and `serve`: what this machine can do, what it keeps, and jobs over HTTP."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

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
