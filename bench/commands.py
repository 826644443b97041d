"""The commands that are compared, each ready to run in a fresh directory of its own."""

from __future__ import annotations

import json
import shlex
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from bench.errors import BenchError
from bench.footage import HEIGHT, RATE, WIDTH
from bench.libass import ass_document
from bench.scenarios import EditPlace, scenario, talk, with_another_word

QUALITY, CRF, PRESET = 60, 23, "veryfast"  # our quality 60 is crf 23


@dataclass(frozen=True)
class Renderer:
    """How `ecg-render` is started."""

    program: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=dict)


def renderer(program: str | None) -> Renderer:
    """Return the renderer to measure: `program` as a shell would split it, or the one of this Python.

    Raises `BenchError` if there is none.
    """
    if program:
        return Renderer(tuple(shlex.split(program)))
    beside = Path(sys.executable).with_name("ecg-render")
    found = str(beside) if beside.is_file() else shutil.which("ecg-render")
    if not found:
        raise BenchError("`ecg-render` is not installed. Run `make setup`, or name it with --renderer.")
    return Renderer((found,))


def transcode(clip: Path) -> list[str]:
    """Return the floor: the same decoding and encoding, no captions, audio copied."""
    return [*_ffmpeg(clip), *_encoding()]


def decode(clip: Path) -> list[str]:
    """Return the decoding alone, in software."""
    return [*_ffmpeg(clip), "-map", "0:v:0", "-f", "null", "-"]


def transcode_with_libass(clip: Path, name: str, seconds: int, directory: Path) -> list[str]:
    """Return the floor with the words of scenario `name` burnt in by libass."""
    (directory / "captions.ass").write_text(ass_document(talk(name, seconds), WIDTH, HEIGHT))
    return [*_ffmpeg(clip), "-vf", "ass=captions.ass", *_encoding()]


def render(
    renderer: Renderer,
    clip: Path,
    name: str,
    seconds: int,
    directory: Path,
    *,
    edited: EditPlace | None = None,
    encoder: str = "x264",
    also: Sequence[str] = (),
) -> list[str]:
    """Return our render of scenario `name`; what an earlier one left over in `directory` is used again.

    `edited`: a word near the middle of the video is another one. `also`: further results, by file name.
    """
    job = write_job(clip, name, seconds, directory, edited=edited, encoder=encoder)
    further = [word for name in also for word in ("--also", str(directory / name))]
    return [*renderer.program, "run", str(job), "--json", "--cells", str(directory / "cells"), *further]


def captions_only(renderer: Renderer, job: Path, frames: int, *, stages: int = 1, capture: str = "auto") -> list[str]:
    """Return the capture of the first `frames` caption pictures of `job`, without any video."""
    return [
        *(*renderer.program, "frames", str(job), "--hash", "--range", f"0:{frames}"),
        *("--stages", str(stages), "--capture", capture),
    ]


def write_job(
    clip: Path, name: str, seconds: int, directory: Path, *, edited: EditPlace | None = None, encoder: str = "x264"
) -> Path:
    """Write scenario and RenderJob for one render into `directory`; return the RenderJob's path."""
    captions = directory / "scenario.json"
    shown = scenario(name, seconds)
    captions.write_text(json.dumps(with_another_word(shown, edited) if edited else shown))
    options = {"fps": RATE, "quality": QUALITY, "preset": PRESET, "format": "mp4", "encoder": encoder}
    job: dict[str, Any] = {
        "apiVersion": "render.ecg.dev/v1alpha1",
        "kind": "RenderJob",
        "metadata": {"name": f"bench-{name.lower()}"},
        "spec": {
            "source": {"uri": clip.as_uri()},
            "scenario": {"uri": captions.as_uri()},
            "options": options,
            "output": {"uri": (directory / "out.mp4").as_uri()},
        },
    }
    path = directory / "job.yaml"
    path.write_text(yaml.safe_dump(job, sort_keys=False))
    return path


def _ffmpeg(clip: Path) -> list[str]:
    return ["ffmpeg", "-hide_banner", "-loglevel", "error", "-nostdin", "-y", "-i", str(clip)]


def _encoding() -> list[str]:
    return ["-c:v", "libx264", "-preset", PRESET, "-crf", str(CRF), "-c:a", "copy", "out.mp4"]
