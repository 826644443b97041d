"""`ecg-render preview`: a page that plays a job before it is rendered."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ecg_renderer.cli.ending import ending, put
from ecg_renderer.cli.options import Assignments, Job

if TYPE_CHECKING:
    from ecg_renderer.request import RunRequest

NAME = "preview"
PORT = 8091
EXAMPLES = """
Examples:

  ecg-render preview job.yaml

  ecg-render preview job.yaml --port 0 --set spec.options.layout=preview"""


def command(
    job: Job,
    port: Annotated[
        int, typer.Option(min=0, max=65_535, help="Where to listen; 0 takes any port that is free.")
    ] = PORT,
    assignments: Assignments = None,
) -> None:
    """Serve a page that plays the video with its captions over it, until Ctrl-C.

    The same stage, plugins and fonts as in the render, the findings of `scenario
    check` beside their cues, and any frame as it will be rendered. Changes of the
    scenario show at once. Prints the page's address; only this machine is served.
    """
    with ending():
        from ecg_renderer.cli.requests import run_request
        from ecg_renderer.cli.signals import run_interruptible
        from ecg_renderer.preview import preview

        first = run_request(job, assignments or [])
        read_once = job == "-"

        def make() -> RunRequest:
            return first if read_once else run_request(job, assignments or [])

        manifest = None if read_once else Path(job).absolute()
        run_interruptible(preview(make, manifest, port, lambda address: put(address)))
