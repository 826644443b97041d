"""promtool and prometheus, which scripts/setup --dev fetches."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path


def program(name: str) -> str:
    """Return the path of `promtool` or `prometheus`."""
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.is_file() else shutil.which(name)
    assert found, f"{name} is missing: scripts/setup --dev fetches it from Debian's package prometheus"
    return found
