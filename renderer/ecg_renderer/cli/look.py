"""`ecg-render plan`, `preview`, `still` and `frames`: a job is looked at, and not rendered."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ecg_renderer.cli.ending import ending, put, run_interruptible
from ecg_renderer.cli.options import Assignments, Capture, Cells, Job, Json, Segments, Stages

if TYPE_CHECKING:
    from ecg_renderer.preparation import PreparedJob
    from ecg_renderer.request import RunRequest


PLAN_EXAMPLES = """
Examples:

  ecg-render plan job.yaml

  ecg-render plan job.yaml --segments 8 --json | jq '.segments[].start'

  ecg-render plan job.yaml --set spec.options.fps=59.94"""


def plan(
    job: Job,
    assignments: Assignments = None,
    segments: Segments = None,
    cells: Cells = None,
    browser: Annotated[
        bool, typer.Option(help="Ask the browser which fonts are missing, and which text leaves the picture.")
    ] = True,
    as_json: Json = False,
) -> None:
    """Show what would be rendered: source, size, cells, segments, pictures, time, warnings.

    Checks everything that can be checked without rendering. Writes no video.
    """
    with ending(as_json=as_json):
        from ecg_renderer.cli.requests import run_request
        from ecg_renderer.cli.words import plan_json, print_plan
        from ecg_renderer.looking import look_ahead
        from ecg_renderer.preparation import planned_here
        from ecg_renderer.storage import CellStore

        request = run_request(job, assignments or [], segments=segments, cells=cells)

        async def planned() -> tuple[PreparedJob, float]:
            prepared = await planned_here(request)
            if not browser:
                return prepared, 0.0
            return await look_ahead(prepared, CellStore(request.cells.as_uri()))

        prepared, looked = run_interruptible(planned())
        if as_json:
            put(plan_json(prepared, looked if browser else None))
        else:
            print_plan(prepared, looked if browser else None)


# --- a page that plays it -------------------------------------------------------------------------


PORT = 8091
PREVIEW_EXAMPLES = """
Examples:

  ecg-render preview job.yaml

  ecg-render preview job.yaml --port 0 --set spec.options.layout=preview"""


def preview(
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
        from ecg_renderer.preview import preview

        first = run_request(job, assignments or [])
        read_once = job == "-"

        def make() -> RunRequest:
            return first if read_once else run_request(job, assignments or [])

        manifest = None if read_once else Path(job).absolute()
        run_interruptible(preview(make, manifest, port, lambda address: put(address)))


# --- one frame as a picture -----------------------------------------------------------------------


STILL_EXAMPLES = """
Examples:

  ecg-render still job.yaml --at 3.2 -o look.png

  ecg-render still job.yaml --at 3.2 --captions-only -o captions.png"""


def still(
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
        from ecg_renderer.stills import StillRequest, make_still

        request = run_request(job, assignments or [], capture=capture)
        still = StillRequest(request, at, output.expanduser().absolute(), captions_only)
        put(run_interruptible(make_still(still)))


# --- a line for each caption picture --------------------------------------------------------------


FRAMES_EXAMPLES = """
Examples:

  ecg-render frames job.yaml --hash > one.txt

  ecg-render frames job.yaml --hash --segments 4 --stages 2 | diff one.txt -

  ecg-render frames job.yaml --hash --range 0:300 --capture screenshot"""


Range = Annotated[
    str | None,
    typer.Option(
        "--range",
        metavar="A:B",
        show_default=False,
        help="Only frames A up to, not including, B; either may be left out. Default: all.",
    ),
]


def frames(
    job: Job,
    hashes: Annotated[
        bool,
        typer.Option(
            "--hash",
            help="Print `index sha256` for each frame: of its whole caption picture, RGBA, straight alpha.",
        ),
    ] = False,
    frames: Range = None,
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
        from ecg_renderer.preparation import prepare_job
        from ecg_renderer.stills import hash_frames
        from ecg_renderer.storage import CellStore

        request = run_request(job, assignments or [], segments=segments, capture=capture, stages=stages)

        async def list_hashes() -> None:
            store = CellStore(request.cells.as_uri())
            prepared = await prepare_job(request.job, request.base, request.cutting, store=store)
            wanted = frame_range(frames, prepared.plan.target.frames)
            async for index, digest in hash_frames(prepared, request.settings, wanted, store):
                put(f"{index} {digest}")

        run_interruptible(list_hashes())
