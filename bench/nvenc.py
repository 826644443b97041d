"""NVENC without a GPU: the double of its driver, whose encoder costs nothing (tests/support/nvenc)."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.errors import BenchError

_BUILD = Path(__file__).parent.parent / "tests/support/nvenc/build.sh"


@contextmanager
def canned_driver() -> Iterator[dict[str, str]]:
    """Build the double; yield the environment in which FFmpeg finds it, and gets one picture again and again.

    Raises `BenchError` if it cannot be built.
    """
    with tempfile.TemporaryDirectory(prefix="ecg-bench-nvenc-") as folder:
        built = subprocess.run([_BUILD, folder], capture_output=True, text=True, check=False)
        if built.returncode:
            raise BenchError(f"The driver's double cannot be built; `make setup-dev` may help:\n{built.stderr}")
        yield {"LD_LIBRARY_PATH": folder, "NVIDIA_DOUBLE_FOLDER": folder, "NVIDIA_DOUBLE_CANNED": "1"}
