"""`ecg-render plan`: what would be rendered, without rendering it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ecg_renderer.cli.ending import ending, put
from ecg_renderer.cli.options import Assignments, Cells, Job, Json, Segments

if TYPE_CHECKING:
    from ecg_renderer.preparation import PreparedJob

NAME = "plan"
EXAMPLES = """
Examples:

  ecg-render plan job.yaml

  ecg-render plan job.yaml --segments 8 --json | jq '.segments[].start'

  ecg-render plan job.yaml --set spec.options.fps=59.94"""


def command(
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
        from ecg_renderer.cli.signals import run_interruptible
        from ecg_renderer.looking import look_ahead
        from ecg_renderer.preparation import planned_here
        from ecg_renderer.storage import CellStore

        request = run_request(job, assignments or [], segments=segments, cells=cells)

        async def plan() -> tuple[PreparedJob, float]:
            prepared = await planned_here(request)
            if not browser:
                return prepared, 0.0
            return await look_ahead(prepared, CellStore(request.cells.as_uri()))

        prepared, looked = run_interruptible(plan())
        if as_json:
            from ecg_renderer.cli.planned import plan_json

            put(plan_json(prepared))
        else:
            from ecg_renderer.cli.planned import print_plan

            print_plan(prepared, looked if browser else None)
