"""Under which conditions the figures were measured."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from bench.measure import CORES


def conditions() -> dict[str, str]:
    """Return machine, programs, versions and date, ready to print."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "processor": f"{_processor()}, {CORES} cores",
        "memory": f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 1e9:.1f} GB",
        "system": f"{_distribution()}, Linux {platform.release()}",
        "ECG Render": f"{_own_version()}, commit {_commit()}",
        "FFmpeg": _first_line("ffmpeg", "-version").removeprefix("ffmpeg version ").split(" Copyright")[0],
        "Chromium": _first_line("chromium-headless-shell", "--version"),
        "Python": platform.python_version(),
        "load average at the start": f"{os.getloadavg()[0]:.2f}",
    }


def _processor() -> str:
    found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return found[1] if found else platform.machine()


def _distribution() -> str:
    return platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")


def _own_version() -> str:
    try:
        return version("ecg-render")
    except PackageNotFoundError:
        return "not installed"


def _commit() -> str:
    commit = _first_line("git", "rev-parse", "--short", "HEAD")
    changed = _first_line("git", "status", "--porcelain", "--untracked-files=no")
    return f"{commit} with changes" if changed != "unknown" else commit


def _first_line(*command: str) -> str:
    if not shutil.which(command[0]):
        return "unknown"
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parent, check=False)
    return done.stdout.splitlines()[0] if done.returncode == 0 and done.stdout else "unknown"
