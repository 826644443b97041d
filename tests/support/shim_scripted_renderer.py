"""A stand-in for `ecg-render` that does what the job's scenario says, step by step.

    {"cues": [], "script": [["progress", "rendering", 50], ["sleep", 1], ["result"]]}

Run as a program with the renderer's own arguments. It notes each start in the file that SCRIPT_LOG names.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

COMMAND = (sys.executable, str(Path(__file__)))
LOG = "SCRIPT_LOG"
FRAMES = 100


def scripted(*steps: list[Any]) -> bytes:
    """Return a scenario that makes the stand-in take these steps."""
    return json.dumps({"cues": [], "script": steps}).encode()


def go_on(log: Path, word: str = "go on") -> None:
    """Let stand-ins go on that wait for a word: `["until", word]`, or `["until"]` for this one."""
    with log.open("a") as file:
        file.write(f"{word}\n")


def starts(log: Path) -> list[str]:
    """Return the first words of each line of the log, such as `start` or `end`."""
    return log.read_text().splitlines() if log.exists() else []


class Stage:
    """What the steps need: the manifest and where its output goes."""

    def __init__(self, manifest: Path, work: Path) -> None:
        self.spec = json.loads(manifest.read_text())["spec"]
        self.output = Path(self.spec["output"]["uri"])
        self.work = work

    def progress(self, stage: str, percent: int = 0) -> None:
        line = {"event": "progress", "stage": stage, "percent": percent, "framesDone": percent, "framesTotal": FRAMES}
        self.say(json.dumps({**line, "etaSeconds": 100 - percent}))

    def warning(self, text: str) -> None:
        self.say(json.dumps({"event": "warning", "text": text}))

    def say(self, text: str) -> None:
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()

    def note(self, text: str) -> None:
        note(text)

    def put(self, text: str) -> None:
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()

    def flood(self, megabytes: int) -> None:
        for _ in range(megabytes * 16):
            os.write(2, b"\xff{" * 32768)

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def until(self, word: str = "go on") -> None:
        """Wait until the log has a line `word`: a test that is late misses nothing of what comes before."""
        while word not in starts(Path(os.environ[LOG])):
            time.sleep(0.02)

    def deaf(self) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)

    def child(self, detached: bool = False) -> None:
        deaf = "import signal,time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
        subprocess.Popen([sys.executable, "-c", deaf], start_new_session=detached)
        time.sleep(0.3)

    def segment(self, name: str) -> None:
        """Render a segment unless an earlier try has."""
        folder = self.work / "segments"
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / name).exists():
            # Noted when it is there: tests kill the renderer, or its service, as soon as they read of it.
            (folder / name).write_text(name)
            note(f"segment {name}")

    def video(self) -> None:
        self.output.parent.mkdir(parents=True, exist_ok=True)
        self.output.write_bytes(b"video")
        note("video")

    def result(self, **changes: Any) -> None:
        self.video()
        result = {
            "output": self.spec["output"]["uri"],
            "frames": FRAMES,
            "framesDropped": 3,
            "durationSeconds": 4.0,
            "sizeBytes": 5,
            "peakMemoryMb": 512.5,
            "memoryTrend": "stable",
        }
        self.put(json.dumps({**result, **changes}))

    def failure(self, code: str, retryable: bool, message: str = "It went wrong.") -> None:
        self.put(json.dumps({"failure": {"code": code, "message": message, "retryable": retryable}}))

    def exit(self, code: int) -> None:
        sys.exit(code)

    def die(self, number: int) -> None:
        os.kill(os.getpid(), number)

    def once(self, name: str, *steps: list[Any]) -> None:
        """Take steps in the first try only."""
        mark = self.work / f"once-{name}"
        if not mark.exists():
            self.work.mkdir(parents=True, exist_ok=True)
            mark.touch()
            self.take(list(steps))

    def take(self, steps: list[list[Any]]) -> None:
        for name, *arguments in steps:
            step: Callable[..., None] = getattr(self, name)
            step(*arguments)


def note(text: str) -> None:
    with Path(os.environ[LOG]).open("a") as log:
        log.write(f"{text}\n")


def main() -> None:
    manifest = Path(sys.argv[2])
    work = Path(sys.argv[sys.argv.index("--cells") + 1]) / manifest.parent.name
    note("start")
    stage = Stage(manifest, work)
    scenario = manifest.parent / stage.spec["scenario"]["uri"]
    stage.take(json.loads(scenario.read_text())["script"])
    note("end")


if __name__ == "__main__":
    main()
