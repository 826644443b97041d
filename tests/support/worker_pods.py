"""Run the steps of a job as pods do: told by their environment, each a process of its own.

pods = Pods(tmp_path, render_job)          work files below tmp_path/work, or in S3
ended = pods.run("plan")                   exit code, report, log
with pods.started("segment", ...) as pod   one that still runs
asked(pods, "/metrics")                    what that one answers
"""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import clips
import command_line
from ecg_api.pods import Report, decode_report

Json = dict[str, Any]
CLIP = clips.Clip(frames=75, rate="25")


@dataclass(frozen=True)
class PodEnd:
    """How a pod ended: exit code, standard output, log, and the report in its termination message."""

    code: int
    out: str
    log: str
    report: Report | None


@dataclass
class Pods:
    """The pods of one job; `job` is the RenderJob as JSON, `environment` holds what all of them get besides."""

    folder: Path
    job: Json
    work_uri: str = ""
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.work_uri = self.work_uri or (self.folder / "work").as_uri()

    @property
    def work(self) -> Path:
        """The folder of the work files, if it is one."""
        return self.folder / "work"

    @property
    def scratch(self) -> Path:
        """TMPDIR of the pods."""
        return self.folder / "scratch"

    def run(self, verb: str, **changes: str) -> PodEnd:
        """Run a pod to its end; `changes` are to its environment."""
        ended = command_line.run_loaded(["worker", verb], self.folder, self._environment(verb, changes))
        return PodEnd(ended.code, ended.out, ended.err, decode_report(self._message(verb)))

    def segment(self, index: int, segments: str = "", **changes: str) -> PodEnd:
        """Run the pod with completion index `index` of a round, by default of one that has all segments."""
        return self.run("segment", **self.round(index, segments), **changes)

    def round(self, index: int, segments: str = "") -> dict[str, str]:
        """Return what tells a segment pod which segment is its own."""
        every = segments or f"0-{len(self.plan['segments']) - 1}"
        return {"ECG_SEGMENTS": every, "JOB_COMPLETION_INDEX": str(index)}

    @property
    def plan(self) -> Json:
        """The plan among the work files."""
        plan: Json = json.loads((self.work / "plan.json").read_text())
        return plan

    @contextmanager
    def started(self, verb: str, **changes: str) -> Iterator[subprocess.Popen[str]]:
        """Start a pod, and end it with the block at the latest."""
        pod = subprocess.Popen(
            command_line.command("worker", verb),
            cwd=self.folder,
            env=self._environment(verb, changes),
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        with pod:
            try:
                yield pod
            finally:
                pod.kill()

    def _environment(self, verb: str, changes: dict[str, str]) -> dict[str, str]:
        self.scratch.mkdir(exist_ok=True)
        return command_line.environment(self.folder, self.told(verb) | changes)

    def told(self, verb: str) -> dict[str, str]:
        """Return the environment by which the operator tells a pod what to do."""
        job = json.loads(json.dumps(self.job))
        if verb != "plan":
            job["spec"]["scenario"].pop("inline", None)  # it travels to the plan pod only
        return {
            "ECG_RENDER_JOB": json.dumps(job),
            "ECG_WORK_URI": self.work_uri,
            "ECG_TERMINATION_LOG": str(self.folder / f"{verb}-message"),
            "ECG_PROGRESS_PORT": "0",
            "TMPDIR": str(self.scratch),
            **self.environment,
        }

    def _message(self, verb: str) -> str:
        file = self.folder / f"{verb}-message"
        return file.read_text() if file.exists() else ""


def asked(pods: Pods, path: str) -> str:
    """Return what a pod answers, once it listens."""
    deadline = time.monotonic() + command_line.SECONDS
    while True:
        try:
            with urlopen(f"http://127.0.0.1:{pods.environment['ECG_PROGRESS_PORT']}{path}", timeout=30) as answer:
                return str(answer.read().decode())
        except OSError:  # not there yet, or not at its turn
            assert time.monotonic() < deadline
            time.sleep(0.05)


def job_of(folder: Path, captions: Json | None = None, scenario: Json | None = None, **spec: Any) -> Json:
    """Return a RenderJob over folder/video.mp4; `scenario` is a reference instead of inline `captions`."""
    return {
        "apiVersion": "render.ecg.dev/v1alpha1",
        "kind": "RenderJob",
        "metadata": {"name": "clip", "namespace": "videos", "uid": "0f2e"},
        "spec": {
            "source": {"uri": (folder / "video.mp4").as_uri()},
            "scenario": scenario or {"inline": captions or {}},
            "output": {"uri": (folder / "out/captioned.mp4").as_uri()},
            "segments": {"targetSeconds": 1},
            **spec,
            "options": {"preset": "ultrafast", **spec.get("options", {})},
        },
    }


def moving_captions() -> Json:
    """Return a scenario for the three seconds of `put_video`."""
    return command_line.scenario("one", "two", "three", seconds=3, plugin="elastic")


def put_video(folder: Path) -> Path:
    """Put `CLIP` into `folder` as video.mp4, return the folder; copies have one time of change: they are one source."""
    shutil.copy2(clips.counter(CLIP), folder / "video.mp4")
    return folder
