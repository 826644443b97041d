"""`python -m ecg_operator`: help, wrong settings, no cluster."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ecg_operator.__main__ import main

ROOT = Path(__file__).parents[3]
NEEDED = {"RENDERER_IMAGE": "renderer", "WORK_URI": "s3://bucket/work"}


def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(ROOT / part) for part in ("operator", "common", "crds")])
    environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "PYTHONPATH": path, **variables}
    command = [sys.executable, "-m", "ecg_operator", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=150)


def test_help_shows_how_to_start_and_every_variable(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    said = capsys.readouterr().out
    for word in ("--namespace", "--dev", "kubectl", "RENDERER_IMAGE", "MAX_ACTIVE_SEGMENTS", "exit codes"):
        assert word in said


def test_missing_settings_are_all_named() -> None:
    done = run()
    assert done.returncode == 78
    assert "RENDERER_IMAGE is missing" in done.stderr
    assert "WORK_URI is missing" in done.stderr
    assert "Traceback" not in done.stderr


def test_without_a_cluster_it_says_what_to_give() -> None:
    done = run("--kubeconfig", "/nowhere/config", **NEEDED)
    assert done.returncode == 69
    assert "--kubeconfig" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("arguments", [["--namespaces", "x"], ["--dve"]])
def test_a_wrong_option_is_the_command_lines_fault(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
