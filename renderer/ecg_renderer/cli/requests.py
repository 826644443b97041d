"""From the command line's words to what the renderer takes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from ecg_api.renderjob import API_VERSION, KIND, Options
from ecg_renderer.errors import OptionsError
from ecg_renderer.manifest import assigned_job, read_manifest
from ecg_renderer.model import FrameRange
from ecg_renderer.request import RunRequest, Settings
from ecg_renderer.storage.base import printable
from ecg_renderer.storage.cells import default_cells

# Endings of media and subtitles that `burn` does not make; any other, as in talk.v2, is a part of the name.
_NOT_MADE = frozenset((
    "mkv", "avi", "ts", "m2ts", "mts", "mpg", "mpeg", "mxf", "wmv", "asf", "flv", "f4v", "3gp", "ogv", "ogg", "y4m",
    "ivf", "nut", "hevc", "h264", "gif", "apng", "png", "jpg", "jpeg", "webp", "avif", "mp3", "m4a", "aac", "wav",
    "flac", "opus", "srt", "vtt", "ass", "ssa", "sbv", "smi", "json", "zip", "m3u8", "mpd",
))  # fmt: skip
_ALSO = re.compile(
    r"(?:(?P<content>video|captions|subtitles)=)?(?P<path>.*?[^:])(?::(?P<width>\d{1,6})[xX](?P<height>\d{1,6}))?",
    re.DOTALL,
)

_OPTION = rf"options\.({'|'.join(field.alias or name for name, field in Options.model_fields.items())})\b"
# What somebody wrote, in quotes or after --set, is left as it is; and no entry of a list is an unknown field.
_ALSO_FIELD = re.compile(
    r"(?<![\w./'\"-])(?<!--set )(?:spec: |spec\.)?renditions\[(\d+)\](?!: unknown field)"
    r"(?:\.uri\b|: uri\b|(\.)(?=\w+:)|\.(\w+))?"
)
# What `burn` was given, for what messages call the fields of a manifest.
_GIVEN = [
    (re.compile(pattern), given)
    for pattern, given in (
        (rf"\bSet (?:spec\.)?{_OPTION} to (?=\w)", r"Give --set spec.options.\1="),
        (rf"(?<![\w./-])(?<!--set )(?:spec\.)?{_OPTION}", r"--set spec.options.\1"),
        (r"--also, with spec\.renditions, ", "--also "),
        (r"(?<![\w./-])(?<!--set )spec\.source(?:\.uri)?\b", "VIDEO"),
        (r"(?<![\w./-])(?<!--set )spec\.scenario\.look\b", "--look"),
        (r"(?<![\w./-])(?<!--set )spec\.scenario(?:\.uri)?\b", "CAPTIONS"),
        (r"(?<![\w./-])(?<!--set )spec\.(output|live)(?:\.uri)?\b", r"--\1"),
        (r"`ecg-render plan` checks a manifest without rendering\.", "`ecg-render burn --help` says what it takes."),
    )
]


def run_request(
    job: str,
    assignments: Iterable[str],
    *,
    output: str | None = None,
    also: Iterable[str] = (),
    live: Path | None = None,
    encoder: str | None = None,
    segments: int | None = None,
    cells: Path | None = None,
    capture: str | None = None,
    stages: int | None = None,
) -> RunRequest:
    """Return the request that a manifest and options make; None leaves what manifest and environment say.

    Raises ManifestError or OptionsError.
    """
    values: dict[tuple[str, ...], str] = {}
    if output is not None:
        # Paths in a manifest start at its folder, paths on a command line at the current one.
        values["spec", "output", "uri"] = _located(output)
    if live is not None:
        values["spec", "live", "uri"] = _located(str(live))
    if encoder is not None:
        values["spec", "options", "encoder"] = encoder
    manifest = read_manifest(job, assignments, values, [_rendition(text) for text in also])
    settings = Settings.from_environment()
    chosen = {"capture": capture, "stages": stages}
    settings = Settings(**{**dict(settings), **{name: value for name, value in chosen.items() if value is not None}})
    return RunRequest(manifest.job, manifest.base, settings, (cells or default_cells()).absolute(), segments)


def _rendition(text: str) -> dict[str, Any]:
    """Return what `[CONTENT=]PATH[:WxH]` says, as a manifest would; raises OptionsError for no path."""
    match = _ALSO.fullmatch(text)
    if not match:
        raise OptionsError(f"--also {_said(text)!r} names no file.", hint="Write it as vertical.mp4:1080x1920.")
    size = {"width": int(match["width"]), "height": int(match["height"])} if match["width"] else {}
    place = _located(match["path"])
    if match["path"].endswith("/") and "://" not in match["path"]:
        place = place.rstrip("/") + "/"
    return {"uri": place, **({"content": match["content"]} if match["content"] else {}), **size}


def burn_request(
    video: str,
    captions: str,
    look: str,
    assignments: Iterable[str],
    *,
    output: str | None = None,
    also: Sequence[str] = (),
    live: Path | None = None,
    cells: Path | None = None,
) -> RunRequest:
    """Return the request that burns the file `captions` into `video`, as a manifest would ask for it.

    Without `output`, the result lies beside the video, or in the current folder where that is at an address. Raises
    ManifestError or OptionsError.
    """
    given = [("VIDEO", video), ("CAPTIONS", captions), ("--output", output), *(("--also", one) for one in also)]
    for name, said in given:
        if said == "":
            raise OptionsError(f"{name} is empty.", hint="Name a file.")
    if output is None:
        local = Path(video).expanduser()
        stem = Path(video.partition("?")[0]).stem or "video"
        output = f"{stem}-captions.mp4" if "://" in video else str(local.with_name(f"{stem}-captions.mp4"))
    suffix = Path(output.partition("?")[0]).suffix.lower().removeprefix(".")
    if suffix in _NOT_MADE:
        raise OptionsError(
            f"--output {_said(output)} ends in none of .mp4, .mov and .webm.", hint="Give it one of them."
        )
    data: Any = {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {"name": "burn"},
        "spec": {
            "source": {"uri": _located(video)},
            "scenario": {"uri": _located(captions), "look": look},
            "output": {"uri": _located(output)},
            **({"options": {"format": suffix}} if suffix in ("mov", "webm") else {}),
            **({"live": {"uri": _located(str(live))}} if live else {}),
            "renditions": [_rendition(text) for text in also],
        },
    }
    job = assigned_job(data, assignments, "the command line")
    return RunRequest(job, Path.cwd(), Settings.from_environment(), (cells or default_cells()).absolute())


def named_by_also(message: str, also: Sequence[str]) -> str:
    """Return a message that calls renditions what `--also` did, and those of the manifest by their number in it."""

    def named(field: re.Match[str]) -> str:
        number = int(field[1]) - len(also)
        if number >= 0:
            return field[0].replace(f"[{field[1]}]", f"[{number}]", 1)
        its = f"the {field[3]} of " if field[3] else ""
        return f"{its}--also {_said(also[number])}{': ' if field[2] else ''}"

    message = re.sub(r"(?<![\w./-])spec\.renditions: has", "--also, with spec.renditions, has", message)
    return _ALSO_FIELD.sub(named, message)


def as_given(message: str, also: Sequence[str]) -> str:
    """Return a message about the manifest of `burn_request` in the words of its command line."""
    message = named_by_also(message, also)
    for pattern, given in _GIVEN:
        message = pattern.sub(given, message)
    return message


def _said(place: str) -> str:
    """Return a path or address as messages may say it: the query of an address may hold secrets."""
    return printable(place) if "://" in place else place


def _located(place: str) -> str:
    return place if "://" in place else str(Path(place).expanduser().absolute())


def frame_range(text: str | None, frames: int) -> FrameRange:
    """Return the frames that `A:B` means of a video of `frames` frames; all of them for None.

    Either side may be left out; a B beyond the end means the end. Raises OptionsError.
    """
    first, colon, last = (text or ":").partition(":")
    try:
        start, end = int(first or 0), int(last or frames)
    except ValueError:
        colon = ""
    if not colon:
        raise OptionsError(f"--range {text} is no range of frames.", hint="Write A:B, such as 0:300, 60: or :60.")
    if not 0 <= start < min(end, frames):
        raise OptionsError(
            f"--range {text} holds no frame of this video, which has frames 0 to {frames - 1}.",
            hint="Write A:B with A below B; B itself is not included.",
        )
    return FrameRange(start, min(end, frames))
