"""`ecg-render plan`: what would be rendered, without rendering it."""

from __future__ import annotations

from ecg_renderer.cli.ending import ending, put
from ecg_renderer.cli.options import Assignments, Job, Json, Segments

NAME = "plan"
EXAMPLES = """
Examples:

  ecg-render plan job.yaml

  ecg-render plan job.yaml --segments 8 --json | jq '.segments[].start'

  ecg-render plan job.yaml --set spec.options.fps=59.94"""


def command(job: Job, assignments: Assignments = None, segments: Segments = None, as_json: Json = False) -> None:
    """Show what would be rendered: source, size, cells, segments, pictures, time, warnings.

    Checks everything that can be checked without rendering. Writes no video and starts no browser.
    """
    with ending(as_json=as_json):
        from ecg_renderer.cli.requests import run_request
        from ecg_renderer.cli.signals import run_interruptible
        from ecg_renderer.preparation import planned_here

        request = run_request(job, assignments or [], segments=segments)
        prepared = run_interruptible(planned_here(request))
        if as_json:
            from ecg_renderer.cli.planned import plan_json

            put(plan_json(prepared))
        else:
            from ecg_renderer.cli.planned import print_plan

            print_plan(prepared)
