"""`ecg-render worker`: the steps that pods of a cluster run; each can be tried on one machine."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ecg_api.names import (
    CELLS_VARIABLE,
    GIVEN_UP_VARIABLE,
    GO_ON_VARIABLE,
    INDEX_VARIABLE,
    JOB_VARIABLE,
    MOST_SEGMENTS_VARIABLE,
    PROGRESS_PORT,
    PROGRESS_PORT_VARIABLE,
    SCENARIO_FILE_VARIABLE,
    SEGMENTS_VARIABLE,
    SIGTERM_EXIT_CODE,
    TERMINATION_LOG,
    TERMINATION_LOG_VARIABLE,
    WORK_VARIABLE,
)
from ecg_renderer.cli.ending import Interrupted, ReaderGone, ending, failure_of, put, run_interruptible

if TYPE_CHECKING:
    from ecg_api.pods import Report
    from ecg_renderer.browser import BrowserLauncher
    from ecg_renderer.worker.live import Live
    from ecg_renderer.worker.pod import Assignment

    Step = Callable[[BrowserLauncher], Coroutine[Any, Any, Report]]

NAME = "worker"
SECONDS_TO_STOP = 8.0
GO_ON = "Nothing half-done is left; another pod goes on from what is among the work files."

HELP = """Run one step of a job, as the pods of a cluster do.

A job's steps share a folder of work files, in S3 or on a disk: `plan` writes the plan there, `segment` one segment of \
it, `merge` makes the output of all segments and removes the folder, `clean` removes it without an output."""
EXAMPLES = f"""
Examples, on one machine with a folder for the work files:

  ecg-render worker plan --job job.yaml --work /scratch/clip

  ecg-render worker segment --job job.yaml --work /scratch/clip --segments 0

  ecg-render worker merge --job job.yaml --work /scratch/clip

Environment, by which pods are told what to do: {JOB_VARIABLE}, {WORK_VARIABLE}, {CELLS_VARIABLE}, \
{SEGMENTS_VARIABLE}, {INDEX_VARIABLE}, {GIVEN_UP_VARIABLE}, {SCENARIO_FILE_VARIABLE}, {MOST_SEGMENTS_VARIABLE}, \
{GO_ON_VARIABLE}, {PROGRESS_PORT_VARIABLE} and {TERMINATION_LOG_VARIABLE}, as the options of each step say. \
AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION and AWS_ENDPOINT_URL lead to S3, or the cloud's own pod identity \
does, or ECG_STORAGE_PROFILES (docs/storage.md). BROWSER_POOL_SIZE, QUEUE_MAX_SIZE, MEMORY_THRESHOLD_MB, ECG_CAPTURE \
and ECG_FRAME_TIMEOUT say how a pod renders. Scratch files go to TMPDIR.

Each step ends with a report, one line of JSON: on standard output, and in the file that {TERMINATION_LOG_VARIABLE} \
names (in a pod {TERMINATION_LOG}). The log is on standard error.

Exit status: 0 done; 64 to 95 the same input fails again; 96 to 113 another try may work; 143 stopped by SIGTERM, \
within 10 seconds."""

app = typer.Typer(name=NAME, help=HELP, epilog=EXAMPLES, no_args_is_help=True)

Job = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        show_default=False,
        help=f"RenderJob manifest, a YAML file, instead of {JOB_VARIABLE}, which holds the RenderJob as JSON.",
    ),
]
Work = Annotated[
    str | None,
    typer.Option(
        metavar="URI",
        envvar=WORK_VARIABLE,
        show_default=False,
        help="Folder of this job's work files: s3://bucket/folder, file:///folder or a path.",
    ),
]
Port = Annotated[
    int,
    typer.Option(
        envvar=PROGRESS_PORT_VARIABLE,
        min=0,
        max=65535,
        help="Port for /progress (JSON), /metrics (Prometheus) and /healthz; 0 takes a free one.",
    ),
]
Log = Annotated[
    str | None,
    typer.Option(
        "--report",
        metavar="FILE",
        envvar=TERMINATION_LOG_VARIABLE,
        show_default=False,
        help=f"Also write the report to this file. Default: {TERMINATION_LOG}, where it exists.",
    ),
]
ScenarioFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        envvar=SCENARIO_FILE_VARIABLE,
        show_default=False,
        help="The mounted ConfigMap entry that spec.scenario.configMapRef names: JSON, or JSON compressed by "
        "gzip. spec.scenario.sha256 is that of the entry as it is, compressed or not.",
    ),
]
MostSegments = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=1,
        envvar=MOST_SEGMENTS_VARIABLE,
        show_default=False,
        help="Cut the video into at most so many segments, if the manifest does not say less.",
    ),
]
GoOn = Annotated[
    bool,
    typer.Option(
        "--go-on",
        envvar=GO_ON_VARIABLE,
        help="If one short segment, of the video at spec.output, is all there is to render, do so and merge.",
    ),
]


@app.command(
    epilog="""
Examples:

  ecg-render worker plan --job job.yaml --work /scratch/clip

  ecg-render worker plan --job job.yaml --work /scratch/clip --scenario-file captions.json.gz"""
)
def plan(
    job: Job = None,
    work: Work = None,
    scenario_file: ScenarioFile = None,
    most_segments: MostSegments = None,
    go_on: GoOn = False,
    progress_port: Port = PROGRESS_PORT,
    report: Log = None,
) -> None:
    """Check the inputs and the output, and cut the video into segments.

    Needs no GPU. A browser tells what would look wrong; without one the plan is
    made all the same. Reads the scenario from the manifest, from
    storage, or from a ConfigMap's mounted entry. Writes scenario.json, prepared
    for all segments, and plan.json.
    """
    with _step(report) as end:

        def load(live: Live) -> Step:
            from ecg_renderer.worker.plan import plan_job

            assignment = _assignment(job, work, with_scenario=True)
            step = partial(plan_job, assignment, live, scenario_file=scenario_file, most_segments=most_segments)
            if not go_on:
                return step
            from ecg_renderer.request import Settings
            from ecg_renderer.worker.segment import plan_and_render

            settings, leave = Settings.from_environment(), partial(_leave, log=report)
            return partial(plan_and_render, step, assignment, settings, live, leave)

        end(_run(lambda live: _beside_a_browser(partial(load, live)), progress_port))


@app.command(
    epilog="""
Examples:

  ecg-render worker segment --job job.yaml --work /scratch/clip --segments 0

  ecg-render worker segment --job job.yaml --work /scratch/clip --segments 0-3,7 --index 4"""
)
def segment(
    job: Job = None,
    work: Work = None,
    segments: Annotated[
        str | None,
        typer.Option(
            metavar="RANGES",
            envvar=SEGMENTS_VARIABLE,
            show_default=False,
            help="The segments that this round of pods renders, such as 0-3,7.",
        ),
    ] = None,
    index: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            envvar=INDEX_VARIABLE,
            show_default=False,
            help="Which of them is this pod's, counted from 0; not needed for one.",
        ),
    ] = None,
    progress_port: Port = PROGRESS_PORT,
    report: Log = None,
) -> None:
    """Render one segment.

    The first segment of a job tries whether NVENC works on its machine and
    settles the encoder in encoder.json; the others follow. Each ten seconds are
    kept as cells/KEY-ENCODER.mp4 when they are finished; what is there already is
    not rendered again. If the job has one segment, and that is of the video at
    spec.output, its pod merges at once.
    """
    with _step(report) as end:

        def load(live: Live) -> Step:
            from ecg_renderer.request import Settings
            from ecg_renderer.worker.pod import segment_number
            from ecg_renderer.worker.segment import render_segment

            assignment = _assignment(job, work, with_scenario=False)
            number, settings = segment_number(segments, index), Settings.from_environment()
            return partial(render_segment, assignment, number, settings, live, partial(_leave, log=report))

        end(_run(lambda live: _beside_a_browser(partial(load, live)), progress_port))


@app.command(
    epilog="""
Examples:

  ecg-render worker merge --job job.yaml --work /scratch/clip"""
)
def merge(
    job: Job = None,
    work: Work = None,
    given_up: Annotated[
        str | None,
        typer.Option(
            metavar="RANGES",
            envvar=GIVEN_UP_VARIABLE,
            show_default=False,
            help="Segments that nobody renders any more, such as 4-5: one could not be rendered, the others have the "
            "same size. Renditions of their size are left out.",
        ),
    ] = None,
    progress_port: Port = PROGRESS_PORT,
    report: Log = None,
) -> None:
    """Join all pieces, add the source's sound, write the output.

    The output gets its name when it is complete and checked; then the work files
    are removed.
    """
    with _step(report) as end:
        from ecg_renderer.worker.merge import merge_job
        from ecg_renderer.worker.pod import segments_given_up

        def work_on(live: Live) -> Coroutine[Any, Any, Report]:
            assignment, left_out = _assignment(job, work, with_scenario=False), segments_given_up(given_up)
            return merge_job(assignment, live, lambda merged: _leave(merged, report), left_out)

        end(_run(work_on, progress_port))


@app.command(
    epilog="""
Examples:

  ecg-render worker clean --work s3://bucket/work/clip"""
)
def clean(work: Work = None, report: Log = None) -> None:
    """Remove the work files of a job that ended early. That there are none is success too."""
    with _step(report) as end:
        from ecg_renderer.worker.pod import clean_job, read_work_uri

        end(_run(lambda live: clean_job(read_work_uri(work), live), None))


async def _beside_a_browser(load: Callable[[], Step]) -> Report:
    """Do what `load` returns. Meanwhile Chromium comes up and is served its page: almost every step asks it."""
    import asyncio

    from ecg_renderer.browser import BrowserLauncher

    launcher = BrowserLauncher()
    launcher.warm()
    try:
        step = await asyncio.to_thread(load)  # most of it are imports
        return await step(launcher)
    finally:
        await launcher.close()


def _assignment(job: str | None, work: str | None, *, with_scenario: bool) -> Assignment:
    from ecg_renderer.worker.pod import read_assignment

    cells = os.environ.get(CELLS_VARIABLE)
    return read_assignment(os.environ.get(JOB_VARIABLE), job, work, cells, with_scenario=with_scenario)


def _run(work_on: Callable[[Live], Coroutine[Any, Any, Report]], port: int | None) -> Report:
    """Do the work, watched on `port` if there is one; SIGTERM ends it within SECONDS_TO_STOP."""
    from ecg_renderer.cli.display import logs_to
    from ecg_renderer.worker.live import Live, served
    from ecg_renderer.worker.pod import writable_caches

    live = Live(_say)
    with logs_to(live.warn), writable_caches(), served(live, port) if port is not None else nullcontext():
        return run_interruptible(work_on(live), _stop_in_time)


@contextmanager
def _step(log: str | None) -> Iterator[Callable[[Report], None]]:
    """Let the block end with a report, or with one about its failure; give what takes the former."""
    with ending(after_interruption=GO_ON):
        try:
            yield lambda report: _end(report, log)
        except (Interrupted, ReaderGone):
            raise  # stopped on request, or not listened to: no failure of the step
        except Exception as error:
            from ecg_api.pods import FailureReport
            from ecg_renderer.errors import PiecesGone

            _end(FailureReport(failure=failure_of(error), plan_again=isinstance(error, PiecesGone)), log)
            raise


def _end(report: Report, log: str | None) -> None:
    from ecg_renderer.worker.pod import printed

    _leave(report, log)
    put(printed(report))


def _leave(report: Report, log: str | None) -> None:
    from ecg_renderer.worker.pod import leave_report, termination_log

    leave_report(report, termination_log(log), lambda text: _say(f"Warning: {text}"))


def _say(line: str) -> None:
    typer.echo(line, err=True)


def _stop_in_time() -> None:
    """Give what is cleaned up a few seconds, and no more: storage may be what does not answer."""
    _say("Stopping.")
    end = threading.Timer(SECONDS_TO_STOP, os._exit, [SIGTERM_EXIT_CODE])
    end.daemon = True
    end.start()
