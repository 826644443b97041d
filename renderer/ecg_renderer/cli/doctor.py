"""`ecg-render doctor`: what this machine can do, and what it lacks."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from ecg_renderer.cli.ending import ending, put
from ecg_renderer.cli.options import Json

NAME = "doctor"
EXAMPLES = """
Examples:

  ecg-render doctor

  ecg-render doctor --cluster --namespace render

  ecg-render doctor --json | jq '.checks[] | select(.state != "ok")'

Exit status: 0 if a render can work, else 1."""


def command(
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

    Starts the browser and encodes a few frames, so that what is reported has been tried. With --cluster: the CRD,
    the operator, rights, nodes, GPUs; and from pods storage, a test encode on each kind of GPU node, callbacks.
    """
    with ending(as_json=as_json):
        from ecg_renderer.cli.examined import examination_json, print_examination
        from ecg_renderer.cli.signals import run_interruptible
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
