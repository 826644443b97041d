"""The commands and their help.

What a command needs is imported inside it: the browser's and FFmpeg's libraries take longer to load than `--help`,
`--version` or a mistyped option may take to answer.
"""

from __future__ import annotations

from typing import Annotated

import typer

from ecg_renderer.cli import look, machine, run, scenario, worker

PURPOSE = """Burn animated, word-timed captions into a video.

A video and a MotionText scenario go in, both named in a RenderJob manifest; the video with its captions comes out, \
frame-exact, its sound untouched."""

EXAMPLES = """
Examples:

  ecg-render doctor                   is everything there that is needed?

  ecg-render burn talk.mp4 talk.srt   a video and its subtitles, without a manifest

  ecg-render scenario check talk.json what would look wrong, and what to do about it

  ecg-render plan job.yaml            what will be rendered, how long it takes

  ecg-render preview job.yaml         play it in a browser, captions over it

  ecg-render still job.yaml --at 3.2 -o look.png

  ecg-render run job.yaml             render; prints the path of the video

  ecg-render serve                    take jobs over HTTP: http://localhost:8090

Exit status: 0 done; 1 not ready to render (doctor); 2 wrong usage; 64 to 95 the same input fails again; 96 to 113 \
another try may work; 130 and 143 stopped.

Environment: ECG_CHROMIUM, ECG_FFMPEG and ECG_FFPROBE name programs to use. BROWSER_POOL_SIZE, QUEUE_MAX_SIZE, \
MEMORY_THRESHOLD_MB, ECG_CELLS_GB, ECG_CAPTURE and ECG_FRAME_TIMEOUT say how this machine renders. ECG_DEBUG=1 shows \
details."""

app = typer.Typer(
    name="ecg-render",
    help=PURPOSE,
    epilog=EXAMPLES,
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"ecg-render {version('ecg-render')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


app.command(epilog=run.BURN_EXAMPLES)(run.burn)
app.command(epilog=run.RUN_EXAMPLES)(run.run)
app.command(epilog=look.PLAN_EXAMPLES)(look.plan)
app.command(epilog=look.PREVIEW_EXAMPLES)(look.preview)
app.command(epilog=look.STILL_EXAMPLES)(look.still)
app.command(epilog=look.FRAMES_EXAMPLES)(look.frames)
app.command(epilog=machine.CELLS_EXAMPLES)(machine.cells)
app.command(epilog=machine.DOCTOR_EXAMPLES)(machine.doctor)
app.command(context_settings=machine.SERVE_SETTINGS)(machine.serve)
app.add_typer(scenario.app)
app.add_typer(worker.app)
