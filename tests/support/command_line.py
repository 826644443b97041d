"""Run `ecg-render` as a user does: a process of its own, in a folder of its own, and see what it leaves behind.

folder = workplace(tmp_path)        a folder with video.mp4, scenario.json and job.yaml
ended = ecg_render("run", "job.yaml", cwd=folder)
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import yaml

import clips
import loaded_renderer

SECONDS = 150  # of a command that hangs; none takes a tenth of it on a quiet machine
CLIP = clips.Clip(frames=30)  # a second, 320x180 at 30
# For a command that ends before it needs one: it starts one at once, which costs more than all else that it does.
NO_BROWSER = {"ECG_CHROMIUM": "/bin/false"}


@dataclass(frozen=True)
class Ended:
    """A command that has ended: exit status, standard output, standard error."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """The one object on standard output."""
        result: dict[str, Any] = json.loads(self.out)
        return result


def command(*arguments: str | Path) -> list[str]:
    """Return the command line of `ecg-render`."""
    return [sys.executable, "-m", "ecg_renderer", *map(str, arguments)]


def environment(folder: Path, changes: dict[str, str] | None = None) -> dict[str, str]:
    """Return an environment whose cache lies in `folder`, and in which the fast capture is trusted."""
    own = {
        "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry),
        "XDG_CACHE_HOME": str(folder / "cache"),
        "ECG_SELFCHECK": "never",
        "COLUMNS": "100",
    }
    return {**os.environ, **own, **(changes or {})}


def ecg_render_anew(*arguments: str | Path, cwd: Path, changes: dict[str, str] | None = None) -> Ended:
    """Run `ecg-render` as `ecg_render` does, in a process that loads all it needs itself."""
    done = subprocess.run(
        command(*arguments),
        cwd=cwd,
        env=environment(cwd, changes),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    return Ended(done.returncode, done.stdout, done.stderr)


def ecg_render(
    *arguments: str | Path,
    cwd: Path,
    changes: dict[str, str] | None = None,
    stdin: str | None = None,
    limit: int | None = None,
) -> Ended:
    """Run `ecg-render` in the folder `cwd`; `changes` are to its environment, `limit` bounds its files, in bytes."""
    if limit:
        done = subprocess.run(
            ["prlimit", f"--fsize={limit}", "--", *command(*arguments)],
            cwd=cwd,
            env=environment(cwd, changes),
            input=stdin or "",
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        return Ended(done.returncode, done.stdout, done.stderr)
    has_own_store = "--cells" not in arguments
    with clips.known_to(cwd / "cache" / "ecg-render" / "cells") if has_own_store else nullcontext():
        return run_loaded([*map(str, arguments)], cwd, environment(cwd, changes), stdin or "")


def run_loaded(arguments: list[str], cwd: Path, variables: dict[str, str], stdin: str = "") -> Ended:
    """Run `ecg-render` without the time that loading it takes.

    Raises ValueError for variables that Python reads only when it starts: a fork would not follow them.
    """
    ours = environment(cwd)
    for name, value in variables.items():
        if name.startswith(("PYTHON", "LC_", "LANG")) and value != ours.get(name):
            raise ValueError(f"{name} does nothing to a process that is loaded already: start a real one.")
    with tempfile.TemporaryFile("w+") as given, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        given.write(stdin)
        given.seek(0)
        streams = given.fileno(), out.fileno(), err.fileno()
        code = loaded_renderer.run(arguments, cwd, variables, streams, SECONDS)
        return Ended(code, *(_text_of(stream) for stream in (out, err)))


def _text_of(stream: IO[bytes]) -> str:
    stream.seek(0)
    return stream.read().decode().replace("\r\n", "\n").replace("\r", "\n")  # as subprocess gives text


def scenario(*texts: str, seconds: float = 1.0, plugin: str | None = None) -> dict[str, Any]:
    """Return a scenario that shows `texts` one after the other, each for as long, with small gaps."""
    each = seconds / max(1, len(texts))
    cues = [cue(text, each * index, each * (index + 0.9), plugin) for index, text in enumerate(texts)]
    return {
        "version": "2.0",
        "pluginApiVersion": "3.0",
        "timebase": {"unit": "seconds"},
        "stage": {"baseAspect": "16:9"},
        "tracks": [{"id": "caption", "type": "subtitle", "layer": 1, "defaultStyle": {"fontFamily": "Arial"}}],
        "cues": cues,
    }


def cue(text: str, start: float, end: float, plugin: str | None = None) -> dict[str, Any]:
    """Return one cue that stands from `start` to `end`, in seconds."""
    chain = {"pluginChain": [{"name": plugin}]} if plugin else {}
    word = {"id": f"word-{text}", "eType": "text", "text": text, **chain}
    root = {
        "id": f"root-{text}",
        "eType": "group",
        "displayTime": [start, end],
        "layout": {"position": {"x": 0.5, "y": 0.8}, "anchor": "cc"},
        "children": [word],
    }
    return {"id": f"cue-{text}", "track": "caption", "root": root}


def manifest(**options: Any) -> dict[str, Any]:
    """Return a RenderJob over the files of `workplace`."""
    return {
        "apiVersion": "render.ecg.dev/v1alpha1",
        "kind": "RenderJob",
        "metadata": {"name": "clip"},
        "spec": {
            "source": {"uri": "video.mp4"},
            "scenario": {"uri": "scenario.json"},
            "output": {"uri": "out/captioned.mp4"},
            "options": {"preset": "ultrafast", **options},
        },
    }


def workplace(folder: Path, clip: clips.Clip = CLIP, captions: dict[str, Any] | None = None, **options: Any) -> Path:
    """Put a video, a scenario and a RenderJob into `folder` and return it."""
    shutil.copy2(clips.counter(clip), folder / "video.mp4")
    (folder / "scenario.json").write_text(json.dumps(captions or scenario("one", "two", seconds=float(clip.seconds))))
    (folder / "job.yaml").write_text(yaml.safe_dump(manifest(**options), sort_keys=False))
    return folder


def files(folder: Path) -> set[str]:
    """Return the files in `folder`, hidden ones too, without those of the cache."""
    return {
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and path.relative_to(folder).parts[0] != "cache"
    }
