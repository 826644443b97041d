"""`ecg-render still`: one frame as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ecg_renderer.cli.ending import ending, put
from ecg_renderer.cli.options import Assignments, Capture, Job

NAME = "still"
EXAMPLES = """
Examples:

  ecg-render still job.yaml --at 3.2 -o look.png

  ecg-render still job.yaml --at 3.2 --captions-only -o captions.png"""


def command(
    job: Job,
    at: Annotated[
        float,
        typer.Option(
            metavar="SECONDS", help="Time in the video, in seconds; the frame that is shown then.", show_default=False
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="PNG", help="Where to write the picture.", show_default=False)
    ],
    captions_only: Annotated[
        bool, typer.Option("--captions-only", help="Only the captions, on a transparent picture of the video's size.")
    ] = False,
    assignments: Assignments = None,
    capture: Capture = None,
) -> None:
    """Write one frame as a PNG, exactly as the video shows it at a time.

    Prints the picture's path.
    """
    with ending():
        from ecg_renderer.cli.requests import run_request
        from ecg_renderer.cli.signals import run_interruptible
        from ecg_renderer.stills import StillRequest, make_still

        request = run_request(job, assignments or [], capture=capture)
        still = StillRequest(request, at, output.expanduser().absolute(), captions_only)
        put(run_interruptible(make_still(still)))
