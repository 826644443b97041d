"""NVIDIA's driver as FFmpeg meets it, doubled (tests/support/nvenc): FFmpeg finds and opens it as the real one.

driver = Driver(libraries, tmp_path)          libraries: what `built` returned
driver.environment(GPU="L4", FAULT="fail@5")  what a process gets that shall meet it
driver.sessions                               what each encoding session was set up with
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SOURCES = Path(__file__).parent / "nvenc"


def built(folder: Path) -> Path:
    """Build the double's two libraries into `folder` and return it."""
    done = subprocess.run([SOURCES / "build.sh", folder], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"scripts/setup --dev installs what is missing:\n{done.stderr}"
    return folder


@dataclass(frozen=True)
class Driver:
    """The driver of one machine; processes that get the same folder share its GPU."""

    libraries: Path
    folder: Path

    def environment(self, **settings: str) -> dict[str, str]:
        """Return the environment in which FFmpeg meets it; `settings` are those of the double's README."""
        own = {"LD_LIBRARY_PATH": str(self.libraries), "NVIDIA_DOUBLE_FOLDER": str(self.folder)}
        return own | {f"NVIDIA_DOUBLE_{name}": value for name, value in settings.items()}

    def install(self, **settings: str) -> None:
        """Let this process's own children meet it."""
        os.environ.update(self.environment(**settings))

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Another program has a session of this GPU, which has one."""
        encode = ["-re", "-f", "lavfi", "-i", "color=s=320x240", "-t", "600", "-c:v", "h264_nvenc", "-bf", "0"]
        command = ["ffmpeg", "-v", "error", "-nostdin", *encode, "-progress", "pipe:1", "-f", "null", "-"]
        environment = os.environ | self.environment(SESSIONS="1")
        with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as other:
            assert other.stdout
            other.stdout.readline()  # from now on it encodes
            yield
            other.terminate()

    @property
    def sessions(self) -> list[dict[str, Any]]:
        """What was given at the beginning of each session, test encodes of 320x240 among them."""
        return self._said("initialize")

    @property
    def forced(self) -> list[int]:
        """The numbers of the pictures, in their session, for which a key frame was forced."""
        return [record["picture"] for record in self._said("forced-idr")]

    def _said(self, event: str) -> list[dict[str, Any]]:
        file = self.folder / "record.jsonl"
        records = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
        return [record for record in records if record["event"] == event]
