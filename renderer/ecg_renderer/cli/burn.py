"""`ecg-render burn`: a video and its subtitles, without a manifest."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from ecg_renderer.cli.ending import ending
from ecg_renderer.cli.options import Assignments, Json, LookWord, Progress, Quiet

NAME = "burn"
EXAMPLES = """
Examples:

  ecg-render burn talk.mp4 talk.srt

  ecg-render burn talk.mp4 whisper.json -o shorts.mp4 --look pop --set spec.options.width=1080 \\
  --set spec.options.height=1920

  ecg-render scenario from talk.srt -o talk.json     to change what becomes of it before it is burnt in"""


def command(
    video: Annotated[
        str, typer.Argument(metavar="VIDEO", show_default=False, help="The video: a path, s3:// or https://.")
    ],
    captions: Annotated[
        str,
        typer.Argument(
            metavar="CAPTIONS",
            show_default=False,
            help="What to burn in: .srt, .vtt, .ass, a transcript in JSON (Whisper, WhisperX, whisper.cpp, Amazon "
            "Transcribe), or a MotionText scenario.",
        ),
    ],
    output: Annotated[
        str | None,
        typer.Option(
            "--output", "-o", metavar="PATH", show_default=False, help="Where to write. Default: VIDEO-captions.mp4."
        ),
    ] = None,
    look: Annotated[
        LookWord,
        typer.Option(
            help="How words look as they are spoken: plain, coloured (karaoke), hopping (pop), growing (loud)."
        ),
    ] = "karaoke",
    assignments: Assignments = None,
    progress: Progress = "auto",
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Burn subtitles or a transcript into a video.

    Words are shown as they are spoken: by the file's own times, or shared out over
    a line where it has none. Prints the path of the result.
    """
    with ending(as_json=as_json, after_interruption="Finished segments are kept: run the same command again."):
        from ecg_renderer.cli.requests import burn_request
        from ecg_renderer.cli.run import render

        began = time.monotonic()
        request = burn_request(video, captions, output, look, assignments or [])
        render(request, began, progress=progress, as_json=as_json, quiet=quiet)
