"""Arguments and options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

EncoderWord = Literal["auto", "nvenc", "cpu", "x264"]
LookWord = Literal["plain", "karaoke", "pop", "loud"]
CaptureWord = Literal["auto", "canvas", "beginframe", "screenshot"]
ProgressWord = Literal["auto", "json"]

Job = Annotated[
    str,
    typer.Argument(
        metavar="JOB",
        show_default=False,
        help="RenderJob manifest, a YAML file; - reads it from standard input. Paths in it start at its folder.",
    ),
]
Assignments = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="PATH=VALUE",
        show_default=False,
        help="Change a value of the manifest, such as spec.options.quality=80; may be given several times.",
    ),
]
Also = Annotated[
    list[str] | None,
    typer.Option(
        metavar="[CONTENT=]PATH[:WxH]",
        show_default=False,
        help="Make one more result of the same: a video of another size (vertical.mp4:1080x1920), the captions alone "
        "with alpha (captions.mov, pictures.zip, pictures/), or subtitles (.srt, .vtt, .ass). CONTENT is video, "
        "captions or subtitles, where the suffix does not tell (captions=over.webm). May be given several times.",
    ),
]
Live = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        show_default=False,
        help="Write an HLS playlist, DIR/live.m3u8, that players can follow while the rest renders.",
    ),
]
Segments = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=1,
        max=10_000,
        show_default=False,
        help="Cut the video into this many segments. Default: about one a minute.",
    ),
]
Cells = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        show_default=False,
        help="Finished pieces are kept here, at most ECG_CELLS_GB of them, and used again. "
        "Default: ~/.cache/ecg-render/cells.",
    ),
]
Stages = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=1,
        max=32,
        show_default=False,
        help="Caption stages that share the browser, 1 to 32. Default: BROWSER_POOL_SIZE, or 8.",
    ),
]
Encoder = Annotated[
    EncoderWord | None,
    typer.Option(
        show_default=False, help="auto takes NVENC where it works, else the CPU. Default: spec.options.encoder."
    ),
]
Capture = Annotated[
    CaptureWord | None,
    typer.Option(
        metavar="WAY",
        show_default=False,
        help="How pictures leave the browser: canvas, beginframe, screenshot, or auto, the fastest that passes its "
        "check. Default: ECG_CAPTURE, or auto.",
    ),
]
Progress = Annotated[
    ProgressWord,
    typer.Option(
        metavar="WAY",
        help="How progress is shown: auto is a bar on a terminal and now and then a line in a log; json is for "
        "programs, one JSON object a line on standard error, at most four a second, and a line for each warning.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Write nothing to standard error but a failure.")]
Look = Annotated[
    LookWord,
    typer.Option(help="How words look as they are spoken: plain, coloured (karaoke), hopping (pop), growing (loud)."),
]
