"""`--progress json`: what a program that watches a render can rely on."""

from __future__ import annotations

import json
import random
import subprocess
import time
from pathlib import Path
from typing import Any

import command_line
from command_line import ecg_render, scenario, workplace
from ecg_renderer.browser import START_SECONDS
from ecg_renderer.chromium import MEMORY_FILES, PROFILE_PREFIX
from ecg_renderer.cli.display import ObjectDisplay
from ecg_renderer.metering import ProgressReport, Stage

FIELDS = {
    "event", "stage", "framesDone", "framesTotal", "percent", "framesPerSecond", "etaSeconds", "encoder", "capture",
    "segment", "segments", "queuedFrames",
}  # fmt: skip


def objects(text: str) -> list[dict[str, Any]]:
    """Return the objects among the lines of a standard error."""
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


def test_a_render_says_its_stages_as_objects_and_nothing_else(tmp_path: Path) -> None:
    captions = scenario("one", "two", seconds=1)
    captions["cues"].append(command_line.cue("late", 5, 6))
    workplace(tmp_path, captions=captions)
    ended = ecg_render("run", "job.yaml", "--progress", "json", "--json", cwd=tmp_path)
    assert ended.code == 0, ended.err
    assert ended.json["frames"] == 30
    told = objects(ended.err)
    assert len(told) == len(ended.err.splitlines())
    assert [one["event"] for one in told].count("warning") == 1
    progress = [one for one in told if one["event"] == "progress"]
    assert all(set(one) == FIELDS for one in progress)
    stages = list(dict.fromkeys(one["stage"] for one in progress))
    assert stages == ["planning", "rendering", "merging"]
    assert progress[-1]["framesDone"] == progress[-1]["framesTotal"] == 30


def test_a_failure_is_an_object_on_standard_output_and_a_paragraph_for_people(tmp_path: Path) -> None:
    workplace(tmp_path)
    (tmp_path / "video.mp4").unlink()
    ended = ecg_render("run", "job.yaml", "--progress", "json", "--json", cwd=tmp_path)
    assert ended.json["failure"]["code"] == "INVALID_VIDEO_URL"
    assert objects(ended.err)[0]["stage"] == "planning"
    assert ended.err.splitlines()[-1].startswith("INVALID_VIDEO_URL: ")


def test_a_job_that_is_refused_was_never_planned(tmp_path: Path) -> None:
    workplace(tmp_path, quality=1000)
    ended = ecg_render("run", "job.yaml", "--progress", "json", "--json", cwd=tmp_path)
    assert ended.json["failure"]["code"] == "INVALID_RENDER_OPTIONS"
    assert objects(ended.err) == []


def test_an_early_failure_does_not_wait_for_chromium(tmp_path: Path) -> None:
    stuck = tmp_path / "stuck"
    stuck.write_text("#!/bin/sh\nexec sleep 1000\n")
    stuck.chmod(0o755)
    workplace(tmp_path)
    (tmp_path / "video.mp4").unlink()
    command = command_line.command("run", "job.yaml", "--json")
    environment = command_line.environment(tmp_path, {"ECG_CHROMIUM": str(stuck)})
    began = time.monotonic()
    streams: dict[str, int] = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, cwd=tmp_path, env=environment, **streams) as run:
        out, _ = run.communicate(timeout=command_line.SECONDS)
    assert json.loads(out)["failure"]["code"] == "INVALID_VIDEO_URL"
    assert time.monotonic() - began < START_SECONDS
    assert list(MEMORY_FILES.glob(f"{PROFILE_PREFIX}{run.pid}-*")) == []


def test_no_second_has_more_than_four_lines_and_every_stage_has_one() -> None:
    for seed in range(50):
        numbers = random.Random(seed)
        written: list[tuple[float, str]] = []
        now = [0.0]
        display = ObjectDisplay(
            lambda line, now=now, written=written: written.append((now[0], json.loads(line)["stage"])),  # type: ignore[misc]
            lambda now=now: now[0],  # type: ignore[misc]
        )
        stages = [Stage.PLANNING, Stage.STARTING, *([Stage.RENDERING] * 60), Stage.MERGING]
        for stage in stages:
            display.report(ProgressReport(stage, 1, 2))
            now[0] += numbers.choice([0.0, 0.01, 0.1, 0.5])
        times = [at for at, _ in written]
        assert all(sum(at <= other < at + 1 for other in times) <= 4 for at in times)
        assert {stage for _, stage in written} == {"planning", "starting", "rendering", "merging"}


def test_the_help_describes_it(tmp_path: Path) -> None:
    told = " ".join(ecg_render("run", "--help", cwd=tmp_path).out.replace("│", " ").split())
    for words in ("--progress", "one JSON object a line on standard error, at most four a second"):
        assert words in told
