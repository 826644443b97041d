"""`ecg-render frames`: one line for each caption picture."""

from __future__ import annotations

from typing import Annotated

import typer

from ecg_renderer.cli.ending import ending, put
from ecg_renderer.cli.options import Assignments, Capture, Job, Segments, Stages

NAME = "frames"
EXAMPLES = """
Examples:

  ecg-render frames job.yaml --hash > one.txt

  ecg-render frames job.yaml --hash --segments 4 --stages 2 | diff one.txt -

  ecg-render frames job.yaml --hash --range 0:300 --capture screenshot"""


def command(
    job: Job,
    hashes: Annotated[
        bool,
        typer.Option(
            "--hash",
            help="Print `index sha256` for each frame: of its whole caption picture, RGBA, straight alpha.",
        ),
    ] = False,
    frames: Annotated[
        str | None,
        typer.Option(
            "--range",
            metavar="A:B",
            show_default=False,
            help="Only frames A up to, not including, B; either may be left out. Default: all.",
        ),
    ] = None,
    assignments: Assignments = None,
    segments: Segments = None,
    stages: Stages = None,
    capture: Capture = None,
) -> None:
    """List the caption pictures of a video, one line a frame, without making the video.

    The same pictures come out however the work is cut up. Compare two listings to
    prove it, or to find the frames that an edit of the scenario changes.
    """
    if not hashes:
        raise typer.BadParameter("is needed: it says what to list", param_hint="'--hash'")
    with ending():
        from ecg_renderer.cli.requests import frame_range, run_request
        from ecg_renderer.cli.signals import run_interruptible
        from ecg_renderer.hashes import hash_frames
        from ecg_renderer.preparation import prepare_job
        from ecg_renderer.storage import CellStore

        request = run_request(job, assignments or [], segments=segments, capture=capture, stages=stages)

        async def list_hashes() -> None:
            store = CellStore(request.cells.as_uri())
            prepared = await prepare_job(request.job, request.base, request.cutting, store=store)
            wanted = frame_range(frames, prepared.plan.target.frames)
            async for index, digest in hash_frames(prepared, request.settings, wanted, store):
                put(f"{index} {digest}")

        run_interruptible(list_hashes())
