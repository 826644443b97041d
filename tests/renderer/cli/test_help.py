"""Help, version and mistyped words: answered at once, and so that a person learns something."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import get_args

import pytest

import command_line
from command_line import ecg_render
from ecg_api.options import Encoder
from ecg_renderer.cli.options import CaptureWord, EncoderWord
from ecg_renderer.model import CaptureWay

COMMANDS = ("burn", "run", "plan", "still", "frames", "doctor", "scenario")
# Loading these takes longer than help may take. Typer itself loads pydantic once options are read.
SLOW_MODULES = ("playwright", "av", "numpy", "asyncio", "httpx", "psutil", "ecg_api.renderjob", "ecg_renderer.errors")


def test_help_names_every_command_and_gives_examples(tmp_path: Path) -> None:
    ended = ecg_render("--help", cwd=tmp_path)
    assert ended.code == 0
    for words in (*COMMANDS, "Examples:", "ecg-render run job.yaml", "Exit status", "ECG_CHROMIUM"):
        assert words in ended.out


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_examples_and_every_option_a_line(tmp_path: Path, command: str) -> None:
    ended = ecg_render(command, "--help", cwd=tmp_path)
    assert ended.code == 0
    assert f"ecg-render {command}" in ended.out
    assert "Examples:" in ended.out
    for line in ended.out.splitlines():
        if line.startswith(("│ --", "│ *  --")):
            assert len(line.strip("│ ").split("  ")) > 1, f"no help: {line}"


def test_the_version_is_that_of_the_package(tmp_path: Path) -> None:
    assert ecg_render("--version", cwd=tmp_path).out == f"ecg-render {version('ecg-render')}\n"


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["--version"]], ids=" ".join)
def test_help_loads_nothing_that_is_slow(tmp_path: Path, arguments: list[str]) -> None:
    code = (
        "import sys\nfrom ecg_renderer.cli import main\n"
        f"try:\n    main()\nfinally:\n    print(*sorted(set(sys.modules) & set({SLOW_MODULES!r})), file=sys.stderr)"
    )
    environment = command_line.environment(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stderr.strip() == ""


def test_a_render_loads_nothing_that_reads_or_writes_subtitles(tmp_path: Path) -> None:
    below = "ecg_renderer.subtitles."
    code = f"import sys, ecg_renderer.local; print(*(name for name in sys.modules if name.startswith({below!r})))"
    environment = command_line.environment(tmp_path)
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [f"{below}shapes"]


WRONG_USAGE = {
    "an unknown command": (["rnu"], "Did you mean 'run'?"),
    "an unknown option": (["run", "job.yaml", "--ouput", "x"], "--output"),
    "no manifest": (["run"], "JOB"),
    "an unknown capture way": (["run", "job.yaml", "--capture", "magic"], "'magic' is not one of"),
    "no segment at all": (["run", "job.yaml", "--segments", "0"], "greater than or equal to 1"),
    "a time that is no number": (["still", "job.yaml", "--at", "soon", "-o", "x.png"], "Invalid value for '--at'"),
}


@pytest.mark.parametrize(("arguments", "said"), WRONG_USAGE.values(), ids=WRONG_USAGE)
def test_wrong_usage_is_explained_with_status_2(tmp_path: Path, arguments: list[str], said: str) -> None:
    ended = ecg_render(*arguments, cwd=tmp_path)
    assert ended.code == 2
    assert said in ended.err
    assert ended.out == ""
    assert "Traceback" not in ended.err


def test_the_words_of_options_are_those_of_the_renderer() -> None:
    assert set(get_args(CaptureWord)) == {"auto", *CaptureWay}
    assert get_args(EncoderWord) == get_args(Encoder)
