"""`ecg-render run`, a whole job, and `ecg-render burn`, a video and its subtitles without a manifest."""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ecg_renderer.cli.ending import end_failed, ending, put, run_interruptible
from ecg_renderer.cli.options import (
    Also,
    Assignments,
    Capture,
    Cells,
    Encoder,
    Job,
    Json,
    Live,
    Look,
    Progress,
    ProgressWord,
    Quiet,
    Segments,
    Stages,
)

if TYPE_CHECKING:
    from ecg_api.rendering import RenderResult
    from ecg_renderer.browser import BrowserLauncher
    from ecg_renderer.cli.display import Display
    from ecg_renderer.request import RunRequest


RUN_EXAMPLES = """
Examples:

  ecg-render run job.yaml

  ecg-render run job.yaml --output draft.mp4 --set spec.options.height=540

  ecg-render run job.yaml --also vertical.mp4:1080x1920 --also captions.mov --also subtitles.srt

  video=$(ecg-render run job.yaml --quiet)

  ecg-render run job.yaml --json | jq .seconds.total

  ecg-render run job.yaml --progress json 2> >(jq .percent)

  ecg-render run job.yaml --live watch        mpv watch/live.m3u8 plays what is finished meanwhile

Stopped with Ctrl-C, or killed: the same command goes on from the ten-second pieces that were finished. So does the \
next export after a word was corrected: only the pieces in which it is seen are rendered."""
GO_ON = "Finished pieces are kept: run the same command again to go on from there."


def run(
    job: Job,
    output: Annotated[
        str | None,
        typer.Option(
            metavar="PATH",
            show_default=False,
            help="Where to write the video, instead of spec.output.uri; relative to the current folder.",
        ),
    ] = None,
    also: Also = None,
    live: Live = None,
    assignments: Assignments = None,
    segments: Segments = None,
    cells: Cells = None,
    encoder: Encoder = None,
    capture: Capture = None,
    stages: Stages = None,
    progress: Progress = "auto",
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Render the video of a RenderJob.

    Progress and a summary go to standard error; on standard output is the video's
    path, then those of its renditions. A result gets its name when it is complete
    and checked. If a rendition fails, the others are made all the same.
    """
    with ending(as_json=as_json, after_interruption=GO_ON, words=partial(_as_given, also=also)):
        from ecg_renderer.cli.requests import run_request

        began = time.monotonic()
        request = run_request(
            job,
            assignments or [],
            output=output,
            also=also or [],
            live=live,
            encoder=encoder,
            segments=segments,
            cells=cells,
            capture=capture,
            stages=stages,
        )
        render(request, began, progress=progress, as_json=as_json, quiet=quiet)


def render(request: RunRequest, began: float, *, progress: ProgressWord, as_json: bool, quiet: bool) -> None:
    """Render `request` and say what came of it, as the options want it; `began` is when the command did."""
    from ecg_renderer.cli.display import shown

    with shown(quiet=quiet, as_json=progress == "json") as display:
        result = _render(request, display)
    if as_json:
        put(result.model_dump_json())
    if not quiet and progress != "json":
        from ecg_renderer.cli.words import summary

        typer.echo(summary(result, time.monotonic() - began), err=True)
    if not as_json:
        for path in [output.uri for output in result.outputs if output.failure is None] or [result.output]:
            put(path)
    failure = next((output.failure for output in result.outputs if output.failure), None)
    if failure:
        end_failed(failure)


def _render(request: RunRequest, display: Display) -> RenderResult:
    return run_interruptible(_run(request, display), lambda: display.note("Stopping; once more stops at once."))


async def _run(request: RunRequest, display: Display) -> RenderResult:
    import asyncio
    import importlib

    from ecg_renderer.browser import BrowserLauncher
    from ecg_renderer.errors import plain_failures
    from ecg_renderer.metering import ProgressReport, Stage

    launcher = BrowserLauncher()
    launcher.warm()
    display.report(ProgressReport(Stage.PLANNING))
    try:
        # Imported in a thread: meanwhile Chromium comes up and is served its page, and the source is looked at.
        await asyncio.to_thread(importlib.import_module, "ecg_renderer.media.probe")
        with plain_failures():
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(_look(request))
                run_job = await asyncio.to_thread(_load_run_job)
        if playlist := _playlist(request):
            display.note(f"To be watched meanwhile: {playlist}")
        return await run_job(request, display, launcher)
    finally:
        await launcher.close()


def _playlist(request: RunRequest) -> Path | None:
    from ecg_api.live import MASTER
    from ecg_renderer.event_stream import live_folder

    folder = live_folder(request)
    return folder / MASTER if folder else None


async def _look(request: RunRequest) -> None:
    """Find out, and note, what a source on this machine is: it is what planning will ask for first."""
    from ecg_renderer.media.probe import known_source
    from ecg_renderer.storage import CellStore, FileStorage, open_storage

    source = open_storage(request.job.spec.source.uri, request.base)
    if isinstance(source, FileStorage):
        await known_source(source, CellStore(request.cells.as_uri()))


def _load_run_job() -> Callable[[RunRequest, Display, BrowserLauncher], Coroutine[None, None, RenderResult]]:
    from ecg_renderer.local import run_job
    from ecg_renderer.preparation import versions

    versions()  # remembered; it asks for the fonts, too
    return run_job


# --- burn -----------------------------------------------------------------------------------------


BURN_EXAMPLES = """
Examples:

  ecg-render burn talk.mp4 talk.srt

  ecg-render burn talk.mp4 talk.srt --also vertical.mp4:1080x1920 --also talk.vtt

  ecg-render burn talk.mp4 whisper.json -o shorts.mp4 --look pop --set spec.options.width=1080 \\
  --set spec.options.height=1920

  ecg-render scenario from talk.srt -o talk.json     to change what becomes of it before it is burnt in"""


def burn(
    video: Annotated[
        str, typer.Argument(metavar="VIDEO", show_default=False, help="The video: a path, s3:// or https://.")
    ],
    captions: Annotated[
        str,
        typer.Argument(
            metavar="CAPTIONS",
            show_default=False,
            help="What to burn in: subtitles (.srt, .vtt, .ass, .ttml, .lrc), a transcript in JSON as speech "
            "recognition writes it (docs/captions.md), or a MotionText scenario.",
        ),
    ],
    output: Annotated[
        str | None,
        typer.Option(
            "--output", "-o", metavar="PATH", show_default=False, help="Where to write. Default: VIDEO-captions.mp4."
        ),
    ] = None,
    look: Look = "karaoke",
    also: Also = None,
    live: Live = None,
    assignments: Assignments = None,
    cells: Cells = None,
    progress: Progress = "auto",
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Burn subtitles or a transcript into a video.

    Words are shown as they are spoken: by the file's own times, or shared out
    over a line where it has none. Prints the path of the result, then those of
    its renditions.
    """
    with ending(as_json=as_json, after_interruption=GO_ON, words=partial(_as_given, also=also, of_burn=True)):
        from ecg_renderer.cli.requests import burn_request

        began = time.monotonic()
        request = burn_request(
            video, captions, look, assignments or [], output=output, also=also or [], live=live, cells=cells
        )
        render(request, began, progress=progress, as_json=as_json, quiet=quiet)


def _as_given(message: str, *, also: list[str] | None, of_burn: bool = False) -> str:
    from ecg_renderer.cli.requests import as_given, named_by_also

    return (as_given if of_burn else named_by_also)(message, also or [])
