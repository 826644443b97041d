"""What only a process of its own can show: other tests fork one that has loaded everything, and has one hash seed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import typer

from command_line import ecg_render, ecg_render_anew, workplace
from ecg_renderer.cli.app import app

SRT = "1\n00:00:00,100 --> 00:00:00,900\nA word\n"
STARTED = {
    "burn": ("video.mp4", "talk.srt", "-o", "out/burnt.mp4"),
    "plan": ("job.yaml",),
    "still": ("job.yaml", "--at", "0.3", "-o", "out/look.png"),
    "frames": ("job.yaml", "--hash"),
    "cells": (),
    "doctor": (),
    "scenario check": ("scenario.json",),
    "scenario migrate": ("scenario.json",),
    "scenario from": ("talk.srt",),
}
# Started for real by the next test, by test_preview, tests/shim and tests/e2e.
ELSEWHERE = {"run", "preview", "serve", "worker plan", "worker segment", "worker merge", "worker clean"}


def names(group: Any, above: str = "") -> set[str]:
    """Return the commands of a group and of those in it."""
    found: set[str] = set()
    for name, one in group.commands.items():
        found |= names(one, f"{name} ") if hasattr(one, "commands") else {above + name}
    return found


def test_every_command_is_started_for_real_somewhere() -> None:
    assert names(typer.main.get_command(app)) == {*STARTED, *ELSEWHERE}


@pytest.mark.parametrize("command", STARTED)
def test_a_command_loads_all_that_it_needs(tmp_path: Path, command: str) -> None:
    (workplace(tmp_path) / "talk.srt").write_text(SRT)
    ended = ecg_render_anew(*command.split(), *STARTED[command], cwd=tmp_path)
    assert ended.code == 0, ended.err
    assert ended.out


def test_pieces_are_called_alike_by_every_process(tmp_path: Path) -> None:
    workplace(tmp_path)
    store = tmp_path / "cache/ecg-render/cells"
    results = ("--also", "captions=over.webm", "--also", "tall.mp4:90x160", "--live", "watch", "--segments", "2")
    kept = []
    for seed in ("1", "2"):
        ended = ecg_render_anew("run", "job.yaml", *results, "--json", cwd=tmp_path, changes={"PYTHONHASHSEED": seed})
        assert ended.code == 0, ended.err
        kept.append({path.name for path in store.rglob("*") if path.is_file()})
    assert kept[0] == kept[1]
    assert ended.json["cellsReused"] == ended.json["cells"] == 2


def test_a_fork_refuses_what_only_a_new_process_would_follow(tmp_path: Path) -> None:
    for name in ("PYTHONHASHSEED", "LC_ALL", "LANG"):
        with pytest.raises(ValueError, match=f"{name} does nothing to a process that is loaded already"):
            ecg_render("--version", cwd=tmp_path, changes={name: "0"})
